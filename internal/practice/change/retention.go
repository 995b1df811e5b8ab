package change

import (
	"cmp"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Retention says how long Changes are kept after they ended, and how many.
type Retention struct {
	// Age after which one goes; 0 is never.
	Age time.Duration
	// PerWorkload is how many that ended are kept of one workload, the newest; 0 is all.
	PerWorkload int
}

// DefaultRetention is 90 days, and 100 of one workload.
func DefaultRetention() Retention { return Retention{Age: 90 * 24 * time.Hour, PerWorkload: 100} }

// EndedAt is when a Change ended, so that nothing can become of it any more but its outcome; zero while it has not. A
// rejected one has ended with its rejection, though an edit would open it again.
func EndedAt(chg *v1alpha1.Change) time.Time {
	s := &chg.Status
	switch s.State {
	case v1alpha1.ChangeClosed, v1alpha1.ChangeCanceled:
		if s.ClosedAt != nil {
			return s.ClosedAt.Time
		}
	case v1alpha1.ChangeRejected:
		var at time.Time
		for i := range s.RejectedDigests {
			if r := &s.RejectedDigests[i]; r.Digest == s.Digest && r.At.After(at) {
				at = r.At.Time
			}
		}
		return at
	case v1alpha1.ChangeAssess, v1alpha1.ChangeAuthorize, v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement, v1alpha1.ChangeReview, "":
	}
	return time.Time{}
}

// Needed says why a Change that has ended cannot go yet, as far as one of its workloads is concerned, whose baselines
// are the newest first; empty: it can. A baseline that came in by it, or that undid it, takes from it whether it went
// well; and a rejection must outlast what would ask for the same again.
func Needed(chg *v1alpha1.Change, key configuration.Key, exists bool, baselines []v1alpha1.Baseline) string {
	for i := range baselines {
		b := &baselines[i]
		if b.Change == chg.Name || recordName(key, b) == chg.Name {
			return "a baseline of " + nameOf(key) + " came in by it"
		}
	}
	if chg.Status.State != v1alpha1.ChangeRejected || !exists {
		return ""
	}
	if len(baselines) == 0 || !baselines[0].From.After(EndedAt(chg)) {
		return "it is rejected, and nothing else went into " + nameOf(key) + " since: whoever retries would have it filed again"
	}
	return ""
}

// Surplus are those of the Changes of one workload that ended, which are more than are kept: the oldest.
func (r Retention) Surplus(ended []*v1alpha1.Change) []*v1alpha1.Change {
	if r.PerWorkload <= 0 || len(ended) <= r.PerWorkload {
		return nil
	}
	sorted := slices.SortedFunc(slices.Values(ended), func(a, b *v1alpha1.Change) int {
		return cmp.Or(EndedAt(a).Compare(EndedAt(b)), cmp.Compare(a.Name, b.Name))
	})
	return sorted[:len(sorted)-r.PerWorkload]
}

// Due says whether a Change has been kept long enough, and else from when it will have been; zero for never.
func (r Retention) Due(chg *v1alpha1.Change, now time.Time) (due bool, at time.Time) {
	ended := EndedAt(chg)
	if ended.IsZero() || r.Age <= 0 {
		return false, time.Time{}
	}
	at = ended.Add(r.Age)
	return !now.Before(at), at
}
