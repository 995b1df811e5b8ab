package detection

import (
	"context"
	"fmt"
	"reflect"
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
func (r *Reconciler) stands(ctx context.Context, in *input, findings []incident.Finding) (bool, error) {
	objectRead := false
	for i := range findings {
		f := &findings[i]
		if f.Reason == v1alpha1.SignalAlertFiring {
			continue // it was told to us, and no watch
		}
		if in.Node == nil {
			stands, named, err := r.podsStand(ctx, in, f.Pods)
			if err != nil || named && !stands {
				return false, err
			}
			if named {
				continue
			}
		}
		if objectRead {
			continue
		}
		if stands, err := r.objectStands(ctx, in); err != nil || !stands {
			return false, err
		}
		objectRead = true
	}
	return true, nil
}

// podsStand reports whether one of the pods that a finding names is still as it was seen; named is false where it names
// none.
func (r *Reconciler) podsStand(ctx context.Context, in *input, names []string) (stands, named bool, err error) {
	for _, name := range names {
		seen := podNamed(in.Pods, name)
		if seen == nil {
			continue
		}
		named = true
		live := &corev1.Pod{}
		exists, err := r.live(ctx, client.ObjectKey{Namespace: seen.Namespace, Name: name}, live)
		if err != nil {
			return false, true, err
		}
		if exists && reflect.DeepEqual(incident.PodFrom(live), *seen) {
			return true, true, nil
		}
	}
	return false, named, nil
}

func podNamed(pods []*incident.Pod, name string) *incident.Pod {
	for _, pod := range pods {
		if pod.Name == name {
			return pod
		}
	}
	return nil
}

// objectStands reports whether the workload or node is still as it was seen, where it was.
func (r *Reconciler) objectStands(ctx context.Context, in *input) (bool, error) {
	name := client.ObjectKey{Namespace: in.Key.Namespace, Name: in.Key.Name}
	if in.Node != nil {
		live := &corev1.Node{}
		exists, err := r.live(ctx, name, live)
		if err != nil || !exists {
			return false, err
		}
		// What its pods are does not say whether it is lost.
		node := incident.NodeFrom(live)
		node.Workloads = in.Node.Workloads
		return reflect.DeepEqual(node, *in.Node), nil
	}
	kind, known := configuration.KindNamed(in.Key.Kind)
	if in.Workload == nil || !known {
		return true, nil
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: kind.Group(), Version: kind.Version(), Kind: kind.Name()})
	exists, err := r.live(ctx, name, live)
	if err != nil || !exists {
		return false, err
	}
	w, err := kind.Read(live.Object)
	if err != nil {
		return false, fmt.Errorf("read what the API server has of %s: %w", incident.KeyString(in.Key), err)
	}
	return reflect.DeepEqual(w, *in.Workload), nil
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
