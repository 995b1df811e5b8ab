package inventory

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func TestChangesKnowTheirReleases(t *testing.T) {
	deployment := func(name string) v1alpha1.WorkloadReference {
		return v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(name)}
	}
	images := map[string]v1alpha1.Image{"app": "checkout:2"}
	raised := &v1alpha1.Change{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-1", Annotations: map[string]string{v1alpha1.AnnotationRelease: "shop-1"}},
		Spec:       v1alpha1.ChangeSpec{Targets: []v1alpha1.ChangeTarget{{Workload: deployment("worker"), Images: images}, {Workload: deployment("checkout"), Images: images}}},
	}
	rel := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-1"},
		Spec: v1alpha1.ReleaseSpec{Units: []v1alpha1.ReleaseUnit{
			{Name: "worker", Workload: deployment("worker"), Images: images}, {Name: "checkout", Workload: deployment("checkout"), Images: images},
		}},
	}
	key := func(name string) configuration.Key { return change.KeyOf("shop", deployment(name)) }
	i := New()
	open := func() (units, open int) {
		t.Helper()
		c, ok := i.Change(types.NamespacedName{Namespace: "shop", Name: "shop-1"})
		if !ok {
			t.Fatal("the Change is not known")
		}
		for _, fact := range c.Candidate.Releases {
			units, open = units+len(fact.Units), open+len(fact.Open)
		}
		return units, open
	}
	expect := func(when string, wantUnits, wantOpen int) {
		t.Helper()
		if units, opened := open(); units != wantUnits || opened != wantOpen {
			t.Errorf("%s: %d units, %d of them open; want %d and %d", when, units, opened, wantUnits, wantOpen)
		}
	}
	i.Put(raised)
	expect("its Release is not known yet", 2, 0)

	i.Put(rel)
	expect("its Release does not say that it goes in under it", 2, 0)

	deploying := rel.DeepCopy()
	deploying.Status = v1alpha1.ReleaseStatus{
		State: v1alpha1.ReleaseDeploying, ChangeRef: &v1alpha1.LocalReference{Name: "shop-1"}, Phase: "pilot",
		StartedAt: &metav1.Time{Time: time.Unix(1, 0)},
		Phases:    []v1alpha1.ReleasePhaseStatus{{Name: "pilot", State: v1alpha1.ReleasePhaseDeploying}, {Name: "full", State: v1alpha1.ReleasePhaseWaiting}},
		Units: []v1alpha1.ReleaseUnitStatus{
			{Name: "worker", Workload: deployment("worker"), Phase: "pilot"}, {Name: "checkout", Workload: deployment("checkout"), Phase: "full"},
		},
	}
	i.Put(deploying)
	expect("its first phase runs", 2, 1)
	if got := i.ReleasesOf(key("worker")); len(got) != 1 || len(i.ReleasesOf(key("catalog"))) != 0 {
		t.Errorf("releases of the worker: %v", got)
	}
	if got := i.ReleasesUnder(types.NamespacedName{Namespace: "shop", Name: "shop-1"}); len(got) != 1 {
		t.Errorf("releases under the Change: %v", got)
	}

	failed := deploying.DeepCopy()
	failed.Status.Failure = &v1alpha1.ReleaseFailure{Reason: v1alpha1.ReleaseFailureTimeout}
	i.Put(failed)
	expect("it has failed", 2, 0)

	i.Remove(failed)
	expect("its Release is gone", 2, 0)
	if got := i.ReleasesOf(key("worker")); len(got) != 0 {
		t.Errorf("releases of the worker after all are gone: %v", got)
	}
}

func TestAReleaseThatNeverBeganFreesTheChangeItReferredTo(t *testing.T) {
	i := New()
	name := types.NamespacedName{Namespace: "shop", Name: "checkout-2"}
	i.Put(&v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-2"}})
	rel := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-1"},
		Spec:       v1alpha1.ReleaseSpec{ChangeRef: &v1alpha1.LocalReference{Name: "checkout-2"}},
	}
	facts := func() int {
		c, _ := i.Change(name)
		return len(c.Candidate.Releases)
	}
	i.Put(rel)
	if facts() != 1 {
		t.Error("a Release that refers to a Change does not limit it")
	}
	canceled := rel.DeepCopy()
	canceled.Status.EndedAt = &metav1.Time{Time: time.Unix(1, 0)}
	i.Put(canceled)
	if facts() != 0 {
		t.Error("a Release that was canceled before it began limits the Change that it referred to")
	}
}
