package configurationitem

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
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

// TestPreAuthorisedAndFiled: a replica let it in and filed its Change, and its record of who did is lost or late. What came in
// is by that Change, which nobody has assessed yet, and not by another of the next name.
func TestPreAuthorisedAndFiled(t *testing.T) {
	lax := builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Enforcement(v1alpha1.EnforcementEnforce).Obj()
	next := version("1.0.1", 2)
	name := "checkout-" + hash(next)[len("v1:"):][:8]
	filed := func(ended v1alpha1.Outcome) *v1alpha1.Change {
		chg := builder.MakeChange("shop", name).Target(v1alpha1.WorkloadDeployment, "checkout", "shop/app:1.0.1").Obj()
		chg.Labels = map[string]string{change.LabelFiledFor: change.FiledForPreAuthorised}
		chg.Spec.Targets[0].TemplateHash = v1alpha1.TemplateHash(hash(next))
		chg.Status.Outcome = ended
		return chg
	}
	for why, test := range map[string]struct {
		ended v1alpha1.Outcome
		want  string
	}{
		"by the one that is filed":             {want: name},
		"that one brought it in earlier, once": {ended: v1alpha1.OutcomeSuccessful, want: name + "-2"},
	} {
		c := newCluster(t, []client.Object{lax, gate(), version("1.0.0", 1).Unstructured()}...)
		c.reconcile(checkout)
		c.after(time.Minute).put(filed(test.ended))
		c.put(next.Unstructured())
		item, _ := c.reconcile(checkout)
		if b := item.Status.Baselines[0]; b.Source != v1alpha1.BaselinePreAuthorised || b.Change != test.want {
			t.Errorf("%s: the baseline is %s by Change %q, want PreAuthorised by %s", why, b.Source, b.Change, test.want)
		}
	}
}
