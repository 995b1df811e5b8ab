package change

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

var cart = configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "cart"}

// alsoOf has a Change ask the same of Deployment cart, by other operations where they are given.
func alsoOf(o ...v1alpha1.Operation) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) {
		t := *c.Spec.Targets[0].DeepCopy()
		t.Workload.Name = "cart"
		if len(o) > 0 {
			t.Operations, t.Images, t.TemplateHash = o, nil, v1alpha1.TemplateHash(v24.Hash)
		}
		c.Spec.Targets = append(c.Spec.Targets, t)
	}
}

// fact of a workload in a story.
func (s *story) fact(key configuration.Key, fact WorkloadFact) *story {
	all := maps.Clone(s.subject.Workloads)
	all[key] = fact
	s.subject.Workloads = all
	return s
}

// isOf makes a workload another one.
func isOf(key configuration.Key, w *configuration.Workload) *configuration.Workload {
	if w != nil {
		w.Key = key
	}
	return w
}

// lets has the Change bring a template into a workload that shows this.
func (s *story) lets(key configuration.Key, w *configuration.Workload) *story {
	return s.fact(key, WorkloadFact{
		Workload: isOf(key, w), Baselines: []v1alpha1.Baseline{s.broughtIn(v24), baseline(v23)}, Risk: RiskFacts{Tier: 1}, Enforcement: v1alpha1.EnforcementEnforce,
	})
}

// ofTwo is an approved Change of two Deployments, in the hour in which it may go in.
func ofTwo(t *testing.T, options ...func(*v1alpha1.Change)) *story {
	t.Helper()
	s := told(t, append([]func(*v1alpha1.Change){alsoOf()}, options...)...)
	s.fact(cart, WorkloadFact{Workload: isOf(cart, running(v23)), Baselines: []v1alpha1.Baseline{baseline(v23)}, Risk: RiskFacts{Tier: 1}})
	return s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "carol").is(v1alpha1.ChangeImplement).at(2)
}

// TestSeveralTargets: a change is one thing. What becomes of it when its targets do not go the same way.
func TestSeveralTargets(t *testing.T) {
	paused := rollingOut(v24)
	paused.Hold.Paused = true
	const implement, review, closed = v1alpha1.ChangeImplement, v1alpha1.ChangeReview, v1alpha1.ChangeClosed
	for name, test := range map[string]struct {
		checkout, cart *configuration.Workload
		// state and outcome an hour after the rollouts, when its window is over, and a day after that.
		hour, end, late v1alpha1.ChangeState
		outcome         v1alpha1.Outcome
	}{
		"both go well":                     {running(v24), running(v24), closed, closed, closed, v1alpha1.OutcomeSuccessful},
		"one goes well, one is not tried":  {running(v24), nil, implement, closed, closed, v1alpha1.OutcomePartial},
		"one fails, one is not tried":      {stuckAt(v24), nil, implement, review, review, v1alpha1.OutcomeUnsuccessful},
		"one fails, one goes well":         {stuckAt(v24), running(v24), review, review, review, v1alpha1.OutcomeUnsuccessful},
		"one fails, one is held":           {stuckAt(v24), paused, implement, implement, review, v1alpha1.OutcomeUnsuccessful},
		"one goes well, one is held":       {running(v24), paused, implement, implement, closed, v1alpha1.OutcomeInconclusive},
		"one never ends, one is held":      {rollingOut(v24), paused, implement, implement, review, v1alpha1.OutcomeUnsuccessful},
		"one never ends, one is not tried": {rollingOut(v24), nil, implement, implement, review, v1alpha1.OutcomeUnsuccessful},
	} {
		t.Run(name, func(t *testing.T) {
			s := ofTwo(t).lets(checkout, test.checkout)
			if test.cart != nil {
				s.lets(cart, test.cart)
			}
			s.is(implement)
			s.at(3).is(test.hour).at(25).is(test.end).at(50).is(test.late).outcome(test.outcome)
		})
	}
}

