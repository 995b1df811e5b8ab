package incident_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
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

// longestRecovery is the same where slow loops were opened again: twice as long for each time, and at most six hours.
func (w *world) longestRecovery() time.Duration {
	longest := longestRecovery
	for _, i := range w.open() {
		longest = max(longest, min(10*minute<<min(i.Status.Reopened, 10), 6*hour)+2*second)
	}
	return longest
}

// TestASlowLoopIsOneIncident: a container that crashes with pauses of minutes or hours, however often, is one Incident that
// comes to rest open after a few times in which it seemed to be over; repaired by another template, it is over in minutes,
// and by anything else within six hours.
func TestASlowLoopIsOneIncident(t *testing.T) {
	for _, gap := range []time.Duration{11 * minute, 40 * minute, 2 * hour, 4*hour + 30*minute} {
		for n := range 4 {
			repaired, killed := n%2 > 0, n > 1
			t.Run(fmt.Sprint(gap, " repaired ", repaired, " killed ", killed), func(t *testing.T) {
				w := newWorld(t)
				k := newKubelet(w)
				k.killed = killed
				var settled int32
				for n := range 40 {
					k.crash(gap)
					if n == 20 {
						settled = w.incidents[0].Status.Reopened
					}
				}
				if len(w.incidents) != 1 || len(w.open()) != 1 {
					t.Fatalf("%d incidents, %d open: %v", len(w.incidents), len(w.open()), w.summary())
				}
				i := w.incidents[0]
				if i.Status.Reopened != settled || settled > 5 {
					t.Errorf("opened again %d times, %d of them by the first twenty crashes", i.Status.Reopened, settled)
				}
				// That it is well, and is not any more, is written by each of the two that write.
				if writes := w.writes[i.Name]; writes > 4*int(k.restarts)+60 {
					t.Errorf("%d writes of %d crashes", writes, k.restarts)
				}
				within := 6*hour + minute
				if repaired {
					within = 10*minute + minute
					k.now += minute
					w.play(k.now, watch.Modified, webDeployment("2", 1, 1, 1, 1))
					w.play(k.now, watch.Deleted, k.pod().running("app", k.restarts, k.now).full())
					w.play(k.now, watch.Added, aPod("web-2-a").created(k.now).revision("2").ownedBy("apps/v1", "ReplicaSet", "web-2").
						running("app", 0, k.now).condition(corev1.PodReady, corev1.ConditionTrue, "", k.now).full())
				}
				w.pass(at(k.now + within))
				if len(w.open()) > 0 {
					t.Errorf("%s after its last crash it is %v", within, w.summary())
				}
			})
		}
	}
}

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
				faults := 0
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
				w.pass(at(k.now + w.longestRecovery()))
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
					longest := w.longestRecovery()
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
