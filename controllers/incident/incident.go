// Package incident follows Incidents through their life: state, priority, clocks, conditions, timeline and what to do
// next. What was seen is written by the detector (controllers/detection); the two write different fields.
package incident

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/expire"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
)

// +kubebuilder:rbac:groups=itil.dev,resources=incidents,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=itil.dev,resources=incidents/status,verbs=patch
// +kubebuilder:rbac:groups=itil.dev,resources=services;servicelevelagreements;calendars;changes;problems;configurationitems,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

const (
	name = "incident"

	defaultConcurrency = 4
	// leastWait keeps an evaluation that is due at once from coming before the clock has moved.
	leastWait = 10 * time.Millisecond
)

// Reconciler follows Incidents.
type Reconciler struct {
	// Client reads from the cache and writes.
	Client    client.Client
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
	Recorder  events.EventRecorder
	Rules     practice.Rules
	// Concurrency is how many Incidents are followed at once; 0 is the default.
	Concurrency int
	// Name of the controller, for metrics; empty is the default. Two in one process need two names.
	Name string

	// NamespaceCap and ClusterCap are the detector's; what its summary says of them. 0 is not known.
	NamespaceCap, ClusterCap int

	// StillWell is asked before a recovery is believed: whether what it rests on is so still. nil: it is believed.
	StillWell func(context.Context, *v1alpha1.Incident) (bool, error)

	calendars calendars
	counted   counted
	doubted   doubted
}

// Caps says what bounds how many Incidents are open at once.
func (r *Reconciler) Caps() string {
	if r.NamespaceCap == 0 || r.ClusterCap == 0 {
		return ""
	}
	return fmt.Sprintf("at most %d may be open in a namespace and %d in all (tiers 1 and 2 are not bound)", r.NamespaceCap, r.ClusterCap)
}

// SetupWithManager registers the controller with its indexes and metrics. The inventory must have been registered with
// the manager's cache: nothing is decided before it knows what there is, or each Incident would lose its service, its
// urgency and its clocks for a moment after each restart.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if r.Recorder == nil {
		r.Recorder = mgr.GetEventRecorder("itil-operator")
	}
	if r.Name == "" {
		r.Name = name
	}
	if r.Concurrency == 0 {
		r.Concurrency = defaultConcurrency
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	if err := register(&Collector{Reader: mgr.GetClient()}); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named(r.Name).
		For(&v1alpha1.Incident{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Concurrency, RateLimiter: retry.Limiter[reconcile.Request]()}).
		WatchesRawSource(push.Barrier(r.Inventory.WaitForSync)).
		Watches(&v1alpha1.Service{}, handler.EnqueueRequestsFromMapFunc(r.ofService), builder.WithPredicates(concernsIncidents())).
		Watches(&v1alpha1.ServiceLevelAgreement{}, handler.EnqueueRequestsFromMapFunc(r.ofAgreement), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Change{}, handler.EnqueueRequestsFromMapFunc(r.ofChange), builder.WithPredicates(stateChanged(stateOfChange))).
		Watches(&v1alpha1.Problem{}, handler.EnqueueRequestsFromMapFunc(r.ofProblem)).
		Watches(&v1alpha1.Incident{}, handler.EnqueueRequestsFromMapFunc(r.family), builder.WithPredicates(stateChanged(stateOfIncident))).
		Complete(r)
}

// concernsIncidents lets pass what priority follows from.
func concernsIncidents() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, isService := e.ObjectOld.(*v1alpha1.Service)
		after, _ := e.ObjectNew.(*v1alpha1.Service)
		return !isService || after == nil || before.Generation != after.Generation || before.Status.Health != after.Status.Health
	}}
}

func stateChanged(stateOf func(client.Object) string) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return stateOf(e.ObjectOld) != stateOf(e.ObjectNew) }}
}

func stateOfChange(o client.Object) string {
	if c, ok := o.(*v1alpha1.Change); ok {
		return string(c.Status.State)
	}
	return ""
}

