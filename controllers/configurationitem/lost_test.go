package configurationitem

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// TestPreAuthorisedAndLost: a replica let it in, and died before it told anybody. Its Change is filed by what the baseline says.
func TestPreAuthorisedAndLost(t *testing.T) {
	lax := builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Enforcement(v1alpha1.EnforcementEnforce).Obj()
	c := newCluster(t, []client.Object{lax, gate(), version("1.0.0", 1).Unstructured()}...)
	c.reconcile(checkout)
	c.after(time.Minute).put(version("1.0.1", 2).Unstructured())
	item, _ := c.reconcile(checkout)
	b := item.Status.Baselines[0]
	if want := "checkout-" + hash(version("1.0.1", 2))[len("v1:"):][:8]; b.Source != v1alpha1.BaselinePreAuthorised || b.Change != want {
		t.Errorf("the baseline is %s by Change %q, want PreAuthorised by %s", b.Source, b.Change, want)
	}
}