// TestAFailedTargetIsSaid before its outcome is known: an hour is long at night.
func TestAFailedTargetIsSaid(t *testing.T) {
	undo := "kubectl rollout undo deployment/checkout -n shop"
	s := ofTwo(t).lets(checkout, stuckAt(v24)).is(v1alpha1.ChangeImplement)
	s.nextStepHas("rollout of deployment/checkout failed", undo, "deployment/cart")
	s.lets(cart, running(v24)).is(v1alpha1.ChangeImplement).nextStepHas("rollout of deployment/checkout failed", undo).nextStepLacks("Nothing to do", "deployment/cart")
	s.lets(checkout, running(v24)).is(v1alpha1.ChangeImplement).nextStepLacks("failed", "undo")
}

// TestItIsWatchedUntilItsOutcome, and not until the next thing that will happen.
func TestItIsWatchedUntilItsOutcome(t *testing.T) {
	s := told(t, window(1, 3)).is(v1alpha1.ChangeAuthorize).at(1).votes("bob").is(v1alpha1.ChangeImplement)
	late := hour(2).Add(30 * time.Minute)
	s.at(2).runs(rollingOut(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
	s.runs(running(v24))
	e := Evaluate(&s.subject, late)
	if want := "watched until 2026-"; !strings.Contains(e.Status.NextStep, want) || !strings.Contains(e.Status.NextStep, late.Add(time.Hour).UTC().Format("15:04")) {
		t.Errorf("next step %q", e.Status.NextStep)
	}
}

// TestWhatABackoutLeaves: what the change made, or took away, has no template to go back to, and is said not to be back.
func TestWhatABackoutLeaves(t *testing.T) {
	made := WorkloadFact{Workload: isOf(cart, running(v24)), Risk: RiskFacts{Tier: 1}}
	s := told(t, automatically, alsoOf(v1alpha1.OperationCreate)).kept(RevisionFact{Hash: v23.Hash, Kept: true}).enforcement(v1alpha1.EnforcementEnforce)
	s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "carol").is(v1alpha1.ChangeImplement).at(2)
	made.Baselines = []v1alpha1.Baseline{s.broughtIn(v24)}
	s.runs(stuckAt(v24), s.broughtIn(v24)).fact(cart, made).is(v1alpha1.ChangeImplement).settles(3)
	s.restored(Restored{State: v1alpha1.ChangeBackoutRestored}).settles(3)
	s.runs(running(v23), baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))).fact(cart, made).settles(20)
	s.outcome(v1alpha1.OutcomeRolledBack).condition(v1alpha1.ConditionRolledBack, metav1.ConditionFalse, "Failed")
	s.nextStepHas("deployment/cart", "kubectl delete deployment/cart -n shop").nextStepLacks("rollout undo deployment/cart")
}

// TestWhatRunsAlreadyNeedsNobody: neither votes nor an apply.
func TestWhatRunsAlreadyNeedsNobody(t *testing.T) {
	const words, cancels = "runs already without it (deployment/checkout)", "kubectl itil change cancel shop/checkout-2-4"
	forced := baseline(v24, by(v1alpha1.BaselineBreakGlass, ""), unproven)
	told(t).is(v1alpha1.ChangeAuthorize).nextStepLacks(words).runs(rollingOut(v24), forced).is(v1alpha1.ChangeAuthorize).nextStepHas(words, cancels)
	s := teller{t}.implementing().nextStepHas("Apply it to deployment/checkout").runs(rollingOut(v24), forced).is(v1alpha1.ChangeImplement)
	s.nextStepHas(words, cancels).nextStepLacks("Apply it")
	s.runs(running(v23), baseline(v23, by(v1alpha1.BaselineRollback, ""))).is(v1alpha1.ChangeImplement).nextStepHas("Apply it to deployment/checkout")
	held := rollingOut(v24)
	held.Hold.Paused = true
	teller{t}.implementing().runs(held).is(v1alpha1.ChangeImplement).nextStepHas("release it").nextStepLacks(words)
	in(t).nextStepLacks(words)
}

