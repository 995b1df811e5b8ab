package change

import (
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// TestAFailedRolloutStaysSo while another template is in that no baseline tells of yet: what the workload says is of that one. Else
// it would seem to have been going on when that came, and its outcome would be Inconclusive.
func TestAFailedRolloutStaysSo(t *testing.T) {
	s := told(t).at(1).is(v1alpha1.ChangeAuthorize).votes("bob", "carol").is(v1alpha1.ChangeImplement)
	stuck := rollingOut(v24)
	stuck.Conditions = map[string]configuration.Condition{"Progressing": {Status: "False", Reason: "ProgressDeadlineExceeded"}}
	s.at(2).runs(stuck, s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
	failed := s.last.Status.Implementations[0]
	if failed.Rollout != v1alpha1.RolloutFailed {
		t.Fatalf("the rollout is %s", failed.Rollout)
	}
	s.runs(rollingOut(v23)).is(v1alpha1.ChangeImplement)
	if got := s.last.Status.Implementations[0]; got.Rollout != v1alpha1.RolloutFailed || !got.RolledOutAt.Equal(failed.RolledOutAt) {
		t.Errorf("the rollout was Failed since %s, and is %s since %s", failed.RolledOutAt, got.Rollout, got.RolledOutAt)
	}
}
