package change

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

var v25 = template("body", repository+"2.5.0")

func automatically(c *v1alpha1.Change) { c.Spec.Backout = &v1alpha1.Backout{Automatic: true} }

// stuckAt is a rollout that makes no progress.
func stuckAt(t *configuration.Template) *configuration.Workload {
	w := rollingOut(t)
	w.Conditions = map[string]configuration.Condition{"Progressing": {Status: "False", Reason: "ProgressDeadlineExceeded"}}
	return w
}

func (s *story) kept(f RevisionFact) *story {
	s.subject.Revisions = map[configuration.Key]RevisionFact{checkout: f}
	return s
}

func (s *story) enforcement(e v1alpha1.Enforcement) *story {
	fact := s.subject.Workloads[checkout]
	fact.Enforcement = e
	s.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
	return s
}

// settles evaluates some seconds after the hour, and writes the status.
func (s *story) settles(seconds int) *story {
	s.Helper()
	s.last = Evaluate(&s.subject, hour(s.hours).Add(time.Duration(seconds)*time.Second))
	c := s.subject.Change.DeepCopy()
	c.Status = s.last.Status
	s.subject.Change = c
	s.subject.Restored = nil
	for _, e := range s.last.Events {
		s.events = append(s.events, e.Reason)
	}
	return s
}

func (s *story) restored(as Restored) *story {
	s.subject.Restored = map[configuration.Key]Restored{checkout: as}
	return s
}

func (s *story) target() v1alpha1.ChangeBackoutTarget {
	s.Helper()
	if s.last.Status.Backout == nil || len(s.last.Status.Backout.Targets) != 1 {
		s.Fatalf("backout %+v", s.last.Status.Backout)
	}
	return s.last.Status.Backout.Targets[0]
}

// failing is a Change with automatic backout whose rollout has just failed.
func failing(t *testing.T, options ...func(*v1alpha1.Change)) *story {
	t.Helper()
	s := told(t, append(options, automatically)...).kept(RevisionFact{Hash: v23.Hash, Kept: true}).enforcement(v1alpha1.EnforcementEnforce)
	s.is(v1alpha1.ChangeAuthorize).condition(v1alpha1.ConditionBackoutPossible, metav1.ConditionTrue, "Possible")
	s.at(1).votes("bob").is(v1alpha1.ChangeImplement).at(2)
	return s.runs(stuckAt(v24), s.broughtIn(v24))
}

func TestBackoutEndsTheCoverageBeforeItRestores(t *testing.T) {
	s := failing(t).is(v1alpha1.ChangeImplement).outcome("")
	if got := s.target(); got.State != v1alpha1.ChangeBackoutPending || got.To != v23.Hash || got.From != v24.Hash {
		t.Errorf("target %+v", got)
	}
	if len(s.last.Restore) > 0 {
		t.Errorf("restores %v before anybody can know that it covers nothing any more", s.last.Restore)
	}
	if s.last.Candidate.Ended != EndedBackedOut {
		t.Errorf("the gate sees it as %q", s.last.Candidate.Ended)
	}
	if want := hour(2).Add(3 * time.Second); !s.last.Wake.Equal(want) {
		t.Errorf("wakes at %s", s.last.Wake)
	}
	s.settles(2)
	if len(s.last.Restore) > 0 {
		t.Errorf("restores %v before it settled", s.last.Restore)
	}
	s.settles(3)
	if len(s.last.Restore) != 1 || s.last.Restore[0].To != v23.Hash || s.last.Restore[0].Key != checkout {
		t.Fatalf("restores %v", s.last.Restore)
	}
	s.restored(Restored{State: v1alpha1.ChangeBackoutRestored}).settles(3)
	s.outcome(v1alpha1.OutcomeRolledBack).condition(v1alpha1.ConditionRolledBack, metav1.ConditionFalse, "InProgress")
	if len(s.last.Restore) > 0 {
		t.Errorf("restores %v a second time", s.last.Restore)
	}
	s.runs(rollingOut(v23), baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))).settles(10)
	if len(s.last.Sweep) != 1 || len(s.last.Restore) > 0 {
		t.Errorf("sweeps %v, restores %v", s.last.Sweep, s.last.Restore)
	}
	s.runs(running(v23)).settles(20).condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, "Verified")
	if s.last.Status.State != v1alpha1.ChangeReview || len(s.last.Sweep) > 0 {
		t.Errorf("state %s, sweeps %v", s.last.Status.State, s.last.Sweep)
	}
	for _, reason := range []string{"BackoutStarted", "Restored", "Outcome", "BackedOut"} {
		if n := len(slices.DeleteFunc(slices.Clone(s.events), func(e string) bool { return e != reason })); n != 1 {
			t.Errorf("%d events %s in %v", n, reason, s.events)
		}
	}
	// Nothing brings it about a second time.
	s.runs(stuckAt(v24), baseline(v24, by(v1alpha1.BaselineUnauthorized, ""))).at(3).settles(0)
	if len(s.last.Restore) > 0 || s.target().State != v1alpha1.ChangeBackoutVerified {
		t.Errorf("restores %v, target %+v", s.last.Restore, s.target())
	}
}

