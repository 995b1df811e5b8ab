package change

import (
	"fmt"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// events tell what became different with this evaluation.
func (l *life) events() []Event {
	var out []Event
	add := func(warning bool, reason, action, note string) {
		out = append(out, Event{Warning: warning, Reason: reason, Action: action, Note: brief(plain(note), maxConditionWords)})
	}
	if l.edited {
		add(true, "Edited", "Assess", "spec was edited: votes on the earlier version do not count any more")
	}
	if l.before.State != l.status.State {
		l.stateEvent(add)
	}
	for i := len(l.before.Implementations); i < len(l.status.Implementations); i++ {
		im := &l.status.Implementations[i]
		who := ""
		if im.By != "" {
			who = " by " + im.By
		}
		add(false, "WentIn", "Implement", fmt.Sprintf("%s/%s: %s%s", im.Workload.Kind, im.Workload.Name, shortDigest(im.TemplateHash), who))
	}
	if o := l.status.Outcome; o != l.before.Outcome && o != "" {
		bad := o == v1alpha1.OutcomeUnsuccessful || o == v1alpha1.OutcomeRolledBack
		add(bad, "Outcome", "Conclude", "outcome "+string(o))
	}
	return out
}

func (l *life) stateEvent(add func(warning bool, reason, action, note string)) {
	switch l.status.State {
	case v1alpha1.ChangeAssess:
		add(true, "NotAssessable", "Assess", l.nextStep())
	case v1alpha1.ChangeAuthorize:
		add(false, "VotesNeeded", "Assess", fmt.Sprintf("risk %s; it lacks %s", l.status.Risk.Level, l.candidate.Approval.Missing))
	case v1alpha1.ChangeScheduled:
		add(false, "Scheduled", "Authorize", l.nextStep())
	case v1alpha1.ChangeImplement:
		add(false, "GateOpen", "Implement", l.nextStep())
	case v1alpha1.ChangeReview:
		add(true, "ReviewAwaited", "Review", "a post-implementation review is owed")
	case v1alpha1.ChangeRejected:
		add(true, "Rejected", "Authorize", l.rejection())
	case v1alpha1.ChangeCanceled:
		add(false, "Canceled", "Cancel", l.candidate.EndedWhy)
	case v1alpha1.ChangeClosed:
		add(false, "Closed", "Close", "it has ended")
	}
}
