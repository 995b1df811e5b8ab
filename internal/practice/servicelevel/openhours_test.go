package servicelevel

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func TestFirstOpen(t *testing.T) {
	berlin := must(t, weekly("Europe/Berlin", "08:00", "18:00", workdays...))
	nights := must(t, weekly("America/New_York", "00:00", "06:00", workdays...))
	sundays := must(t, weekly("", "00:00", "24:00", "Sun"))
	from := at(t, "Europe/Berlin", "2026-11-20 17:00") // a Friday
	freeze := func(from, to string) Interval {
		return Interval{Start: at(t, "Europe/Berlin", from), End: at(t, "Europe/Berlin", to)}
	}
	for name, test := range map[string]struct {
		calendars  []Calendar
		freezes    []Interval
		start, end string
	}{
		"no calendar": {nil, nil, "2026-11-20 17:00", "2026-11-21 17:00"},
		"business hours": {
			[]Calendar{berlin}, nil, "2026-11-20 17:00", "2026-11-25 11:00", // 1 + 10 + 10 + 3 hours
		},
		"a freeze over the next day": {
			[]Calendar{berlin}, []Interval{freeze("2026-11-20 12:00", "2026-11-24 09:00")}, "2026-11-24 09:00", "2026-11-26 13:00", // 9 + 10 + 5
		},
		"freezes that overlap, and one inside": {
			[]Calendar{berlin},
			[]Interval{
				freeze("2026-11-22 00:00", "2026-11-23 12:00"), freeze("2026-11-20 12:00", "2026-11-22 12:00"),
				freeze("2026-11-24 10:00", "2026-11-24 12:00"),
			},
			"2026-11-23 12:00", "2026-11-25 18:00", // 6 + 8 + 10: the other freeze takes 2
		},
		"two calendars in two zones": {
			// Midnight to 6:00 in New York is 6:00 to 12:00 in Berlin, of which 8:00 to 12:00 is open in both.
			[]Calendar{berlin, nights}, nil, "2026-11-23 08:00", "2026-11-30 12:00",
		},
		"a freeze between the calendar's last hours and a weekend": {
			nil, []Interval{freeze("2026-11-20 18:00", "2026-11-23 08:00")}, "2026-11-20 17:00", "2026-11-24 07:00",
		},
		"no common hour":         {[]Calendar{berlin, sundays}, nil, "", ""},
		"a closed calendar":      {[]Calendar{{}}, nil, "", ""},
		"a freeze without end":   {nil, []Interval{freeze("2026-01-01 00:00", "9998-01-01 00:00")}, "", ""},
		"too few hours are left": {[]Calendar{berlin}, []Interval{freeze("2026-11-24 00:00", "9998-01-01 00:00")}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := NewOpenHours(test.calendars, test.freezes).FirstOpen(from, 24*time.Hour)
			if test.start == "" {
				if ok {
					t.Errorf("got a window from %s to %s, want none", got.Start, got.End)
				}
				return
			}
			want := freeze(test.start, test.end)
			if !ok || !got.Start.Equal(want.Start) || !got.End.Equal(want.End) {
				t.Errorf("got %s to %s (%t), want %s to %s", got.Start, got.End, ok, want.Start, want.End)
			}
		})
	}
	if _, ok := NewOpenHours(nil, nil).FirstOpen(from, 0); ok {
		t.Error("a window of no length was found")
	}
}

// TestOpenHoursMinuteByMinute compares random calendars and freezes with asking each of them every minute.
func TestOpenHoursMinuteByMinute(t *testing.T) {
	const minutes = 14 * 24 * 60
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 3))
		begin := at(t, "UTC", "2026-10-20 00:00")
		var calendars []Calendar
		for range random.IntN(3) {
			calendars = append(calendars, must(t, randomSpec(random, begin.AddDate(0, 0, 5))))
		}
		var freezes []Interval
		for range random.IntN(4) {
			from := begin.Add(time.Duration(random.IntN(minutes)-1000) * time.Minute)
			freezes = append(freezes, Interval{Start: from, End: from.Add(time.Duration(random.IntN(3000)) * time.Minute)})
		}
		hours := NewOpenHours(calendars, freezes)
		open := make([]bool, minutes)
		for minute := range minutes {
			now := begin.Add(time.Duration(minute) * time.Minute)
			open[minute] = true
			for _, c := range calendars {
				open[minute] = open[minute] && c.Contains(now)
			}
			for _, f := range freezes {
				open[minute] = open[minute] && !f.Contains(now)
			}
			if got := hours.Contains(now); got != open[minute] {
				t.Fatalf("seed %d: open at %s: %t, want %t", seed, now, got, open[minute])
			}
		}
		for range 20 {
			start, length := random.IntN(minutes), 1+random.IntN(24*60)
			first, last, left := -1, -1, length
			for minute := start; minute < minutes && left > 0; minute++ {
				if open[minute] {
					if first < 0 {
						first = minute
					}
					if left--; left == 0 {
						last = minute + 1
					}
				}
			}
			got, ok := hours.FirstOpen(begin.Add(time.Duration(start)*time.Minute), time.Duration(length)*time.Minute)
			if last < 0 {
				// It ends beyond the minutes that were asked for, if ever.
				if ok && got.End.Before(begin.Add(minutes*time.Minute)) {
					t.Fatalf("seed %d: %d minutes from %d: got %v, want none", seed, length, start, got)
				}
				continue
			}
			want := Interval{Start: begin.Add(time.Duration(first) * time.Minute), End: begin.Add(time.Duration(last) * time.Minute)}
			if !ok || !got.Start.Equal(want.Start) || !got.End.Equal(want.End) {
				t.Fatalf("seed %d: %d minutes from %d: got %v (%t), want %v", seed, length, start, got, ok, want)
			}
		}
	}
}

func BenchmarkFirstOpen(b *testing.B) {
	business := must(b, weekly("Europe/Berlin", "08:00", "18:00", workdays...))
	nights := must(b, weekly("America/New_York", "00:00", "06:00", workdays...))
	from := time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
	freezes := []Interval{{Start: from, End: from.AddDate(0, 0, 9)}}
	b.Run("24 hours of two calendars", func(b *testing.B) {
		for b.Loop() {
			NewOpenHours([]Calendar{business, nights}, freezes).FirstOpen(from, 24*time.Hour)
		}
	})
	never := must(b, weekly("", "00:00", "24:00", v1alpha1.Weekday("Sun")))
	b.Run("two that never meet", func(b *testing.B) {
		for b.Loop() {
			NewOpenHours([]Calendar{business, never}, freezes).FirstOpen(from, 24*time.Hour)
		}
	})
}
