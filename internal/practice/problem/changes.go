package problem

import (
	"cmp"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Change is what a Problem needs to know of a Change that is to fix it.
type Change struct {
	Name string
	// Found: it exists.
	Found bool
	// State that it is in, Outcome that it came to, and when it ended: zero while it is open, or if that is not recorded.
	State   v1alpha1.ChangeState
	Outcome v1alpha1.Outcome
	EndedAt time.Time
}

// ChangeOf reads a Change.
func ChangeOf(c *v1alpha1.Change) Change {
	return Change{
		Name: c.Name, Found: true, State: c.Status.State, Outcome: c.Status.Outcome, EndedAt: timeOf(c.Status.ClosedAt),
	}
}

// maxChanges is the API's bound for the Changes that are shown.
const maxChanges = 40

// follow says what became of the Changes. One that ended and is gone stays what it came to: the fix is no less in
// because its record was kept long enough.
func follow(changes []Change, before []v1alpha1.ProblemChange, now time.Time) []v1alpha1.ProblemChange {
	out := make([]v1alpha1.ProblemChange, 0, len(changes))
	for _, c := range changes {
		known := slices.IndexFunc(before, func(b v1alpha1.ProblemChange) bool { return string(b.Name) == c.Name })
		fact := v1alpha1.ProblemChange{Name: v1alpha1.ObjectName(c.Name), State: stateOf(c)}
		switch {
		case !c.Found && known >= 0 && ended(before[known]):
			fact = before[known]
		case !c.Found, fact.State == v1alpha1.ProblemChangeOpen:
		case !c.EndedAt.IsZero():
			fact.EndedAt = at(c.EndedAt)
		case known >= 0 && before[known].State == fact.State:
			fact.EndedAt = before[known].EndedAt
		default:
			fact.EndedAt = at(now)
		}
		out = append(out, fact)
	}
	slices.SortFunc(out, func(a, b v1alpha1.ProblemChange) int { return cmp.Compare(a.Name, b.Name) })
	if len(out) > maxChanges {
		out = out[:maxChanges]
	}
	return out
}

func ended(c v1alpha1.ProblemChange) bool {
	return c.State == v1alpha1.ProblemChangeSucceeded || c.State == v1alpha1.ProblemChangeFailed
}

// stateOf says what a Change has come to. One in review is not over: the review may find that it did not do.
func stateOf(c Change) v1alpha1.ProblemChangeState {
	switch {
	case !c.Found:
		return v1alpha1.ProblemChangeMissing
	case c.State == v1alpha1.ChangeRejected, c.State == v1alpha1.ChangeCanceled:
		return v1alpha1.ProblemChangeFailed
	case c.State != v1alpha1.ChangeClosed:
		return v1alpha1.ProblemChangeOpen
	case c.Outcome == v1alpha1.OutcomeSuccessful, c.Outcome == v1alpha1.OutcomeSuccessfulWithIssues:
		return v1alpha1.ProblemChangeSucceeded
	default:
		return v1alpha1.ProblemChangeFailed
	}
}
