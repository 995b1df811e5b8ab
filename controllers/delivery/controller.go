// Package delivery measures how software is delivered to each Service, and by each Release: DORA's figures, in their
// status and as metrics. It reads what an event is about and nothing else, and writes when a figure is another.
package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	practice "github.com/itil-dev/itil-operator/internal/practice/delivery"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// +kubebuilder:rbac:groups=itil.dev,resources=services;changes;incidents;releases,verbs=get;list;watch
// +kubebuilder:rbac:groups=itil.dev,resources=services/status;releases/status,verbs=patch

// Reconciler writes the figures of Services; its Releases are another's (releases).
type Reconciler struct {
	// Client reads from the cache and writes.
	Client    client.Client
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
	// ChangesPerWorkload is how many Changes that ended are kept of one workload; 0 is all.
	ChangesPerWorkload int
}

// SetupWithManager registers the indexes, the reconcilers of Services and of Releases, and the metrics.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	exported.Show(ctx, mgr.Elected(), (&Collector{Reader: r.Client}).Collect)
	if err := (&releases{Reconciler: r}).setUp(mgr); err != nil {
		return fmt.Errorf("setting up the figures of Releases: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).Named("delivery").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		WatchesRawSource(r.members()).
		Watches(&v1alpha1.Service{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(membersOrFiguresChanged())).
		Watches(&v1alpha1.Change{}, handler.EnqueueRequestsFromMapFunc(r.ofChange), builder.WithPredicates(deploysOtherwise())).
		Watches(&v1alpha1.Incident{}, handler.EnqueueRequestsFromMapFunc(r.ofIncident), builder.WithPredicates(endsOtherwise())).
		Complete(r)
}

// members lets no worker begin before it is known which workloads Services claim: without them a Service would have no
// deployments, and its figures would be lost until its next one.
func (r *Reconciler) members() source.Source {
	return push.Barrier(r.Inventory.WaitForSync)
}

// membersOrFiguresChanged lets pass a Service whose workloads may be others, or whose figures were written: by somebody else, or
// by this reconciler, which may have patched what it read before its own last write came back.
func membersOrFiguresChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Service)
		after, ok2 := e.ObjectNew.(*v1alpha1.Service)
		return !ok || !ok2 || before.Generation != after.Generation || !equality.Semantic.DeepEqual(before.Status.Delivery, after.Status.Delivery) ||
			!slices.EqualFunc(before.Status.Workloads, after.Status.Workloads, func(a, b v1alpha1.ServiceWorkload) bool {
				return a.Kind == b.Kind && a.Name == b.Name
			})
	}}
}

// deploysOtherwise lets pass a Change that went in, was rolled out, or came to another outcome.
func deploysOtherwise() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return deploys(e.Object) },
		DeleteFunc: func(e event.DeleteEvent) bool { return deploys(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.Change)
			after, ok2 := e.ObjectNew.(*v1alpha1.Change)
			if !ok || !ok2 {
				return true
			}
			a, was := practice.Of(before, nil)
			b, is := practice.Of(after, nil)
			return was != is || a != b || !slices.Equal(before.Status.CausedIncidents, after.Status.CausedIncidents)
		},
	}
}

func deploys(o client.Object) bool {
	c, ok := o.(*v1alpha1.Change)
	return ok && len(c.Status.Implementations) > 0
}

// endsOtherwise lets pass an Incident when it ends or is opened again, or began at another time.
func endsOtherwise() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Incident)
		after, ok2 := e.ObjectNew.(*v1alpha1.Incident)
		return !ok || !ok2 || !before.Status.ResolvedAt.Equal(after.Status.ResolvedAt) || !before.Status.StartedAt.Equal(after.Status.StartedAt)
	}}
}

func (r *Reconciler) ofChange(_ context.Context, o client.Object) []ctrl.Request {
	c, ok := o.(*v1alpha1.Change)
	if !ok {
		return nil
	}
	var out []ctrl.Request
	for _, w := range workloadsOf(c) {
		for _, claimant := range r.Inventory.Claimants(change.KeyOf(c.Namespace, w)) {
			q := ctrl.Request{NamespacedName: types.NamespacedName(claimant.Service.Name)}
			if !slices.Contains(out, q) {
				out = append(out, q)
			}
		}
	}
	return out
}

// ofIncident are the Services of the Changes that caused it.
func (r *Reconciler) ofIncident(ctx context.Context, o client.Object) []ctrl.Request {
	var out []ctrl.Request
	for _, c := range causes(ctx, r.Client, o) {
		for _, q := range r.ofChange(ctx, c) {
			if !slices.Contains(out, q) {
				out = append(out, q)
			}
		}
	}
	return out
}

