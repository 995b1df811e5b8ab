package change

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Bounds of what ChangePolicy.status.wouldDeny tells.
const (
	// RefusalDays are the days that it is about, today included.
	RefusalDays = 7
	// maxRefusedWorkloads are named, those last concerned first; maxRefusalReasons are counted.
	maxRefusedWorkloads = 50
	maxRefusalReasons   = 20
	maxRefusedName      = 400
	dayFormat           = "2006-01-02"
)

// Refusals are requests that went in and that Enforce would have refused, by day (UTC, as 2006-01-02). The zero value
// is none.
type Refusals struct {
	days map[string]*refusalDay
}

type refusalDay struct {
	count     int32
	workloads map[string]struct{}
	more      bool
	reasons   map[CauseType]int32
}

// Add counts one request, with each of its reasons once.
func (r *Refusals) Add(workload configuration.Key, causes []Cause, at time.Time) {
	if r.days == nil {
		r.days = map[string]*refusalDay{}
	}
	date := at.UTC().Format(dayFormat)
	day := r.days[date]
	if day == nil {
		if len(r.days) > RefusalDays {
			return // a clock that runs wild
		}
		day = &refusalDay{workloads: map[string]struct{}{}, reasons: map[CauseType]int32{}}
		r.days[date] = day
	}
	day.count = plus(day.count, 1)
	name := refusedName(workload)
	if _, known := day.workloads[name]; !known && len(day.workloads) >= maxRefusedWorkloads {
		day.more = true
	} else {
		day.workloads[name] = struct{}{}
	}
	for i := range causes {
		t := causes[i].Type
		if slices.ContainsFunc(causes[:i], func(c Cause) bool { return c.Type == t }) {
			continue
		}
		if _, known := day.reasons[t]; known || len(day.reasons) < maxRefusalReasons {
			day.reasons[t] = plus(day.reasons[t], 1)
		}
	}
}

// Count of requests.
func (r *Refusals) Count() int32 {
	var sum int32
	for _, day := range r.days {
		sum = plus(sum, day.count)
	}
	return sum
}

// Merge adds others to these.
func (r *Refusals) Merge(others *Refusals) {
	for date, other := range others.days {
		if r.days == nil {
			r.days = map[string]*refusalDay{}
		}
		day := r.days[date]
		if day == nil {
			r.days[date] = other
			continue
		}
		day.count, day.more = plus(day.count, other.count), day.more || other.more
		for name := range other.workloads {
			if len(day.workloads) < maxRefusedWorkloads {
				day.workloads[name] = struct{}{}
			}
		}
		for t, n := range other.reasons {
			day.reasons[t] = plus(day.reasons[t], n)
		}
	}
}

// NextWouldDeny is what a status tells once these refusals are added to it and what is older than seven days is left
// out: nil where nothing is left. It returns the status itself where nothing changed.
func NextWouldDeny(current *v1alpha1.WouldDeny, fresh *Refusals, now time.Time) *v1alpha1.WouldDeny {
	oldest := now.UTC().AddDate(0, 0, 1-RefusalDays).Format(dayFormat)
	days := map[string]*v1alpha1.WouldDenyDay{}
	changed := fresh.Count() > 0
	if current != nil {
		for i := range current.Days {
			if current.Days[i].Date < oldest {
				changed = true
				continue
			}
			days[current.Days[i].Date] = current.Days[i].DeepCopy()
		}
	}
	if !changed {
		return current
	}
	more := current != nil && current.MoreWorkloads && len(days) > 0
	for date, day := range fresh.days {
		if date < oldest {
			continue
		}
		if days[date] == nil {
			days[date] = &v1alpha1.WouldDenyDay{Date: date}
		}
		more = day.addTo(days[date]) || more
	}
	if len(days) == 0 {
		return nil
	}
	return summed(days, more)
}

// addTo counts a day's refusals on what is told of the day, and reports whether workloads are left out.
func (d *refusalDay) addTo(day *v1alpha1.WouldDenyDay) (more bool) {
	day.Count = plus(day.Count, d.count)
	// The new ones first: they were concerned last.
	names := slices.Sorted(maps.Keys(d.workloads))
	for _, name := range day.Workloads {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	more = d.more || len(names) > maxRefusedWorkloads
	day.Workloads = names[:min(len(names), maxRefusedWorkloads)]
	counts := map[string]int32{}
	for _, r := range day.Reasons {
		counts[r.Reason] = plus(counts[r.Reason], r.Count)
	}
	for t, n := range d.reasons {
		counts[string(t)] = plus(counts[string(t)], n)
	}
	day.Reasons = reasonsOf(counts)
	return more
}

// summed is what the days come to, the newest first. A workload is named on the last day on which it was concerned.
func summed(days map[string]*v1alpha1.WouldDenyDay, more bool) *v1alpha1.WouldDeny {
	out := &v1alpha1.WouldDeny{}
	counts := map[string]int32{}
	dates := slices.Sorted(maps.Keys(days))
	slices.Reverse(dates)
	seen := map[string]struct{}{}
	for _, date := range dates[:min(len(dates), RefusalDays)] {
		day := days[date]
		out.Count = plus(out.Count, day.Count)
		for _, r := range day.Reasons {
			counts[r.Reason] = plus(counts[r.Reason], r.Count)
		}
		day.Workloads = slices.DeleteFunc(day.Workloads, func(name string) bool {
			_, dup := seen[name]
			if !dup && len(seen) >= maxRefusedWorkloads {
				more = true
				return true
			}
			seen[name] = struct{}{}
			return dup
		})
		if len(day.Workloads) == 0 {
			day.Workloads = nil
		}
		out.Days = append(out.Days, *day)
	}
	out.Workloads, out.MoreWorkloads = slices.Sorted(maps.Keys(seen)), more
	out.Reasons = reasonsOf(counts)
	return out
}

// reasonsOf are the most frequent ones, in that order.
func reasonsOf(counts map[string]int32) []v1alpha1.ReasonCount {
	out := make([]v1alpha1.ReasonCount, 0, len(counts))
	for reason, n := range counts {
		out = append(out, v1alpha1.ReasonCount{Reason: reason, Count: n})
	}
	slices.SortFunc(out, func(a, b v1alpha1.ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	if len(out) == 0 {
		return nil
	}
	return out[:min(len(out), maxRefusalReasons)]
}

// RefusalsEnd is when the oldest day that is told drops out; zero where none is told.
func RefusalsEnd(w *v1alpha1.WouldDeny) time.Time {
	if w == nil || len(w.Days) == 0 {
		return time.Time{}
	}
	oldest, err := time.Parse(dayFormat, w.Days[len(w.Days)-1].Date)
	if err != nil {
		return time.Time{}
	}
	return oldest.AddDate(0, 0, RefusalDays)
}

func refusedName(key configuration.Key) string {
	return brief(plain(key.Kind+"/"+key.Namespace+"/"+key.Name), maxRefusedName)
}

// plus does not overflow.
func plus(a, b int32) int32 {
	if a > math.MaxInt32-b {
		return math.MaxInt32
	}
	return a + b
}
