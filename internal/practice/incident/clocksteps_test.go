package incident_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestClockSteps sets the operator's clock an hour back or ahead before each event of each trace, for good or for a
// while, or corrects one that was wrong from the beginning. Set back, the same Incidents come out, as soon as ever. Set
// ahead, what is within its grace time at that moment seems to be over it: what is told then is told of the same
// workload in one Incident, which ends as it should.
func TestClockSteps(t *testing.T) {
	for name, want := range outcomes {
		for how, skews := range map[string][3]time.Duration{
			"an hour back": {0, -hour, -hour}, "an hour back for a while": {0, -hour, 0}, "back to what is right": {hour, 0, 0},
			"an hour ahead": {0, hour, hour}, "an hour ahead for a while": {0, hour, 0}, "ahead to what is right": {-hour, 0, 0},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				trace := load(t, name)
				back := skews[0] == 0 && skews[1] < 0
				step := 1 + len(trace.Events)/20
				if back {
					step = 1
				}
				for n := 0; n < len(trace.Events); n += step {
					w := newWorld(t)
					w.skew = skews[0]
					for i, e := range trace.Events {
						if i == n {
							w.skew = skews[1]
						}
						_ = w.Apply(e)
					}
					w.pass(trace.End().Add(time.Minute))
					w.skew = skews[2]
					w.pass(trace.End().Add(afterwards))
					diff := w.endsAs(want)
					if back {
						diff = cmp.Diff(want, w.outcome(t))
					}
					if diff != "" {
						t.Fatalf("before event %d of %d: %s %v", n, len(trace.Events), diff, w.summary())
					}
				}
			})
		}
	}
}

// endsAs says in what the end of a world differs from what it should be; that something else was told as well does not.
func (w *world) endsAs(want *outcome) string {
	open := want != nil && want.State != v1alpha1.IncidentResolved
	about := map[v1alpha1.ObjectName]bool{}
	for _, i := range w.incidents {
		about[i.Spec.WorkloadRef.Name] = true
	}
	switch {
	case len(w.incidents) > len(about) || len(w.open()) > 1:
		return "more than one"
	case (len(w.open()) > 0) != open:
		return fmt.Sprintf("open is %t, want %t", !open, open)
	case want != nil && len(w.incidents) == 0:
		return "none"
	case want != nil && !slices.ContainsFunc(w.incidents, func(i *v1alpha1.Incident) bool {
		return slices.ContainsFunc(i.Status.Signals, func(s v1alpha1.Signal) bool { return s.Reason == want.Reason })
	}):
		return "another reason"
	}
	return ""
}

// TestClockStepsInRecovery sets the clock while a recovery is held: it is resolved within minutes, and stays so.
func TestClockStepsInRecovery(t *testing.T) {
	trace := load(t, "crash-recover")
	for _, step := range []time.Duration{-hour, hour} {
		for after := time.Duration(0); after < 12*minute; after += 20 * second {
			w := newWorld(t)
			_ = trace.Play(w)
			w.pass(trace.End().Add(after))
			w.skew = step
			w.pass(trace.End().Add(after + 2*longestRecovery))
			if diff := cmp.Diff(outcomes["crash-recover"], w.outcome(t)); diff != "" || w.incidents[0].Status.Reopened > 0 {
				t.Errorf("%s, %s after its end: %s", step, after, diff)
			}
		}
	}
}

// TestClockSetBackAfterAResolution: what fails then is told at once, though it seems to have begun before the end.
func TestClockSetBackAfterAResolution(t *testing.T) {
	for _, closed := range []bool{false, true} {
		w := newWorld(t)
		k := newKubelet(w)
		for range 5 {
			k.crash(20 * second)
		}
		w.pass(at(k.now + longestRecovery))
		if closed {
			w.incidents[0].Spec.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionSelfRecovered, Closed: true}
			w.live(w.incidents[0].Name)
		}
		w.skew = -hour
		w.pass(at(k.now + longestRecovery + minute))
		for range 4 {
			k.crash(20 * second)
		}
		want := 1
		if closed {
			want = 2
		}
		if len(w.incidents) != want || len(w.open()) != 1 {
			t.Errorf("closed %t: %v", closed, w.summary())
		}
	}
}
