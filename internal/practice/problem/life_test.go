package problem

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// forward are the steps of the life of a Problem. Whoever declares several things at once takes several.
var forward = map[v1alpha1.ProblemState][]v1alpha1.ProblemState{
	"":                                {v1alpha1.ProblemNew, v1alpha1.ProblemAssess, v1alpha1.ProblemRootCauseAnalysis, v1alpha1.ProblemFixInProgress, v1alpha1.ProblemResolved, v1alpha1.ProblemClosed},
	v1alpha1.ProblemNew:               {v1alpha1.ProblemAssess, v1alpha1.ProblemRootCauseAnalysis, v1alpha1.ProblemFixInProgress, v1alpha1.ProblemResolved, v1alpha1.ProblemClosed},
	v1alpha1.ProblemAssess:            {v1alpha1.ProblemRootCauseAnalysis, v1alpha1.ProblemFixInProgress, v1alpha1.ProblemResolved, v1alpha1.ProblemClosed},
	v1alpha1.ProblemRootCauseAnalysis: {v1alpha1.ProblemFixInProgress, v1alpha1.ProblemResolved, v1alpha1.ProblemClosed},
	v1alpha1.ProblemFixInProgress:     {v1alpha1.ProblemResolved, v1alpha1.ProblemClosed},
	v1alpha1.ProblemResolved:          {v1alpha1.ProblemFixInProgress, v1alpha1.ProblemClosed},
	v1alpha1.ProblemClosed:            {},
}

// world is what people and the operator do around one Problem.
type world struct {
	in Input
	at time.Time
	// tookBack: the last event took back what was declared, or ended a Change without success, on which a state may rest.
	tookBack bool
}

func (w *world) event(rng *rand.Rand) {
	w.tookBack = false
	spec := &w.in.Problem.Spec
	w.declare(rng, spec)
	switch rng.IntN(14) {
	case 0, 1:
		fixing(&w.in)
		w.in.Changes[len(w.in.Changes)-1].Name = fmt.Sprint(len(w.in.Changes))
	case 2, 3:
		w.endChange(rng)
	case 4:
		// Its record was kept long enough.
		for i := range w.in.Changes {
			if c := &w.in.Changes[i]; c.State == v1alpha1.ChangeClosed {
				*c = Change{Name: c.Name}
			}
		}
	case 5:
		w.in.Incidents = append(w.in.Incidents, Incident{Name: fmt.Sprint(len(w.in.Incidents)), StartedAt: w.at, Failing: true, Reason: v1alpha1.SignalOOMKilled})
	case 6, 7:
		for i := range w.in.Incidents {
			if inc := &w.in.Incidents[i]; inc.EndedAt.IsZero() {
				inc.EndedAt, inc.Failing = w.at, false
			}
		}
	case 8:
		if n := len(w.in.Incidents); n > 0 {
			w.in.Incidents = slices.Delete(w.in.Incidents, n-1, n)
		}
	default:
	}
}

func (w *world) declare(rng *rand.Rand, spec *v1alpha1.ProblemSpec) {
	switch rng.IntN(24) {
	case 0, 1:
		spec.Owner = "bob"
	case 2, 3:
		spec.Confirmed = true
	case 4, 5:
		spec.RootCause = "found"
	case 6:
		spec.Workaround = "restart"
	case 7:
		*spec, w.tookBack = v1alpha1.ProblemSpec{Decision: spec.Decision}, true
	case 8:
		if spec.Decision == nil {
			spec.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionFixApplied, Reason: fmt.Sprint(w.at.Unix())}
		}
	case 9:
		if spec.Decision != nil && spec.Decision.Type == v1alpha1.DecisionFixApplied {
			spec.Decision.Reason = fmt.Sprint(w.at.Unix())
		}
	case 10:
		w.tookBack = w.tookBack || spec.Decision != nil
		spec.Decision = nil
	case 11:
		if rng.IntN(6) == 0 {
			spec.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionRiskAccepted, Reason: "rare", ReviewBy: v1alpha1.Timestamp(w.at.Add(20 * day).Format(time.RFC3339))}
		}
	default:
	}
}

