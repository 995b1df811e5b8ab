package change

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestWindowsHourByHour compares openings and windows with a walk through the hours.
func TestWindowsHourByHour(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		s := random(r)
		rules := Merge(s.policies, map[string]Calendar{"office": s.calendar})
		o := oracle{s}
		kind := []v1alpha1.ChangeType{v1alpha1.ChangeNormal, v1alpha1.ChangeStandard, v1alpha1.ChangeEmergency}[r.IntN(3)]
		from := r.IntN(60)
		const end = 400
		first := from
		for first < end && !o.openFor(first, kind) {
			first++
		}
		opening, ok := rules.nextOpening(kind, hour(from))
		if ok != (first < end) || ok && !opening.Equal(hour(first)) {
			t.Fatalf("world %d: opens at %s (%v), want hour %d", seed, opening, ok, first)
		}
		open, until := rules.openAt(kind, hour(from))
		if open != o.openFor(from, kind) {
			t.Fatalf("world %d: open is %v", seed, open)
		}
		for h := from; hour(h).Before(until); h++ {
			if o.openFor(h, kind) != open {
				t.Fatalf("world %d: said to stay so until %s, but hour %d is not", seed, until, h)
			}
		}
		got := rules.firstOpenHours(kind, hour(from), 24*time.Hour)
		if !ok {
			if !got.IsZero() {
				t.Fatalf("world %d: a window %v that never opens", seed, got)
			}
			continue
		}
		left, h := 24, first
		for ; left > 0 && h < end; h++ {
			if o.openFor(h, kind) {
				left--
			}
		}
		if !got.From.Equal(hour(first)) || left == 0 && !got.To.Equal(hour(h)) || left > 0 && got.To.Before(hour(end)) {
			t.Fatalf("world %d: window %v, want hours %d to %d", seed, got, first, h)
		}
	}
}

func TestShownTimesAreOfTheChangeWindowsZone(t *testing.T) {
	office, problems := Hours(v1alpha1.CalendarSpec{
		TimeZone: "Europe/Berlin", Weekly: []v1alpha1.WeeklyHours{{Days: []v1alpha1.Weekday{"Mon", "Tue"}, From: "08:00", To: "18:00"}},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	rules := Merge([]*v1alpha1.ChangePolicy{policy("p", officeHours)}, map[string]Calendar{"office": office})
	next, ok := rules.nextOpening(v1alpha1.ChangeNormal, hour(-12))
	if got := rules.show(next); !ok || got != "2026-11-23 08:00 CET" {
		t.Errorf("next window %s (%v)", got, ok)
	}
	if open, until := office.At(hour(20)); open || !until.Equal(hour(24+7)) {
		t.Errorf("at 20:00 UTC open is %v until %s", open, until)
	}
	if _, problems := Hours(v1alpha1.CalendarSpec{TimeZone: "Middle/Earth"}); len(problems) == 0 {
		t.Error("a zone that is none is a calendar")
	}
}
