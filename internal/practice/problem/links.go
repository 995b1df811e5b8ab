package problem

import (
	"cmp"
	"slices"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// maxChain bounds how many duplicates of duplicates are followed.
const maxChain = 20

// Lookup finds a Problem of the same namespace by its name; nil: there is none.
type Lookup func(name string) *v1alpha1.Problem

// Home is the Problem to which a Problem's incidents belong: itself or, where it is a duplicate, the one that it
// duplicates, or that one's. Refused says why a decision Duplicate does not count: there is no such Problem, or Problems
// duplicate each other. Of those that do, one is the home of them all: one that is not closed before one that is, the
// oldest first, so that whoever asks finds the same.
func Home(p *v1alpha1.Problem, lookup Lookup) (home *v1alpha1.Problem, refused string) {
	path := []*v1alpha1.Problem{p}
	for at := p; len(path) <= maxChain; {
		ref := duplicateOf(at)
		if ref == "" {
			return at, ""
		}
		next := lookup(ref)
		if next == nil {
			if at == p {
				return p, "there is no Problem " + ref
			}
			return at, ""
		}
		if seen := slices.IndexFunc(path, func(q *v1alpha1.Problem) bool { return q.Name == next.Name }); seen >= 0 {
			ring := path[seen:]
			home = slices.MinFunc(ring, settlesFirst)
			if home.Name == p.Name {
				return p, "Problem " + duplicateOf(p) + " is a duplicate of this one"
			}
			return home, ""
		}
		path, at = append(path, next), next
	}
	return p, "it is at the end of a chain of more than 20 duplicates"
}

func duplicateOf(p *v1alpha1.Problem) string {
	d := p.Spec.Decision
	if d == nil || d.Type != v1alpha1.DecisionDuplicate || d.DuplicateOf == nil {
		return ""
	}
	return string(d.DuplicateOf.Name)
}

func settlesFirst(a, b *v1alpha1.Problem) int {
	closed := func(p *v1alpha1.Problem) int {
		if p.Status.State == v1alpha1.ProblemClosed {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(closed(a), closed(b)),
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Name, b.Name),
	)
}

// IsOpen reports whether a Problem is worked on, or should be. A resolved one is: it takes up what recurs.
func IsOpen(p *v1alpha1.Problem) bool { return p.Status.State != v1alpha1.ProblemClosed }

// isAcceptedRisk reports whether a Problem was closed because its failures are put up with.
func isAcceptedRisk(p *v1alpha1.Problem) bool {
	return !IsOpen(p) && p.Spec.Decision != nil && p.Spec.Decision.Type == v1alpha1.DecisionRiskAccepted
}

// KnownErrorOf is what incidents are told of a Problem: that its cause or a workaround is known. A closed one has
// nothing to tell, but for an accepted risk: what is put up with needs its workaround more than anything.
func KnownErrorOf(p *v1alpha1.Problem) *v1alpha1.KnownError {
	if p == nil || p.Spec.RootCause == "" && p.Spec.Workaround == "" || !IsOpen(p) && !isAcceptedRisk(p) {
		return nil
	}
	return &v1alpha1.KnownError{Problem: v1alpha1.ObjectName(p.Name), Workaround: p.Spec.Workaround}
}

// KnownErrorAmong is the known error of the Problems of a fingerprint, or of those that they duplicate: of an open one
// before that of an accepted risk, and of the oldest. Nil: none is known.
func KnownErrorAmong(problems []v1alpha1.Problem, lookup Lookup) *v1alpha1.KnownError {
	homes := make([]*v1alpha1.Problem, 0, len(problems))
	for i := range problems {
		home, _ := Home(&problems[i], lookup)
		homes = append(homes, home)
	}
	slices.SortFunc(homes, settlesFirst)
	for _, home := range homes {
		if known := KnownErrorOf(home); known != nil {
			return known
		}
	}
	return nil
}
