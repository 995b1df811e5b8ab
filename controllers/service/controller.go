// Package service keeps the status of Services: which workloads they run on, how they are, who depends on them, and
// whether the gate watches them.
package service

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
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
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// DefaultRecoveryHold is how long a service must be well again before its outage counts as ended.
const DefaultRecoveryHold = time.Minute

// +kubebuilder:rbac:groups=itil.dev,resources=services,verbs=get;list;watch
// +kubebuilder:rbac:groups=itil.dev,resources=services/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=resourcequotas;limitranges,verbs=get;list;watch
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list;watch
// +kubebuilder:rbac:groups=itil.dev,resources=servicelevelagreements,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler writes the status of Services. The leader alone runs it.
type Reconciler struct {
	Client    client.Client
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
	Recorder  events.EventRecorder
	// RecoveryHold is how long a service must be well again before its outage counts as ended; 0 means the default.
	RecoveryHold time.Duration
	// Watched is until when another process watched before this one; the zero time: that is not known. It is asked
	// once, when this process leads. Nil: none did.
	Watched func() time.Time
	// Pods tell what happened since; nil: nothing is found out.
	Pods Pods

	// mu is over all that follows.
	mu sync.Mutex
	// graph has all Services from the first Reconcile on: one that is not in it yet would look missing to those
	// that depend on it.
	graph *servicelevel.Graph
	// memories by Service, of what no object tells.
	memories map[servicelevel.ServiceName]memory
	// shown is the health of Services as it is told last, by their status or to it; waiting are changes that no status
	// has yet, and told since when a status is as it should be.
	shown   map[servicelevel.ServiceName]v1alpha1.Health
	waiting map[servicelevel.ServiceName][]finding
	told    map[servicelevel.ServiceName]time.Time
	// found is until when nobody else told of a Service's health: when this process found out about its latest change, or
	// the latest that it wrote or found to be right.
	found map[servicelevel.ServiceName]time.Time
	// enqueue another Service; nil where no manager runs.
	enqueue func(ctrl.Request)
}

// SetupWithManager registers the reconciler and the metrics, which are shown until the context ends.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	exported.Show(ctx, mgr.Elected(), (&Collector{Reader: r.Client, Inventory: r.Inventory}).Collect)
	return ctrl.NewControllerManagedBy(mgr).Named("service").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		WatchesRawSource(push.Source(r.follow, func(ctx context.Context) bool {
			return r.Inventory.WaitForSync(ctx) && (r.Pods == nil || r.Pods.WaitForPods(ctx))
		})).
		Watches(&corev1.ResourceQuota{}, handler.EnqueueRequestsFromMapFunc(r.planned)).
		Watches(&corev1.LimitRange{}, handler.EnqueueRequestsFromMapFunc(r.planned)).
		Watches(&autoscalingv2.HorizontalPodAutoscaler{}, handler.EnqueueRequestsFromMapFunc(r.planned),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ServiceLevelAgreement{}, handler.EnqueueRequestsFromMapFunc(r.measured), builder.WithPredicates(complianceChanged())).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, r.followGate()).
		Complete(r)
}

// planned are the Services of a namespace that say what they must be able to have.
func (r *Reconciler) planned(_ context.Context, o client.Object) []ctrl.Request {
	return r.requestsIn(o.GetNamespace(), func(s *inventory.Service) bool { return s.Spec.Resources != nil })
}

// measured are the Services with a goal that an agreement measures.
func (r *Reconciler) measured(_ context.Context, o client.Object) []ctrl.Request {
	return r.requestsIn(o.GetNamespace(), func(s *inventory.Service) bool {
		return slices.ContainsFunc(s.Spec.Goals, func(g v1alpha1.Goal) bool { return g.Measure == o.GetName() })
	})
}

func complianceChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.ServiceLevelAgreement)
		after, ok2 := e.ObjectNew.(*v1alpha1.ServiceLevelAgreement)
		return !ok || !ok2 || before.Status.Compliance != after.Status.Compliance
	}}
}

