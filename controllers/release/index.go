package release

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/index"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	practice "github.com/itil-dev/itil-operator/internal/practice/release"
)

const (
	// suspectedIndex finds Incidents by the Change that they suspect, as namespace/name.
	suspectedIndex = "release.suspectedChange"
	// incidentsIndex finds Incidents by the Service that they are on, as namespace/name.
	incidentsIndex = "release.incidentService"
	// agreementsIndex finds ServiceLevelAgreements by their Service, as namespace/name.
	agreementsIndex = "release.agreementService"
)

// Index lets a cache find what concerns a Release. SetupWithManager calls it.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return index.Add(ctx, indexer,
		index.By(suspectedIndex, func(i *v1alpha1.Incident) []string { return index.Key(incident.Suspected(i)) }),
		index.By(incidentsIndex, func(i *v1alpha1.Incident) []string { return index.Key(serviceOf(i)) }),
		index.By(agreementsIndex, func(a *v1alpha1.ServiceLevelAgreement) []string { return index.Key(promisedOn(a)) }),
	)
}

// serviceOf is the Service that an Incident is on; none: no name.
func serviceOf(i *v1alpha1.Incident) types.NamespacedName {
	if i.Spec.ServiceRef == nil {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: i.Namespace, Name: string(i.Spec.ServiceRef.Name)}
}

// promisedOn is the Service that an agreement is about.
func promisedOn(a *v1alpha1.ServiceLevelAgreement) types.NamespacedName {
	return types.NamespacedName{Namespace: a.Namespace, Name: string(a.Spec.ServiceRef.Name)}
}

// concerned names the Releases whose status may differ after an event of the inventory.
func (r *Reconciler) concerned(e inventory.Event, push func(types.NamespacedName)) {
	switch {
	case e.Release.Name != "":
		push(e.Release)
		if rel, exists := r.Inventory.Release(e.Release); exists {
			for _, key := range practice.Keys(rel) {
				r.pushOf(key, push)
			}
			return
		}
		// It is gone; who waited for it is not known any more.
		r.pushWaiting(e.Release, push)
	case e.Change.Name != "":
		for _, rel := range r.Inventory.ReleasesUnder(e.Change) {
			push(client.ObjectKeyFromObject(rel))
		}
		if c, exists := r.Inventory.Change(e.Change); exists {
			if by := practice.RaisedBy(c.Object); by != "" {
				push(types.NamespacedName{Namespace: e.Change.Namespace, Name: by})
			}
		}
	case e.Workload.Name != "":
		r.pushOf(e.Workload, push)
	}
}

func (r *Reconciler) pushOf(key configuration.Key, push func(types.NamespacedName)) {
	for _, rel := range r.Inventory.ReleasesOf(key) {
		if rel.Status.EndedAt == nil {
			push(client.ObjectKeyFromObject(rel))
		}
	}
}

// pushWaiting pushes the Releases that wait for one.
func (r *Reconciler) pushWaiting(gone types.NamespacedName, push func(types.NamespacedName)) {
	for _, rel := range r.Inventory.ReleasesIn(gone.Namespace) {
		if w := rel.Status.WaitingFor; w != nil && string(w.Name) == gone.Name {
			push(client.ObjectKeyFromObject(rel))
		}
	}
}

func (r *Reconciler) ofIncident(_ context.Context, o client.Object) []ctrl.Request {
	i, ok := o.(*v1alpha1.Incident)
	if !ok {
		return nil
	}
	var out []ctrl.Request
	if name := incident.Suspected(i); name.Name != "" {
		for _, rel := range r.Inventory.ReleasesUnder(name) {
			out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(rel)})
		}
	}
	return append(out, r.ofService(serviceOf(i))...)
}

func (r *Reconciler) ofAgreement(_ context.Context, o client.Object) []ctrl.Request {
	a, ok := o.(*v1alpha1.ServiceLevelAgreement)
	if !ok {
		return nil
	}
	return r.ofService(promisedOn(a))
}

// ofService are the Releases that go on and concern a Service.
func (r *Reconciler) ofService(name types.NamespacedName) []ctrl.Request {
	if name.Name == "" {
		return nil
	}
	var out []ctrl.Request
	for _, rel := range r.Inventory.ReleasesIn(name.Namespace) {
		if rel.Status.StartedAt != nil && rel.Status.EndedAt == nil && contains(r.services(rel), name.Name) {
			out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(rel)})
		}
	}
	return out
}

// keyOf a unit's workload.
func keyOf(rel *v1alpha1.Release, w v1alpha1.WorkloadReference) configuration.Key {
	return change.KeyOf(rel.Namespace, w)
}
