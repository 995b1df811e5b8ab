package incident_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// TestABelievedRecoveryIsNotTakenBack: after a restart, a crash from before the recovery is all that a pod shows, and its
// container does not run for longer than its back-off yet.
func TestABelievedRecoveryIsNotTakenBack(t *testing.T) {
	recovered := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		lastAt   time.Time
		resolved bool
		want     bool
	}{
		"the crash that it recovered from":     {recovered.Add(-3 * time.Second), true, false},
		"a crash after it":                     {recovered.Add(time.Second), true, true},
		"the same crash, not believed by then": {recovered.Add(-3 * time.Second), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			at := metav1.NewTime(recovered)
			before := incident.Detected{RecoveredAt: &at, Signals: []v1alpha1.Signal{{
				Reason: v1alpha1.SignalCrashLooping, Container: "app", Since: metav1.NewTime(recovered.Add(-time.Hour)), ClearedAt: &at,
			}}}
			look := incident.Result{Findings: []incident.Finding{{
				Reason: v1alpha1.SignalCrashLooping, Container: "app", Since: recovered.Add(-time.Hour), LastAt: c.lastAt, Count: 6,
			}}}
			got, _ := incident.Correlate(before, look, incident.Subject{Resolved: c.resolved}, recovered.Add(4*time.Minute))
			if incident.Active(got.Signals) != c.want {
				t.Errorf("active %t, want %t: %+v", !c.want, c.want, got.Signals)
			}
		})
	}
}
