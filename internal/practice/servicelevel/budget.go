package servicelevel

import (
	"fmt"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Terms are what an agreement says about availability.
type Terms struct {
	// From is when it begins to count.
	From time.Time
	// Period over which it is measured.
	Period Period
	// Calendar of the agreed service time.
	Calendar Calendar
	// Target that was promised; 0: none.
	Target PartsPerMillion
	// ExcludePlanned leaves out downtime that was declared and approved beforehand.
	ExcludePlanned bool
}

// Sums of one period, in whole seconds of agreed service time.
type Sums struct {
	// Agreed seconds elapsed, and of the whole period: of a Rolling one, all of its days, whenever the agreement began.
	// A budget of what is left of today would be gone on the first day of every agreement.
	Agreed, Whole int64
	// Downtime, Planned and Unobserved within the elapsed ones. No second is in two of them: downtime goes before
	// planned, and both before unobserved.
	Downtime, Planned, Unobserved int64
	// Outages with downtime; those that touch one another are one.
	Outages int32
	// OpenSince is when the outage began that goes on; the zero time: none does.
	OpenSince time.Time
	// open is what goes on: nothing, or the kind that the next agreed second counts as.
	open v1alpha1.InterruptionType
	// outOfHours: the outage that goes on is none yet. It is one as soon as the agreed service time begins.
	outOfHours bool
}

// Sum adds up a period until a time. Declared are the times in which users were down as persons say, whatever was
// observed; one that goes on has no End.
func (t Terms) Sum(a Account, declared []Interval, period Interval, at time.Time) Sums {
	counted := Interval{Start: later(period.Start, t.From), End: earlier(at, period.End)}
	whole := Interval{Start: counted.Start, End: period.End}
	if t.Period.rolling() {
		whole.Start = period.Start
	}
	s := Sums{
		Agreed: t.seconds(counted, []Interval{counted}),
		Whole:  wholeSeconds(t.Calendar.Between(whole.Start, whole.End)),
	}
	down, excused := t.downtime(a, declared), []Interval(nil)
	if t.ExcludePlanned {
		excused = a.of(v1alpha1.InterruptionMaintenance)
	}
	excused = mergeIntervals(append(excused, down...))
	all := mergeIntervals(append(a.of(v1alpha1.InterruptionUnobserved), excused...))
	s.Downtime = t.seconds(counted, down)
	s.Planned = t.seconds(counted, excused) - s.Downtime
	s.Unobserved = t.seconds(counted, all) - s.Downtime - s.Planned
	for _, d := range down {
		open := d.End.Equal(endless) && d.Contains(at)
		switch {
		case t.seconds(counted, []Interval{d}) > 0 || open && t.Calendar.Contains(at):
			s.Outages++
		case open:
			s.outOfHours = true
		}
		if open {
			s.OpenSince = d.Start
		}
	}
	s.open = goesOn(down, excused, all, at)
	return s
}

// downtime are the times that count as such, merged: outages, what was planned unless it is left out, and what persons
// declared.
func (t Terms) downtime(a Account, declared []Interval) []Interval {
	down := a.of(v1alpha1.InterruptionOutage)
	if !t.ExcludePlanned {
		down = append(down, a.of(v1alpha1.InterruptionMaintenance)...)
	}
	for _, d := range declared {
		down = append(down, d.orEndless())
	}
	return mergeIntervals(down)
}

func goesOn(down, excused, all []Interval, at time.Time) v1alpha1.InterruptionType {
	holds := func(list []Interval) bool { return len(list) > 0 && list[len(list)-1].Contains(at) }
	switch {
	case holds(down):
		return v1alpha1.InterruptionOutage
	case holds(excused):
		return v1alpha1.InterruptionMaintenance
	case holds(all):
		return v1alpha1.InterruptionUnobserved
	}
	return ""
}

// seconds of agreed service time in merged intervals, as far as they lie in a span.
func (t Terms) seconds(span Interval, merged []Interval) int64 {
	var sum time.Duration
	for _, i := range merged {
		sum += t.Calendar.Between(later(i.Start, span.Start), earlier(i.End, span.End))
	}
	return wholeSeconds(sum)
}

func wholeSeconds(d time.Duration) int64 { return int64(d / time.Second) }

// observed seconds are those of which it is known whether the service was up.
func (s Sums) observed() int64 { return s.Agreed - s.Unobserved }

// Availability of the observed seconds, in parts per million, never rounded up; false where there are none.
func (s Sums) Availability() (PartsPerMillion, bool) {
	if s.observed() <= 0 {
		return 0, false
	}
	return PartsPerMillion((s.observed() - s.Downtime) * int64(Whole) / s.observed()), true
}

// AvailabilityRatio is the same from 0 to 1, for metrics; false where nothing was observed.
func (s Sums) AvailabilityRatio() (float64, bool) {
	if s.observed() <= 0 {
		return 0, false
	}
	return float64(s.observed()-s.Downtime) / float64(s.observed()), true
}

// MTRS is the mean time to restore service, in whole seconds of agreed service time from failure to recovery (ITIL 4,
// "Service level management"); false where there was no outage.
func (s Sums) MTRS() (int64, bool) {
	if s.Outages <= 0 {
		return 0, false
	}
	return s.Downtime / int64(s.Outages), true
}

// MTBF is the mean time between failures: the observed seconds in which the service was up, by outage; false where
// there was none.
func (s Sums) MTBF() (int64, bool) {
	if s.Outages <= 0 {
		return 0, false
	}
	return (s.observed() - s.Downtime) / int64(s.Outages), true
}

// Budget is the error budget of the whole period in seconds; false where nothing was promised.
func (t Terms) Budget(s Sums) (float64, bool) {
	if t.Target == 0 || s.Whole <= 0 {
		return 0, false
	}
	return float64(t.allowed(s.Whole)) / float64(Whole), true
}

// allowed is the error budget of so many agreed seconds, in millionths of a second.
func (t Terms) allowed(agreed int64) int64 { return agreed * int64(Whole-t.Target) }

// BudgetRemaining is what is left of the error budget of the whole period, in tenths of a percent of it, never rounded
// up; below 0 where more was used. It is false where nothing was promised, or no service time agreed.
func (t Terms) BudgetRemaining(s Sums) (int64, bool) {
	budget := t.allowed(s.Whole)
	switch {
	case t.Target == 0 || s.Whole <= 0:
		return 0, false
	case budget == 0:
		// All was promised: there is no share of nothing.
		return 0, true
	}
	return floorDiv((budget-s.Downtime*int64(Whole))*1000, budget), true
}

// BudgetRatio is the same as a share of the budget, at most 1, for metrics; false also where there is no budget at all.
func (t Terms) BudgetRatio(s Sums) (float64, bool) {
	budget := t.allowed(s.Whole)
	if t.Target == 0 || budget <= 0 {
		return 0, false
	}
	return 1 - float64(s.Downtime*int64(Whole))/float64(budget), true
}

// exhausted reports whether no budget is left, and broken whether more was used than there was.
func (t Terms) exhausted(s Sums) bool {
	return t.Target > 0 && s.Whole > 0 && s.Downtime > 0 && s.Downtime*int64(Whole) >= t.allowed(s.Whole)
}

func (t Terms) broken(s Sums) bool {
	return t.Target > 0 && s.Downtime*int64(Whole) > t.allowed(s.Whole)
}

// uncertain reports whether it cannot be said that the target is kept: nothing was observed, or what was not may have
// been more downtime than the budget has left.
func (t Terms) uncertain(s Sums) bool {
	return s.observed() <= 0 || t.Target > 0 && (s.Downtime+s.Unobserved)*int64(Whole) > t.allowed(s.Whole)
}

// tooFast reports whether the budget does not last for the period at the rate at which it was used so far.
func (t Terms) tooFast(s Sums) bool {
	return t.Target > 0 && s.Downtime*int64(Whole) > t.allowed(s.observed())
}

// nextTurn is after how many more agreed seconds one of the above may change if all goes on as it does; 0: never.
func (t Terms) nextTurn(s Sums) int64 {
	var next int64
	soon := func(seconds int64) {
		if seconds > 0 && (next == 0 || seconds < next) {
			next = seconds
		}
	}
	if s.observed() <= 0 && s.open != v1alpha1.InterruptionUnobserved {
		soon(1)
	}
	if t.Target == 0 {
		return next
	}
	const million = int64(Whole)
	budget, lost := t.allowed(s.Whole), t.allowed(1)
	// excess is by how much the downtime is above what the elapsed time allows, in millionths of a second.
	excess := s.Downtime*million - t.allowed(s.observed())
	switch s.open {
	case v1alpha1.InterruptionOutage:
		soon(-floorDiv(-budget, million) - s.Downtime)
		soon(floorDiv(budget, million) + 1 - s.Downtime)
		soon(floorDiv(budget, million) + 1 - s.Downtime - s.Unobserved)
		if excess <= 0 {
			soon(-excess/int64(t.Target) + 1)
		}
	case v1alpha1.InterruptionUnobserved:
		soon(floorDiv(budget, million) + 1 - s.Downtime - s.Unobserved)
	case v1alpha1.InterruptionMaintenance, "":
		if excess > 0 && lost > 0 {
			soon(-floorDiv(-excess, lost))
		}
	}
	return next
}

// tenths writes tenths of a percent, for example "71.2" or "-3.0".
func tenths(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%d", sign, n/10, n%10)
}
