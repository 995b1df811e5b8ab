// Package detection watches pods, workloads, Jobs and nodes and keeps one Incident for each workload that fails.
//
// It runs on the leader. What it must remember is in the Incidents themselves; the rest is rebuilt from one list of
// the pods. It writes an Incident's spec once, at creation, and of its status only what incident.Detected names; the
// rest of the status is the lifecycle's (controllers/incident).
package detection

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/push"
	kuberetry "github.com/itil-dev/itil-operator/internal/kube/retry"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// +kubebuilder:rbac:groups="",resources=pods;nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=replicasets,verbs=get
// +kubebuilder:rbac:groups=itil.dev,resources=incidents,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=itil.dev,resources=incidents/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Scope says where incidents are detected.
type Scope string

const (
	// ScopeAll is all namespaces but kube-system and the operator's own, unless their labels ask for it.
	ScopeAll Scope = "All"
	// ScopeServices is the workloads that a Service claims.
	ScopeServices Scope = "Services"
)

// Default bounds of what is open at once. Tiers 1 and 2 have none.
const (
	DefaultNamespaceCap = 50
	DefaultClusterCap   = 500

	defaultConcurrency = 4
	namespaceSystem    = "kube-system"
)

// Reconciler keeps the Incidents of workloads. Its requests are workloads.
type Reconciler struct {
	// Client reads from the cache and writes; Reader asks the API server.
	Client client.Client
	Reader client.Reader
	// Inventory of workloads and the Services that claim them.
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
	Recorder  events.EventRecorder

	// Namespace is the operator's own. Incidents of nodes are there.
	Namespace string
	Scope     Scope
	Settings  incident.Settings
	Rules     incident.Rules
	// InstalledAt is when the operator was installed: what failed before is backlog. Zero: nothing is.
	InstalledAt time.Time
	// Logs opens logs; nil: none are shown.
	Logs LogReader
	// LogTimeout is how long a kubelet may take to send one; 0 is the default.
	LogTimeout time.Duration
	// NamespaceCap and ClusterCap bound how many of the detector's Incidents are open; 0 is the default.
	NamespaceCap, ClusterCap int
	// Concurrency is how many workloads are looked at once; 0 is the default.
	Concurrency int
	// Name of the controller, for metrics; empty is the default. Two in one process need two names.
	Name string

	pods      *podIndex
	incidents *incidentIndex
	memory    memory
	jobs      jobIndex
	backlog   collection
	overflow  collection
	storms    storms
	tails     *tails
	intake    *intake

	enqueue func(configuration.Key)
	// begun is closed when all pods have been read.
	begun chan struct{}
}

// New returns a Reconciler with the defaults of the documentation; the caller sets its clients.
func New() *Reconciler {
	return &Reconciler{
		Scope: ScopeAll, Settings: incident.DefaultSettings(), Rules: incident.DefaultRules(),
		NamespaceCap: DefaultNamespaceCap, ClusterCap: DefaultClusterCap, Concurrency: defaultConcurrency,
		pods: newPodIndex(), incidents: newIncidentIndex(), tails: newTails(), intake: newIntake(), enqueue: func(configuration.Key) {},
		begun: make(chan struct{}),
	}
}

// SetupWithManager registers the controller. It runs on the leader alone, and watches pods and nodes only there: a
// replica that waits holds none. The manager's cache must have been made with CacheByObject, and the inventory be
// registered with it.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.Name == "" {
		r.Name = "detection"
	}
	if r.Recorder == nil {
		r.Recorder = mgr.GetEventRecorder("itil-operator")
	}
	c, err := controller.NewTyped(r.Name, mgr, controller.TypedOptions[configuration.Key]{
		Reconciler: r, MaxConcurrentReconciles: max(r.Concurrency, 1), RateLimiter: kuberetry.Limiter[configuration.Key](),
	})
	if err != nil {
		return fmt.Errorf("make the controller %s: %w", r.Name, err)
	}
	for range logReaders {
		if err := mgr.Add(manager.RunnableFunc(r.readLogs)); err != nil {
			return fmt.Errorf("add what reads logs: %w", err)
		}
	}
	var synced []toolscache.InformerSynced
	return c.Watch(push.Source(
		func(ctx context.Context, add func(configuration.Key)) error {
			r.enqueue = add
			var err error
			synced, err = r.follow(ctx, mgr.GetCache())
			return err
		},
		func(ctx context.Context) bool {
			return r.Inventory.WaitForSync(ctx) && toolscache.WaitForCacheSync(ctx.Done(), synced...) && r.begin()
		},
	))
}

// Reconcile looks at one workload and brings its Incident up to date.
func (r *Reconciler) Reconcile(ctx context.Context, key configuration.Key) (reconcile.Result, error) {
	now := r.Clock.Now()
	switch {
	case key == incident.OverflowKey():
		next, err := r.collect(ctx, key, r.Namespace, &r.overflow, now)
		return after(next, now, false), err
	case incident.StandsForOthers(key):
		next, err := r.collect(ctx, key, key.Name, &r.backlog, now)
		return after(next, now, false), err
	}
	changed, waiting, err := r.resolve(ctx, key)
	for _, other := range changed {
		r.enqueue(other)
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	in, ok, err := r.gather(ctx, key, now)
	if err != nil {
		return reconcile.Result{}, err
	}
	if !ok {
		r.intake.wrote(key, in.told, in.Alerts)
		r.tails.drop(key)
		r.memory.forget(key)
		r.unlist(&r.backlog, incident.BacklogKey(key.Namespace), key)
		r.unlist(&r.overflow, incident.OverflowKey(), key)
		return retry(waiting), nil
	}
	result := r.observe(ctx, in, now)
	in.records = incident.Choose(r.incidents.of(key), r.Rules, result.Findings, now)
	next, err := r.act(ctx, in, result, now)
	if errors.Is(err, errBehind) || apierrors.IsConflict(err) {
		// What was written meanwhile is looked at anyway. Whoever waits for what they reported to be written still does.
		return after(now.Add(behindWait), now, waiting), nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	r.intake.wrote(key, in.told, in.Alerts)
	return after(next, now, waiting), r.addLog(ctx, key)
}

const (
	// ownerRetry is how soon an unknown controller is looked for again; the inventory pushes it when it comes.
	ownerRetry = 10 * time.Second
	// leastWait keeps a look that is due at once from coming before the clock has moved.
	leastWait = 10 * time.Millisecond
)

func retry(waiting bool) reconcile.Result {
	if waiting {
		return reconcile.Result{RequeueAfter: ownerRetry}
	}
	return reconcile.Result{}
}

func after(next, now time.Time, waiting bool) reconcile.Result {
	result := retry(waiting)
	if next.IsZero() {
		return result
	}
	wait := max(next.Sub(now), leastWait)
	if result.RequeueAfter == 0 || wait < result.RequeueAfter {
		result.RequeueAfter = wait
	}
	return result
}
