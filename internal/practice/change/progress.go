package change

import (
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// defaultProgressDeadline is within what time a rollout must make progress whose controller has no deadline of its
	// own: that of a Deployment, by the defaults of apps/v1.
	defaultProgressDeadline = 600 * time.Second
	// progressAtMostEvery is how often progress is recorded.
	progressAtMostEvery = time.Minute
)

// stalled says whether the rollout of a StatefulSet or DaemonSet has made no progress for too long, and records how far
// it has come: nothing in the workload's own status tells since when. More updated pods are progress, and as many with
// more of all pods ready than ever before; a crash loop's coming and going is none. What is held back, scaled to zero or
// not seen by its controller yet does not count.
func (l *life) stalled(im *v1alpha1.Implementation, w *configuration.Workload) bool {
	switch {
	case w.Key.Kind != configuration.KindStatefulSet && w.Key.Kind != configuration.KindDaemonSet:
		return false
	case w.Hold.Held(), w.Desired == 0, w.ObservedGeneration < w.Generation, w.Deleting:
		im.Progress = nil
		return false
	}
	old := im.Progress
	if old != nil && w.CreatedAt.After(old.At.Time) {
		old = nil // of the workload that had its name before
	}
	further := old == nil || w.Updated > old.Updated || w.Updated == old.Updated && w.Ready > old.Ready
	switch {
	case further && old != nil && l.now.Before(old.At.Add(progressAtMostEvery)):
		l.wake.add(old.At.Add(progressAtMostEvery))
		return false
	case further:
		im.Progress = &v1alpha1.RolloutProgress{Updated: max(w.Updated, 0), Ready: max(w.Ready, 0), At: *ptrTime(l.now)}
	}
	end := im.Progress.At.Add(l.progressDeadline())
	l.wake.add(end)
	return !l.now.Before(end)
}

func (l *life) progressDeadline() time.Duration {
	if b := l.Change.Spec.Backout; b != nil && b.ProgressDeadlineSeconds > 0 {
		return time.Duration(b.ProgressDeadlineSeconds) * time.Second
	}
	return defaultProgressDeadline
}
