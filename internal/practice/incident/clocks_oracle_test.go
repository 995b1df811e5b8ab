package incident_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// slowClock counts second by second.
type slowClock struct {
	// until is up to which second was counted, and used how many of them were agreed and not paused.
	until, used int64
	// paused since a second that is not counted yet; 0: it runs.
	paused int64
}

// agreed is Monday to Friday, from nine to five in UTC.
func agreed(unix int64) bool {
	weekday, second := (unix/86400+4)%7, unix%86400
	return weekday >= 1 && weekday <= 5 && second >= 9*3600 && second < 17*3600
}

func (c *slowClock) count(to time.Time) {
	for end := to.Unix(); c.until < end; c.until++ {
		if agreed(c.until) && (c.paused == 0 || c.until < c.paused) {
			c.used++
		}
	}
}

// pauseFrom holds it from a time on.
func (c *slowClock) pauseFrom(from time.Time) { c.paused = from.Unix() }

// reaches is when it will have used so much, if nothing happens.
func (c *slowClock) reaches(target time.Duration) time.Time {
	used, at := c.used, c.until
	for ; used < int64(target/time.Second); at++ {
		if agreed(at) {
			used++
		}
	}
	return time.Unix(at, 0).UTC()
}

// chronicle is what happened to a ticket that its clocks follow from, kept as simply as can be.
type chronicle struct {
	start time.Time
	// Spans in which the resolution clock, and the response clock, stood still; the end is zero while they do.
	resolution, response []span
}

type span struct{ from, to time.Time }

// clock counts the agreed seconds from the start to a time that are in none of the spans.
func (c *chronicle) clock(spans []span, to time.Time) *slowClock {
	out := &slowClock{until: c.start.Unix()}
	for out.until < to.Unix() {
		at := time.Unix(out.until, 0)
		out.paused = 0
		for _, s := range spans {
			if !at.Before(s.from) && (s.to.IsZero() || at.Before(s.to)) {
				out.pauseFrom(s.from)
			}
		}
		out.count(at.Add(time.Second))
	}
	out.paused = 0
	return out
}

func stop(spans []span, at time.Time) []span {
	if n := len(spans); n > 0 && spans[n-1].to.IsZero() {
		return spans
	}
	return append(spans, span{from: at})
}

func resumeAt(spans []span, at time.Time) []span {
	if n := len(spans); n > 0 && spans[n-1].to.IsZero() {
		spans[n-1].to = at
	}
	return spans
}

// follow brings the chronicle up to date after something happened to the ticket.
func (c *chronicle) follow(k *ticket) {
	s := k.i.Status
	resolved := s.State == v1alpha1.IncidentResolved
	asked := s.State == v1alpha1.IncidentOnHold && k.i.Spec.Hold.Reason == v1alpha1.HoldAwaitingCaller
	explained := k.i.Spec.ParentRef != nil
	still := func(spans []span, other bool) []span {
		switch {
		case resolved && len(spans) > 0 && spans[len(spans)-1].to.IsZero():
			return spans
		case resolved:
			return stop(spans, s.ResolvedAt.Time)
		case other:
			return stop(spans, k.now)
		default:
			return resumeAt(spans, k.now)
		}
	}
	c.resolution, c.response = still(c.resolution, asked), still(c.response, explained)
}

// check compares a clock that runs with the slow one, and when it says that it will be over.
func (c *chronicle) check(clock *v1alpha1.Clock, spans []span, target time.Duration, k *ticket) string {
	if clock == nil {
		return "there is no clock"
	}
	slow := c.clock(spans, k.now)
	due, warn := slow.reaches(target), slow.reaches(target*3/4)
	want := v1alpha1.ClockRunning
	switch used := time.Duration(slow.used) * time.Second; {
	case used >= target:
		want = v1alpha1.ClockBreached
	case used >= target*3/4:
		want = v1alpha1.ClockWarning
	}
	switch {
	case clock.State != want:
		return fmt.Sprintf("%s, want %s: %d s of %s used", clock.State, want, slow.used, target)
	case want == v1alpha1.ClockBreached:
		return ""
	case clock.DueAt == nil || !clock.DueAt.Time.Equal(due):
		return fmt.Sprintf("due at %v, want %s", clock.DueAt, due)
	case want == v1alpha1.ClockRunning && (k.next.IsZero() || k.next.After(warn)), k.next.IsZero() || k.next.After(due):
		return fmt.Sprintf("wakes at %s, warns at %s, due at %s", k.next, warn, due)
	}
	return ""
}

