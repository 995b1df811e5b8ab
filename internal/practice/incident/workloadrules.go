package incident

import (
	"cmp"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// workload is what the workload's own status tells, where its controller has seen its newest generation.
func (l *look) workload() {
	w := l.Workload
	if w == nil || w.Deleting || w.ObservedGeneration < w.Generation {
		return
	}
	switch w.Key.Kind {
	case configuration.KindDeployment, configuration.KindStatefulSet, configuration.KindDaemonSet,
		configuration.KindReplicaSet, configuration.KindReplicationController:
		l.rolloutStuck(w)
		l.replicasMissing(w)
		l.noReplicas(w)
	default:
	}
}

// rolloutStuck: a Deployment says so itself where it has a deadline.
func (l *look) rolloutStuck(w *configuration.Workload) {
	f := Finding{Reason: v1alpha1.SignalRolloutStuck, LastAt: l.now}
	progressing := w.Conditions["Progressing"]
	switch {
	case w.Hold.Held():
		return
	case w.Key.Kind == configuration.KindDeployment && progressing.Status == conditionFalse:
		f.Since, f.Message = progressing.Since, clip(progressing.Message, maxContainerTexts)
	case w.Key.Kind == configuration.KindDeployment && hasDeadline(w):
		return
	case !l.rollout.inProgress || w.Updated >= w.Desired && w.Key.Kind != configuration.KindDeployment:
		return
	case !l.over(l.rollout.movedAt, l.rollout.deadline):
		return
	default:
		f.Since = l.rollout.movedAt
		f.Message = fmt.Sprintf("%d of %d pods are updated, without progress for %s", w.Updated, w.Desired, l.rollout.deadline)
	}
	if l.causeIsNear(f.Since) {
		return
	}
	l.add(f, nil)
}

// causeIsNear reports whether another rule looks again within moments, so that a symptom that just began can wait for
// its cause to be told first.
func (l *look) causeIsNear(since time.Time) bool {
	const moments = time.Minute
	return len(l.findings) == 0 && !l.next.IsZero() && l.next.Sub(l.now) <= moments && l.now.Sub(since) < 2*moments
}

func hasDeadline(w *configuration.Workload) bool {
	return w.ProgressDeadlineSeconds > 0 && w.ProgressDeadlineSeconds < math.MaxInt32
}

// replicasMissing: pods cannot be created.
func (l *look) replicasMissing(w *configuration.Workload) {
	f := Finding{Reason: v1alpha1.SignalReplicasMissing, LastAt: l.now, Count: max(w.Desired-w.Current, 1)}
	if c := w.Conditions["ReplicaFailure"]; c.Status == conditionTrue {
		f.Since, f.Message = l.notFuture(c.Since), clip(cmp.Or(c.Message, c.Reason), maxContainerTexts)
	} else {
		if !l.podsMissing(w) {
			return
		}
		l.history.Missing = l.keptSince(l.old.Missing)
		f.Since = l.history.Missing.Time()
		f.Message = fmt.Sprintf("%d of %d pods exist, and no more are created", w.Current, w.Desired)
	}
	if l.over(f.Since, l.settings.ReplicasMissing) {
		l.add(f, nil)
	}
}

// podsMissing reports whether there are fewer pods than there should be, none that goes makes room for them, and the
// controller does not wait for others to be ready first, as a StatefulSet does.
func (l *look) podsMissing(w *configuration.Workload) bool {
	if w.Current >= w.Desired || w.Key.Kind == configuration.KindStatefulSet && w.Ready < w.Current {
		return false
	}
	for _, pod := range l.Pods {
		if pod.Deleting() {
			return false
		}
	}
	return true
}

// noReplicas: somebody scaled what customers use to zero.
func (l *look) noReplicas(w *configuration.Workload) {
	if w.Key.Kind == configuration.KindDaemonSet || w.Desired > 0 || !l.MustRun {
		return
	}
	l.history.NoReplicas = l.keptSince(l.old.NoReplicas)
	since := l.history.NoReplicas.Time()
	if l.over(since, l.settings.NoReplicas) {
		l.add(Finding{
			Reason: v1alpha1.SignalNoReplicas, Since: since, LastAt: l.now,
			Message: "scaled to zero; its service does not say scaleToZero: Allowed",
		}, nil)
	}
}

// wellness gathers the positive evidence by which signals clear: silence is none.
func (l *look) wellness() {
	w := l.Workload
	switch {
	case w == nil:
		l.podsWell(1)
	case w.Deleting || w.ObservedGeneration < w.Generation:
	case w.Key.Kind == configuration.KindJob:
		if !w.CompletedAt.IsZero() {
			l.well = Wellness{Evident: true, Since: l.notFuture(w.CompletedAt)}
		} else if w.FailedAt.IsZero() {
			l.podsWell(1)
		}
	case w.Key.Kind == configuration.KindCronJob:
		l.cronJobWell(w)
	case w.Ready >= w.Desired && (w.Hold.Held() || w.Updated >= w.Desired && w.Current <= w.Updated) &&
		w.Conditions["ReplicaFailure"].Status != conditionTrue:
		l.podsWell(w.Desired)
	default:
	}
	if l.well.Evident {
		l.well.Since = l.wellSince()
		if w != nil && w.Desired > 0 && !w.Hold.Held() {
			l.well.TemplateSince, l.well.Returned = l.templateSince()
		}
	}
}

// wellSince is since when it is seen to be well. What makes up for a failure may have been well all along, as the old
// pods are after a rollback: then it is well since it was first seen without the failure.
func (l *look) wellSince() time.Time {
	l.history.WellSince = l.keptSince(l.old.WellSince)
	if !l.old.Began.Known() && !l.well.Since.IsZero() {
		// It may have been so for long before the first look.
		l.history.WellSince = SecondOf(l.well.Since)
	}
	return later(l.well.Since, l.history.WellSince.Time())
}

// podsWell: as many pods as needed are ready, and all that should be.
func (l *look) podsWell(desired int32) {
	ready, since := int32(0), Second(0)
	for _, pod := range l.Pods {
		switch l.standingOf(pod) {
		case replaced:
			return
		case counted:
			if !pod.Ready.True() {
				return
			}
			ready++
			since = max(since, pod.Ready.Since, pod.StartedAt)
			for i := range pod.Containers {
				since = max(since, pod.Containers[i].RunningSince)
			}
		case failed:
			// What is left of pods that failed earlier is no evidence; a pod that is its own workload is.
			if l.Key.Kind == KindPod {
				return
			}
		case excused, leaving:
		}
	}
	if ready < desired {
		return
	}
	// Without pods there is no time but that of the first look.
	l.well = Wellness{Evident: true}
	if ready > 0 {
		l.well.Since = l.notFuture(since.Time())
	}
}

// cronJobWell: the newest run ended well, or runs.
func (l *look) cronJobWell(w *configuration.Workload) {
	newest := newestJob(l.Jobs)
	switch {
	case newest != nil && !newest.CompletedAt.IsZero():
		l.well = Wellness{Evident: true, Since: l.notFuture(newest.CompletedAt)}
	case newest != nil && newest.FailedAt.IsZero() && len(l.Pods) > 0:
		l.podsWell(1)
	case newest == nil && w.Active == 0 && !w.LastSuccessful.IsZero() && !w.LastSuccessful.Before(w.LastScheduled):
		l.well = Wellness{Evident: true, Since: l.notFuture(w.LastSuccessful)}
	default:
	}
}

// Node is what signals need to know of a node.
type Node struct {
	Name string
	// Ready is its condition: True, False, Unknown or empty.
	Ready           corev1.ConditionStatus
	Reason, Message string
	Since           time.Time
	// Leaving: cordoned, tainted for removal or being deleted.
	Leaving bool
	// Workloads that have pods on it, as the observer counts them.
	Workloads int32
}

// NodeFrom is what signals need of a node.
func NodeFrom(n *corev1.Node) Node {
	out := Node{Name: n.Name, Leaving: n.DeletionTimestamp != nil || n.Spec.Unschedulable}
	for _, taint := range n.Spec.Taints {
		switch taint.Key {
		case "ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler", "karpenter.sh/disrupted",
			"karpenter.sh/disruption", "node.cloudprovider.kubernetes.io/shutdown", "node.kubernetes.io/out-of-service",
			"cluster.x-k8s.io/deleting":
			out.Leaving = true
		default:
		}
	}
	for i := range n.Status.Conditions {
		if c := &n.Status.Conditions[i]; c.Type == corev1.NodeReady {
			out.Ready, out.Reason, out.Message = c.Status, clip(c.Reason, maxReason), clip(c.Message, maxPodMessage)
			out.Since = c.LastTransitionTime.Time
		}
	}
	return out
}

// node: it does not answer, and nobody is taking it away. A node that is gone was taken away.
func (l *look) node() {
	n := l.Node
	switch {
	case n == nil:
		if l.Gone {
			l.gone()
		}
	case n.Ready == corev1.ConditionTrue:
		l.well = Wellness{Evident: true, Since: l.notFuture(n.Since)}
	case n.Ready == "" || n.Leaving:
	case l.over(l.seen(n.Since), l.settings.NodeLost):
		f := Finding{
			Reason: v1alpha1.SignalNodeLost, Since: n.Since, LastAt: l.now, Count: 1,
			Message: fmt.Sprintf("Ready is %s: %s: %s", n.Ready, n.Reason, n.Message), Workloads: n.Workloads,
		}
		for _, pod := range l.Pods {
			f.AffectedPods++
			f.Pods = firstNames(f.Pods, clip(pod.Namespace+"/"+pod.Name, maxObjectName))
		}
		l.add(f, nil)
	}
}
