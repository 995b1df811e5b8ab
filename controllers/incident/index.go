package incident

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
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

func index(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range []struct {
		kind  client.Object
		field string
		of    client.IndexerFunc
	}{
		{&v1alpha1.Incident{}, byParent, ofIncident(func(i *v1alpha1.Incident) []string {
			if parent := parentOf(i); parent.Name != "" {
				return []string{parent.String()}
			}
			return nil
		})},
		{&v1alpha1.Incident{}, byChange, ofIncident(func(i *v1alpha1.Incident) []string {
			var names []string
			for _, ref := range i.Spec.ChangeRefs {
				names = append(names, string(ref.Name))
			}
			return names
		})},
		{&v1alpha1.Incident{}, byProblem, ofIncident(func(i *v1alpha1.Incident) []string {
			if i.Spec.ProblemRef == nil {
				return nil
			}
			return []string{string(i.Spec.ProblemRef.Name)}
		})},
		{&v1alpha1.Incident{}, byFingerprint, ofIncident(func(i *v1alpha1.Incident) []string {
			if i.Status.Fingerprint == "" || i.Status.State == v1alpha1.IncidentClosed {
				return nil
			}
			return []string{i.Status.Fingerprint}
		})},
		{&v1alpha1.ServiceLevelAgreement{}, byService, func(o client.Object) []string {
			if a, ok := o.(*v1alpha1.ServiceLevelAgreement); ok {
				return []string{string(a.Spec.ServiceRef.Name)}
			}
			return nil
		}},
		{&v1alpha1.Problem{}, byDuplicateOf, func(o client.Object) []string {
			if p, ok := o.(*v1alpha1.Problem); ok && p.Spec.Decision != nil && p.Spec.Decision.DuplicateOf != nil {
				return []string{string(p.Spec.Decision.DuplicateOf.Name)}
			}
			return nil
		}},
		{&v1alpha1.Problem{}, byFingerprint, func(o client.Object) []string {
			if p, ok := o.(*v1alpha1.Problem); ok && p.Spec.Fingerprint != "" {
				return []string{p.Spec.Fingerprint}
			}
			return nil
		}},
	} {
		if err := indexer.IndexField(ctx, i.kind, i.field, i.of); err != nil {
			return fmt.Errorf("index %T by %s: %w", i.kind, i.field, err)
		}
	}
	return nil
}

func ofIncident(of func(*v1alpha1.Incident) []string) client.IndexerFunc {
	return func(o client.Object) []string {
		if i, ok := o.(*v1alpha1.Incident); ok {
			return of(i)
		}
		return nil
	}
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
