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

// TestRiskIsThatOfTheWindowsStartAndFixedByTheApproval: a window at night adds risk whenever it is looked at, and what
// comes to light after the approval adds none.
func TestRiskIsThatOfTheWindowsStartAndFixedByTheApproval(t *testing.T) {
	office := openFrom(8, 18)
	facts := func(alter func(*RiskFacts)) func(*Subject) {
		return func(x *Subject) {
			fact := x.Workloads[checkout]
			fact.Risk.WorkingHours = office
			alter(&fact.Risk)
			x.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
		}
	}
	offHours := func(s *story) bool {
		return slices.ContainsFunc(s.last.Status.Risk.Factors, func(f v1alpha1.RiskFactor) bool { return f.Name == "OffHours" })
	}
	for name, test := range map[string]struct {
		from, at int
		off      bool
	}{
		"by day, looked at by night":       {10, 2, false},
		"by night, looked at by day":       {20, 9, true},
		"by night, looked at by night":     {20, 2, true},
		"no window: when it was asked for": {-1, 9, true},
	} {
		t.Run(name, func(t *testing.T) {
			options := []func(*v1alpha1.Change){window(test.from, test.from+3)}
			if test.from < 0 {
				options = nil
			}
			s := told(t, options...).with(facts(func(*RiskFacts) {})).at(test.at).is(v1alpha1.ChangeAuthorize)
			if offHours(s) != test.off {
				t.Errorf("risk %v", s.last.Status.Risk)
			}
		})
	}
	s := told(t, window(10, 20)).with(facts(func(*RiskFacts) {})).at(1).is(v1alpha1.ChangeAuthorize)
	before := s.last.Status.Risk.Score
	s.with(facts(func(f *RiskFacts) { f.OpenIncidents = []string{"down"} })).is(v1alpha1.ChangeAuthorize)
	if s.last.Status.Risk.Score <= before {
		t.Error("until it is approved, its risk follows what is known")
	}
	s.votes("bob", "carol").is(v1alpha1.ChangeScheduled)
	fixed := s.last.Status.Risk.DeepCopy()
	s.with(facts(func(f *RiskFacts) { f.FailedChanges, f.PastChanges = 3, 3 })).at(11).is(v1alpha1.ChangeImplement)
	if got := s.last.Status.Risk; got.Score != fixed.Score || len(got.Factors) != len(fixed.Factors) {
		t.Errorf("risk %v after the approval, it was %v", got, fixed)
	}
}

// TestAnswersOnlyRaiseRisk goes through all answers to the questionnaire.
func TestAnswersOnlyRaiseRisk(t *testing.T) {
	u := Undertaking{Alterations: []Alteration{{
		Operation: v1alpha1.OperationTemplate, From: v23.Images, To: v24.Images, Facts: RiskFacts{Tier: 2, Replicas: 1},
	}}}
	bare := AssessRisk(&u)
	answers := []v1alpha1.Answer{"", v1alpha1.AnswerConfirmed, v1alpha1.AnswerNotConfirmed}
	raised := 0
	for _, tested := range answers {
		for _, reversible := range answers {
			for _, visible := range answers {
				u.Questionnaire = &v1alpha1.Questionnaire{Tested: tested, Reversible: reversible, CustomerVisible: visible}
				got := AssessRisk(&u)
				if got.Score < bare.Score {
					t.Errorf("%v lowers the risk to %d, from %d", u.Questionnaire, got.Score, bare.Score)
				}
				if got.Score > bare.Score {
					raised++
				}
			}
		}
	}
	if raised != 27-2*2*2 {
		t.Errorf("%d sets of answers raise it", raised)
	}
}

// TestBatchSizeIsARisk: the more workloads at a time, up to a bound.
func TestBatchSizeIsARisk(t *testing.T) {
	for n, want := range map[int]int32{1: 0, 2: 2, 4: 6, 7: 12, 50: 12} {
		u := Undertaking{Alterations: slices.Repeat([]Alteration{{Operation: v1alpha1.OperationTemplate}}, n)}
		if got := AssessRisk(&u).Score; got != want {
			t.Errorf("%d workloads: %d points, want %d", n, got, want)
		}
	}
}

