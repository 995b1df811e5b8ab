package change

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// life of one Change in a test: each step alters something and evaluates, as the controller would.
type story struct {
	*testing.T
	subject Subject
	hours   int
	last    Evaluation
	events  []string
}

// told begins with a Change for 2.4 of a workload of tier 1 that runs 2.3.
func told(t *testing.T, options ...func(*v1alpha1.Change)) *story {
	t.Helper()
	c := changeOf("checkout-2-4", options...)
	c.Status = v1alpha1.ChangeStatus{}
	return &story{T: t, subject: Subject{
		Agreed: Agreed{Change: c, Rules: Merge([]*v1alpha1.ChangePolicy{policy("p")}, nil), Targets: map[configuration.Key]TargetFact{}},
		Workloads: map[configuration.Key]WorkloadFact{checkout: {
			Workload: running(v23), Baselines: []v1alpha1.Baseline{baseline(v23)}, Risk: RiskFacts{Tier: 1},
		}},
	}}
}

func running(t *configuration.Template) *configuration.Workload {
	return &configuration.Workload{
		Key: checkout, Template: *t, Generation: 1, ObservedGeneration: 1, Desired: 2, Ready: 2, Updated: 2, Current: 2,
	}
}

func rollingOut(t *configuration.Template) *configuration.Workload {
	w := running(t)
	w.Updated, w.Ready = 1, 1
	return w
}

func (s *story) at(hours int) *story { s.hours = hours; return s }

func (s *story) with(alter func(*Subject)) *story { alter(&s.subject); return s }

func (s *story) edit(alter func(*v1alpha1.ChangeSpec)) *story {
	c := s.subject.Change.DeepCopy()
	alter(&c.Spec)
	c.Generation++
	s.subject.Change = c
	return s
}

func (s *story) votes(by ...string) *story {
	for _, approver := range by {
		who, no := strings.CutPrefix(approver, "not ")
		v := vote(s.subject.Change, who, s.hours, onDigest(s.last.Status.Digest))
		if no {
			reject(v)
		}
		s.subject.Approvals = append(slices.Clone(s.subject.Approvals), v)
	}
	return s
}

// runs makes the workload run a template, which the Change let in at this hour.
func (s *story) runs(w *configuration.Workload, baselines ...v1alpha1.Baseline) *story {
	fact := s.subject.Workloads[checkout]
	fact.Workload, fact.Baselines = w, append(baselines, fact.Baselines...)
	s.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
	return s
}

func (s *story) broughtIn(t *configuration.Template) v1alpha1.Baseline {
	b := baseline(t, by(v1alpha1.BaselineChange, s.subject.Change.Name), unproven)
	b.From, b.By = *at(s.hours), "alice"
	return b
}

// is evaluates, checks the state, and writes the status.
func (s *story) is(state v1alpha1.ChangeState) *story {
	s.Helper()
	s.last = Evaluate(&s.subject, hour(s.hours))
	if s.last.Status.State != state {
		s.Fatalf("hour %d: state %s, want %s; next step %q, conditions %v", s.hours, s.last.Status.State, state, s.last.Status.NextStep, s.last.Status.Conditions)
	}
	c := s.subject.Change.DeepCopy()
	c.Status = s.last.Status
	s.subject.Change = c
	for _, e := range s.last.Events {
		s.events = append(s.events, e.Reason)
	}
	again := Evaluate(&s.subject, hour(s.hours))
	if diff := cmp.Diff(s.last.Status, again.Status); diff != "" {
		s.Fatalf("hour %d: a second evaluation differs:\n%s", s.hours, diff)
	}
	if len(again.Events) > 0 {
		s.Fatalf("hour %d: a second evaluation tells %v", s.hours, again.Events)
	}
	return s
}

func (s *story) outcome(want v1alpha1.Outcome) *story {
	s.Helper()
	if got := s.last.Status.Outcome; got != want {
		s.Fatalf("hour %d: outcome %q, want %q", s.hours, got, want)
	}
	return s
}

func (s *story) condition(name string, status metav1.ConditionStatus, reason string) *story {
	s.Helper()
	for _, c := range s.last.Status.Conditions {
		if c.Type == name {
			if c.Status != status || c.Reason != reason {
				s.Fatalf("hour %d: %s is %s (%s: %s), want %s (%s)", s.hours, name, c.Status, c.Reason, c.Message, status, reason)
			}
			return s
		}
	}
	s.Fatalf("no condition %s", name)
	return s
}

