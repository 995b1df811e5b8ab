package incident_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// kubelet plays the runs of the container app of one pod: each ends with an error, and the next begins after the
// back-off, which a run of ten minutes ends. The last run goes on.
type kubelet struct {
	w        *world
	now      time.Duration
	wait     time.Duration
	restarts int32
	from, to time.Duration
	// killed: what ends a run is that memory ran out.
	killed bool
}

func (k *kubelet) why() (reason string, code int32) {
	if k.killed {
		return "OOMKilled", 137
	}
	return "Error", 1
}

func newKubelet(w *world) *kubelet {
	k := &kubelet{w: w}
	k.runs()
	return k
}

func (k *kubelet) pod() *podBuilder {
	pod := aPod("web-1-a")
	if k.restarts > 0 {
		reason, code := k.why()
		pod.last("app", reason, code, k.from, k.to)
	}
	return pod
}

func (k *kubelet) runs() {
	k.w.play(k.now+second, watch.Modified, k.pod().running("app", k.restarts, k.now).condition(corev1.PodReady, corev1.ConditionTrue, "", k.now+second).full())
	k.w.play(k.now+second, watch.Modified, webDeployment("1", 1, 1, 1, 1))
}

// crash ends the present run when it lasted for so long, and returns when the next began.
func (k *kubelet) crash(after time.Duration) time.Duration {
	end := k.now + max(after, second)
	reason, code := k.why()
	k.w.play(end, watch.Modified, k.pod().restarts("app", k.restarts).ended("app", reason, code, k.now, end).unready(end).full())
	k.w.play(end, watch.Modified, webDeployment("1", 1, 1, 1, 0))
	if end-k.now >= 10*minute {
		k.wait = 0
	}
	k.from, k.to, k.now = k.now, end, end+k.wait
	k.wait = min(max(2*k.wait, 10*second), 5*minute)
	k.restarts++
	k.runs()
	return k.now
}

// open are the Incidents that are neither resolved nor closed.
func (w *world) open() []*v1alpha1.Incident {
	var out []*v1alpha1.Incident
	for _, i := range w.incidents {
		if i.Status.State != v1alpha1.IncidentResolved && i.Status.State != v1alpha1.IncidentClosed {
			out = append(out, i)
		}
	}
	return out
}

// longestRecovery is how long after its last restart a loop may be open: the longest hold-down, and the second that a
// pod takes to be ready.
const longestRecovery = 10*minute + 2*second

// longestRecovery is the same where slow loops were opened again: twice as long for each time, and half as long again as
// the longest pause that there was, but not more than a day.
func (w *world) longestRecovery(pause time.Duration) time.Duration {
	longest := longestRecovery
	for _, i := range w.open() {
		if times := i.Status.Reopened; times > 0 {
			longest = max(longest, min(max(10*minute<<min(times, 10), pause*3/2), 24*hour)+2*second)
		}
	}
	return longest
}

// TestASlowLoopIsOneIncident: a container that crashes with pauses of minutes or hours, however often, is one Incident,
// which seemed to be over once at most and then stays open; repaired by another template, it is over in minutes, and by
// anything else when it ran half as long again as its pauses. Another of its crashes is written once by each of the two
// that write.
func TestASlowLoopIsOneIncident(t *testing.T) {
	slow := []time.Duration{11 * minute, 40 * minute, 2 * hour, 4*hour + 30*minute, 5*hour + 50*minute}
	// Two kills a day are a signal, whatever is between them; five restarts are, unless a Service sets another number.
	slower := append(slices.Clone(slow), 7*hour, 13*hour, 21*hour)
	for name, c := range map[string]struct {
		gaps   []time.Duration
		killed bool
		// repaired at once, or while it seems to be well.
		repaired, late bool
	}{
		"": {gaps: slow}, "repaired": {gaps: slow, repaired: true}, "repaired later": {gaps: slow, repaired: true, late: true},
		"killed": {gaps: slower, killed: true}, "killed, repaired": {gaps: slower, killed: true, repaired: true},
		"killed, repaired later": {gaps: slower, killed: true, repaired: true, late: true},
	} {
		for _, gap := range c.gaps {
			t.Run(strings.TrimSpace(fmt.Sprint(gap, " ", name)), func(t *testing.T) {
				w := newWorld(t)
				k := newKubelet(w)
				k.killed = c.killed
				for range 40 {
					k.crash(gap)
				}
				if len(w.incidents) != 1 || len(w.open()) != 1 {
					t.Fatalf("%d incidents, %d open: %v", len(w.incidents), len(w.open()), w.summary())
				}
				i := w.incidents[0]
				if i.Status.Reopened > 1 {
					t.Errorf("opened again %d times", i.Status.Reopened)
				}
				if writes := w.writes[i.Name]; writes > 2*int(k.restarts)+20 {
					t.Errorf("%d writes of %d crashes", writes, k.restarts)
				}
				if s := i.Status.Signals[0]; s.Count < k.restarts-1 || s.LastSeen.Time.Before(at(k.now-gap)) {
					t.Errorf("it tells of %d crashes of %d, the last before %s", s.Count, k.restarts, s.LastSeen)
				}
				within := min(max(20*minute, gap*3/2), 24*hour) + minute
				if c.repaired {
					within = 10*minute + minute
					after := minute
					if c.late {
						after = gap / 2
					}
					k.repair(after)
				}
				w.pass(at(k.now + within))
				if len(w.open()) > 0 {
					t.Errorf("%s after its last crash, or its repair, it is %v", within, w.summary())
				} else if code := i.Status.Resolution.Code; (code == v1alpha1.ResolutionFixedByChange) != c.repaired {
					t.Errorf("repaired %t, and it is resolved with code %s", c.repaired, code)
				}
			})
		}
	}
}