// causes are the Changes that list an Incident as caused by them, as the figures read it. The Incident may suspect another
// one meanwhile, or be gone.
func causes(ctx context.Context, reader client.Reader, o client.Object) []*v1alpha1.Change {
	list := &v1alpha1.ChangeList{}
	if err := reader.List(ctx, list, client.MatchingFields{changeIncident: o.GetNamespace() + "/" + o.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Looking up the Changes that caused an Incident", "incident", client.ObjectKeyFromObject(o))
		return nil
	}
	out := make([]*v1alpha1.Change, len(list.Items))
	for i := range list.Items {
		out[i] = &list.Items[i]
	}
	return out
}

// Reconcile measures the deployments of one Service.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	before := &v1alpha1.Service{}
	if err := r.Client.Get(ctx, request.NamespacedName, before); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if before.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now()
	figures, next, err := r.figures(ctx, before, now)
	if err != nil {
		return ctrl.Result{}, err
	}
	after := before.DeepCopy()
	after.Status.Delivery = figures
	if _, err := patch.Status(ctx, r.Client, before, after); err != nil && !apierrors.IsNotFound(err) {
		return ctrl.Result{}, fmt.Errorf("writing the delivery figures of Service %s: %w", request, err)
	}
	if next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(now), time.Second)}, nil
}

// figures of a Service, and when they are others though nothing happens; nil where there was never a deployment.
func (r *Reconciler) figures(ctx context.Context, s *v1alpha1.Service, now time.Time) (*v1alpha1.DeliveryFigures, time.Time, error) {
	deployments, err := r.deployments(ctx, servicelevel.ServiceName(client.ObjectKeyFromObject(s)))
	if err != nil {
		return nil, time.Time{}, err
	}
	figures, next := practice.Measure(deployments, now)
	if figures.Deployments == 0 && s.Status.Delivery == nil {
		return nil, time.Time{}, nil
	}
	incomplete, err := r.incompleteBefore(ctx, servicelevel.ServiceName(client.ObjectKeyFromObject(s)), now)
	if err != nil {
		return nil, time.Time{}, err
	}
	if !incomplete.IsZero() {
		before := metav1.NewTime(incomplete)
		figures.IncompleteBefore = &before
		if leaves := incomplete.Add(practice.Window); next.IsZero() || leaves.Before(next) {
			next = leaves
		}
	}
	return &figures, next, nil
}

// incompleteBefore is the latest of the times before which deployments of one of its workloads may be missing.
func (r *Reconciler) incompleteBefore(ctx context.Context, name servicelevel.ServiceName, now time.Time) (time.Time, error) {
	var latest time.Time
	if r.ChangesPerWorkload <= 0 {
		return latest, nil
	}
	for _, key := range r.Inventory.Members(name) {
		list := &v1alpha1.ChangeList{}
		err := r.Client.List(ctx, list, client.InNamespace(key.Namespace), client.MatchingFields{changeEnded: key.Kind + "/" + key.Name}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return latest, fmt.Errorf("listing the Changes of %s that ended: %w", key, err)
		}
		var ended []time.Time
		for i := range list.Items {
			ended = append(ended, change.EndedAt(&list.Items[i]))
		}
		if before := practice.IncompleteBefore(ended, r.ChangesPerWorkload, now); before.After(latest) {
			latest = before
		}
	}
	return latest, nil
}

// deployments of the workloads that a Service claims, each once.
func (r *Reconciler) deployments(ctx context.Context, name servicelevel.ServiceName) ([]practice.Deployment, error) {
	var out []practice.Deployment
	seen := map[string]bool{}
	for _, key := range r.Inventory.Members(name) {
		list := &v1alpha1.ChangeList{}
		err := r.Client.List(ctx, list, client.InNamespace(key.Namespace), client.MatchingFields{changeWorkload: key.Kind + "/" + key.Name}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return nil, fmt.Errorf("listing the Changes of %s: %w", key, err)
		}
		for i := range list.Items {
			c := &list.Items[i]
			if seen[c.Name] {
				continue
			}
			seen[c.Name] = true
			d, ok, err := deployment(ctx, r.Client, c)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, d)
			}
		}
	}
	return out, nil
}

// deployment reads a Change with the Incidents that it caused. One that is kept no longer has no say.
func deployment(ctx context.Context, reader client.Reader, c *v1alpha1.Change) (d practice.Deployment, ok bool, err error) {
	var caused []practice.Incident
	for _, ref := range c.Status.CausedIncidents {
		name := incidentOf(c, ref)
		i := &v1alpha1.Incident{}
		err := reader.Get(ctx, name, i)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return d, false, fmt.Errorf("reading Incident %s: %w", name, err)
		}
		fact := practice.Incident{StartedAt: i.CreationTimestamp.Time}
		if i.Status.StartedAt != nil {
			fact.StartedAt = i.Status.StartedAt.Time
		}
		if i.Status.ResolvedAt != nil {
			fact.EndedAt = i.Status.ResolvedAt.Time
		}
		caused = append(caused, fact)
	}
	d, ok = practice.Of(c, caused)
	return d, ok, nil
}
