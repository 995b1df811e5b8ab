package incident

import (
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Settings are grace times and thresholds. They come from the operator's defaults and a Service's spec.detection.
type Settings struct {
	// Ignore lists reasons that are no signal.
	Ignore []v1alpha1.SignalReason
	// OOM is how long a container may stay down after it ran out of memory.
	OOM time.Duration
	// ImagePull is how long an image may fail to be pulled.
	ImagePull time.Duration
	// Config is how long a container may fail to be created.
	Config time.Duration
	// Start is how long a created container may fail to start.
	Start time.Duration
	// Unschedulable is how long a pod may wait for a node, which autoscalers need.
	Unschedulable time.Duration
	// Sandbox is how long a pod may wait for its volumes and network.
	Sandbox time.Duration
	// NotReady is how long a running pod may be unready while nothing is rolled out.
	NotReady time.Duration
	// CrashLoopRestarts is how many restarts within CrashLoopWindow are a crash loop.
	CrashLoopRestarts int32
	CrashLoopWindow   time.Duration
	// SlowLoopRestarts is how many restarts within SlowLoopWindow are one; two kills for lack of memory within
	// it are a signal as well.
	SlowLoopRestarts int32
	SlowLoopWindow   time.Duration
	// FailedPods is how many pods must fail within FailedPodsWindow, which is also how long a workload may be
	// short of pods after fewer failed.
	FailedPods       int32
	FailedPodsWindow time.Duration
	// Progress is how long a rollout may stand still where the workload sets no deadline.
	Progress time.Duration
	// ReplicasMissing is how long pods may be missing that nobody creates.
	ReplicasMissing time.Duration
	// NoReplicas is how long a live service's workload may be scaled to zero.
	NoReplicas time.Duration
	// ScheduleMissed is how late a CronJob may be.
	ScheduleMissed time.Duration
	// JobOverdue is how long a Job may run; 0 is without limit.
	JobOverdue time.Duration
	// Terminating is how long a pod may stay beyond its grace period.
	Terminating time.Duration
	// NodeLost is how long a node may be silent.
	NodeLost time.Duration
}

// DefaultSettings are those of the documentation.
func DefaultSettings() Settings {
	return Settings{
		OOM:               30 * time.Second,
		ImagePull:         30 * time.Second,
		Config:            10 * time.Second,
		Start:             10 * time.Second,
		Unschedulable:     2 * time.Minute,
		Sandbox:           2 * time.Minute,
		NotReady:          5 * time.Minute,
		CrashLoopRestarts: 3,
		CrashLoopWindow:   10 * time.Minute,
		SlowLoopRestarts:  5,
		SlowLoopWindow:    24 * time.Hour,
		FailedPods:        3,
		FailedPodsWindow:  2 * time.Minute,
		Progress:          10 * time.Minute,
		ReplicasMissing:   time.Minute,
		NoReplicas:        time.Minute,
		ScheduleMissed:    5 * time.Minute,
		Terminating:       5 * time.Minute,
		NodeLost:          time.Minute,
	}
}

// With is the settings with what a Service says; nil says nothing.
func (s Settings) With(d *v1alpha1.Detection) Settings {
	if d == nil {
		return s
	}
	s.Ignore = append(slices.Clone(s.Ignore), d.Ignore...)
	seconds := func(field *time.Duration, value int32) {
		if value > 0 {
			*field = time.Duration(value) * time.Second
		}
	}
	count := func(field *int32, value int32) {
		if value > 0 {
			*field = value
		}
	}
	seconds(&s.OOM, d.OOMSeconds)
	seconds(&s.ImagePull, d.ImagePullSeconds)
	seconds(&s.Config, d.ConfigSeconds)
	seconds(&s.Start, d.StartSeconds)
	seconds(&s.Unschedulable, d.UnschedulableSeconds)
	seconds(&s.Sandbox, d.SandboxSeconds)
	seconds(&s.NotReady, d.NotReadySeconds)
	seconds(&s.Progress, d.ProgressSeconds)
	seconds(&s.ReplicasMissing, d.ReplicasMissingSeconds)
	seconds(&s.NoReplicas, d.NoReplicasSeconds)
	seconds(&s.ScheduleMissed, d.ScheduleMissedSeconds)
	seconds(&s.JobOverdue, d.JobOverdueSeconds)
	seconds(&s.Terminating, d.TerminatingSeconds)
	count(&s.CrashLoopRestarts, d.CrashLoopRestarts)
	count(&s.SlowLoopRestarts, d.SlowLoopRestarts)
	count(&s.FailedPods, d.FailedPods)
	return s
}

func (s *Settings) ignores(reason v1alpha1.SignalReason) bool {
	return slices.Contains(s.Ignore, reason)
}
