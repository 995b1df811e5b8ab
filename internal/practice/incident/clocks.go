package incident

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Agreement is what a ServiceLevelAgreement promises about incidents.
type Agreement struct {
	Name string
	// Response and Resolution are durations of agreed service time; a priority that is not there has none.
	Response, Resolution map[v1alpha1.Priority]time.Duration
	// Time is the agreed service time.
	Time BusinessTime
}

// warningShare is the part of its time after which a clock warns, in percent.
const warningShare = 75

// clocks follows response and resolution by the strictest agreement.
func (e *evaluation) clocks() {
	key, about := KeyOf(e.incident)
	agreement, ok := e.strictest()
	if !ok || about && StandsForOthers(key) {
		e.Status.Clocks, e.Status.DueAt = nil, ""
		return
	}
	before := e.Status.Clocks
	if before == nil {
		before = &v1alpha1.IncidentClocks{}
	}
	after := &v1alpha1.IncidentClocks{Agreement: v1alpha1.ObjectName(agreement.Name)}
	priority := e.Status.Priority
	if target, promised := agreement.Response[priority]; promised {
		after.Response = e.response(before.Response, agreement.Time, target)
	}
	if target, promised := agreement.Resolution[priority]; promised {
		after.Resolution = e.clock(before.Resolution, agreement.Time, target, clockRun{
			name: "resolution", stop: e.Status.ResolvedAt, paused: e.paused(), recovered: e.believed(),
		})
	}
	e.Status.Clocks = after
	e.Status.DueAt = e.dueText(after)
}

// response is the clock that runs until somebody takes notice. Of what another incident explains it stands still: one
// person takes notice of both. What ends like that stays so.
func (e *evaluation) response(before *v1alpha1.Clock, agreed BusinessTime, target time.Duration) *v1alpha1.Clock {
	run := clockRun{name: "response", stop: firstTime(e.Status.AcknowledgedAt, e.Status.ResolvedAt), paused: e.explained()}
	if !e.explained() {
		return e.clock(before, agreed, target, run)
	}
	if before == nil && run.stop != nil {
		return nil
	}
	if before == nil {
		before = e.neverRan()
	}
	if run.stop != nil && before.State == v1alpha1.ClockPaused {
		// It has met and missed nothing, and goes on from there if it fails again and stands on its own.
		return before.DeepCopy()
	}
	return e.clock(before, agreed, target, run)
}

// neverRan is a clock that stood still from the start on.
func (e *evaluation) neverRan() *v1alpha1.Clock {
	return &v1alpha1.Clock{State: v1alpha1.ClockPaused, PausedSince: e.at(e.started())}
}

// strictest is the agreement whose resolution is due first, or where none promises that, whose response is.
func (e *evaluation) strictest() (Agreement, bool) {
	var best Agreement
	var bestDue time.Time
	found, bestResolves := false, false
	for _, a := range e.facts.Agreements {
		target, resolves := a.Resolution[e.Status.Priority]
		if !resolves {
			var responds bool
			if target, responds = a.Response[e.Status.Priority]; !responds {
				continue
			}
		}
		due := a.Time.Add(e.started(), target)
		stricter := dueBefore(due, bestDue) || due.Equal(bestDue) && a.Name < best.Name
		if !found || resolves && !bestResolves || resolves == bestResolves && stricter {
			best, bestDue, found, bestResolves = a, due, true, resolves
		}
	}
	return best, found
}

// dueBefore orders due times; the zero time is never.
func dueBefore(a, b time.Time) bool { return !a.IsZero() && (b.IsZero() || a.Before(b)) }

// explained reports whether another incident explains this one, so that nobody need respond to it.
func (e *evaluation) explained() bool {
	return e.parent() != nil
}

// paused reports whether the resolution clock stands still.
func (e *evaluation) paused() bool {
	hold := e.incident.Spec.Hold
	return e.Status.State == v1alpha1.IncidentOnHold && hold != nil && hold.Reason == v1alpha1.HoldAwaitingCaller
}

// believed is when it recovered, where that may end it.
func (e *evaluation) believed() *metav1.Time {
	if e.disputed() {
		return nil
	}
	return e.Status.RecoveredAt
}

type clockRun struct {
	name string
	// stop is when it was stopped; nil: it runs, or is paused.
	stop   *metav1.Time
	paused bool
	// recovered: while a recovery is not yet believed, the clock is not judged.
	recovered *metav1.Time
}

