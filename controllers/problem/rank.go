package problem

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// +kubebuilder:rbac:groups=itil.dev,resources=problems/status,verbs=patch

// ranker gives the open Problems of a namespace their places. A place is relative to the others', so that it cannot
// be part of one Problem's own reconcile; it is looked at only when a figure that it goes by has changed.
type ranker struct{ Client client.Client }

func (r *ranker) setUp(mgr ctrl.Manager) error {
	byNamespace := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []string { return []string{o.GetNamespace()} })
	return builder.TypedControllerManagedBy[string](mgr).Named("problem-rank").
		WithOptions(controller.TypedOptions[string]{RateLimiter: retry.Limiter[string]()}).
		Watches(&v1alpha1.Problem{}, byNamespace, builder.WithPredicates(predicate.Funcs{UpdateFunc: weighsOtherwise})).
		Complete(r)
}

func weighsOtherwise(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1alpha1.Problem)
	after, ok2 := e.ObjectNew.(*v1alpha1.Problem)
	return !ok || !ok2 || weightOf(before) != weightOf(after) || ranked(before) != ranked(after) ||
		after.Status.Rank == 0 && before.Status.Rank != 0
}

func ranked(p *v1alpha1.Problem) bool { return p.Status.State != v1alpha1.ProblemClosed }

func weightOf(p *v1alpha1.Problem) practice.Weight {
	w := practice.Weight{Name: p.Name}
	if i := p.Status.Incidents; i != nil {
		w.DowntimeSeconds, w.Failures = i.RankDowntimeSeconds, int(i.RankFailures)
	}
	return w
}

// Reconcile writes the places that changed.
func (r *ranker) Reconcile(ctx context.Context, namespace string) (reconcile.Result, error) {
	problems := &v1alpha1.ProblemList{}
	if err := r.Client.List(ctx, problems, client.InNamespace(namespace)); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the Problems of %s: %w", namespace, err)
	}
	var weights []practice.Weight
	for i := range problems.Items {
		if ranked(&problems.Items[i]) {
			weights = append(weights, weightOf(&problems.Items[i]))
		}
	}
	places := practice.Rank(weights)
	var failures []error
	for i := range problems.Items {
		before := &problems.Items[i]
		after := before.DeepCopy()
		// A closed Problem has no place of its own, and stands behind those that have: a list sorted by rank begins
		// with what is worth the most.
		after.Status.Rank = cmp.Or(places[before.Name], practice.LastRank)
		if _, err := patch.Status(ctx, r.Client, before, after); client.IgnoreNotFound(err) != nil {
			failures = append(failures, fmt.Errorf("writing the rank of Problem %s: %w", before.Name, err))
		}
	}
	return reconcile.Result{}, errors.Join(failures...)
}
