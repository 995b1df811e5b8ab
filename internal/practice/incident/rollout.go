package incident

import (
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// rollout is what is known of a workload's replacing its pods.
type rollout struct {
	// inProgress: not all pods are of the newest template.
	inProgress bool
	// goingWell: it moves, so its old pods need not be looked after.
	goingWell bool
	// unknown: the controller has not seen the newest generation yet, so which pods are old cannot be told.
	unknown bool
	// deadline within which it must move.
	deadline time.Duration
	// movedAt is when it last did, as far as known.
	movedAt time.Time
	// current is the revision of the newest template's pods; empty where it cannot be told.
	current string
}

func rolloutOf(l *look) rollout {
	w := l.Workload
	if w == nil {
		return rollout{}
	}
	r := rollout{deadline: deadlineOf(w, l.settings)}
	switch w.Key.Kind {
	case configuration.KindDeployment:
		progressing := w.Conditions["Progressing"]
		r.inProgress = w.Updated < w.Desired || w.Current > w.Updated ||
			progressing.Status != "" && progressing.Reason != "NewReplicaSetAvailable"
		r.movedAt = later(progressing.Since, progressing.UpdatedAt)
		r.goingWell = r.inProgress && progressing.Status != conditionFalse
	case configuration.KindStatefulSet, configuration.KindDaemonSet:
		r.inProgress = w.Updated < w.Desired || w.Current > w.Updated
		r.movedAt = l.movedAt(w)
		r.goingWell = r.inProgress && l.now.Sub(r.movedAt) < r.deadline
	default:
		return rollout{}
	}
	if w.ObservedGeneration < w.Generation {
		// A controller that stays behind must not hide what fails.
		l.history.Unobserved = l.keptSince(l.old.Unobserved)
		r.unknown, r.goingWell = !l.over(l.history.Unobserved.Time(), observedGrace), false
	}
	if w.Hold.Held() {
		// Its old pods are meant to go on.
		r.goingWell = false
	}
	r.current = currentRevision(l.Pods, w)
	return r
}

const (
	conditionTrue  = "True"
	conditionFalse = "False"
)

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// deadlineOf is the workload's own, where it has one.
func deadlineOf(w *configuration.Workload, s Settings) time.Duration {
	if w.ProgressDeadlineSeconds > 0 && w.ProgressDeadlineSeconds < math.MaxInt32 {
		return time.Duration(w.ProgressDeadlineSeconds) * time.Second
	}
	return s.Progress
}

// movedAt is when the counts of a StatefulSet or DaemonSet last changed. Nothing in its status tells, so it is
// remembered; what its newest pods tell counts as well.
func (l *look) movedAt(w *configuration.Workload) time.Time {
	now := Progress{Template: w.Template.Hash, Desired: w.Desired, Updated: w.Updated, Ready: w.Ready, At: SecondOf(l.now)}
	old := l.old.Progress
	switch {
	case !old.At.Known():
		now.At = l.newestPod(w)
	case old.Template == now.Template && old.Desired == now.Desired && old.Updated == now.Updated && old.Ready >= now.Ready:
		// Less ready pods than before are no progress, and neither is a crash loop's coming and going.
		now = old
	}
	l.history.Progress = now
	return now.At.Time()
}

// newestPod is when the newest pod was made, where one of the new template exists; else now. A node that joins is no
// rollout, so its daemon pod that is not made yet begins now.
func (l *look) newestPod(w *configuration.Workload) Second {
	newest := Second(0)
	for _, pod := range l.Pods {
		newest = max(newest, pod.CreatedAt)
	}
	joins := w.Key.Kind == configuration.KindDaemonSet && w.Current < w.Desired
	if w.Updated == 0 || !newest.Known() || joins {
		return SecondOf(l.now)
	}
	return SecondOf(l.notFuture(newest.Time()))
}

// CurrentRevision is the revision of the pods of a workload's newest template; empty where it cannot be told. The pods are
// asked for only where the workload's own status does not say it.
func CurrentRevision(w *configuration.Workload, pods func() []*Pod) string {
	if said := currentRevision(nil, w); said != "" {
		return said
	}
	return currentRevision(pods(), w)
}

// currentRevision is the revision of the pods of the newest template. A Deployment names its ReplicaSet in a
// condition; of others, the pods made last tell, and where that is a tie, their number.
func currentRevision(pods []*Pod, w *configuration.Workload) string {
	if w.UpdateRevision != "" {
		return w.UpdateRevision
	}
	if named := namedRevision(w); named != "" {
		return named
	}
	first, several := "", false
	for _, pod := range pods {
		if !pod.hasRevision() {
			continue
		}
		if first == "" {
			first = pod.Revision
		}
		several = several || pod.Revision != first
	}
	if !several {
		if w.Updated == 0 && w.Current > 0 {
			return ""
		}
		return first
	}
	groups := map[string]revisionPods{}
	for _, pod := range pods {
		if pod.hasRevision() {
			g := groups[pod.Revision]
			groups[pod.Revision] = revisionPods{pod.Revision, g.count + 1, max(g.newest, pod.CreatedAt)}
		}
	}
	best := revisionPods{}
	for _, g := range groups {
		if best.revision == "" || g.fitsBetter(best, w.Updated) {
			best = g
		}
	}
	return best.revision
}

// namedRevision reads the ReplicaSet's name from a condition such as `ReplicaSet "web-5d4f" is progressing.`; its
// suffix is the label value of its pods.
func namedRevision(w *configuration.Workload) string {
	_, after, found := strings.Cut(w.Conditions["Progressing"].Message, `"`+w.Key.Name+"-")
	if !found || w.Key.Kind != configuration.KindDeployment {
		return ""
	}
	revision, _, closed := strings.Cut(after, `"`)
	if !closed {
		return ""
	}
	return revision
}

// hasRevision reports whether the pod counts in the status of its workload and says of which template it is.
func (p *Pod) hasRevision() bool {
	return p.Revision != "" && !p.Deleting() && p.Phase != corev1.PodSucceeded && p.Phase != corev1.PodFailed
}

type revisionPods struct {
	revision string
	count    int32
	newest   Second
}

func (g revisionPods) fitsBetter(other revisionPods, updated int32) bool {
	if g.newest != other.newest {
		return g.newest > other.newest
	}
	if fits := g.count == updated; fits != (other.count == updated) {
		return fits
	}
	return g.revision > other.revision
}

// isCurrent reports whether a pod is known to be of the newest template.
func (r rollout) isCurrent(pod *Pod) bool { return r.current != "" && pod.Revision == r.current }

// isOld reports whether a pod is of another template than the newest, in a rollout.
func (r rollout) isOld(pod *Pod) bool {
	return r.inProgress && pod.Revision != "" && pod.Revision != r.current
}

// readyWithin is how long a running pod may take to become ready.
func (r rollout) readyWithin(pod *Pod, s Settings) time.Duration {
	switch {
	case !r.inProgress || r.isOld(pod):
		return s.NotReady
	case r.goingWell:
		return r.deadline
	default:
		return min(s.NotReady, r.deadline)
	}
}
