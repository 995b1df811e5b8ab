package change

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
		what := shortDigest(im.TemplateHash)
		if im.Operation == v1alpha1.OperationDelete {
			what = "deleted"
		}
		add(false, "WentIn", "Implement", fmt.Sprintf("%s/%s: %s%s", im.Workload.Kind, im.Workload.Name, what, who))
	}
	l.backoutEvents(add)
	if l.reviewOverdue() && !l.wasOverdue() {
		add(true, "ReviewOverdue", "Review", "the post-implementation review was due "+l.Rules.show(l.reviewDue()))
	}
	if l.lifted && l.status.Outcome != l.before.Outcome {
		add(false, "SuspicionWithdrawn", "Conclude", "what suspected it does so no more: outcome "+string(l.before.Outcome)+" does not hold")
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

func (l *life) backoutEvents(add func(warning bool, reason, action, note string)) {
	b := l.status.Backout
	if b == nil {
		return
	}
	var before []v1alpha1.ChangeBackoutTarget
	if l.before.Backout == nil {
		add(true, "BackoutStarted", "BackOut", b.Why+": it covers nothing any more, and what went in goes back")
	} else {
		before = l.before.Backout.Targets
	}
	for i := range b.Targets {
		t := &b.Targets[i]
		if i < len(before) && before[i].State == t.State {
			continue
		}
		name := nameOf(KeyOf(l.Change.Namespace, t.Workload))
		switch t.State {
		case v1alpha1.ChangeBackoutRestored:
			add(true, "Restored", "BackOut", name+" has template "+shortDigest(t.To)+" again")
		case v1alpha1.ChangeBackoutVerified:
			add(false, "BackedOut", "BackOut", name+" is ready with template "+shortDigest(t.To)+" again")
		case v1alpha1.ChangeBackoutNotPossible, v1alpha1.ChangeBackoutFailed, v1alpha1.ChangeBackoutSuperseded:
			add(true, "BackoutFailed", "BackOut", name+" is not back: "+t.Why)
		case v1alpha1.ChangeBackoutPending:
		}
	}
}

func (l *life) wasOverdue() bool {
	return slices.ContainsFunc(l.before.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionReviewOverdue && c.Status == metav1.ConditionTrue
	})
}
