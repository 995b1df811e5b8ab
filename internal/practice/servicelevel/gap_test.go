package servicelevel

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func s(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

// TestRebuild: the gap is from second 0 to second 1000; the pod is an hour old.
func TestRebuild(t *testing.T) {
	gap := Interval{Start: s(0), End: s(1000)}
	old := s(-3600)
	one := func(before Certainty, up bool, pods ...PodTimes) WorkloadTimes {
		return WorkloadTimes{Before: before, AllReady: before == WasUp, NoneReady: before == WasDown, Up: up, Minimum: 1, Desired: 1, Told: true, Pods: pods}
	}
	first := ContainerTimes{RunningSince: old}
	crashed := func(restarts int32, started, finished, running int) ContainerTimes {
		c := ContainerTimes{Restarts: restarts, Started: s(started), Finished: s(finished)}
		if running > 0 {
			c.RunningSince = s(running)
		}
		return c
	}
	pod := func(ready bool, since int, containers ...ContainerTimes) PodTimes {
		return PodTimes{Created: old, Ready: ready, Since: s(since), Containers: containers}
	}
	phases := func(list ...any) (out []Phase) {
		for i := 0; i < len(list); i += 2 {
			out = append(out, Phase{From: s(list[i].(int)), State: list[i+1].(Certainty)})
		}
		return out
	}
	available := func(w WorkloadTimes, since int) WorkloadTimes {
		w.AvailableSince = s(since)
		return w
	}
	cases := map[string]struct {
		workload WorkloadTimes
		want     []Phase
	}{
		"nothing happened":      {one(WasUp, true, pod(true, -3000, first)), phases(0, WasUp)},
		"still out":             {one(WasDown, false, pod(false, -100, first)), phases(0, WasDown)},
		"out since then":        {one(WasUp, false, pod(false, 300, first)), phases(0, WasUp, 300, WasDown)},
		"well since then":       {one(WasDown, true, pod(true, 300, first)), phases(0, WasDown, 300, WasUp)},
		"crashed and recovered": {one(WasUp, true, pod(true, 340, crashed(1, -3600, 300, 310))), phases(0, WasUp, 300, WasDown, 340, WasUp)},
		"crashes": {
			one(WasUp, false, pod(false, 300, crashed(0, -3600, 300, 0))), phases(0, WasUp, 300, WasDown),
		},
		"crashed since, and again before it was ready": {
			one(WasUp, false, pod(false, 300, crashed(1, 310, 320, 0))), phases(0, WasUp, 300, WasDown),
		},
		"an earlier crash is not known": {
			one(WasUp, true, pod(true, 640, crashed(2, 310, 600, 610))), phases(0, Unclear, 600, WasDown, 640, WasUp),
		},
		"restarts of long ago do not matter": {
			one(WasUp, true, pod(true, 340, crashed(7, -1000, 300, 310))), phases(0, WasUp, 300, WasDown, 340, WasUp),
		},
		"a probe failed for a while": {one(WasUp, true, pod(true, 300, first)), phases(0, Unclear, 300, WasUp)},
		"but enough were available": {
			available(one(WasUp, true, pod(true, 300, first)), -3000), phases(0, WasUp),
		},
		"available again since then": {
			available(one(WasUp, true, PodTimes{Created: s(200), Ready: true, Since: s(230)}), 230), phases(0, Unclear, 230, WasUp),
		},
		"a pod in another's place": {one(WasUp, true, PodTimes{Created: s(200), Ready: true, Since: s(230)}), phases(0, Unclear, 230, WasUp)},
		"a pod of a StatefulSet in another's place": {
			one(WasUp, true, PodTimes{Created: s(200), Ready: true, Since: s(230), Alone: true}), phases(0, Unclear, 200, WasDown, 230, WasUp),
		},
		"a repaired template": {one(WasDown, true, PodTimes{Created: s(200), Ready: true, Since: s(230)}), phases(0, WasDown, 230, WasUp)},
		"a pod that never was ready": {
			one(WasUp, false, PodTimes{Created: s(200), Since: s(200), Alone: true}), phases(0, Unclear, 200, WasDown),
		},
		"one of two is enough": {
			one(WasUp, true, pod(true, 340, crashed(1, -3600, 300, 310)), pod(true, -3000, first)), phases(0, WasUp),
		},
		"both at once": {
			one(WasUp, true, pod(true, 340, crashed(1, -3600, 300, 310)), pod(true, 360, crashed(1, -3600, 320, 330))),
			phases(0, WasUp, 320, WasDown, 340, WasUp),
		},
		"what is being deleted may have served": {
			one(WasUp, false, PodTimes{Created: old, Ready: true, Since: old, Going: true}), phases(0, Unclear, 1000, WasDown),
		},
		"scaled to zero":    {WorkloadTimes{Before: WasUp, AllReady: true, Minimum: 1, Told: true, AvailableSince: s(-3000)}, phases(0, WasDown)},
		"a Job that failed": {WorkloadTimes{Before: WasUp, Minimum: 1, Desired: 1}, phases(0, Unclear, 1000, WasDown)},
		"a Job as before":   {WorkloadTimes{Before: WasUp, Up: true, Minimum: 1, Desired: 1}, phases(0, WasUp)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.workload.Rebuild(gap)); diff != "" {
				t.Errorf("phases (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRebuildAService: an outage's end is dated back if it was well for a minute afterwards, and one that had begun
// before the gap may have ended before it.
func TestRebuildAService(t *testing.T) {
	const up, out, unknown = v1alpha1.HealthOperational, v1alpha1.HealthOutage, v1alpha1.HealthUnknown
	old := s(-3600)
	crash := func(from, to int) WorkloadTimes {
		c := ContainerTimes{Restarts: 1, Started: old, Finished: s(from), RunningSince: s(from)}
		return WorkloadTimes{
			Before: WasUp, AllReady: true, Up: true, Minimum: 1, Desired: 1, Told: true,
			Pods: []PodTimes{{Created: old, Ready: true, Since: s(to), Containers: []ContainerTimes{c}}},
		}
	}
	recovers := func(at int) WorkloadTimes {
		return WorkloadTimes{
			Before: WasDown, NoneReady: true, Up: true, Minimum: 1, Desired: 1, Told: true,
			Pods: []PodTimes{{Created: old, Ready: true, Since: s(at)}},
		}
	}
	cases := map[string]struct {
		out       int
		workloads []WorkloadTimes
		planned   []Interval
		want      []OwnPhase
		wellSince int
	}{
		"nothing": {workloads: []WorkloadTimes{crash(-900, -800)}, want: []OwnPhase{{From: s(0), Health: up}}},
		"out and well again": {
			workloads: []WorkloadTimes{crash(300, 400)}, want: []OwnPhase{{s(0), up, false}, {s(300), out, false}, {s(400), up, false}},
		},
		"well for less than a minute": {
			workloads: []WorkloadTimes{crash(300, 950)}, want: []OwnPhase{{s(0), up, false}, {s(300), out, false}}, wellSince: 950,
		},
		"one after the other, without a minute between": {
			workloads: []WorkloadTimes{crash(300, 400), crash(430, 500)}, want: []OwnPhase{{s(0), up, false}, {s(300), out, false}, {s(500), up, false}},
		},
		"one after the other": {
			workloads: []WorkloadTimes{crash(300, 400), crash(460, 500)},
			want:      []OwnPhase{{s(0), up, false}, {s(300), out, false}, {s(400), up, false}, {s(460), out, false}, {s(500), up, false}},
		},
		"one is down, of the other it is not known": {
			workloads: []WorkloadTimes{crash(300, 400), {Before: WasUp, Minimum: 1, Desired: 1}},
			want:      []OwnPhase{{s(0), unknown, false}, {s(300), out, false}, {s(400), unknown, false}, {s(1000), out, false}},
		},
		"as declared": {
			workloads: []WorkloadTimes{crash(300, 400)}, planned: []Interval{{Start: s(290), End: s(350)}},
			want: []OwnPhase{{s(0), up, false}, {s(300), out, true}, {s(350), out, false}, {s(400), up, false}},
		},
		"an outage from before goes on":         {out: -200, workloads: []WorkloadTimes{{Before: WasDown, NoneReady: true, Minimum: 1, Desired: 1, Told: true}}, want: []OwnPhase{{s(-200), out, false}}},
		"an outage from before ends in the gap": {out: -200, workloads: []WorkloadTimes{recovers(100)}, want: []OwnPhase{{s(-200), out, false}, {s(100), up, false}}},
		"an outage from before ended before it": {out: -200, workloads: []WorkloadTimes{recovers(-30)}, want: []OwnPhase{{s(-200), out, false}, {s(-30), up, false}}},
		"as declared, and longer": {
			out: -200, workloads: []WorkloadTimes{recovers(100)}, planned: []Interval{{Start: s(-210), End: s(-20)}},
			want: []OwnPhase{{s(-200), out, true}, {s(-20), out, false}, {s(100), up, false}},
		},
		"as declared, from before": {
			out: -200, workloads: []WorkloadTimes{recovers(100)}, planned: []Interval{{Start: s(-210), End: s(50)}},
			want: []OwnPhase{{s(-200), out, true}, {s(50), out, false}, {s(100), up, false}},
		},
		"what was recorded while watched stands": {
			out: -900, want: []OwnPhase{{s(-900), out, false}, {s(300), up, false}},
			workloads: []WorkloadTimes{{
				Before: WasDown, Up: true, Minimum: 1, Desired: 1, Told: true,
				Pods: []PodTimes{{Created: old, Ready: true, Since: s(300), Containers: []ContainerTimes{{Restarts: 5, Started: s(-300), Finished: s(-200), RunningSince: s(250)}}}},
			}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := ServiceGap{Gap: Interval{Start: s(0), End: s(1000)}, Hold: time.Minute, Workloads: c.workloads, Planned: make([][]Interval, len(c.workloads))}
			for i := range g.Planned {
				g.Planned[i] = c.planned
			}
			if c.out != 0 {
				g.OutSince, g.OutPlanned = s(c.out), c.planned != nil
			}
			var want time.Time
			if c.wellSince != 0 {
				want = s(c.wellSince)
			}
			got, well := g.Rebuild()
			if diff := cmp.Diff(c.want, got); diff != "" || !well.Equal(want) {
				t.Errorf("well since %v, want %v; phases (-want +got):\n%s", well, want, diff)
			}
		})
	}
}

// simulated is a pod with its past second by second, and the status that a kubelet would leave behind.
type simulated struct {
	ready []bool
	shows PodTimes
}

// simulatePod lives through the seconds from -200 to 1000: it crashes up to three times, or a probe fails once.
func simulatePod(random *rand.Rand, from, end int) simulated {
	p := simulated{ready: make([]bool, end-from)}
	p.shows = PodTimes{Created: s(from - 3600), Since: s(from - 3500), Ready: true}
	c := ContainerTimes{RunningSince: s(from - 3600), Restarts: 0}
	turn := func(at int, ready bool) {
		if p.shows.Ready != ready {
			p.shows.Ready, p.shows.Since = ready, s(at)
		}
	}
	at := from
	live := func(until int) {
		for ; at < min(until, end); at++ {
			p.ready[at-from] = p.shows.Ready
		}
	}
	if random.IntN(2) == 0 {
		down := from + random.IntN(end-from)
		live(down)
		turn(down, false)
		if random.IntN(2) == 0 {
			up := down + 1 + random.IntN(300)
			live(up)
			if up < end {
				turn(up, true)
			}
		}
		live(end)
		p.shows.Containers = []ContainerTimes{c}
		return p
	}
	for range random.IntN(4) {
		crash := at + 1 + random.IntN(500)
		if crash >= end {
			break
		}
		live(crash)
		turn(crash, false)
		c.Started, c.Finished, c.RunningSince = c.RunningSince, s(crash), time.Time{}
		restart := crash + 1 + random.IntN(60)
		live(restart)
		if restart >= end {
			break
		}
		c.RunningSince, c.Restarts = s(restart), c.Restarts+1
		if random.IntN(3) > 0 {
			ready := restart + random.IntN(20)
			live(ready)
			if ready < end {
				turn(ready, true)
			}
		}
	}
	live(end)
	p.shows.Containers = []ContainerTimes{c}
	return p
}

// TestRebuildAgainstWhatHappened: what is told of a second is what was so, over random pods, and what is not told is
// little where a pod's last failure is the only one.
func TestRebuildAgainstWhatHappened(t *testing.T) {
	const from, end = -200, 1000
	seconds, unclear := 0, 0
	for n := range 3000 {
		random := rand.New(rand.NewPCG(uint64(n), 17))
		w := WorkloadTimes{Told: true, Desired: int32(1 + random.IntN(3))}
		w.Minimum = 1 + random.Int32N(w.Desired)
		var pods []simulated
		for range w.Desired {
			pods = append(pods, simulatePod(random, from, end))
			w.Pods = append(w.Pods, pods[len(pods)-1].shows)
		}
		count := func(at int) (ready int32) {
			for _, p := range pods {
				if p.ready[at-from] {
					ready++
				}
			}
			return ready
		}
		up := func(at int) bool { return count(at) >= w.Minimum }
		w.Before, w.Up = WasDown, up(end-1)
		if up(-1) {
			w.Before = WasUp
		}
		w.AllReady, w.NoneReady = count(-1) == w.Desired, count(-1) == 0
		if random.IntN(2) == 0 && count(end-1) == w.Desired {
			since := end - 1
			for since > from && count(since-1) == w.Desired {
				since--
			}
			w.AvailableSince = s(since)
		}
		phases := w.Rebuild(Interval{Start: s(0), End: s(end)})
		for at := range end {
			seconds++
			switch stateAt(phases, s(at)) {
			case Unclear:
				unclear++
			case WasUp:
				if !up(at) {
					t.Fatalf("workload %d: told to be up at second %d, and was not: %+v\n%+v", n, at, phases, w)
				}
			case WasDown:
				if up(at) {
					t.Fatalf("workload %d: told to be down at second %d, and was not: %+v\n%+v", n, at, phases, w)
				}
			}
		}
		if !slices.IsSortedFunc(phases, func(a, b Phase) int { return a.From.Compare(b.From) }) {
			t.Fatalf("phases are out of order: %+v", phases)
		}
	}
	t.Logf("%.1f %% of the seconds remain unclear", 100*float64(unclear)/float64(seconds))
	if unclear*100 > seconds*40 {
		t.Errorf("%d of %d seconds are not told: of that there is no use", unclear, seconds)
	}
}
