package servicelevel

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func period(t *testing.T, kind v1alpha1.PeriodType, zone v1alpha1.TimeZone, days int32) Period {
	t.Helper()
	p, err := ParsePeriod("spec.period", v1alpha1.AgreementPeriod{Type: kind, TimeZone: zone, Days: days})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPeriodAt(t *testing.T) {
	const month, quarter, rolling = v1alpha1.PeriodCalendarMonth, v1alpha1.PeriodCalendarQuarter, v1alpha1.PeriodRolling
	cases := map[string]struct {
		kind           v1alpha1.PeriodType
		zone           v1alpha1.TimeZone
		days           int32
		at, start, end string
	}{
		"the month by default, in UTC": {at: "2026-02-10T12:00:00Z", start: "2026-02-01T00:00:00Z", end: "2026-03-01T00:00:00Z"},
		"its first second":             {kind: month, at: "2026-03-01T00:00:00Z", start: "2026-03-01T00:00:00Z", end: "2026-04-01T00:00:00Z"},
		"its last second":              {kind: month, at: "2026-02-28T23:59:59Z", start: "2026-02-01T00:00:00Z", end: "2026-03-01T00:00:00Z"},
		"December":                     {kind: month, at: "2026-12-31T23:59:59Z", start: "2026-12-01T00:00:00Z", end: "2027-01-01T00:00:00Z"},
		"a month with summer time begins in winter": {
			kind: month, zone: "Europe/Berlin", at: "2026-03-31T12:00:00Z", start: "2026-02-28T23:00:00Z", end: "2026-03-31T22:00:00Z",
		},
		"it is the next month there": {
			kind: month, zone: "Pacific/Kiritimati", at: "2026-03-31T10:00:00Z", start: "2026-03-31T10:00:00Z", end: "2026-04-30T10:00:00Z",
		},
		"a quarter": {
			kind: quarter, zone: "America/New_York", at: "2026-05-05T00:00:00Z", start: "2026-04-01T04:00:00Z", end: "2026-07-01T04:00:00Z",
		},
		"the last quarter": {kind: quarter, at: "2026-12-01T00:00:00Z", start: "2026-10-01T00:00:00Z", end: "2027-01-01T00:00:00Z"},
		"no midnight: the clocks went from 24:00 to 01:00": {
			kind: rolling, days: 1, zone: "Asia/Beirut", at: "2026-03-29T10:00:00Z", start: "2026-03-28T22:00:00Z", end: "2026-03-29T21:00:00Z",
		},
		"midnight comes twice: the clocks went from 24:00 to 23:00": {
			kind: rolling, days: 1, zone: "America/Asuncion", at: "2024-03-24T02:59:59Z", start: "2024-03-23T03:00:00Z", end: "2024-03-24T04:00:00Z",
		},
		"a day that was skipped": {
			kind: rolling, days: 2, zone: "Pacific/Apia", at: "2011-12-30T12:00:00Z", start: "2011-12-30T10:00:00Z", end: "2011-12-31T10:00:00Z",
		},
		"clocks set back from 00:01: the date had ended": {
			kind: rolling, days: 1, zone: "America/St_Johns", at: "2010-11-07T03:00:00Z", start: "2010-11-07T02:30:00Z", end: "2010-11-08T03:30:00Z",
		},
		"thirty days with today": {
			kind: rolling, days: 30, at: "2026-11-22T17:00:00Z", start: "2026-10-24T00:00:00Z", end: "2026-11-23T00:00:00Z",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := period(t, c.kind, c.zone, c.days).At(at(t, "UTC", c.at))
			want := Interval{Start: at(t, "UTC", c.start), End: at(t, "UTC", c.end)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPeriodsFollowOneAnother: in each zone the months and quarters from 1990 to 2050 leave no second out, and none is
// in two.
func TestPeriodsFollowOneAnother(t *testing.T) {
	for _, zone := range oddZones {
		for _, kind := range []v1alpha1.PeriodType{v1alpha1.PeriodCalendarMonth, v1alpha1.PeriodCalendarQuarter} {
			p := period(t, kind, zone, 0)
			now := p.At(time.Date(1990, 1, 15, 0, 0, 0, 0, time.UTC))
			for now.End.Year() < 2050 {
				next := p.At(now.End)
				if !next.Start.Equal(now.End) || p.At(now.End.Add(-time.Second)) != now || !now.Start.Before(now.End) {
					t.Fatalf("%s in %s: %v is followed by %v", kind, zone, now, next)
				}
				now = next
			}
		}
		p := period(t, v1alpha1.PeriodRolling, zone, 7)
		now := p.At(time.Date(2009, 1, 15, 0, 0, 0, 0, time.UTC))
		for now.End.Year() < 2028 {
			next := p.At(now.End)
			if !next.End.After(now.End) || next.Start.Before(now.Start) || p.At(now.End.Add(-time.Second)) != now {
				t.Fatalf("7 days in %s: %v is followed by %v", zone, now, next)
			}
			now = next
		}
	}
}

func TestPeriodsThatCannotBeUnderstood(t *testing.T) {
	cases := map[string]struct {
		spec v1alpha1.AgreementPeriod
		want string
	}{
		"zone":          {v1alpha1.AgreementPeriod{TimeZone: "Europe/Bonn"}, `p.timeZone "Europe/Bonn" is not a zone of the IANA database such as "Europe/Berlin"`},
		"no days":       {v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling}, `p.days "0" is not a number of days from 1 to 366`},
		"too many days": {v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, Days: 367}, `p.days "367" is not a number of days from 1 to 366`},
		"type":          {v1alpha1.AgreementPeriod{Type: "Decade"}, `p.type "Decade" is not CalendarMonth, CalendarQuarter or Rolling`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePeriod("p", c.spec)
			if err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}
