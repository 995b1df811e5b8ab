package servicelevel

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[v1alpha1.Duration]time.Duration{
		"1h30m": 90 * time.Minute, "45s": 45 * time.Second, "72h": 72 * time.Hour, "1h2m3s": time.Hour + 2*time.Minute + 3*time.Second,
		"0s": 0, "9999h99999m999999s": 9999*time.Hour + 99999*time.Minute + 999999*time.Second, "90m": 90 * time.Minute, "1h5s": time.Hour + 5*time.Second,
	} {
		if got, err := ParseDuration("spec.soak", text); err != nil || got != want {
			t.Errorf("%q: got %s and error %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []v1alpha1.Duration{
		"", "h", "1", "-1h", "+1h", "1.5h", "1m1h", "1h1h", "1 h", "1H", "1d", "10000h", "1hm", "m1", "1ms", "１h", "1h ", "P1D", "1h\n",
	} {
		if got, err := ParseDuration("spec.soak", text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}

func TestParseServiceTime(t *testing.T) {
	for text, want := range map[v1alpha1.ServiceTime]time.Duration{
		"4h": 4 * time.Hour, "15m": 15 * time.Minute, "1h30m": 90 * time.Minute, "9999h": 9999 * time.Hour,
	} {
		if got, err := ParseServiceTime("spec.response.P1", text); err != nil || got != want {
			t.Errorf("%q: got %s and error %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []v1alpha1.ServiceTime{"", "0m", "0h0m", "15s", "1h30s", "1d", "-1h", "1.5h", "99999h"} {
		if got, err := ParseServiceTime("spec.response.P1", text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}

func TestParsePercentage(t *testing.T) {
	for text, want := range map[v1alpha1.Percentage]PartsPerMillion{
		"99.95": 999_500, "100": 1_000_000, "100.0000": 1_000_000, "0": 0, "0.0001": 1, "99.9999": 999_999, "7": 70_000, "07.5": 75_000,
	} {
		got, err := ParsePercentage("spec.availability.target", text)
		if err != nil || got != want {
			t.Errorf("%q: got %d and error %v, want %d", text, got, err, want)
		}
		if again, err := ParsePercentage("", v1alpha1.Percentage(got.String())); err != nil || again != got {
			t.Errorf("%q is printed as %q, which is %d (%v)", text, got, again, err)
		}
	}
	for _, text := range []v1alpha1.Percentage{"", ".", "1.", ".5", "100.0001", "101", "-1", "1e2", "99.99999", "99,9", "NaN", "1.2.3", "1.+1"} {
		if got, err := ParsePercentage("spec.availability.target", text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestParseTimestamp(t *testing.T) {
	for text, want := range map[v1alpha1.Timestamp]time.Time{
		"2026-11-23T08:00:00Z":             time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC),
		"2026-11-23T08:00:00+01:00":        time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC),
		"2026-11-23T08:00:00.000000001Z":   time.Date(2026, 11, 23, 8, 0, 0, 1, time.UTC),
		"9998-12-31T23:59:59.999999999Z":   time.Date(9998, 12, 31, 23, 59, 59, 999999999, time.UTC),
		"2024-02-29T00:00:00.123456-23:59": time.Date(2024, 2, 29, 23, 59, 0, 123456000, time.UTC),
		"1970-01-01T00:00:00Z":             time.Unix(0, 0),
		"2026-11-23T08:00:00.123456789Z":   time.Date(2026, 11, 23, 8, 0, 0, 123456789, time.UTC),
		"2026-11-23T08:00:00.5+00:00":      time.Date(2026, 11, 23, 8, 0, 0, 500000000, time.UTC),
		"2026-11-23T08:00:00.000000-00:00": time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC),
		"2026-11-23T08:00:00.123456+05:30": time.Date(2026, 11, 23, 2, 30, 0, 123456000, time.UTC),
		"2026-12-31T23:59:59-01:00":        time.Date(2027, 1, 1, 0, 59, 59, 0, time.UTC),
	} {
		if got, err := ParseTimestamp("spec.window.start", text); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %s and error %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []v1alpha1.Timestamp{
		"", "2026-02-30T00:00:00Z", "2026-02-30T25:61:61Z", "0000-00-00T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
		"2026-11-23 08:00:00Z", "2026-11-23T08:00:00", "2026-11-23T08:00:60Z", "2026-11-23", "yesterday", "1969-12-31T23:59:59Z",
	} {
		if got, err := ParseTimestamp("spec.window.start", text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}

func TestParseInterval(t *testing.T) {
	if got, problems := ParseInterval("a", "2026-01-01T00:00:00Z", "b", "2026-01-01T00:00:01Z"); len(problems) > 0 ||
		got.End.Sub(got.Start) != time.Second {
		t.Errorf("got %v and %v", got, problems)
	}
	for _, test := range []struct {
		from, to v1alpha1.Timestamp
		want     string
	}{
		{"2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", `b "2026-01-01T00:00:00Z" is not after a 2026-01-01T00:00:00Z`},
		{"x", "2026-01-01T00:00:00Z", `a "x" is not an RFC 3339 time such as "2026-11-23T08:00:00+01:00"`},
		{"2026-01-01T00:00:00Z", "x", `b "x" is not an RFC 3339 time such as "2026-11-23T08:00:00+01:00"`},
		{"x", "y", "a \"x\" is not an RFC 3339 time such as \"2026-11-23T08:00:00+01:00\"\n" +
			"b \"y\" is not an RFC 3339 time such as \"2026-11-23T08:00:00+01:00\""},
	} {
		_, problems := ParseInterval("a", test.from, "b", test.to)
		if err := errors.Join(problems...); err == nil || err.Error() != test.want {
			t.Errorf("%s to %s: got %v, want %s", test.from, test.to, err, test.want)
		}
	}
}

func TestErrorsNameTheFieldAndShortenTheValue(t *testing.T) {
	long := v1alpha1.Duration(strings.Repeat("é", 10_000))
	_, err := ParseDuration("spec.phases[2].soak", long)
	var fieldError *FieldError
	if !errors.As(err, &fieldError) || fieldError.Field != "spec.phases[2].soak" {
		t.Fatalf("error %v does not name the field", err)
	}
	if len(err.Error()) > 400 || strings.ContainsRune(err.Error(), '\uFFFD') {
		t.Errorf("the error is %d bytes long: %v", len(err.Error()), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1h30m", "99.95", "2026-11-23T08:00:00+01:00", "2026-12-25", "24:00", "Europe/Berlin", "50%", "", "\x00", "١h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDuration("f", v1alpha1.Duration(text)); err == nil {
			if want, err := time.ParseDuration(text); err != nil || want != d || d < 0 {
				t.Errorf("duration %q: %s, but Go reads %s (%v)", text, d, want, err)
			}
		}
		if d, err := ParseServiceTime("f", v1alpha1.ServiceTime(text)); err == nil && (d <= 0 || d%time.Minute != 0) {
			t.Errorf("service time %q: %s", text, d)
		}
		if p, err := ParsePercentage("f", v1alpha1.Percentage(text)); err == nil && (p < 0 || p > Whole) {
			t.Errorf("percentage %q: %d", text, p)
		}
		if at, err := ParseTimestamp("f", v1alpha1.Timestamp(text)); err == nil {
			if _, err := at.MarshalJSON(); err != nil {
				t.Errorf("timestamp %q cannot be written: %v", text, err)
			}
		}
		if seconds, err := parseClockTime("f", v1alpha1.ClockTime(text)); err == nil && (seconds < 0 || seconds > secondsPerDay) {
			t.Errorf("clock time %q: %d", text, seconds)
		}
		_, _ = parseDate("f", v1alpha1.Date(text))
	})
}
