// Package sla keeps the status of ServiceLevelAgreements: what was promised about a Service, and what was kept.
package sla

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// +kubebuilder:rbac:groups=itil.dev,resources=servicelevelagreements,verbs=get;list;watch
// +kubebuilder:rbac:groups=itil.dev,resources=servicelevelagreements/status,verbs=patch
// +kubebuilder:rbac:groups=itil.dev,resources=services;incidents;calendars,verbs=get;list;watch

// Reconciler writes the status of ServiceLevelAgreements. The leader alone runs it.
type Reconciler struct {
	Client client.Client
	Clock  clock.PassiveClock
	// Services tells whether the status of a Service is up to date; nil: it is. After a restart it may have to tell of
	// outages in a period that ends now.
	Services interface {
		// Told is since when the Service has the health that is written; false: it was not looked at yet.
		Told(name practice.ServiceName) (since time.Time, ok bool)
	}

	mu sync.Mutex
	// looks are when each agreement's Service was last seen to be as it was; nothing else knows that.
	looks map[types.NamespacedName]look
}

// look is a health with the time at which it was last seen to go on.
type look struct {
	health v1alpha1.Health
	since  time.Time
	at     time.Time
}

// SetupWithManager registers the indexes, the reconciler and the metrics.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	exported.Show(ctx, mgr.Elected(), (&Collector{Reader: r.Client, Clock: r.Clock}).Collect)
	return ctrl.NewControllerManagedBy(mgr).Named("sla").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		For(&v1alpha1.ServiceLevelAgreement{}).
		Watches(&v1alpha1.Service{}, handler.EnqueueRequestsFromMapFunc(r.ofService), builder.WithPredicates(healthChanged())).
		Watches(&v1alpha1.Incident{}, handler.EnqueueRequestsFromMapFunc(r.ofIncident)).
		Watches(&v1alpha1.ServiceLevelAgreement{}, handler.EnqueueRequestsFromMapFunc(r.ofAgreement), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Calendar{}, handler.EnqueueRequestsFromMapFunc(r.ofCalendar), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

// Reconcile brings the status of one agreement up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	a := &v1alpha1.ServiceLevelAgreement{}
	err := r.Client.Get(ctx, request.NamespacedName, a)
	if apierrors.IsNotFound(err) {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading ServiceLevelAgreement %s: %w", request, err)
	}
	if !a.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	facts, err := gather(ctx, r.Client, a)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !r.upToDate(a, facts.Service) {
		return ctrl.Result{RequeueAfter: catchUpRetry}, nil
	}
	now := r.Clock.Now()
	r.look(a, facts.Service, now)
	decision := practice.EvaluateAgreement(facts, now)
	after := a.DeepCopy()
	after.Status = decision.Status
	// The record is a list that a patch replaces: one that follows from an older record must not be written. The newer
	// one is on its way here and causes the next Reconcile.
	if _, err := patch.Status(ctx, r.Client, a, after, patch.OptimisticLock); err != nil {
		switch {
		case apierrors.IsNotFound(err):
			return ctrl.Result{}, nil
		case apierrors.IsConflict(err):
			return ctrl.Result{RequeueAfter: patch.StaleRetry}, nil
		}
		return ctrl.Result{}, fmt.Errorf("writing the status of ServiceLevelAgreement %s: %w", request, err)
	}
	if decision.Wake.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(decision.Wake.Sub(now), time.Second)}, nil
}

// catchUpRetry is how soon to look again for a Service that was not looked at since this process leads. That takes as
// long as reading all pods does, once.
const catchUpRetry = time.Second

// upToDate reports whether the cache has the status of the Service that this process wrote, or found to be right.
func (r *Reconciler) upToDate(a *v1alpha1.ServiceLevelAgreement, service *practice.Observation) bool {
	if r.Services == nil || service == nil {
		return true
	}
	since, ok := r.Services.Told(practice.ServiceName{Namespace: a.Namespace, Name: string(a.Spec.ServiceRef.Name)})
	return ok && !service.Since.Before(since)
}

// look remembers that a health goes on, and tells until when the recorded one is known to have.
func (r *Reconciler) look(a *v1alpha1.ServiceLevelAgreement, service *practice.Observation, now time.Time) {
	if service == nil {
		return
	}
	key := client.ObjectKeyFromObject(a)
	r.mu.Lock()
	defer r.mu.Unlock()
	recorded := a.Status.Observed
	if last, ok := r.looks[key]; ok && recorded != nil && last.health == recorded.Health && last.since.Equal(recorded.Since.Time) {
		service.Seen = last.at
	}
	if recorded == nil || recorded.Health != service.Health || !recorded.Since.Time.Equal(service.Since) {
		return // what was seen before is needed until the new health is recorded
	}
	if r.looks == nil {
		r.looks = map[types.NamespacedName]look{}
	}
	r.looks[key] = look{health: service.Health, since: service.Since, at: now}
}

func (r *Reconciler) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.looks, key)
}
