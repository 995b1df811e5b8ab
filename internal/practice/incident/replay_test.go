package incident_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/replay"
)

// outcome is the one incident of a trace, after it ended and its world stood still for a while.
type outcome struct {
	Title      string
	State      v1alpha1.IncidentState
	Reason     v1alpha1.SignalReason
	Resolution v1alpha1.ResolutionCode
}

var outcomes = map[string]*outcome{
	"crashloop":     {"api: container app crashes again and again (exit code 3)", v1alpha1.IncidentNew, v1alpha1.SignalCrashLooping, ""},
	"crash-recover": {"api: container app crashes again and again (exit code 3)", v1alpha1.IncidentResolved, v1alpha1.SignalCrashLooping, v1alpha1.ResolutionFixedByChange},
	"oom":           {"cache: container app is OOMKilled", v1alpha1.IncidentNew, v1alpha1.SignalOOMKilled, ""},
	"imagepull":     {"web: the image of container app cannot be pulled", v1alpha1.IncidentNew, v1alpha1.SignalImagePullFailed, ""},
	"configerror":   {"web: container app cannot be created from its configuration", v1alpha1.IncidentNew, v1alpha1.SignalConfigInvalid, ""},
	"unschedulable": {"big: no node takes its pods", v1alpha1.IncidentNew, v1alpha1.SignalUnschedulable, ""},
	"notready":      {"web: pods run and are not ready", v1alpha1.IncidentNew, v1alpha1.SignalNotReady, ""},
	"initcrash":     {"web: init container migrate fails (exit code 3)", v1alpha1.IncidentNew, v1alpha1.SignalInitFailed, ""},
	"job":           {"report: the Job failed (exit code 4)", v1alpha1.IncidentNew, v1alpha1.SignalJobFailed, ""},
	"rollout":       nil,
	"drain":         nil,
}

// afterwards is how long each world is watched after its trace ended: longer than every grace time and hold.
const afterwards = 40 * time.Minute

