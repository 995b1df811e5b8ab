package problem

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Input is everything that the status of a Problem follows from.
type Input struct {
	Problem *v1alpha1.Problem
	// Incidents that belong to it, in any order: of its fingerprint, those that name it, and those of its duplicates.
	Incidents []Incident
	// Changes that are to fix it: those that spec.changeRefs name, and those that name it.
	Changes []Change
	// Home is where its incidents belong if it is a duplicate, and HomeOpen whether that one is open; Refused says why
	// its decision Duplicate does not count.
	Home     string
	HomeOpen bool
	Refused  string
	// Older is an open Problem of the same fingerprint that was there before; empty: none.
	Older string
	Rules Rules
}

// Standing is where a Problem is, and why.
type Standing struct {
	State v1alpha1.ProblemState
	// Changes as they are known now, and Fix as it was declared.
	Changes []v1alpha1.ProblemChange
	Fix     *v1alpha1.ProblemFix
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
// earlier output only facts are read that cannot be computed again: when it was resolved and closed, what became of a
// Change that is gone, and when a fix was declared.
func Stand(in Input, now time.Time) Standing {
	spec, status := &in.Problem.Spec, &in.Problem.Status
	if status.State == v1alpha1.ProblemClosed && status.ClosedAt != nil {
		return Standing{
			State: v1alpha1.ProblemClosed, ClosedAt: status.ClosedAt.Time, ResolvedAt: timeOf(status.ResolvedAt),
			Changes: follow(in.Changes, status.Changes, now), Fix: status.Fix.DeepCopy(),
		}
	}
	s := Standing{State: workedOn(spec), Changes: follow(in.Changes, status.Changes, now)}
	if endedBy(in) {
		s.State, s.ClosedAt, s.ResolvedAt = v1alpha1.ProblemClosed, now, timeOf(status.ResolvedAt)
		return s
	}
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

// endedBy reports whether a decision closes it. A duplicate of nothing closes nothing.
func endedBy(in Input) bool {
	d := in.Problem.Spec.Decision
	if d == nil {
		return false
	}
	switch d.Type {
	case v1alpha1.DecisionRiskAccepted, v1alpha1.DecisionNotReproducible:
		return true
	case v1alpha1.DecisionDuplicate:
		return in.Refused == "" && in.Home != ""
	case v1alpha1.DecisionFixApplied:
	}
	return false
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

func declaresFix(spec *v1alpha1.ProblemSpec) bool {
	return spec.Decision != nil && spec.Decision.Type == v1alpha1.DecisionFixApplied
}

// fix finds whether a fix is under way, and when it was in.
func (s *Standing) fix(in Input, now time.Time) bool {
	spec := &in.Problem.Spec
	if declaresFix(spec) {
		// Outside a Change, so that when we first saw it is all that is known of when. Another reason is another fix.
		s.Fix = in.Problem.Status.Fix.DeepCopy()
		if s.Fix == nil || s.Fix.Reason != spec.Decision.Reason {
			s.Fix = &v1alpha1.ProblemFix{At: *at(now), Reason: spec.Decision.Reason}
		}
		s.FixedAt = s.Fix.At.Time
		return true
	}
	if s.State != v1alpha1.ProblemRootCauseAnalysis || spec.RootCause == "" {
		return false
	}
	open, last := false, time.Time{}
	for _, c := range s.Changes {
		open = open || c.State == v1alpha1.ProblemChangeOpen
		if c.State == v1alpha1.ProblemChangeSucceeded && c.EndedAt != nil && c.EndedAt.After(last) {
			last = c.EndedAt.Time
		}
	}
	if !open {
		s.FixedAt = last
	}
	return open || !last.IsZero()
}

// verify decides what is fixed and did not recur.
func (s *Standing) verify(in Input, now time.Time) {
	verified, failing := s.absentSince(in)
	if !declaresFix(&in.Problem.Spec) {
		verified = verified.Add(in.Rules.VerifyFor)
	} else {
		failing = false
	}
	if before := timeOf(in.Problem.Status.ResolvedAt); in.Problem.Status.State == v1alpha1.ProblemResolved && !before.Before(s.FixedAt) {
		verified, failing = before, false
	}
	switch {
	case failing:
		s.State = v1alpha1.ProblemFixInProgress
		return
	case now.Before(verified):
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

// absentSince is when the fix was in and what had failed before was over. What fails still is not absent.
func (s *Standing) absentSince(in Input) (since time.Time, failing bool) {
	since = s.FixedAt
	if declaresFix(&in.Problem.Spec) {
		return since, false
	}
	for _, i := range in.Incidents {
		failing = failing || i.Failing
		if i.Reason != "" && i.EndedAt.After(since) {
			since = i.EndedAt
		}
	}
	return since, failing
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
		}
	}
	out.DowntimeSeconds = downtime(incidents)
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
