package change

import (
	"slices"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// maxCaused bounds the Incidents that a status names.
const maxCaused = 50

// suspect lists the Incidents that suspect it, as they say now. Where one was its outcome's only ground and suspects
// another Change by now, or none, the outcome is found again as if it had never suspected this one.
func (l *life) suspect() {
	refs := slices.DeleteFunc(slices.Clone(l.before.CausedIncidents), func(ref v1alpha1.NamespacedReference) bool {
		return slices.Contains(l.Cleared, ref)
	})
	withdrawn := len(refs) < len(l.before.CausedIncidents)
	grounds := l.suspectedBy()
	l.lifted = withdrawn && l.endedBySuspicion() && !slices.ContainsFunc(refs, func(ref v1alpha1.NamespacedReference) bool {
		return !slices.Contains(grounds, ref) // it was deleted, and how grave it was nobody knows any more
	})
	for _, ref := range grounds {
		if !slices.Contains(refs, ref) && len(refs) < maxCaused {
			refs = append(refs, ref)
		}
	}
	if len(refs) == 0 {
		refs = nil
	}
	l.status.CausedIncidents = refs
	if l.lifted {
		l.status.Outcome = ""
	}
}

func (l *life) suspectedBy() []v1alpha1.NamespacedReference {
	out := make([]v1alpha1.NamespacedReference, 0, len(l.Suspicions))
	for i := range l.Suspicions {
		s := &l.Suspicions[i]
		out = append(out, v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(s.Namespace), Name: v1alpha1.ObjectName(s.Name)})
	}
	return out
}

// endedBySuspicion says whether a suspicion may have been what its outcome was found by. What a person wrote, what was
// undone and what was never suspected stays.
func (l *life) endedBySuspicion() bool {
	switch l.before.Outcome {
	case v1alpha1.OutcomeUnsuccessful, v1alpha1.OutcomeSuccessfulWithIssues:
		return l.before.Backout == nil && !isRecord(l.Change) && !l.reviewed()
	case v1alpha1.OutcomeSuccessful, v1alpha1.OutcomeRolledBack, v1alpha1.OutcomePartial, v1alpha1.OutcomeNotImplemented, v1alpha1.OutcomeInconclusive:
	}
	return false
}

// reviewed says whether a person has had the last word on the outcome.
func (l *life) reviewed() bool {
	return l.Change.Spec.Review != nil && l.before.State == v1alpha1.ChangeClosed
}

// suspectedOf says whether an Incident suspects it: a grave one (P1, P2), or any.
func (l *life) suspectedOf(grave bool) bool {
	return slices.ContainsFunc(l.Suspicions, func(s Suspicion) bool {
		return !grave || s.grave()
	})
}
