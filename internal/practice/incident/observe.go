package incident

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Observation is one look at a workload, or at a node.
type Observation struct {
	Key configuration.Key
	// Workload is its object; nil where it is of a kind that is not watched, or gone.
	Workload *configuration.Workload
	// Gone: it is known not to exist.
	Gone bool
	// Pods of the workload in any order, those that are being deleted or have ended included.
	Pods []*Pod
	// Jobs of a CronJob.
	Jobs []*configuration.Workload
	// MustRun: a live service claims the workload and does not allow it to be scaled to zero.
	MustRun bool
	// Warnings are the Warning events of pods that were asked for by Result.WantWarnings.
	Warnings []Warning
	// Node that the key names.
	Node *Node
	// LostNodes are those with an open Incident, and since when they are lost.
	LostNodes map[string]time.Time
	// Alerts that were reported about the workload.
	Alerts []Alert
}

// Warning is a Warning event of a pod.
type Warning struct {
	// Kind of what it is about; empty is a pod, and Pod its name.
	Kind                 string
	Pod, Reason, Message string
	At                   time.Time
	Count                int32
}

// Finding is a signal that is there now.
type Finding struct {
	Reason    v1alpha1.SignalReason
	Container string
	// Since when, by the timestamps of what failed. LastAt is when it was last certain: the time of the last
	// crash or failure, or now for what lasts.
	Since, LastAt time.Time
	// Seen is when the operator first saw it, where that is on record; zero is now.
	Seen time.Time
	// Count of restarts, kills or failures; 0 where it is the number of pods.
	Count    int32
	ExitCode *int32
	Message  string
	// Pods that show it, in alphabetical order, and how many they are.
	Pods         []string
	AffectedPods int32
	// CurrentOnly: only pods of the newest template show it. OldOnly: only pods of others.
	CurrentOnly, OldOnly bool
	// OldestPod is when the first of the pods that show it was made; 0 where it is of none.
	OldestPod Second
	// LostNode explains it: all pods that show it are, or were to be, on nodes that are lost, of which this is the
	// first. Empty where that is not so.
	LostNode string
	// Alert that fires, where it is one.
	Alert string
	// Workloads that had pods on the node, where it is about one.
	Workloads int32
	// Hold is how long the workload must be well before it is believed; 0 is the default.
	Hold time.Duration
	// Slow: it is a loop that may pause for hours, as it did for Pause before its last crash.
	Slow  bool
	Pause time.Duration
}

// Wellness is evidence that a workload is well. Its absence is no evidence of the contrary.
type Wellness struct {
	Evident bool
	// Since when, by the timestamps of what is well.
	Since time.Time
	// TemplateSince is since when at least the template was in use by which it is well; 0 where that is not known.
	TemplateSince Second
	// Returned: another template was seen since that one was first.
	Returned bool
}

// Cure is evidence that one reason is gone, whatever else is.
type Cure struct {
	Reason v1alpha1.SignalReason
	// Alert that is over, where the reason is an alert.
	Alert string
	// At is when it ended by the clock of who tells, to be compared with when it began.
	At time.Time
}

// Result of a look.
type Result struct {
	// Findings, the most telling first; at most one for each reason and container.
	Findings []Finding
	Well     Wellness
	// Running is what would be evidence that it is well if it were not for slow loops, which are all that was found: they
	// run between their crashes.
	Running Wellness
	Cures   []Cure
	// RollingOut: not all pods are of the newest template.
	RollingOut bool
	// Gone: the workload does not exist any more, and has not for the time in which it could have been
	// re-created.
	Gone bool
	// NextLook is when something may change without an event; zero: never.
	NextLook time.Time
	// WantWarnings are pods whose Warning events would tell two causes apart; at most 5.
	WantWarnings []string
	// History is what to pass to the next look.
	History History
}

const (
	maxFindings     = 40
	maxFindingPods  = 5
	maxWantWarnings = 5
	recreationGrace = 2 * time.Minute
	recentFailure   = 10 * time.Minute
	// observedGrace is how long a controller may take to see a new generation.
	observedGrace = time.Minute
)