func (s *story) nextStepHas(words ...string) *story {
	s.Helper()
	for _, w := range words {
		if !strings.Contains(s.last.Status.NextStep, w) {
			s.Fatalf("hour %d: next step lacks %q:\n%s", s.hours, w, s.last.Status.NextStep)
		}
	}
	return s
}

func (s *story) wakes(hours int) *story {
	s.Helper()
	if !s.last.Wake.Equal(hour(hours)) {
		s.Fatalf("hour %d: wakes at %s, want %s", s.hours, s.last.Wake, hour(hours))
	}
	return s
}

func TestChangeGoesItsWay(t *testing.T) {
	s := told(t, window(5, 10))
	s.is(v1alpha1.ChangeAuthorize).
		condition(v1alpha1.ConditionRiskAssessed, metav1.ConditionTrue, "Assessed").
		condition(v1alpha1.ConditionApproved, metav1.ConditionFalse, "VotesMissing").
		condition(v1alpha1.ConditionGateOpen, metav1.ConditionFalse, "NotApproved").
		nextStepHas("Lacks 1 vote.", "kubectl create -f - <<EOF\n", `"generateName":"checkout-2-4-"`, `"digest":"`+s.last.Status.Digest, "kubectl auth whoami").wakes(5)
	if got := s.last.Status.Approvals.Summary; got != "0/1" {
		t.Errorf("approvals %s", got)
	}
	s.at(1).votes("alice").is(v1alpha1.ChangeAuthorize) // the requester's own
	if got := s.last.Votes["checkout-2-4-alice-1"]; got.State != v1alpha1.VoteVoid || !strings.Contains(got.Why, "separation of duties") {
		t.Errorf("the requester's vote is %+v", got)
	}
	s.at(2).votes("bob").is(v1alpha1.ChangeScheduled).
		condition(v1alpha1.ConditionApproved, metav1.ConditionTrue, "Granted").
		condition(v1alpha1.ConditionGateOpen, metav1.ConditionFalse, "OutsideWindow").
		nextStepHas("2026-11-23 05:00 UTC").wakes(5)
	s.at(5).is(v1alpha1.ChangeImplement).condition(v1alpha1.ConditionGateOpen, metav1.ConditionTrue, "Open").nextStepHas("deployment/checkout", "10:00").wakes(10)
	s.at(6).runs(rollingOut(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement).condition(v1alpha1.ConditionImplemented, metav1.ConditionFalse, "InProgress")
	want := []v1alpha1.Implementation{{
		Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "checkout"}, Operation: v1alpha1.OperationTemplate,
		TemplateHash: v24.Hash, By: "alice", At: *at(6), Rollout: v1alpha1.RolloutInProgress,
	}}
	if diff := cmp.Diff(want, s.last.Status.Implementations); diff != "" {
		t.Errorf("implementations (-want +got):\n%s", diff)
	}
	s.at(7).runs(running(v24)).is(v1alpha1.ChangeImplement).condition(v1alpha1.ConditionImplemented, metav1.ConditionTrue, "Complete").wakes(8).outcome("")
	s.at(8).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeSuccessful).condition(v1alpha1.ConditionReviewed, metav1.ConditionTrue, "NotRequired")
	if want := []string{"VotesNeeded", "Scheduled", "GateOpen", "WentIn", "Closed", "Outcome"}; !slices.Equal(s.events, want) {
		t.Errorf("events %v, want %v", s.events, want)
	}
	if s.last.Status.ClosedAt == nil || !s.last.Status.ClosedAt.Equal(at(8)) {
		t.Errorf("closed at %v", s.last.Status.ClosedAt)
	}
}

func TestWindowOmittedIsTheFirstOpenDayAfterApproval(t *testing.T) {
	s := told(t)
	office := make(hourly, 24*14)
	for i := range office {
		office[i] = i/24%7 < 5 && i%24 >= 8 && i%24 < 18
	}
	s.subject.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", officeHours)}, map[string]Calendar{"office": office})
	s.is(v1alpha1.ChangeAuthorize)
	if s.last.Status.Window != nil {
		t.Errorf("a window before the approval: %v", s.last.Status.Window)
	}
	s.at(12).votes("bob").is(v1alpha1.ChangeImplement)
	// 6 h on Monday, 10 on Tuesday, 8 on Wednesday.
	if want := (v1alpha1.EffectiveWindow{Start: stamp(12), End: stamp(48 + 16)}); *s.last.Status.Window != want {
		t.Errorf("window %v, want %v", *s.last.Status.Window, want)
	}
	s.wakes(18)
	s.at(18).is(v1alpha1.ChangeScheduled).nextStepHas("2026-11-24 08:00").wakes(32)
	s.at(32).is(v1alpha1.ChangeImplement)
	s.at(64).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeNotImplemented)
}