// follow turns news of the inventory into requests, after all Services that there are.
func (r *Reconciler) follow(ctx context.Context, add func(ctrl.Request)) error {
	r.mu.Lock()
	r.enqueue = add
	r.mu.Unlock()
	stop := r.Inventory.Subscribe(func(e inventory.Event) {
		switch {
		case e.Service != servicelevel.ServiceName{}:
			add(request(e.Service))
		case e.Namespace != "":
			for _, q := range r.requestsIn(e.Namespace, nil) {
				add(q)
			}
		}
	})
	context.AfterFunc(ctx, stop)
	for s := range r.Inventory.Services() {
		add(request(s.Name))
	}
	return nil
}

func request(name servicelevel.ServiceName) ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName(name)}
}

func (r *Reconciler) requestsIn(namespace string, which func(*inventory.Service) bool) []ctrl.Request {
	var out []ctrl.Request
	for _, name := range r.Inventory.ServicesIn(namespace) {
		if s, ok := r.Inventory.Service(name); ok && (which == nil || which(s)) {
			out = append(out, request(name))
		}
	}
	return out
}

// followGate asks for the Services of the namespaces that the gate's webhooks list, or no longer list.
func (r *Reconciler) followGate() handler.EventHandler {
	namespaces := func(o client.Object) gateconfig.Namespaces {
		if c, ok := o.(*admissionregistrationv1.ValidatingWebhookConfiguration); ok && c.Name == gateconfig.Name {
			return gateconfig.Read(c)
		}
		return gateconfig.Namespaces{}
	}
	moved := func(before, after gateconfig.Namespaces, queue queue) {
		for _, list := range [][]string{before.Enforce, before.Audit, after.Enforce, after.Audit} {
			for _, namespace := range list {
				if before.Of(namespace) == after.Of(namespace) {
					continue
				}
				for _, q := range r.requestsIn(namespace, nil) {
					queue.Add(q)
				}
			}
		}
	}
	none := gateconfig.Namespaces{}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { moved(none, namespaces(e.Object), q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			moved(namespaces(e.ObjectOld), namespaces(e.ObjectNew), q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { moved(namespaces(e.Object), none, q) },
	}
}

// Reconcile brings the status of one Service up to date.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	name, now := servicelevel.ServiceName(req.NamespacedName), r.Clock.Now()
	seen, exists, err := r.gather(ctx, name)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !exists {
		r.forget(name, now)
		return ctrl.Result{}, nil
	}
	told, changes, wake := r.spread(seen, now)
	before := seen.object
	after := before.DeepCopy()
	after.Status = decide(seen, told, changes, now)
	// The changes of health are a list that a patch replaces: one that follows from an older list must not be written.
	wrote, err := patch.Status(ctx, r.Client, before, after, patch.OptimisticLock)
	switch {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("writing the status of Service %s: %w", name, err)
	}
	r.written(name, changes, &after.Status)
	if wrote {
		r.announce(before, after)
	}
	if wake.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(wake.Sub(now), time.Second)}, nil
}

// staleRetry is how soon to look again where the cache was behind what is written.
const staleRetry = 100 * time.Millisecond

// spread puts the service's own health into the graph, asks for the others whose health that alters, and returns what
// is to be told of this one, the changes that its status does not have yet, and when to look again.
func (r *Reconciler) spread(seen *observed, now time.Time) (
	told servicelevel.ServiceHealth, changes []finding, wake time.Time,
) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prime(now)
	if _, known := r.shown[seen.name]; !known {
		r.shown[seen.name] = seen.object.Status.Health
	}
	own, at, wake := r.assess(seen, now)
	moved := r.graph.Set(servicelevel.ServiceNode{Name: seen.name, Own: own, DependsOn: seen.service.DependsOn})
	r.record(moved, at, now)
	r.ask(moved, seen.name)
	told, _ = r.graph.Health(seen.name)
	return told, slices.Clone(r.waiting[seen.name]), wake
}