// clock brings one clock up to date. Its due time is always computed from the start, with the pauses it had, so that
// a new priority or agreement counts from the start, too.
func (e *evaluation) clock(before *v1alpha1.Clock, agreed BusinessTime, target time.Duration, run clockRun) *v1alpha1.Clock {
	c := &v1alpha1.Clock{State: v1alpha1.ClockRunning}
	if before != nil {
		c.PausedSeconds, c.PausedSince = before.PausedSeconds, before.PausedSince
	}
	switch {
	case run.stop != nil:
		e.endPause(c, agreed, run.stop.Time)
	case run.paused && c.PausedSince == nil:
		c.PausedSince = e.at(e.now)
	case !run.paused:
		e.endPause(c, agreed, e.now)
	}
	paused := time.Duration(c.PausedSeconds) * time.Second
	due := agreed.Add(e.started(), target+paused)
	warn := agreed.Add(e.started(), target*warningShare/100+paused)
	judged := e.now
	switch {
	case run.stop != nil:
		judged = run.stop.Time
	case c.PausedSince != nil:
		judged = c.PausedSince.Time
	case run.recovered != nil && run.recovered.Time.Before(e.now):
		judged = run.recovered.Time
	default:
		e.wake(warn)
		e.wake(due)
	}
	switch {
	case !due.IsZero() && !judged.Before(due):
		c.State = v1alpha1.ClockBreached
	case run.stop != nil:
		c.State = v1alpha1.ClockMet
	case c.PausedSince != nil:
		c.State = v1alpha1.ClockPaused
		e.announce(before, c, run.name, due)
		return c
	case !warn.IsZero() && !judged.Before(warn):
		c.State = v1alpha1.ClockWarning
	}
	if !due.IsZero() {
		c.DueAt = e.at(due)
	}
	e.announce(before, c, run.name, due)
	return c
}

func (e *evaluation) endPause(c *v1alpha1.Clock, agreed BusinessTime, at time.Time) {
	if c.PausedSince == nil {
		return
	}
	c.PausedSeconds += max(int64(agreed.Between(c.PausedSince.Time, at)/time.Second), 0)
	c.PausedSince = nil
}

// resumeClocks leaves the time in which the incident was resolved out of its clocks. It is called before the state
// changes, and the pause ends with the next evaluation of the clocks, in the same decision.
func (e *evaluation) resumeClocks(resolvedAt *metav1.Time) {
	if e.Status.Clocks == nil || resolvedAt == nil {
		return
	}
	if c := e.Status.Clocks.Resolution; c != nil {
		c.PausedSince = resolvedAt.DeepCopy()
	}
	switch c := e.Status.Clocks.Response; {
	case e.Status.AcknowledgedAt != nil:
	case c == nil:
		// It was explained as long as it was open: whoever responds now has the whole time.
		e.Status.Clocks.Response = e.neverRan()
	case c.PausedSince == nil:
		c.PausedSince = resolvedAt.DeepCopy()
	}
}

// announce tells of a clock that crosses a threshold.
func (e *evaluation) announce(before, after *v1alpha1.Clock, name string, due time.Time) {
	if due.IsZero() || before != nil && before.State == after.State {
		return
	}
	switch after.State {
	case v1alpha1.ClockWarning:
		e.event(Event{
			Warning: true, Reason: EventDueSoon, Action: "Warn",
			Note: "three quarters of the time for its " + name + " are over; due at " + stamp(due),
		})
	case v1alpha1.ClockBreached:
		e.tell("the time for its "+name+" is over (was due at "+stamp(due)+")", operator)
		e.event(Event{
			Warning: true, Reason: EventBreached, Action: "Breach", Note: "the time for its " + name + " ended at " + stamp(due),
		})
	case v1alpha1.ClockRunning, v1alpha1.ClockPaused, v1alpha1.ClockMet:
	default:
	}
}

func firstTime(times ...*metav1.Time) *metav1.Time {
	var first *metav1.Time
	for _, t := range times {
		if t != nil && (first == nil || t.Before(first)) {
			first = t
		}
	}
	return first
}

// dueText is what is due next, for a column. A clock that was stopped too late stays breached, and nothing is due by it.
func (e *evaluation) dueText(c *v1alpha1.IncidentClocks) string {
	var next *metav1.Time
	for _, clock := range []*v1alpha1.Clock{c.Response, c.Resolution} {
		if clock == nil || clock.DueAt == nil || e.Status.ResolvedAt != nil || clock == c.Response && e.Status.AcknowledgedAt != nil {
			continue
		}
		switch clock.State {
		case v1alpha1.ClockRunning, v1alpha1.ClockWarning, v1alpha1.ClockBreached:
			next = firstTime(next, clock.DueAt)
		case v1alpha1.ClockPaused, v1alpha1.ClockMet:
		default:
		}
	}
	if next == nil {
		return ""
	}
	return stamp(next.Time)
}
