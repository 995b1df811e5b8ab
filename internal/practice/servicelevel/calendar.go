package servicelevel

import (
	"fmt"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// horizon bounds how far ahead a calendar is searched: what does not come within it never comes. A
	// time.Duration holds 292 years.
	horizon = 250 * 366 * secondsPerDay * time.Second
	// longestExtra bounds one interval of extra hours, so that their sum can be held.
	longestExtra = 366 * secondsPerDay * time.Second
)

// Calendar is a set of hours: of agreed service time, or of open change windows. It is open by what a clock on
// the wall of its zone shows, and in its extra hours. So a day of 23 or 25 hours counts as many, an interval
// whose readings do not exist on a day is not there on that day, and one whose readings come twice is open twice.
//
// Times are compared as instants; results are in the zone of the time that was passed. The zero value is never
// open: what cannot be understood is closed. A Calendar is not altered after it was made.
type Calendar struct {
	always bool
	zone   *time.Location
	hours  *hours
	// extra hours in order, none touching another.
	extra []Interval
	// gainBefore is how much the extra hours before each one add to the weekly hours, and all of them.
	gainBefore []time.Duration
}

// Always is the calendar of an agreement without one: open around the clock.
func Always() Calendar { return Calendar{always: true} }

// ParseCalendar reads spec of a Calendar. Where anything in it cannot be understood, all of it is closed, and the
// errors (of type *FieldError, each naming its field) say why.
func ParseCalendar(spec v1alpha1.CalendarSpec) (Calendar, []error) {
	var problems []error
	collect := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	zone, err := ParseTimeZone("spec.timeZone", spec.TimeZone)
	collect(err)
	var weekly []weeklyPiece
	for i, w := range spec.Weekly {
		pieces, errs := parseWeekly(fmt.Sprintf("spec.weekly[%d]", i), w)
		weekly, problems = append(weekly, pieces...), append(problems, errs...)
	}
	var holidays []int64
	for i, holiday := range spec.Holidays {
		number, err := parseDate(fmt.Sprintf("spec.holidays[%d].date", i), holiday.Date)
		holidays = append(holidays, number)
		collect(err)
	}
	var extra []Interval
	for i, e := range spec.Extra {
		field := fmt.Sprintf("spec.extra[%d]", i)
		interval, errs := ParseInterval(field+".from", e.From, field+".to", e.To)
		extra, problems = append(extra, interval), append(problems, errs...)
		if interval.End.Sub(interval.Start) > longestExtra {
			collect(invalid(field+".to", string(e.To), "is more than 366 days after from: use weekly hours"))
		}
	}
	if len(spec.Weekly) == 0 && len(spec.Extra) == 0 {
		collect(&FieldError{Field: "spec", Problem: "has neither weekly nor extra hours, so that it would never be open"})
	}
	if len(problems) > 0 {
		return Calendar{}, problems
	}
	return newCalendar(zone, newHours(weekly, holidays), extra), nil
}

func parseWeekly(field string, w v1alpha1.WeeklyHours) ([]weeklyPiece, []error) {
	from, fromErr := parseClockTime(field+".from", w.From)
	to, toErr := parseClockTime(field+".to", w.To)
	problems := slices.DeleteFunc([]error{fromErr, toErr}, func(err error) bool { return err == nil })
	switch {
	case len(problems) > 0:
	case from == secondsPerDay:
		problems = append(problems, invalid(field+".from", string(w.From), `is the next day's "00:00"`))
	case from == to:
		problems = append(problems, invalid(field+".to", string(w.To), `equals from: for a whole day use "00:00" to "24:00"`))
	case to < from:
		to += secondsPerDay
	}
	if len(w.Days) == 0 {
		problems = append(problems, &FieldError{Field: field + ".days", Problem: "names no day"})
	}
	var pieces []weeklyPiece
	for i, name := range w.Days {
		// time.Weekday counts from Sunday.
		weekday := slices.Index([]v1alpha1.Weekday{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}, name)
		if weekday < 0 {
			problems = append(problems, invalid(fmt.Sprintf("%s.days[%d]", field, i), string(name), `is not a day such as "Mon"`))
		}
		pieces = append(pieces, weeklyPiece{weekday: weekday, from: from, to: to})
	}
	return pieces, problems
}

func newCalendar(zone *time.Location, h *hours, extra []Interval) Calendar {
	c := Calendar{zone: zone, hours: h, extra: mergeIntervals(extra), gainBefore: []time.Duration{0}}
	for _, e := range c.extra {
		gain := e.End.Sub(e.Start) - c.weeklyBetween(e.Start, e.End)
		c.gainBefore = append(c.gainBefore, c.gainBefore[len(c.gainBefore)-1]+gain)
	}
	return c
}

// Contains reports whether the calendar is open at t.
func (c Calendar) Contains(t time.Time) bool {
	if c.always || c.hours == nil {
		return c.always
	}
	if next := c.extraEndingAfter(t); next < len(c.extra) && c.extra[next].Contains(t) {
		return true
	}
	_, offset := t.In(c.zone).Zone()
	return c.hours.contains(wallOf(t, offset))
}

// Between is the open time from a to b, exact to the nanosecond; none where b is not after a. It looks at no more
// than the first 250 years.
func (c Calendar) Between(a, b time.Time) time.Duration {
	b = earlier(b, a.Add(horizon))
	switch {
	case !a.Before(b):
		return 0
	case c.always:
		return b.Sub(a)
	case c.hours == nil:
		return 0
	}
	return c.weeklyBetween(a, b) + c.gainUntil(b) - c.gainUntil(a)
}

