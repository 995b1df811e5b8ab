package incident

import "time"

// BusinessTime counts the time that was agreed. Add and Between are inverse.
type BusinessTime interface {
	// Add is when so much of it will have passed since start.
	Add(start time.Time, d time.Duration) time.Time
	// Between is how much of it passes between two times; negative where end is before start.
	Between(start, end time.Time) time.Duration
}

// Always is around the clock.
type Always struct{}

// Add is start plus d.
func (Always) Add(start time.Time, d time.Duration) time.Time { return start.Add(d) }

// Between is end minus start.
func (Always) Between(start, end time.Time) time.Duration { return end.Sub(start) }

// Weekdays are all hours of Monday to Friday in UTC.
type Weekdays struct{}

const day = 24 * time.Hour

// Add skips Saturdays and Sundays; d must not be negative.
func (Weekdays) Add(start time.Time, d time.Duration) time.Time {
	t := start.UTC()
	for {
		midnight := t.Truncate(day).Add(day)
		switch t.Weekday() {
		case time.Saturday, time.Sunday:
			t = midnight
			continue
		default:
		}
		left := midnight.Sub(t)
		if d < left {
			return t.Add(d)
		}
		d -= left
		t = midnight
		if d >= 5*day {
			weeks := d / (5 * day)
			t = t.Add(weeks * 7 * day)
			d -= weeks * 5 * day
		}
	}
}

// Between leaves Saturdays and Sundays out.
func (w Weekdays) Between(start, end time.Time) time.Duration {
	if end.Before(start) {
		return -w.Between(end, start)
	}
	start, end = start.UTC(), end.UTC()
	sum := time.Duration(0)
	weeks := end.Sub(start) / (7 * day)
	sum += weeks * 5 * day
	for t := start.Add(weeks * 7 * day); t.Before(end); {
		midnight := t.Truncate(day).Add(day)
		if midnight.After(end) {
			midnight = end
		}
		switch t.Weekday() {
		case time.Saturday, time.Sunday:
		default:
			sum += midnight.Sub(t)
		}
		t = midnight
	}
	return sum
}
