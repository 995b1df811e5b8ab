package servicelevel

import "time"

// Interval is the time from Start up to but not including End.
type Interval struct {
	Start, End time.Time
}

// Contains reports whether t lies in the interval.
func (i Interval) Contains(t time.Time) bool { return !t.Before(i.Start) && t.Before(i.End) }
