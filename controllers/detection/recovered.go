package detection

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// maxPodsAgain bounds how many pods are read before a recovery is believed.
const maxPodsAgain = 5

// StillWell reports whether what an Incident recovered by is so still: of what was looked at since this replica leads,
// and as the API server has it now. A recovery is believed when the clock says so, and what happened since is known from
// watches: who just began to lead, was stopped for minutes or is cut off from the API server would otherwise tell people
// that it is over while it fails. It costs a read of the workload, and of those pods that failed and are still there.
func (r *Reconciler) StillWell(ctx context.Context, i *v1alpha1.Incident) (bool, error) {
	key, about := keyOf(i)
	if !about || incident.StandsForOthers(key) {
		return true, nil
	}
	now := r.Clock.Now()
	in, known, err := r.gather(ctx, key, now)
	if err != nil {
		return false, err
	}
	if !known || in.Gone || in.subject.SwitchedOff {
		return true, nil // it ended without being repaired
	}
	history := r.memory.history(key)
	if !history.LastLook.Known() {
		return false, nil
	}
	in.Warnings = r.memory.warningsOf(key).list
	seen := incident.Observe(in.Observation, in.settings, history, now)
	if fails(seen) {
		return false, nil
	}
	live, exists, err := r.liveObject(ctx, in)
	if err != nil || !exists {
		return false, err
	}
	if live.Pods, err = r.livePods(ctx, live.Pods, i.Status.Signals); err != nil {
		return false, err
	}
	is := incident.Observe(live, in.settings, history, now)
	return !fails(is) && (is.Well.Evident || !seen.Well.Evident), nil
}

// fails reports whether anything does by what we see ourselves; that an alert is over is told to us.
func fails(r incident.Result) bool {
	return slices.ContainsFunc(r.Findings, func(f incident.Finding) bool { return f.Reason != v1alpha1.SignalAlertFiring })
}

// livePods are the pods of a workload, those that signals name as they are now.
func (r *Reconciler) livePods(ctx context.Context, pods []*incident.Pod, signals []v1alpha1.Signal) ([]*incident.Pod, error) {
	var out []*incident.Pod
	read := 0
	for _, pod := range pods {
		named := slices.ContainsFunc(signals, func(s v1alpha1.Signal) bool { return slices.Contains(s.Pods, pod.Name) })
		if !named || read == maxPodsAgain {
			out = append(out, pod)
			continue
		}
		read++
		live := &corev1.Pod{}
		exists, err := r.live(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: pod.Name}, live)
		if err != nil {
			return nil, err
		}
		if exists {
			is := incident.PodFrom(live)
			out = append(out, &is)
		}
	}
	return out, nil
}
