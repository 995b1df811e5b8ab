package servicelevel

import (
	_ "embed"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the same zones on every machine

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// zoneNames are all zones of the IANA database, with the older names of some.
//
//go:embed testdata/zones.txt
var zoneNames string

// allTransitions, as an environment variable that is not empty, makes TestEveryZone look at every transition of every
// zone from 1990 to 2040 (some minutes), and not at one of each.
const allTransitions = "ITIL_ALL_TRANSITIONS"

func zones(t *testing.T) []v1alpha1.TimeZone {
	t.Helper()
	var list []v1alpha1.TimeZone
	for name := range strings.FieldsSeq(zoneNames) {
		list = append(list, v1alpha1.TimeZone(name))
	}
	if len(list) < 500 {
		t.Fatalf("%d zones only", len(list))
	}
	return list
}

func year(n int) time.Time { return time.Date(n, 1, 1, 0, 0, 0, 0, time.UTC) }

// transitionsOf a zone from 1990 to 2040; New Year of some year where there is none.
func transitionsOf(zone *time.Location) []time.Time {
	var list []time.Time
	for at := year(1990); at.Before(year(2041)); {
		_, end := at.In(zone).ZoneBounds()
		if end.IsZero() || !end.After(at) || !end.Before(year(2041)) {
			break
		}
		list = append(list, end.UTC())
		at = end
	}
	if len(list) == 0 {
		list = []time.Time{year(2001)}
	}
	return list
}

// TestEveryZone compares half a day around a transition with the oracle, minute by minute, in every zone of the world, and
// checks that Between and Add are inverse, monotone and additive there, over the years 1990 to 2040.
func TestEveryZone(t *testing.T) {
	all := os.Getenv(allTransitions) != ""
	for i, name := range zones(t) {
		zone, err := time.LoadLocation(string(name))
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(uint64(i), 23))
		transitions := transitionsOf(zone)
		if !all {
			transitions = []time.Time{transitions[random.IntN(len(transitions))]}
		}
		for _, around := range transitions {
			around = around.Truncate(time.Minute)
			spec := randomSpec(random, around)
			spec.TimeZone = name
			calendar := must(t, spec)
			compareHours(t, spec, calendar, around)
			for range 3 {
				times := []time.Time{randomTime(random), randomTime(random), randomTime(random)}
				slices.SortFunc(times, time.Time.Compare)
				checkProperties(t, calendar, times[0], times[1], times[2])
			}
			if t.Failed() {
				t.Fatalf("%s around %s: %+v", name, around, spec)
			}
		}
	}
}

func randomTime(random *rand.Rand) time.Time {
	return year(1990).Add(time.Duration(random.Int64N(int64(year(2041).Sub(year(1990))/time.Second))) * time.Second)
}

func compareHours(t *testing.T, spec v1alpha1.CalendarSpec, calendar Calendar, around time.Time) {
	t.Helper()
	open, begin, passed := oracle(t, spec), around.Add(-6*time.Hour), time.Duration(0)
	for minute := range 12 * 60 {
		now := begin.Add(time.Duration(minute) * time.Minute)
		isOpen := open(now)
		if got := calendar.Contains(now); got != isOpen {
			t.Fatalf("%+v contains %s: %t, want %t", spec, now, got, isOpen)
		}
		if got := calendar.Between(begin, now); got != passed {
			t.Fatalf("%+v from %s to %s: %s, want %s", spec, begin, now, got, passed)
		}
		if isOpen {
			passed += time.Minute
		}
	}
	if got := calendar.Between(begin, calendar.Add(begin, passed)); got != passed {
		t.Fatalf("%+v: %s after %s is not that", spec, passed, begin)
	}
}
