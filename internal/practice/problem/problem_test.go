package problem

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// failed is an incident that began so long ago and lasted an hour.
func failed(name string, began time.Duration) Incident {
	return Incident{
		Name: name, StartedAt: ago(began), EndedAt: ago(began - time.Hour), Outage: true,
		Workload: "checkout", Reason: v1alpha1.SignalOOMKilled,
	}
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
		in.Changes = append(in.Changes, Change{
			Name: fmt.Sprint(len(in.Changes)), Found: true, State: v1alpha1.ChangeClosed, Outcome: outcome, EndedAt: ago(closed),
		})
	}
}

func fixing(in *Input) {
	in.Changes = append(in.Changes, Change{Name: "open", Found: true, State: v1alpha1.ChangeAuthorize})
}

func with(incidents ...Incident) problemOption {
	return func(in *Input) { in.Incidents = append(in.Incidents, incidents...) }
}

// declared is a fix outside a Change that was first seen so long ago.
func declared(d time.Duration) problemOption {
	return func(in *Input) {
		decided(v1alpha1.DecisionFixApplied)(in)
		in.Problem.Status.Fix = &v1alpha1.ProblemFix{At: metav1.NewTime(ago(d))}
	}
}

// wasResolved is a Problem that has been Resolved for so long.
func wasResolved(d time.Duration) problemOption {
	return func(in *Input) {
		at := metav1.NewTime(ago(d))
		in.Problem.Status.State, in.Problem.Status.ResolvedAt = v1alpha1.ProblemResolved, &at
	}
}