// TestReplicasAndWhatProtectsThem: one replica is worse than several that nothing protects, and these than protected ones.
func TestReplicasAndWhatProtectsThem(t *testing.T) {
	for name, test := range map[string]struct {
		facts RiskFacts
		want  int32
	}{
		"none": {RiskFacts{}, 0}, "one": {RiskFacts{Replicas: 1}, 4}, "one, protected": {RiskFacts{Replicas: 1, Protected: true}, 4},
		"several": {RiskFacts{Replicas: 3}, 2}, "several, protected": {RiskFacts{Replicas: 3, Protected: true}, 0},
	} {
		if got := AssessRisk(&Undertaking{Alterations: []Alteration{{Operation: v1alpha1.OperationTemplate, Facts: test.facts}}}).Score; got != test.want {
			t.Errorf("%s: %d points, want %d", name, got, test.want)
		}
	}
}

// TestABudgetFreezeIsOfOneServiceAndExemptsItsRemedies: a Change that refers to the open Incident or Problem of the Service
// whose error budget is spent goes in; one that refers to another's, or to what is over, does not.
func TestABudgetFreezeIsOfOneServiceAndExemptsItsRemedies(t *testing.T) {
	incident := func(service string, open bool) func(*Subject) {
		return func(x *Subject) { x.Incident = &IncidentFact{Name: "down", Open: open, Services: []string{service}} }
	}
	problem := func(service string, open bool) func(*Subject) {
		return func(x *Subject) { x.Problem = &ProblemFact{Name: "leak", Open: open, Services: []string{service}} }
	}
	spent := func(services ...string) func(*Subject) {
		return func(x *Subject) {
			x.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", func(p *v1alpha1.ChangePolicySpec) { p.FreezeOnExhaustedErrorBudget = true })}, nil)
			fact := x.Workloads[checkout]
			fact.ExhaustedBudgets = services
			x.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
		}
	}
	for name, test := range map[string]struct {
		alter []func(*Subject)
		open  bool
	}{
		"no budget is spent":        {[]func(*Subject){spent()}, true},
		"it is":                     {[]func(*Subject){spent("checkout")}, false},
		"its Incident":              {[]func(*Subject){spent("checkout"), incident("checkout", true)}, true},
		"its Incident, which ended": {[]func(*Subject){spent("checkout"), incident("checkout", false)}, false},
		"another's Incident":        {[]func(*Subject){spent("checkout"), incident("ledger", true)}, false},
		"its Problem":               {[]func(*Subject){spent("checkout"), problem("checkout", true)}, true},
		"its Problem, which ended":  {[]func(*Subject){spent("checkout"), problem("checkout", false)}, false},
		"another's Problem":         {[]func(*Subject){spent("checkout"), problem("ledger", true)}, false},
		"two, and one remedy":       {[]func(*Subject){spent("checkout", "ledger"), incident("checkout", true)}, false},
		"two, and both remedies":    {[]func(*Subject){spent("checkout", "ledger"), incident("checkout", true), problem("ledger", true)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := told(t)
			for _, alter := range test.alter {
				s.with(alter)
			}
			s.is(v1alpha1.ChangeAuthorize).votes("bob", "carol")
			if test.open {
				s.is(v1alpha1.ChangeImplement).condition(v1alpha1.ConditionFrozen, metav1.ConditionFalse, "NoFreeze")
				return
			}
			s.is(v1alpha1.ChangeScheduled).condition(v1alpha1.ConditionFrozen, metav1.ConditionTrue, "ErrorBudgetExhausted").
				condition(v1alpha1.ConditionGateOpen, metav1.ConditionFalse, string(CauseBudgetExhausted))
		})
	}
}

