package configurationitem

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// TestClaimedLater: what was there before the Service's spec claimed it is adopted, however long the Service has governed others.
func TestClaimedLater(t *testing.T) {
	claiming := func(names ...string) *builder.Service {
		s := builder.MakeService("shop", "checkout").Tier(1).Enforcement(v1alpha1.EnforcementEnforce)
		for _, name := range names {
			s.Claim("Deployment", name)
		}
		return s
	}
	workload := version("1", 1).Unstructured()
	workload.SetCreationTimestamp(metav1.NewTime(start))
	c := newCluster(t, governed(claiming("other").Obj(), builder.Epoch), gate(), workload)
	if item, _ := c.after(time.Minute).reconcile(checkout); item != nil {
		t.Fatalf("it is nobody's: %v", item)
	}
	// The status is behind the spec, at first.
	edited := claiming("other", "checkout").Obj()
	edited.Generation++
	edited = governed(edited, builder.Epoch)
	edited.Status.ObservedGeneration--
	c.put(edited).reconcile(checkout)
	item, _ := c.after(DefaultAdmissionGrace).reconcile(checkout)
	if got, want := told(item), "Adopted 1; None"; got != want {
		t.Errorf("baselines are %q, want %q", got, want)
	}
}

// TestMadeWhileTheGateIsGone: a Service knows since when it is governed also while the gate's configuration is not there.
func TestMadeWhileTheGateIsGone(t *testing.T) {
	c := newCluster(t, governed(service(v1alpha1.EnforcementEnforce), builder.Epoch.Add(-time.Hour)), version("1", 1).Unstructured())
	c.reconcile(checkout)
	item, _ := c.after(DefaultAdmissionGrace).reconcile(checkout)
	if got, want := told(item), "Unauthorized 1; Drifted"; got != want {
		t.Errorf("baselines are %q, want %q", got, want)
	}
}
