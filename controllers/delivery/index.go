package delivery

import (
	"cmp"
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/index"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// Indexes of the cache that this package's lists go by.
const (
	changeWorkload = "delivery/change.workload"
	changeEnded    = "delivery/change.ended"
	changeIncident = "delivery/change.status.causedIncidents"
	releaseChange  = "delivery/release.status.changeRef"
	releaseService = "delivery/release.spec.serviceRefs"
)

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	return index.Add(ctx, indexer,
		index.By(changeWorkload, func(c *v1alpha1.Change) []string {
			var out []string
			if deploys(c) {
				for _, w := range workloadsOf(c) {
					out = append(out, string(w.Kind)+"/"+string(w.Name))
				}
			}
			return out
		}),
		index.By(changeEnded, endedOf),
		index.By(changeIncident, func(c *v1alpha1.Change) []string {
			var out []string
			for _, ref := range c.Status.CausedIncidents {
				out = append(out, incidentOf(c, ref).String())
			}
			return out
		}),
		index.By(releaseChange, func(r *v1alpha1.Release) []string { return index.Names(r.Status.ChangeRef) }),
		index.By(releaseService, func(r *v1alpha1.Release) []string { return index.NamesIn(r.Spec.ServiceRefs) }),
	)
}

// endedOf are the workloads of a Change that ended, as those are counted that are kept (--changes-per-workload).
func endedOf(c *v1alpha1.Change) []string {
	if change.EndedAt(c).IsZero() {
		return nil
	}
	var out []string
	for i := range c.Spec.Targets {
		w := &c.Spec.Targets[i].Workload
		out = append(out, string(w.Kind)+"/"+string(w.Name))
	}
	return out
}

// workloadsOf are those that something of a Change went into.
func workloadsOf(c *v1alpha1.Change) []v1alpha1.WorkloadReference {
	var out []v1alpha1.WorkloadReference
	for _, im := range c.Status.Implementations {
		if !slices.Contains(out, im.Workload) {
			out = append(out, im.Workload)
		}
	}
	return out
}

// incidentOf is the Incident that a Change lists as caused by it.
func incidentOf(c *v1alpha1.Change, ref v1alpha1.NamespacedReference) types.NamespacedName {
	return types.NamespacedName{Namespace: cmp.Or(string(ref.Namespace), c.Namespace), Name: string(ref.Name)}
}