func TestEditVoidsTheVotes(t *testing.T) {
	s := told(t)
	s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob").is(v1alpha1.ChangeImplement)
	s.at(2).edit(func(c *v1alpha1.ChangeSpec) { c.Summary = "something else" }).is(v1alpha1.ChangeAuthorize).
		condition(v1alpha1.ConditionApproved, metav1.ConditionFalse, "VotesVoided").nextStepHas(s.last.Status.Digest)
	if got := s.last.Votes["checkout-2-4-bob-1"]; got.State != v1alpha1.VoteVoid || !strings.Contains(got.Why, "another version") {
		t.Errorf("the vote is %+v", got)
	}
	s.at(3).votes("bob").is(v1alpha1.ChangeImplement)
	s.at(4).edit(func(c *v1alpha1.ChangeSpec) { c.Summary = "roll out checkout-2-4" }).is(v1alpha1.ChangeImplement)
	// Back to what bob approved first: his newest vote on that version still holds.
	if got := s.last.Votes["checkout-2-4-bob-1"]; got.State != v1alpha1.VoteCounted {
		t.Errorf("the first vote is %+v", got)
	}
}

func TestRejectionStaysThoughItsObjectIsGone(t *testing.T) {
	s := told(t)
	s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "not carol").is(v1alpha1.ChangeRejected).condition(v1alpha1.ConditionApproved, metav1.ConditionFalse, "Rejected")
	s.at(2).with(func(x *Subject) { x.Approvals = x.Approvals[:1] }).is(v1alpha1.ChangeRejected).nextStepHas("Edit spec")
	s.at(3).edit(func(c *v1alpha1.ChangeSpec) { c.Summary = "better" }).is(v1alpha1.ChangeAuthorize)
	s.at(4).votes("bob").is(v1alpha1.ChangeImplement)
	s.at(5).edit(func(c *v1alpha1.ChangeSpec) { c.Summary = "roll out checkout-2-4" }).is(v1alpha1.ChangeRejected)
}

// teller begins stories.
type teller struct{ *testing.T }

func (t teller) told(options ...func(*v1alpha1.Change)) *story {
	t.Helper()
	return told(t.T, options...)
}

func (t teller) implementing(options ...func(*v1alpha1.Change)) *story {
	t.Helper()
	return told(t.T, options...).is(v1alpha1.ChangeAuthorize).at(1).votes("bob").is(v1alpha1.ChangeImplement)
}

