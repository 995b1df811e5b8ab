package servicelevel

import (
	"strconv"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// maxRollingDays bounds a Rolling period.
const maxRollingDays = 366

// Period divides time into the periods over which an agreement is measured. They begin and end when the date changes
// in a zone. The zero value is not valid: see ParsePeriod.
type Period struct {
	kind v1alpha1.PeriodType
	zone *time.Location
	// days of a Rolling period.
	days int64
}

// ParsePeriod reads spec.period of an agreement; without a type it is the calendar month. Errors are of type
// *FieldError.
func ParsePeriod(field string, spec v1alpha1.AgreementPeriod) (Period, error) {
	zone, err := ParseTimeZone(field+".timeZone", spec.TimeZone)
	if err != nil {
		return Period{}, err
	}
	p := Period{kind: spec.Type, zone: zone, days: int64(spec.Days)}
	switch spec.Type {
	case "":
		p.kind = v1alpha1.PeriodCalendarMonth
	case v1alpha1.PeriodCalendarMonth, v1alpha1.PeriodCalendarQuarter:
	case v1alpha1.PeriodRolling:
		if spec.Days < 1 || spec.Days > maxRollingDays {
			return Period{}, invalid(field+".days", strconv.Itoa(int(spec.Days)), "is not a number of days from 1 to 366")
		}
	default:
		return Period{}, invalid(field+".type", string(spec.Type), "is not CalendarMonth, CalendarQuarter or Rolling")
	}
	return p, nil
}

// At is the period that contains t. A Rolling one is today with the days before it, as many as agreed.
func (p Period) At(t time.Time) Interval {
	_, offset := t.In(p.zone).Zone()
	today := wallOf(t, offset).day()
	if !t.Before(startOfDay(p.zone, today+1)) {
		// The clock was set back over midnight: this date had ended already.
		today++
	}
	if p.kind == v1alpha1.PeriodRolling {
		return Interval{Start: startOfDay(p.zone, today-p.days+1), End: startOfDay(p.zone, today+1)}
	}
	date := time.Unix(today*secondsPerDay, 0).UTC()
	month, months := date.Month(), time.Month(1)
	if p.kind == v1alpha1.PeriodCalendarQuarter {
		month, months = (month-1)/3*3+1, 3
	}
	first := func(month time.Month) time.Time {
		return startOfDay(p.zone, floorDiv(time.Date(date.Year(), month, 1, 0, 0, 0, 0, time.UTC).Unix(), secondsPerDay))
	}
	return Interval{Start: first(month), End: first(month + months)}
}

// rolling reports whether its periods overlap one another.
func (p Period) rolling() bool { return p.kind == v1alpha1.PeriodRolling }

// startOfDay is the first instant at which a zone shows a day, counted from 1970-01-01, or a later one: midnight does
// not exist everywhere on every day, nor does every day.
func startOfDay(zone *time.Location, number int64) time.Time {
	// No zone is farther from UTC.
	const reach = 36 * 60 * 60
	clock := Calendar{zone: zone}
	midnight := number * secondsPerDay
	at, limit := time.Unix(midnight-reach, 0), time.Unix(midnight+reach, 0)
	for at.Before(limit) {
		offset, end := clock.offsetUntil(at, limit)
		if start := later(at, time.Unix(midnight-int64(offset), 0)); start.Before(end) {
			return start.UTC()
		}
		at = end
	}
	return limit.UTC()
}
