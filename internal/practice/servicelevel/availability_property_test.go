package servicelevel

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

var healths = []v1alpha1.Health{
	v1alpha1.HealthOperational, v1alpha1.HealthDegraded, v1alpha1.HealthOutage, v1alpha1.HealthMaintenance, v1alpha1.HealthUnknown,
}

// history is a service's past as it truly was, and Incidents that persons declared.
type history struct {
	start       time.Time
	transitions []Observation
	declared    []Interval
}

func randomHistory(random *rand.Rand, start time.Time, span time.Duration) history {
	h := history{start: start}
	seconds := func() time.Duration { return time.Duration(1+random.IntN(int(span/time.Second)/4)) * time.Second }
	for at := start.Add(seconds()); at.Before(start.Add(span)); at = at.Add(seconds()) {
		health := healths[random.IntN(len(healths))]
		if n := len(h.transitions); n == 0 || h.transitions[n-1].Health != health {
			h.transitions = append(h.transitions, Observation{Health: health, Since: at})
		}
	}
	for range random.IntN(3) {
		i := Interval{Start: start.Add(seconds() * 3)}
		if random.IntN(2) == 0 {
			i.End = i.Start.Add(seconds())
		}
		h.declared = append(h.declared, i)
	}
	return h
}

// at is the health at a time; Unknown before the first.
func (h history) at(t time.Time) v1alpha1.Health {
	health := v1alpha1.HealthUnknown
	for _, o := range h.transitions {
		if !o.Since.After(t) {
			health = o.Health
		}
	}
	return health
}

func (h history) isDeclared(t time.Time) bool {
	for _, i := range h.declared {
		if i.orEndless().Contains(t) {
			return true
		}
	}
	return false
}

// TestSumSecondBySecond compares sums over two days with what is counted second by second, by the definition in the
// documentation, over random outages and calendars around the transitions of odd zones.
func TestSumSecondBySecond(t *testing.T) {
	for n, text := range oddTimes {
		random := rand.New(rand.NewPCG(uint64(n), 7))
		around := at(t, "UTC", text).Truncate(time.Minute)
		spec := randomSpec(random, around)
		calendar, problems := ParseCalendar(spec)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		terms := Terms{
			From: around.Add(-time.Duration(random.IntN(48)) * time.Hour), Calendar: calendar, ExcludePlanned: n%2 == 0,
			Period: period(t, v1alpha1.PeriodRolling, spec.TimeZone, 2), Target: 999_000,
		}
		span := terms.Period.At(around)
		h := randomHistory(random, span.Start.Add(-6*time.Hour), span.End.Sub(span.Start)+3*time.Hour)
		account := Account{}
		for _, o := range h.transitions {
			account = account.Observe(o, o.Since.Add(time.Duration(random.IntN(90))*time.Second))
		}
		until := span.Start.Add(time.Duration(random.Int64N(int64(span.End.Sub(span.Start)/time.Second))) * time.Second)
		if account.Since.After(until) {
			until = span.End
		}
		want := Sums{}
		wasDown := false
		for second := span.Start; second.Before(span.End); second = second.Add(time.Second) {
			if !calendar.Contains(second) {
				continue
			}
			want.Whole++
			if second.Before(terms.From) || !second.Before(until) {
				continue
			}
			want.Agreed++
			health := h.at(second)
			planned := health == v1alpha1.HealthMaintenance
			switch {
			case h.isDeclared(second), health == v1alpha1.HealthOutage, planned && !terms.ExcludePlanned:
				want.Downtime++
				wasDown = true
			case planned:
				want.Planned++
			case health == v1alpha1.HealthUnknown:
				want.Unobserved++
			}
		}
		got := terms.Sum(account, h.declared, span, until)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Sums{}), cmpopts.IgnoreFields(Sums{}, "Outages", "OpenSince")); diff != "" {
			t.Errorf("%s in %s: (-want +got):\n%s\n%+v", text, spec.TimeZone, diff, spec)
		}
		if wasDown != (got.Outages > 0) && got.OpenSince.IsZero() {
			t.Errorf("%s: %d outages, and downtime: %t", text, got.Outages, wasDown)
		}
	}
}

