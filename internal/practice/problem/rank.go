package problem

import (
	"cmp"
	"slices"
	"time"
)

// LastRank is the place of all that have none of their own: a failure more may write to so many Problems, and no more.
const LastRank = 51

// Weight of a Problem in the ranking.
type Weight struct {
	// Name of the Problem; it breaks ties.
	Name string
	// DowntimeSeconds that its incidents caused in the window, those that are over, and how often it failed.
	DowntimeSeconds int64
	Failures        int
}

// WeightOf weighs the incidents of a Problem. An incident counts, as a whole, while its end is in the window: a figure
// that melted second by second would be written second by second.
func WeightOf(name string, incidents []Incident, rules Rules, now time.Time) Weight {
	w := Weight{Name: name}
	from := now.Add(-rules.RankWindow)
	var down []Incident
	for _, i := range incidents {
		w.Failures += i.failuresSince(from)
		// What goes on counts when it is over.
		if !i.EndedAt.IsZero() && !i.EndedAt.Before(from) {
			down = append(down, i)
		}
	}
	w.DowntimeSeconds = downtime(down)
	return w
}

// downtime of incidents that are over and that were outages, each second once, in seconds.
func downtime(incidents []Incident) int64 {
	sorted := slices.SortedFunc(slices.Values(incidents), func(a, b Incident) int { return a.StartedAt.Compare(b.StartedAt) })
	var sum time.Duration
	var until time.Time
	for _, i := range sorted {
		if !i.Outage || i.EndedAt.IsZero() {
			continue
		}
		from := i.StartedAt
		if from.Before(until) {
			from = until
		}
		if i.EndedAt.After(from) {
			sum += i.EndedAt.Sub(from)
			until = i.EndedAt
		}
	}
	return int64(sum / time.Second)
}

// Rank gives each Problem its place, 1 being the worst: by downtime caused, then by how often it failed. That is the
// order of a Pareto analysis: the first few cause most of the harm. From the 51st on all have LastRank.
func Rank(weights []Weight) map[string]int32 {
	sorted := slices.Clone(weights)
	slices.SortFunc(sorted, func(a, b Weight) int {
		return cmp.Or(
			cmp.Compare(b.DowntimeSeconds, a.DowntimeSeconds),
			cmp.Compare(b.Failures, a.Failures),
			cmp.Compare(a.Name, b.Name),
		)
	})
	ranks := make(map[string]int32, len(sorted))
	for place, w := range sorted {
		ranks[w.Name] = min(bounded(place+1), LastRank)
	}
	return ranks
}
