package servicelevel

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// FieldError says which field of a manifest cannot be understood, and why. What cannot be understood counts as
// closed; callers put the error into a condition.
type FieldError struct {
	// Field is its path, for example "spec.window.start".
	Field string
	// Value as it was written, shortened; empty where there is none.
	Value string
	// Problem completes the sentence "<field> <value> …".
	Problem string
}

func (e *FieldError) Error() string {
	if e.Value == "" {
		return e.Field + " " + e.Problem
	}
	return fmt.Sprintf("%s %q %s", e.Field, e.Value, e.Problem)
}

func invalid(field, value, problem string) error {
	const shown = 64
	if len(value) > shown {
		value = value[:shown] + "…"
	}
	return &FieldError{Field: field, Value: value, Problem: problem}
}

// ParseTimestamp reads an RFC 3339 time. The schema checks the shape only: 30 February has it too.
func ParseTimestamp(field string, value v1alpha1.Timestamp) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, string(value))
	if err != nil {
		return time.Time{}, invalid(field, string(value), `is not an RFC 3339 time such as "2026-11-23T08:00:00+01:00"`)
	}
	// Outside these years a time cannot be written to a status in every zone.
	if t.Year() < 1970 || t.Year() > 9998 {
		return time.Time{}, invalid(field, string(value), "is not between the years 1970 and 9998")
	}
	return t, nil
}

// ParseInterval reads two times of which the second must be later. Both errors are reported.
func ParseInterval(fromField string, from v1alpha1.Timestamp, toField string, to v1alpha1.Timestamp) (Interval, []error) {
	start, startErr := ParseTimestamp(fromField, from)
	end, endErr := ParseTimestamp(toField, to)
	switch {
	case startErr != nil && endErr != nil:
		return Interval{}, []error{startErr, endErr}
	case startErr != nil:
		return Interval{}, []error{startErr}
	case endErr != nil:
		return Interval{}, []error{endErr}
	case !start.Before(end):
		return Interval{}, []error{invalid(toField, string(to), "is not after "+fromField+" "+string(from))}
	}
	return Interval{Start: start, End: end}, nil
}

// ParseDuration reads elapsed time such as "1h30m" or "45s": hours, minutes and seconds in this order, each at
// most once, whole numbers.
func ParseDuration(field string, value v1alpha1.Duration) (time.Duration, error) {
	d, ok := parseUnits(string(value), []unit{{"h", time.Hour, 4}, {"m", time.Minute, 5}, {"s", time.Second, 6}})
	if !ok {
		return 0, invalid(field, string(value), `is not a duration such as "1h30m" or "45s"`)
	}
	return d, nil
}

// ParseServiceTime reads agreed service time such as "4h" or "1h30m": hours and minutes, more than none.
func ParseServiceTime(field string, value v1alpha1.ServiceTime) (time.Duration, error) {
	d, ok := parseUnits(string(value), []unit{{"h", time.Hour, 4}, {"m", time.Minute, 5}})
	if !ok || d == 0 {
		return 0, invalid(field, string(value), `is not a duration of service time such as "4h" or "1h30m"`)
	}
	return d, nil
}

type unit struct {
	suffix    string
	length    time.Duration
	maxDigits int
}

// parseUnits is stricter than time.ParseDuration, which also takes signs, fractions and any order. The digits are
// bounded so that the sum cannot overflow.
func parseUnits(value string, units []unit) (sum time.Duration, ok bool) {
	if value == "" {
		return 0, false
	}
	for _, u := range units {
		digits, rest, found := strings.Cut(value, u.suffix)
		if !found {
			continue
		}
		number, isNumber := parseDigits(digits, u.maxDigits)
		if !isNumber {
			return 0, false
		}
		sum += time.Duration(number) * u.length
		value = rest
	}
	return sum, value == ""
}

// parseDigits reads a number of one to maxDigits ASCII digits.
func parseDigits(digits string, maxDigits int) (int64, bool) {
	if digits == "" || len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	number, err := strconv.ParseInt(digits, 10, 64)
	return number, err == nil
}

// PartsPerMillion is an exact share: one percent is 10,000.
type PartsPerMillion int64

// Whole is one hundred percent.
const Whole PartsPerMillion = 1_000_000

// ParsePercentage reads a decimal number from 0 to 100 with at most four decimals, which parts per million hold
// exactly.
func ParsePercentage(field string, value v1alpha1.Percentage) (PartsPerMillion, error) {
	const decimals = 4
	problem := `is not a percentage from 0 to 100 with at most four decimals, such as "99.95"`
	whole, fraction, dotted := strings.Cut(string(value), ".")
	percent, ok := parseDigits(whole, 3)
	if !ok || (dotted && fraction == "") || len(fraction) > decimals {
		return 0, invalid(field, string(value), problem)
	}
	rest, ok := parseDigits(fraction+strings.Repeat("0", decimals-len(fraction)), decimals)
	parts := PartsPerMillion(percent*10_000 + rest)
	if !ok || parts > Whole {
		return 0, invalid(field, string(value), problem)
	}
	return parts, nil
}

// String is the share in percent without needless zeros, for example "99.95".
func (p PartsPerMillion) String() string {
	text := fmt.Sprintf("%d.%04d", p/10_000, p%10_000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// ParseTimeZone loads a zone of the IANA database; empty is UTC.
func ParseTimeZone(field string, value v1alpha1.TimeZone) (*time.Location, error) {
	// "Local" would be the zone of whatever machine a replica runs on.
	if value == "Local" {
		return nil, invalid(field, string(value), "is not a zone of the IANA database")
	}
	zone, err := time.LoadLocation(string(value))
	if err != nil {
		return nil, invalid(field, string(value), `is not a zone of the IANA database such as "Europe/Berlin"`)
	}
	return zone, nil
}

// parseDate reads a calendar day as the number of days since 1970-01-01.
func parseDate(field string, value v1alpha1.Date) (int64, error) {
	t, err := time.Parse(time.DateOnly, string(value))
	if err != nil {
		return 0, invalid(field, string(value), `is not a day of the calendar such as "2026-12-25"`)
	}
	return floorDiv(t.Unix(), secondsPerDay), nil
}

// parseClockTime reads a time of day as seconds since midnight; 24:00 is the end of the day.
func parseClockTime(field string, value v1alpha1.ClockTime) (int64, error) {
	hours, minutes, found := strings.Cut(string(value), ":")
	h, hoursOK := parseDigits(hours, 2)
	m, minutesOK := parseDigits(minutes, 2)
	if !found || !hoursOK || !minutesOK || len(value) != 5 || m > 59 || h*60+m > 24*60 {
		return 0, invalid(field, string(value), `is not a time of day from "00:00" to "24:00"`)
	}
	return (h*60 + m) * 60, nil
}