// TestWakingIsEnough: who decides only when something happens, and at the time that was named, has at each second the
// status that one has who decides every second. It also writes less often than things happen and budgets end.
func TestWakingIsEnough(t *testing.T) {
	targets := []v1alpha1.Percentage{"100", "99.9", "95", "50.5", "0.5"}
	const span = 90 * time.Minute
	midnight := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	for n := range 15 {
		random := rand.New(rand.NewPCG(uint64(n), 11))
		start := midnight.Add(-time.Hour)
		h := randomHistory(random, start, span)
		f := &AgreementFacts{Agreement: agreement(targets[n%len(targets)])}
		f.Agreement.Spec.Period = v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, Days: 1}
		f.Agreement.Spec.ExcludePlannedMaintenance = n%2 == 0
		f.Agreement.Spec.ValidFrom = "2026-11-02T23:05:00Z"
		if n%3 == 0 {
			f.Agreement.Spec.CalendarRef = &v1alpha1.LocalReference{Name: "odd"}
			f.Calendar = &v1alpha1.CalendarSpec{Extra: []v1alpha1.ExtraHours{
				{From: "2026-11-02T23:10:00Z", To: "2026-11-02T23:40:00Z"}, {From: "2026-11-03T00:05:00Z", To: "2026-11-03T02:00:00Z"},
			}}
		}
		f.Service = observed(v1alpha1.HealthOperational, start.Add(-time.Minute))
		writes, happened := 0, 0
		_, wake := follow(f, start)
		for second := start.Add(time.Second); second.Before(start.Add(span)); second = second.Add(time.Second) {
			fact := false
			for _, o := range h.transitions {
				if o.Since.Equal(second) {
					f.Service, fact = &o, true
				}
			}
			for i, d := range h.declared {
				if d.Start.Equal(second) {
					f.Incidents = append(f.Incidents, AgreementIncident{Interval: Interval{Start: d.Start}, Declared: true, DetectedAt: second})
					fact = true
				}
				if d.End.Equal(second) && !d.End.IsZero() {
					for k := range f.Incidents {
						if f.Incidents[k].Start.Equal(h.declared[i].Start) {
							f.Incidents[k].End, fact = second, true
						}
					}
				}
			}
			if fact {
				happened++
			}
			if fact || !second.Before(wake) {
				var wrote bool
				if wrote, wake = follow(f, second); wrote {
					writes++
				}
			}
			// A period is begun in its second second, so that there is something to say of it.
			if fresh := EvaluateAgreement(*f, second); !second.Equal(midnight) && !equality.Semantic.DeepEqual(fresh.Status, f.Agreement.Status) {
				t.Fatalf("history %d at %s, wakes at %s: nobody was woken for\n%s", n, second, wake, cmp.Diff(f.Agreement.Status, fresh.Status))
			}
		}
		// Each fact may bring a rate and a budget with it that is passed once; midnight and the hours pass as well.
		if most := 4*happened + 10; writes > most {
			t.Errorf("history %d: %d writes for %d facts", n, writes, happened)
		}
	}
}

// TestRestart: a record that is written down and read again goes on as one that was kept in memory.
func TestRestart(t *testing.T) {
	for n := range 50 {
		random := rand.New(rand.NewPCG(uint64(n), 13))
		h := randomHistory(random, noon, 20*time.Hour)
		inMemory, written := Account{}, v1alpha1.ServiceLevelAgreementStatus{}
		for _, o := range h.transitions {
			inMemory = inMemory.Observe(o, o.Since)
			written.Observed, written.Interruptions = recordOf(accountOf(&written).Observe(o, o.Since.Add(time.Minute)))
		}
		if diff := cmp.Diff(inMemory, accountOf(&written)); diff != "" {
			t.Fatalf("history %d (-in memory +written):\n%s", n, diff)
		}
	}
}
