package service

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// lagHold is how long the counts of an older generation are believed. Controllers take notice of a new one within
// milliseconds; calling that Unknown would cost two writes for each edit.
const lagHold = 30 * time.Second

// memory is what is known of a Service's past that no object tells. After a restart it is made from the status.
type memory struct {
	// out: its own health is Outage, as far as it is told.
	out bool
	// wellSince is since when it is well again while it is still told to be out.
	wellSince time.Time
	// endedAt is when an outage had ended in truth, in the assessment that first told so.
	endedAt time.Time
	// lagging workloads, whose controller has not seen their newest generation.
	lagging map[configuration.Key]lag
}

type lag struct {
	generation int64
	since      time.Time
}

// remembered after a restart: what was told to be out must be well for the whole hold again, since nobody watched.
func remembered(s *v1alpha1.Service) memory {
	return memory{out: s.Status.Health == v1alpha1.HealthOutage || s.Status.Health == v1alpha1.HealthMaintenance}
}

// assess the own health of a service, and when to look again.
func (m *memory) assess(seen *observed, hold time.Duration, now time.Time) (own servicelevel.OwnHealth, wake time.Time) {
	facts, wake := m.facts(seen, now)
	own = servicelevel.AssessOwn(facts)
	m.endedAt = time.Time{}
	switch own.Health {
	case v1alpha1.HealthOutage:
		m.out, m.wellSince = true, time.Time{}
		return own, wake
	case v1alpha1.HealthOperational, v1alpha1.HealthDegraded, v1alpha1.HealthMaintenance:
	case v1alpha1.HealthUnknown:
		// Nothing to be out any more, or nothing known. The outage is not over, nor is the hold running.
		m.out = m.out && own.Reason != servicelevel.ReasonNoWorkloads
		m.wellSince = time.Time{}
		return own, wake
	}
	if !m.out {
		return own, wake
	}
	if m.wellSince.IsZero() {
		m.wellSince = now
	}
	end := m.wellSince.Add(hold)
	if !now.Before(end) {
		m.endedAt = m.wellSince
		m.out, m.wellSince = false, time.Time{}
		return own, wake
	}
	return servicelevel.OwnHealth{
		Health: v1alpha1.HealthOutage, Reason: string(v1alpha1.HealthOutage),
		Message: fmt.Sprintf("recovering: well since %s, and out until that has lasted for %s", m.wellSince.UTC().Format(time.RFC3339), hold),
	}, soonest(wake, end)
}

func (m *memory) facts(seen *observed, now time.Time) (facts servicelevel.OwnFacts, wake time.Time) {
	facts.Unmatched = seen.unmatched
	facts.Composite = len(seen.service.Claims) == 0 && len(seen.service.DependsOn) > 0
	lagging := map[configuration.Key]lag{}
	for i := range seen.workloads {
		w := &seen.workloads[i]
		presence, at := m.presence(w, lagging, now)
		until := w.plannedAt(now)
		wake = soonest(soonest(wake, at), until)
		for _, c := range w.claims {
			facts.Workloads = append(facts.Workloads, servicelevel.WorkloadFacts{
				Kind: v1alpha1.WorkloadKind(w.Key.Kind), Name: w.Key.Name, Presence: presence,
				Ready: w.Ready, Desired: w.Desired, MinimumReady: minimum(c), ScaleToZero: c.ScaleToZero, Planned: !until.IsZero(),
			})
		}
	}
	m.lagging = lagging
	for _, c := range seen.missing {
		facts.Workloads = append(facts.Workloads, servicelevel.WorkloadFacts{
			Kind: v1alpha1.WorkloadKind(c.Kind), Name: c.Name, Presence: servicelevel.Missing, MinimumReady: minimum(c), ScaleToZero: c.ScaleToZero,
		})
	}
	return facts, wake
}

// presence of a workload's counts. Those of an older generation are believed for a while.
func (m *memory) presence(w *member, lagging map[configuration.Key]lag, now time.Time) (servicelevel.Presence, time.Time) {
	switch {
	case w.ObservedGeneration >= w.Generation:
		return servicelevel.Observed, time.Time{}
	case w.ObservedGeneration == 0:
		return servicelevel.NotObserved, time.Time{}
	}
	l, known := m.lagging[w.Key]
	if !known || l.generation != w.ObservedGeneration {
		l = lag{generation: w.ObservedGeneration, since: now}
	}
	lagging[w.Key] = l
	end := l.since.Add(lagHold)
	if now.Before(end) {
		return servicelevel.Observed, end
	}
	return servicelevel.NotObserved, time.Time{}
}

// minimum of a claim. What the schema would not have let in is the strictest.
func minimum(c configuration.Claim) servicelevel.MinimumReady {
	m, _ := servicelevel.ParseMinimumReady("spec.workloads.minimumReady", &c.MinimumReady)
	return m
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// describe a claim by selector as a reader would name it.
func describe(w v1alpha1.WorkloadClaim) string {
	kind := string(w.Kind)
	if kind == "" {
		kind = "any kind"
	}
	if w.Selector == nil {
		return kind
	}
	var parts []string
	for k, v := range w.Selector.MatchLabels {
		parts = append(parts, k+"="+string(v))
	}
	slices.Sort(parts)
	for _, e := range w.Selector.MatchExpressions {
		values := make([]string, len(e.Values))
		for i, v := range e.Values {
			values[i] = string(v)
		}
		part := e.Key + " " + string(e.Operator)
		if len(values) > 0 {
			part += " (" + strings.Join(values, ", ") + ")"
		}
		parts = append(parts, part)
	}
	return kind + " with " + strings.Join(parts, ", ")
}
