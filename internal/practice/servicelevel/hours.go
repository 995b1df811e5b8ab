package servicelevel

import (
	"slices"
	"time"
)

const (
	secondsPerDay = 24 * 60 * 60
	daysPerWeek   = 7
)

// hours are weekly hours with their holidays, as a wall clock shows them: a set of readings (day, time of day),
// without regard to any zone. Days are counted from 1970-01-01, a Thursday.
type hours struct {
	// days are what is open on a day of the week: [weekday][the day is a holiday][the day before is one].
	days [daysPerWeek][2][2]day
	// beforeInWeek is the open seconds of an ordinary week before each weekday, and of all of it.
	beforeInWeek [daysPerWeek + 1]int64
	// exceptions are the days that holidays alter, in order: the holidays and the days after them.
	exceptions []exception
	// holidays in order.
	holidays []int64
}

// day is the open part of one day, in seconds since its midnight.
type day struct {
	pieces []piece // in order, none touching another
	total  int64
}

type piece struct{ from, to int64 }

// exception is a day that is not as its weekday is otherwise.
type exception struct {
	day int64
	// gainThrough is how many more open seconds there are, up to the end of this day, than without exceptions.
	gainThrough int64
}

// weeklyPiece is an interval that begins on one weekday: to may lie on the next day.
type weeklyPiece struct {
	weekday  int
	from, to int64
}

func newHours(weekly []weeklyPiece, holidays []int64) *hours {
	h := &hours{holidays: slices.Compact(slices.Sorted(slices.Values(holidays)))}
	for weekday := range daysPerWeek {
		for _, isHoliday := range []int{0, 1} {
			for _, afterHoliday := range []int{0, 1} {
				h.days[weekday][isHoliday][afterHoliday] = newDay(weekly, weekday, isHoliday == 1, afterHoliday == 1)
			}
		}
		h.beforeInWeek[weekday+1] = h.beforeInWeek[weekday] + h.days[weekday][0][0].total
	}
	var altered []int64
	for _, holiday := range h.holidays {
		altered = append(altered, holiday, holiday+1)
	}
	gain := int64(0)
	for _, number := range slices.Compact(slices.Sorted(slices.Values(altered))) {
		gain += h.on(number).total - h.days[weekdayOf(number)][0][0].total
		h.exceptions = append(h.exceptions, exception{day: number, gainThrough: gain})
	}
	return h
}

// newDay is what is open on a weekday: what begins on it, and what is left of the night before.
func newDay(weekly []weeklyPiece, weekday int, isHoliday, afterHoliday bool) day {
	var pieces []piece
	for _, w := range weekly {
		if w.weekday == weekday && !isHoliday {
			pieces = append(pieces, piece{w.from, min(w.to, secondsPerDay)})
		}
		if (w.weekday+1)%daysPerWeek == weekday && w.to > secondsPerDay && !afterHoliday {
			pieces = append(pieces, piece{0, w.to - secondsPerDay})
		}
	}
	slices.SortFunc(pieces, func(a, b piece) int { return int(a.from - b.from) })
	var d day
	for _, next := range pieces {
		if last := len(d.pieces) - 1; last >= 0 && next.from <= d.pieces[last].to {
			d.pieces[last].to = max(d.pieces[last].to, next.to)
			continue
		}
		d.pieces = append(d.pieces, next)
	}
	for _, p := range d.pieces {
		d.total += p.to - p.from
	}
	return d
}

func weekdayOf(number int64) int {
	const thursday = int64(time.Thursday)
	return int(((number+thursday)%daysPerWeek + daysPerWeek) % daysPerWeek)
}

func (h *hours) isHoliday(number int64) int {
	if _, found := slices.BinarySearch(h.holidays, number); found {
		return 1
	}
	return 0
}

// on is what is open on a day.
func (h *hours) on(number int64) *day {
	return &h.days[weekdayOf(number)][h.isHoliday(number)][h.isHoliday(number-1)]
}

// before is the open seconds of all days before one, relative to a fixed day: differences of it mean something.
func (h *hours) before(number int64) int64 {
	const thursday = int64(time.Thursday)
	weeks := floorDiv(number+thursday, daysPerWeek)
	sum := weeks*h.beforeInWeek[daysPerWeek] + h.beforeInWeek[weekdayOf(number)]
	after, _ := slices.BinarySearchFunc(h.exceptions, number, func(e exception, n int64) int { return int(e.day - n) })
	if after > 0 {
		sum += h.exceptions[after-1].gainThrough
	}
	return sum
}

// wall is a reading of a clock on the wall: seconds since 1970-01-01 00:00 on that wall, and nanoseconds.
type wall struct {
	seconds int64
	nanos   int64
}

func wallOf(t time.Time, offset int) wall {
	return wall{seconds: t.Unix() + int64(offset), nanos: int64(t.Nanosecond())}
}

func (w wall) day() int64 { return floorDiv(w.seconds, secondsPerDay) }

// inDay is the time since midnight.
func (w wall) inDay() time.Duration {
	return time.Duration(w.seconds-w.day()*secondsPerDay)*time.Second + time.Duration(w.nanos)
}

// between is the open time from one reading to a later one, on a wall whose clock is not altered between.
func (h *hours) between(from, to wall) time.Duration {
	days := h.before(to.day()) - h.before(from.day())
	return seconds(days) + h.on(to.day()).until(to.inDay()) - h.on(from.day()).until(from.inDay())
}

// until is the open time of a day before a time of day.
func (d *day) until(inDay time.Duration) time.Duration {
	var sum time.Duration
	for _, p := range d.pieces {
		from, to := seconds(p.from), seconds(p.to)
		if inDay <= from {
			break
		}
		sum += min(inDay, to) - from
	}
	return sum
}

// contains reports whether a reading is open.
func (h *hours) contains(w wall) bool {
	inDay := w.inDay()
	for _, p := range h.on(w.day()).pieces {
		if inDay >= seconds(p.from) && inDay < seconds(p.to) {
			return true
		}
	}
	return false
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

func floorDiv(a, b int64) int64 {
	quotient := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		quotient--
	}
	return quotient
}