// TestNoMoreRolloutsAtATimeThanThePolicyAllows: others count, the workload's own does not.
func TestNoMoreRolloutsAtATimeThanThePolicyAllows(t *testing.T) {
	cart, search := checkout, checkout
	cart.Name, search.Name = "cart", "search"
	for name, test := range map[string]struct {
		most    int32
		rolling []configuration.Key
		open    bool
	}{
		"without a limit":       {0, []configuration.Key{cart, search}, true},
		"nothing rolls":         {1, nil, true},
		"it alone":              {1, []configuration.Key{checkout}, true},
		"another":               {1, []configuration.Key{cart}, false},
		"another and it":        {1, []configuration.Key{checkout, cart}, false},
		"one of two":            {2, []configuration.Key{cart}, true},
		"one of two, and it":    {2, []configuration.Key{cart, checkout}, true},
		"two of two":            {2, []configuration.Key{cart, search}, false},
		"two of two, beside it": {2, []configuration.Key{checkout, cart, search}, false},
	} {
		t.Run(name, func(t *testing.T) {
			rollouts := make([]Rollout, 0, len(test.rolling))
			for _, key := range test.rolling {
				rollouts = append(rollouts, Rollout{Workload: key})
			}
			now := Concurrency{Rollouts: slices.Values(rollouts), AtMost: len(rollouts)}
			limit := policy("p", func(p *v1alpha1.ChangePolicySpec) { p.MaxConcurrentRollouts = test.most })

			s := told(t).with(func(x *Subject) {
				x.Rules, x.Concurrency = Merge([]*v1alpha1.ChangePolicy{limit}, nil), now
			}).is(v1alpha1.ChangeAuthorize).votes("bob", "carol")
			g := situated(policies(limit), approved(), given(func(w *World) { w.Concurrency = now })).decide(2)
			if test.open {
				s.is(v1alpha1.ChangeImplement)
				if g.Verdict != Covered {
					t.Errorf("%s: %v", g.Verdict, g.Reasons)
				}
				return
			}
			s.is(v1alpha1.ChangeScheduled).condition(v1alpha1.ConditionGateOpen, metav1.ConditionFalse, string(CauseConflict))
			told := slices.ContainsFunc(g.Reasons, func(c Cause) bool {
				return c.Type == CauseConflict && strings.Contains(c.Message, "the ChangePolicy allows "+itoa(test.most)+" at a time")
			})
			if g.Verdict != Denied || !told {
				t.Errorf("%s: %v", g.Verdict, g.Reasons)
			}
		})
	}
}

// TestTheNextFreeSlotIsTold: over windows and freezes of several policies together, and within the Change's own window.
func TestTheNextFreeSlotIsTold(t *testing.T) {
	days := make(hourly, 24*5)
	for h := range days {
		days[h] = h%24 >= 8 && h%24 < 18
	}
	rules := given(func(w *World) {
		w.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", officeHours), policy("q", frozen(8, 26)), policy("r", frozen(32, 34))}, map[string]Calendar{"office": days})
	})
	for name, test := range map[string]struct {
		given *situation
		next  int
		retry bool
	}{
		"nobody has agreed yet":       {situated(rules), 34, false},
		"agreed":                      {situated(rules, approved(window(0, 90))), 34, true},
		"agreed, for the next night":  {situated(rules, approved(window(42, 52))), -1, false},
		"agreed, for the day after":   {situated(rules, approved(window(48, 90))), 56, true},
		"agreed, in the midst of one": {situated(rules, approved(window(37, 90))), 37, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.given.decide(2)
			if d.Verdict != Denied {
				t.Fatalf("it is %s", d.Verdict)
			}
			if test.next < 0 && !d.Next.At.IsZero() || test.next >= 0 && !d.Next.At.Equal(hour(test.next)) {
				t.Errorf("next %s, want hour %d", d.Next.At, test.next)
			}
			if got := d.Next.RetryAfter > 0; got != test.retry {
				t.Errorf("retry after %s", d.Next.RetryAfter)
			}
		})
	}
}

// TestAChangeLearnsWhatItCaused: the Incidents that suspect it, each once, also after it was closed and though the
// Incident is resolved or deleted. What becomes of a suspicion that is withdrawn: TestSuspicionThatMovedOn.
func TestAChangeLearnsWhatItCaused(t *testing.T) {
	suspect := func(names ...string) func(*Subject) {
		return func(x *Subject) {
			x.Suspicions = nil
			for _, n := range names {
				x.Suspicions = append(x.Suspicions, Suspicion{Namespace: "shop", Name: n, Priority: v1alpha1.PriorityP3, Open: n != "over"})
			}
		}
	}
	caused := func(s *story, want ...string) {
		t.Helper()
		var got []string
		for _, ref := range s.last.Status.CausedIncidents {
			got = append(got, string(ref.Name))
		}
		if !slices.Equal(got, want) {
			t.Errorf("caused %v, want %v", got, want)
		}
	}
	s := teller{t}.implementing().at(2)
	s.runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
	caused(s)
	s.with(suspect("first")).is(v1alpha1.ChangeImplement)
	s.with(suspect("first", "over")).at(3).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeSuccessfulWithIssues)
	caused(s, "first", "over")
	s.with(suspect("late")).at(4).is(v1alpha1.ChangeClosed)
	caused(s, "first", "over", "late")
	s.with(suspect()).at(5).is(v1alpha1.ChangeClosed).outcome(v1alpha1.OutcomeSuccessfulWithIssues)
	caused(s, "first", "over", "late")
	var many []string
	for n := range int32(80) {
		many = append(many, "i-"+itoa(n))
	}
	s.with(suspect(many...)).is(v1alpha1.ChangeClosed)
	if n := len(s.last.Status.CausedIncidents); n != 50 {
		t.Errorf("%d are kept", n)
	}
}

