package incident

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// scheduling: no node takes the pod. A pod that waits for a scheduling gate is not meant to run yet.
func (l *look) scheduling(pod *Pod) {
	c := pod.Scheduled
	if !c.False() || c.Reason != corev1.PodReasonUnschedulable {
		return
	}
	since := l.notFuture(cmp.Or(c.Since, pod.CreatedAt).Time())
	if l.over(l.seen(since), l.settings.Unschedulable) {
		l.add(Finding{Reason: v1alpha1.SignalUnschedulable, Since: since, LastAt: l.now, Message: c.Message}, pod)
	}
}

// sandbox: the pod has a node, and waits there for its volumes or its network. Only Warning events tell which; both
// are looked for when the grace time is over.
func (l *look) sandbox(pod *Pod) {
	if pod.Phase != corev1.PodPending || !pod.Sandbox.False() || pod.Scheduled.False() {
		return
	}
	since := l.notFuture(cmp.Or(pod.Sandbox.Since, pod.StartedAt, pod.CreatedAt).Time())
	if !l.over(l.seen(since), l.settings.Sandbox) {
		return
	}
	reason, message, told := sandboxCause(l.Warnings, pod.Name)
	if !told {
		l.wantWarnings = append(l.wantWarnings, pod.Name)
	}
	l.add(Finding{Reason: reason, Since: since, LastAt: l.now, Message: message}, pod)
}

func sandboxCause(warnings []Warning, pod string) (reason v1alpha1.SignalReason, message string, told bool) {
	reason, message = v1alpha1.SignalSandboxFailed, "cause unknown: no Warning event of the pod tells it"
	var at time.Time
	for _, w := range warnings {
		if w.Pod != pod || w.At.Before(at) {
			continue
		}
		switch w.Reason {
		case "FailedMount", "FailedAttachVolume", "FailedMapVolume", "VolumeResizeFailed":
			reason = v1alpha1.SignalVolumeUnavailable
		case "FailedCreatePodSandBox", "FailedPodSandBoxStatus", "NetworkNotReady":
			reason = v1alpha1.SignalSandboxFailed
		default:
			continue
		}
		at, message, told = w.At, clip(w.Reason+": "+w.Message, maxContainerTexts), true
	}
	return reason, message, told
}

// Reasons for which a container waits, or ended before it ran.
const (
	stateImage  = "image"
	stateConfig = "config"
	stateStart  = "start"
)

func stateOf(reason string) string {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
		"RegistryUnavailable", "SignatureValidationFailed":
		return stateImage
	case "CreateContainerConfigError", "CreateContainerError":
		return stateConfig
	case "RunContainerError", "StartError", "ContainerCannotRun", "PostStartHookError", "PreStartHookError":
		return stateStart
	default:
		return ""
	}
}

// failing is the state of a container that cannot begin to run, and what is said of it. While it is backed off after
// a failed start, only its last run tells.
func (c *Container) failing() (state, text string) {
	if state = stateOf(c.Waiting); state != "" {
		return state, c.Waiting + ": " + c.WaitingMessage
	}
	if c.Running() {
		return "", ""
	}
	run := c.LatestRun()
	if state = stateOf(run.Reason); state != "" && (c.Ended.Over || c.Waiting == reasonCrashLoopBackOff) {
		return state, run.describe()
	}
	return "", ""
}

// waiting: a container cannot begin to run.
func (l *look) waiting(pod *Pod) {
	var initEnd Second
	for i := range pod.Containers {
		c := &pod.Containers[i]
		if c.Kind == InitContainer {
			initEnd = max(initEnd, c.Ended.Finished)
		}
		state, text := c.failing()
		if state == "" || pod.ownedByJob() && c.Ended.Over {
			continue
		}
		least := max(pod.StartedAt, pod.CreatedAt, c.LatestRun().Finished)
		if pod.Sandbox.True() {
			least = max(least, pod.Sandbox.Since)
		}
		if c.Kind == AppContainer {
			least = max(least, initEnd)
		}
		since := l.firstSeen(FailingKey{pod.UID, c.Name, state}, least.Time())
		f := Finding{Container: c.Name, Since: since, LastAt: l.now, Message: strings.TrimSuffix(text, ": ")}
		var grace time.Duration
		f.Reason, grace = l.waitingRule(state)
		if c.Kind == InitContainer {
			f.Reason = v1alpha1.SignalInitFailed
		}
		if run := c.LatestRun(); run.Over && state == stateStart {
			code := run.ExitCode
			f.ExitCode = &code
		}
		if l.over(since, grace) {
			l.add(f, pod)
		}
	}
}

func (l *look) waitingRule(state string) (v1alpha1.SignalReason, time.Duration) {
	switch state {
	case stateImage:
		return v1alpha1.SignalImagePullFailed, l.settings.ImagePull
	case stateConfig:
		return v1alpha1.SignalConfigInvalid, l.settings.Config
	default:
		return v1alpha1.SignalStartFailed, l.settings.Start
	}
}

// evictionMargin is how much longer a pod on a lost node may be not ready: it is evicted when the five minutes are over for
// which pods tolerate that by default (tolerationSeconds), and then another takes its place.
const evictionMargin = time.Minute