// prime fills the graph with all Services, once, and finds out what happened while nobody watched.
func (r *Reconciler) prime(now time.Time) {
	if r.graph != nil {
		return
	}
	r.graph, r.memories = servicelevel.NewGraph(), map[servicelevel.ServiceName]memory{}
	r.shown, r.told = map[servicelevel.ServiceName]v1alpha1.Health{}, map[servicelevel.ServiceName]time.Time{}
	r.waiting, r.found = map[servicelevel.ServiceName][]finding{}, map[servicelevel.ServiceName]time.Time{}
	var since time.Time
	if r.Watched != nil && r.Pods != nil {
		since = r.Watched()
	}
	var missed []caughtUp
	var all []servicelevel.ServiceNode
	for s := range r.Inventory.Services() {
		seen := r.look(s)
		if seen == nil {
			continue
		}
		r.shown[s.Name] = seen.object.Status.Health
		if c, ok := r.catchUp(seen, since, now); ok {
			missed = append(missed, c)
			r.memories[s.Name] = c.memory
			all = append(all, nodeOf(s, c.before()))
			continue
		}
		own, _, _ := r.assess(seen, now)
		all = append(all, servicelevel.ServiceNode{Name: s.Name, Own: own, DependsOn: s.DependsOn})
	}
	r.graph.Fill(all)
	r.replay(missed, now)
}

// assess the service's own health, held for a while where an outage seems to end, and since when it is so.
func (r *Reconciler) assess(seen *observed, now time.Time) (own servicelevel.OwnHealth, at, wake time.Time) {
	m, known := r.memories[seen.name]
	if !known {
		m = remembered(seen)
	}
	over := r.endedElsewhere(seen)
	if !over.IsZero() {
		m.overSince(over, r.hold(), now)
	}
	if r.beganElsewhere(seen) {
		m.out, m.doubt = true, doubt{}
	}
	own, at, wake = m.assess(seen, r.hold(), now)
	if !over.IsZero() && !m.out {
		at = over
	}
	r.memories[seen.name] = m
	return own, at, wake
}

// endedElsewhere is when an outage was over that this process told of, or found told, and another leader told the end of: two
// may lead for a moment, and each would wait out its own hold. Zero: nothing later than what this process told is known.
func (r *Reconciler) endedElsewhere(seen *observed) time.Time {
	s := &seen.object.Status
	told, known := r.told[seen.name]
	well := s.Health == v1alpha1.HealthOperational || s.Health == v1alpha1.HealthDegraded
	if !known || !well || !r.memories[seen.name].out || s.HealthSince == nil || !s.HealthSince.After(told) {
		return time.Time{}
	}
	return s.HealthSince.Time
}

// beganElsewhere reports whether another leader has told of an outage that this process has not seen: what it sees may be
// behind, so that it takes that back only after the hold, as after a restart.
func (r *Reconciler) beganElsewhere(seen *observed) bool {
	since := seen.object.Status.HealthSince
	if since == nil || !since.After(r.found[seen.name]) || !remembered(seen).out {
		return false
	}
	here, known := r.graph.Health(seen.name)
	return known && here.Health != v1alpha1.HealthOutage
}

func (r *Reconciler) hold() time.Duration {
	if r.RecoveryHold == 0 {
		return DefaultRecoveryHold
	}
	return r.RecoveryHold
}

func (r *Reconciler) forget(name servicelevel.ServiceName, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.memories, name)
	delete(r.shown, name)
	delete(r.waiting, name)
	delete(r.told, name)
	delete(r.found, name)
	if r.graph != nil {
		moved := r.graph.Remove(name)
		r.record(moved, now, now)
		r.ask(moved, name)
	}
}

// ask for a Reconcile of all but one.
func (r *Reconciler) ask(names []servicelevel.ServiceName, but servicelevel.ServiceName) {
	if r.enqueue == nil {
		return
	}
	for _, name := range slices.DeleteFunc(names, func(n servicelevel.ServiceName) bool { return n == but }) {
		r.enqueue(request(name))
	}
}
