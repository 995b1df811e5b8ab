package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// gather reads what decides about an Incident besides itself.
func (r *Reconciler) gather(ctx context.Context, i *v1alpha1.Incident) (practice.Facts, error) {
	facts := practice.Facts{Rules: r.Rules}
	if i.Status.State == v1alpha1.IncidentClosed {
		return facts, nil
	}
	var err error
	r.service(i, &facts)
	if facts.Service != nil {
		if facts.Agreements, err = r.agreements(ctx, i); err != nil {
			return facts, err
		}
	}
	if key, about := practice.KeyOf(i); about {
		facts.Baselines = r.Inventory.Baselines(key)
	}
	if facts.HoldOver, err = r.holdOver(ctx, i); err != nil {
		return facts, err
	}
	if facts.ParentResolvedAt, err = r.parentResolvedAt(ctx, i); err != nil {
		return facts, err
	}
	if err = r.problemFacts(ctx, i, &facts); err != nil {
		return facts, err
	}
	r.children(ctx, i, &facts)
	facts.Caps = r.Caps()
	return facts, nil
}

// children are the Incidents that this one explains: how many, and how pressing the most pressing of them is.
func (r *Reconciler) children(ctx context.Context, i *v1alpha1.Incident, facts *practice.Facts) {
	for _, child := range r.find(ctx, client.MatchingFields{byParent: client.ObjectKeyFromObject(i).String()}) {
		facts.Children++
		if child.Status.State == v1alpha1.IncidentClosed || child.Status.State == "" {
			continue
		}
		impact := cmp.Or(child.Spec.Impact, child.Status.Impact)
		urgency := cmp.Or(child.Spec.Urgency, child.Status.Urgency)
		if facts.ChildImpact == "" || practice.PriorityOf(impact, urgency) < practice.PriorityOf(facts.ChildImpact, facts.ChildUrgency) {
			facts.ChildImpact, facts.ChildUrgency = impact, urgency
		}
	}
	facts.ChildrenDue = r.counted.due(i.UID)
}

// counted is when the number of children of Incidents may be written again, if nothing else changes. What is lost with a
// restart is written once more.
type counted struct {
	mu    sync.Mutex
	dueAt map[types.UID]time.Time
}

func (c *counted) due(uid types.UID) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dueAt[uid]
}

