// Package configurationitem keeps one ConfigurationItem for each workload that a Service claims or a ChangePolicy
// covers: what it is, whose it is, and which templates were agreed to run.
package configurationitem

import (
	"context"
	"fmt"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/expire"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// DefaultRetention is how long an item is kept after its last claim.
	DefaultRetention = 90 * 24 * time.Hour
	// DefaultAdmissionGrace is how long a template may be without a record of who let it in before it counts as
	// unauthorised: the record comes from another replica.
	DefaultAdmissionGrace = 5 * time.Second
)

// +kubebuilder:rbac:groups=itil.dev,resources=configurationitems,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=itil.dev,resources=configurationitems/status,verbs=patch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler writes ConfigurationItems. The leader alone runs it. Requests are the keys of workloads.
type Reconciler struct {
	Client    client.Client
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
	Recorder  events.EventRecorder
	// Retention after the last claim; 0 means the default.
	Retention time.Duration
	// AdmissionGrace; 0 means the default.
	AdmissionGrace time.Duration
	// Images tells what pods run; nil: nobody does.
	Images ImageSource
	// Revisions tell what a paused Deployment runs; nil: nobody does.
	Revisions RevisionSource
	// Audits count what went in while the gate, which only watches, did not answer; nil: nobody does.
	Audits Audits

	mu sync.Mutex
	// memories by workload, of what no object tells; only of workloads that have an item.
	memories map[configuration.Key]memory
}

// ImageSource knows which images the ready pods of a workload run, as digests by container, without asking anybody;
// nil where it does not know.
type ImageSource interface {
	ImageIDs(key configuration.Key) map[string]string
}

// memory is what is known of a workload beside its item.
type memory struct {
	uid string
	// settles is when to look again at what runs after a rollout was done: the news of its pods may come later.
	settles time.Time
	// rolledOut: it was, when last seen.
	rolledOut bool
	// generation at which it was last seen with the template of its newest baseline.
	generation int64
	// unexplained template that nobody is known to have let in, and since when.
	unexplained string
	since       time.Time
	// earlier templates that were found to run, in words.
	earlier []string
	// unasked templates wait for the record of their admission.
	unasked []unasked
	// asked: the baseline of which it was asked last who wrote its template.
	asked string
}

// SetupWithManager registers the reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return builder.TypedControllerManagedBy[configuration.Key](mgr).Named("configurationitem").
		WithOptions(controller.TypedOptions[configuration.Key]{RateLimiter: retry.Limiter[configuration.Key]()}).
		WatchesRawSource(push.Source(r.follow, r.Inventory.WaitForSync)).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, handler.TypedFuncs[client.Object, configuration.Key]{UpdateFunc: r.listedAnew}).
		Complete(r)
}

// listedAnew asks for the workloads of namespaces that the gate is asked about under Enforce from now on.
func (r *Reconciler) listedAnew(
	_ context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[configuration.Key],
) {
	before, isBefore := e.ObjectOld.(*admissionregistrationv1.ValidatingWebhookConfiguration)
	after, isAfter := e.ObjectNew.(*admissionregistrationv1.ValidatingWebhookConfiguration)
	if !isBefore || !isAfter || after.Name != gateconfig.Name {
		return
	}
	listed := gateconfig.Read(before)
	for _, namespace := range gateconfig.Read(after).Enforce {
		if listed.Of(namespace) == gateconfig.ListedEnforce {
			continue
		}
		for _, key := range r.Inventory.WorkloadsIn(namespace) {
			queue.Add(key)
		}
	}
}

// follow turns news of the inventory into requests, after all workloads and items that there are.
func (r *Reconciler) follow(ctx context.Context, add func(configuration.Key)) error {
	stop := r.Inventory.Subscribe(func(e inventory.Event) {
		switch {
		case configuration.Claimable(e.Workload.Kind):
			add(e.Workload)
		case e.Namespace != "":
			for _, key := range r.Inventory.WorkloadsIn(e.Namespace) {
				add(key)
			}
		}
	})
	context.AfterFunc(ctx, stop)
	for w := range r.Inventory.Workloads() {
		add(w.Key)
	}
	for key := range r.Inventory.Items() {
		add(key)
	}
	return nil
}

