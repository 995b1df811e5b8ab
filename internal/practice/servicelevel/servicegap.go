package servicelevel

import (
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// ServiceGap is what decides how a service was by itself in a time in which nobody watched.
type ServiceGap struct {
	// Gap from when it was last watched until now.
	Gap Interval
	// OutSince is since when the service itself was out when the gap began; the zero time: it was not.
	OutSince time.Time
	// OutPlanned: that outage was told to be as declared beforehand.
	OutPlanned bool
	// Hold is how long it must be well before an outage is over.
	Hold time.Duration
	// Workloads that can put it out, each with the planned downtimes of it.
	Workloads []WorkloadTimes
	Planned   [][]Interval
}

// OwnPhase is what a service was by itself from a time on.
type OwnPhase struct {
	From time.Time
	// Health is Operational, Outage or Unknown.
	Health v1alpha1.Health
	// Planned: the outage was wholly as declared beforehand.
	Planned bool
}

// Rebuild tells how a service was by itself in a gap. An outage ends where the service was well for the whole hold
// afterwards, and is dated to the beginning of that. One that had begun before the gap may be found to have ended
// before it, where it was well from then on. WellSince is since when it is well at the end while it still counts as
// out; the zero time: it is not.
func (g ServiceGap) Rebuild() (phases []OwnPhase, wellSince time.Time) {
	span := g.Gap
	if !g.OutSince.IsZero() {
		span.Start = earlier(g.OutSince, span.Start)
	}
	phases = g.join(span)
	if !g.OutSince.IsZero() {
		phases = g.onlyTheEnd(phases)
	}
	phases, wellSince = g.settle(phases)
	return phases, wellSince
}

// join tells of each time what the workloads together make of it: one that is down puts the service out, and where
// none is, one that may have been leaves it open.
func (g ServiceGap) join(span Interval) []OwnPhase {
	all := make([][]Phase, len(g.Workloads))
	edges := []time.Time{span.Start}
	for i, w := range g.Workloads {
		all[i] = w.Rebuild(span)
		for _, p := range all[i] {
			edges = append(edges, p.From)
		}
		for _, planned := range g.Planned[i] {
			for _, at := range []time.Time{planned.Start, planned.End} {
				if span.Contains(at) {
					edges = append(edges, at)
				}
			}
		}
	}
	slices.SortFunc(edges, time.Time.Compare)
	var phases []OwnPhase
	for _, at := range slices.CompactFunc(edges, time.Time.Equal) {
		next := OwnPhase{From: at, Health: v1alpha1.HealthOperational, Planned: true}
		for i := range all {
			switch stateAt(all[i], at) {
			case WasDown:
				next.Health = v1alpha1.HealthOutage
				next.Planned = next.Planned && slices.ContainsFunc(g.Planned[i], func(p Interval) bool { return p.Contains(at) })
			case Unclear:
				if next.Health != v1alpha1.HealthOutage {
					next.Health = v1alpha1.HealthUnknown
				}
			case WasUp:
			}
		}
		next.Planned = next.Planned && next.Health == v1alpha1.HealthOutage
		phases = append(phases, next)
	}
	return compactOwn(phases)
}

func stateAt(phases []Phase, at time.Time) Certainty {
	state := Unclear
	for _, p := range phases {
		if p.From.After(at) {
			break
		}
		state = p.State
	}
	return state
}

// onlyTheEnd believes, of the time before the gap, what was recorded: out. Only an end of the outage that nothing
// followed before the gap is news of it.
func (g ServiceGap) onlyTheEnd(phases []OwnPhase) []OwnPhase {
	kept := []OwnPhase{{From: g.OutSince, Health: v1alpha1.HealthOutage, Planned: g.OutPlanned}}
	if end := g.plannedUntil(); g.OutPlanned && !end.IsZero() && end.Before(g.Gap.Start) {
		kept = append(kept, OwnPhase{From: end, Health: v1alpha1.HealthOutage})
	}
	for n, p := range phases {
		before := p.From.Before(g.Gap.Start)
		ends := n+1 == len(phases) || !phases[n+1].From.Before(g.Gap.Start)
		switch {
		case before && ends && p.Health == v1alpha1.HealthOperational && p.From.After(g.OutSince):
			kept = append(kept, p)
		case before && ends && p.Health != v1alpha1.HealthOutage:
			kept = append(kept, OwnPhase{From: g.Gap.Start, Health: p.Health})
		case !before:
			kept = append(kept, p)
		}
	}
	return compactOwn(kept)
}

// plannedUntil is until when what was declared for the outage from before the gap lasts; the zero time: nothing tells.
func (g ServiceGap) plannedUntil() (end time.Time) {
	for _, of := range g.Planned {
		for _, p := range of {
			if p.Contains(g.OutSince) {
				end = later(end, p.End)
			}
		}
	}
	return end
}

// settle leaves out what lasted for less than the hold between two outages.
func (g ServiceGap) settle(phases []OwnPhase) (settled []OwnPhase, wellSince time.Time) {
	for n, p := range phases {
		end := g.Gap.End
		if n+1 < len(phases) {
			end = phases[n+1].From
		}
		out := len(settled) > 0 && settled[len(settled)-1].Health == v1alpha1.HealthOutage
		if p.Health == v1alpha1.HealthOperational && out && end.Sub(p.From) < g.Hold {
			switch {
			case n+1 == len(phases):
				wellSince = p.From
				continue
			case phases[n+1].Health == v1alpha1.HealthOutage:
				continue
			}
		}
		settled = append(settled, p)
	}
	return compactOwn(settled), wellSince
}

func compactOwn(phases []OwnPhase) []OwnPhase {
	return slices.CompactFunc(phases, func(a, b OwnPhase) bool { return a.Health == b.Health && a.Planned == b.Planned })
}