// Observe finds the signals of a workload from one look at it. The order of pods and jobs does not matter.
func Observe(o Observation, settings Settings, history History, now time.Time) Result {
	history = history.setBack(SecondOf(now))
	l := &look{Observation: o, settings: settings, now: now, old: history}
	l.history = History{Began: history.Began, LastLook: SecondOf(now)}
	if !l.history.Began.Known() {
		l.history.Began = SecondOf(now)
	}
	switch {
	case o.Key.Kind == KindNode:
		l.node()
		l.alerts()
	case o.Gone:
		l.gone()
		l.alerts()
	default:
		l.rollout = rolloutOf(l)
		l.template()
		l.pods()
		l.loops()
		l.workload()
		l.jobs()
		l.alerts()
		l.wellness()
	}
	return l.result()
}

// look is the state of one call of Observe.
type look struct {
	Observation
	settings Settings
	now      time.Time
	old      History

	history      History
	rollout      rollout
	findings     []Finding
	cures        []Cure
	well         Wellness
	isGone       bool
	next         time.Time
	wantWarnings []string
}

// later asks for another look at t, unless it is past.
func (l *look) later(t time.Time) {
	if !t.After(l.now) {
		return
	}
	if l.next.IsZero() || t.Before(l.next) {
		l.next = t
	}
}

// over reports whether the grace time since t is over, and otherwise asks for another look when it will be.
func (l *look) over(t time.Time, grace time.Duration) bool {
	end := t.Add(grace)
	if end.After(l.now) {
		l.later(end)
		return false
	}
	return true
}

// add records a finding, of a pod where it is of one. What several pods show becomes one finding, which tells of the
// latest of them.
func (l *look) add(f Finding, pod *Pod) {
	if l.settings.ignores(f.Reason) {
		return
	}
	f.Since, f.LastAt = l.notFuture(f.Since), l.notFuture(f.LastAt)
	if pod != nil {
		f.Pods, f.AffectedPods, f.OldestPod = []string{pod.Name}, 1, pod.CreatedAt
		f.CurrentOnly, f.OldOnly = l.rollout.isCurrent(pod), l.rollout.isOld(pod)
	}
	f.LostNode = l.lostNode(f.Reason, pod)
	for i := range l.findings {
		if l.findings[i].Reason == f.Reason && l.findings[i].Container == f.Container && l.findings[i].Alert == f.Alert {
			l.findings[i].LostNode = l.firstLost(l.findings[i].LostNode, f.LostNode)
			l.findings[i].join(f)
			return
		}
	}
	if len(l.findings) < maxFindings {
		l.findings = append(l.findings, f)
	}
}

// lostNode is the lost node that a pod is on; for what shows on no node, the first on which the workload has a pod.
func (l *look) lostNode(reason v1alpha1.SignalReason, pod *Pod) string {
	switch {
	case len(l.LostNodes) == 0 || !ofNode(reason):
		return ""
	case !ofWorkload(reason):
		if pod != nil && !l.LostNodes[pod.Node].IsZero() {
			return pod.Node
		}
		return ""
	}
	first := ""
	for _, pod := range l.Pods {
		if l.LostNodes[pod.Node].IsZero() {
			continue
		}
		if first == "" {
			first = pod.Node
		}
		first = l.firstLost(first, pod.Node)
	}
	return first
}

// firstLost is that of two lost nodes that was lost first; none where one of them is none.
func (l *look) firstLost(a, b string) string {
	if a == "" || b == "" {
		return ""
	}
	if cmp.Or(l.LostNodes[a].Compare(l.LostNodes[b]), cmp.Compare(a, b)) <= 0 {
		return a
	}
	return b
}

// notFuture is a time that a status tells; one in the future, where another's clock is ahead or ours was set back, is
// when it was first seen. The zero time is now.
func (l *look) notFuture(t time.Time) time.Time {
	switch {
	case t.IsZero():
		return l.now
	case !t.After(l.now):
		return t
	}
	return l.seen(t)
}

func (f *Finding) join(other Finding) {
	if newerFinding(other, *f) {
		f.Message, f.ExitCode = other.Message, other.ExitCode
	}
	if other.Since.Before(f.Since) {
		f.Since = other.Since
	}
	if other.LastAt.After(f.LastAt) {
		f.LastAt = other.LastAt
	}
	f.OldestPod = firstKnown(f.OldestPod, other.OldestPod)
	f.Count += other.Count
	f.AffectedPods += other.AffectedPods
	f.CurrentOnly, f.OldOnly = f.CurrentOnly && other.CurrentOnly, f.OldOnly && other.OldOnly
	f.Hold, f.Slow, f.Pause = max(f.Hold, other.Hold), f.Slow || other.Slow, max(f.Pause, other.Pause)
	for _, pod := range other.Pods {
		f.Pods = firstNames(f.Pods, pod)
	}
}

