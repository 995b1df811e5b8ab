package configuration

import (
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Runs says how the runs of a CronJob went that were made from the template of a baseline: when the last that ended well
// did, and when the last that failed; zero: none did, as far as is known. A run goes on with the template that it was made
// from while the CronJob gets another, and may end long afterwards: it says nothing of that one.
//
// Jobs are those that are there; earlier are the baselines before this one. Of Jobs that are gone (their history limits,
// ttlSecondsAfterFinished) the CronJob's own status tells, and only of runs that were due after the template was in. Two
// that went on at once and are both gone cannot be told apart: the success of one is taken for that of the later.
func Runs(w *Workload, jobs []*Workload, b *v1alpha1.Baseline, earlier []v1alpha1.Baseline) (succeeded, failed time.Time) {
	known := false
	var others time.Time
	for _, job := range jobs {
		switch {
		case job.Owner == nil || job.Owner.UID != w.UID:
		case job.madeFrom(b, earlier):
			known = true
			succeeded, failed = latest(succeeded, job.CompletedAt), latest(failed, job.FailedAt)
		default:
			others = latest(others, job.CompletedAt)
		}
	}
	switch {
	case known || w.Active > 0 || !w.LastScheduled.After(b.From.Time):
		return succeeded, failed
	case w.LastSuccessful.Before(w.LastScheduled):
		return time.Time{}, w.LastScheduled
	case !w.LastSuccessful.After(others):
		return time.Time{}, time.Time{}
	}
	return w.LastSuccessful, time.Time{}
}

// madeFrom reports whether a Job has the template of a baseline. What has neither that nor an earlier one was altered on its
// way, by a webhook that adds something to Jobs: then the time tells.
func (w *Workload) madeFrom(b *v1alpha1.Baseline, earlier []v1alpha1.Baseline) bool {
	if w.Template.IsBaseline(*b, nil) {
		return true
	}
	return w.CreatedAt.After(b.From.Time) &&
		!slices.ContainsFunc(earlier, func(e v1alpha1.Baseline) bool { return w.Template.IsBaseline(e, nil) })
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
