// Package problem reconciles Problems: it opens one when the same failure recurs or was major, and follows each
// through its life.
package problem

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// +kubebuilder:rbac:groups=itil.dev,resources=problems,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=itil.dev,resources=problems/status,verbs=patch
// +kubebuilder:rbac:groups=itil.dev,resources=incidents;changes,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler computes the status of Problems.
type Reconciler struct {
	Client   client.Client
	Clock    clock.PassiveClock
	Recorder events.EventRecorder
	Rules    practice.Rules
}

// SetupWithManager registers the indexes, the reconciler of Problems and the opener of new ones.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	if err := (&opener{Client: r.Client, Clock: r.Clock, Rules: r.Rules}).setUp(mgr); err != nil {
		return fmt.Errorf("setting up the opener of Problems: %w", err)
	}
	if err := (&ranker{Client: r.Client}).setUp(mgr); err != nil {
		return fmt.Errorf("setting up the ranking of Problems: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).Named("problem").
		For(&v1alpha1.Problem{}).
		Watches(&v1alpha1.Incident{}, handler.EnqueueRequestsFromMapFunc(r.problemsOfIncident)).
		Watches(&v1alpha1.Change{}, handler.EnqueueRequestsFromMapFunc(r.problemsOfChange)).
		Complete(r)
}

func (r *Reconciler) problemsOfIncident(ctx context.Context, o client.Object) []ctrl.Request {
	incident, ok := o.(*v1alpha1.Incident)
	if !ok {
		return nil
	}
	requests := r.requests(ctx, incident.Namespace, problemFingerprint, incident.Status.Fingerprint)
	if ref := incident.Spec.ProblemRef; ref != nil {
		requests = append(requests, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: incident.Namespace, Name: string(ref.Name)}})
	}
	return requests
}

func (r *Reconciler) problemsOfChange(ctx context.Context, o client.Object) []ctrl.Request {
	return r.requests(ctx, o.GetNamespace(), problemChange, o.GetName())
}

func (r *Reconciler) requests(ctx context.Context, namespace, field, value string) []ctrl.Request {
	if value == "" {
		return nil
	}
	problems := &v1alpha1.ProblemList{}
	if err := r.Client.List(ctx, problems, client.InNamespace(namespace), client.MatchingFields{field: value}); err != nil {
		// The cache answers; an error is a missing index, which every test of this package would show.
		ctrl.LoggerFrom(ctx).Error(err, "Looking up Problems", "field", field)
		return nil
	}
	requests := make([]ctrl.Request, 0, len(problems.Items))
	for i := range problems.Items {
		requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&problems.Items[i])})
	}
	return requests
}

// Reconcile gathers what belongs to a Problem, decides, and writes the status if it differs.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	p := &v1alpha1.Problem{}
	if err := r.Client.Get(ctx, request.NamespacedName, p); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !p.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	in, err := r.gather(ctx, p)
	if err != nil {
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	decision := practice.Evaluate(in, now)
	after := p.DeepCopy()
	after.Status = decision.Status
	written, err := patch.Status(ctx, r.Client, p, after)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if written {
		r.tell(p, decision.Events)
	}
	if decision.Next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: decision.Next.Sub(now)}, nil
}

func (r *Reconciler) gather(ctx context.Context, p *v1alpha1.Problem) (practice.Input, error) {
	in := practice.Input{Problem: p, Rules: r.Rules}
	incidents, err := incidentsOf(ctx, r.Client, p)
	if err != nil {
		return in, err
	}
	in.Incidents = incidents
	for _, ref := range p.Spec.ChangeRefs {
		fact := practice.Change{Name: string(ref.Name)}
		c := &v1alpha1.Change{}
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: p.Namespace, Name: string(ref.Name)}, c)
		if client.IgnoreNotFound(err) != nil {
			return in, fmt.Errorf("reading Change %s: %w", ref.Name, err)
		}
		if err == nil {
			fact.Found, fact.Outcome = true, c.Status.Outcome
			if c.Status.ClosedAt != nil {
				fact.ClosedAt = c.Status.ClosedAt.Time
			}
		}
		in.Changes = append(in.Changes, fact)
	}
	return in, nil
}

// incidentsOf are those of the fingerprint and those that name the Problem, each once.
func incidentsOf(ctx context.Context, c client.Client, p *v1alpha1.Problem) ([]practice.Incident, error) {
	var found []practice.Incident
	seen := map[string]bool{}
	for field, value := range map[string]string{incidentFingerprint: p.Spec.Fingerprint, incidentProblem: p.Name} {
		if value == "" {
			continue
		}
		incidents := &v1alpha1.IncidentList{}
		if err := c.List(ctx, incidents, client.InNamespace(p.Namespace), client.MatchingFields{field: value}); err != nil {
			return nil, fmt.Errorf("listing the Incidents of Problem %s: %w", p.Name, err)
		}
		for i := range incidents.Items {
			if incident := &incidents.Items[i]; !seen[incident.Name] {
				seen[incident.Name] = true
				found = append(found, practice.IncidentOf(incident))
			}
		}
	}
	return found, nil
}

func (r *Reconciler) tell(p *v1alpha1.Problem, list []practice.Event) {
	for _, e := range list {
		kind := corev1.EventTypeNormal
		if e.Warning {
			kind = corev1.EventTypeWarning
		}
		r.Recorder.Eventf(p, nil, kind, e.Reason, e.Action, "%s", e.Note)
	}
}