func (w *world) endChange(rng *rand.Rand) {
	for i := range w.in.Changes {
		c := &w.in.Changes[i]
		if !c.Found || c.State == v1alpha1.ChangeClosed {
			continue
		}
		c.State, c.EndedAt, c.Outcome = v1alpha1.ChangeClosed, w.at, v1alpha1.OutcomeSuccessful
		if rng.IntN(3) == 0 {
			c.Outcome, w.tookBack = v1alpha1.OutcomeRolledBack, true
		}
		return
	}
}

// Whatever people, Changes and failures do, in whatever order, and whatever is deleted: a Problem takes only the steps
// of its table; back only where what a state rests on was taken back. It is decided the same each time, and alters
// before its next look only if something happens.
func TestLifeOfAProblem(t *testing.T) {
	seen := map[[2]v1alpha1.ProblemState]int{}
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := &world{in: problem(), at: now}
		w.in.Problem.Namespace, w.in.Problem.Name = "shop", "leak"
		// A manifest may declare much at once.
		for range rng.IntN(12) {
			w.event(rng)
		}
		for range 40 {
			w.event(rng)
			before := w.in.Problem.Status.State
			d := Evaluate(w.in, w.at)
			if d.Expired {
				break
			}
			seen[[2]v1alpha1.ProblemState{before, d.Status.State}]++
			if s := d.Status.State; s != before && !slices.Contains(forward[before], s) && !(w.tookBack && before != v1alpha1.ProblemClosed) {
				t.Fatalf("seed %d: from %s to %s", seed, before, s)
			}
			if before == v1alpha1.ProblemResolved && d.Status.State == v1alpha1.ProblemFixInProgress &&
				!meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionRecurring) && !slices.ContainsFunc(d.Status.Changes, isOpen) && !w.tookBack {
				t.Fatalf("seed %d: it came back without a failure, and without another fix", seed)
			}
			w.settles(t, seed, rng, d)
			w.at = w.at.Add(time.Duration(rng.Int64N(int64(5 * day)))).Truncate(time.Second)
		}
	}
	for from, steps := range forward {
		for _, to := range steps {
			if to != from && seen[[2]v1alpha1.ProblemState{from, to}] == 0 {
				t.Errorf("the simulation never takes the step from %q to %s", from, to)
			}
		}
	}
}

func isOpen(c v1alpha1.ProblemChange) bool { return c.State == v1alpha1.ProblemChangeOpen }

// settles writes what was decided, and checks that nothing is written again until the next look.
func (w *world) settles(t *testing.T, seed uint64, rng *rand.Rand, d Decision) {
	t.Helper()
	if !d.Next.IsZero() && !d.Next.After(w.at) {
		t.Fatalf("seed %d: the next look at %s is not after %s", seed, d.Next, w.at)
	}
	w.in.Problem.Status = d.Status
	later := w.at
	for range 3 {
		again := Evaluate(w.in, later)
		if !equality.Semantic.DeepEqual(d.Status, again.Status) || len(again.Events) > 0 || again.Expired {
			t.Fatalf("seed %d: at %s it is decided anew, though nothing happened since %s (next look %s; events %v, expired %t):\n%s",
				seed, later, w.at, d.Next, again.Events, again.Expired, cmp.Diff(d.Status, again.Status))
		}
		span := 400 * day
		if !d.Next.IsZero() {
			span = d.Next.Sub(w.at)
		}
		later = w.at.Add(time.Duration(rng.Int64N(int64(span))))
	}
}

