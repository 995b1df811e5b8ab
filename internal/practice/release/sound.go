package release

import (
	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// sound completes a status of which a part is missing that another part rests on. The operator writes no such status, but
// whoever may write status can: it is decided about all the same, in the direction that it says.
func (d *decider) sound() {
	s := &d.status
	if s.Backout != nil && s.Failure == nil {
		s.Failure = &v1alpha1.ReleaseFailure{
			Phase: s.Phase, Reason: v1alpha1.ReleaseFailureBackout, At: s.Backout.StartedAt,
			Message: "its status says that it is taken back, and not what failed",
		}
	}
	for i := range s.Phases {
		p := &s.Phases[i]
		if p.SoakingSince != nil && p.ObservedAt == nil {
			p.ObservedAt = p.SoakingSince.DeepCopy()
		}
		if p.StartedAt == nil && string(p.Name) == s.Phase {
			p.StartedAt = s.StartedAt.DeepCopy()
		}
	}
}
