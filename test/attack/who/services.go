package who

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const governing = "itil-operator-services"

// declared is a Service with something to lose.
const declared = `spec:
  owner: {team: payments}
  tier: 2
  changeControl: {enforcement: Warn}
  workloads:
  - {kind: Deployment, selector: {matchLabels: {app: checkout}}}
  - {kind: StatefulSet, name: checkout-db, minimumReady: "50%"}`

// lessens are edits that lessen the governance of it, and what is said of them; permitted do not.
var (
	lessens = map[string]string{
		`{"spec":{"changeControl":{"enforcement":"Audit"}}}`:                   "a weaker spec.changeControl.enforcement",
		`{"spec":{"changeControl":{"enforcement":"Disabled"}}}`:                "a weaker spec.changeControl.enforcement",
		`{"spec":{"changeControl":null}}`:                                      "a weaker spec.changeControl.enforcement",
		`{"spec":{"tier":3}}`:                                                  "a higher spec.tier",
		`{"spec":{"tier":null}}`:                                               "a higher spec.tier",
		`{"spec":{"lifecycle":"Retired"}}`:                                     "spec.lifecycle Retired",
		`{"spec":{"workloads":[]}}`:                                            "giving up or narrowing a claim",
		`{"spec":{"workloads":null}}`:                                          "giving up or narrowing a claim",
		`{"spec":{"workloads":[{"kind":"StatefulSet","name":"checkout-db"}]}}`: "giving up or narrowing a claim",
		`{"spec":{"workloads":[{"kind":"StatefulSet","name":"checkout-db"},{"kind":"Deployment","selector":{"matchLabels":{"app":"checkout","x":"y"}}}]}}`: "giving up or narrowing a claim",
		`{"spec":{"workloads":[{"kind":"StatefulSet","name":"checkout-db"},{"kind":"DaemonSet","selector":{"matchLabels":{"app":"checkout"}}}]}}`:          "giving up or narrowing a claim",
	}
	permitted = []string{
		`{"spec":{"description":"takes payment"}}`, `{"spec":{"tier":1}}`, `{"spec":{"changeControl":{"enforcement":"Enforce"}}}`,
		`{"spec":{"workloads":[{"selector":{"matchLabels":{"app":"checkout"}}},{"kind":"StatefulSet","name":"checkout-db"},{"kind":"Job","name":"x"}]}}`,
		`{"metadata":{"labels":{"a":"b"}}}`, `{"spec":{"lifecycle":"Pipeline"}}`,
	}
)

func services(c Cluster) {
	loosenAService(c)
	escapeByASelector(c)
}

// under creates a Service of alice's under a ChangePolicy that selects its namespace, unless it is altered.
func (c Cluster) under(ctx context.Context, labels map[string]string, alter func(*v1alpha1.ChangePolicySpec)) (string, *unstructured.Unstructured) {
	GinkgoHelper()
	namespace := c.namespace(labels, "alice")
	selected := builder.MakeChangePolicy("of-" + namespace).Spec(func(s *v1alpha1.ChangePolicySpec) {
		s.NamespaceSelector = v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"kubernetes.io/metadata.name": v1alpha1.LabelValue(namespace)}}
		if alter != nil {
			alter(s)
		}
	}).Obj()
	selected.ResourceVersion, selected.UID = "", ""
	Expect(c.Env().Admin().Create(ctx, selected)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(c.Env().Admin().Delete(ctx, selected)).To(Succeed()) })
	o := object(namespace, "Service", "checkout", declared)
	Expect(c.as("alice").Create(ctx, o)).To(Succeed())
	return namespace, o
}

// governed waits for the API server to learn of a policy, which it does through a watch.
func (c Cluster) governed(ctx context.Context, o *unstructured.Unstructured) {
	GinkgoHelper()
	Eventually(func() error { return c.as("alice").Delete(ctx, o, client.DryRunAll) }).Should(MatchError(apierrors.IsForbidden, "IsForbidden"))
}

