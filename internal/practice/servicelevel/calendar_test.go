package servicelevel

import (
	"testing"
	"time"
	_ "time/tzdata" // the zones of these tests are those of this Go version, on every machine

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func must(t testing.TB, spec v1alpha1.CalendarSpec) Calendar {
	t.Helper()
	calendar, problems := ParseCalendar(spec)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return calendar
}

var workdays = []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri"}

// weekly is a calendar of one interval on these days.
func weekly(zone v1alpha1.TimeZone, from, to v1alpha1.ClockTime, days ...v1alpha1.Weekday) v1alpha1.CalendarSpec {
	return v1alpha1.CalendarSpec{TimeZone: zone, Weekly: []v1alpha1.WeeklyHours{{Days: days, From: from, To: to}}}
}

// at reads "2026-11-23 08:00[:00]" in a zone, or an RFC 3339 time.
func at(t testing.TB, zone, text string) time.Time {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	for _, layout := range []string{"2006-01-02 15:04", time.DateTime, time.RFC3339Nano} {
		if parsed, err := time.ParseInLocation(layout, text, location); err == nil {
			return parsed
		}
	}
	t.Fatalf("%q is not a time", text)
	return time.Time{}
}

func TestReferenceValues(t *testing.T) {
	for name, test := range map[string]struct {
		spec             v1alpha1.CalendarSpec
		from, to         string
		business, actual time.Duration
	}{
		"opened 14:00, now 09:00 the next day": {
			weekly("Europe/Berlin", "09:00", "17:00", workdays...),
			"2026-11-23 14:00", "2026-11-24 09:00", 3 * time.Hour, 19 * time.Hour,
		},
		"Friday evening to Monday morning": {
			weekly("Europe/Berlin", "08:00", "17:00", workdays...),
			"2026-11-20 21:00", "2026-11-23 09:30", 90 * time.Minute, 60*time.Hour + 30*time.Minute,
		},
		"a day of 23 hours": {
			weekly("Europe/Berlin", "00:00", "24:00", "Sun"),
			"2026-03-29 00:00", "2026-03-30 00:00", 23 * time.Hour, 23 * time.Hour,
		},
		"a day of 25 hours": {
			weekly("Europe/Berlin", "00:00", "24:00", "Sun"),
			"2026-10-25 00:00", "2026-10-26 00:00", 25 * time.Hour, 25 * time.Hour,
		},
		"an hour that does not exist": {
			weekly("Europe/Berlin", "02:00", "03:00", "Sun"),
			"2026-03-29 00:00", "2026-03-30 00:00", 0, 23 * time.Hour,
		},
		"an hour that comes twice": {
			weekly("Europe/Berlin", "02:00", "03:00", "Sun"),
			"2026-10-25 00:00", "2026-10-26 00:00", 2 * time.Hour, 25 * time.Hour,
		},
		"half an hour that comes twice, with a break": {
			weekly("Europe/Berlin", "02:00", "02:30", "Sun"),
			"2026-10-25 00:00", "2026-10-26 00:00", time.Hour, 25 * time.Hour,
		},
		"a night over a change of half an hour": {
			weekly("Australia/Lord_Howe", "22:00", "06:00", "Sat"),
			"2026-04-04 12:00", "2026-04-05 12:00", 8*time.Hour + 30*time.Minute, 24*time.Hour + 30*time.Minute,
		},
		"a night whose midnight does not exist": {
			weekly("America/Havana", "22:00", "06:00", "Sat"),
			"2026-03-07 12:00", "2026-03-08 12:00", 7 * time.Hour, 23 * time.Hour,
		},
		"the last Thursday of April in Cairo ends at midnight, which does not exist": {
			weekly("Africa/Cairo", "00:00", "24:00", "Fri"),
			"2026-04-23 12:00", "2026-04-25 00:00", 23 * time.Hour, 35 * time.Hour,
		},
		"a day that was skipped": {
			weekly("Pacific/Apia", "00:00", "24:00", "Fri"),
			"2011-12-29 00:00", "2012-01-01 00:00", 0, 48 * time.Hour,
		},
		"the last day of a leap year beyond the zone database's table": {
			weekly("Europe/Berlin", "00:00", "24:00", "Mon", "Sun"),
			"2040-12-30 00:00", "2041-04-01 00:00", (2*13+1)*24*time.Hour - time.Hour, 92*24*time.Hour - time.Hour,
		},
		"three weeks with two holidays": {
			v1alpha1.CalendarSpec{
				TimeZone: "Europe/Berlin",
				Weekly:   []v1alpha1.WeeklyHours{{Days: workdays, From: "08:00", To: "18:00"}},
				Holidays: []v1alpha1.Holiday{{Date: "2026-12-25"}, {Date: "2027-01-01"}, {Date: "2026-12-26"}},
			},
			"2026-12-21 00:00", "2027-01-11 00:00", 13 * 10 * time.Hour, 21 * 24 * time.Hour,
		},
		"the night before a holiday is open, the night that begins on it is not": {
			v1alpha1.CalendarSpec{
				Weekly:   []v1alpha1.WeeklyHours{{Days: []v1alpha1.Weekday{"Thu", "Fri"}, From: "22:00", To: "06:00"}},
				Holidays: []v1alpha1.Holiday{{Date: "2026-12-25"}},
			},
			"2026-12-24 12:00", "2026-12-27 00:00", 8 * time.Hour, 60 * time.Hour,
		},
		"extra hours on a holiday, partly beside weekly ones of the day before": {
			v1alpha1.CalendarSpec{
				Weekly:   []v1alpha1.WeeklyHours{{Days: []v1alpha1.Weekday{"Thu", "Fri"}, From: "20:00", To: "02:00"}},
				Holidays: []v1alpha1.Holiday{{Date: "2026-12-25"}},
				Extra:    []v1alpha1.ExtraHours{{From: "2026-12-25T01:00:00Z", To: "2026-12-25T03:30:00Z"}},
			},
			"2026-12-24 12:00", "2026-12-27 00:00", 7*time.Hour + 30*time.Minute, 60 * time.Hour,
		},
		"overlapping hours count once": {
			v1alpha1.CalendarSpec{Weekly: []v1alpha1.WeeklyHours{
				{Days: workdays, From: "08:00", To: "12:00"}, {Days: workdays, From: "10:00", To: "14:00"},
				{Days: workdays, From: "14:00", To: "15:00"}, {Days: []v1alpha1.Weekday{"Mon"}, From: "09:00", To: "11:00"},
			}},
			"2026-11-23 00:00", "2026-11-24 00:00", 7 * time.Hour, 24 * time.Hour,
		},
		"fractions of a second": {
			weekly("", "08:00", "18:00", workdays...),
			"2026-11-23T07:59:59.999999999Z", "2026-11-23T08:00:00.000000001Z", time.Nanosecond, 2 * time.Nanosecond,
		},
		"backwards": {
			weekly("", "08:00", "18:00", workdays...),
			"2026-11-23 12:00", "2026-11-23 11:00", 0, -time.Hour,
		},
	} {
		t.Run(name, func(t *testing.T) {
			calendar := must(t, test.spec)
			zone := string(test.spec.TimeZone)
			from, to := at(t, zone, test.from), at(t, zone, test.to)
			if got := calendar.Between(from, to); got != test.business {
				t.Errorf("business time is %s, want %s", got, test.business)
			}
			if got := to.Sub(from); got != test.actual {
				t.Errorf("actual time is %s, want %s", got, test.actual)
			}
			if got := Always().Between(from, to); got != max(0, test.actual) {
				t.Errorf("around the clock it is %s, want %s", got, test.actual)
			}
		})
	}
}

func TestAdd(t *testing.T) {
	berlin := weekly("Europe/Berlin", "08:00", "17:00", workdays...)
	for name, test := range map[string]struct {
		spec v1alpha1.CalendarSpec
		from string
		add  time.Duration
		want string
	}{
		"within a day":                  {berlin, "2026-11-23 09:00", 4 * time.Hour, "2026-11-23 13:00"},
		"exactly to the end of a day":   {berlin, "2026-11-23 13:00", 4 * time.Hour, "2026-11-23 17:00"},
		"a minute more":                 {berlin, "2026-11-23 13:00", 4*time.Hour + time.Minute, "2026-11-24 08:01"},
		"over a weekend":                {berlin, "2026-11-20 16:00", 2 * time.Hour, "2026-11-23 09:00"},
		"from a closed time":            {berlin, "2026-11-21 16:00", 30 * time.Minute, "2026-11-23 08:30"},
		"nothing":                       {berlin, "2026-11-21 16:00", 0, "2026-11-21 16:00"},
		"less than nothing":             {berlin, "2026-11-21 16:00", -time.Hour, "2026-11-21 16:00"},
		"a year of business hours":      {berlin, "2026-01-01 00:00", 261 * 9 * time.Hour, "2026-12-31 17:00"},
		"over the end of summer time":   {weekly("Europe/Berlin", "00:00", "24:00", "Sun"), "2026-10-25 00:00", 24 * time.Hour, "2026-10-25 23:00"},
		"over the begin of summer time": {weekly("Europe/Berlin", "00:00", "24:00", "Sun"), "2026-03-29 00:00", 23*time.Hour + time.Second, "2026-04-05 00:00:01"},
	} {
		t.Run(name, func(t *testing.T) {
			calendar := must(t, test.spec)
			from, want := at(t, "Europe/Berlin", test.from), at(t, "Europe/Berlin", test.want)
			got := calendar.Add(from, test.add)
			if !got.Equal(want) {
				t.Errorf("got %s, want %s", got, want)
			}
			if got.Location() != from.Location() {
				t.Errorf("the result is in zone %s, not in that of the argument", got.Location())
			}
		})
	}
}

func TestNextOpenAndClose(t *testing.T) {
	berlin := weekly("Europe/Berlin", "08:00", "17:00", workdays...)
	// From 8:00 to 24:00 and on from 0:00 to 17:00: no closing time at midnight.
	joined := v1alpha1.CalendarSpec{Weekly: []v1alpha1.WeeklyHours{
		{Days: []v1alpha1.Weekday{"Mon"}, From: "08:00", To: "24:00"},
		{Days: []v1alpha1.Weekday{"Tue"}, From: "00:00", To: "17:00"},
	}}
	for name, test := range map[string]struct {
		spec                      v1alpha1.CalendarSpec
		at, wantOpened, wantClose string
	}{
		"in the evening":              {berlin, "2026-11-20 21:00", "2026-11-23 08:00", "2026-11-20 21:00"},
		"in the morning":              {berlin, "2026-11-23 08:00", "2026-11-23 08:00", "2026-11-23 17:00"},
		"at the end":                  {berlin, "2026-11-23 17:00", "2026-11-24 08:00", "2026-11-23 17:00"},
		"through midnight":            {joined, "2026-11-23 12:00", "2026-11-23 12:00", "2026-11-24 17:00"},
		"twice on one day: the first": {weekly("Europe/Berlin", "02:00", "02:30", "Sun"), "2026-10-25T00:10:00Z", "2026-10-25T00:10:00Z", "2026-10-25T00:30:00Z"},
		"twice on one day: the other": {weekly("Europe/Berlin", "02:00", "02:30", "Sun"), "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T00:30:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			calendar := must(t, test.spec)
			zone := string(test.spec.TimeZone)
			from := at(t, zone, test.at)
			opened, ok := calendar.NextOpen(from)
			if !ok || !opened.Equal(at(t, zone, test.wantOpened)) {
				t.Errorf("opens at %s (%t), want %s", opened, ok, test.wantOpened)
			}
			closes, ok := calendar.NextClose(from)
			if !ok || !closes.Equal(at(t, zone, test.wantClose)) {
				t.Errorf("closes at %s (%t), want %s", closes, ok, test.wantClose)
			}
		})
	}
}