// notReady: all containers run, and have for as long as the grace time, and the pod is not ready.
func (l *look) notReady(pod *Pod) {
	if pod.Phase != corev1.PodRunning || pod.Ready.True() {
		return
	}
	since := max(pod.Ready.Since, pod.StartedAt, pod.CreatedAt)
	if pod.Ready.Since.Known() {
		since = pod.Ready.Since
	}
	var unready []string
	runs := false
	for i := range pod.Containers {
		c := &pod.Containers[i]
		if c.Kind == InitContainer {
			continue
		}
		if !c.Running() {
			return
		}
		runs = true
		since = max(since, c.RunningSince)
		if !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	grace := l.rollout.readyWithin(pod, l.settings)
	if !l.LostNodes[pod.Node].IsZero() {
		grace += evictionMargin
	}
	if !runs || !l.over(l.seen(since.Time()), grace) {
		return
	}
	message := "its containers run, the pod is not ready"
	if len(unready) > 0 {
		message = "not ready: " + clip(strings.Join(unready, ", "), maxPodMessage)
	}
	l.add(Finding{Reason: v1alpha1.SignalNotReady, Since: since.Time(), LastAt: l.now, Message: message}, pod)
}

// terminating: the pod does not go away. The deletion time has its grace period in it.
func (l *look) terminating(pod *Pod) {
	since := pod.DeletedAt.Time()
	if !l.over(l.counts(TimeKey{pod.DeletedAt, true}), l.settings.Terminating) {
		return
	}
	f := Finding{Reason: v1alpha1.SignalStuckTerminating, Since: since, LastAt: l.now}
	if pod.Node != "" {
		f.Message = "on node " + pod.Node
	}
	l.add(f, pod)
}

// failedPods: pods that ended for good, in something that does not expect them to. Those of Jobs are retried.
func (l *look) failedPods() {
	var rejected, ended, evicted []*Pod
	for _, pod := range l.Pods {
		if l.standingOf(pod) != failed || pod.ownedByJob() {
			continue
		}
		switch {
		case pod.Reason == "Evicted":
			evicted = append(evicted, pod)
		case pod.rejected():
			rejected = append(rejected, pod)
		default:
			ended = append(ended, pod)
		}
	}
	l.tooManyFailed(v1alpha1.SignalPodRejected, rejected)
	l.tooManyFailed(v1alpha1.SignalPodFailed, ended)
	for _, pod := range evicted {
		if l.isRecent(pod) && l.short() {
			at := l.notFuture(pod.failedAt().Time())
			l.add(Finding{
				Reason: v1alpha1.SignalEvicted, Since: at, LastAt: at, Message: l.failureText(pod),
			}, pod)
		}
	}
}

// rejected reports whether the kubelet refused the pod, so that no container ever was.
func (p *Pod) rejected() bool {
	return p.Reason != "" && !slices.ContainsFunc(p.Containers, func(c Container) bool {
		return c.Running() || c.Ended.Over || c.Last.Over || c.Restarts > 0
	})
}

// failedAt is when the pod failed, as well as its status tells.
func (p *Pod) failedAt() Second {
	at := Second(0)
	for i := range p.Containers {
		at = max(at, p.Containers[i].Ended.Finished)
	}
	if at.Known() {
		return at
	}
	if p.Ready.False() {
		at = p.Ready.Since
	}
	return max(at, p.StartedAt, p.CreatedAt)
}

// isRecent bounds how long what is left of a failed pod says something about the workload. What is left of a pod
// that is its own workload is all there is to say.
func (l *look) isRecent(pod *Pod) bool {
	return l.Key.Kind == KindPod || l.now.Sub(l.notFuture(pod.failedAt().Time())) < recentFailure
}

// short reports whether the workload is known to have fewer ready pods than it should.
func (l *look) short() bool {
	switch {
	case l.Key.Kind == KindPod:
		return true
	case l.Workload == nil:
		return false
	default:
		return l.Workload.Ready < l.Workload.Desired
	}
}

// tooManyFailed: many at once, or a shortage that lasts.
func (l *look) tooManyFailed(reason v1alpha1.SignalReason, pods []*Pod) {
	var recent []time.Time
	lasting := false
	for _, pod := range pods {
		at := l.notFuture(pod.failedAt().Time())
		if l.now.Sub(at) < l.settings.FailedPodsWindow {
			recent = append(recent, at)
		}
		if !l.isRecent(pod) || !l.short() {
			continue
		}
		if l.Key.Kind == KindPod || l.over(at, l.settings.FailedPodsWindow) {
			lasting = true
		}
	}
	if len(recent) < int(l.settings.FailedPods) && !lasting {
		return
	}
	l.fewerFailed(recent)
	for _, pod := range pods {
		if !l.isRecent(pod) {
			continue
		}
		at := l.notFuture(pod.failedAt().Time())
		f := Finding{Reason: reason, Since: at, LastAt: at, Message: l.failureText(pod)}
		if run, name := pod.failedRun(); run.Over {
			code := run.ExitCode
			f.ExitCode, f.Message = &code, clip("container "+name+" "+run.describe(), maxContainerTexts)
		}
		l.add(f, pod)
	}
}

// fewerFailed asks for another look when so few of the failures are recent that they are none: nothing else may tell.
func (l *look) fewerFailed(recent []time.Time) {
	needed := int(l.settings.FailedPods)
	if needed < 1 || len(recent) < needed {
		return
	}
	slices.SortFunc(recent, func(a, b time.Time) int { return b.Compare(a) })
	l.later(recent[needed-1].Add(l.settings.FailedPodsWindow))
}

func (l *look) failureText(pod *Pod) string {
	text := cmp.Or(pod.Reason, "Failed")
	if pod.Message != "" {
		text += ": " + pod.Message
	}
	return fmt.Sprintf("%s (node %s)", text, cmp.Or(pod.Node, "none"))
}

// failedRun is the run by which a pod failed: the first that ended with an error.
func (p *Pod) failedRun() (run Run, container string) {
	for i := range p.Containers {
		c := &p.Containers[i]
		if c.Ended.Over && c.Ended.ExitCode != 0 && (!run.Over || c.Ended.Finished < run.Finished) {
			run, container = c.Ended, c.Name
		}
	}
	return run, container
}