// Reconcile brings the item of one workload up to date.
func (r *Reconciler) Reconcile(ctx context.Context, key configuration.Key) (reconcile.Result, error) {
	now := r.Clock.Now()
	seen, err := r.gather(ctx, key, now)
	if err != nil {
		return reconcile.Result{}, err
	}
	switch {
	case seen.item == nil && !seen.wanted():
		r.forget(key)
		return reconcile.Result{}, nil
	case seen.item == nil:
		if err := r.create(ctx, seen); err != nil {
			return reconcile.Result{}, err
		}
	case seen.expired(r.retention(), now):
		r.forget(key)
		_, err := expire.Record(ctx, r.Client, "ConfigurationItem", seen.item)
		return reconcile.Result{}, err
	}
	result := decide(seen, r.recall(key), r.rules(seen), now)
	r.nameManager(ctx, seen, &result, now)
	r.remember(key, result.memory)
	r.tally(key, result.count)
	err = r.apply(ctx, seen, &result)
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: patch.StaleRetry}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	if result.wake.IsZero() {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: max(result.wake.Sub(now), time.Second)}, nil
}

func (r *Reconciler) retention() time.Duration {
	if r.Retention == 0 {
		return DefaultRetention
	}
	return r.Retention
}

func (r *Reconciler) rules(seen *observed) rules {
	grace := r.AdmissionGrace
	if grace == 0 {
		grace = DefaultAdmissionGrace
	}
	return rules{grace: grace, retention: r.retention(), baselines: seen.baselineRules()}
}

// create the item. One that is there already is taken if it is the one meant.
func (r *Reconciler) create(ctx context.Context, seen *observed) error {
	item := newItem(seen.key)
	err := r.Client.Create(ctx, item)
	if apierrors.IsAlreadyExists(err) {
		// Its event brings us here again, unless it is another workload's.
		item = &v1alpha1.ConfigurationItem{}
		if err := r.Client.Get(ctx, client.ObjectKey{Namespace: seen.key.Namespace, Name: itemName(seen.key)}, item); err != nil {
			return client.IgnoreNotFound(err)
		}
		if item.Spec.WorkloadRef != change.ReferenceTo(seen.key) {
			return reconcile.TerminalError(fmt.Errorf("ConfigurationItem %s/%s is of another workload; delete it", item.Namespace, item.Name))
		}
	} else if err != nil {
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		return fmt.Errorf("creating ConfigurationItem %s/%s: %w", item.Namespace, item.Name, err)
	}
	seen.item = item
	return nil
}

func itemName(key configuration.Key) string { return configuration.ItemName(key.Kind, key.Name) }

func newItem(key configuration.Key) *v1alpha1.ConfigurationItem {
	return &v1alpha1.ConfigurationItem{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: itemName(key),
			Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelWorkloadKind: key.Kind},
		},
		Spec: v1alpha1.ConfigurationItemSpec{WorkloadRef: change.ReferenceTo(key)},
	}
}

// apply writes the status where it differs. Admissions are appended by other replicas at any time, hence the lock; the
// event of what came in between brings us here again.
func (r *Reconciler) apply(ctx context.Context, seen *observed, result *outcome) error {
	if seen.item == nil {
		return nil
	}
	after := seen.item.DeepCopy()
	after.Status = result.status
	written, err := patch.Status(ctx, r.Client, seen.item, after, patch.OptimisticLock)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the status of ConfigurationItem %s/%s: %w", seen.item.Namespace, seen.item.Name, err)
	}
	r.Inventory.Forget(seen.key, result.consumed)
	if written {
		r.announce(seen.item, after)
	}
	return nil
}

func (r *Reconciler) recall(key configuration.Key) memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.memories[key]
}

func (r *Reconciler) remember(key configuration.Key, m memory) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.memories == nil {
		r.memories = map[configuration.Key]memory{}
	}
	r.memories[key] = m
}

func (r *Reconciler) forget(key configuration.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.memories, key)
}