// written takes down that it is written now: at most once a minute and then ever more rarely.
func (c *counted) written(i *v1alpha1.Incident, now time.Time) {
	began := i.CreationTimestamp.Time
	if i.Status.DetectedAt != nil {
		began = i.Status.DetectedAt.Time
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	const most = 1000
	if c.dueAt == nil || len(c.dueAt) >= most {
		c.dueAt = map[types.UID]time.Time{}
	}
	c.dueAt[i.UID] = now.Add(practice.CountInterval(now.Sub(began)))
}

// service finds who suffers: the service that the Incident names, and those that cannot do without it while it does.
func (r *Reconciler) service(i *v1alpha1.Incident, facts *practice.Facts) {
	if i.Spec.ServiceRef == nil {
		return
	}
	name := servicelevel.ServiceName{Namespace: i.Namespace, Name: string(i.Spec.ServiceRef.Name)}
	s, exists := r.Inventory.Service(name)
	if !exists {
		return
	}
	facts.Service = &practice.ServiceFacts{
		Namespace: name.Namespace, Name: name.Name, Tier: s.Tier(),
		SupportGroup: s.Spec.SupportGroup, Runbook: s.Spec.Runbook, Health: v1alpha1.HealthUnknown,
	}
	if o := r.Inventory.ServiceObject(name); o != nil {
		facts.Service.Health = realHealth(o.Status.Health)
	}
	if r.beside(i) {
		facts.Service.Health = v1alpha1.HealthOperational
	}
	affected := []servicelevel.ServiceName{name}
	if harms(facts.Service.Health) || i.Status.Impact == v1alpha1.LevelHigh || i.Status.Impact == v1alpha1.LevelMedium {
		affected = r.dependents(affected)
	}
	for _, a := range affected {
		facts.AffectedServices = append(facts.AffectedServices, v1alpha1.NamespacedReference{
			Namespace: v1alpha1.NamespaceName(a.Namespace), Name: v1alpha1.ObjectName(a.Name),
		})
	}
}

// beside reports whether what fails does so beside all the pods that the workload should have, as where a rollout does not
// come in: what its service suffers from is another's.
func (r *Reconciler) beside(i *v1alpha1.Incident) bool {
	key, about := practice.KeyOf(i)
	if !about || !practice.Surplus(i.Status.Signals) {
		return false
	}
	w, known := r.Inventory.Workload(key)
	return known && w.Desired > 0 && w.Ready >= w.Desired
}

// realHealth leaves maintenance aside: it is a label on an outage that was declared.
func realHealth(h v1alpha1.Health) v1alpha1.Health {
	if h == v1alpha1.HealthMaintenance {
		return v1alpha1.HealthOutage
	}
	return h
}

func harms(h v1alpha1.Health) bool {
	return h == v1alpha1.HealthOutage || h == v1alpha1.HealthDegraded
}

const maxAffected = 50

// dependents adds the services that need those, directly or not.
func (r *Reconciler) dependents(services []servicelevel.ServiceName) []servicelevel.ServiceName {
	for n := 0; n < len(services); n++ {
		for _, d := range r.Inventory.Dependents(services[n]) {
			if d.Strength == v1alpha1.DependencyHard && d.Group == "" && !slices.Contains(services, d.Name) && len(services) < maxAffected {
				services = append(services, d.Name)
			}
		}
	}
	return services
}

// agreements are the SLAs that name the service and were in force when the Incident began.
func (r *Reconciler) agreements(ctx context.Context, i *v1alpha1.Incident) ([]practice.Agreement, error) {
	list := &v1alpha1.ServiceLevelAgreementList{}
	err := r.Client.List(ctx, list, client.InNamespace(i.Namespace), client.MatchingFields{byService: string(i.Spec.ServiceRef.Name)})
	if err != nil {
		return nil, fmt.Errorf("list the agreements about Service %s/%s: %w", i.Namespace, i.Spec.ServiceRef.Name, err)
	}
	var out []practice.Agreement
	for n := range list.Items {
		a := &list.Items[n]
		if a.Spec.Type != v1alpha1.AgreementSLA && a.Spec.Type != "" || a.DeletionTimestamp != nil || !inForce(a, i) {
			continue
		}
		agreed, err := r.calendar(ctx, a)
		if err != nil {
			return nil, err
		}
		out = append(out, practice.Agreement{
			Name: a.Name, Time: agreed, Response: times(a.Spec.Response), Resolution: times(a.Spec.Resolution),
		})
	}
	return out, nil
}

func inForce(a *v1alpha1.ServiceLevelAgreement, i *v1alpha1.Incident) bool {
	if a.Spec.ValidFrom == "" {
		return true
	}
	from, err := servicelevel.ParseTimestamp("spec.validFrom", a.Spec.ValidFrom)
	began := i.CreationTimestamp.Time
	if i.Status.DetectedAt != nil {
		began = i.Status.DetectedAt.Time
	}
	return err == nil && !began.Before(from)
}

func times(t *v1alpha1.PriorityTimes) map[v1alpha1.Priority]time.Duration {
	if t == nil {
		return nil
	}
	out := map[v1alpha1.Priority]time.Duration{}
	for priority, text := range map[v1alpha1.Priority]v1alpha1.ServiceTime{
		v1alpha1.PriorityP1: t.P1, v1alpha1.PriorityP2: t.P2, v1alpha1.PriorityP3: t.P3, v1alpha1.PriorityP4: t.P4,
	} {
		if text == "" {
			continue
		}
		if d, err := servicelevel.ParseServiceTime(string(priority), text); err == nil {
			out[priority] = d
		}
	}
	return out
}

// calendar is the agreed service time. Where its Calendar does not exist or cannot be understood, clocks run around
// the clock: that they never ran out would be a silent default. The agreement's own conditions say what is wrong.
func (r *Reconciler) calendar(ctx context.Context, a *v1alpha1.ServiceLevelAgreement) (practice.BusinessTime, error) {
	if a.Spec.CalendarRef == nil {
		return servicelevel.Always(), nil
	}
	c := &v1alpha1.Calendar{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: string(a.Spec.CalendarRef.Name)}, c)
	switch {
	case apierrors.IsNotFound(err):
		return servicelevel.Always(), nil
	case err != nil:
		return nil, fmt.Errorf("read Calendar %s: %w", a.Spec.CalendarRef.Name, err)
	}
	return r.calendars.of(c), nil
}

