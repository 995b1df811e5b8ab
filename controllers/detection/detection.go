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

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
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

// follow takes in what informers tell, and pushes the workloads that it is about.
func (r *Reconciler) follow(ctx context.Context, c cache.Cache) ([]toolscache.InformerSynced, error) {
	var synced []toolscache.InformerSynced
	for _, watched := range []struct {
		kind    client.Object
		handler toolscache.ResourceEventHandler
	}{
		{&corev1.Pod{}, follower[*Record]{r.putPod, r.removePod}},
		{&corev1.Node{}, follower[*corev1.Node]{r.putNode, r.removeNode}},
		{&corev1.Namespace{}, follower[*corev1.Namespace]{r.putNamespace, func(*corev1.Namespace) {}}},
		{&v1alpha1.Incident{}, follower[*v1alpha1.Incident]{r.putIncident, r.removeIncident}},
	} {
		informer, err := c.GetInformer(ctx, watched.kind, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", watched.kind, err)
		}
		registration, err := informer.AddEventHandler(watched.handler)
		if err != nil {
			return nil, fmt.Errorf("follow %T: %w", watched.kind, err)
		}
		synced = append(synced, registration.HasSynced)
	}
	cancel := r.Inventory.Subscribe(r.hear)
	context.AfterFunc(ctx, cancel)
	return synced, nil
}

// begin looks at all workloads once: one without pods has nobody else to speak for it. By then it is known whose the pods
// are: the first look after a restart of ours must not be at a workload without its pods.
func (r *Reconciler) begin() bool {
	r.pods.resolveAll(r)
	for w := range r.Inventory.Workloads() {
		r.hear(inventory.Event{Workload: w.Key})
	}
	close(r.begun)
	return true
}

// follower hands the objects of an informer on with their type.
type follower[T any] struct {
	put    func(old, obj T)
	remove func(obj T)
}

// OnAdd implements toolscache.ResourceEventHandler.
func (f follower[T]) OnAdd(obj any, _ bool) {
	var none T
	if o, ok := obj.(T); ok {
		f.put(none, o)
	}
}

// OnUpdate implements toolscache.ResourceEventHandler.
func (f follower[T]) OnUpdate(old, obj any) {
	before, _ := old.(T)
	if o, ok := obj.(T); ok {
		f.put(before, o)
	}
}

// OnDelete implements toolscache.ResourceEventHandler.
func (f follower[T]) OnDelete(obj any) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	if o, ok := obj.(T); ok {
		f.remove(o)
	}
}

func (r *Reconciler) putPod(old, pod *Record) {
	measureLag(old, pod, r.Clock.Now())
	for _, key := range r.pods.put(old, pod, r) {
		r.enqueue(key)
	}
}

func (r *Reconciler) removePod(pod *Record) {
	for _, key := range r.pods.remove(pod) {
		r.enqueue(key)
	}
}

func nodeKey(name string) configuration.Key {
	return configuration.Key{Kind: incident.KindNode, Name: name}
}

func (r *Reconciler) putNode(_, node *corev1.Node) { r.enqueue(nodeKey(node.Name)) }

// removeNode looks also at what the loss of the node explained: it does not any more.
func (r *Reconciler) removeNode(node *corev1.Node) {
	r.enqueue(nodeKey(node.Name))
	if c, lost := r.incidents.lostNode(node.Name); lost {
		for _, key := range r.incidents.childrenOf(types.NamespacedName{Namespace: string(c.Ref.Namespace), Name: string(c.Ref.Name)}) {
			r.enqueue(key)
		}
	}
}

// putNamespace looks again at a namespace in which detection was switched on or off.
func (r *Reconciler) putNamespace(old, namespace *corev1.Namespace) {
	if old == nil || old.Labels[v1alpha1.LabelIncidents] == namespace.Labels[v1alpha1.LabelIncidents] {
		return
	}
	for _, key := range r.pods.in(namespace.Name) {
		r.enqueue(key)
	}
	for _, key := range r.Inventory.WorkloadsIn(namespace.Name) {
		r.enqueue(key)
	}
}

func muted(labels map[string]string) bool {
	return labels[v1alpha1.LabelIncidents] == v1alpha1.LabelIncidentsDisabled
}

func (r *Reconciler) putIncident(old, i *v1alpha1.Incident) {
	n := r.learn(i)
	if n.key != (configuration.Key{}) {
		r.enqueue(n.key)
	}
	if old == nil && incident.StandsForOthers(n.key) {
		// What it lists may be gone, and then nothing else makes us look.
		for _, listed := range incident.ListedIn(i.Status.Signals) {
			r.enqueue(listed)
		}
	}
	if n.room {
		r.makeRoom(i.Namespace)
	}
}

func (r *Reconciler) removeIncident(i *v1alpha1.Incident) {
	n := r.unlearn(i)
	if n.key != (configuration.Key{}) {
		r.enqueue(n.key)
	}
	if n.room {
		r.makeRoom(i.Namespace)
	}
}

// hear takes in news of the inventory. A Job is news for its CronJob.
func (r *Reconciler) hear(e inventory.Event) {
	if e.Workload == (configuration.Key{}) {
		return
	}
	if e.Workload.Kind == configuration.KindJob {
		job, _ := r.Inventory.Workload(e.Workload)
		if cronJob, owned := r.jobs.update(e.Workload, job); owned {
			r.enqueue(cronJob)
		}
	}
	r.enqueue(e.Workload)
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