// TestClocksAgainstASlowOne lets people, the detector and time do what moves clocks, in any order, and compares both
// with one that steps through the calendar second by second. Time passes with no evaluation but those that were asked
// for, often to the very second before and at which a clock is over.
func TestClocksAgainstASlowOne(t *testing.T) {
	actions := []func(*ticket, *rand.Rand){
		func(k *ticket, r *rand.Rand) { k.pass(time.Duration(r.IntN(7200)) * second) },
		func(k *ticket, r *rand.Rand) { k.pass(time.Duration(r.IntN(3*86400)) * second) },
		func(k *ticket, _ *rand.Rand) { k.do(hold(v1alpha1.HoldAwaitingCaller)) },
		func(k *ticket, _ *rand.Rand) { k.do(hold(v1alpha1.HoldAwaitingVendor)) },
		func(k *ticket, _ *rand.Rand) { k.do(resume) },
		func(k *ticket, _ *rand.Rand) { k.do(func(s *v1alpha1.IncidentSpec) { s.Impact = "High" }) },
		func(k *ticket, _ *rand.Rand) { k.do(func(s *v1alpha1.IncidentSpec) { s.Impact = "" }) },
		func(k *ticket, _ *rand.Rand) {
			k.do(func(s *v1alpha1.IncidentSpec) { s.ParentRef = &v1alpha1.NamespacedReference{Name: "node"} })
		},
		func(k *ticket, _ *rand.Rand) { k.do(func(s *v1alpha1.IncidentSpec) { s.ParentRef = nil }) },
		func(k *ticket, r *rand.Rand) {
			if r.IntN(4) == 0 {
				k.do(assign)
			}
		},
		func(k *ticket, _ *rand.Rand) {
			// Recovered, believed, and a while later it fails again.
			k.seeWell().pass(10 * minute)
		},
		func(k *ticket, _ *rand.Rand) { k.pass(20 * minute).fail() },
	}
	calendar := businessHours(t, "09:00", "17:00")
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 11))
		k := clocked(t, calendar)
		c := &chronicle{start: k.i.Status.DetectedAt.Time}
		story := ""
		for range 20 {
			n := r.IntN(len(actions))
			actions[n](k, r)
			story += fmt.Sprintf(" %d@%s", n, k.now.Sub(t0))
			if k.i.Status.State == v1alpha1.IncidentClosed {
				break
			}
			c.follow(k)
			if why := c.checkBoth(k); why != "" {
				t.Fatalf("seed %d:%s: %s", seed, story, why)
			}
			why := c.toTheSecond(k)
			if why != "" {
				t.Fatalf("seed %d:%s, to the second: %s", seed, story, why)
			}
		}
	}
}

func (c *chronicle) targets(k *ticket) (response, resolution time.Duration) {
	g := gold(nil)
	return g.Response[k.i.Status.Priority], g.Resolution[k.i.Status.Priority]
}

func (c *chronicle) checkBoth(k *ticket) string {
	s := k.i.Status
	if s.State == v1alpha1.IncidentResolved || s.RecoveredAt != nil {
		return ""
	}
	forResponse, forResolution := c.targets(k)
	if s.State != v1alpha1.IncidentOnHold || k.i.Spec.Hold.Reason != v1alpha1.HoldAwaitingCaller {
		if why := c.check(s.Clocks.Resolution, c.resolution, forResolution, k); why != "" {
			return "resolution: " + why
		}
	}
	if s.AcknowledgedAt == nil && k.i.Spec.ParentRef == nil {
		if why := c.check(s.Clocks.Response, c.response, forResponse, k); why != "" {
			return "response: " + why
		}
	}
	return ""
}

// toTheSecond lets time pass to just before the resolution clock is over, and to when it is, on a copy.
func (c *chronicle) toTheSecond(k *ticket) string {
	s := k.i.Status
	if s.State == v1alpha1.IncidentResolved || s.RecoveredAt != nil || s.Clocks.Resolution == nil || s.Clocks.Resolution.DueAt == nil ||
		s.Clocks.Resolution.State == v1alpha1.ClockPaused {
		return ""
	}
	due := s.Clocks.Resolution.DueAt.Time
	if !due.After(k.now) {
		return ""
	}
	later := *k
	later.i = *k.i.DeepCopy()
	later.pass(due.Sub(later.now) - time.Second)
	if state := later.i.Status.Clocks.Resolution.State; state == v1alpha1.ClockBreached {
		return "breached a second before it is due"
	}
	later.pass(time.Second)
	if state := later.i.Status.Clocks.Resolution.State; state != v1alpha1.ClockBreached {
		return fmt.Sprintf("%s when it is due", state)
	}
	return ""
}
