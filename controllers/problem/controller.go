// Package problem reconciles Problems: it opens one when the same failure recurs or was major, and follows each
// through its life.
package problem

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/expire"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// +kubebuilder:rbac:groups=itil.dev,resources=problems,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=itil.dev,resources=problems/status,verbs=patch
// +kubebuilder:rbac:groups=itil.dev,resources=incidents;changes,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler computes the status of Problems.
type Reconciler struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Reader asks the API server itself, which knows what the cache does not show yet; default: the manager's.
	Reader   client.Reader
	Clock    clock.PassiveClock
	Recorder events.EventRecorder
	Rules    practice.Rules
}

// SetupWithManager registers the indexes, the reconciler of Problems, the opener of new ones, the ranking and the metrics.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if r.Reader == nil {
		r.Reader = mgr.GetAPIReader()
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	exported.Show(ctx, mgr.Elected(), (&Collector{Reader: r.Client}).Collect)
	if err := (&opener{Client: r.Client, Reader: r.Reader, Clock: r.Clock, Rules: r.Rules}).setUp(mgr); err != nil {
		return fmt.Errorf("setting up the opener of Problems: %w", err)
	}
	if err := (&ranker{Client: r.Client}).setUp(mgr); err != nil {
		return fmt.Errorf("setting up the ranking of Problems: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).Named("problem").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		Watches(&v1alpha1.Problem{}, handler.EnqueueRequestsFromMapFunc(r.ofProblem), builder.WithPredicates(linksOtherwise())).
		Watches(&v1alpha1.Incident{}, handler.EnqueueRequestsFromMapFunc(r.ofIncident), builder.WithPredicates(countsOtherwise())).
		Watches(&v1alpha1.Change{}, handler.EnqueueRequestsFromMapFunc(r.ofChange)).
		Complete(r)
}

// linksOtherwise lets pass what a Problem's own status, or another's, follows from: not the figures that are written.
func linksOtherwise() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Problem)
		after, ok2 := e.ObjectNew.(*v1alpha1.Problem)
		return !ok || !ok2 || before.Generation != after.Generation || before.Status.State != after.Status.State ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() || !sameFacts(&before.Status, &after.Status)
	}}
}

// sameFacts compares what is read back: a status that somebody wiped is written anew.
func sameFacts(a, b *v1alpha1.ProblemStatus) bool {
	return a.ResolvedAt.Equal(b.ResolvedAt) && a.ClosedAt.Equal(b.ClosedAt) && (a.Fix == nil) == (b.Fix == nil) &&
		overdueReview(a) == overdueReview(b) && len(a.Changes) == len(b.Changes) && len(a.Conditions) == len(b.Conditions) && (a.Incidents == nil) == (b.Incidents == nil)
}

func overdueReview(s *v1alpha1.ProblemStatus) bool {
	return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionReviewOverdue)
}

// countsOtherwise lets pass what a Problem counts of an Incident, and not each signal that is seen again.
func countsOtherwise() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Incident)
		after, ok2 := e.ObjectNew.(*v1alpha1.Incident)
		return !ok || !ok2 || practice.IncidentOf(before) != practice.IncidentOf(after) ||
			before.Status.Fingerprint != after.Status.Fingerprint || problemRef(before) != problemRef(after)
	}}
}

func problemRef(i *v1alpha1.Incident) string {
	if i.Spec.ProblemRef == nil {
		return ""
	}
	return string(i.Spec.ProblemRef.Name)
}

// leastWait keeps a look that is due at once from coming before the clock has moved.
const leastWait = 10 * time.Millisecond

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
	if decision.Expired {
		_, err := expire.Record(ctx, r.Client, "Problem", p)
		return ctrl.Result{}, err
	}
	after := p.DeepCopy()
	after.Status = decision.Status
	written, err := patch.Status(ctx, r.Client, p, after, patch.OptimisticLock)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		// Somebody wrote meanwhile; the event of that is on its way, and what happened must not be told twice.
		return ctrl.Result{RequeueAfter: patch.StaleRetry}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("writing the status of Problem %s: %w", request, err)
	case written:
		r.tell(ctx, after, decision)
	}
	if decision.Next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(decision.Next.Sub(now), leastWait)}, nil
}

func (r *Reconciler) tell(ctx context.Context, p *v1alpha1.Problem, d practice.Decision) {
	for _, e := range d.Events {
		r.Recorder.Eventf(p, nil, e.Type(), e.Reason, e.Action, "%s", e.Note)
	}
	if d.ClosedNow {
		// One line that outlives the record.
		ctrl.LoggerFrom(ctx).Info("Problem closed", "problem", map[string]any{
			"namespace": p.Namespace, "name": p.Name, "uid": p.UID, "spec": p.Spec, "status": p.Status,
		})
	}
}
