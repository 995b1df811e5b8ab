// Package delivery measures how software is delivered to each Service, and by each Release: DORA's figures, in their
// status and as metrics. It reads what an event is about and nothing else, and writes when a figure is another.
package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
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
}

// SetupWithManager registers the indexes, the reconcilers of Services and of Releases, and the metrics.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	exported.Show(ctx, mgr.Elected(), (&Collector{Reader: r.Client}).Collect)
	if err := (&releases{Client: r.Client}).setUp(mgr); err != nil {
		return fmt.Errorf("setting up the figures of Releases: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).Named("delivery").
		Watches(&v1alpha1.Service{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(membersOrFiguresChanged())).
		Watches(&v1alpha1.Change{}, handler.EnqueueRequestsFromMapFunc(r.ofChange), builder.WithPredicates(deploysOtherwise())).
		Watches(&v1alpha1.Incident{}, handler.EnqueueRequestsFromMapFunc(r.ofIncident), builder.WithPredicates(endsOtherwise())).
		Complete(r)
}

// membersOrFiguresChanged lets pass a Service whose workloads may be others, or whose figures somebody else wrote.
func membersOrFiguresChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Service)
		after, ok2 := e.ObjectNew.(*v1alpha1.Service)
		return !ok || !ok2 || before.Generation != after.Generation || before.Status.Delivery != nil && after.Status.Delivery == nil ||
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
			return was != is || a != b || len(before.Status.CausedIncidents) != len(after.Status.CausedIncidents)
		},
	}
}

func deploys(o client.Object) bool {
	c, ok := o.(*v1alpha1.Change)
	return ok && len(c.Status.Implementations) > 0
}

// endsOtherwise lets pass an Incident that a Change is suspected of, when it ends or is opened again.
func endsOtherwise() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Incident)
		after, ok2 := e.ObjectNew.(*v1alpha1.Incident)
		return !ok || !ok2 || !before.Status.ResolvedAt.Equal(after.Status.ResolvedAt)
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

// ofIncident are the Services of the Change that is suspected of it.
func (r *Reconciler) ofIncident(ctx context.Context, o client.Object) []ctrl.Request {
	c := suspected(ctx, r.Client, o)
	if c == nil {
		return nil
	}
	return r.ofChange(ctx, c)
}

// suspected is the Change that is suspected of an Incident; nil: none that exists.
func suspected(ctx context.Context, c client.Reader, o client.Object) *v1alpha1.Change {
	i, ok := o.(*v1alpha1.Incident)
	if !ok || i.Status.SuspectedChange == nil || i.Status.SuspectedChange.Name == "" {
		return nil
	}
	namespace := string(i.Status.SuspectedChange.Namespace)
	if namespace == "" {
		namespace = i.Namespace
	}
	change := &v1alpha1.Change{}
	if err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: i.Status.SuspectedChange.Name}, change); err != nil {
		// It is gone, and counts no more; the cache has no other error once it runs.
		return nil
	}
	return change
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
	deployments, err := r.deployments(ctx, servicelevel.ServiceName(request.NamespacedName))
	if err != nil {
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	figures, next := practice.Measure(deployments, now)
	after := before.DeepCopy()
	after.Status.Delivery = nil
	if figures.Deployments > 0 || before.Status.Delivery != nil {
		after.Status.Delivery = &figures
	}
	if _, err := patch.Status(ctx, r.Client, before, after); err != nil && !apierrors.IsNotFound(err) {
		return ctrl.Result{}, fmt.Errorf("writing the delivery figures of Service %s: %w", request, err)
	}
	if next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(now), time.Second)}, nil
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
		namespace := string(ref.Namespace)
		if namespace == "" {
			namespace = c.Namespace
		}
		i := &v1alpha1.Incident{}
		err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: string(ref.Name)}, i)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return d, false, fmt.Errorf("reading Incident %s/%s: %w", namespace, ref.Name, err)
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
