package slas

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	practice "github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// reader reads what the running figures of agreements follow from, each record once and as far as the user may. What may
// not be read is as if it were not there: then the figures are those of the status, true at its asOf.
type reader struct {
	session   *session.Session
	calendars map[string]*v1alpha1.CalendarSpec
	incidents map[string][]v1alpha1.Incident
}

func newReader(s *session.Session) *reader {
	return &reader{session: s, calendars: map[string]*v1alpha1.CalendarSpec{}, incidents: map[string][]v1alpha1.Incident{}}
}

// running computes an agreement's figures now, as the operator's metrics do; false where they cannot be said.
func (r *reader) running(ctx context.Context, a *v1alpha1.ServiceLevelAgreement, now time.Time) (practice.RunningFigures, bool) {
	facts := practice.AgreementFacts{Agreement: a}
	var ok bool
	if facts.Calendar, ok = r.calendar(ctx, a.Spec.CalendarRef); !ok {
		return practice.RunningFigures{}, false
	}
	if terms := a.Status.Terms; terms != nil {
		if facts.TermsCalendar, ok = r.calendar(ctx, terms.CalendarRef); !ok {
			return practice.RunningFigures{}, false
		}
	}
	service := &v1alpha1.Service{}
	err := r.session.Get(ctx, session.Ref{Namespace: a.Namespace, Name: string(a.Spec.ServiceRef.Name)}, service)
	switch exit.CodeOf(err) {
	case exit.OK:
		facts.Service = &practice.Observation{Health: service.Status.Health}
		if since := service.Status.HealthSince; since != nil {
			facts.Service.Since = since.Time
		}
		for _, t := range service.Status.Transitions {
			facts.Transitions = append(facts.Transitions, practice.Observation{Health: t.Health, Since: t.At.Time})
		}
	case exit.NotFound:
	case exit.NotPermitted, exit.Failed, exit.Usage, exit.WrongState, exit.NotConfirmed, exit.WouldBeDenied:
		return practice.RunningFigures{}, false
	}
	if facts.Incidents, ok = r.declared(ctx, a); !ok {
		return practice.RunningFigures{}, false
	}
	return practice.Running(facts, now)
}

func (r *reader) calendar(ctx context.Context, ref *v1alpha1.LocalReference) (*v1alpha1.CalendarSpec, bool) {
	if ref == nil {
		return nil, true
	}
	name := string(ref.Name)
	if spec, read := r.calendars[name]; read {
		return spec, spec != nil
	}
	c := &v1alpha1.Calendar{}
	if err := r.session.Get(ctx, client.ObjectKey{Name: name}, c); err != nil {
		r.calendars[name] = nil
		return nil, false
	}
	r.calendars[name] = &c.Spec
	return &c.Spec, true
}

// declared are the Incidents on the agreement's service of its namespace; those that persons declared to be outages count.
func (r *reader) declared(ctx context.Context, a *v1alpha1.ServiceLevelAgreement) ([]practice.AgreementIncident, bool) {
	items, read := r.incidents[a.Namespace]
	if !read {
		list := &v1alpha1.IncidentList{}
		if err := r.session.ReadAll(ctx, list, a.Namespace); err != nil {
			return nil, false
		}
		items = list.Items
		r.incidents[a.Namespace] = items
	}
	var out []practice.AgreementIncident
	for n := range items {
		i := &items[n]
		if i.Spec.ServiceRef == nil || i.Spec.ServiceRef.Name != a.Spec.ServiceRef.Name {
			continue
		}
		f := practice.AgreementIncident{Name: v1alpha1.ObjectName(i.Name), Declared: i.Spec.Impact == v1alpha1.LevelHigh, DetectedAt: i.CreationTimestamp.Time}
		f.Start = i.CreationTimestamp.Time
		if i.Status.StartedAt != nil {
			f.Start = i.Status.StartedAt.Time
		}
		if i.Status.ResolvedAt != nil {
			f.End = i.Status.ResolvedAt.Time
		}
		if i.Status.DetectedAt != nil {
			f.DetectedAt = i.Status.DetectedAt.Time
		}
		out = append(out, f)
	}
	return out, true
}
