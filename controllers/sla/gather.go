package sla

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/index"
	practice "github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Indexes of the cache, so that an event costs what it is about and not all that there is.
const (
	agreementService  = "sla/agreement.spec.serviceRef"
	agreementCalendar = "sla/agreement.spec.calendarRef"
	incidentService   = "sla/incident.services"
	serviceDependency = "sla/service.spec.dependsOn"
)

// maxTransitions is the API's bound for the changes of health in a Service's status.
const maxTransitions = 20

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	return index.Add(ctx, indexer,
		index.By(agreementService, func(a *v1alpha1.ServiceLevelAgreement) []string { return index.Value(a.Spec.ServiceRef.Name) }),
		index.By(agreementCalendar, func(a *v1alpha1.ServiceLevelAgreement) []string {
			return slices.Compact(index.Names(a.Spec.CalendarRef, termsCalendar(a)))
		}),
		index.By(serviceDependency, func(s *v1alpha1.Service) []string { return index.Keys(neededBy(s)) }),
		index.By(incidentService, func(i *v1alpha1.Incident) []string { return index.Keys(servicesOf(i)) }),
	)
}

func termsCalendar(a *v1alpha1.ServiceLevelAgreement) *v1alpha1.LocalReference {
	if a.Status.Terms == nil {
		return nil
	}
	return a.Status.Terms.CalendarRef
}

// neededBy are the services without which a service is out: what is promised of them, an agreement on it rests on.
func neededBy(s *v1alpha1.Service) []types.NamespacedName {
	var names []types.NamespacedName
	for _, d := range s.Spec.DependsOn {
		// The members of a group stand in for each other.
		if d.Strength == v1alpha1.DependencySoft || d.Group != "" {
			continue
		}
		name := types.NamespacedName{Namespace: string(d.Namespace), Name: string(d.Name)}
		if name.Namespace == "" {
			name.Namespace = s.Namespace
		}
		names = append(names, name)
	}
	return names
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
		return !ok || !ok2 || before.Generation != after.Generation || before.Status.Health != after.Status.Health || !before.Status.HealthSince.Equal(after.Status.HealthSince)
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

// ofAgreement are the agreements that rest on one: on the same service, and on those that need it.
func (r *Reconciler) ofAgreement(ctx context.Context, o client.Object) []ctrl.Request {
	a, ok := o.(*v1alpha1.ServiceLevelAgreement)
	if !ok || a.Spec.Type == "" || a.Spec.Type == v1alpha1.AgreementSLA {
		return nil
	}
	name := types.NamespacedName{Namespace: a.Namespace, Name: string(a.Spec.ServiceRef.Name)}
	requests := r.requests(ctx, client.InNamespace(name.Namespace), client.MatchingFields{agreementService: name.Name})
	list := &v1alpha1.ServiceList{}
	if err := r.Client.List(ctx, list, client.MatchingFields{serviceDependency: name.String()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Looking up Services")
		return requests
	}
	for i := range list.Items {
		s := &list.Items[i]
		requests = append(requests, r.requests(ctx, client.InNamespace(s.Namespace), client.MatchingFields{agreementService: s.Name})...)
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
	var err error
	if facts.Calendar, err = calendarOf(ctx, c, a.Spec.CalendarRef); err != nil {
		return facts, err
	}
	if facts.TermsCalendar, err = calendarOf(ctx, c, termsCalendar(a)); err != nil {
		return facts, err
	}
	name := types.NamespacedName{Namespace: a.Namespace, Name: string(a.Spec.ServiceRef.Name)}
	service := &v1alpha1.Service{}
	err = c.Get(ctx, name, service)
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
		facts.Incidents = append(facts.Incidents, incidentFact(&incidents.Items[i], a))
	}
	if a.Spec.Type == "" || a.Spec.Type == v1alpha1.AgreementSLA {
		facts.Underpinning, err = underpinning(ctx, c, append(neededBy(service), name))
	}
	return facts, err
}

func calendarOf(ctx context.Context, c client.Reader, ref *v1alpha1.LocalReference) (*v1alpha1.CalendarSpec, error) {
	if ref == nil {
		return nil, nil
	}
	calendar := &v1alpha1.Calendar{}
	err := c.Get(ctx, types.NamespacedName{Name: string(ref.Name)}, calendar)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading Calendar %s: %w", ref.Name, err)
	}
	return &calendar.Spec, nil
}

// underpinning are the OLAs and UCs on services.
func underpinning(ctx context.Context, c client.Reader, services []types.NamespacedName) ([]practice.Underpinning, error) {
	var found []practice.Underpinning
	for _, name := range services {
		list := &v1alpha1.ServiceLevelAgreementList{}
		err := c.List(ctx, list, client.InNamespace(name.Namespace), client.MatchingFields{agreementService: name.Name}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return nil, fmt.Errorf("listing the agreements on Service %s: %w", name, err)
		}
		for i := range list.Items {
			a := &list.Items[i]
			if a.Spec.Type == "" || a.Spec.Type == v1alpha1.AgreementSLA {
				continue
			}
			calendar, err := calendarOf(ctx, c, a.Spec.CalendarRef)
			if err != nil {
				return nil, err
			}
			found = append(found, practice.Underpinning{Namespace: a.Namespace, Name: a.Name, Spec: &a.Spec, Calendar: calendar})
		}
	}
	return found, nil
}

// incidentFact is what counts of an Incident. The impact in its spec is what a person declared.
func incidentFact(i *v1alpha1.Incident, a *v1alpha1.ServiceLevelAgreement) practice.AgreementIncident {
	began := i.CreationTimestamp
	f := practice.AgreementIncident{Name: v1alpha1.ObjectName(i.Name), Declared: i.Spec.Impact == v1alpha1.LevelHigh, DetectedAt: began.Time}
	if i.Namespace != a.Namespace {
		f.Namespace = v1alpha1.NamespaceName(i.Namespace)
	}
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
	if c := i.Status.Clocks; c != nil && string(c.Agreement) == a.Name {
		if c.Response != nil {
			f.Response = c.Response.State
		}
		if c.Resolution != nil {
			f.Resolution = c.Resolution.State
		}
	}
	return f
}