func load(t *testing.T, name string) *replay.Trace {
	t.Helper()
	trace, err := replay.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func (w *world) outcome(t *testing.T) *outcome {
	t.Helper()
	switch len(w.incidents) {
	case 0:
		return nil
	case 1:
	default:
		t.Errorf("more than one incident: %v", w.summary())
	}
	i := w.incidents[0]
	o := &outcome{Title: i.Spec.Title, State: i.Status.State, Reason: i.Status.Reason}
	if i.Status.Resolution != nil {
		o.Resolution = i.Status.Resolution.Code
	}
	return o
}

func TestTraces(t *testing.T) {
	if diff := cmp.Diff(replay.Names(), sortedKeys(outcomes)); diff != "" {
		t.Fatal(diff)
	}
	for name, want := range outcomes {
		t.Run(name, func(t *testing.T) {
			trace, w := load(t, name), newWorld(t)
			if err := trace.Play(w); err != nil {
				t.Fatal(err)
			}
			w.pass(trace.End().Add(afterwards))
			if diff := cmp.Diff(want, w.outcome(t)); diff != "" {
				t.Error(diff)
			}
			for name, n := range w.writes {
				if n > 12 {
					t.Errorf("%d writes to %s", n, name)
				}
			}
		})
	}
}

// TestTracesWhatever plays the traces in ways in which a watch may deliver them: each must lead to the same incident.
func TestTracesWhatever(t *testing.T) {
	for name, want := range outcomes {
		for _, seed := range []uint64{1, 2, 3, 4, 5} {
			for how, distort := range map[string]func(*replay.Trace, *rand.Rand){
				"shuffled": shuffle, "repeated": repeat, "lost": lose,
			} {
				t.Run(name+"/"+how, func(t *testing.T) {
					trace, w := load(t, name), newWorld(t)
					distort(trace, rand.New(rand.NewPCG(seed, 1)))
					if err := trace.Play(w); err != nil {
						t.Fatal(err)
					}
					w.pass(trace.End().Add(afterwards))
					got := w.outcome(t)
					if want != nil && got != nil && how == "lost" {
						// It is named after what is known first, which may be a symptom.
						got.Title = want.Title
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("seed %d: %s", seed, diff)
					}
				})
			}
		}
	}
}

// shuffle changes the order of what comes within two seconds, but not of the versions of one object.
func shuffle(trace *replay.Trace, random *rand.Rand) {
	events := trace.Events
	for i := range events {
		j := i + random.IntN(8)
		if j >= len(events) || events[j].Time.Sub(events[i].Time) > 2*time.Second {
			continue
		}
		same := slices.ContainsFunc(events[i:j], func(e replay.Event) bool {
			return e.Object.GetUID() == events[j].Object.GetUID()
		})
		if same || i == j {
			continue
		}
		moved := events[j]
		moved.Time = events[i].Time
		copy(events[i+1:j+1], events[i:j])
		events[i] = moved
		for k := i + 1; k <= j; k++ {
			if events[k].Time.Before(events[k-1].Time) {
				events[k].Time = events[k-1].Time
			}
		}
	}
}

func repeat(trace *replay.Trace, random *rand.Rand) {
	var out []replay.Event
	for _, e := range trace.Events {
		out = append(out, e)
		if random.IntN(2) == 0 {
			out = append(out, e)
		}
	}
	trace.Events = out
}

// lose drops half of the events that are not the last of their object, which a list or a later event makes good.
func lose(trace *replay.Trace, random *rand.Rand) {
	var out []replay.Event
	for i, e := range trace.Events {
		last := !slices.ContainsFunc(trace.Events[i+1:], func(later replay.Event) bool {
			return later.Object.GetUID() == e.Object.GetUID()
		})
		if last || random.IntN(2) == 0 {
			out = append(out, e)
		}
	}
	trace.Events = out
}

// TestTracesFromAnywhere begins, or begins again, at each event of each trace with nothing but a list of what exists.
func TestTracesFromAnywhere(t *testing.T) {
	for name, want := range outcomes {
		t.Run(name, func(t *testing.T) {
			trace := load(t, name)
			for n := range len(trace.Events) {
				w := newWorld(t)
				for _, e := range trace.Snapshot(n) {
					w.put(e)
					if key, ok := w.keyOf(e.Object); ok {
						w.known[key] = true
					}
				}
				if n > 0 {
					w.now = trace.Events[n-1].Time
				}
				w.restart()
				for _, e := range trace.Events[n:] {
					_ = w.Apply(e)
				}
				w.pass(trace.End().Add(afterwards))
				got := w.outcome(t)
				if name == "crash-recover" && got == nil && n >= firstCure(trace) {
					continue // It was over before we began to look.
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("from event %d: %s", n, diff)
				}
			}
		})
	}
}

// firstCure is the event that brings the template that repairs.
func firstCure(trace *replay.Trace) int {
	return slices.IndexFunc(trace.Events, func(e replay.Event) bool {
		return e.Object.GetKind() == "Deployment" && e.Object.GetGeneration() > 1
	})
}

// TestTracesWithRestarts loses all memory at each event: what was opened stays one incident.
func TestTracesWithRestarts(t *testing.T) {
	for name, want := range outcomes {
		t.Run(name, func(t *testing.T) {
			trace := load(t, name)
			for n := range len(trace.Events) {
				w := newWorld(t)
				for i, e := range trace.Events {
					_ = w.Apply(e)
					if i == n {
						w.restart()
					}
				}
				w.pass(trace.End().Add(time.Minute))
				w.restart()
				w.pass(trace.End().Add(afterwards))
				if diff := cmp.Diff(want, w.outcome(t)); diff != "" {
					t.Errorf("restarted after event %d: %s", n, diff)
				}
			}
		})
	}
}

func sortedKeys(m map[string]*outcome) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
