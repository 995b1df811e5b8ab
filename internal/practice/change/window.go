package change

import (
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// openHours is how long a Change without a window may go in: so many open hours after its approval.
	openHours = 24 * time.Hour
	// horizon is how far ahead open hours are looked for, searchSteps in how many steps at most.
	horizon     = 2 * 366 * 24 * time.Hour
	searchSteps = 5000
)

// closedWindow returns the change window that keeps a change of this type out at a time; nil: none. Only Normal
// changes are bound to the change window: a Standard change is pre-authorised for any time that is not frozen, and an
// Emergency cannot wait.
func (r *Rules) closedWindow(t v1alpha1.ChangeType, at time.Time) *NamedCalendar {
	if t != v1alpha1.ChangeNormal {
		return nil
	}
	for i := range r.Windows {
		w := &r.Windows[i]
		if w.Hours == nil || !w.Hours.Contains(at) {
			return w
		}
	}
	return nil
}

// openAt says whether change windows and freezes let a change of this type in at a time, and up to when that stays
// so at least. The zero time means for ever.
func (r *Rules) openAt(t v1alpha1.ChangeType, at time.Time) (open bool, until time.Time) {
	span := opening{open: true}
	if t == v1alpha1.ChangeNormal {
		for i := range r.Windows {
			hours := r.Windows[i].Hours
			if hours == nil {
				return false, time.Time{}
			}
			span.add(hours.At(at))
		}
	}
	for i := range r.Freezes {
		f := &r.Freezes[i]
		switch {
		case f.exempts(t):
		case f.Contains(at):
			span.add(false, f.To)
		case at.Before(f.From):
			span.add(true, f.From)
		}
	}
	return span.open, span.until
}

// opening joins what several calendars and freezes say of one time.
type opening struct {
	open  bool
	until time.Time
}

// add joins one more: all must be open, so it stays open up to the soonest end, and closed up to the latest.
func (o *opening) add(open bool, until time.Time) {
	switch {
	case o.open && !open:
		o.open, o.until = false, until
	case o.open && open:
		if endsAfter(o.until, until) {
			o.until = until
		}
	case !o.open && !open:
		if endsAfter(until, o.until) {
			o.until = until
		}
	}
}

// nextOpening returns when, not before from, change windows and freezes let a change of this type in. Ok is false
// where that is not within two years.
func (r *Rules) nextOpening(t v1alpha1.ChangeType, from time.Time) (at time.Time, ok bool) {
	at = from
	for range searchSteps {
		if r.closedWindow(t, at) == nil && r.freezeAt(t, at) == nil {
			return at, true
		}
		_, until := r.openAt(t, at)
		if until.IsZero() || !until.After(at) || until.Sub(from) > horizon {
			return time.Time{}, false
		}
		at = until
	}
	return time.Time{}, false
}

// firstOpenHours returns the interval that holds the first open hours, up to length, after from. Zero: there are none
// within two years. Where fewer hours than that are open within two years, it ends there.
func (r *Rules) firstOpenHours(t v1alpha1.ChangeType, from time.Time, length time.Duration) Interval {
	start, ok := r.nextOpening(t, from)
	if !ok {
		return Interval{}
	}
	left, at := length, start
	for range searchSteps {
		open, until := r.openAt(t, at)
		switch {
		case open && (until.IsZero() || until.Sub(at) >= left):
			return Interval{From: start, To: at.Add(left)}
		case until.IsZero() || !until.After(at) || until.Sub(from) > horizon:
			return Interval{From: start, To: from.Add(horizon)}
		case open:
			left -= until.Sub(at)
		}
		at = until
	}
	return Interval{From: start, To: at}
}

// nextChance returns when, not before from, a change of this type may go in within its own window.
func (r *Rules) nextChance(t v1alpha1.ChangeType, window Interval, from time.Time) (at time.Time, ok bool) {
	if from.Before(window.From) {
		from = window.From
	}
	at, ok = r.nextOpening(t, from)
	if !ok || !window.Contains(at) {
		return time.Time{}, false
	}
	return at, true
}