// repair gives the workload another template after a time.
func (k *kubelet) repair(after time.Duration) {
	k.now += after
	k.w.play(k.now, watch.Modified, webDeployment("2", 1, 0, 1, 1))
	k.w.play(k.now, watch.Deleted, k.pod().running("app", k.restarts, k.now).full())
	k.w.play(k.now, watch.Added, aPod("web-2-a").created(k.now).revision("2").ownedBy("apps/v1", "ReplicaSet", "web-2").
		running("app", 0, k.now).condition(corev1.PodReady, corev1.ConditionTrue, "", k.now).full())
	k.w.play(k.now, watch.Modified, webDeployment("2", 1, 1, 1, 1))
}

// TestASlowLoopThatDoesNotComeBack: the container of a slow loop that stays down after a crash fails, and is told as such
// after a minute; what it was told to have run is not that time.
func TestASlowLoopThatDoesNotComeBack(t *testing.T) {
	w := newWorld(t)
	k := newKubelet(w)
	for range 10 {
		k.crash(2 * hour)
	}
	i := w.incidents[0]
	w.pass(at(k.now + 2*hour))
	if i.Status.RecoveredAt == nil || !i.Status.RecoveredAt.Time.Equal(at(k.now+second)) {
		t.Fatalf("well since %s, want %s", i.Status.RecoveredAt, at(k.now+second))
	}
	end := k.now + 2*hour
	down := func() *corev1.Pod {
		return k.pod().restarts("app", k.restarts).ended("app", "Error", 1, k.now, end).unready(end).full()
	}
	w.play(end, watch.Modified, down())
	w.play(end, watch.Modified, webDeployment("1", 1, 1, 1, 0))
	w.pass(at(end + 59*second))
	writes := w.writes[i.Name]
	if incident.Active(i.Status.Signals) {
		t.Error("told to fail within the minute in which its container may run again")
	}
	w.pass(at(end + minute))
	if !incident.Active(i.Status.Signals) || i.Status.RecoveredAt != nil || w.writes[i.Name] == writes {
		t.Errorf("a minute after it ended: %v, well since %v", w.summary(), i.Status.RecoveredAt)
	}
}

// TestASlowLoopAndARestartOfOurs: who remembers nothing takes no crash for another one, and writes nothing.
func TestASlowLoopAndARestartOfOurs(t *testing.T) {
	w := newWorld(t)
	k := newKubelet(w)
	k.killed = true
	for range 10 {
		k.crash(2 * hour)
	}
	for _, after := range []time.Duration{5 * second, 20 * second, minute, 5 * minute, hour} {
		w.pass(at(k.now + after))
		w.restart()
		i := w.incidents[0]
		if after < minWell {
			continue
		}
		writes := w.writes[i.Name]
		w.restart()
		if incident.Active(i.Status.Signals) || w.writes[i.Name] != writes {
			t.Errorf("%s after a crash: %d writes, %v", after, w.writes[i.Name]-writes, w.summary())
		}
	}
	if got := w.incidents[0].Status.Reopened; got > 1 {
		t.Errorf("opened again %d times", got)
	}
}

// minWell is how long it must run until that is told.
const minWell = 30*second + 2*second

