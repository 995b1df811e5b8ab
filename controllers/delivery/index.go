package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
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

func index(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range []struct {
		kind  client.Object
		field string
		of    client.IndexerFunc
	}{
		{&v1alpha1.Change{}, changeWorkload, func(o client.Object) []string {
			var out []string
			if c, ok := o.(*v1alpha1.Change); ok && deploys(c) {
				for _, w := range workloadsOf(c) {
					out = append(out, string(w.Kind)+"/"+string(w.Name))
				}
			}
			return out
		}},
		{&v1alpha1.Change{}, changeEnded, endedOf},
		{&v1alpha1.Change{}, changeIncident, func(o client.Object) []string {
			var out []string
			if c, ok := o.(*v1alpha1.Change); ok {
				for _, ref := range c.Status.CausedIncidents {
					out = append(out, incidentOf(c, ref).String())
				}
			}
			return out
		}},
		{&v1alpha1.Release{}, releaseChange, func(o client.Object) []string {
			if r, ok := o.(*v1alpha1.Release); ok && r.Status.ChangeRef != nil {
				return []string{string(r.Status.ChangeRef.Name)}
			}
			return nil
		}},
		{&v1alpha1.Release{}, releaseService, func(o client.Object) []string {
			var out []string
			if r, ok := o.(*v1alpha1.Release); ok {
				for _, ref := range r.Spec.ServiceRefs {
					out = append(out, string(ref.Name))
				}
			}
			return out
		}},
	} {
		if err := indexer.IndexField(ctx, i.kind, i.field, i.of); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", i.kind, i.field, err)
		}
	}
	return nil
}

// endedOf are the workloads of a Change that ended, as those are counted that are kept (--changes-per-workload).
func endedOf(o client.Object) []string {
	c, ok := o.(*v1alpha1.Change)
	if !ok || change.EndedAt(c).IsZero() {
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