func TestWhatMakesABackout(t *testing.T) {
	suspects := func(p v1alpha1.Priority, c v1alpha1.Confidence, open bool) func(*Subject) {
		return func(x *Subject) {
			x.Suspicions = []Suspicion{{Namespace: "shop", Name: "checkout-down", Priority: p, Confidence: c, Open: open}}
		}
	}
	for name, test := range map[string]struct {
		with func(*Subject)
		want v1alpha1.ChangeBackoutReason
	}{
		"nothing suspicious":        {func(*Subject) {}, ""},
		"a P1 with high confidence": {suspects(v1alpha1.PriorityP1, v1alpha1.ConfidenceHigh, true), v1alpha1.ChangeBackoutIncidentSuspected},
		"a P2 with high confidence": {suspects(v1alpha1.PriorityP2, v1alpha1.ConfidenceHigh, true), v1alpha1.ChangeBackoutIncidentSuspected},
		"a P3 with high confidence": {suspects(v1alpha1.PriorityP3, v1alpha1.ConfidenceHigh, true), ""},
		"a P1 with less confidence": {suspects(v1alpha1.PriorityP1, v1alpha1.ConfidenceMedium, true), ""},
		"a P1 that is resolved":     {suspects(v1alpha1.PriorityP1, v1alpha1.ConfidenceHigh, false), ""},
		"a P1 but not automatically": {func(x *Subject) {
			suspects(v1alpha1.PriorityP1, v1alpha1.ConfidenceHigh, true)(x)
			x.Change.Spec.Backout = nil
		}, ""},
		"a P1 but by a Release": {func(x *Subject) {
			suspects(v1alpha1.PriorityP1, v1alpha1.ConfidenceHigh, true)(x)
			x.Releases = []ReleaseFact{{Name: "shop-1"}}
		}, ""},
		"a P1 but withdrawn": {func(x *Subject) {
			suspects(v1alpha1.PriorityP1, v1alpha1.ConfidenceHigh, true)(x)
			x.Change.Spec.Cancel = true
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := failing(t)
			s.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: {
				Workload: running(v24), Baselines: s.subject.Workloads[checkout].Baselines, Risk: RiskFacts{Tier: 1},
			}}
			s.is(v1alpha1.ChangeImplement)
			s.subject.Change = s.subject.Change.DeepCopy()
			e := Evaluate(&s.with(test.with).subject, hour(2))
			var got v1alpha1.ChangeBackoutReason
			if e.Status.Backout != nil {
				got = e.Status.Backout.Reason
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestNothingIsUndoneOnceItHasEnded(t *testing.T) {
	s := told(t, automatically).kept(RevisionFact{Hash: v23.Hash, Kept: true})
	s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob").is(v1alpha1.ChangeImplement).at(2)
	s.runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement).at(3).is(v1alpha1.ChangeClosed)
	s.with(func(x *Subject) {
		x.Suspicions = []Suspicion{{Namespace: "shop", Name: "late", Priority: v1alpha1.PriorityP1, Confidence: v1alpha1.ConfidenceHigh, Open: true}}
	}).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeUnsuccessful)
	if s.last.Status.Backout != nil {
		t.Errorf("backout %+v", s.last.Status.Backout)
	}
}

func TestNothingIsUndoneThatSomebodyReplaced(t *testing.T) {
	s := failing(t)
	s.runs(stuckAt(v25), baseline(v25, by(v1alpha1.BaselineBreakGlass, "other"), unproven)).is(v1alpha1.ChangeImplement)
	if s.last.Status.Backout != nil {
		t.Errorf("backout %+v", s.last.Status.Backout)
	}
}

func TestBackoutThatIsNotPossible(t *testing.T) {
	kept := RevisionFact{Hash: v23.Hash, Kept: true}
	managed := RevisionFact{Hash: v23.Hash, Kept: true, Manager: "kustomize-controller"}
	for name, test := range map[string]struct {
		alter  func(s *story)
		status metav1.ConditionStatus
		reason string
		words  string
	}{
		"it is": {func(s *story) { s.kept(kept) }, metav1.ConditionTrue, "Possible", "1 workload"},
		"managed, but the gate keeps the bad template out": {func(s *story) { s.kept(managed) }, metav1.ConditionTrue, "Possible", "revert it at its source too"},
		"managed, and nobody keeps it out": {
			func(s *story) { s.kept(managed).enforcement(v1alpha1.EnforcementWarn) }, metav1.ConditionFalse, "ManagedByGitOps", "kustomize-controller",
		},
		"no revision kept": {
			func(s *story) { s.kept(RevisionFact{Hash: v23.Hash, Why: "spec.revisionHistoryLimit: 0"}) }, metav1.ConditionFalse, "NoRevisions", "revisionHistoryLimit",
		},
		"nobody looked": {func(s *story) { s.kept(RevisionFact{Hash: "another"}) }, metav1.ConditionFalse, "NotKnown", "could not be read"},
		"what runs is not proven": {func(s *story) {
			fact := s.subject.Workloads[checkout]
			fact.Baselines = []v1alpha1.Baseline{baseline(v23, unproven)}
			s.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
		}, metav1.ConditionFalse, "NotProven", "never completely rolled out"},
		"a rollback needs a Change": {func(s *story) {
			s.kept(kept)
			s.subject.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", func(p *v1alpha1.ChangePolicySpec) { p.Rollback = v1alpha1.RollbackRequireChange })}, nil)
		}, metav1.ConditionFalse, "PolicyForbids", "RequireChange"},
		"nothing ran before": {func(s *story) {
			fact := s.subject.Workloads[checkout]
			fact.Baselines = nil
			s.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
			pinnedTo(v24)(s.subject.Change) // images alone have nothing to be compared with
		}, metav1.ConditionFalse, "NoEarlierTemplate", "no earlier template"},
	} {
		t.Run(name, func(t *testing.T) {
			s := told(t, automatically).enforcement(v1alpha1.EnforcementEnforce)
			test.alter(s)
			s.is(v1alpha1.ChangeAuthorize).condition(v1alpha1.ConditionBackoutPossible, test.status, test.reason)
			for _, c := range s.last.Status.Conditions {
				if c.Type == v1alpha1.ConditionBackoutPossible && !strings.Contains(c.Message, test.words) {
					t.Errorf("message lacks %q: %s", test.words, c.Message)
				}
			}
			if test.status == metav1.ConditionTrue || test.reason == "NotKnown" {
				return
			}
			s.at(1).votes("bob", "carol").is(v1alpha1.ChangeImplement).at(2)
			s.runs(stuckAt(v24), s.broughtIn(v24)).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeUnsuccessful).
				condition(v1alpha1.ConditionRolledBack, metav1.ConditionFalse, "Failed")
			if got := s.target(); got.State != v1alpha1.ChangeBackoutNotPossible || got.Why == "" {
				t.Errorf("target %+v", got)
			}
		})
	}
}

func TestTheNearestProvenTemplateComesBack(t *testing.T) {
	failed := by(v1alpha1.BaselineChange, "went-wrong")
	for name, test := range map[string]struct {
		earlier []v1alpha1.Baseline
		want    string
	}{
		"the one before":                           {[]v1alpha1.Baseline{baseline(v23), baseline(v25)}, v23.Hash},
		"not one that is not proven":               {[]v1alpha1.Baseline{baseline(v25, unproven), baseline(v23)}, v23.Hash},
		"not one that came past the gate":          {[]v1alpha1.Baseline{baseline(v25, by(v1alpha1.BaselineUnauthorized, "")), baseline(v23)}, v23.Hash},
		"not one whose Change failed":              {[]v1alpha1.Baseline{baseline(v25, failed), baseline(v23)}, v23.Hash},
		"not the same template again":              {[]v1alpha1.Baseline{baseline(v24), baseline(v23)}, v23.Hash},
		"not one that was rolled back":             {[]v1alpha1.Baseline{baseline(v23, by(v1alpha1.BaselineRollback, "")), baseline(v25), baseline(v23)}, v23.Hash},
		"not one whose later time went wrong":      {[]v1alpha1.Baseline{baseline(v25, failed), baseline(v25), baseline(v23)}, v23.Hash},
		"none beyond how far a rollback may reach": {slices.Concat(slices.Repeat([]v1alpha1.Baseline{baseline(v25, unproven)}, 10), []v1alpha1.Baseline{baseline(v23)}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := told(t, automatically)
			mine := baseline(v24, by(v1alpha1.BaselineChange, "checkout-2-4"), unproven)
			fact := WorkloadFact{Workload: stuckAt(v24), Baselines: append([]v1alpha1.Baseline{mine}, test.earlier...), FailedChanges: []string{"went-wrong"}}
			s.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
			goals := s.subject.Goals()
			if len(goals) != 1 || goals[0].From != v24.Hash {
				t.Fatalf("goals %+v", goals)
			}
			got := ""
			if goals[0].Baseline != nil {
				got = goals[0].Baseline.TemplateHash
			}
			if got != test.want {
				t.Errorf("goes back to %q (%s), want %q", got, goals[0].Why, test.want)
			}
			// What is promised is what the gate lets in.
			if goals[0].Baseline != nil {
				to := map[string]*configuration.Template{v23.Hash: v23, v25.Hash: v25}[got]
				d := Decide(
					&Request{Operation: Template, Key: checkout, User: User{Name: "system:serviceaccount:itil-system:itil-operator", ServiceAccount: true}, Old: v24, New: to},
					&World{Claims: []Claim{{Service: "checkout", Tier: 1}}, Enforcement: v1alpha1.EnforcementEnforce, Baselines: fact.Baselines, FailedChanges: fact.FailedChanges},
					hour(2))
				if d.Verdict != Rollback || !d.Allowed {
					t.Errorf("the gate says %s: %v", d.Verdict, d.Reasons)
				}
			}
		})
	}
}

func TestWhatBecomesOfARestoration(t *testing.T) {
	for name, test := range map[string]struct {
		result  Restored
		seconds int
		state   v1alpha1.ChangeBackoutState
		outcome v1alpha1.Outcome
		wake    time.Duration
	}{
		"refused for the moment": {Restored{State: v1alpha1.ChangeBackoutPending, Why: "refused"}, 3, v1alpha1.ChangeBackoutPending, "", 8 * time.Second},
		"refused for good":       {Restored{State: v1alpha1.ChangeBackoutPending, Why: "refused"}, 60, v1alpha1.ChangeBackoutFailed, v1alpha1.OutcomeUnsuccessful, 0},
		"no revision any more":   {Restored{State: v1alpha1.ChangeBackoutNotPossible, Why: "gone"}, 3, v1alpha1.ChangeBackoutNotPossible, v1alpha1.OutcomeUnsuccessful, 0},
		"somebody was faster":    {Restored{State: v1alpha1.ChangeBackoutSuperseded, Why: "other"}, 3, v1alpha1.ChangeBackoutSuperseded, v1alpha1.OutcomeUnsuccessful, 0},
		"restored":               {Restored{State: v1alpha1.ChangeBackoutRestored}, 3, v1alpha1.ChangeBackoutRestored, v1alpha1.OutcomeRolledBack, 10*time.Minute + 3*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := failing(t).is(v1alpha1.ChangeImplement).restored(test.result).settles(test.seconds).outcome(test.outcome)
			if got := s.target(); got.State != test.state || got.Why != test.result.Why {
				t.Errorf("target %+v", got)
			}
			if want := hour(2).Add(test.wake); test.wake > 0 && !s.last.Wake.Equal(want) {
				t.Errorf("wakes at %s, want %s", s.last.Wake, want)
			}
		})
	}
}

func TestWhatIsRestoredMustBecomeReady(t *testing.T) {
	restored := func() *story {
		return failing(t).is(v1alpha1.ChangeImplement).restored(Restored{State: v1alpha1.ChangeBackoutRestored}).settles(3)
	}
	s := restored().runs(rollingOut(v23), baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))).settles(603).
		condition(v1alpha1.ConditionRolledBack, metav1.ConditionFalse, "Failed").outcome(v1alpha1.OutcomeRolledBack)
	if got := s.target(); got.State != v1alpha1.ChangeBackoutFailed {
		t.Errorf("not ready in time: %+v", got)
	}
	s = restored().settles(603).outcome(v1alpha1.OutcomeRolledBack)
	if got := s.target(); got.State != v1alpha1.ChangeBackoutSuperseded {
		t.Errorf("put back by somebody: %+v", got)
	}
}
