package incident

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Schedule is that of a CronJob: minute, hour, day of month, month and day of week, or a fixed delay ("@every 1h"), in
// a time zone.
type Schedule struct {
	minutes, hours, days, months, weekdays uint64
	// Either day suffices where both are restricted, as cron has it.
	anyDay, anyWeekday bool
	every              time.Duration
	zone               *time.Location
}

var errSchedule = errors.New("not a cron schedule")

type cronField struct {
	least, most int
	names       []string
}

var (
	minuteField  = cronField{0, 59, nil}
	hourField    = cronField{0, 23, nil}
	dayField     = cronField{1, 31, nil}
	monthField   = cronField{1, 12, []string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}}
	weekdayField = cronField{0, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}

	cronWords = map[string]string{
		"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
		"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
	}
)

// ParseSchedule reads the schedule of a CronJob and its zone; empty is UTC, the zone of controllers.
func ParseSchedule(schedule, zone string) (Schedule, error) {
	text := strings.TrimSpace(schedule)
	for _, prefix := range []string{"TZ=", "CRON_TZ="} {
		if rest, found := strings.CutPrefix(text, prefix); found {
			zone, text, _ = strings.Cut(rest, " ")
			text = strings.TrimSpace(text)
		}
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q in zone %q: %w", schedule, zone, err)
	}
	s := Schedule{zone: location}
	if delay, found := strings.CutPrefix(text, "@every "); found {
		s.every, err = time.ParseDuration(delay)
		if err != nil || s.every < time.Second {
			return Schedule{}, fmt.Errorf("%w: %q", errSchedule, schedule)
		}
		return s, nil
	}
	if word, found := cronWords[strings.ToLower(text)]; found {
		text = word
	}
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return Schedule{}, fmt.Errorf("%w: %q has not five fields", errSchedule, schedule)
	}
	for i, f := range []struct {
		cronField
		set *uint64
		any *bool
	}{
		{minuteField, &s.minutes, nil}, {hourField, &s.hours, nil}, {dayField, &s.days, &s.anyDay},
		{monthField, &s.months, nil}, {weekdayField, &s.weekdays, &s.anyWeekday},
	} {
		set, star, err := f.parse(fields[i])
		if err != nil {
			return Schedule{}, fmt.Errorf("%w: %q", err, schedule)
		}
		*f.set = set
		if f.any != nil {
			*f.any = star
		}
	}
	return s, nil
}

// parse reads a list of values, ranges and steps, and whether a star without a step is among them, which leaves the
// other kind of day alone.
func (f cronField) parse(text string) (set uint64, star bool, err error) {
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		low, high := f.least, f.most
		switch {
		case span == "*" || span == "?":
			star = star || !stepped || stepText == "1"
		default:
			from, to, isRange := strings.Cut(span, "-")
			if low, err = f.value(from); err != nil {
				return 0, false, err
			}
			switch {
			case isRange:
				if high, err = f.value(to); err != nil {
					return 0, false, err
				}
			case !stepped:
				high = low
			}
		}
		step := 1
		if stepped {
			step, err = strconv.Atoi(stepText)
		}
		if err != nil || step < 1 || low > high {
			return 0, false, errSchedule
		}
		for v := low; v <= high; v += step {
			set |= 1 << v
		}
	}
	return set, star, nil
}

func (f cronField) value(text string) (int, error) {
	for i, name := range f.names {
		if name != "" && strings.EqualFold(name, text) {
			return i, nil
		}
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < f.least || v > f.most {
		return 0, errSchedule
	}
	return v, nil
}

// Next is the first time after t; ok is false where there is none within five years (30 February). Times that the
// wall clock skips in spring do not occur, as in Kubernetes' own reading.
func (s Schedule) Next(t time.Time) (next time.Time, ok bool) {
	if s.every > 0 {
		return t.Add(s.every - time.Duration(t.Nanosecond())).Truncate(time.Second), true
	}
	t = t.In(s.zone).Truncate(time.Minute).Add(time.Minute)
	last := t.Year() + 5
	for t.Year() <= last {
		if s.months&(1<<t.Month()) == 0 {
			t = forward(t, time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, s.zone))
			continue
		}
		if !s.day(t) {
			t = forward(t, time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, s.zone))
			continue
		}
		if s.hours&(1<<t.Hour()) == 0 {
			t = t.Add(toNextHour(t))
			continue
		}
		if s.minutes&(1<<t.Minute()) == 0 {
			rest := s.minutes >> (t.Minute() + 1)
			step := 60 - t.Minute()
			if rest != 0 {
				step = bits.TrailingZeros64(rest) + 1
			}
			t = t.Add(time.Duration(step) * time.Minute)
			continue
		}
		return t, true
	}
	return time.Time{}, false
}

// forward is the begin of a day, or where the wall clock skips it, the next minute that it has.
func forward(t, day time.Time) time.Time {
	if day.After(t) {
		return day
	}
	return t.Add(toNextHour(t))
}

func toNextHour(t time.Time) time.Duration { return time.Duration(60-t.Minute()) * time.Minute }

func (s Schedule) day(t time.Time) bool {
	day, weekday := s.days&(1<<t.Day()) != 0, s.weekdays&(1<<t.Weekday()) != 0
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}
