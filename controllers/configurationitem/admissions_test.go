package configurationitem

import (
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// What a replica's gate let in is written on the item, where the leader finds it.
func TestAdmissionWriter(t *testing.T) {
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), gate())
	write := func() time.Duration {
		t.Helper()
		result, err := c.writer.Reconcile(t.Context(), checkout)
		if err != nil {
			t.Fatal(err)
		}
		c.observe()
		return result.RequeueAfter
	}
	for n := range 7 {
		c.after(time.Second).admit(version(fmt.Sprint(n), 1))
	}
	if again := write(); again == 0 || c.writes != 0 {
		t.Fatalf("without an item: again after %s, %d writes", again, c.writes)
	}
	c.put(version("1", 1).Unstructured())
	item := newItem(checkout)
	item.Status.Admissions = []v1alpha1.Admission{{TemplateHash: "v1:old", Source: v1alpha1.BaselineChange, At: metav1.NewTime(builder.Epoch)}}
	c.put(item)
	writes := c.writes
	if again := write(); again != 0 || c.writes != writes+1 {
		t.Fatalf("again after %s, %d writes", again, c.writes-writes)
	}
	got := c.r.Inventory.Item(checkout).Status.Admissions
	if len(got) != inventory.MaxAdmissions || got[0].TemplateHash != hash(version("6", 1)) || got[0].By != "alice" {
		t.Errorf("admissions %v", got)
	}
	if left := c.r.Inventory.AdmittedHere(checkout); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if write(); c.writes != writes+1 {
		t.Error("nothing to write, and it was written")
	}
}

func TestAdmissionsThatNothingCameOfAreForgotten(t *testing.T) {
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), gate())
	c.admit(version("1", 1))
	again, err := c.writer.Reconcile(t.Context(), checkout)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.after(again.RequeueAfter).writer.Reconcile(t.Context(), checkout); err != nil {
		t.Fatal(err)
	}
	if left := c.r.Inventory.AdmittedHere(checkout); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// An admission that another replica writes at the same time is not lost: the leader's write fails, and it looks again.
func TestConflictsLoseNothing(t *testing.T) {
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), gate(), version("1", 1).Unstructured())
	stale, _ := c.reconcile(checkout)
	fresh := stale.DeepCopy()
	fresh.Status.Admissions = []v1alpha1.Admission{{TemplateHash: hash(version("2", 2)), Source: v1alpha1.BaselineChange, By: "alice", At: metav1.NewTime(start)}}
	if err := c.r.Client.Status().Update(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	c.r.Inventory.Put(version("2", 2).Unstructured())
	c.after(time.Hour)
	if _, err := c.r.Reconcile(t.Context(), checkout); err != nil && !apierrors.IsConflict(err) {
		t.Fatal(err)
	}
	live := &v1alpha1.ConfigurationItem{}
	if err := c.r.Client.Get(t.Context(), client.ObjectKeyFromObject(stale), live); err != nil || len(live.Status.Admissions) != 1 {
		t.Fatalf("admissions %v, error %v", live.Status.Admissions, err)
	}
}
