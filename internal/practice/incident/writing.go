package incident

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// firstCountInterval is the least time between two writes of nothing but counts; it grows with the age of the
	// incident, up to lastCountInterval.
	firstCountInterval = time.Minute
	lastCountInterval  = time.Hour
	countIntervalShare = 5
)

// WorthWriting reports whether a reader would act on what changed, and if not yet, when it will be worth it. Counts
// are written once a minute at most and then ever more rarely: a pod that crashes every ten seconds for a day is some
// fifty writes, not 8,640. Of a resolved incident they are not written at all.
func WorthWriting(before, after Detected, resolved bool, now time.Time) (worth bool, next time.Time) {
	if matters(before, after) {
		return true, time.Time{}
	}
	if resolved || !countsChanged(before, after) {
		return false, time.Time{}
	}
	due := lastWritten(before.Signals).Add(countInterval(before, now))
	if !due.After(now) {
		return true, time.Time{}
	}
	return false, due
}

// matters reports whether what changed is more than counts and the time when they were seen.
func matters(before, after Detected) bool {
	a, b := before, after
	a.Signals, b.Signals = withoutCounts(before.Signals), withoutCounts(after.Signals)
	// It only matters once the signals are clear, and then they have changed.
	a.RecoveryHoldSeconds, b.RecoveryHoldSeconds = 0, 0
	return !equality.Semantic.DeepEqual(a, b)
}

func withoutCounts(signals []v1alpha1.Signal) []v1alpha1.Signal {
	out := make([]v1alpha1.Signal, 0, len(signals))
	for _, s := range signals {
		out = append(out, v1alpha1.Signal{
			Reason: s.Reason, Container: s.Container, Alert: s.Alert, Since: s.Since, ClearedAt: s.ClearedAt,
		})
	}
	return out
}

// countsChanged leaves aside when signals were last seen: that they still are is nothing new.
func countsChanged(before, after Detected) bool {
	return !slices.EqualFunc(before.Signals, after.Signals, func(a, b v1alpha1.Signal) bool {
		a.LastSeen = b.LastSeen
		return equality.Semantic.DeepEqual(a, b)
	})
}

// lastWritten is when the counts were: signals are written with the time when they were last seen.
func lastWritten(signals []v1alpha1.Signal) time.Time {
	var last time.Time
	for _, s := range signals {
		if s.ClearedAt == nil {
			last = later(last, s.LastSeen.Time)
		}
	}
	return last
}

func countInterval(d Detected, now time.Time) time.Duration {
	if d.DetectedAt == nil {
		return firstCountInterval
	}
	return CountInterval(now.Sub(d.DetectedAt.Time))
}

// CountInterval is the least time between two writes of nothing but a count, for an incident of that age: a minute, and
// ever longer, up to an hour.
func CountInterval(age time.Duration) time.Duration {
	return min(max(age/countIntervalShare, firstCountInterval), lastCountInterval)
}
