package servicelevel

import (
	"slices"
	"time"
)

// Certainty is what is known of a time in which nobody watched.
type Certainty int

const (
	// Unclear: it may have been either.
	Unclear Certainty = iota
	// WasUp for certain.
	WasUp
	// WasDown for certain.
	WasDown
)

// Phase is a state with its beginning; it lasts until the next one begins.
type Phase struct {
	From  time.Time
	State Certainty
}

// PodTimes is what a pod's status still tells of the time in which nobody watched.
type PodTimes struct {
	Created time.Time
	// Ready is its condition Ready, and Since when it turned so; the zero time: with its creation.
	Ready bool
	Since time.Time
	// Alone: nothing else ran in its place after it was created, as of a StatefulSet or DaemonSet. In the place of a
	// Deployment's pod another one may have gone on running meanwhile.
	Alone bool
	// Going: it is being deleted. Since when it serves no more is not known.
	Going bool
	// Containers that the pod needs to be ready.
	Containers []ContainerTimes
}

// ContainerTimes is what a container's status tells: its latest run that is over, and how often it was restarted.
type ContainerTimes struct {
	Restarts          int32
	RunningSince      time.Time
	Started, Finished time.Time
}

// WorkloadTimes is what is known of a workload over a gap.
type WorkloadTimes struct {
	// Before is whether it was up when the gap began, as was recorded, and AllReady and NoneReady whether then all or
	// none of its pods were ready.
	Before              Certainty
	AllReady, NoneReady bool
	// Up is whether it is up now.
	Up bool
	// Minimum of ready pods below which it is down; Desired pods now.
	Minimum, Desired int32
	// AvailableSince is since when the condition Available of a Deployment is true; the zero time: it has none, or is
	// not.
	AvailableSince time.Time
	// Pods that it has now. Told is false where pods do not tell, as of a Job.
	Pods []PodTimes
	Told bool
}

// Rebuild tells how a workload was in a gap, from what its pods still show. The phases begin with the gap, no two
// neighbours are alike, and the last one is what is so now from when it is so. What may have been either is Unclear:
// the last transition of a condition hides those before it.
func (w WorkloadTimes) Rebuild(gap Interval) []Phase {
	now := WasDown
	if w.Up {
		now = WasUp
	}
	if !w.Told {
		if w.Before == now {
			return []Phase{{From: gap.Start, State: now}}
		}
		return alternate([]Phase{{From: gap.Start, State: Unclear}, {From: gap.End, State: now}})
	}
	timelines := make([]timeline, len(w.Pods))
	edges := []time.Time{gap.Start}
	for i, p := range w.Pods {
		timelines[i] = p.timeline(gap, w)
		for _, s := range timelines[i] {
			edges = append(edges, s.from)
		}
	}
	if w.AvailableSince.After(gap.Start) {
		edges = append(edges, w.AvailableSince)
	}
	slices.SortFunc(edges, time.Time.Compare)
	var phases []Phase
	for _, at := range slices.CompactFunc(edges, time.Time.Equal) {
		if at.Before(gap.End) {
			phases = append(phases, Phase{From: at, State: w.at(timelines, at)})
		}
	}
	if last := phases[len(phases)-1]; last.State != now {
		// What is so now is so since its evidence at the earliest, and that there is none of.
		phases = append(phases, Phase{From: gap.End, State: now})
	}
	return alternate(phases)
}

// at is how the workload was at a time, by its pods, and where they leave it open by the condition Available, which
// holds while enough pods are ready.
func (w WorkloadTimes) at(timelines []timeline, at time.Time) Certainty {
	var sure, perhaps int32
	for _, t := range timelines {
		switch t.at(at) {
		case podUp:
			sure, perhaps = sure+1, perhaps+1
		case podUnclear:
			perhaps++
		case podDown:
		}
	}
	switch {
	case sure >= w.Minimum:
		return WasUp
	case perhaps < w.Minimum:
		return WasDown
	case w.Desired > 0 && !w.AvailableSince.IsZero() && !w.AvailableSince.After(at):
		return WasUp
	}
	return Unclear
}

