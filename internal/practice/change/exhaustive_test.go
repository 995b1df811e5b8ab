package change

import (
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// A dimension of small worlds: each of its values alters a world.
type dimension []func(*small)

func changed(options ...func(*v1alpha1.Change)) func(*small) {
	return func(s *small) {
		c := changeOf("change-0", options...)
		s.changes = append(s.changes, c)
		s.votes[c.Name] = append(s.votes[c.Name], vote(c, "bob", 1))
	}
}

func unvoted(s *small) { s.changes = append(s.changes, changeOf("change-0")) }

func refused(s *small) {
	changed()(s)
	s.votes["change-0"] = append(s.votes["change-0"], vote(s.changes[0], "carol", 2, reject))
}

func outdated(s *small) {
	changed()(s)
	s.changes[0].Spec.Summary = "edited"
}

func under(options ...func(*v1alpha1.ChangePolicySpec)) func(*small) {
	return func(s *small) { s.policies = append(s.policies, policy("p", options...)) }
}

func ran(baselines ...v1alpha1.Baseline) func(*small) {
	return func(s *small) { s.baselines = baselines }
}

func wants(o Operation, t int) func(*small) {
	return func(s *small) {
		s.request = Request{Operation: o, Key: checkout, User: User{Name: "alice"}}
		templates := []struct{ body, image string }{{"body", "2.3.0"}, {"body", "2.2.0"}, {"body", "2.4.0"}, {"other", "2.4.0"}}
		to := template(templates[t].body, repository+templates[t].image)
		switch o {
		case Create:
			s.request.New = to
		case Template:
			s.request.Old, s.request.New = v23, to
		case Release:
			s.request.Old, s.request.New = to, to
		case Delete:
			s.request.Old = v23
		}
	}
}

func under4(s *small)                                   { s.risk.Tier = 4 }
func nothing(*small)                                    {}
func rollbackNeedsAChange(p *v1alpha1.ChangePolicySpec) { p.Rollback = v1alpha1.RollbackRequireChange }
func onlyTheLast(p *v1alpha1.ChangePolicySpec)          { p.RollbackRevisions = 1 }
func templatesPinned(p *v1alpha1.ChangePolicySpec)      { p.Pin = v1alpha1.PinTemplate }
func oneAtATime(p *v1alpha1.ChangePolicySpec)           { p.MaxConcurrentRollouts = 1 }
func glass(permitted, robot bool) func(*small) {
	return func(s *small) {
		s.request.BreakGlass, s.request.BreakGlassPermitted, s.request.User.ServiceAccount = "fire", permitted, robot
	}
}

// reverting has the deployment controller bring an earlier template back, as far as others of the namespace let it.
func reverting(around v1alpha1.Enforcement, more func(*small)) func(*small) {
	return func(s *small) {
		s.request.RollbackTo, s.around = "1", around
		more(s)
	}
}

// TestDecideInAllSmallWorlds goes through every combination of what a request asks for, what ran before, which Change
// there is, and which rules hold.
func TestDecideInAllSmallWorlds(t *testing.T) {
	v22 := template("body", repository+"2.2.0")
	requests := dimension{wants(Delete, 0)}
	for _, o := range []Operation{Create, Template, Release} {
		for i := range 4 {
			requests = append(requests, wants(o, i))
		}
	}
	dimensions := []dimension{
		requests,
		{
			ran(), ran(baseline(v23)), ran(baseline(v23), baseline(v22)), ran(baseline(v23), baseline(v22, unproven)),
			ran(baseline(v23, by(v1alpha1.BaselineUnauthorized, "")), baseline(v22)),
			ran(baseline(v23), baseline(v22, by(v1alpha1.BaselineUnauthorized, ""))),
			ran(baseline(v23), baseline(v22, by(v1alpha1.BaselineChange, "bad"))),
			ran(baseline(v23, by(v1alpha1.BaselineRollback, "")), baseline(v24, by(v1alpha1.BaselineChange, "change-0")), baseline(v23), baseline(v22)),
			ran(baseline(v23), baseline(v24), baseline(v22)),
		},
		{
			nothing, unvoted, refused, outdated, changed(), changed(window(20, 30)), changed(window(0, 40)), changed(pinnedTo(v24env)),
			changed(operations(v1alpha1.OperationCreate, v1alpha1.OperationDelete)), changed(func(c *v1alpha1.Change) { c.Spec.Cancel = true }),
			changed(func(c *v1alpha1.Change) { c.Status.Outcome = v1alpha1.OutcomeSuccessful }),
			changed(ofType(v1alpha1.ChangeNormal), risk(v1alpha1.RiskHigh)),
		},
		{
			nothing, under(frozen(4, 6)), under(frozen(6, 8)), under(rollbackNeedsAChange), under(onlyTheLast), under(templatesPinned),
			under(oneAtATime), under(officeHours),
		},
		{nothing, under4},
		{
			nothing, glass(true, false), glass(false, false), glass(true, true),
			reverting("", nothing), reverting(v1alpha1.EnforcementWarn, glass(true, false)),
		},
	}
	seen := map[Verdict]int{}
	worlds := 0
	place := make([]int, len(dimensions))
	for {
		s := &small{now: 5, votes: map[string][]*v1alpha1.ChangeApproval{}, claims: tierOne, enforced: v1alpha1.EnforcementEnforce, risk: RiskFacts{Tier: 1}, failed: []string{"bad"}, calendar: openFrom(8, 18)}
		s.rollouts = []Rollout{{Workload: checkout}, {}}
		for d, at := range place {
			dimensions[d][at](s)
		}
		got, want := Decide(&s.request, s.world(), hour(s.now)), oracle{s}.verdict()
		worlds++
		seen[want]++
		if got.Verdict != want {
			t.Fatalf("world %v: got %s, the oracle says %s; %v", place, got.Verdict, want, got.Reasons)
		}
		d := 0
		for d < len(place) {
			if place[d]++; place[d] < len(dimensions[d]) {
				break
			}
			place[d] = 0
			d++
		}
		if d == len(place) || underRace && worlds == 20_000 {
			break
		}
	}
	t.Log(worlds, seen)
}

// TestFreezesNeverBlockRollbacks: whatever the rules on time are, the way back is open.
func TestFreezesNeverBlockRollbacks(t *testing.T) {
	for _, at := range []int{-100, 0, 5, 50, 5000} {
		s := situated(policies(policy("p", frozen(-500, 9000), officeHours)), asking(func(r *Request) { r.Old, r.New = v24, v23 }), given(func(w *World) {
			w.Baselines = []v1alpha1.Baseline{baseline(v24, unproven), baseline(v23)}
			w.ExhaustedBudgets = []string{"checkout"}
			w.Rules.FreezeOnExhaustedErrorBudget = true
		}))
		if d := s.decide(at); d.Verdict != Rollback {
			t.Errorf("hour %d: %s", at, d.Verdict)
		}
	}
}
