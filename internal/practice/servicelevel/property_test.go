package servicelevel

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// oddZones have what goes wrong elsewhere: halves and quarters of hours, changes at midnight, a skipped day, winter
// time that is the exception, changes by the moon, none at all.
var oddZones = []v1alpha1.TimeZone{
	"UTC", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Havana",
	"America/Santiago", "America/Asuncion", "America/Sao_Paulo", "America/Scoresbysund", "America/Nuuk",
	"Atlantic/Azores", "Africa/Cairo", "Africa/Casablanca", "Africa/Monrovia", "Asia/Kolkata", "Asia/Kathmandu",
	"Asia/Tehran", "Asia/Gaza", "Asia/Beirut", "Asia/Pyongyang", "Australia/Lord_Howe", "Australia/Eucla",
	"Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Antarctica/Troll", "Etc/GMT+12",
}

// oddTimes are around transitions of some of these zones, and far away.
var oddTimes = []string{
	"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-03-08T05:00:00Z", "2026-11-01T05:00:00Z",
	"2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z", "2026-04-23T22:00:00Z", "2026-10-29T21:00:00Z",
	"2011-12-30T10:00:00Z", "2018-11-04T03:00:00Z", "2026-02-15T02:00:00Z", "2026-03-22T02:00:00Z",
	"2015-08-14T15:00:00Z", "2024-03-31T01:00:00Z", "1972-01-07T00:44:30Z", "2050-03-27T01:00:00Z", "2100-10-31T01:00:00Z",
}

func randomSpec(random *rand.Rand, around time.Time) v1alpha1.CalendarSpec {
	clock := func(least, most int) v1alpha1.ClockTime {
		minutes := least + random.IntN(most-least+1)
		// Often on the hour, so that intervals touch one another and transitions.
		if random.IntN(2) == 0 {
			minutes = min(most, minutes/60*60)
		}
		return v1alpha1.ClockTime(fmt.Sprintf("%02d:%02d", minutes/60, minutes%60))
	}
	spec := v1alpha1.CalendarSpec{TimeZone: oddZones[random.IntN(len(oddZones))]}
	for range random.IntN(4) {
		hours := v1alpha1.WeeklyHours{From: clock(0, 24*60-1), To: clock(0, 24*60)}
		for _, day := range []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} {
			if random.IntN(2) == 0 {
				hours.Days = append(hours.Days, day)
			}
		}
		if hours.From != hours.To && len(hours.Days) > 0 {
			spec.Weekly = append(spec.Weekly, hours)
		}
	}
	for range random.IntN(4) {
		day := around.AddDate(0, 0, random.IntN(9)-4)
		spec.Holidays = append(spec.Holidays, v1alpha1.Holiday{Date: v1alpha1.Date(day.Format(time.DateOnly))})
	}
	for range random.IntN(4) {
		from := around.Add(time.Duration(random.IntN(6*24*60)-3*24*60) * time.Minute)
		to := from.Add(time.Duration(1+random.IntN(30*60)) * time.Minute)
		spec.Extra = append(spec.Extra, v1alpha1.ExtraHours{
			From: v1alpha1.Timestamp(from.Format(time.RFC3339)), To: v1alpha1.Timestamp(to.Format(time.RFC3339)),
		})
	}
	if len(spec.Weekly)+len(spec.Extra) == 0 {
		spec.Weekly = []v1alpha1.WeeklyHours{{Days: workdays, From: "09:00", To: "17:00"}}
	}
	return spec
}

// oracle is the definition in the documentation, asked minute by minute: what does the clock on the wall show?
func oracle(t *testing.T, spec v1alpha1.CalendarSpec) func(time.Time) bool {
	t.Helper()
	zone, err := time.LoadLocation(string(spec.TimeZone))
	if err != nil {
		t.Fatal(err)
	}
	holidays := map[string]bool{}
	for _, h := range spec.Holidays {
		holidays[string(h.Date)] = true
	}
	begins := func(w v1alpha1.WeeklyHours, day time.Time) bool {
		for _, name := range w.Days {
			if string(name) == day.Weekday().String()[:3] {
				return !holidays[day.Format(time.DateOnly)]
			}
		}
		return false
	}
	return func(instant time.Time) bool {
		for _, e := range spec.Extra {
			if !instant.Before(at(t, "UTC", string(e.From))) && instant.Before(at(t, "UTC", string(e.To))) {
				return true
			}
		}
		shown := instant.In(zone)
		today := time.Date(shown.Year(), shown.Month(), shown.Day(), 0, 0, 0, 0, time.UTC)
		clock := v1alpha1.ClockTime(shown.Format("15:04"))
		for _, w := range spec.Weekly {
			crosses := w.To < w.From
			if begins(w, today) && clock >= w.From && (crosses || clock < w.To) {
				return true
			}
			if crosses && begins(w, today.AddDate(0, 0, -1)) && clock < w.To {
				return true
			}
		}
		return false
	}
}

