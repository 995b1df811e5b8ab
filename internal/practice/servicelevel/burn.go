package servicelevel

import "time"

// BurnWindow is a stretch of time before now over which it is asked how fast the error budget is used.
type BurnWindow struct {
	// Name as metrics and messages write it, for example "1h".
	Name   string
	Length time.Duration
}

var (
	window5m  = BurnWindow{Name: "5m", Length: 5 * time.Minute}
	window30m = BurnWindow{Name: "30m", Length: 30 * time.Minute}
	window1h  = BurnWindow{Name: "1h", Length: time.Hour}
	window6h  = BurnWindow{Name: "6h", Length: 6 * time.Hour}
	window3d  = BurnWindow{Name: "3d", Length: longestWindow}
)

// longestWindow is how long the record must reach back, whenever the period began.
const longestWindow = 3 * secondsPerDay * time.Second

// BurnPair is a long window, which says that it matters, with a short one, which says that it goes on. The pairs and
// the shares of the budget are those of The Site Reliability Workbook (Google, 2018), chapter 5, "Multiwindow,
// Multi-Burn-Rate Alerts".
type BurnPair struct {
	Long, Short BurnWindow
	// share of the budget of the whole period, in percent, that is used up within the long window when it fires.
	share int64
}

// BurnPairs are the pairs of windows, the fastest first.
func BurnPairs() []BurnPair {
	return []BurnPair{
		{Long: window1h, Short: window5m, share: 2},
		{Long: window6h, Short: window30m, share: 5},
		{Long: window3d, Short: window6h, share: 10},
	}
}

// BurnWindows are all windows of the pairs, the shortest first.
func BurnWindows() []BurnWindow {
	return []BurnWindow{window5m, window30m, window1h, window6h, window3d}
}

// Burnt is what a window holds, in whole seconds of agreed service time.
type Burnt struct {
	Agreed, Downtime int64
}

// burnt is what a window holds that ends at a time. What was before the agreement counted is not in it; what was before
// the running period is.
func (t Terms) burnt(down []Interval, window time.Duration, at time.Time) Burnt {
	span := Interval{Start: later(at.Add(-window), t.From), End: at}
	return Burnt{Agreed: t.seconds(span, []Interval{span}), Downtime: t.seconds(span, down)}
}

// BurnRate is the downtime's share of a window over the share that the target allows: at 1 the budget lasts exactly
// for the period. It is false where the window has no agreed time, and where there is no error budget.
func (t Terms) BurnRate(b Burnt) (float64, bool) {
	if b.Agreed <= 0 || t.Target == 0 || t.Target >= Whole {
		return 0, false
	}
	return float64(b.Downtime) / float64(b.Agreed) * float64(Whole) / float64(Whole-t.Target), true
}

// most of a window that may be down before a pair fires whatever the target is, in tenths: 0.9 / (1 − target) is the
// cap of the factor, without which targets below some 90 % could never fire.
const mostDown = 9

// Factor is the burn rate of the long window above which a pair fires: the share of the budget × agreed time of the
// period / agreed time of the window, at most 0.9 / (1 − target). For 30 days around the clock they are 14.4, 6 and 1.
// It is false where there is none: see BurnRate.
func (t Terms) Factor(p BurnPair, long Burnt, s Sums) (float64, bool) {
	if long.Agreed <= 0 || t.Target == 0 || t.Target >= Whole {
		return 0, false
	}
	allowed := float64(Whole-t.Target) / float64(Whole)
	return min(float64(p.share)/100*float64(s.Whole)/float64(long.Agreed), mostDown/10./allowed), true
}

// fires reports whether the burn rates of both windows are above the pair's factor. The products stay below 2⁶³ for
// periods of up to 366 days.
func (t Terms) fires(p BurnPair, long, short Burnt, whole int64) bool {
	if long.Agreed <= 0 || short.Agreed <= 0 || t.Target == 0 || t.Target >= Whole {
		return false
	}
	const percent = 100
	lost := int64(Whole - t.Target)
	above := func(b Burnt) bool {
		if b.Downtime*10 > mostDown*b.Agreed {
			return true
		}
		// downtime/agreed × million/lost > share/100 × whole/long.Agreed
		return b.Downtime*percent*int64(Whole)*long.Agreed > p.share*whole*lost*b.Agreed
	}
	if long.Downtime*10 <= mostDown*long.Agreed && long.Downtime*percent*int64(Whole) <= p.share*whole*lost {
		return false // as above, where the window's own agreed time cancels out
	}
	return above(short)
}