// stateOfIncident is what a parent or child follows from.
func stateOfIncident(o client.Object) string {
	i, ok := o.(*v1alpha1.Incident)
	if !ok {
		return ""
	}
	parent := parentOf(i)
	return string(i.Status.State) + " " + string(i.Status.Priority) + " " + parent.Namespace + "/" + parent.Name
}

// Reconcile brings one Incident up to date.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	i := &v1alpha1.Incident{}
	if err := r.Client.Get(ctx, req.NamespacedName, i); err != nil {
		r.doubted.drop(req.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if i.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	facts, err := r.gather(ctx, i)
	if err != nil {
		return reconcile.Result{}, err
	}
	now := r.Clock.Now()
	decision := practice.Evaluate(i, facts, now)
	if decision.Expired {
		_, err := expire.Record(ctx, r.Client, "Incident", i)
		return reconcile.Result{}, err
	}
	if believed, again, err := r.believe(ctx, i, decision); err != nil || !believed {
		return reconcile.Result{RequeueAfter: again}, err
	}
	if decision.Status.Children != i.Status.Children {
		r.counted.written(i, now)
	}
	written, err := r.apply(ctx, i, decision)
	if errors.Is(err, errStale) {
		return reconcile.Result{RequeueAfter: patch.StaleRetry}, nil
	}
	if err != nil || !written {
		return after(decision.Next, now), err
	}
	r.tell(ctx, i, decision)
	return after(decision.Next, now), nil
}

// believe asks, of a recovery, whether it is so still; if not, when to ask again.
func (r *Reconciler) believe(ctx context.Context, i *v1alpha1.Incident, d practice.Decision) (believed bool, again time.Duration, err error) {
	if d.Recovered && r.StillWell != nil {
		well, err := r.StillWell(ctx, i)
		if err != nil {
			return false, 0, err
		}
		if !well {
			return false, r.doubted.again(client.ObjectKeyFromObject(i)), nil // what is not well is about to be written
		}
	}
	r.doubted.drop(client.ObjectKeyFromObject(i))
	return true, 0, nil
}

// errStale: the Incident was written since it was read.
var errStale = errors.New("the Incident was written since it was read")

// apply writes the status. It fails if the Incident was written since it was read: what happened since may be just what
// this decision would tell a second time.
func (r *Reconciler) apply(ctx context.Context, i *v1alpha1.Incident, d practice.Decision) (written bool, err error) {
	next := i.DeepCopy()
	next.Status = d.Status
	written, err = patch.Status(ctx, r.Client, i, next, patch.OptimisticLock)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case apierrors.IsConflict(err):
		return false, errStale
	case err != nil:
		return false, fmt.Errorf("write the status of Incident %s/%s: %w", i.Namespace, i.Name, err)
	}
	next.DeepCopyInto(i)
	return written, nil
}

// tell emits what happened, after it was written.
func (r *Reconciler) tell(ctx context.Context, i *v1alpha1.Incident, d practice.Decision) {
	for _, e := range d.Events {
		r.Recorder.Eventf(i, nil, e.Type(), e.Reason, e.Action, "%s", e.Note)
	}
	observe(i, d)
	if d.ClosedNow {
		// One line that outlives the record.
		log.FromContext(ctx).Info("Incident closed", "incident", map[string]any{
			"namespace": i.Namespace, "name": i.Name, "uid": i.UID, "spec": i.Spec, "status": i.Status,
		})
	}
}

func after(next, now time.Time) reconcile.Result {
	if next.IsZero() {
		return reconcile.Result{}
	}
	return reconcile.Result{RequeueAfter: max(next.Sub(now), leastWait)}
}

// parentOf is the Incident that explains one; none explains itself, whatever it says.
func parentOf(i *v1alpha1.Incident) types.NamespacedName {
	ref := i.Spec.ParentRef
	if ref == nil {
		ref = i.Status.ParentRef
	}
	if ref == nil {
		return types.NamespacedName{}
	}
	parent := types.NamespacedName{Namespace: string(ref.Namespace), Name: string(ref.Name)}
	if parent.Namespace == "" {
		parent.Namespace = i.Namespace
	}
	if parent == client.ObjectKeyFromObject(i) {
		return types.NamespacedName{}
	}
	return parent
}
