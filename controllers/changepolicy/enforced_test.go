package changepolicy

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func namespaceOf(name, env string, age time.Duration) corev1.Namespace {
	return corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"env": env}, CreationTimestamp: metav1.NewTime(now.Add(-age)),
	}}
}

func overAll(generation int64, since map[v1alpha1.NamespaceName]time.Duration) *v1alpha1.ChangePolicy {
	p := builder.MakeChangePolicy("production").AllWorkloads().Enforcement(v1alpha1.EnforcementEnforce).Obj()
	p.Generation, p.Status.ObservedGeneration = generation, 1
	for _, name := range []v1alpha1.NamespaceName{"pay", "shop"} {
		if age, known := since[name]; known {
			p.Status.EnforcedIn = append(p.Status.EnforcedIn, v1alpha1.EnforcedNamespace{Namespace: name, Since: metav1.NewTime(now.Add(-age))})
		}
	}
	return p
}

// TestSinceWhenAPolicyOverAllWorkloadsIsEnforced: since the gate's configuration listed the namespace, for as long as it stays
// in scope, whatever becomes of the configuration.
func TestSinceWhenAPolicyOverAllWorkloadsIsEnforced(t *testing.T) {
	shop, day := namespaceOf("shop", "production", 30*24*time.Hour), 24*time.Hour
	listed := gateconfig.Namespaces{Enforce: []string{"pay", "shop"}}
	known := map[v1alpha1.NamespaceName]time.Duration{"shop": day}
	with := func(alter func(*v1alpha1.ChangePolicySpec)) *v1alpha1.ChangePolicy {
		p := overAll(2, known)
		alter(&p.Spec)
		return p
	}
	for name, test := range map[string]struct {
		policy     *v1alpha1.ChangePolicy
		namespaces []corev1.Namespace
		listed     gateconfig.Namespaces
		left       sets.Set[string]
		// want is how long ago, by namespace.
		want map[v1alpha1.NamespaceName]time.Duration
	}{
		"listed for the first time":            {overAll(1, nil), []corev1.Namespace{shop}, listed, nil, map[v1alpha1.NamespaceName]time.Duration{"shop": 0}},
		"not listed yet":                       {overAll(1, nil), []corev1.Namespace{shop}, gateconfig.Namespaces{}, nil, nil},
		"listed for Audit":                     {overAll(1, nil), []corev1.Namespace{shop}, gateconfig.Namespaces{Audit: []string{"shop"}}, nil, nil},
		"known":                                {overAll(1, known), []corev1.Namespace{shop}, listed, nil, known},
		"known, the configuration is gone":     {overAll(1, known), []corev1.Namespace{shop}, gateconfig.Namespaces{}, nil, known},
		"known, the spec was edited":           {overAll(2, known), []corev1.Namespace{shop}, listed, nil, known},
		"known, it was edited more than once":  {overAll(3, known), []corev1.Namespace{shop}, listed, nil, map[v1alpha1.NamespaceName]time.Duration{"shop": 0}},
		"it left":                              {overAll(1, known), []corev1.Namespace{namespaceOf("shop", "test", 30*day)}, listed, nil, nil},
		"it left and came back":                {overAll(1, known), []corev1.Namespace{shop}, listed, sets.New("shop"), map[v1alpha1.NamespaceName]time.Duration{"shop": 0}},
		"it left and came back, not listed":    {overAll(1, known), []corev1.Namespace{shop}, gateconfig.Namespaces{}, sets.New("shop"), nil},
		"it was deleted":                       {overAll(1, known), nil, listed, nil, nil},
		"it was made again":                    {overAll(1, known), []corev1.Namespace{namespaceOf("shop", "production", time.Hour)}, listed, nil, map[v1alpha1.NamespaceName]time.Duration{"shop": 0}},
		"another comes":                        {overAll(1, known), []corev1.Namespace{shop, namespaceOf("pay", "production", 30*day)}, listed, nil, map[v1alpha1.NamespaceName]time.Duration{"shop": day, "pay": 0}},
		"the policy only watches":              {with(func(s *v1alpha1.ChangePolicySpec) { s.Enforcement = v1alpha1.EnforcementWarn }), []corev1.Namespace{shop}, listed, nil, nil},
		"the policy is for Services":           {with(func(s *v1alpha1.ChangePolicySpec) { s.Scope = v1alpha1.ScopeServices }), []corev1.Namespace{shop}, listed, nil, nil},
		"the policy selects others by now":     {with(func(s *v1alpha1.ChangePolicySpec) { s.NamespaceSelector.MatchLabels["env"] = "test" }), []corev1.Namespace{shop}, listed, nil, nil},
		"the policy says what nobody knows":    {with(func(s *v1alpha1.ChangePolicySpec) { s.Enforcement = "Stricter" }), []corev1.Namespace{shop}, listed, nil, known},
		"another left":                         {overAll(1, known), []corev1.Namespace{shop}, listed, sets.New("pay"), known},
		"the policy leaves it to the Services": {with(func(s *v1alpha1.ChangePolicySpec) { s.Enforcement = "" }), []corev1.Namespace{shop}, listed, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var want []v1alpha1.EnforcedNamespace
			for _, ns := range []v1alpha1.NamespaceName{"pay", "shop"} {
				if age, in := test.want[ns]; in {
					want = append(want, v1alpha1.EnforcedNamespace{Namespace: ns, Since: metav1.NewTime(now.Add(-age))})
				}
			}
			if diff := cmp.Diff(want, enforcedIn(test.policy, test.namespaces, test.listed, test.left, now)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestSinceWhenIsBounded: what is known stays before what would be new.
func TestSinceWhenIsBounded(t *testing.T) {
	var all []corev1.Namespace
	var listed gateconfig.Namespaces
	for n := range maxEnforcedIn + 2 {
		name := fmt.Sprintf("ns-%05d", n)
		all, listed.Enforce = append(all, namespaceOf(name, "production", time.Hour)), append(listed.Enforce, name)
	}
	p := overAll(1, nil)
	last := v1alpha1.EnforcedNamespace{Namespace: v1alpha1.NamespaceName(all[len(all)-1].Name), Since: metav1.NewTime(now.Add(-time.Minute))}
	p.Status.EnforcedIn = []v1alpha1.EnforcedNamespace{last}
	got := enforcedIn(p, all, listed, nil, now)
	if len(got) != maxEnforcedIn || got[len(got)-1] != last || got[0].Namespace != "ns-00000" {
		t.Errorf("%d, from %v to %v", len(got), got[0], got[len(got)-1])
	}
}

// TestANamespaceThatLeavesAndComesBack: also between two looks at it, and where the first write after that fails.
func TestANamespaceThatLeavesAndComesBack(t *testing.T) {
	shop := namespaceOf("shop", "production", time.Hour)
	p := overAll(1, map[v1alpha1.NamespaceName]time.Duration{"shop": time.Hour})
	gate := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: gateconfig.Name}, Webhooks: []admissionregistrationv1.ValidatingWebhook{{Name: gateconfig.EnforceWebhook}},
	}
	gateconfig.Write(gate, gateconfig.Namespaces{Enforce: []string{"shop"}})
	kube := fake.NewClientBuilder().WithScheme(scheme.New()).WithStatusSubresource(p).WithObjects(p, &shop, gate).Build()
	r := &Reconciler{Client: kube, Clock: clocktesting.NewFakePassiveClock(now)}
	since := func(want time.Time) {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), requestFor(p.Name)); err != nil {
			t.Fatal(err)
		}
		live := &v1alpha1.ChangePolicy{}
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(p), live); err != nil {
			t.Fatal(err)
		}
		if list := live.Status.EnforcedIn; len(list) != 1 || !list[0].Since.Time.Equal(want) {
			t.Fatalf("enforced in %v, want since %s", list, want)
		}
	}
	since(now.Add(-time.Hour))
	away := namespaceOf("shop", "test", time.Hour)
	for _, seen := range []*corev1.Namespace{&shop, &away, &away, &shop} { // old and new of two updates
		r.policiesOver(t.Context(), seen)
	}
	r.stillLeft(p.Name, r.hasLeft(p.Name)) // as after a write that failed
	since(now)
	r.Clock = clocktesting.NewFakePassiveClock(now.Add(time.Minute))
	since(now)
	if err := kube.Delete(t.Context(), gate); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	since(now)
	if got := len(r.policiesOverAll(t.Context(), gate)); got != 1 {
		t.Errorf("%d policies follow the gate's configuration", got)
	}
}