// TestMinuteByMinute compares four days around odd times with the oracle.
func TestMinuteByMinute(t *testing.T) {
	const minutes = 4 * 24 * 60
	for i, text := range oddTimes {
		for seed := range uint64(4) {
			random := rand.New(rand.NewPCG(uint64(i), seed))
			around := at(t, "UTC", text).Truncate(time.Minute)
			spec := randomSpec(random, around)
			// Zones of another time had offsets of odd seconds.
			if zone, err := time.LoadLocation(string(spec.TimeZone)); err != nil {
				t.Fatal(err)
			} else if _, offset := around.AddDate(0, 0, -3).In(zone).Zone(); offset%60 != 0 {
				continue
			}
			calendar, open := must(t, spec), oracle(t, spec)
			begin := around.Add(-minutes / 2 * time.Minute)
			passed := time.Duration(0)
			wasOpen := open(begin)
			for minute := range minutes {
				now := begin.Add(time.Duration(minute) * time.Minute)
				isOpen := open(now)
				if got := calendar.Contains(now); got != isOpen {
					t.Fatalf("%s seed %d: %+v contains %s: %t, want %t", text, seed, spec, now, got, isOpen)
				}
				if got := calendar.Between(begin, now); got != passed {
					t.Fatalf("%s seed %d: %+v from %s to %s: %s, want %s", text, seed, spec, begin, now, got, passed)
				}
				if isOpen && !wasOpen {
					if got, ok := calendar.NextOpen(now.Add(-time.Second)); !ok || !got.Equal(now) {
						t.Fatalf("%s seed %d: %+v opens at %s (%t), want %s", text, seed, spec, got, ok, now)
					}
				}
				if wasOpen && !isOpen {
					if got, ok := calendar.NextClose(now.Add(-time.Second)); !ok || !got.Equal(now) {
						t.Fatalf("%s seed %d: %+v closes at %s (%t), want %s", text, seed, spec, got, ok, now)
					}
				}
				if isOpen {
					passed += time.Minute
					if got := calendar.Add(begin, passed); !got.Equal(now.Add(time.Minute)) {
						t.Fatalf("%s seed %d: %+v %s and %s is %s, want %s", text, seed, spec, begin, passed, got, now.Add(time.Minute))
					}
				}
				wasOpen = isOpen
			}
		}
	}
}

// TestProperties holds for any calendar, over years.
func TestProperties(t *testing.T) {
	for seed := range uint64(1500) {
		random := rand.New(rand.NewPCG(seed, 2))
		around := at(t, "UTC", oddTimes[random.IntN(len(oddTimes))])
		spec := randomSpec(random, around)
		calendar := must(t, spec)
		span := time.Hour << random.IntN(17)
		a := around.Add(time.Duration(random.Int64N(int64(span))) - span/2)
		b := a.Add(time.Duration(random.Int64N(int64(span))))
		c := b.Add(time.Duration(random.Int64N(int64(span))))
		checkProperties(t, calendar, a, b, c)
		if t.Failed() {
			t.Fatalf("seed %d: %+v, a %s, b %s, c %s", seed, spec, a, b, c)
		}
	}
}

