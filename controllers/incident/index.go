package incident

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/index"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Indexes of the cache, so that an event costs what it is about and not all that there is.
const (
	byParent      = "lifecycle.parent"
	byChange      = "lifecycle.awaitedChange"
	byProblem     = "lifecycle.problem"
	byDuplicateOf = "lifecycle.duplicateOf"
	byService     = "lifecycle.service"
	byFingerprint = "lifecycle.fingerprint"
)

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	return index.Add(ctx, indexer,
		index.By(byParent, func(i *v1alpha1.Incident) []string { return index.Key(parentOf(i)) }),
		index.By(byChange, func(i *v1alpha1.Incident) []string { return index.NamesIn(i.Spec.ChangeRefs) }),
		index.By(byProblem, func(i *v1alpha1.Incident) []string { return index.Names(i.Spec.ProblemRef) }),
		index.By(byFingerprint, func(i *v1alpha1.Incident) []string {
			if i.Status.State == v1alpha1.IncidentClosed {
				return nil
			}
			return index.Value(i.Status.Fingerprint)
		}),
		index.By(byService, func(a *v1alpha1.ServiceLevelAgreement) []string { return index.Value(a.Spec.ServiceRef.Name) }),
		index.By(byDuplicateOf, func(p *v1alpha1.Problem) []string {
			if p.Spec.Decision == nil {
				return nil
			}
			return index.Names(p.Spec.Decision.DuplicateOf)
		}),
		index.By(byFingerprint, func(p *v1alpha1.Problem) []string { return index.Value(p.Spec.Fingerprint) }),
	)
}

// ofService are the open Incidents on a Service.
func (r *Reconciler) ofService(_ context.Context, o client.Object) []reconcile.Request {
	return r.open(o.GetNamespace(), o.GetName())
}

func (r *Reconciler) ofAgreement(_ context.Context, o client.Object) []reconcile.Request {
	a, ok := o.(*v1alpha1.ServiceLevelAgreement)
	if !ok {
		return nil
	}
	return r.open(a.Namespace, string(a.Spec.ServiceRef.Name))
}

func (r *Reconciler) open(namespace, service string) []reconcile.Request {
	var out []reconcile.Request
	for _, name := range r.Inventory.OpenIncidents(servicelevel.ServiceName{Namespace: namespace, Name: service}) {
		in, name, foreign := strings.Cut(name, "/")
		if !foreign {
			in, name = namespace, in
		}
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: in, Name: name}})
	}
	return out
}

func (r *Reconciler) ofChange(ctx context.Context, o client.Object) []reconcile.Request {
	return r.matching(ctx, client.InNamespace(o.GetNamespace()), client.MatchingFields{byChange: o.GetName()})
}

// family are the parent and the children of an Incident.
func (r *Reconciler) family(ctx context.Context, o client.Object) []reconcile.Request {
	out := r.matching(ctx, client.MatchingFields{byParent: client.ObjectKeyFromObject(o).String()})
	if i, ok := o.(*v1alpha1.Incident); ok {
		if parent := parentOf(i); parent.Name != "" {
			out = append(out, reconcile.Request{NamespacedName: parent})
		}
	}
	return out
}

func (r *Reconciler) matching(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := r.find(ctx, options...)
	out := make([]reconcile.Request, 0, len(list))
	for n := range list {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list[n])})
	}
	return out
}

// find reads Incidents of the cache, which must not be altered.
func (r *Reconciler) find(ctx context.Context, options ...client.ListOption) []v1alpha1.Incident {
	list := &v1alpha1.IncidentList{}
	if err := r.Client.List(ctx, list, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		// The cache answers; it fails only when it is stopped.
		return nil
	}
	return list.Items
}
