package sla

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Indexes of the cache, so that an event costs what it is about and not all that there is.
const (
	agreementService  = "sla/agreement.spec.serviceRef"
	agreementCalendar = "sla/agreement.spec.calendarRef"
	incidentService   = "sla/incident.services"
)

// maxTransitions is the API's bound for the changes of health in a Service's status.
const maxTransitions = 20

func index(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range []struct {
		kind  client.Object
		field string
		of    client.IndexerFunc
	}{
		{&v1alpha1.ServiceLevelAgreement{}, agreementService, func(o client.Object) []string {
			if a, ok := o.(*v1alpha1.ServiceLevelAgreement); ok {
				return []string{string(a.Spec.ServiceRef.Name)}
			}
			return nil
		}},
		{&v1alpha1.ServiceLevelAgreement{}, agreementCalendar, func(o client.Object) []string {
			if a, ok := o.(*v1alpha1.ServiceLevelAgreement); ok && a.Spec.CalendarRef != nil {
				return []string{string(a.Spec.CalendarRef.Name)}
			}
			return nil
		}},
		{&v1alpha1.Incident{}, incidentService, func(o client.Object) []string {
			var keys []string
			if i, ok := o.(*v1alpha1.Incident); ok {
				for _, service := range servicesOf(i) {
					keys = append(keys, service.String())
				}
			}
			return keys
		}},
	} {
		if err := indexer.IndexField(ctx, i.kind, i.field, i.of); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", i.kind, i.field, err)
		}
	}
	return nil
}

// servicesOf an Incident: the one that it names, or where it names a workload only, those that suffer.
func servicesOf(i *v1alpha1.Incident) []types.NamespacedName {
	if ref := i.Spec.ServiceRef; ref != nil {
		return []types.NamespacedName{{Namespace: i.Namespace, Name: string(ref.Name)}}
	}
	var services []types.NamespacedName
	for _, ref := range i.Status.AffectedServices {
		name := types.NamespacedName{Namespace: string(ref.Namespace), Name: string(ref.Name)}
		if name.Namespace == "" {
			name.Namespace = i.Namespace
		}
		services = append(services, name)
	}
	return services
}

func healthChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Service)
		after, ok2 := e.ObjectNew.(*v1alpha1.Service)
		return !ok || !ok2 || before.Status.Health != after.Status.Health || !before.Status.HealthSince.Equal(after.Status.HealthSince)
	}}
}

func (r *Reconciler) ofService(ctx context.Context, o client.Object) []ctrl.Request {
	return r.requests(ctx, client.InNamespace(o.GetNamespace()), client.MatchingFields{agreementService: o.GetName()})
}

func (r *Reconciler) ofIncident(ctx context.Context, o client.Object) []ctrl.Request {
	i, ok := o.(*v1alpha1.Incident)
	if !ok {
		return nil
	}
	var requests []ctrl.Request
	for _, service := range servicesOf(i) {
		requests = append(requests, r.requests(ctx, client.InNamespace(service.Namespace), client.MatchingFields{agreementService: service.Name})...)
	}
	return requests
}

func (r *Reconciler) ofCalendar(ctx context.Context, o client.Object) []ctrl.Request {
	return r.requests(ctx, client.MatchingFields{agreementCalendar: o.GetName()})
}

func (r *Reconciler) requests(ctx context.Context, options ...client.ListOption) []ctrl.Request {
	list := &v1alpha1.ServiceLevelAgreementList{}
	if err := r.Client.List(ctx, list, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		// The cache answers; an error is a missing index, which every test of this package would show.
		ctrl.LoggerFrom(ctx).Error(err, "Looking up ServiceLevelAgreements")
		return nil
	}
	requests := make([]ctrl.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// gather what an agreement's status follows from.
func gather(ctx context.Context, c client.Reader, a *v1alpha1.ServiceLevelAgreement) (practice.AgreementFacts, error) {
	facts := practice.AgreementFacts{Agreement: a}
	if ref := a.Spec.CalendarRef; ref != nil {
		calendar := &v1alpha1.Calendar{}
		err := c.Get(ctx, types.NamespacedName{Name: string(ref.Name)}, calendar)
		switch {
		case err == nil:
			facts.Calendar = &calendar.Spec
		case !apierrors.IsNotFound(err):
			return facts, fmt.Errorf("reading Calendar %s: %w", ref.Name, err)
		}
	}
	name := types.NamespacedName{Namespace: a.Namespace, Name: string(a.Spec.ServiceRef.Name)}
	service := &v1alpha1.Service{}
	err := c.Get(ctx, name, service)
	switch {
	case err == nil:
		facts.Service = &practice.Observation{Health: service.Status.Health}
		if since := service.Status.HealthSince; since != nil {
			facts.Service.Since = since.Time
		}
		for _, t := range service.Status.Transitions {
			facts.Transitions = append(facts.Transitions, practice.Observation{Health: t.Health, Since: t.At.Time})
		}
		facts.TransitionsCut = len(facts.Transitions) >= maxTransitions
	case !apierrors.IsNotFound(err):
		return facts, fmt.Errorf("reading Service %s: %w", name, err)
	}
	incidents := &v1alpha1.IncidentList{}
	if err := c.List(ctx, incidents, client.MatchingFields{incidentService: name.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return facts, fmt.Errorf("listing the Incidents on Service %s: %w", name, err)
	}
	for i := range incidents.Items {
		facts.Incidents = append(facts.Incidents, incidentFact(&incidents.Items[i], a.Name))
	}
	return facts, nil
}

// incidentFact is what counts of an Incident. The impact in its spec is what a person declared.
func incidentFact(i *v1alpha1.Incident, agreement string) practice.AgreementIncident {
	began := i.CreationTimestamp
	f := practice.AgreementIncident{Declared: i.Spec.Impact == v1alpha1.LevelHigh, DetectedAt: began.Time}
	if i.Status.StartedAt != nil {
		began = *i.Status.StartedAt
	}
	f.Start = began.Time
	if i.Status.ResolvedAt != nil {
		// What was resolved in the second in which it began lasted for none.
		f.End = i.Status.ResolvedAt.Time
	}
	if i.Status.DetectedAt != nil {
		f.DetectedAt = i.Status.DetectedAt.Time
	}
	if c := i.Status.Clocks; c != nil && string(c.Agreement) == agreement {
		if c.Response != nil {
			f.Response = c.Response.State
		}
		if c.Resolution != nil {
			f.Resolution = c.Resolution.State
		}
	}
	return f
}
