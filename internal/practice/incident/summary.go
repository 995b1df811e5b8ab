package incident

import (
	"fmt"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const maxSummary = 512

// summary says what fails now, by the most telling signal; of what is over, what failed last. The title, which is
// written once, says what was seen first.
func (e *evaluation) summary() string {
	key, ok := KeyOf(e.incident)
	if signals := e.Status.Signals; ok && len(signals) > 0 && !StandsForOthers(key) {
		return Summary(key, told(signals, e.Status.Reason))
	}
	return e.incident.Spec.Title
}

// told is the signal that a summary is about: the first that shows, else the last of those by which it failed last.
func told(signals []v1alpha1.Signal, reason v1alpha1.SignalReason) v1alpha1.Signal {
	chosen := &signals[0]
	if chosen.ClearedAt == nil {
		return *chosen
	}
	for i := range signals {
		s := &signals[i]
		if s.Reason == reason && s.ClearedAt != nil && (chosen.Reason != reason || chosen.ClearedAt.Before(s.ClearedAt)) {
			chosen = s
		}
	}
	return *chosen
}

// Summary says in one line what a signal tells, on how many pods, and why, as far as that is known.
func Summary(key configuration.Key, s v1alpha1.Signal) string {
	text := Title(key, Finding{
		Reason: s.Reason, Container: s.Container, Alert: s.Alert, ExitCode: s.ExitCode, AffectedPods: s.AffectedPods,
		Message: s.Message,
	})
	if s.Reason == v1alpha1.SignalNodeLost || s.Reason == v1alpha1.SignalAlertFiring {
		return text
	}
	if n := s.AffectedPods; n > 1 {
		text += fmt.Sprintf(", on %d pods", n)
	}
	// A Job need not be named twice.
	message := strings.TrimPrefix(s.Message, key.Kind+" "+key.Name+" failed: ")
	if why := why(s.Reason, message); why != "" {
		text += ": " + why
	}
	return clip(text, maxSummary)
}

// why is the part of a signal's message that a colleague would repeat: without what the title says, and without names of
// pods and times, which change from one moment to the next.
func why(reason v1alpha1.SignalReason, message string) string {
	message = strings.Join(strings.Fields(message), " ")
	switch reason {
	case v1alpha1.SignalOOMKilled, v1alpha1.SignalCrashLooping, v1alpha1.SignalInitFailed, v1alpha1.SignalStartFailed, v1alpha1.SignalConfigInvalid:
		// "exited with code 3 after 1s: panic", "CreateContainerConfigError: secret not found"
		_, message, _ = strings.Cut(message, ": ")
	case v1alpha1.SignalImagePullFailed:
		if _, after, quoted := strings.Cut(message, `image "`); quoted {
			message, _, _ = strings.Cut(after, `"`)
		} else {
			_, message, _ = strings.Cut(message, ": ")
		}
	case v1alpha1.SignalUnschedulable:
		// The scheduler goes on with what preemption would not help.
		message, _, _ = strings.Cut(message, ". ")
	case v1alpha1.SignalReplicasMissing:
		if _, after, forbidden := strings.Cut(message, " is forbidden: "); forbidden {
			message, _, _ = strings.Cut(after, ", requested")
		}
	case v1alpha1.SignalEvicted:
		message = strings.TrimPrefix(message, "Evicted: ")
	case v1alpha1.SignalNotReady, v1alpha1.SignalNoReplicas:
		return ""
	case v1alpha1.SignalVolumeUnavailable, v1alpha1.SignalSandboxFailed, v1alpha1.SignalPodRejected, v1alpha1.SignalPodFailed,
		v1alpha1.SignalJobFailed, v1alpha1.SignalScheduleMissed, v1alpha1.SignalJobOverdue,
		v1alpha1.SignalStuckTerminating, v1alpha1.SignalRolloutStuck, v1alpha1.SignalNodeLost, v1alpha1.SignalAlertFiring:
	}
	return message
}
