package servicelevel

import (
	"slices"
	"time"
)

// Interval is the time from Start up to but not including End.
type Interval struct {
	Start, End time.Time
}

// Contains reports whether t lies in the interval.
func (i Interval) Contains(t time.Time) bool { return !t.Before(i.Start) && t.Before(i.End) }

// mergeIntervals returns what the intervals cover together: in order, none touching another, none empty.
func mergeIntervals(intervals []Interval) []Interval {
	sorted := slices.DeleteFunc(slices.Clone(intervals), func(i Interval) bool { return !i.Start.Before(i.End) })
	slices.SortFunc(sorted, func(a, b Interval) int { return a.Start.Compare(b.Start) })
	var merged []Interval
	for _, next := range sorted {
		if last := len(merged) - 1; last >= 0 && !merged[last].End.Before(next.Start) {
			merged[last].End = later(merged[last].End, next.End)
			continue
		}
		merged = append(merged, next)
	}
	return merged
}

// invertIntervals returns what merged intervals leave of a span.
func invertIntervals(span Interval, merged []Interval) []Interval {
	var rest []Interval
	at := span.Start
	for _, i := range merged {
		if at.Before(i.Start) {
			rest = append(rest, Interval{Start: at, End: earlier(i.Start, span.End)})
		}
		at = later(at, i.End)
	}
	if at.Before(span.End) {
		rest = append(rest, Interval{Start: at, End: span.End})
	}
	return rest
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
