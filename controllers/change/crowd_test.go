package change

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// TestARolloutThatEndsWakesWhatWaitsForRoom: of how many workloads are rolled out at a time, a Change of another
// workload hears when that becomes another number, and of nothing else.
func TestARolloutThatEndsWakesWhatWaitsForRoom(t *testing.T) {
	known := inventory.New()
	put := func(name string, rolling bool) {
		d := builder.MakeDeployment("shop", name).TemplateLabel("app", name).RolledOut().Obj()
		if rolling {
			d.Status.UpdatedReplicas = 0
		}
		known.Put(builder.Unstructured(d, appsv1.SchemeGroupVersion.WithKind("Deployment")))
	}
	known.Put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"env": "production"}}})
	generation := int64(0)
	limit := func(n int32) {
		generation++
		p := builder.MakeChangePolicy("production").Enforcement(v1alpha1.EnforcementEnforce).AllWorkloads().Spec(func(p *v1alpha1.ChangePolicySpec) {
			p.MaxConcurrentRollouts = n
		}).Obj()
		p.Generation = generation
		known.Put(p)
	}
	limit(1)
	for _, name := range []string{"checkout", "cart", "search"} {
		put(name, false)
	}
	known.Put(builder.MakeChange("shop", "waiting").Target(v1alpha1.WorkloadDeployment, "checkout", "r/checkout:2").Assessed(v1alpha1.RiskMedium).Obj())

	r := &Reconciler{Inventory: known}
	var pushed []string
	cancel := known.Subscribe(func(e inventory.Event) {
		r.concerned(e, func(name types.NamespacedName) { pushed = append(pushed, name.Name) })
	})
	defer cancel()
	for _, step := range []struct {
		what    string
		do      func()
		reaches bool
	}{
		{"one begins", func() { put("cart", true) }, true},
		{"it goes on", func() { put("cart", true) }, false},
		{"another begins, which makes it more than the limit", func() { put("search", true) }, true},
		{"one ends", func() { put("cart", false) }, true},
		{"the other ends: there is room", func() { put("search", false) }, true},
		{"nothing begins", func() { put("search", false) }, false},
		{"without a limit one begins", func() { limit(0); put("search", false); pushed = nil; put("cart", true) }, false},
	} {
		pushed = nil
		step.do()
		if got := slices.Contains(pushed, "waiting"); got != step.reaches {
			t.Errorf("%s: the Change that waits is looked at: %v, want %v", step.what, got, step.reaches)
		}
	}
	if n := len(r.crowds.sizes); n > 0 {
		t.Errorf("%d namespaces are remembered where no policy limits anything", n)
	}
}