// calendars keeps those that were read, since reading one takes longer than using it.
type calendars struct {
	mu   sync.Mutex
	read map[string]readCalendar
}

type readCalendar struct {
	generation int64
	calendar   servicelevel.Calendar
}

func (c *calendars) of(obj *v1alpha1.Calendar) servicelevel.Calendar {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := string(obj.UID)
	if known, ok := c.read[id]; ok && known.generation == obj.Generation {
		return known.calendar
	}
	calendar, errs := servicelevel.ParseCalendar(obj.Spec)
	if len(errs) > 0 {
		calendar = servicelevel.Always()
	}
	const most = 1000
	if c.read == nil || len(c.read) >= most {
		c.read = map[string]readCalendar{}
	}
	c.read[id] = readCalendar{obj.Generation, calendar}
	return calendar
}

// holdOver reports whether what the Incident waits for has come: all of its Changes, or its Problem, are closed.
func (r *Reconciler) holdOver(ctx context.Context, i *v1alpha1.Incident) (bool, error) {
	if i.Spec.Hold == nil {
		return false, nil
	}
	switch i.Spec.Hold.Reason {
	case v1alpha1.HoldAwaitingChange:
		for _, ref := range i.Spec.ChangeRefs {
			c := &v1alpha1.Change{}
			err := r.Client.Get(ctx, client.ObjectKey{Namespace: i.Namespace, Name: string(ref.Name)}, c)
			switch {
			case apierrors.IsNotFound(err):
				// It may not have been filed yet.
				return false, nil
			case err != nil:
				return false, fmt.Errorf("read Change %s/%s: %w", i.Namespace, ref.Name, err)
			case c.Status.State != v1alpha1.ChangeClosed && c.Status.State != v1alpha1.ChangeRejected && c.Status.State != v1alpha1.ChangeCanceled:
				return false, nil
			}
		}
		return len(i.Spec.ChangeRefs) > 0, nil
	case v1alpha1.HoldAwaitingProblem:
		p, err := r.problem(ctx, i)
		if err != nil || p == nil {
			return false, err
		}
		return p.Status.State == v1alpha1.ProblemResolved || p.Status.State == v1alpha1.ProblemClosed, nil
	case v1alpha1.HoldAwaitingCaller, v1alpha1.HoldAwaitingVendor:
		return false, nil
	default:
		return false, nil
	}
}

// parentResolvedAt is when the Incident that explains this one was resolved; zero: it was not.
func (r *Reconciler) parentResolvedAt(ctx context.Context, i *v1alpha1.Incident) (time.Time, error) {
	parent := parentOf(i)
	if parent.Name == "" {
		return time.Time{}, nil
	}
	p := &v1alpha1.Incident{}
	err := r.Client.Get(ctx, parent, p)
	if apierrors.IsNotFound(err) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read the parent Incident %s: %w", parent, err)
	}
	if p.Status.ResolvedAt == nil {
		return time.Time{}, nil
	}
	return p.Status.ResolvedAt.Time, nil
}