// podState is what a pod, or whatever ran in its place, did for the workload.
type podState int

const (
	podUnclear podState = iota
	podUp
	podDown
)

// timeline is the states of a pod, each with its beginning.
type timeline []struct {
	from  time.Time
	state podState
}

func (t timeline) at(at time.Time) podState {
	state := podUnclear
	for _, s := range t {
		if s.from.After(at) {
			break
		}
		state = s.state
	}
	return state
}

func (t *timeline) add(from time.Time, state podState) {
	*t = append(*t, struct {
		from  time.Time
		state podState
	}{from, state})
}

// timeline of a pod, backwards from what it shows now.
//
// Where a container's run was over and another one followed, the pod was unready in between. Before, it was as when the
// gap began: that a probe failed for a while and passed again leaves no trace, and is not assumed.
func (p PodTimes) timeline(gap Interval, w WorkloadTimes) timeline {
	since := p.Since
	if since.IsZero() {
		since = p.Created
	}
	now, created := podDown, p.Created.After(gap.Start)
	if p.Ready {
		now = podUp
	}
	var t timeline
	switch {
	case p.Going:
		t.add(gap.Start, podUnclear)
		return t
	case !since.After(gap.Start):
		t.add(gap.Start, now)
		return t
	}
	// Before the pod was created, another may have been in its place.
	inItsPlace := podUnclear
	if w.NoneReady {
		inItsPlace = podDown
	}
	t.add(gap.Start, inItsPlace)
	first := gap.Start
	if created {
		first = p.Created
	}
	stopped, ended := p.lastStop(since)
	switch {
	case p.Ready && ended && stopped.After(first):
		t.add(first, p.running(first, stopped, w))
		t.add(stopped, podDown)
	case p.Ready && created, !p.Ready && created && since.Sub(p.Created) <= readyLag:
		if p.Alone {
			t.add(first, podDown)
		}
	case !p.Ready:
		// It turned from ready to unready: it was ready just before.
		t.add(first, p.running(first, since, w))
	}
	t.add(since, now)
	return t
}

// readyLag is how much later than the pod its condition Ready may be, where it never was ready. Their times are whole
// seconds.
const readyLag = 2 * time.Second

// running is how a pod was from a time until one at which it stopped being ready: as at the beginning of the gap, if
// no run of a container began in between.
func (p PodTimes) running(from, until time.Time, w WorkloadTimes) podState {
	if !w.AllReady || !p.Created.Before(from) {
		return podUnclear
	}
	for _, c := range p.Containers {
		if !c.ranThrough(from, until) {
			return podUnclear
		}
	}
	return podUp
}

// ranThrough reports whether it is certain that one run of a container lasted from a time until another.
func (c ContainerTimes) ranThrough(from, until time.Time) bool {
	over := !c.Finished.IsZero()
	running := !c.RunningSince.IsZero()
	switch {
	case over && c.Started.Before(until) && !c.Finished.Before(until):
		return !c.Started.After(from)
	case running && c.RunningSince.Before(until):
		return !c.RunningSince.After(from)
	}
	// None of the known runs is that one. It was the first if all restarts came later.
	laterOn := int32(0)
	if over && !c.Started.Before(until) {
		laterOn++
	}
	if running && !c.RunningSince.Before(until) {
		laterOn++
	}
	return c.Restarts <= laterOn
}

// lastStop is when the latest run of a container was over, by a time.
func (p PodTimes) lastStop(by time.Time) (stopped time.Time, ended bool) {
	for _, c := range p.Containers {
		if !c.Finished.IsZero() && !c.Finished.After(by) && c.Finished.After(stopped) {
			stopped, ended = c.Finished, true
		}
	}
	return stopped, ended
}

// alternate joins neighbours that are alike.
func alternate(phases []Phase) []Phase {
	return slices.CompactFunc(phases, func(a, b Phase) bool { return a.State == b.State })
}
