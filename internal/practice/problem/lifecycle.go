package problem

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Change is what a Problem needs to know of a Change that is to fix it.
type Change struct {
	Name string
	// Found: it exists.
	Found bool
	// ClosedAt is when it ended, zero while it is open; Outcome how.
	ClosedAt time.Time
	Outcome  v1alpha1.Outcome
}

func (c Change) open() bool { return c.Found && c.ClosedAt.IsZero() }

func (c Change) succeeded() bool {
	return !c.ClosedAt.IsZero() && (c.Outcome == v1alpha1.OutcomeSuccessful || c.Outcome == v1alpha1.OutcomeSuccessfulWithIssues)
}

// Input is everything that the status of a Problem follows from.
type Input struct {
	Problem *v1alpha1.Problem
	// Incidents of its fingerprint, and those that name it, in any order.
	Incidents []Incident
	// Changes that spec.changeRefs name.
	Changes []Change
	Rules   Rules
}

// Standing is where a Problem is, and why.
type Standing struct {
	State v1alpha1.ProblemState
	// FixedAt is when the last of its Changes succeeded; zero while not all have.
	FixedAt time.Time
	// RecurredAt is when it failed again after the fix; zero if it did not.
	RecurredAt time.Time
	// ResolvedAt and ClosedAt, once it is.
	ResolvedAt, ClosedAt time.Time
	// Next is when time alone may alter this; zero: never.
	Next time.Time
}

// Stand says where a Problem is. It follows from what people declared, what was observed and the time; of its own
// earlier output only times are read that cannot be computed again.
func Stand(in Input, now time.Time) Standing {
	spec, status := &in.Problem.Spec, &in.Problem.Status
	if status.State == v1alpha1.ProblemClosed && status.ClosedAt != nil {
		return Standing{State: v1alpha1.ProblemClosed, ClosedAt: status.ClosedAt.Time, ResolvedAt: timeOf(status.ResolvedAt)}
	}
	if spec.Decision != nil && spec.Decision.Type != v1alpha1.DecisionFixApplied {
		return Standing{State: v1alpha1.ProblemClosed, ClosedAt: now, ResolvedAt: timeOf(status.ResolvedAt)}
	}
	s := Standing{State: workedOn(spec)}
	fixing := s.fix(in, now)
	if fixed := s.FixedAt; !fixed.IsZero() {
		s.RecurredAt = recurredAfter(in.Incidents, fixed)
	}
	switch {
	case fixing && s.RecurredAt.IsZero() && !s.FixedAt.IsZero():
		s.verify(in, now)
	case fixing:
		s.State = v1alpha1.ProblemFixInProgress
	}
	return s
}

// workedOn is how far the people are.
func workedOn(spec *v1alpha1.ProblemSpec) v1alpha1.ProblemState {
	switch {
	case spec.Owner == "":
		return v1alpha1.ProblemNew
	case !spec.Confirmed:
		return v1alpha1.ProblemAssess
	default:
		return v1alpha1.ProblemRootCauseAnalysis
	}
}

// fix finds whether a fix is under way, and when it was in.
func (s *Standing) fix(in Input, now time.Time) bool {
	spec := &in.Problem.Spec
	if spec.Decision != nil {
		// FixApplied: outside a Change, so that when we first saw it is all that is known of when.
		if s.FixedAt = timeOf(in.Problem.Status.ResolvedAt); s.FixedAt.IsZero() {
			s.FixedAt = now
		}
		return true
	}
	if s.State != v1alpha1.ProblemRootCauseAnalysis || spec.RootCause == "" {
		return false
	}
	open, last := false, time.Time{}
	for _, c := range in.Changes {
		open = open || c.open()
		if c.succeeded() && c.ClosedAt.After(last) {
			last = c.ClosedAt
		}
	}
	if !open {
		s.FixedAt = last
	}
	return open || !last.IsZero()
}

// verify decides what is fixed and did not recur.
func (s *Standing) verify(in Input, now time.Time) {
	verified := s.FixedAt.Add(in.Rules.VerifyFor)
	if in.Problem.Spec.Decision != nil {
		verified = s.FixedAt
	}
	if now.Before(verified) {
		s.State, s.Next = v1alpha1.ProblemFixInProgress, verified
		return
	}
	s.State, s.ResolvedAt = v1alpha1.ProblemResolved, verified
	if closing := verified.Add(in.Rules.CloseAfter); now.Before(closing) {
		s.Next = closing
	} else {
		s.State, s.ClosedAt = v1alpha1.ProblemClosed, now
	}
}

func recurredAfter(incidents []Incident, fixed time.Time) time.Time {
	first := time.Time{}
	for _, i := range incidents {
		at := i.StartedAt
		if !at.After(fixed) {
			at = i.ReopenedAt
		}
		if at.After(fixed) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// Count sums up the incidents of a Problem.
func Count(incidents []Incident, rules Rules, now time.Time) *v1alpha1.ProblemIncidents {
	sorted := slices.Clone(incidents)
	slices.SortFunc(sorted, func(a, b Incident) int { return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Name, b.Name)) })
	out := &v1alpha1.ProblemIncidents{}
	weight := WeightOf("", incidents, rules, now)
	out.RankDowntimeSeconds, out.RankFailures = weight.DowntimeSeconds, bounded(weight.Failures)
	for _, i := range sorted {
		out.Total += bounded(1 + i.Reopened)
		out.Last30Days += bounded(i.failuresSince(now.Add(-rules.RecurrenceWindow)))
		if i.EndedAt.IsZero() {
			out.Open++
		} else {
			out.DowntimeSeconds += int64(max(i.EndedAt.Sub(i.StartedAt), 0) / time.Second)
		}
	}
	if len(sorted) == 0 {
		return out
	}
	first := metav1.NewTime(sorted[0].StartedAt)
	out.First = &first
	last := time.Time{}
	for _, i := range sorted {
		if at := i.lastFailure(); at.After(last) {
			last = at
		}
	}
	lastAt := metav1.NewTime(last)
	out.Last = &lastAt
	for _, i := range slices.Backward(sorted[max(len(sorted)-10, 0):]) {
		out.Names = append(out.Names, i.Name)
	}
	return out
}

func bounded(n int) int32 { return int32(min(n, 1<<20)) } //nolint:gosec // G115: bounded

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}