func TestCalendarsThatNeverOpenOrClose(t *testing.T) {
	from := at(t, "UTC", "2026-11-23 12:00")
	past := must(t, v1alpha1.CalendarSpec{Extra: []v1alpha1.ExtraHours{{From: "2020-01-01T00:00:00Z", To: "2020-01-02T00:00:00Z"}}})
	whole := must(t, weekly("Europe/Berlin", "00:00", "24:00", append(workdays, "Sat", "Sun")...))
	for name, test := range map[string]struct {
		calendar     Calendar
		opens, shuts bool
		added        time.Time
	}{
		"closed":                     {Calendar{}, false, true, time.Time{}},
		"extra hours in the past":    {past, false, true, time.Time{}},
		"always":                     {Always(), true, false, from.Add(time.Hour)},
		"around the clock by weekly": {whole, true, false, from.Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, opens := test.calendar.NextOpen(from); opens != test.opens {
				t.Errorf("opens: %t, want %t", opens, test.opens)
			}
			if _, shuts := test.calendar.NextClose(from); shuts != test.shuts {
				t.Errorf("closes: %t, want %t", shuts, test.shuts)
			}
			if added := test.calendar.Add(from, time.Hour); !added.Equal(test.added) {
				t.Errorf("an hour more is %s, want %s", added, test.added)
			}
		})
	}
}

