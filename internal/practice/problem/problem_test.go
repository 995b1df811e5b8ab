package problem

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// failed is an incident that began so long ago and lasted an hour.
func failed(name string, began time.Duration) Incident {
	return Incident{Name: name, StartedAt: ago(began), EndedAt: ago(began - time.Hour), Workload: "checkout", Reason: v1alpha1.SignalOOMKilled}
}

func reopened(i Incident, times int, last time.Duration) Incident {
	i.Reopened, i.ReopenedAt = times, ago(last)
	return i
}

func TestRecurs(t *testing.T) {
	major := failed("a", day)
	major.Major = true
	openMajor := major
	openMajor.EndedAt = time.Time{}
	cases := map[string]struct {
		incidents []Incident
		since     time.Time
		want      Cause
		count     int
	}{
		"nothing":                              {},
		"two":                                  {incidents: []Incident{failed("a", 2*day), failed("b", day)}, count: 2},
		"three":                                {incidents: []Incident{failed("a", 3*day), failed("b", 2*day), failed("c", day)}, want: Recurrence, count: 3},
		"three, one too long ago":              {incidents: []Incident{failed("a", 31*day), failed("b", 2*day), failed("c", day)}, count: 2},
		"exactly thirty days ago counts":       {incidents: []Incident{failed("a", 30*day), failed("b", 2*day), failed("c", day)}, want: Recurrence, count: 3},
		"reopenings count":                     {incidents: []Incident{reopened(failed("a", day), 2, day)}, want: Recurrence, count: 3},
		"of an old one, the known reopening":   {incidents: []Incident{reopened(failed("a", 40*day), 5, day), failed("b", day)}, count: 2},
		"an earlier Problem answered for them": {incidents: []Incident{failed("a", 3*day), failed("b", 2*day), failed("c", day)}, since: ago(36 * time.Hour), count: 1},
		"after a major one":                    {incidents: []Incident{major}, want: MajorIncident, count: 1},
		"not while the major one goes on":      {incidents: []Incident{openMajor}, count: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, count := Recurs(c.incidents, c.since, DefaultRules, now)
			if got != c.want || count != c.count {
				t.Errorf("got %q, %d; want %q, %d", got, count, c.want, c.count)
			}
		})
	}
}

type problemOption func(*Input)

func problem(options ...problemOption) Input {
	in := Input{Problem: &v1alpha1.Problem{}, Rules: DefaultRules}
	for _, o := range options {
		o(&in)
	}
	return in
}

func owned(in *Input)     { in.Problem.Spec.Owner = "bob" }
func confirmed(in *Input) { in.Problem.Spec.Confirmed = true }
func understood(in *Input) {
	owned(in)
	confirmed(in)
	in.Problem.Spec.RootCause = "a cache without a bound"
}

func decided(d v1alpha1.DecisionType) problemOption {
	return func(in *Input) { in.Problem.Spec.Decision = &v1alpha1.ProblemDecision{Type: d} }
}

func fixedBy(outcome v1alpha1.Outcome, closed time.Duration) problemOption {
	return func(in *Input) {
		in.Changes = append(in.Changes, Change{Name: fmt.Sprint(len(in.Changes)), Found: true, Outcome: outcome, ClosedAt: ago(closed)})
	}
}

func fixing(in *Input) { in.Changes = append(in.Changes, Change{Name: "open", Found: true}) }

func with(incidents ...Incident) problemOption {
	return func(in *Input) { in.Incidents = append(in.Incidents, incidents...) }
}

func resolvedAt(d time.Duration) problemOption {
	return func(in *Input) {
		at := metav1.NewTime(ago(d))
		in.Problem.Status.ResolvedAt = &at
	}
}