func TestWaysToEnd(t *testing.T) {
	grave := func(p v1alpha1.Priority) func(*Subject) {
		return func(x *Subject) {
			x.Suspicions = []Suspicion{{Namespace: "shop", Name: "checkout-oomkilled", Priority: p}}
		}
	}
	review := func(c *v1alpha1.ChangeSpec) {
		c.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeSuccessfulWithIssues}
	}
	stuck := rollingOut(v24)
	stuck.Conditions = map[string]configuration.Condition{"Progressing": {Status: "False", Reason: "ProgressDeadlineExceeded"}}
	paused := rollingOut(v24)
	paused.Hold.Paused = true
	rolledBack := baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))

	for name, tell := range map[string]func(x teller){
		"canceled": func(x teller) {
			x.implementing().at(2).edit(func(c *v1alpha1.ChangeSpec) { c.Cancel = true }).is(v1alpha1.ChangeCanceled).outcome("").at(50).is(v1alpha1.ChangeCanceled)
		},
		"its window passes": func(x teller) {
			x.implementing().at(25).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeNotImplemented)
		},
		"nobody votes before its window passes": func(x teller) {
			x.told(window(1, 3)).is(v1alpha1.ChangeAuthorize).wakes(1).at(3).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeNotImplemented)
		},
		"the rollout fails": func(x teller) {
			s := x.implementing().at(2)
			s.runs(stuck, s.broughtIn(v24)).is(v1alpha1.ChangeImplement).condition(v1alpha1.ConditionImplemented, metav1.ConditionFalse, "Failed")
			s.at(3).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeUnsuccessful).nextStepHas("kubectl itil change review shop/checkout-2-4 --outcome Unsuccessful")
			s.at(4).edit(review).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeSuccessfulWithIssues)
		},
		"the rollout recovers in time": func(x teller) {
			s := x.implementing().at(2)
			s.runs(stuck, s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
			s.runs(running(v24)).is(v1alpha1.ChangeImplement).wakes(3).at(3).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeSuccessful)
		},
		"it is rolled back": func(x teller) {
			s := x.implementing().at(2)
			s.runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
			s.runs(running(v23), rolledBack).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeRolledBack)
			if s.last.Candidate.Ended != EndedBackedOut {
				x.Errorf("the gate sees it as %q", s.last.Candidate.Ended)
			}
			s.at(3).edit(func(c *v1alpha1.ChangeSpec) { c.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeRolledBack} }).is(v1alpha1.ChangeClosed).nextStepHas("Problem")
		},
		"it is rolled back after it was closed": func(x teller) {
			s := x.implementing().at(2)
			s.runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement).at(3).is(v1alpha1.ChangeClosed)
			s.at(9).runs(running(v23), rolledBack).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeRolledBack)
		},
		"a grave Incident suspects it": func(x teller) {
			s := x.implementing().at(2)
			s.runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
			s.with(grave(v1alpha1.PriorityP2)).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeUnsuccessful)
		},
		"a lesser Incident suspects it": func(x teller) {
			s := x.implementing().at(2)
			s.runs(running(v24), s.broughtIn(v24)).with(grave(v1alpha1.PriorityP3)).is(v1alpha1.ChangeImplement)
			s.at(3).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeSuccessfulWithIssues)
		},
		"an Incident suspects it later": func(x teller) {
			s := x.implementing().at(2)
			s.runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement).at(3).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeSuccessful)
			s.with(grave(v1alpha1.PriorityP1)).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeUnsuccessful)
		},
		"another template follows before it is rolled out": func(x teller) {
			s := x.implementing().at(2)
			s.runs(rollingOut(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
			s.subject.Workloads[checkout].Baselines[0].Until = at(2)
			s.runs(rollingOut(v24env), baseline(v24env, by(v1alpha1.BaselineBreakGlass, "other"))).is(v1alpha1.ChangeImplement)
			s.at(3).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeInconclusive)
		},
		"it is held for ever": func(x teller) {
			s := x.implementing().at(2)
			s.runs(paused, s.broughtIn(v24)).is(v1alpha1.ChangeImplement).at(26).is(v1alpha1.ChangeImplement).wakes(49)
			s.at(49).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeInconclusive)
		},
		"it never ends": func(x teller) {
			s := x.implementing().at(2)
			s.runs(rollingOut(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement).at(49).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeUnsuccessful)
		},
		"high risk is reviewed": func(x teller) {
			s := x.told(pinnedTo(v24env)).is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "carol").is(v1alpha1.ChangeImplement).at(2)
			s.runs(running(v24env), s.broughtIn(v24env)).is(v1alpha1.ChangeImplement).at(3).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeSuccessful)
		},
		"a deletion": func(x teller) {
			s := x.told(operations(v1alpha1.OperationDelete)).is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "carol").is(v1alpha1.ChangeImplement).at(2)
			s.runs(nil).is(v1alpha1.ChangeImplement).condition(v1alpha1.ConditionImplemented, metav1.ConditionTrue, "Complete").wakes(3)
			s.at(3).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeSuccessful)
		},
		"a deletion before a leader saw the last vote": func(x teller) {
			s := x.told(operations(v1alpha1.OperationDelete)).is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "carol").runs(nil)
			s.at(2).is(v1alpha1.ChangeImplement).condition(v1alpha1.ConditionImplemented, metav1.ConditionTrue, "Complete")
		},
		"a deletion that lacks a vote": func(x teller) {
			x.told(operations(v1alpha1.OperationDelete)).is(v1alpha1.ChangeAuthorize).at(1).votes("bob").runs(nil).at(2).is(v1alpha1.ChangeAuthorize)
		},
		"cancel comes too late": func(x teller) {
			s := x.implementing().at(2)
			s.runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement).at(3).is(v1alpha1.ChangeClosed)
			s.edit(func(c *v1alpha1.ChangeSpec) { c.Cancel = true }).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeSuccessful)
		},
	} {
		t.Run(name, func(t *testing.T) { tell(teller{t}) })
	}
}

