package detection

import (
	"context"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// WaitForPods returns true when all pods have been read, on the leader, and false if the context ends before.
func (r *Reconciler) WaitForPods(ctx context.Context) bool {
	select {
	case <-r.begun:
		return true
	case <-ctx.Done():
		return false
	}
}

// PodsOf are the pods of a workload, as far as the inventory tells to which one they belong. They are shared and not to
// be altered.
func (r *Reconciler) PodsOf(key configuration.Key) []*incident.Pod {
	r.pods.resolveKnown(key, r)
	return r.pods.of(key)
}

// resolveKnown finds the workload of controllers in a namespace of which the inventory has learnt since.
func (x *podIndex) resolveKnown(key configuration.Key, r resolver) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for other := range x.byNamespace[key.Namespace] {
		if other.Kind != configuration.KindReplicaSet && other.Kind != configuration.KindJob {
			continue
		}
		for id := range x.byWorkload[other] {
			if o := x.owners[id]; !o.resolved {
				x.resolveBy(id, o, r, func(found configuration.Key) bool { return found == key })
			}
		}
	}
}

// resolveAll finds the workloads of all controllers that the inventory knows: pods are told of before it does.
func (x *podIndex) resolveAll(r resolver) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, o := range x.owners {
		if !o.resolved {
			x.resolveBy(id, o, r, func(configuration.Key) bool { return true })
		}
	}
}

func (x *podIndex) resolveBy(id ownerID, o *podOwner, r resolver, wanted func(configuration.Key) bool) {
	if len(o.pods) == 0 {
		return
	}
	if found, ok := r.known(o.namespace, o.ref, o.pods[0]); ok && wanted(found) {
		x.unlink(id, o)
		o.key, o.resolved = found, true
		x.link(id, o)
	}
}
