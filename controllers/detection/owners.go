package detection

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

const (
	groupApps     = "apps"
	groupRollouts = "argoproj.io"
	kindRollout   = "Rollout"
)

// known says what workload a controller belongs to where the inventory tells: a ReplicaSet with the hash of its
// template in its name to the Deployment whose selector matches its pods, a Job to its CronJob. Whatever else makes
// pods is a workload itself.
func (r *Reconciler) known(namespace string, ref incident.PodOwner, pod *Record) (configuration.Key, bool) {
	own := controllerKey(namespace, ref)
	switch {
	case ref.Kind == configuration.KindReplicaSet && ref.Group == groupApps:
		name := withoutHash(ref.Name, pod.Revision)
		if name == "" {
			return own, false
		}
		deployment := configuration.Key{Group: groupApps, Kind: configuration.KindDeployment, Namespace: namespace, Name: name}
		w, exists := r.Inventory.Workload(deployment)
		if !exists || !w.Selector.Matches(pod.Labels.Map()) {
			return own, false
		}
		return deployment, true
	case ref.Kind == configuration.KindJob && ref.Group == "batch":
		job, exists := r.Inventory.Workload(own)
		if !exists || job.UID != ref.UID {
			return own, false
		}
		if cronJob, owned := cronJobOf(job); owned {
			return cronJob, true
		}
		return own, true
	default:
		return own, true
	}
}

// selects reports whether a workload may have such a pod, as far as the inventory tells.
func (r *Reconciler) selects(key configuration.Key, pod *Record) bool {
	w, exists := r.Inventory.Workload(key)
	return !exists || !w.Selector.Defined || key.Kind != configuration.KindDeployment || w.Selector.Matches(pod.Labels.Map())
}

func cronJobOf(job *configuration.Workload) (configuration.Key, bool) {
	if job.Key.Kind != configuration.KindJob || job.Owner == nil || job.Owner.Key.Kind != configuration.KindCronJob {
		return configuration.Key{}, false
	}
	return job.Owner.Key, true
}

// resolve finds out the workload of controllers of which the inventory does not tell. It asks the API server for the
// metadata of a ReplicaSet, once; a Job that is not known yet is waited for.
func (r *Reconciler) resolve(ctx context.Context, key configuration.Key) (changed []configuration.Key, waiting bool, err error) {
	for id, pod := range r.pods.unresolved(key) {
		if found, ok := r.known(pod.Namespace, *pod.Owner, pod); ok {
			r.pods.resolve(id, found)
			changed = append(changed, found)
			continue
		}
		if key.Kind != configuration.KindReplicaSet {
			waiting = true
			continue
		}
		found, ok, err := r.askFor(ctx, key, pod)
		if err != nil {
			return changed, true, err
		}
		if !ok {
			waiting = true
			continue
		}
		r.pods.resolve(id, found)
		changed = append(changed, found)
	}
	return changed, waiting, nil
}

// askFor is the workload that a ReplicaSet belongs to. One that is gone is none: its pods go as well.
func (r *Reconciler) askFor(ctx context.Context, key configuration.Key, pod *Record) (configuration.Key, bool, error) {
	set := &metav1.PartialObjectMetadata{}
	set.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(configuration.KindReplicaSet))
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, set)
	switch {
	case apierrors.IsNotFound(err):
		return key, false, nil
	case err != nil:
		return key, false, fmt.Errorf("read the ReplicaSet that owns pod %s/%s: %w", pod.Namespace, pod.Name, err)
	case set.UID != pod.Owner.UID:
		return key, false, nil
	}
	owner := metav1.GetControllerOfNoCopy(set)
	if owner == nil {
		return key, true, nil
	}
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		// It is written by whoever made the ReplicaSet; then the ReplicaSet is all we know.
		return key, true, nil //nolint:nilerr // an owner with such a version cannot exist
	}
	return configuration.Key{Group: gv.Group, Kind: owner.Kind, Namespace: key.Namespace, Name: owner.Name}, true, nil
}