func TestAssess(t *testing.T) {
	for name, test := range map[string]struct {
		given func(*v1alpha1.Change)
		lacks string
	}{
		"an unknown workload":    {func(c *v1alpha1.Change) { c.Spec.Targets[0].Workload.Name = "none" }, "there is no deployment/none"},
		"an unknown container":   {func(c *v1alpha1.Change) { c.Spec.Targets[0].Images = map[string]v1alpha1.Image{"web": "x:1"} }, "has no container web"},
		"nonsense in its window": {func(c *v1alpha1.Change) { c.Spec.Window = &v1alpha1.Window{Start: "soon", End: stamp(1)} }, "spec.window.start"},
	} {
		t.Run(name, func(t *testing.T) {
			told(t, test.given).is(v1alpha1.ChangeAssess).condition(v1alpha1.ConditionRiskAssessed, metav1.ConditionFalse, "Pending").nextStepHas(test.lacks)
		})
	}
}

func TestDemandsAreNotLoweredByALaxerPolicy(t *testing.T) {
	s := told(t).is(v1alpha1.ChangeAuthorize)
	s.subject.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", needing(3))}, nil)
	s.is(v1alpha1.ChangeAuthorize).nextStepHas("3 votes")
	s.subject.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", needing(0))}, nil)
	s.is(v1alpha1.ChangeAuthorize).nextStepHas("3 votes")
	// But by a lower risk they are.
	fact := s.subject.Workloads[checkout]
	fact.Risk.Tier = 4
	s.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
	s.is(v1alpha1.ChangeImplement)
}

func TestEmergency(t *testing.T) {
	s := told(t, ofType(v1alpha1.ChangeEmergency), func(c *v1alpha1.Change) { c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: "down"} })
	s.subject.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", frozen(0, 90), officeHours)}, nil)
	s.subject.Targets = map[configuration.Key]TargetFact{checkout: {Services: []string{"checkout"}, Tier: 1}}
	s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob").is(v1alpha1.ChangeAuthorize).nextStepHas("Incident down, which does not exist")
	incident := &IncidentFact{Name: "down", Open: true, Services: []string{"ledger"}}
	s.with(func(x *Subject) { x.Incident = incident }).is(v1alpha1.ChangeAuthorize).nextStepHas("on a Service of deployment/checkout")
	own := &IncidentFact{Name: "down", Open: true, Services: []string{"checkout"}, Reporter: "alice"}
	s.with(func(x *Subject) { x.Incident = own }).is(v1alpha1.ChangeAuthorize).nextStepHas("reported by the requester alone")
	account := &IncidentFact{Name: "down", Open: true, Services: []string{"checkout"}, Reporter: "system:serviceaccount:shop:ci"}
	s.with(func(x *Subject) { x.Incident = account }).is(v1alpha1.ChangeAuthorize).nextStepHas("may act as a ServiceAccount")
	seen := &IncidentFact{Name: "down", Open: true, Services: []string{"checkout"}, Reporter: "alice", Observed: true}
	s.with(func(x *Subject) { x.Incident = seen }).is(v1alpha1.ChangeImplement) // in spite of freeze and window
	over := &IncidentFact{Name: "down", Services: []string{"checkout"}}
	s.with(func(x *Subject) { x.Incident = over }).is(v1alpha1.ChangeImplement) // it was one when it was approved
	s.at(2).runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement).at(3).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeSuccessful)
}

func TestRecordsOweAReview(t *testing.T) {
	s := told(t, ofType(v1alpha1.ChangeEmergency), func(c *v1alpha1.Change) { c.Spec.RecordOf = v1alpha1.RecordOfBreakGlass })
	b := baseline(v24, by(v1alpha1.BaselineBreakGlass, "checkout-2-4"))
	s.votes("bob").runs(running(v24), b).is(v1alpha1.ChangeReview)
	if s.last.Candidate.Ended == NotEnded {
		t.Error("it may cover something")
	}
	s.at(1).edit(func(c *v1alpha1.ChangeSpec) { c.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeSuccessful} }).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeSuccessful)
}