// checkProperties takes times in order.
func checkProperties(t *testing.T, calendar Calendar, a, b, c time.Time) {
	t.Helper()
	ab, bc, ac := calendar.Between(a, b), calendar.Between(b, c), calendar.Between(a, c)
	if ab+bc != ac {
		t.Errorf("not additive: %s + %s != %s", ab, bc, ac)
	}
	if ab < 0 || ab > b.Sub(a) || ac < ab {
		t.Errorf("not monotone: %s of %s, then %s", ab, b.Sub(a), ac)
	}
	reached := calendar.Add(a, ab)
	if reached.After(b) || calendar.Between(a, reached) != ab || calendar.Between(reached, b) != 0 {
		t.Errorf("Add is not the inverse: from a %s is reached at %s", ab, reached)
	}
	if d := b.Sub(a); d > 0 {
		if added := calendar.Add(a, d); !added.IsZero() {
			if calendar.Between(a, added) != d || added.Before(b) {
				t.Errorf("Between is not the inverse: %s after a is %s, which is %s", d, added, calendar.Between(a, added))
			}
			if before := calendar.Between(a, added.Add(-1)); before >= d {
				t.Errorf("not the earliest: %s after a is %s already before %s", d, before, added)
			}
			if later := calendar.Add(a, d+time.Second); !later.IsZero() && !later.After(added) {
				t.Errorf("a second more than %s is not later than %s", d, added)
			}
		}
	}
	if open, ok := calendar.NextOpen(a); ok {
		if !calendar.Contains(open) || open.Before(a) || calendar.Between(a, open) != 0 {
			t.Errorf("does not open at %s next", open)
		}
		if calendar.Between(open, open.Add(1)) != 1 {
			t.Errorf("is not open at %s", open)
		}
	} else if ac != 0 {
		t.Errorf("never opens, but was open for %s", ac)
	}
	if shut, ok := calendar.NextClose(a); ok {
		if calendar.Contains(shut) || shut.Before(a) || calendar.Between(a, shut) != shut.Sub(a) {
			t.Errorf("does not close at %s next", shut)
		}
		if calendar.Between(shut, shut.Add(1)) != 0 {
			t.Errorf("is not closed at %s", shut)
		}
	} else if ac != c.Sub(a) {
		t.Errorf("never closes, but was open for %s of %s only", ac, c.Sub(a))
	}
}

func FuzzCalendar(f *testing.F) {
	f.Add(uint16(330), "08:00", "18:00", uint8(31), "2026-12-25", "2026-12-24T00:00:00Z", "2026-12-24T01:00:00Z", int64(1764547200), int64(3600), int64(86400))
	f.Add(uint16(280), "22:00", "06:00", uint8(127), "2026-04-05", "2026-04-05T00:00:00Z", "2026-04-06T00:00:00Z", int64(1775314800), int64(1), int64(1e9))
	f.Add(uint16(160), "00:00", "24:00", uint8(64), "2026-03-08", "", "", int64(1772946000), int64(7200), int64(7200))
	all := strings.Fields(zoneNames)
	f.Fuzz(func(t *testing.T, zone uint16, from, to string, days uint8, holiday, extraFrom, extraTo string, start, first, second int64) {
		spec := weekly(v1alpha1.TimeZone(all[int(zone)%len(all)]), v1alpha1.ClockTime(from), v1alpha1.ClockTime(to))
		for i, day := range []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} {
			if days&(1<<i) != 0 {
				spec.Weekly[0].Days = append(spec.Weekly[0].Days, day)
			}
		}
		if holiday != "" {
			spec.Holidays = []v1alpha1.Holiday{{Date: v1alpha1.Date(holiday)}}
		}
		if extraFrom != "" {
			spec.Extra = []v1alpha1.ExtraHours{{From: v1alpha1.Timestamp(extraFrom), To: v1alpha1.Timestamp(extraTo)}}
		}
		calendar, problems := ParseCalendar(spec)
		if len(problems) > 0 {
			if calendar.Contains(time.Unix(start, 0)) {
				t.Error("a calendar that cannot be understood is open")
			}
			return
		}
		const century = 100 * 366 * secondsPerDay
		a := time.Unix(((start%century)+century)%century, 0).UTC()
		b := a.Add(time.Duration(((first%century)+century)%century) * time.Second)
		c := b.Add(time.Duration(((second%century)+century)%century) * time.Second)
		checkProperties(t, calendar, a, b, c)
	})
}

func BenchmarkCalendar(b *testing.B) {
	spec := weekly("Europe/Berlin", "08:00", "18:00", workdays...)
	for day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2032; day = day.AddDate(0, 0, 11) {
		spec.Holidays = append(spec.Holidays, v1alpha1.Holiday{Date: v1alpha1.Date(day.Format(time.DateOnly))})
	}
	calendar := must(b, spec)
	friday := time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
	b.Run("Between a year", func(b *testing.B) {
		for b.Loop() {
			calendar.Between(friday, friday.AddDate(1, 0, 0))
		}
	})
	b.Run("Add 4 hours over a weekend", func(b *testing.B) {
		for b.Loop() {
			calendar.Add(friday, 4*time.Hour)
		}
	})
	b.Run("Add 2000 hours", func(b *testing.B) {
		for b.Loop() {
			calendar.Add(friday, 2000*time.Hour)
		}
	})
	b.Run("NextOpen", func(b *testing.B) {
		for b.Loop() {
			calendar.NextOpen(friday)
		}
	})
	b.Run("Contains", func(b *testing.B) {
		for b.Loop() {
			calendar.Contains(friday)
		}
	})
	b.Run("Parse", func(b *testing.B) {
		for b.Loop() {
			ParseCalendar(spec)
		}
	})
}
