package service

import (
	"context"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Pods knows the pods of workloads.
type Pods interface {
	// WaitForPods returns true when all have been read.
	WaitForPods(ctx context.Context) bool
	// PodsOf are those of a workload; not to be altered.
	PodsOf(key configuration.Key) []*incident.Pod
}

// caughtUp is what was found out about a Service over the time in which nobody watched.
type caughtUp struct {
	name   servicelevel.ServiceName
	phases []servicelevel.OwnPhase
	memory memory
	// wasOut: it was out by itself when somebody watched last.
	wasOut bool
}

// catchUp finds out how a Service was by itself since a time at which somebody watched last; false where there is
// nothing to compare with.
func (r *Reconciler) catchUp(seen *observed, since, now time.Time) (caughtUp, bool) {
	status := &seen.object.Status
	if since.IsZero() || !since.Before(now) || status.HealthSince == nil || len(seen.service.Claims) == 0 || len(seen.unmatched) > 0 {
		return caughtUp{}, false
	}
	switch status.Health {
	case v1alpha1.HealthOperational, v1alpha1.HealthDegraded, v1alpha1.HealthOutage, v1alpha1.HealthMaintenance:
	case v1alpha1.HealthUnknown:
		return caughtUp{}, false
	}
	since = laterOf(since, status.HealthSince.Time)
	if !since.Before(now) {
		return caughtUp{}, false
	}
	g := servicelevel.ServiceGap{Gap: servicelevel.Interval{Start: since, End: now}, Hold: r.hold()}
	if status.Health == v1alpha1.HealthOutage || status.Health == v1alpha1.HealthMaintenance {
		g.OutSince, g.OutPlanned = status.HealthSince.Time, status.Health == v1alpha1.HealthMaintenance
	}
	for i := range seen.workloads {
		r.recall(&g, &seen.workloads[i], status)
	}
	for _, c := range seen.missing {
		if c.Kind == configuration.KindJob || minimum(c).Exempt() {
			continue
		}
		w := servicelevel.WorkloadTimes{Minimum: 1, Desired: 1}
		if _, recorded := recordedOf(status, c.Kind, c.Name); !recorded && !g.OutSince.IsZero() {
			w.Before = servicelevel.WasDown
		}
		g.Workloads, g.Planned = append(g.Workloads, w), append(g.Planned, nil)
	}
	c := caughtUp{name: seen.name}
	c.phases, c.memory.wellSince = g.Rebuild()
	c.wasOut = len(c.phases) > 0 && c.phases[0].From.Equal(g.OutSince) && c.phases[0].Health == v1alpha1.HealthOutage
	c.memory.out = len(c.phases) > 0 && c.phases[len(c.phases)-1].Health == v1alpha1.HealthOutage
	return c, len(c.phases) > 0
}

// recall what is known of a workload over a gap. One that cannot put the service out is left aside.
func (r *Reconciler) recall(g *servicelevel.ServiceGap, m *member, status *v1alpha1.ServiceStatus) {
	var least int32
	for _, c := range m.claims {
		if !minimum(c).Exempt() && (m.Desired > 0 || !c.ScaleToZero) {
			least = max(least, minimum(c).Of(m.Desired), 1)
		}
	}
	if least == 0 {
		return
	}
	w := servicelevel.WorkloadTimes{Minimum: least, Desired: m.Desired, Up: m.Desired > 0 && m.Ready >= least}
	if before, recorded := recordedOf(status, m.Key.Kind, m.Key.Name); recorded {
		w.Before = servicelevel.WasDown
		if before.Desired > 0 && before.Ready >= least {
			w.Before = servicelevel.WasUp
		}
		w.AllReady = before.Ready >= before.Desired && before.Desired > 0
		w.NoneReady = before.Ready == 0
	}
	if !g.OutSince.IsZero() {
		// What was recorded is how it was at the end of what is looked at, not when the outage began.
		w.AllReady = false
		if w.Before == servicelevel.WasUp {
			w.Before = servicelevel.Unclear
			w.NoneReady = least <= 1 && len(g.Workloads) == 0
		}
	}
	if c := m.Conditions["Available"]; c.Status == "True" && m.Key.Kind == configuration.KindDeployment {
		w.AvailableSince = c.Since
	}
	switch m.Key.Kind {
	case configuration.KindDeployment, configuration.KindStatefulSet, configuration.KindDaemonSet:
		for _, p := range r.Pods.PodsOf(m.Key) {
			w.Pods = append(w.Pods, timesOf(p, m.Key.Kind != configuration.KindDeployment))
		}
		// Where pods are ready, and it is not known which, that none is known says nothing.
		w.Told = len(w.Pods) > 0 || m.Ready == 0
	}
	var planned []servicelevel.Interval
	for _, p := range m.plannedUntil {
		planned = append(planned, servicelevel.Interval{Start: p.from, End: p.until})
	}
	g.Workloads, g.Planned = append(g.Workloads, w), append(g.Planned, planned)
}

func recordedOf(status *v1alpha1.ServiceStatus, kind, name string) (v1alpha1.ServiceWorkload, bool) {
	i := slices.IndexFunc(status.Workloads, func(w v1alpha1.ServiceWorkload) bool {
		return string(w.Kind) == kind && string(w.Name) == name
	})
	if i < 0 {
		return v1alpha1.ServiceWorkload{}, false
	}
	return status.Workloads[i], true
}

func timesOf(p *incident.Pod, alone bool) servicelevel.PodTimes {
	t := servicelevel.PodTimes{
		Created: p.CreatedAt.Time(), Ready: p.Ready.True(), Since: p.Ready.Since.Time(), Alone: alone, Going: p.Deleting(),
	}
	for i := range p.Containers {
		c := &p.Containers[i]
		if c.Kind == incident.InitContainer {
			continue
		}
		last := c.LatestRun()
		t.Containers = append(t.Containers, servicelevel.ContainerTimes{
			Restarts: c.Restarts, RunningSince: c.RunningSince.Time(), Started: last.Started.Time(), Finished: last.Finished.Time(),
		})
	}
	return t
}

// replay lets the graph, which has all as they were before, live through what happened while nobody watched, so that it reaches those that depend on it
// as it would have.
func (r *Reconciler) replay(all []caughtUp, now time.Time) {
	type step struct {
		name  servicelevel.ServiceName
		phase servicelevel.OwnPhase
	}
	var steps []step
	for _, c := range all {
		for _, p := range c.phases {
			steps = append(steps, step{c.name, p})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.phase.From.Compare(b.phase.From) })
	for _, s := range steps {
		r.record(r.put(s.name, s.phase), s.phase.From, now)
	}
}

func (r *Reconciler) put(name servicelevel.ServiceName, p servicelevel.OwnPhase) []servicelevel.ServiceName {
	s, exists := r.Inventory.Service(name)
	if !exists {
		return nil
	}
	return r.graph.Set(nodeOf(s, p))
}

// before is how it was by itself when the leader before was there last: what was recorded then.
func (c *caughtUp) before() servicelevel.OwnPhase {
	if c.wasOut {
		return servicelevel.OwnPhase{Health: v1alpha1.HealthOutage}
	}
	return servicelevel.OwnPhase{Health: v1alpha1.HealthOperational}
}

func nodeOf(s *inventory.Service, p servicelevel.OwnPhase) servicelevel.ServiceNode {
	own := servicelevel.OwnHealth{Health: p.Health, Reason: string(p.Health), Message: "found out afterwards", Planned: p.Planned}
	return servicelevel.ServiceNode{Name: s.Name, Own: own, DependsOn: s.DependsOn}
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
