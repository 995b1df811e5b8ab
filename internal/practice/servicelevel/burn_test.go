package servicelevel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestFactors are those of the workbook for 30 days around the clock, and as much greater as less time is agreed.
func TestFactors(t *testing.T) {
	office, _ := ParseCalendar(v1alpha1.CalendarSpec{Weekly: []v1alpha1.WeeklyHours{{Days: workdays, From: "09:00", To: "17:00"}}})
	cases := map[string]struct {
		calendar Calendar
		target   PartsPerMillion
		at       time.Time
		want     []float64 // NaN: none
	}{
		"30 days around the clock": {calendar: Always(), target: 999_000, at: noon.AddDate(0, 0, 10), want: []float64{14.4, 6, 1}},
		"a low target is capped":   {calendar: Always(), target: 900_000, at: noon.AddDate(0, 0, 10), want: []float64{9, 6, 1}},
		// 168 agreed hours of the month; of the windows before noon on a Thursday 1, 3 and 24.
		"office hours":         {calendar: office, target: 999_000, at: noon.AddDate(0, 0, 10), want: []float64{.02 * 168, .05 * 168 / 3, .1 * 168 / 24}},
		"at night":             {calendar: office, target: 999_000, at: time.Date(2026, 11, 15, 3, 0, 0, 0, time.UTC), want: []float64{math.NaN(), math.NaN(), .1 * 168 / 16}},
		"all was promised":     {calendar: Always(), target: Whole, at: noon, want: []float64{math.NaN(), math.NaN(), math.NaN()}},
		"nothing was promised": {calendar: Always(), at: noon, want: []float64{math.NaN(), math.NaN(), math.NaN()}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			terms := Terms{Period: period(t, "", "UTC", 0), Calendar: c.calendar, Target: c.target}
			sums := terms.Sum(Account{}, nil, terms.Period.At(c.at), c.at)
			for i, p := range BurnPairs() {
				factor, ok := terms.Factor(p, terms.burnt(nil, p.Long.Length, c.at), sums)
				if ok == math.IsNaN(c.want[i]) || ok && math.Abs(factor-c.want[i]) > 1e-9 {
					t.Errorf("%s: %v (%t), want %v", p.Long.Name, factor, ok, c.want[i])
				}
			}
		})
	}
}

// TestFiresByTheDefinition compares the integers with exact fractions, up to the longest periods.
func TestFiresByTheDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	fired := 0
	for range 50_000 {
		p := BurnPairs()[random.IntN(3)]
		within := func(w BurnWindow) Burnt {
			b := Burnt{Agreed: random.Int64N(int64(w.Length/time.Second) + 1)}
			b.Downtime = random.Int64N(b.Agreed + 1)
			if random.IntN(3) > 0 {
				b.Downtime /= 1 + random.Int64N(2000)
			}
			return b
		}
		terms := Terms{Target: Whole - PartsPerMillion(random.Int64N(1+random.Int64N(int64(Whole))))}
		long, short, whole := within(p.Long), within(p.Short), 1+random.Int64N(366*86400)
		want := firesByFractions(terms, p, long, short, whole)
		if got := terms.fires(p, long, short, whole); got != want {
			t.Fatalf("%+v of %s, long %+v, short %+v, period %d: %t, want %t", terms.Target, p.Long.Name, long, short, whole, got, want)
		}
		if want {
			fired++
		}
	}
	if fired < 300 || fired > 49_700 {
		t.Errorf("fired %d times: the cases say little", fired)
	}
}

func firesByFractions(t Terms, p BurnPair, long, short Burnt, whole int64) bool {
	if t.Target == 0 || t.Target == Whole || long.Agreed == 0 || short.Agreed == 0 {
		return false
	}
	allowed := big.NewRat(int64(Whole-t.Target), int64(Whole))
	factor := new(big.Rat).Mul(big.NewRat(p.share, 100), big.NewRat(whole, long.Agreed))
	if most := new(big.Rat).Quo(big.NewRat(9, 10), allowed); most.Cmp(factor) < 0 {
		factor = most
	}
	above := func(b Burnt) bool {
		return new(big.Rat).Quo(big.NewRat(b.Downtime, b.Agreed), allowed).Cmp(factor) > 0
	}
	return above(long) && above(short)
}
