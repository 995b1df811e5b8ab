package change

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func incidentRef(name string) v1alpha1.NamespacedReference {
	return v1alpha1.NamespacedReference{Namespace: "shop", Name: v1alpha1.ObjectName(name)}
}

// suspectedBy are the Incidents that suspect it now; what suspected it before exists, and does no more.
func (s *story) suspectedBy(incidents ...Suspicion) *story {
	s.subject.Suspicions, s.subject.Cleared = incidents, nil
	for _, ref := range s.subject.Change.Status.CausedIncidents {
		if !slices.ContainsFunc(incidents, func(x Suspicion) bool { return x.Name == string(ref.Name) }) {
			s.subject.Cleared = append(s.subject.Cleared, ref)
		}
	}
	return s
}

func (s *story) caused(want ...string) *story {
	s.Helper()
	var got []string
	for _, ref := range s.last.Status.CausedIncidents {
		got = append(got, string(ref.Name))
	}
	if !slices.Equal(got, want) {
		s.Fatalf("hour %d: caused %v, want %v", s.hours, got, want)
	}
	return s
}

func (s *story) told(reason string, times int) *story {
	s.Helper()
	if n := len(slices.DeleteFunc(slices.Clone(s.events), func(e string) bool { return e != reason })); n != times {
		s.Fatalf("hour %d: %s was told %d times, want %d: %v", s.hours, reason, n, times, s.events)
	}
	return s
}

var (
	grave  = Suspicion{Namespace: "shop", Name: "down", Priority: v1alpha1.PriorityP1, Open: true}
	slight = Suspicion{Namespace: "shop", Name: "slow", Priority: v1alpha1.PriorityP3, Open: true}
)

// in is a Change that went in at hour 2 and is watched up to hour 3.
func in(t *testing.T, options ...func(*v1alpha1.Change)) *story {
	t.Helper()
	s := teller{t}.implementing(options...).at(2)
	return s.runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
}

// TestSuspicionThatMovedOn: the Change follows what its Incidents say now, and ends as if it had never been suspected.
func TestSuspicionThatMovedOn(t *testing.T) {
	const unsuccessful, issues, successful = v1alpha1.OutcomeUnsuccessful, v1alpha1.OutcomeSuccessfulWithIssues, v1alpha1.OutcomeSuccessful
	t.Run("while it is watched", func(t *testing.T) {
		s := in(t).suspectedBy(grave).is(v1alpha1.ChangeReview).outcome(unsuccessful).caused("down")
		s.suspectedBy().is(v1alpha1.ChangeImplement).outcome("").caused().told("SuspicionWithdrawn", 1).
			condition(v1alpha1.ConditionReviewed, metav1.ConditionTrue, "NotRequired").wakes(3)
		if s.last.Status.ReviewDueAt != "" {
			t.Error("a review is still due")
		}
		s.at(3).is(v1alpha1.ChangeClosed).outcome(successful).told("SuspicionWithdrawn", 1)
	})
	t.Run("before all of it is in", func(t *testing.T) {
		s := told(t, func(c *v1alpha1.Change) {
			c.Spec.Targets = append(c.Spec.Targets, v1alpha1.ChangeTarget{Workload: ReferenceTo(otherWorkload), Operations: []v1alpha1.Operation{v1alpha1.OperationCreate}, TemplateHash: v1alpha1.TemplateHash(v24.Hash)})
		}).is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "carol").is(v1alpha1.ChangeImplement).at(2)
		s.runs(running(v24), s.broughtIn(v24)).suspectedBy(grave).is(v1alpha1.ChangeReview)
		s.suspectedBy().is(v1alpha1.ChangeImplement).condition(v1alpha1.ConditionGateOpen, metav1.ConditionTrue, "Open")
		if s.last.Candidate.Ended != NotEnded {
			t.Errorf("the gate sees it as %s", s.last.Candidate.Ended)
		}
	})
	t.Run("after it was watched", func(t *testing.T) {
		s := in(t).suspectedBy(grave).is(v1alpha1.ChangeReview)
		s.at(20).suspectedBy().is(v1alpha1.ChangeClosed).outcome(successful).caused()
	})
	t.Run("after it was closed", func(t *testing.T) {
		s := in(t).at(3).is(v1alpha1.ChangeClosed).outcome(successful)
		s.suspectedBy(grave, slight).is(v1alpha1.ChangeClosed).outcome(unsuccessful).caused("down", "slow")
		s.suspectedBy(slight).is(v1alpha1.ChangeClosed).outcome(issues).caused("slow")
		s.suspectedBy().is(v1alpha1.ChangeClosed).outcome(successful).caused()
		closed := s.last.Status.ClosedAt
		s.suspectedBy(grave).is(v1alpha1.ChangeClosed).outcome(unsuccessful).caused("down")
		if !s.last.Status.ClosedAt.Equal(closed) {
			t.Error("closed anew")
		}
	})
	t.Run("after it was closed, and longer is to be watched by now", func(t *testing.T) {
		s := in(t).at(3).is(v1alpha1.ChangeClosed).suspectedBy(grave).is(v1alpha1.ChangeClosed)
		rules := *s.subject.Rules
		rules.Observation *= 100
		s.subject.Rules = &rules
		s.suspectedBy().is(v1alpha1.ChangeClosed).outcome(successful)
	})
	t.Run("it comes and goes", func(t *testing.T) {
		s := in(t).at(3).is(v1alpha1.ChangeClosed)
		for range 3 {
			s.suspectedBy(slight).is(v1alpha1.ChangeClosed).outcome(issues).caused("slow")
			s.suspectedBy().is(v1alpha1.ChangeClosed).outcome(successful).caused()
		}
	})
}