func TestStand(t *testing.T) {
	cases := map[string]struct {
		in   Input
		want Standing
	}{
		"new":                               {in: problem(), want: Standing{State: v1alpha1.ProblemNew}},
		"confirmed without an owner is new": {in: problem(confirmed), want: Standing{State: v1alpha1.ProblemNew}},
		"owned":                             {in: problem(owned), want: Standing{State: v1alpha1.ProblemAssess}},
		"confirmed":                         {in: problem(owned, confirmed), want: Standing{State: v1alpha1.ProblemRootCauseAnalysis}},
		"a cause without a change":          {in: problem(understood), want: Standing{State: v1alpha1.ProblemRootCauseAnalysis}},
		"a change without a cause":          {in: problem(owned, confirmed, fixing), want: Standing{State: v1alpha1.ProblemRootCauseAnalysis}},
		"a change that does not exist": {in: problem(understood, func(in *Input) { in.Changes = []Change{{Name: "gone"}} }),
			want: Standing{State: v1alpha1.ProblemRootCauseAnalysis}},
		"being fixed":        {in: problem(understood, fixing), want: Standing{State: v1alpha1.ProblemFixInProgress}},
		"the fix failed":     {in: problem(understood, fixedBy(v1alpha1.OutcomeRolledBack, day)), want: Standing{State: v1alpha1.ProblemRootCauseAnalysis}},
		"in, but not proved": {in: problem(understood, fixedBy(v1alpha1.OutcomeSuccessful, 6*day)), want: Standing{State: v1alpha1.ProblemFixInProgress, FixedAt: ago(6 * day), Next: now.Add(day)}},
		"one of two fixes is in": {in: problem(understood, fixedBy(v1alpha1.OutcomeSuccessful, 9*day), fixing),
			want: Standing{State: v1alpha1.ProblemFixInProgress}},
		"proved": {in: problem(understood, with(failed("a", 9*day)), fixedBy(v1alpha1.OutcomeSuccessful, 8*day)),
			want: Standing{State: v1alpha1.ProblemResolved, FixedAt: ago(8 * day), ResolvedAt: ago(day), Next: now.Add(29 * day)}},
		"the last of two fixes counts": {in: problem(understood, fixedBy(v1alpha1.OutcomeSuccessful, 20*day), fixedBy(v1alpha1.OutcomeSuccessfulWithIssues, 3*day)),
			want: Standing{State: v1alpha1.ProblemFixInProgress, FixedAt: ago(3 * day), Next: now.Add(4 * day)}},
		"recurred within the week": {in: problem(understood, with(failed("a", 2*day)), fixedBy(v1alpha1.OutcomeSuccessful, 8*day)),
			want: Standing{State: v1alpha1.ProblemFixInProgress, FixedAt: ago(8 * day), RecurredAt: ago(2 * day)}},
		"recurred by reopening": {in: problem(understood, with(reopened(failed("a", 10*day), 1, 2*day)), fixedBy(v1alpha1.OutcomeSuccessful, 9*day)),
			want: Standing{State: v1alpha1.ProblemFixInProgress, FixedAt: ago(9 * day), RecurredAt: ago(2 * day)}},
		"long resolved": {in: problem(understood, fixedBy(v1alpha1.OutcomeSuccessful, 37*day)),
			want: Standing{State: v1alpha1.ProblemClosed, FixedAt: ago(37 * day), ResolvedAt: ago(30 * day), ClosedAt: now}},
		"risk accepted":      {in: problem(decided(v1alpha1.DecisionRiskAccepted)), want: Standing{State: v1alpha1.ProblemClosed, ClosedAt: now}},
		"fix applied":        {in: problem(decided(v1alpha1.DecisionFixApplied)), want: Standing{State: v1alpha1.ProblemResolved, FixedAt: now, ResolvedAt: now, Next: now.Add(30 * day)}},
		"fix applied, held":  {in: problem(decided(v1alpha1.DecisionFixApplied), resolvedAt(5*day)), want: Standing{State: v1alpha1.ProblemResolved, FixedAt: ago(5 * day), ResolvedAt: ago(5 * day), Next: now.Add(25 * day)}},
		"fix applied, again": {in: problem(decided(v1alpha1.DecisionFixApplied), resolvedAt(5*day), with(failed("a", day))), want: Standing{State: v1alpha1.ProblemFixInProgress, FixedAt: ago(5 * day), RecurredAt: ago(day)}},
		"closed stays closed": {in: problem(owned, func(in *Input) {
			at := metav1.NewTime(ago(day))
			in.Problem.Status = v1alpha1.ProblemStatus{State: v1alpha1.ProblemClosed, ClosedAt: &at}
		}), want: Standing{State: v1alpha1.ProblemClosed, ClosedAt: ago(day)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Stand(c.in, now)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// allowed are the steps of the life of a Problem. Whoever declares several things at once takes several.
var allowed = map[v1alpha1.ProblemState][]v1alpha1.ProblemState{
	v1alpha1.ProblemNew:               {v1alpha1.ProblemAssess, v1alpha1.ProblemRootCauseAnalysis, v1alpha1.ProblemFixInProgress, v1alpha1.ProblemResolved, v1alpha1.ProblemClosed},
	v1alpha1.ProblemAssess:            {v1alpha1.ProblemRootCauseAnalysis, v1alpha1.ProblemFixInProgress, v1alpha1.ProblemResolved, v1alpha1.ProblemClosed},
	v1alpha1.ProblemRootCauseAnalysis: {v1alpha1.ProblemFixInProgress, v1alpha1.ProblemResolved, v1alpha1.ProblemClosed},
	v1alpha1.ProblemFixInProgress:     {v1alpha1.ProblemRootCauseAnalysis, v1alpha1.ProblemResolved, v1alpha1.ProblemClosed},
	v1alpha1.ProblemResolved:          {v1alpha1.ProblemFixInProgress, v1alpha1.ProblemClosed},
	v1alpha1.ProblemClosed:            {},
}

// Whatever people, changes and failures do, in whatever order, a Problem takes only allowed steps, and says nothing
// of the future.
func TestLifeOfAProblem(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		in, at, state := problem(), now, v1alpha1.ProblemNew
		for range 40 {
			event(rng, &in, at)
			s := Stand(in, at)
			if s.State != state && !contains(allowed[state], s.State) {
				t.Fatalf("seed %d: from %s to %s", seed, state, s.State)
			}
			if again := Stand(in, at); !cmp.Equal(s, again) {
				t.Fatalf("seed %d: not deterministic", seed)
			}
			if !s.Next.IsZero() && !s.Next.After(at) {
				t.Fatalf("seed %d: the next look at %s is not after %s", seed, s.Next, at)
			}
			state = s.State
			record(&in, s)
			at = at.Add(time.Duration(rng.Int64N(int64(5 * day))))
		}
	}
}

func contains(states []v1alpha1.ProblemState, s v1alpha1.ProblemState) bool {
	return slices.Contains(states, s)
}

// record keeps what a controller would write.
func record(in *Input, s Standing) {
	in.Problem.Status.State = s.State
	if !s.ResolvedAt.IsZero() {
		at := metav1.NewTime(s.ResolvedAt)
		in.Problem.Status.ResolvedAt = &at
	}
	if !s.ClosedAt.IsZero() {
		at := metav1.NewTime(s.ClosedAt)
		in.Problem.Status.ClosedAt = &at
	}
}

func event(rng *rand.Rand, in *Input, at time.Time) {
	switch rng.IntN(12) {
	case 0:
		owned(in)
	case 1:
		if in.Problem.Spec.Owner != "" {
			confirmed(in)
		}
	case 2:
		if in.Problem.Spec.Confirmed {
			in.Problem.Spec.RootCause = "found"
		}
	case 3:
		if in.Problem.Spec.RootCause != "" && len(in.Changes) == 0 {
			fixing(in)
		}
	case 4, 5:
		for i := range in.Changes {
			if in.Changes[i].open() {
				in.Changes[i].ClosedAt, in.Changes[i].Outcome = at, v1alpha1.OutcomeSuccessful
			}
		}
	case 6:
		in.Incidents = append(in.Incidents, Incident{StartedAt: at, EndedAt: at.Add(time.Minute)})
	case 7:
		if rng.IntN(20) == 0 && in.Problem.Spec.Decision == nil {
			decided(v1alpha1.DecisionRiskAccepted)(in)
		}
	default:
	}
}

func TestCount(t *testing.T) {
	open := Incident{Name: "open", StartedAt: ago(time.Hour)}
	got := Count([]Incident{open, failed("old", 40*day), reopened(failed("mid", 10*day), 1, 9*day)}, DefaultRules, now)
	first, last := metav1.NewTime(ago(40*day)), metav1.NewTime(ago(time.Hour))
	want := &v1alpha1.ProblemIncidents{
		Total: 4, Open: 1, Last30Days: 3, DowntimeSeconds: 7200, RankDowntimeSeconds: 7200, RankFailures: 4, First: &first, Last: &last, Names: []string{"open", "mid", "old"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var many []Incident
	for i := range 50 {
		many = append(many, failed(fmt.Sprint(i), time.Duration(50-i)*day))
	}
	if got := Count(many, DefaultRules, now); len(got.Names) != 10 || got.Names[0] != "49" {
		t.Errorf("names %v, want the last ten, the newest first", got.Names)
	}
}

func TestRank(t *testing.T) {
	weights := []Weight{
		WeightOf("shop/often", []Incident{failed("a", 3*day), failed("b", 2*day)}, DefaultRules, now),
		WeightOf("shop/long", []Incident{{StartedAt: ago(10 * day), EndedAt: ago(9 * day)}}, DefaultRules, now),
		WeightOf("shop/same", []Incident{{StartedAt: ago(day), EndedAt: ago(22 * time.Hour)}}, DefaultRules, now),
		WeightOf("shop/ancient", []Incident{{StartedAt: ago(200 * day), EndedAt: ago(150 * day)}}, DefaultRules, now),
	}
	want := map[string]int32{"shop/long": 1, "shop/often": 2, "shop/same": 3, "shop/ancient": 4}
	if diff := cmp.Diff(want, Rank(weights)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNameSaysWhatFailsAndIsBounded(t *testing.T) {
	if got := Name("checkout", v1alpha1.SignalOOMKilled, "f", 1); got != Name("checkout", v1alpha1.SignalOOMKilled, "f", 1) || got[:19] != "checkout-oomkilled-" {
		t.Errorf("name %q", got)
	}
	if Name("checkout", v1alpha1.SignalOOMKilled, "f", 1) == Name("checkout", v1alpha1.SignalOOMKilled, "f", 2) {
		t.Error("episodes share a name")
	}
	long := Name(string(make([]byte, 300)), v1alpha1.SignalOOMKilled, "f", 1)
	if len(long) > 63 {
		t.Errorf("name has %d characters", len(long))
	}
}
