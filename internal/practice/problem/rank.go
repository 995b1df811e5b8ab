package problem

import (
	"cmp"
	"slices"
	"time"
)

// Weight of a Problem in the ranking.
type Weight struct {
	// Name of the Problem, with its namespace; it breaks ties.
	Name string
	// DowntimeSeconds that its incidents caused in the window, those that are over, and how often it failed.
	DowntimeSeconds int64
	Failures        int
}

// WeightOf weighs the incidents of a Problem.
func WeightOf(name string, incidents []Incident, rules Rules, now time.Time) Weight {
	w := Weight{Name: name}
	from := now.Add(-rules.RankWindow)
	for _, i := range incidents {
		w.Failures += i.failuresSince(from)
		end := i.EndedAt
		if end.IsZero() {
			// What goes on counts when it is over: a figure that grows by itself would be written by itself.
			continue
		}
		begin := i.StartedAt
		if begin.Before(from) {
			begin = from
		}
		w.DowntimeSeconds += int64(max(end.Sub(begin), 0) / time.Second)
	}
	return w
}

// Rank gives each Problem its place, 1 being the worst: by downtime caused, then by how often it failed. That is the
// order of a Pareto analysis: the first few cause most of the harm.
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
		ranks[w.Name] = bounded(place + 1)
	}
	return ranks
}
