package change

import (
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// exempts says whether changes of a type go in although it is on.
func (f *Freeze) exempts(t v1alpha1.ChangeType) bool { return slices.Contains(f.Exempt, t) }

// freezeAt returns the freeze that keeps a change of this type out at a time: of several, the one that ends last.
// Nil: none.
func (r *Rules) freezeAt(t v1alpha1.ChangeType, at time.Time) *Freeze {
	var found *Freeze
	for i := range r.Freezes {
		f := &r.Freezes[i]
		if f.Contains(at) && !f.exempts(t) && (found == nil || endsAfter(f.To, found.To)) {
			found = f
		}
	}
	return found
}

// endsAfter compares ends of intervals, of which zero is the end of time.
func endsAfter(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.After(b))
}

// budgetFreeze returns the Service, of those whose error budget is spent, that keeps a change out; empty: none. A
// change that refers to an open Incident or Problem of that Service is let through: it is to mend it.
func budgetFreeze(r *Rules, exhausted, remedies []string) string {
	if !r.FreezeOnExhaustedErrorBudget {
		return ""
	}
	for _, service := range exhausted {
		if !slices.Contains(remedies, service) {
			return service
		}
	}
	return ""
}
