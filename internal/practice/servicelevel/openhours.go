package servicelevel

import "time"

// windowHorizon bounds how far ahead an open window is looked for, and windowPieces how many open intervals are
// looked at: what does not come within them is not worth waiting for.
const (
	windowHorizon = 2 * 366 * secondsPerDay * time.Second
	windowPieces  = 10_000
)

// OpenHours is when changes may go in: while every calendar is open and no freeze is on. The zero value has
// neither, and is always open.
type OpenHours struct {
	calendars []Calendar
	freezes   []Interval
}

// NewOpenHours joins calendars and freezes.
func NewOpenHours(calendars []Calendar, freezes []Interval) OpenHours {
	return OpenHours{calendars: calendars, freezes: mergeIntervals(freezes)}
}

// Contains reports whether changes may go in at t.
func (o OpenHours) Contains(t time.Time) bool {
	for _, calendar := range o.calendars {
		if !calendar.Contains(t) {
			return false
		}
	}
	for _, freeze := range o.freezes {
		if freeze.Contains(t) {
			return false
		}
	}
	return true
}

// NextOpen is the earliest time not before t at which changes may go in, and whether there is one within two
// years. It is the fixed point over all calendars and freezes: each moves the time on until none does.
func (o OpenHours) NextOpen(t time.Time) (time.Time, bool) {
	limit := t.Add(windowHorizon)
	for range windowPieces {
		moved, ok := o.moveOn(t)
		if !ok || moved.After(limit) {
			return time.Time{}, false
		}
		if moved.Equal(t) {
			return t, true
		}
		t = moved
	}
	return time.Time{}, false
}

// moveOn asks each calendar and freeze once, one after the other.
func (o OpenHours) moveOn(t time.Time) (time.Time, bool) {
	for _, freeze := range o.freezes {
		if freeze.Contains(t) {
			t = freeze.End.In(t.Location())
		}
	}
	for _, calendar := range o.calendars {
		next, ok := calendar.NextOpen(t)
		if !ok {
			return time.Time{}, false
		}
		t = next
	}
	return t, true
}

// NextClose is the earliest time not before t at which changes may not go in, and whether there is one.
func (o OpenHours) NextClose(t time.Time) (time.Time, bool) {
	first, found := time.Time{}, false
	take := func(candidate time.Time) {
		if !found || candidate.Before(first) {
			first, found = candidate, true
		}
	}
	for _, calendar := range o.calendars {
		if next, ok := calendar.NextClose(t); ok {
			take(next)
		}
	}
	for _, freeze := range o.freezes {
		if freeze.End.After(t) {
			take(later(t, freeze.Start).In(t.Location()))
		}
	}
	return first, found
}

// FirstOpen is the window of a Change that names none: it begins with the next open time from t on and ends when so much
// open time has passed in it; it may hold closed time. It reports false where there is no such window within two years, or where length
// is not above 0.
func (o OpenHours) FirstOpen(t time.Time, length time.Duration) (Interval, bool) {
	limit := t.Add(windowHorizon)
	start, ok := o.NextOpen(t)
	if !ok || length <= 0 {
		return Interval{}, false
	}
	at := start
	for range windowPieces {
		end, closes := o.NextClose(at)
		if !closes || length <= end.Sub(at) {
			return Interval{Start: start, End: at.Add(length)}, true
		}
		length -= end.Sub(at)
		if at, ok = o.NextOpen(end); !ok || at.After(limit) {
			return Interval{}, false
		}
	}
	return Interval{}, false
}