// TestFaultsAreIncidents plays faults of one container that are hours apart. Each is one Incident, which is resolved
// within minutes of the last crash; a crash here and there is none.
func TestFaultsAreIncidents(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 4))
			between := func(a, b time.Duration) time.Duration {
				return a + time.Duration(random.Int64N(int64(b-a))).Truncate(second)
			}
			w := newWorld(t)
			w.facts.Rules.Retention = 0
			k := newKubelet(w)
			want, quiet := 0, between(hour, 9*hour)
			story := ""
			for range 6 {
				faults, pause := 0, time.Duration(0)
				switch random.IntN(3) {
				case 0:
					n := 4 + random.IntN(8)
					story += fmt.Sprintf(" quick(%d after %s)", n, quiet)
					k.crash(quiet)
					runs := between(second, 90*second)
					for range n {
						k.crash(runs)
					}
					// No five of these within a day, so that they are no slow loop.
					faults, quiet = 1, between(6*hour+30*minute, 12*hour)
				case 1:
					n := 6 + random.IntN(6)
					gap := between(11*minute, 4*hour)
					pause = gap + gap/20
					story += fmt.Sprintf(" slow(%d every %s after %s)", n, gap, 25*hour)
					k.crash(25 * hour)
					for range n {
						k.crash(gap + between(-gap/20, gap/20))
					}
					faults, quiet = 1, 25*hour
				default:
					story += fmt.Sprintf(" single(after %s)", quiet)
					k.crash(quiet)
					quiet = between(6*hour+30*minute, 12*hour)
				}
				want += faults
				w.pass(at(k.now + w.longestRecovery(pause)))
				if len(w.incidents) != want || len(w.open()) > 0 {
					t.Fatalf("%d incidents, want %d, %d of them open after%s: %v", len(w.incidents), want, len(w.open()), story, w.summary())
				}
			}
		})
	}
}

// TestLoopsAtRandom plays crashes at random, from seconds to a day apart, against what must be so whatever they are.
func TestLoopsAtRandom(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 5))
			w := newWorld(t)
			w.facts.Rules.Retention = 0
			k := newKubelet(w)
			var restarts []time.Duration
			for range 30 {
				// Each order of magnitude is as likely as another, and what just was is likely to be again.
				run := []time.Duration{second, 20 * second, 2 * minute, 9 * minute, 12 * minute, hour, 5 * hour, 24 * hour}[random.IntN(8)]
				for range 1 + random.IntN(6) {
					before := k.now
					longest := w.longestRecovery(w.longestPause(restarts))
					w.pass(at(min(before+longest, before+run)))
					if run > longest && len(w.open()) > 0 {
						t.Fatalf("it runs since %s, and is open: %v", longest, w.summary())
					}
					restarts = append(restarts, k.crash(run+time.Duration(random.Int64N(int64(run)/10+1)).Truncate(second)))
					if literally(restarts) && len(w.open()) != 1 {
						t.Fatalf("%d incidents are open in a loop", len(w.open()))
					}
				}
			}
			for n, i := range w.incidents[1:] {
				before := w.incidents[n]
				if before.Status.ResolvedAt == nil || i.Status.StartedAt.Sub(before.Status.ResolvedAt.Time) <= hour {
					t.Errorf("%s began within an hour of the end of %s", i.Name, before.Name)
				}
			}
		})
	}
}

// longestPause is the longest time between two crashes since what is open began; a crash may come before its restart, by
// the longest back-off.
func (w *world) longestPause(restarts []time.Duration) time.Duration {
	var longest time.Duration
	for _, i := range w.open() {
		for n := 1; n < len(restarts); n++ {
			if !at(restarts[n]).Before(i.Status.StartedAt.Time) {
				longest = max(longest, restarts[n]-restarts[n-1]+5*minute)
			}
		}
	}
	return longest
}

// literally reports whether the last restart completes a loop by the words of the documentation: three in ten minutes,
// or five in a day of which none was part of a quick one.
func literally(restarts []time.Duration) bool {
	n := len(restarts)
	quick := func(i int) bool { return i >= 2 && restarts[i]-restarts[i-2] < 10*minute }
	if n > 0 && quick(n-1) {
		return true
	}
	within := 0
	for i := n - 1; i >= 0 && restarts[n-1]-restarts[i] < 24*hour; i-- {
		if quick(i) || i+1 < n && quick(i+1) || i+2 < n && quick(i+2) {
			return false
		}
		within++
	}
	return within >= 5
}
