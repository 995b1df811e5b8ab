package delivery

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/delivery"
)

// releases writes the figures of Releases: of its own Change, and those of its Services, as they are while it runs and as
// they were when it ended. It measures them itself: a Service's status may not have yet what just happened.
type releases struct{ *Reconciler }

func (r *releases) setUp(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("release-delivery").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		WatchesRawSource(r.members()).
		Watches(&v1alpha1.Release{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(predicate.Funcs{UpdateFunc: advanced})).
		Watches(&v1alpha1.Change{}, handler.EnqueueRequestsFromMapFunc(r.ofChange), builder.WithPredicates(deploysOtherwise())).
		Watches(&v1alpha1.Incident{}, handler.EnqueueRequestsFromMapFunc(r.ofIncident), builder.WithPredicates(endsOtherwise())).
		Watches(&v1alpha1.Service{}, handler.EnqueueRequestsFromMapFunc(r.ofService), builder.WithPredicates(predicate.Funcs{UpdateFunc: measuredOtherwise})).
		Complete(r)
}

// advanced lets pass a Release that has another Change or state, or whose figures were written.
func advanced(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1alpha1.Release)
	after, ok2 := e.ObjectNew.(*v1alpha1.Release)
	return !ok || !ok2 || before.Status.State != after.Status.State || !equality.Semantic.DeepEqual(before.Status.ChangeRef, after.Status.ChangeRef) ||
		!equality.Semantic.DeepEqual(before.Status.Delivery, after.Status.Delivery)
}

func measuredOtherwise(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1alpha1.Service)
	after, ok2 := e.ObjectNew.(*v1alpha1.Service)
	return !ok || !ok2 || !equality.Semantic.DeepEqual(before.Status.Delivery, after.Status.Delivery)
}

func (r *releases) ofChange(ctx context.Context, o client.Object) []ctrl.Request {
	return r.by(ctx, o.GetNamespace(), releaseChange, o.GetName(), false)
}

func (r *releases) ofIncident(ctx context.Context, o client.Object) []ctrl.Request {
	var out []ctrl.Request
	for _, c := range causes(ctx, r.Client, o) {
		out = append(out, r.ofChange(ctx, c)...)
	}
	return out
}

func (r *releases) ofService(ctx context.Context, o client.Object) []ctrl.Request {
	return r.by(ctx, o.GetNamespace(), releaseService, o.GetName(), true)
}

func (r *releases) by(ctx context.Context, namespace, field, value string, running bool) []ctrl.Request {
	list := &v1alpha1.ReleaseList{}
	if err := r.Client.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Looking up Releases", "field", field)
		return nil
	}
	var out []ctrl.Request
	for i := range list.Items {
		if !running || !over(&list.Items[i]) {
			out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return out
}

func over(r *v1alpha1.Release) bool {
	switch r.Status.State {
	case v1alpha1.ReleaseCompleted, v1alpha1.ReleaseRolledBack, v1alpha1.ReleaseFailed, v1alpha1.ReleaseCanceled:
		return true
	case v1alpha1.ReleasePlanning, v1alpha1.ReleaseReady, v1alpha1.ReleaseDeploying, v1alpha1.ReleaseEarlyLifeSupport:
	}
	return false
}

// Reconcile measures one Release.
func (r *releases) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	before := &v1alpha1.Release{}
	if err := r.Client.Get(ctx, request.NamespacedName, before); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if before.DeletionTimestamp != nil || before.Status.ChangeRef == nil {
		return ctrl.Result{}, nil
	}
	figures, ok, err := r.measure(ctx, before)
	if err != nil || !ok {
		return ctrl.Result{}, err
	}
	after := before.DeepCopy()
	after.Status.Delivery = figures
	if _, err := patch.Status(ctx, r.Client, before, after); err != nil && !apierrors.IsNotFound(err) {
		return ctrl.Result{}, fmt.Errorf("writing the delivery figures of Release %s: %w", request, err)
	}
	return ctrl.Result{}, nil
}

// measure returns no figures where nothing went in yet, or where its Change is kept no longer: then they stay.
func (r *releases) measure(ctx context.Context, rel *v1alpha1.Release) (*v1alpha1.ReleaseDelivery, bool, error) {
	c := &v1alpha1.Change{}
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: rel.Namespace, Name: string(rel.Status.ChangeRef.Name)}, c)
	if err != nil {
		return nil, false, client.IgnoreNotFound(err)
	}
	d, ok, err := deployment(ctx, r.Client, c)
	if err != nil || !ok {
		return nil, false, err
	}
	figures := practice.One(d)
	if before := rel.Status.Delivery; before != nil && over(rel) && before.Result == figures.Result {
		figures.Services = before.Services
		return &figures, true, nil
	}
	now := r.Clock.Now()
	for _, ref := range rel.Spec.ServiceRefs {
		s := &v1alpha1.Service{}
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: rel.Namespace, Name: string(ref.Name)}, s)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, false, fmt.Errorf("reading Service %s: %w", ref.Name, err)
		}
		measured, _, err := r.figures(ctx, s, now)
		if err != nil {
			return nil, false, err
		}
		if measured != nil {
			figures.Services = append(figures.Services, v1alpha1.ServiceDelivery{Name: ref.Name, Figures: *measured})
		}
	}
	return &figures, true, nil
}
