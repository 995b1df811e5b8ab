package detection

import (
	"cmp"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// reserve takes a place for an Incident until release; none is left where as many are open as may be. What matters
// most has no bound.
func (r *Reconciler) reserve(in *input) (release func(), ok bool) {
	const lastUncapped = 2
	if in.service != nil && in.service.Tier() <= lastUncapped || in.Key.Kind == incident.KindNode {
		return func() {}, true
	}
	return r.incidents.reserve(in.namespace, r.namespaceCap(), r.clusterCap())
}

func (r *Reconciler) namespaceCap() int { return cmp.Or(r.NamespaceCap, DefaultNamespaceCap) }

func (r *Reconciler) clusterCap() int { return cmp.Or(r.ClusterCap, DefaultClusterCap) }

// makeRoom lets some of those open that caps keep back: in the namespace in which one left, and where all namespaces
// together were full, in any that is not.
func (r *Reconciler) makeRoom(namespace string) {
	const several = 5
	_, all := r.incidents.counts(namespace)
	wasFull := r.clusterCap()-all <= several
	for _, key := range r.overflow.waiting(incident.OverflowKey(), several, func(key configuration.Key) bool {
		if key.Namespace != namespace && !wasFull {
			return false
		}
		there, all := r.incidents.counts(key.Namespace)
		return there < r.namespaceCap() && all < r.clusterCap()
	}) {
		r.enqueue(key)
	}
}

// list puts a workload on a record that stands for several.
func (r *Reconciler) list(c *collection, record, key configuration.Key, f *incident.Finding) {
	if c.put(record, incident.Entry{Key: key, Finding: f}) {
		r.enqueue(record)
	}
}

// noLongerListed takes a workload that is well off the records that stand for several.
func (r *Reconciler) noLongerListed(in *input, result incident.Result) {
	if len(result.Findings) > 0 && !in.subject.SwitchedOff {
		return
	}
	if !result.Well.Evident && !result.Gone && !in.subject.SwitchedOff {
		return
	}
	r.unlist(&r.backlog, incident.BacklogKey(in.namespace), in.Key)
	r.unlist(&r.overflow, incident.OverflowKey(), in.Key)
}

func (r *Reconciler) unlist(c *collection, record, key configuration.Key) {
	listed := c.has(record, key)
	for _, i := range r.incidents.of(record) {
		listed = listed || incident.IsOpen(i) && incident.Listed(i.Status.Signals, key)
	}
	if listed && c.put(record, incident.Entry{Key: key}) {
		r.enqueue(record)
	}
}
