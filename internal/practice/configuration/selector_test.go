package configuration_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// Kubernetes' own implementation is the oracle: all selectors of a small world, against all sets of labels.
func TestSelectorMeansWhatKubernetesMeans(t *testing.T) {
	sets := []map[string]string{nil, {"a": ""}, {"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"}, {"a": "2", "b": "2", "c": "3"}}
	values := map[metav1.LabelSelectorOperator][][]string{
		metav1.LabelSelectorOpIn: {{"1"}, {"1", "2"}, {""}}, metav1.LabelSelectorOpNotIn: {{"1"}, {"1", "2"}},
		metav1.LabelSelectorOpExists: {nil}, metav1.LabelSelectorOpDoesNotExist: {nil},
	}
	checked := 0
	for _, match := range sets {
		for op, options := range values {
			for _, vals := range options {
				for _, key := range []string{"a", "b"} {
					ours := configuration.Selector{Defined: true, MatchLabels: match, Expressions: []configuration.Requirement{{Key: key, Operator: string(op), Values: vals}}}
					theirs, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{
						MatchLabels: match, MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: op, Values: vals}},
					})
					if err != nil {
						t.Fatal(err)
					}
					for _, set := range sets {
						checked++
						if got, want := ours.Matches(set), theirs.Matches(labels.Set(set)); got != want {
							t.Errorf("%v matches %v: %t, want %t", ours, set, got, want)
						}
					}
				}
			}
		}
	}
	if checked < 500 {
		t.Errorf("only %d cases", checked)
	}
	if (configuration.Selector{}).Matches(nil) || !(configuration.Selector{Defined: true}).Matches(nil) {
		t.Error("an undefined selector matches nothing, an empty one everything")
	}
	if (configuration.Selector{Defined: true, Expressions: []configuration.Requirement{{Key: "a", Operator: "Gt"}}}).Matches(map[string]string{"a": "1"}) {
		t.Error("an operator that is not known matches nothing")
	}
}

func TestClaims(t *testing.T) {
	checkout := map[string]string{"app": "checkout"}
	expression := builder.MakeService("shop", "s").ClaimApp("", "x").Obj()
	expression.Spec.Workloads[0].Selector = &v1alpha1.LabelSelector{MatchExpressions: []v1alpha1.LabelSelectorRequirement{
		{Key: "app", Operator: "In", Values: []v1alpha1.LabelValue{"checkout", "cart"}},
	}}
	everything := builder.MakeService("shop", "s").ClaimApp("", "x").Obj()
	everything.Spec.Workloads[0].Selector = &v1alpha1.LabelSelector{}
	tests := map[string]struct {
		service    *v1alpha1.Service
		kind, name string
		labels     map[string]string
		want       bool
	}{
		"nothing":                     {builder.MakeService("shop", "s").Obj(), "Deployment", "checkout", checkout, false},
		"by name":                     {builder.MakeService("shop", "s").Claim("Deployment", "checkout").Obj(), "Deployment", "checkout", nil, true},
		"by name, other kind":         {builder.MakeService("shop", "s").Claim("Deployment", "checkout").Obj(), "StatefulSet", "checkout", nil, false},
		"by name, other name":         {builder.MakeService("shop", "s").Claim("Deployment", "checkout").Obj(), "Deployment", "checkout-2", checkout, false},
		"by name without a kind":      {builder.MakeService("shop", "s").Claim("", "checkout").Obj(), "Deployment", "checkout", checkout, false},
		"by label":                    {builder.MakeService("shop", "s").ClaimApp("", "checkout").Obj(), "StatefulSet", "x", checkout, true},
		"by label, what is bare":      {builder.MakeService("shop", "s").ClaimApp("", "checkout").Obj(), "Pod", "x", checkout, true},
		"by label, of a kind":         {builder.MakeService("shop", "s").ClaimApp("Deployment", "checkout").Obj(), "Deployment", "x", checkout, true},
		"by label, of another kind":   {builder.MakeService("shop", "s").ClaimApp("Deployment", "checkout").Obj(), "Job", "x", checkout, false},
		"by another label":            {builder.MakeService("shop", "s").ClaimApp("", "cart").Obj(), "Deployment", "checkout", checkout, false},
		"by the second claim":         {builder.MakeService("shop", "s").ClaimApp("", "cart").ClaimApp("", "checkout").Obj(), "Deployment", "x", checkout, true},
		"by an expression":            {expression, "Deployment", "x", checkout, true},
		"by an expression, otherwise": {expression, "Deployment", "x", map[string]string{"app": "x"}, false},
		"a selector of everything":    {everything, "Deployment", "x", checkout, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := configuration.Claims(test.service, test.kind, test.name, test.labels); got != test.want {
				t.Errorf("claims: %t, want %t", got, test.want)
			}
		})
	}
}