func TestConflictsAreTold(t *testing.T) {
	s := told(t)
	rules := s.subject.Rules
	first := changeOf("other", window(0, 20))
	inTheWay := Prepare(Agreed{Change: first, Approvals: []*v1alpha1.ChangeApproval{vote(first, "bob", 0)}, Rules: rules})
	neighbour := changeOf("ledger-2", window(0, 20))
	beside := Prepare(Agreed{Change: neighbour, Approvals: []*v1alpha1.ChangeApproval{vote(neighbour, "bob", 0)}, Rules: rules})
	s.subject.Others = []*Candidate{inTheWay}
	s.subject.Neighbours = []Neighbour{{Candidate: beside, Why: "on Service ledger, which checkout depends on"}}
	s.is(v1alpha1.ChangeAuthorize).at(1).votes("carol").is(v1alpha1.ChangeScheduled).
		condition(v1alpha1.ConditionConflictFree, metav1.ConditionFalse, "Conflict").condition(v1alpha1.ConditionGateOpen, metav1.ConditionFalse, "Conflict").wakes(20)
	if len(s.last.Status.Conflicts) != 2 || !s.last.Status.Conflicts[0].Blocking || s.last.Status.Conflicts[1].Blocking {
		t.Errorf("conflicts %v", s.last.Status.Conflicts)
	}
	s.at(20).is(v1alpha1.ChangeImplement).condition(v1alpha1.ConditionConflictFree, metav1.ConditionTrue, "NoConflict")
}

// The transitions of the design, and Implement to Scheduled: the gate closed again before anything went in.
var transitions = map[v1alpha1.ChangeState][]v1alpha1.ChangeState{
	"":                       {"Assess", "Authorize", "Scheduled", "Implement", "Canceled", "Closed", "Rejected", "Review"},
	v1alpha1.ChangeAssess:    {"Authorize", "Scheduled", "Implement", "Canceled", "Closed", "Rejected"},
	v1alpha1.ChangeAuthorize: {"Assess", "Scheduled", "Implement", "Canceled", "Closed", "Rejected"},
	v1alpha1.ChangeScheduled: {"Assess", "Authorize", "Implement", "Canceled", "Closed", "Rejected", "Review"},
	v1alpha1.ChangeImplement: {"Assess", "Authorize", "Scheduled", "Canceled", "Closed", "Rejected", "Review"},
	v1alpha1.ChangeRejected:  {"Assess", "Authorize", "Scheduled", "Implement", "Canceled", "Closed"},
	v1alpha1.ChangeReview:    {"Closed"},
	v1alpha1.ChangeClosed:    {},
	v1alpha1.ChangeCanceled:  {},
}

// TestRandomLives lets random things happen to Changes and checks what must hold at each step.
func TestRandomLives(t *testing.T) {
	const lives = 800 // enough for every state of a backout to be reached, which is asserted below
	states, undone := map[v1alpha1.ChangeState]int{}, map[v1alpha1.ChangeBackoutState]int{}
	for seed := range uint64(lives) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := told(t)
		s.enforcement([]v1alpha1.Enforcement{v1alpha1.EnforcementEnforce, v1alpha1.EnforcementWarn}[r.IntN(2)])
		s.kept(RevisionFact{Hash: v23.Hash, Kept: r.IntN(5) > 0, Manager: []string{"", "kustomize-controller"}[r.IntN(2)]})
		if r.IntN(2) == 0 {
			s.edit(func(c *v1alpha1.ChangeSpec) { c.Backout = &v1alpha1.Backout{Automatic: true} })
		}
		if r.IntN(2) == 0 {
			from := r.IntN(30)
			s.edit(func(c *v1alpha1.ChangeSpec) {
				c.Window = &v1alpha1.Window{Start: stamp(from), End: stamp(from + 1 + r.IntN(30))}
			})
		}
		s.subject.Rules = Merge([]*v1alpha1.ChangePolicy{randomPolicy(r, "p")}, map[string]Calendar{"office": openFrom(r.IntN(20), 20+r.IntN(60))})
		for range 25 {
			was := s.subject.Change.Status
			s.happens(r)
			s.last = Evaluate(&s.subject, hour(s.hours))
			s.restores(r, seed, &was)
			states[s.last.Status.State]++
			for _, t := range targetsOf(s.last.Status.Backout) {
				undone[t.State]++
			}
			s.check(seed, &was)
			c := s.subject.Change.DeepCopy()
			c.Status = s.last.Status
			s.subject.Change = c
		}
	}
	for state := range transitions {
		if state != "" && states[state] == 0 {
			t.Errorf("no life came to %s", state)
		}
	}
	for _, state := range []v1alpha1.ChangeBackoutState{
		v1alpha1.ChangeBackoutPending, v1alpha1.ChangeBackoutRestored, v1alpha1.ChangeBackoutVerified, v1alpha1.ChangeBackoutNotPossible,
		v1alpha1.ChangeBackoutSuperseded, v1alpha1.ChangeBackoutFailed,
	} {
		if undone[state] == 0 {
			t.Errorf("no backout came to %s", state)
		}
	}
	t.Log(states, undone)
}