func loosenAService(c Cluster) {
	It("is its team's own affair where no ChangePolicy is", func(ctx SpecContext) {
		namespace := c.namespace(nil, "alice")
		o := object(namespace, "Service", "checkout", declared)
		Expect(c.as("alice").Create(ctx, o)).To(Succeed())
		for edit := range lessens {
			Expect(c.as("alice").Patch(ctx, o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(edit)), client.DryRunAll)).To(Succeed(), edit)
		}
		Expect(c.as("alice").Delete(ctx, o)).To(Succeed())
	})
	It("is not lessened without the verb retire under a ChangePolicy", func(ctx SpecContext) {
		namespace, o := c.under(ctx, nil, nil)
		c.governed(ctx, o)
		for edit, why := range lessens {
			err := patch(ctx, c.as("alice"), o, edit)
			expectRefused(err, governing, why)
			Expect(err).To(MatchError(ContainSubstring("Service "+namespace+"/checkout is under ChangePolicy of-"+namespace)), edit)
		}
		expectRefused(c.as("alice").Delete(ctx, o), governing, "deleting it")
		expectRefused(c.as("alice").DeleteAllOf(ctx, o.DeepCopy(), client.InNamespace(namespace)), governing, "deleting it")
		for _, edit := range permitted {
			Expect(c.as("alice").Patch(ctx, o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(edit)), client.DryRunAll)).To(Succeed(), edit)
		}
		c.allow(namespace, "alice", "services", "retire")
		for edit := range lessens {
			Expect(c.as("alice").Patch(ctx, o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(edit)), client.DryRunAll)).To(Succeed(), edit)
		}
		Expect(c.as("alice").Delete(ctx, o)).To(Succeed())
	})
	It("inherits what it does not say", func(ctx SpecContext) {
		_, o := c.under(ctx, nil, func(s *v1alpha1.ChangePolicySpec) { s.Enforcement = v1alpha1.EnforcementEnforce })
		c.governed(ctx, o)
		// Warn under a floor of Enforce: saying nothing is more, not less; going back is less.
		Expect(patch(ctx, c.as("alice"), o, `{"spec":{"changeControl":null}}`)).To(Succeed())
		expectRefused(patch(ctx, c.as("alice"), o, `{"spec":{"changeControl":{"enforcement":"Warn"}}}`), governing, "a weaker spec.changeControl.enforcement")
	})
}

func escapeByASelector(c Cluster) {
	selectors := map[string]struct {
		selector string
		covers   bool
	}{
		"by label":           {"env=production", true},
		"by another value":   {"env=test", false},
		"by another label":   {"stage=production", false},
		"In":                 {"env In production lab", true},
		"In others":          {"env In test lab", false},
		"Exists":             {"env Exists", true},
		"Exists not":         {"stage Exists", false},
		"NotIn":              {"env Exists, zone NotIn b", true},
		"NotIn this":         {"env Exists, zone NotIn a", false},
		"NotIn without it":   {"env Exists, stage NotIn a", true},
		"DoesNotExist":       {"env Exists, stage DoesNotExist", true},
		"DoesNotExist there": {"env Exists, zone DoesNotExist", false},
	}
	specs := 0
	for name, matching := range selectors {
		It("is under a ChangePolicy that selects "+name, func(ctx SpecContext) {
			// Labels of its own: the API server may not have heard yet that another spec's policy is gone.
			specs++
			suffix := fmt.Sprintf("-%d", specs)
			labels := map[string]string{"env" + suffix: "production", "zone" + suffix: "a"}
			_, o := c.under(ctx, labels, func(s *v1alpha1.ChangePolicySpec) { s.NamespaceSelector = selector(matching.selector, suffix) })
			if matching.covers {
				c.governed(ctx, o)
				return
			}
			// When the server knows a later policy, it knows this one.
			_, later := c.under(ctx, nil, nil)
			c.governed(ctx, later)
			Expect(c.as("alice").Delete(ctx, o, client.DryRunAll)).To(Succeed())
		})
	}
}

// selector reads "key=value" or "key Operator values, key Operator values"; keys get the suffix.
func selector(text, suffix string) v1alpha1.LabelSelector {
	s := v1alpha1.LabelSelector{}
	for part := range strings.SplitSeq(text, ", ") {
		if key, value, found := strings.Cut(part, "="); found {
			s.MatchLabels = map[string]v1alpha1.LabelValue{key + suffix: v1alpha1.LabelValue(value)}
			continue
		}
		fields := strings.Fields(part)
		e := v1alpha1.LabelSelectorRequirement{Key: fields[0] + suffix, Operator: v1alpha1.LabelSelectorOperator(fields[1])}
		for _, value := range fields[2:] {
			e.Values = append(e.Values, v1alpha1.LabelValue(value))
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}