func TestBetweenLooksAtABoundedTime(t *testing.T) {
	calendar := must(t, weekly("Europe/Berlin", "00:00", "24:00", append(workdays, "Sat", "Sun")...))
	from, to := at(t, "UTC", "1970-01-01 00:00"), at(t, "UTC", "9998-01-01 00:00")
	if got := calendar.Between(from, to); got != horizon {
		t.Errorf("got %s, want %s", got, horizon)
	}
}

func TestParseCalendar(t *testing.T) {
	for name, test := range map[string]struct {
		spec v1alpha1.CalendarSpec
		want []string
	}{
		"empty": {
			v1alpha1.CalendarSpec{},
			[]string{"spec has neither weekly nor extra hours, so that it would never be open"},
		},
		"all errors are told": {
			v1alpha1.CalendarSpec{
				TimeZone: "Europe/Atlantis",
				Weekly: []v1alpha1.WeeklyHours{
					{Days: []v1alpha1.Weekday{"Mon", "Funday"}, From: "8:00", To: "25:00"},
					{From: "24:00", To: "08:00"},
					{Days: workdays, From: "08:00", To: "08:00"},
				},
				Holidays: []v1alpha1.Holiday{{Date: "2026-12-25"}, {Date: "2026-02-30"}},
				Extra: []v1alpha1.ExtraHours{
					{From: "2026-02-30T25:61:61Z", To: "2026-02-28T00:00:00Z"},
					{From: "2026-03-01T00:00:00Z", To: "2026-02-28T00:00:00Z"},
					{From: "2026-03-01T00:00:00Z", To: "2036-02-28T00:00:00Z"},
				},
			},
			[]string{
				`spec.timeZone "Europe/Atlantis" is not a zone of the IANA database such as "Europe/Berlin"`,
				`spec.weekly[0].from "8:00" is not a time of day from "00:00" to "24:00"`,
				`spec.weekly[0].to "25:00" is not a time of day from "00:00" to "24:00"`,
				`spec.weekly[0].days[1] "Funday" is not a day such as "Mon"`,
				`spec.weekly[1].from "24:00" is the next day's "00:00"`,
				`spec.weekly[1].days names no day`,
				`spec.weekly[2].to "08:00" equals from: for a whole day use "00:00" to "24:00"`,
				`spec.holidays[1].date "2026-02-30" is not a day of the calendar such as "2026-12-25"`,
				`spec.extra[0].from "2026-02-30T25:61:61Z" is not an RFC 3339 time such as "2026-11-23T08:00:00+01:00"`,
				`spec.extra[1].to "2026-02-28T00:00:00Z" is not after spec.extra[1].from 2026-03-01T00:00:00Z`,
				`spec.extra[2].to "2036-02-28T00:00:00Z" is more than 366 days after from: use weekly hours`,
			},
		},
		"the zone of this machine": {
			weekly("Local", "08:00", "17:00", workdays...),
			[]string{`spec.timeZone "Local" is not a zone of the IANA database`},
		},
		"a path for a zone": {
			weekly("../../etc/passwd", "08:00", "17:00", workdays...),
			[]string{`spec.timeZone "../../etc/passwd" is not a zone of the IANA database such as "Europe/Berlin"`},
		},
		"good": {spec: weekly("Asia/Kolkata", "22:00", "06:00", "Sat")},
	} {
		t.Run(name, func(t *testing.T) {
			calendar, problems := ParseCalendar(test.spec)
			var got []string
			for _, problem := range problems {
				got = append(got, problem.Error())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, opens := calendar.NextOpen(at(t, "UTC", "2026-01-01 00:00")); opens != (len(test.want) == 0) {
				t.Errorf("it opens: %t", opens)
			}
		})
	}
}
