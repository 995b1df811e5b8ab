package detection

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func TestOff(t *testing.T) {
	disabled := map[string]string{v1alpha1.LabelIncidents: v1alpha1.LabelIncidentsDisabled}
	cases := map[string]struct {
		namespace          string
		scope              Scope
		ofNamespace, label map[string]string
		unclaimed          bool
		lifecycle          v1alpha1.Lifecycle
		// want is in what is said; empty: detection is on.
		want string
	}{
		"on":                                {},
		"on, of what nobody claims":         {unclaimed: true},
		"on, of what a Service claims":      {scope: ScopeServices},
		"of Services only, and none claims": {scope: ScopeServices, unclaimed: true, want: "--detect=Services"},
		"a Service that is only planned":    {lifecycle: v1alpha1.LifecyclePipeline, want: "only planned"},
		"by label":                          {label: disabled, want: "its label itil.dev/incidents"},
		"by the label of its namespace":     {ofNamespace: disabled, want: "of namespace shop"},
		"in kube-system":                    {namespace: "kube-system", want: "nothing is detected in namespace kube-system"},
		"in the operator's namespace":       {namespace: "itil-system", want: "in namespace itil-system unless it is labelled itil.dev/incidents=enabled"},
		"on, in kube-system as its label asks": {
			namespace: "kube-system", ofNamespace: map[string]string{v1alpha1.LabelIncidents: v1alpha1.LabelIncidentsEnabled},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			namespace := c.namespace
			if namespace == "" {
				namespace = "shop"
			}
			r := New()
			r.Namespace, r.Inventory = "itil-system", inventory.New()
			if c.scope != "" {
				r.Scope = c.scope
			}
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: c.ofNamespace}}
			r.Client = fake.NewClientBuilder().WithScheme(scheme.New()).WithObjects(ns).Build()
			d := builder.MakeDeployment(namespace, "checkout").Image("app", "checkout:1").Obj()
			d.Labels = c.label
			raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
			if err != nil {
				t.Fatal(err)
			}
			u := &unstructured.Unstructured{Object: raw}
			u.SetAPIVersion("apps/v1")
			u.SetKind("Deployment")
			r.Inventory.Put(u)
			if !c.unclaimed {
				s := builder.MakeService(namespace, "checkout").Claim(v1alpha1.WorkloadDeployment, "checkout").Obj()
				s.Spec.Lifecycle = c.lifecycle
				r.Inventory.Put(s)
			}
			why, err := r.Off(t.Context(), configuration.Key{Group: "apps", Kind: "Deployment", Namespace: namespace, Name: "checkout"})
			if err != nil || (why == "") != (c.want == "") || !strings.Contains(why, c.want) {
				t.Errorf("off: %q (error %v), want %q", why, err, c.want)
			}
		})
	}
}
