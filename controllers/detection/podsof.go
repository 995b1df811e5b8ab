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
			o := x.owners[id]
			if o.resolved || len(o.pods) == 0 {
				continue
			}
			if found, ok := r.known(key.Namespace, o.ref, o.pods[0]); ok && found == key {
				x.unlink(id, o)
				o.key, o.resolved = found, true
				x.link(id, o)
			}
		}
	}
}