func targetsOf(b *v1alpha1.ChangeBackout) []v1alpha1.ChangeBackoutTarget {
	if b == nil {
		return nil
	}
	return b.Targets
}

// restores does what the evaluation asks for, as the controller does: only what a status that was written before says.
func (s *story) restores(r *rand.Rand, seed uint64, was *v1alpha1.ChangeStatus) {
	s.Helper()
	if len(s.last.Restore) == 0 {
		return
	}
	before := targetsOf(was.Backout)
	if len(before) != 1 || before[0].State != v1alpha1.ChangeBackoutPending || before[0].To != v23.Hash {
		s.Fatalf("life %d, hour %d: restores %+v after a status that says %+v", seed, s.hours, s.last.Restore, was.Backout)
	}
	results := []v1alpha1.ChangeBackoutState{
		v1alpha1.ChangeBackoutRestored, v1alpha1.ChangeBackoutRestored, v1alpha1.ChangeBackoutRestored, v1alpha1.ChangeBackoutPending,
		v1alpha1.ChangeBackoutNotPossible, v1alpha1.ChangeBackoutSuperseded,
	}
	result := results[r.IntN(len(results))]
	s.restored(Restored{State: result})
	s.last = Evaluate(&s.subject, hour(s.hours))
	s.subject.Restored = nil
	if len(s.last.Restore) > 0 {
		s.Fatalf("life %d, hour %d: restores again", seed, s.hours)
	}
	if result == v1alpha1.ChangeBackoutRestored {
		s.runs(rollingOut(v23), baseline(v23, by(v1alpha1.BaselineRollback, s.subject.Change.Name)))
	}
}

// checkBackout checks that what is undone covers nothing any more, and is undone once.
func (s *story) checkBackout(seed uint64, was *v1alpha1.ChangeStatus) {
	s.Helper()
	now := &s.last.Status
	if now.Backout == nil {
		if was.Backout != nil {
			s.Fatalf("life %d, hour %d: a backout is forgotten", seed, s.hours)
		}
		return
	}
	if s.last.Candidate.Ended != EndedBackedOut {
		s.Fatalf("life %d, hour %d: it is undone, and the gate sees it as %q", seed, s.hours, s.last.Candidate.Ended)
	}
	for i, t := range targetsOf(was.Backout) {
		if t.State != v1alpha1.ChangeBackoutPending && now.Backout.Targets[i].State == v1alpha1.ChangeBackoutPending {
			s.Fatalf("life %d, hour %d: %s became Pending again", seed, s.hours, t.State)
		}
	}
}

// happens alters one thing.
func (s *story) happens(r *rand.Rand) {
	s.hours += r.IntN(4)
	started := len(s.subject.Change.Status.Implementations) > 0
	switch r.IntN(13) {
	case 12:
		if started && s.subject.Workloads[checkout].Workload.Template.Hash == v24.Hash && r.IntN(2) == 0 {
			s.runs(stuckAt(v24))
		}
	case 0, 1, 2:
		s.votes([]string{"bob", "carol", "dave", "alice"}[r.IntN(4)])
		last := s.subject.Approvals[len(s.subject.Approvals)-1]
		last.Name = fmt.Sprintf("vote-%d", len(s.subject.Approvals))
		last.Spec.Group = []v1alpha1.GroupName{"", "sre", "dev"}[r.IntN(3)]
		if last.Spec.Digest == "" {
			last.Spec.Digest = Digest(&s.subject.Change.Spec)
		}
		if r.IntN(8) == 0 {
			reject(last)
		}
	case 3:
		if !started { // the schema forbids it afterwards
			s.edit(func(c *v1alpha1.ChangeSpec) {
				c.Summary = []string{"a", "b", "c"}[r.IntN(3)]
				c.Targets[0].Workload.Name = []v1alpha1.ObjectName{"checkout", "checkout", "checkout", "checkuot"}[r.IntN(4)]
			})
		}
	case 4:
		if r.IntN(6) == 0 {
			s.edit(func(c *v1alpha1.ChangeSpec) { c.Cancel = true })
		}
	case 5, 6, 7:
		if s.subject.Change.Status.State == v1alpha1.ChangeImplement && !started {
			s.runs(rollingOut(v24), s.broughtIn(v24))
		} else if started && r.IntN(2) == 0 {
			// What is undone is ready again with what it had.
			s.runs(running(map[bool]*configuration.Template{true: v24, false: v23}[s.subject.Workloads[checkout].Baselines[0].TemplateHash == v24.Hash]))
		}
	case 8:
		if started && r.IntN(4) == 0 {
			s.runs(running(v23), baseline(v23, by(v1alpha1.BaselineRollback, s.subject.Change.Name)))
		}
	case 9:
		if r.IntN(4) == 0 {
			s.edit(func(c *v1alpha1.ChangeSpec) { c.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeSuccessful} })
		}
	case 10:
		if started && r.IntN(4) == 0 {
			s.with(func(x *Subject) {
				x.Suspicions = []Suspicion{{
					Namespace: "shop", Name: "i", Priority: v1alpha1.PriorityP1, Open: r.IntN(2) == 0,
					Confidence: []v1alpha1.Confidence{v1alpha1.ConfidenceHigh, v1alpha1.ConfidenceLow}[r.IntN(2)],
				}}
			})
		}
	case 11:
		if n := len(s.subject.Approvals); n > 0 && r.IntN(3) == 0 {
			s.subject.Approvals = s.subject.Approvals[:n-1]
		}
	}
}