func failing(began time.Duration) Incident {
	i := failed("failing", began)
	i.EndedAt, i.Failing = time.Time{}, true
	return i
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
		"it fails still": {in: problem(understood, with(failing(20*day)), fixedBy(v1alpha1.OutcomeSuccessful, 9*day)),
			want: Standing{State: v1alpha1.ProblemFixInProgress, FixedAt: ago(9 * day)}},
		"what had failed before ended after the fix": {in: problem(understood, with(failed("a", 8*day)), fixedBy(v1alpha1.OutcomeSuccessful, 8*day), func(in *Input) {
			in.Incidents[0].EndedAt = ago(5 * day)
		}), want: Standing{State: v1alpha1.ProblemFixInProgress, FixedAt: ago(8 * day), Next: now.Add(2 * day)}},
		"resolved stays resolved when its incidents are gone": {in: problem(understood, wasResolved(2*day), fixedBy(v1alpha1.OutcomeSuccessful, 10*day)),
			want: Standing{State: v1alpha1.ProblemResolved, FixedAt: ago(10 * day), ResolvedAt: ago(2 * day), Next: now.Add(28 * day)}},
		"resolved, and another fix is on its way": {in: problem(understood, wasResolved(2*day), fixedBy(v1alpha1.OutcomeSuccessful, 10*day), fixing),
			want: Standing{State: v1alpha1.ProblemFixInProgress}},
		"a fix whose record is gone": {in: problem(understood, func(in *Input) {
			at := metav1.NewTime(ago(6 * day))
			in.Problem.Status.Changes = []v1alpha1.ProblemChange{{Name: "gone", State: v1alpha1.ProblemChangeSucceeded, EndedAt: &at}}
			in.Changes = []Change{{Name: "gone"}}
		}), want: Standing{State: v1alpha1.ProblemFixInProgress, FixedAt: ago(6 * day), Next: now.Add(day)}},
		"a fix under review": {in: problem(understood, func(in *Input) {
			in.Changes = []Change{{Name: "a", Found: true, State: v1alpha1.ChangeReview, Outcome: v1alpha1.OutcomeSuccessful}}
		}), want: Standing{State: v1alpha1.ProblemFixInProgress}},
		"a fix that was canceled": {in: problem(understood, func(in *Input) {
			in.Changes = []Change{{Name: "a", Found: true, State: v1alpha1.ChangeCanceled, EndedAt: ago(day)}}
		}), want: Standing{State: v1alpha1.ProblemRootCauseAnalysis}},
		"risk accepted":      {in: problem(decided(v1alpha1.DecisionRiskAccepted)), want: Standing{State: v1alpha1.ProblemClosed, ClosedAt: now}},
		"not reproducible":   {in: problem(decided(v1alpha1.DecisionNotReproducible)), want: Standing{State: v1alpha1.ProblemClosed, ClosedAt: now}},
		"a duplicate":        {in: problem(decided(v1alpha1.DecisionDuplicate), func(in *Input) { in.Home = "other" }), want: Standing{State: v1alpha1.ProblemClosed, ClosedAt: now}},
		"of nothing":         {in: problem(owned, decided(v1alpha1.DecisionDuplicate), func(in *Input) { in.Refused = "there is no Problem" }), want: Standing{State: v1alpha1.ProblemAssess}},
		"fix applied":        {in: problem(decided(v1alpha1.DecisionFixApplied)), want: Standing{State: v1alpha1.ProblemResolved, FixedAt: now, ResolvedAt: now, Next: now.Add(30 * day)}},
		"fix applied, held":  {in: problem(declared(5 * day)), want: Standing{State: v1alpha1.ProblemResolved, FixedAt: ago(5 * day), ResolvedAt: ago(5 * day), Next: now.Add(25 * day)}},
		"fix applied, again": {in: problem(declared(5*day), with(failed("a", day))), want: Standing{State: v1alpha1.ProblemFixInProgress, FixedAt: ago(5 * day), RecurredAt: ago(day)}},
		"another fix applied": {in: problem(declared(5*day), with(failed("a", day)), func(in *Input) { in.Problem.Spec.Decision.Reason = "a better one" }),
			want: Standing{State: v1alpha1.ProblemResolved, FixedAt: now, ResolvedAt: now, Next: now.Add(30 * day)}},
		"closed stays closed": {in: problem(owned, func(in *Input) {
			at := metav1.NewTime(ago(day))
			in.Problem.Status = v1alpha1.ProblemStatus{State: v1alpha1.ProblemClosed, ClosedAt: &at}
		}), want: Standing{State: v1alpha1.ProblemClosed, ClosedAt: ago(day)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := Stand(c.in, now)
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Standing{}, "Changes", "Fix")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
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
		WeightOf("shop/long", []Incident{{StartedAt: ago(10 * day), EndedAt: ago(9 * day), Outage: true}}, DefaultRules, now),
		WeightOf("shop/same", []Incident{{StartedAt: ago(day), EndedAt: ago(22 * time.Hour), Outage: true}}, DefaultRules, now),
		WeightOf("shop/ancient", []Incident{{StartedAt: ago(200 * day), EndedAt: ago(150 * day), Outage: true}}, DefaultRules, now),
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

func TestRankHasABound(t *testing.T) {
	var weights []Weight
	for i := range 80 {
		weights = append(weights, Weight{Name: fmt.Sprint(i), DowntimeSeconds: int64(1000 - i)})
	}
	ranks := Rank(weights)
	if ranks["0"] != 1 || ranks["49"] != 50 || ranks["50"] != LastRank || ranks["79"] != LastRank {
		t.Errorf("ranks %v", ranks)
	}
	// One that comes before all others alters the places of the first fifty, and of no more.
	after, moved := Rank(append(weights, Weight{Name: "new", DowntimeSeconds: 5000})), 0
	for name, rank := range ranks {
		if after[name] != rank {
			moved++
		}
	}
	if moved != 50 {
		t.Errorf("%d places moved", moved)
	}
}

func TestDowntime(t *testing.T) {
	outage := func(from, to time.Duration) Incident {
		return Incident{StartedAt: ago(from), EndedAt: ago(to), Outage: true}
	}
	cases := map[string]struct {
		incidents []Incident
		want      int64
	}{
		"none":               {},
		"one":                {[]Incident{outage(time.Hour, 0)}, 3600},
		"degraded":           {[]Incident{{StartedAt: ago(time.Hour), EndedAt: now}}, 0},
		"goes on":            {[]Incident{{StartedAt: ago(time.Hour), Outage: true}}, 0},
		"two that overlap":   {[]Incident{outage(3*time.Hour, time.Hour), outage(2*time.Hour, 0)}, 3 * 3600},
		"one within another": {[]Incident{outage(2*time.Hour, time.Hour), outage(3*time.Hour, 0)}, 3 * 3600},
		"one after another":  {[]Incident{outage(time.Hour, 0), outage(3*time.Hour, 2*time.Hour)}, 2 * 3600},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := downtime(c.incidents); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
