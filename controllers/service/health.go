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
	// downSince is since when it is seen to be out by itself, whatever is told; zero: it is not.
	downSince time.Time
	// doubt of what is seen, while another leader has told otherwise.
	doubt doubt
	// plannedUntil is until when the outage that goes on was declared, while it is within that.
	plannedUntil time.Time
	// lagging workloads, whose controller has not seen their newest generation.
	lagging map[configuration.Key]lag
}

// doubt: of an outage that is seen here another leader has told that it was over, who saw it well for all of the hold. What is
// seen here may be behind: it contradicts only when the hold is over, as of since.
type doubt struct{ since, until time.Time }

type lag struct {
	generation int64
	since      time.Time
}

// remembered after a restart: what was told to be out must be well for the whole hold again, since nobody watched. A
// service that claims nothing is out for others alone, whose own memory it is.
func remembered(seen *observed) memory {
	health := seen.object.Status.Health
	out := health == v1alpha1.HealthOutage || health == v1alpha1.HealthMaintenance
	m := memory{out: out && len(seen.service.Claims) > 0}
	if since := seen.object.Status.HealthSince; m.out && since != nil {
		m.downSince = since.Time
	}
	return m
}

// assess the own health of a service, since when it is so if it is another than before, and when to look again.
func (m *memory) assess(seen *observed, hold time.Duration, now time.Time) (own servicelevel.OwnHealth, at, wake time.Time) {
	facts, until, wake := m.facts(seen, now)
	own = servicelevel.AssessOwn(facts)
	at = now
	planned := m.plannedUntil
	m.plannedUntil = time.Time{}
	switch own.Health {
	case v1alpha1.HealthOutage:
		if m.downSince.IsZero() {
			m.downSince = now
		}
		if now.Before(m.doubt.until) {
			return believed(seen), at, soonest(wake, m.doubt.until)
		}
		if !m.doubt.since.IsZero() {
			at, m.doubt = m.doubt.since, doubt{}
		}
		m.out, m.wellSince = true, time.Time{}
		if own.Planned {
			m.plannedUntil = until
		} else if !planned.IsZero() && planned.Before(now) {
			at = planned // what was declared was over then, whenever we look
		}
		return own, at, wake
	case v1alpha1.HealthOperational, v1alpha1.HealthDegraded, v1alpha1.HealthMaintenance:
		m.downSince, m.doubt = time.Time{}, doubt{}
	case v1alpha1.HealthUnknown:
		// Nothing to be out any more, or nothing known. The outage is not over, nor is the hold running.
		m.out = m.out && own.Reason != servicelevel.ReasonNoWorkloads
		m.wellSince = time.Time{}
		return own, at, wake
	}
	if !m.out {
		return own, at, wake
	}
	if m.wellSince.IsZero() {
		m.wellSince = now
	}
	end := m.wellSince.Add(hold)
	if !now.Before(end) {
		at = m.wellSince
		m.out, m.wellSince = false, time.Time{}
		return own, at, wake
	}
	// What was declared beforehand excuses the whole of the outage, also while it seems to end.
	m.plannedUntil = planned
	return servicelevel.OwnHealth{
		Health: v1alpha1.HealthOutage, Reason: string(v1alpha1.HealthOutage), Planned: now.Before(planned),
		Message: fmt.Sprintf("recovering: well since %s, and out until that has lasted for %s", m.wellSince.UTC().Format(time.RFC3339), hold),
	}, at, soonest(wake, end)
}

// believed is the health that another leader told.
func believed(seen *observed) servicelevel.OwnHealth {
	health := seen.object.Status.Health
	return servicelevel.OwnHealth{Health: health, Reason: string(health), Message: "another replica has seen its outage end"}
}

// overSince takes in that another leader has told the end of an outage, which it saw well from then on for all of the hold.
func (m *memory) overSince(end time.Time, hold time.Duration, now time.Time) {
	m.out, m.wellSince = false, time.Time{}
	if !m.downSince.IsZero() && m.downSince.Before(end.Add(hold)) {
		m.doubt = doubt{since: now, until: now.Add(hold)}
	}
}

// facts are what the own health follows from, until when declared downtime lasts at the longest, and when to look again.
func (m *memory) facts(seen *observed, now time.Time) (facts servicelevel.OwnFacts, planned, wake time.Time) {
	facts.Unmatched = seen.unmatched
	facts.Composite = len(seen.service.Claims) == 0 && len(seen.service.DependsOn) > 0
	lagging := map[configuration.Key]lag{}
	for i := range seen.workloads {
		w := &seen.workloads[i]
		presence, at := m.presence(w, lagging, now)
		until := w.plannedAt(now)
		planned = laterOf(planned, until)
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
	return facts, planned, wake
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
