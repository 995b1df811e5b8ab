package incident_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// TestACapIsLoud: the record that counts what caps keep back says so, with the bound, and when there is room again.
func TestACapIsLoud(t *testing.T) {
	k := aTicket(t)
	if status, _ := k.condition(v1alpha1.ConditionCapReached); status != "" {
		t.Errorf("condition %s of what is no such record", status)
	}
	ref := incident.Reference(incident.OverflowKey())
	k.i.Spec.WorkloadRef = &ref
	k.facts.Caps = "at most 50 in a namespace"
	for workloads, want := range map[int32]string{2: "True CapReached", 0: "False RoomAgain"} {
		k.i.Status.Workloads = workloads
		k.evaluate()
		if status, reason := k.condition(v1alpha1.ConditionCapReached); string(status)+" "+reason != want {
			t.Errorf("%d workloads: %s %s, want %s", workloads, status, reason, want)
		}
		if c := meta.FindStatusCondition(k.i.Status.Conditions, v1alpha1.ConditionCapReached); workloads > 0 && (!strings.HasPrefix(c.Message, "2 workloads fail") || !strings.Contains(c.Message, k.facts.Caps)) {
			t.Errorf("message %q", c.Message)
		}
	}
}