// TestADeletionIsToldAsOne: it has no template that could be named.
func TestADeletionIsToldAsOne(t *testing.T) {
	s := told(t, operations(v1alpha1.OperationDelete)).is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "carol").is(v1alpha1.ChangeImplement).at(2)
	s.runs(nil)
	e := Evaluate(&s.subject, hour(2))
	if at := slices.IndexFunc(e.Events, func(e Event) bool { return e.Reason == "WentIn" }); at < 0 || e.Events[at].Note != "Deployment/checkout: deleted" {
		t.Errorf("events %+v", e.Events)
	}
}

// TestNobodyUndoesARolloutThatKubernetesCannot: of a CronJob it keeps no earlier template.
func TestNobodyUndoesARolloutThatKubernetesCannot(t *testing.T) {
	report := configuration.Key{Group: "batch", Kind: configuration.KindCronJob, Namespace: "shop", Name: "checkout"}
	s := told(t, automatically, func(c *v1alpha1.Change) { c.Spec.Targets[0].Workload.Kind = v1alpha1.WorkloadCronJob })
	fact := WorkloadFact{Workload: isOf(report, running(v23)), Baselines: []v1alpha1.Baseline{baseline(v23)}, Risk: RiskFacts{Tier: 1}, Enforcement: v1alpha1.EnforcementEnforce}
	s.subject.Revisions = map[configuration.Key]RevisionFact{report: {Hash: v23.Hash, Why: "Kubernetes keeps no earlier templates of a CronJob"}}
	s.fact(report, fact).is(v1alpha1.ChangeAuthorize).at(1).votes("bob").is(v1alpha1.ChangeImplement).at(2)
	fact.Workload, fact.Baselines = isOf(report, cron(v24, 125, -20, 0)), append([]v1alpha1.Baseline{s.broughtIn(v24)}, fact.Baselines...)
	s.fact(report, fact).is(v1alpha1.ChangeReview).outcome(v1alpha1.OutcomeUnsuccessful)
	s.nextStepHas("cronjob/checkout could not be brought back", "apply the earlier manifest of cronjob/checkout").nextStepLacks("rollout undo")
}

// TestWhatWasWithdrawnStaysAsItWasShown: also where what it was filed for is in by now, and differs from nothing any more.
func TestWhatWasWithdrawnStaysAsItWasShown(t *testing.T) {
	s := told(t, pinnedTo(v24))
	recorded := []v1alpha1.FieldDiff{{Path: "deployment/checkout: spec.containers[app].image", From: v23.Images["app"], To: v24.Images["app"]}}
	s.subject.Change.Status.Diff = recorded
	s.is(v1alpha1.ChangeAuthorize)
	risk := s.last.Status.Risk
	s.runs(rollingOut(v24), baseline(v24, by(v1alpha1.BaselineBreakGlass, ""))).edit(cancel).is(v1alpha1.ChangeCanceled).is(v1alpha1.ChangeCanceled)
	if diff := cmp.Diff(recorded, s.last.Status.Diff); diff != "" {
		t.Errorf("differences:\n%s", diff)
	}
	if diff := cmp.Diff(risk, s.last.Status.Risk); diff != "" {
		t.Errorf("risk:\n%s", diff)
	}
}

// TestWhatFailedAndRunsIsSaid to whoever is to review it: that comes first.
func TestWhatFailedAndRunsIsSaid(t *testing.T) {
	const runs, undo = "deployment/checkout runs it still", "kubectl rollout undo deployment/checkout -n shop"
	in(t).suspectedBy(grave).is(v1alpha1.ChangeReview).nextStepHas(runs, undo, "change review shop/checkout-2-4").
		runs(running(v23), baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))).is(v1alpha1.ChangeReview).nextStepLacks(runs, undo)
}

// TestNobodyIsToldToEditWhatHasBegun: its spec is what was agreed to, and cannot be edited any more.
func TestNobodyIsToldToEditWhatHasBegun(t *testing.T) {
	s := ofTwo(t).fact(cart, WorkloadFact{Workload: isOf(cart, running(v23)), Risk: RiskFacts{Tier: 1}}).is(v1alpha1.ChangeImplement)
	s.lets(checkout, running(v24)).is(v1alpha1.ChangeImplement).nextStepHas("deployment/cart", "File another Change", "kubectl itil change cancel shop/checkout-2-4").nextStepLacks("Edit spec")
}