// TestWhatOutlivesASuspicion: what else speaks against a Change, and what a person wrote, stays.
func TestWhatOutlivesASuspicion(t *testing.T) {
	t.Run("a rollout that failed", func(t *testing.T) {
		s := in(t).runs(stuckAt(v24)).suspectedBy(grave).is(v1alpha1.ChangeReview)
		s.subject.Change.Status.Implementations[0].Rollout = v1alpha1.RolloutFailed
		s.at(4).suspectedBy().is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeUnsuccessful).caused()
	})
	t.Run("what was undone", func(t *testing.T) {
		s := in(t).suspectedBy(grave).is(v1alpha1.ChangeReview)
		s.at(4).runs(running(v23), baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))).
			is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeRolledBack)
		s.suspectedBy().is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeRolledBack).caused()
	})
	t.Run("what a person wrote", func(t *testing.T) {
		s := in(t).suspectedBy(grave).is(v1alpha1.ChangeReview)
		s.edit(func(spec *v1alpha1.ChangeSpec) {
			spec.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeUnsuccessful}
		}).is(v1alpha1.ChangeClosed)
		s.suspectedBy().is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeUnsuccessful).caused()
	})
	t.Run("an Incident that was deleted", func(t *testing.T) {
		s := in(t).at(3).is(v1alpha1.ChangeClosed).suspectedBy(grave, slight).is(v1alpha1.ChangeClosed)
		s.subject.Suspicions, s.subject.Cleared = nil, []v1alpha1.NamespacedReference{incidentRef("slow")}
		s.is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeUnsuccessful).caused("down")
	})
	t.Run("a review that its risk asks for", func(t *testing.T) {
		s := told(t)
		fact := s.subject.Workloads[checkout]
		fact.Risk.HardDependents, fact.Risk.LastHealthyOf = 20, []string{"payments"}
		s.subject.Workloads[checkout] = fact
		s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "carol").is(v1alpha1.ChangeImplement).at(2)
		s.runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
		s.at(3).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeSuccessful)
		s.suspectedBy(grave).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeUnsuccessful)
		s.suspectedBy().is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeSuccessful)
	})
}
