package servicelevel

import (
	"slices"
	"time"
)

// firing is the first pair that fires at a time; a zero pair where none does.
func (t Terms) firing(down []Interval, whole int64, at time.Time) BurnPair {
	for _, p := range BurnPairs() {
		if t.fires(p, t.burnt(down, p.Long.Length, at), t.burnt(down, p.Short.Length, at), whole) {
			return p
		}
	}
	return BurnPair{}
}

// maxStretches bounds how many stretches of time are looked at for the next change at once.
const maxStretches = 50

// nextFiring is when another pair fires than at a time, or none, if all goes on as it does; or a time at which to look
// again. It is the zero time where the windows hold no downtime and none goes on, so that nothing can change.
//
// Between two times at which an outage or agreed hours begin or end, or leave a window, what a window holds grows or
// shrinks evenly. In such a stretch each inequality that decides about a pair changes at most twice.
func (t Terms) nextFiring(down []Interval, whole int64, at time.Time) time.Time {
	if t.Target == 0 || t.Target >= Whole {
		return time.Time{}
	}
	reach := Interval{Start: at.Add(-longestWindow), End: at.Add(longestWindow)}
	down = slices.DeleteFunc(slices.Clone(down), func(d Interval) bool { return !d.End.After(reach.Start) || !d.Start.Before(reach.End) })
	if len(down) == 0 {
		return time.Time{}
	}
	now := t.firing(down, whole, at)
	from := at
	for n, until := range t.stretches(down, reach, at) {
		if n == maxStretches {
			return from
		}
		for _, candidate := range t.crossings(down, whole, from, until) {
			if t.firing(down, whole, candidate) != now {
				return candidate
			}
		}
		from = until
	}
	return reach.End
}

// stretches are the ends of the even stretches of time after at, in order.
func (t Terms) stretches(down []Interval, reach Interval, at time.Time) []time.Time {
	edges := []time.Time{t.From}
	for _, d := range down {
		edges = append(edges, d.Start, d.End)
	}
	for edge, opens := reach.Start, false; len(edges) < 4*maxStretches; opens = !opens {
		next, ok := t.Calendar.NextClose(edge)
		if opens {
			next, ok = t.Calendar.NextOpen(edge)
		}
		if !ok || !next.Before(reach.End) {
			break
		}
		edges, edge = append(edges, next), next
	}
	ends := []time.Time{reach.End}
	for _, e := range edges {
		ends = append(ends, e)
		for _, w := range BurnWindows() {
			ends = append(ends, e.Add(w.Length))
		}
	}
	ends = slices.DeleteFunc(ends, func(e time.Time) bool { return !e.After(at) || e.After(reach.End) })
	slices.SortFunc(ends, time.Time.Compare)
	return slices.CompactFunc(ends, time.Time.Equal)
}

// crossings are the seconds of a stretch, after its first, at which an inequality begins to hold or no longer holds.
func (t Terms) crossings(down []Interval, whole int64, from, until time.Time) []time.Time {
	last := int64(until.Sub(from) / time.Second)
	var found []int64
	for _, p := range BurnPairs() {
		lost := int64(Whole - t.Target)
		within := func(w BurnWindow) func(int64) Burnt {
			return func(n int64) Burnt { return t.burnt(down, w.Length, from.Add(seconds(n))) }
		}
		long, short := within(p.Long), within(p.Short)
		agreed := func(b Burnt) int64 { return b.Agreed }
		used := func(b Burnt) int64 { return b.Downtime*100*int64(Whole) - p.share*whole*lost }
		most := func(b Burnt) int64 { return b.Downtime*10 - mostDown*b.Agreed }
		first, final := long(0), long(last)
		if used(first) <= 0 && used(final) <= 0 && most(first) <= 0 && most(final) <= 0 {
			continue // what the long window holds is even: the pair fires nowhere between
		}
		for _, f := range []func(int64) int64{
			func(n int64) int64 { return most(long(n)) },
			func(n int64) int64 { return most(short(n)) },
			func(n int64) int64 { return agreed(long(n)) },
			func(n int64) int64 { return agreed(short(n)) },
			func(n int64) int64 { return used(long(n)) },
			func(n int64) int64 {
				s := short(n)
				return s.Downtime*100*int64(Whole)*long(n).Agreed - p.share*whole*lost*s.Agreed
			},
		} {
			found = append(found, crossingsOf(f, last)...)
		}
	}
	found = append(found, last)
	slices.Sort(found)
	var times []time.Time
	for _, n := range slices.Compact(found) {
		if n > 0 {
			times = append(times, from.Add(seconds(n)))
		}
	}
	return times
}

// crossingsOf are the arguments from 1 to last at which a function of second degree at most becomes positive, or is
// positive no more.
func crossingsOf(f func(int64) int64, last int64) []int64 {
	if last < 1 {
		return nil
	}
	rises := func(n int64) bool { return f(n+1) >= f(n) }
	top := last
	if last > 1 && rises(0) != rises(last-1) {
		top = bisect(0, last-1, func(n int64) bool { return rises(n) != rises(0) })
	}
	var found []int64
	for _, half := range [][2]int64{{0, top}, {top, last}} {
		if a, b := f(half[0]) > 0, f(half[1]) > 0; a != b {
			found = append(found, bisect(half[0], half[1], func(n int64) bool { return f(n) > 0 == b }))
		}
	}
	return found
}

// bisect is the first argument up to high from which on something is so. It is not so at low.
func bisect(low, high int64, is func(int64) bool) int64 {
	for low+1 < high {
		if middle := low + (high-low)/2; is(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}
