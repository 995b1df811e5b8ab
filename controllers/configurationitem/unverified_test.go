package configurationitem

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// writtenBy is what the API server has of a version whose template a field manager wrote last.
func (c *cluster) writtenBy(d *builder.Deployment, manager string) *cluster {
	c.live = d.Unstructured()
	at := metav1.NewTime(c.clock.Now())
	c.live.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Time: &at, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":{"f:spec":{"f:containers":{}}}}}`),
	}})
	return c
}

// TestWhoWroteWhatNobodyRecorded: by is who the API server authenticated, or nobody; the field manager is shown beside it, as what
// nobody verified, and not before the record of another replica's gate can come no more.
func TestWhoWroteWhatNobodyRecorded(t *testing.T) {
	enforced, watched := gateconfig.Namespaces{Enforce: []string{"shop"}}, gateconfig.Namespaces{Audit: []string{"shop"}}
	for name, test := range map[string]struct {
		enforcement v1alpha1.Enforcement
		listed      gateconfig.Namespaces
		play        func(c *cluster)
		by, who     string
		asked       int
	}{
		"past the gate": {v1alpha1.EnforcementEnforce, enforced, func(c *cluster) {
			c.writtenBy(version("2", 2), "vi").put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace)
		}, "", "vi", 1},
		"while nobody answered": {v1alpha1.EnforcementAudit, watched, func(c *cluster) {
			c.writtenBy(version("2", 2), "helm").put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(recordLate)
		}, "", "helm", 1},
		"just now": {v1alpha1.EnforcementAudit, watched, func(c *cluster) {
			c.writtenBy(version("2", 2), "helm").put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(recordLate - time.Second)
		}, "", "", 0},
		"the record comes late": {v1alpha1.EnforcementAudit, watched, func(c *cluster) {
			c.writtenBy(version("2", 2), "helm").put(version("2", 2).Unstructured()).reconcile(checkout)
			c.letIn("2").reconcile(checkout)
			c.after(recordLate)
		}, "alice", "", 0},
		"the record comes after all": {v1alpha1.EnforcementEnforce, enforced, func(c *cluster) {
			c.writtenBy(version("2", 2), "vi").put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace).reconcile(checkout)
			c.admit(version("2", 2))
		}, "alice", "", 1},
		"another template is there by now": {v1alpha1.EnforcementEnforce, enforced, func(c *cluster) {
			c.writtenBy(version("3", 3), "vi").put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace)
		}, "", "", 1},
		"it is gone": {v1alpha1.EnforcementEnforce, enforced, func(c *cluster) {
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace)
		}, "", "", 1},
		"a name that does not print": {v1alpha1.EnforcementEnforce, enforced, func(c *cluster) {
			c.writtenBy(version("2", 2), "v\u202ei\n").put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace)
		}, "", "vi", 1},
		"adopted": {v1alpha1.EnforcementEnforce, enforced, func(c *cluster) { c.after(recordLate) }, "", "", 0},
		"broken glass": {v1alpha1.EnforcementEnforce, enforced, func(c *cluster) {
			c.put(forced("2", 2, "carol", "on fire").Unstructured())
		}, "carol", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := watching(t, test.enforcement, test.listed)
			test.play(c)
			item, _ := c.reconcile(checkout)
			b := item.Status.Baselines[0]
			if b.By != test.by || b.UnverifiedBy != test.who || c.asked != test.asked {
				t.Errorf("by %q, unverified %q, asked %d times; want %q, %q, %d times", b.By, b.UnverifiedBy, c.asked, test.by, test.who, test.asked)
			}
			writes := c.writes
			if c.after(2 * admissionsKept).reconcile(checkout); c.writes > writes+1 || c.asked != test.asked {
				t.Errorf("%d more writes, asked %d times", c.writes-writes, c.asked)
			}
		})
	}
}