// Add is the inverse of Between: the earliest time t2 with Between(t, t2) == d. It is t itself where d is not
// above 0, and the zero time where so much open time does not come within 250 years: never.
func (c Calendar) Add(t time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return t
	}
	if c.always {
		return t.Add(d)
	}
	if found, ok := c.search(t, d, false); ok {
		return found
	}
	return time.Time{}
}

// NextOpen is the earliest time not before t at which the calendar is open, and whether there is one within 250
// years.
func (c Calendar) NextOpen(t time.Time) (time.Time, bool) {
	if c.Contains(t) {
		return t, true
	}
	return c.search(t, 0, false)
}

// NextClose is the earliest time not before t at which the calendar is closed, and whether there is one within
// 250 years.
func (c Calendar) NextClose(t time.Time) (time.Time, bool) {
	if !c.Contains(t) {
		return t, true
	}
	return c.search(t, 0, true)
}

// weeklyBetween adds up the spans in which the zone's offset from UTC stays the same: in each of them the wall
// clock runs as any clock.
func (c Calendar) weeklyBetween(a, b time.Time) time.Duration {
	var sum time.Duration
	for a.Before(b) {
		offset, end := c.offsetUntil(a, b)
		sum += c.hours.between(wallOf(a, offset), wallOf(end, offset))
		a = end
	}
	return sum
}

// offsetUntil is the zone's offset at a, in seconds, and the time until which it holds, at most limit.
func (c Calendar) offsetUntil(a, limit time.Time) (offset int, end time.Time) {
	local := a.In(c.zone)
	_, offset = local.Zone()
	_, end = local.ZoneBounds()
	if end.IsZero() {
		return offset, limit
	}
	if !end.After(a) {
		// Beyond the years that the database lists (2037), ZoneBounds takes every year for one of 365 days: on
		// 31 December of a leap year it returns an end that has passed. No zone changes its offset on that day.
		const day = secondsPerDay * time.Second
		end = a.Truncate(day).Add(day)
	}
	return offset, earlier(end, limit)
}

// extraEndingAfter is the index of the first extra hours that end after t.
func (c Calendar) extraEndingAfter(t time.Time) int {
	index, _ := slices.BinarySearchFunc(c.extra, t, func(e Interval, t time.Time) int {
		if e.End.After(t) {
			return 1
		}
		return -1
	})
	return index
}

// gainUntil is how much the extra hours before t add to the weekly hours.
func (c Calendar) gainUntil(t time.Time) time.Duration {
	next := c.extraEndingAfter(t)
	gain := c.gainBefore[next]
	if next < len(c.extra) && c.extra[next].Start.Before(t) {
		gain += t.Sub(c.extra[next].Start) - c.weeklyBetween(c.extra[next].Start, t)
	}
	return gain
}

// search finds the earliest time by which more than d (where d is above 0: exactly d) open time has passed since
// t; where closed is set, closed time.
func (c Calendar) search(t time.Time, d time.Duration, closed bool) (time.Time, bool) {
	if c.hours == nil {
		return time.Time{}, false
	}
	passed := func(from, to time.Time) time.Duration {
		open := c.Between(from, to)
		if closed {
			return to.Sub(from) - open
		}
		return open
	}
	reached := func(sum time.Duration) bool { return sum > d || (d > 0 && sum == d) }
	// Ever greater steps from low until a step reaches it; then the step is halved down to a day.
	const smallest = 24 * time.Hour
	low, step := t, smallest
	for !reached(passed(low, low.Add(step))) {
		d -= passed(low, low.Add(step))
		low = low.Add(step)
		if low.Sub(t) > horizon {
			return time.Time{}, false
		}
		step *= 2
	}
	for step > smallest {
		step /= 2
		if half := passed(low, low.Add(step)); !reached(half) {
			d -= half
			low = low.Add(step)
		}
	}
	span := Interval{Start: low, End: low.Add(step)}
	pieces := c.pieces(span)
	if closed {
		pieces = invertIntervals(span, pieces)
	}
	for _, p := range pieces {
		if length := p.End.Sub(p.Start); d < length || d == length && d > 0 {
			found := p.Start.Add(d).In(t.Location())
			return found, found.Sub(t) <= horizon
		}
		d -= p.End.Sub(p.Start)
	}
	return time.Time{}, false
}

// pieces are the open intervals of a span of about a day, in order, none touching another.
func (c Calendar) pieces(span Interval) []Interval {
	var found []Interval
	add := func(i Interval) {
		i = Interval{Start: later(i.Start, span.Start), End: earlier(i.End, span.End)}
		if i.Start.Before(i.End) {
			found = append(found, i)
		}
	}
	for a := span.Start; a.Before(span.End); {
		offset, end := c.offsetUntil(a, span.End)
		last := wallOf(end, offset).day()
		for number := wallOf(a, offset).day(); number <= last; number++ {
			midnight := number*secondsPerDay - int64(offset)
			for _, p := range c.hours.on(number).pieces {
				add(Interval{
					Start: later(a, time.Unix(midnight+p.from, 0)),
					End:   earlier(end, time.Unix(midnight+p.to, 0)),
				})
			}
		}
		a = end
	}
	for i := c.extraEndingAfter(span.Start); i < len(c.extra) && c.extra[i].Start.Before(span.End); i++ {
		add(c.extra[i])
	}
	return mergeIntervals(found)
}