// A rollback is no cause: the Problem is proposed, about an Incident of the namespace where there is one.
func TestRolledBackProposesAProblem(t *testing.T) {
	for name, c := range map[string]struct {
		caused []v1alpha1.NamespacedReference
		want   string
	}{
		"no Incident":       {nil, "-n shop --service SERVICE."},
		"of another":        {[]v1alpha1.NamespacedReference{{Namespace: "itil-system", Name: "node-1"}}, "-n shop --service SERVICE."},
		"of this namespace": {[]v1alpha1.NamespacedReference{{Namespace: "itil-system", Name: "node-1"}, {Namespace: "shop", Name: "checkout-7f3a9"}}, "-n shop --incident checkout-7f3a9."},
	} {
		t.Run(name, func(t *testing.T) {
			l := life{Subject: &Subject{}}
			l.Change = &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-2-5"}}
			l.status.CausedIncidents = c.caused
			if got := l.proposeProblem(); !strings.Contains(got, `problem open "Why checkout-2-5 went back" `+c.want) {
				t.Errorf("next step %q, want one with %q", got, c.want)
			}
		})
	}
}

// TestWhatWasJustLetInCountsAsARollout: else ten requests within a second would all find room for one.
func TestWhatWasJustLetInCountsAsARollout(t *testing.T) {
	cart, search := checkout, checkout
	cart.Name, search.Name = "cart", "search"
	for name, test := range map[string]struct {
		coming  map[configuration.Key]time.Duration // ago
		rolling []configuration.Key
		in      bool
	}{
		"nothing":                      {nil, nil, true},
		"one of two":                   {map[configuration.Key]time.Duration{cart: 0}, nil, true},
		"two of two":                   {map[configuration.Key]time.Duration{cart: 0, search: time.Second}, nil, false},
		"one, and one that rolls":      {map[configuration.Key]time.Duration{cart: 0}, []configuration.Key{search}, false},
		"it, and one that rolls":       {map[configuration.Key]time.Duration{checkout: 0}, []configuration.Key{search}, true},
		"one was never seen in time":   {map[configuration.Key]time.Duration{cart: ComingFor, search: 0}, nil, true},
		"one is as good as seen late":  {map[configuration.Key]time.Duration{cart: ComingFor - time.Second, search: 0}, nil, false},
		"it was late, and another too": {map[configuration.Key]time.Duration{checkout: ComingFor, search: 0}, []configuration.Key{checkout}, true},
	} {
		t.Run(name, func(t *testing.T) {
			rollouts := make([]Rollout, 0, len(test.rolling))
			for _, key := range test.rolling {
				rollouts = append(rollouts, Rollout{Workload: key})
			}
			limit := policy("p", func(p *v1alpha1.ChangePolicySpec) { p.MaxConcurrentRollouts = 2 })
			g := situated(policies(limit), approved(), given(func(w *World) {
				w.Concurrency = Concurrency{Rollouts: slices.Values(rollouts), AtMost: len(rollouts) + len(test.coming)}
				w.Concurrency.Coming = func(yield func(Coming) bool) {
					for key, ago := range test.coming {
						if !yield(Coming{Workload: key, At: hour(2).Add(-ago)}) {
							return
						}
					}
				}
			})).decide(2)
			if (g.Verdict == Covered) != test.in {
				t.Errorf("%s: %v", g.Verdict, g.Reasons)
			}
		})
	}
}