func (s *story) check(seed uint64, was *v1alpha1.ChangeStatus) {
	s.Helper()
	now := &s.last.Status
	if was.State != now.State && !slices.Contains(transitions[was.State], now.State) {
		s.Fatalf("life %d, hour %d: %s became %s", seed, s.hours, was.State, now.State)
	}
	for _, r := range was.RejectedDigests {
		if r.Digest == now.Digest && (s.last.Candidate.Approval.Approved || s.last.Candidate.Ended == NotEnded) {
			s.Fatalf("life %d, hour %d: rejected, and approved", seed, s.hours)
		}
	}
	if was.Digest != "" && was.Digest != now.Digest && now.ApprovedAt != nil && now.Approvals.Required > 0 {
		for _, v := range now.Approvals.Votes {
			if v.Ignored == "" && v.Digest != now.Digest {
				s.Fatalf("life %d, hour %d: a vote on another version counts", seed, s.hours)
			}
		}
	}
	s.checkBackout(seed, was)
	// What the status promises is what the gate does.
	world := World{
		Claims: tierOne, Enforcement: v1alpha1.EnforcementEnforce, Rules: s.subject.Rules, Risk: RiskFacts{Tier: 1},
		Baselines: s.subject.Workloads[checkout].Baselines, Candidates: []*Candidate{s.last.Candidate},
	}
	request := Request{Operation: Template, Key: checkout, User: User{Name: "alice"}, Old: v23, New: v24}
	d := Decide(&request, &world, hour(s.hours))
	open := slices.ContainsFunc(now.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionGateOpen && c.Status == metav1.ConditionTrue
	})
	if covered := d.Verdict == Covered; len(now.Implementations) == 0 && covered != open && s.subject.Rules.Pin == v1alpha1.PinImages && !s.subject.Rules.Digests {
		s.Fatalf("life %d, hour %d: GateOpen is %v, but the gate says %s: %v", seed, s.hours, open, d.Verdict, d.Reasons)
	}
	if !s.last.Wake.IsZero() && !s.last.Wake.After(hour(s.hours)) {
		s.Fatalf("life %d, hour %d: wakes in the past, %s", seed, s.hours, s.last.Wake)
	}
	s.sleepsWell(seed)
}

// sleepsWell checks that nothing but the passing of time changes the state before the wake-up.
func (s *story) sleepsWell(seed uint64) {
	s.Helper()
	before := s.last.Wake.Add(-time.Second)
	if s.last.Wake.IsZero() {
		before = hour(s.hours + 400)
	}
	c := s.subject.Change.DeepCopy()
	c.Status = s.last.Status
	later := s.subject
	later.Change = c
	if e := Evaluate(&later, before); e.Status.State != s.last.Status.State || e.Status.Outcome != s.last.Status.Outcome {
		s.Fatalf("life %d, hour %d: sleeps until %s, but at %s it is %s (%s), not %s (%s)", seed, s.hours, s.last.Wake, before,
			e.Status.State, e.Status.Outcome, s.last.Status.State, s.last.Status.Outcome)
	}
}
