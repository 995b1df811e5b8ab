package detection

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// behindWait is how soon a look is repeated for which the watches were behind. What they tell is looked at anyway.
const behindWait = time.Second

// stands reports whether what was found rests on what the API server still has. Grace times end by our clock, and what
// they end for is known from watches: a process that was stopped for minutes, or cut off from the API server, would
// otherwise wake up to report what was so before, and was over a moment later. It costs a read or two for each Incident.
func (r *Reconciler) stands(ctx context.Context, in *input, result incident.Result, now time.Time) (bool, error) {
	again := func(o incident.Observation) incident.Result {
		return incident.Observe(o, in.settings, result.History, now)
	}
	var ofObject *incident.Result
	for i := range result.Findings {
		f := &result.Findings[i]
		if f.Reason == v1alpha1.SignalAlertFiring {
			continue // it was told to us, and no watch
		}
		if in.Node == nil {
			stands, named, err := r.podsStand(ctx, in, f, again)
			if err != nil || named && !stands {
				return false, err
			}
			if named {
				continue
			}
		}
		if ofObject == nil {
			live, exists, err := r.liveObject(ctx, in)
			if err != nil || !exists {
				return false, err
			}
			found := again(live)
			ofObject = &found
		}
		if same(ofObject, f) == nil {
			return false, nil
		}
	}
	return true, nil
}

// podsStand reports whether the same is found with one of the pods that a finding names as it is now. It need not be as
// it was seen: a pod in a crash loop is another one at every moment. named is false where the finding names none.
func (r *Reconciler) podsStand(ctx context.Context, in *input, f *incident.Finding, again look) (stands, named bool, err error) {
	for _, name := range f.Pods {
		at := slices.IndexFunc(in.Pods, func(pod *incident.Pod) bool { return pod.Name == name })
		if at < 0 {
			continue
		}
		named = true
		live := &corev1.Pod{}
		exists, err := r.live(ctx, client.ObjectKey{Namespace: in.Pods[at].Namespace, Name: name}, live)
		if err != nil {
			return false, true, err
		}
		if !exists || live.UID != in.Pods[at].UID {
			continue
		}
		o := in.Observation
		o.Pods = slices.Clone(in.Pods)
		pod := incident.PodFrom(live)
		o.Pods[at] = &pod
		found := again(o)
		if s := same(&found, f); s != nil && slices.Contains(s.Pods, name) {
			return true, true, nil
		}
	}
	return false, named, nil
}

// look is one at a workload, for which nothing is remembered.
type look func(incident.Observation) incident.Result

// same is the finding of the same reason and container; nil where there is none.
func same(in *incident.Result, f *incident.Finding) *incident.Finding {
	i := slices.IndexFunc(in.Findings, func(g incident.Finding) bool { return g.Reason == f.Reason && g.Container == f.Container })
	if i < 0 {
		return nil
	}
	return &in.Findings[i]
}

// liveObject is the observation with the workload or node as it is now; exists is false where it was seen and is gone.
func (r *Reconciler) liveObject(ctx context.Context, in *input) (o incident.Observation, exists bool, err error) {
	name := client.ObjectKey{Namespace: in.Key.Namespace, Name: in.Key.Name}
	o = in.Observation
	if in.Node != nil {
		live := &corev1.Node{}
		if exists, err := r.live(ctx, name, live); err != nil || !exists {
			return o, false, err
		}
		node := incident.NodeFrom(live)
		node.Workloads = in.Node.Workloads // what its pods are does not say whether it is lost
		o.Node = &node
		return o, true, nil
	}
	kind, known := configuration.KindNamed(in.Key.Kind)
	if in.Workload == nil || !known {
		return o, true, nil
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: kind.Group(), Version: kind.Version(), Kind: kind.Name()})
	if exists, err := r.live(ctx, name, live); err != nil || !exists {
		return o, false, err
	}
	w, err := kind.Read(live.Object)
	if err != nil {
		return o, false, fmt.Errorf("read what the API server has of %s: %w", incident.KeyString(in.Key), err)
	}
	o.Workload = &w
	return o, true, nil
}

// live reads an object from the API server, and reports whether it exists.
func (r *Reconciler) live(ctx context.Context, name client.ObjectKey, into client.Object) (exists bool, err error) {
	err = r.Reader.Get(ctx, name, into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %T %s from the API server: %w", into, name, err)
	}
	return true, nil
}