func FuzzEvaluate(f *testing.F) {
	f.Add("2026-12-01T00:00:00Z", "cause", "workaround\x00", "why", int64(3600), int64(-7200), uint8(3))
	f.Add("", "", "", "", int64(0), int64(1<<40), uint8(0))
	f.Fuzz(func(t *testing.T, review, cause, workaround, reason string, started, lasted int64, flags uint8) {
		const most = int64(1 << 31)
		in := problem()
		spec := &in.Problem.Spec
		spec.RootCause, spec.Workaround, spec.Statement = cause, workaround, reason
		spec.Confirmed, in.HomeOpen = flags&1 > 0, flags&2 > 0
		if flags&4 > 0 {
			spec.Owner = v1alpha1.UserName(reason)
		}
		types := []v1alpha1.DecisionType{"", v1alpha1.DecisionRiskAccepted, v1alpha1.DecisionDuplicate, v1alpha1.DecisionFixApplied, v1alpha1.DecisionNotReproducible, "Nonsense"}
		if kind := types[int(flags>>4)%len(types)]; kind != "" {
			spec.Decision = &v1alpha1.ProblemDecision{Type: kind, Reason: reason, ReviewBy: v1alpha1.Timestamp(review)}
		}
		began := now.Add(time.Duration(started%most) * time.Second)
		in.Incidents = []Incident{{Name: reason, StartedAt: began, EndedAt: began.Add(time.Duration(lasted%most) * time.Second), Outage: true, Reopened: int(flags)}}
		in.Changes = []Change{{Name: "a", Found: flags&8 > 0, State: v1alpha1.ChangeClosed, Outcome: v1alpha1.OutcomeSuccessful, EndedAt: began}}
		d := Evaluate(in, now)
		if len(d.Status.NextStep) > maxNextStep || len(d.Status.Timeline) > maxTimeline {
			t.Fatalf("unbounded: %d characters, %d entries", len(d.Status.NextStep), len(d.Status.Timeline))
		}
		for _, e := range d.Status.Timeline {
			if len(e.What) > maxWhat {
				t.Fatalf("an entry of %d characters", len(e.What))
			}
		}
		if d.Status.Incidents.DowntimeSeconds < 0 || d.Status.Incidents.Total < 0 {
			t.Fatalf("negative figures: %+v", d.Status.Incidents)
		}
		in.Problem.Status = d.Status
		if again := Evaluate(in, now); !d.Expired && (!cmp.Equal(again.Status, d.Status) || len(again.Events) > 0) {
			t.Fatalf("decided anew:\n%s", cmp.Diff(d.Status, again.Status))
		}
	})
}

func TestAnAcceptedRiskIsReviewed(t *testing.T) {
	in := problem(owned, func(in *Input) {
		in.Problem.Namespace, in.Problem.Name = "shop", "leak"
		in.Problem.Spec.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionRiskAccepted, Reason: "rare", ReviewBy: "2026-12-22T12:00:00Z"}
	})
	d := Evaluate(in, now)
	review := now.Add(30 * day)
	if !d.ClosedNow || !d.Next.Equal(review) || meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReviewOverdue) {
		t.Fatalf("closed %t, next look %s, conditions %v", d.ClosedNow, d.Next, d.Status.Conditions)
	}
	in.Problem.Status = d.Status
	d = Evaluate(in, review)
	if !meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReviewOverdue) || len(d.Events) != 1 || !d.Events[0].Warning {
		t.Errorf("it is overdue without a word: %v %v", d.Events, d.Status.Conditions)
	}
	if want := "review the accepted risk now, it was due by 2026-12-22T12:00:00Z: kubectl itil problem accept-risk shop/leak --until DATE --reason \"…\""; d.Status.NextStep != want {
		t.Errorf("next step %q", d.Status.NextStep)
	}
	in.Problem.Status = d.Status
	in.Problem.Spec.Decision.ReviewBy = "2027-01-22T12:00:00Z"
	d = Evaluate(in, review)
	if meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReviewOverdue) || d.Expired {
		t.Error("it was reviewed, and is overdue still")
	}
	if d = Evaluate(in, now.Add(60*day+90*day)); d.Expired {
		t.Error("it was deleted too early")
	}
	if d = Evaluate(in, now.Add(61*day+90*day)); !d.Expired {
		t.Error("it is kept for ever")
	}
}

func TestAClosedRecordIsKeptAsLongAsItIsNeeded(t *testing.T) {
	closed := func(alter problemOption) Input {
		in := problem(alter)
		in.Problem.Status = Evaluate(in, now).Status
		return in
	}
	gone := now.Add(90 * day)
	if in := closed(decided(v1alpha1.DecisionNotReproducible)); !Evaluate(in, gone).Expired || Evaluate(in, gone.Add(-time.Second)).Expired {
		t.Error("a closed Problem is not kept for 90 days")
	}
	duplicate := closed(func(in *Input) {
		decided(v1alpha1.DecisionDuplicate)(in)
		in.Home, in.HomeOpen = "other", true
	})
	if Evaluate(duplicate, gone.Add(day)).Expired {
		t.Error("the incidents of a duplicate lost their Problem")
	}
	duplicate.HomeOpen = false
	if !Evaluate(duplicate, gone.Add(day)).Expired {
		t.Error("a duplicate is kept for ever")
	}
}
