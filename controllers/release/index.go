package release

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
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
	for _, i := range []struct {
		obj  client.Object
		name string
		keys client.IndexerFunc
	}{
		{&v1alpha1.Incident{}, suspectedIndex, func(o client.Object) []string { return keysOf(suspected(o)) }},
		{&v1alpha1.Incident{}, incidentsIndex, func(o client.Object) []string { return keysOf(incidentService(o)) }},
		{&v1alpha1.ServiceLevelAgreement{}, agreementsIndex, func(o client.Object) []string { return keysOf(agreementService(o)) }},
	} {
		if err := indexer.IndexField(ctx, i.obj, i.name, i.keys); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", i.obj, i.name, err)
		}
	}
	return nil
}

func keysOf(name types.NamespacedName) []string {
	if name.Name == "" {
		return nil
	}
	return []string{name.String()}
}

// suspected is the Change that an Incident suspects; none: no name.
func suspected(o client.Object) types.NamespacedName {
	incident, ok := o.(*v1alpha1.Incident)
	if !ok || incident.Status.SuspectedChange == nil {
		return types.NamespacedName{}
	}
	return within(incident.Namespace, string(incident.Status.SuspectedChange.Namespace), incident.Status.SuspectedChange.Name)
}

func incidentService(o client.Object) types.NamespacedName {
	incident, ok := o.(*v1alpha1.Incident)
	if !ok || incident.Spec.ServiceRef == nil {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: incident.Namespace, Name: string(incident.Spec.ServiceRef.Name)}
}

func agreementService(o client.Object) types.NamespacedName {
	agreement, ok := o.(*v1alpha1.ServiceLevelAgreement)
	if !ok {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: agreement.Namespace, Name: string(agreement.Spec.ServiceRef.Name)}
}

func within(namespace, other, name string) types.NamespacedName {
	if other != "" {
		namespace = other
	}
	return types.NamespacedName{Namespace: namespace, Name: name}
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
	var out []ctrl.Request
	if name := suspected(o); name.Name != "" {
		for _, rel := range r.Inventory.ReleasesUnder(name) {
			out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(rel)})
		}
	}
	return append(out, r.ofService(incidentService(o))...)
}

func (r *Reconciler) ofAgreement(_ context.Context, o client.Object) []ctrl.Request {
	return r.ofService(agreementService(o))
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