// firstKnown is the earlier of two times, or the one that is known.
func firstKnown(a, b Second) Second {
	if !a.Known() || b.Known() && b < a {
		return b
	}
	return a
}

// newerFinding orders by time, and where that is the same by text, so that the order of pods does not matter.
func newerFinding(a, b Finding) bool {
	if c := a.LastAt.Compare(b.LastAt); c != 0 {
		return c > 0
	}
	if c := cmp.Compare(a.Message, b.Message); c != 0 {
		return c > 0
	}
	return exitCode(a) > exitCode(b)
}

func exitCode(f Finding) int32 {
	if f.ExitCode == nil {
		return -1
	}
	return *f.ExitCode
}

// firstNames keeps the first names in alphabetical order.
func firstNames(names []string, name string) []string {
	i, found := slices.BinarySearch(names, name)
	if found || i >= maxFindingPods {
		return names
	}
	names = slices.Insert(names, i, name)
	return names[:min(len(names), maxFindingPods)]
}

func (l *look) result() Result {
	slices.SortFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Reason), rank(b.Reason)), cmp.Compare(a.Container, b.Container), cmp.Compare(a.Alert, b.Alert))
	})
	for i := range l.findings {
		if l.findings[i].Count == 0 {
			l.findings[i].Count = max(l.findings[i].AffectedPods, 1)
		}
	}
	// That an alert fires does not make what was seen to be well unwell.
	var running Wellness
	if slices.ContainsFunc(l.findings, func(f Finding) bool { return f.Reason != v1alpha1.SignalAlertFiring }) {
		if !slices.ContainsFunc(l.findings, func(f Finding) bool { return !f.Slow }) {
			running = l.well
		}
		l.well = Wellness{}
	}
	slices.Sort(l.wantWarnings)
	return Result{
		Findings: l.findings, Well: l.well, Running: running, Cures: l.cures, Gone: l.isGone, NextLook: l.next,
		RollingOut:   l.rollout.inProgress,
		WantWarnings: l.wantWarnings[:min(len(l.wantWarnings), maxWantWarnings)], History: l.history,
	}
}

// gone waits for a workload to be re-created, which a replacement by hand does within seconds.
func (l *look) gone() {
	l.history.GoneSince = l.old.GoneSince
	if !l.history.GoneSince.Known() {
		l.history.GoneSince = SecondOf(l.now)
	}
	l.isGone = l.over(l.history.GoneSince.Time(), recreationGrace)
	// The pods of what is gone go too; one that does not is still a fault.
	for _, pod := range l.Pods {
		if pod.Deleting() {
			l.terminating(pod)
		}
	}
}

func rank(reason v1alpha1.SignalReason) int {
	if i := slices.Index(v1alpha1.SignalReasons, reason); i >= 0 {
		return i
	}
	return len(v1alpha1.SignalReasons)
}

// standing says what may be expected of a pod.
type standing int

const (
	// counted: it should run and be ready.
	counted standing = iota
	// excused: what becomes of it says nothing about the workload.
	excused
	// leaving: it is being deleted.
	leaving
	// failed for good.
	failed
	// replaced: it is of an old template in a rollout that goes well, or may be so for all that is known yet.
	replaced
)

// standingOf looks at the terminal phase first: a sidecar that was killed in a pod that succeeded is nothing.
func (l *look) standingOf(pod *Pod) standing {
	switch {
	case pod.Phase == corev1.PodSucceeded:
		return excused
	case pod.Deleting():
		return leaving
	case disrupted(pod):
		return excused
	case pod.Phase == corev1.PodFailed:
		return failed
	case l.rollout.unknown, l.rollout.goingWell && l.rollout.isOld(pod):
		return replaced
	default:
		return counted
	}
}

// disrupted reports whether somebody ends the pod for reasons that are not its own. The kubelet's eviction is one
// that matters: the node ran out of something.
func disrupted(pod *Pod) bool {
	switch pod.Reason {
	case "Terminated", "NodeShutdown", "Shutdown", "Preempting":
		return true
	default:
		return pod.Disruption != "" && pod.Disruption != corev1.PodReasonTerminationByKubelet
	}
}

func (l *look) pods() {
	for _, pod := range l.Pods {
		switch l.standingOf(pod) {
		case counted:
			l.scheduling(pod)
			l.sandbox(pod)
			l.waiting(pod)
			l.notReady(pod)
		case leaving:
			l.terminating(pod)
		case failed, excused, replaced:
		}
	}
	l.failedPods()
}
