// Package release carries Releases out: it raises the Change, sets the images of the phase that runs, watches, and takes
// back what fails.
//
// What comes next, practice/release.Decide says. This package brings together what that depends on, writes the status
// where it differs and then does the one write that was decided, while the status at the API server is still the one
// that was decided on. It may be killed anywhere.
package release

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	kubepush "github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	practice "github.com/itil-dev/itil-operator/internal/practice/release"
)

// +kubebuilder:rbac:groups=itil.dev,resources=releases,verbs=get;list;watch
// +kubebuilder:rbac:groups=itil.dev,resources=releases/status,verbs=patch
// +kubebuilder:rbac:groups=itil.dev,resources=changes,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=itil.dev,resources=incidents,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=itil.dev,resources=servicelevelagreements,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;patch
// +kubebuilder:rbac:groups=batch,resources=cronjobs,verbs=get;patch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// FieldOwner is the field manager of the images that a Release sets.
const FieldOwner = client.FieldOwner("itil-operator-release")

// soon is when to go on after a write whose effect is not told of by what is watched.
const soon = 10 * time.Millisecond

// Reconciler carries Releases out. The leader alone runs it.
type Reconciler struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Reader asks the API server itself: what is written must be decided on what is there.
	Reader    client.Reader
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
	Recorder  events.EventRecorder
	Restorer  *backout.Restorer
	// Managers are the field managers whose images a Release leaves to them.
	Managers fieldmanager.Reconciling

	// Detection of incidents.
	Detection Detection
	// Sight says when the API server is not heard; nil: it always is.
	Sight Sight

	// Watched is until when another process watched before this one; the zero time: that is not known. Nil: it never is.
	Watched func() time.Time

	// observing is since when all that happens is seen.
	observing atomic.Pointer[observation]
	// beginning is held while a Release begins: of two with a unit in common, the second must know of the first.
	beginning sync.Mutex
	looks     looks
}

// Detection says where it is off.
type Detection interface {
	// Off says why nothing that befalls a workload would open an Incident; empty: it would.
	Off(ctx context.Context, workload configuration.Key) (why string, err error)
}

// Sight is whether the caches see what happens.
type Sight interface {
	// Blind reports whether they do not, for a while.
	Blind() bool
	// OnRegained calls f when they do again: until when all was seen, and since when it is again. f must not block.
	OnRegained(f func(until, since time.Time))
}

// SetupWithManager registers the reconciler and the indexes by which it finds what concerns a Release. The inventory
// must have been registered with the manager's cache.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := Index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("release").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		WatchesRawSource(r.releases()).
		Watches(&v1alpha1.Incident{}, handler.EnqueueRequestsFromMapFunc(r.ofIncident)).
		Watches(&v1alpha1.ServiceLevelAgreement{}, handler.EnqueueRequestsFromMapFunc(r.ofAgreement)).
		Complete(r)
}

// releases pushes the Releases whose status may differ after something else did, and first of all those that exist.
func (r *Reconciler) releases() source.Source {
	all := func(ctx context.Context, push func(types.NamespacedName)) bool {
		return kubepush.All(ctx, r.Client, &v1alpha1.ReleaseList{}, push)
	}
	return kubepush.FollowedNames(
		func(push func(types.NamespacedName)) (stop func()) {
			return r.Inventory.Subscribe(func(e inventory.Event) { r.concerned(e, push) })
		},
		func(ctx context.Context, push func(types.NamespacedName)) bool {
			if !r.Inventory.WaitForSync(ctx) {
				return false
			}
			var until time.Time
			if r.Watched != nil {
				until = r.Watched()
			}
			r.Observe(until, r.Clock.Now())
			if r.Sight != nil {
				r.Sight.OnRegained(func(until, since time.Time) {
					r.Observe(until, since)
					all(ctx, push)
				})
			}
			return all(ctx, push)
		},
	)
}

// observation is until when another process watched, and since when this one does.
type observation struct{ until, since time.Time }

// Observe says until when another process watched, as far as that is known, and since when this one does. Starting the
// controller calls it.
func (r *Reconciler) Observe(until, since time.Time) { r.observing.Store(&observation{until, since}) }

// Reconcile brings the status of a Release up to date, or does the write that comes next.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	rel, exists := r.Inventory.Release(request.NamespacedName)
	if !exists || !rel.DeletionTimestamp.IsZero() || rel.Status.EndedAt != nil {
		r.looks.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if r.Sight != nil && r.Sight.Blind() {
		return ctrl.Result{}, nil // all go on when it is regained
	}
	in, err := r.gather(ctx, rel)
	if err != nil {
		return ctrl.Result{}, err
	}
	d := practice.Decide(in, r.Clock.Now())
	if d.Begins {
		r.beginning.Lock()
		defer r.beginning.Unlock()
		if d, err = r.decideAgain(ctx, in); err != nil {
			return ctrl.Result{}, err
		}
	}
	written, err := r.putStatus(ctx, rel, &d)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: patch.StaleRetry}, nil
	}
	if written || err != nil {
		return ctrl.Result{}, err
	}
	if d.Write != nil {
		return r.act(ctx, in, d.Write)
	}
	if d.Wake.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(d.Wake.Sub(r.Clock.Now()), time.Millisecond)}, nil
}

// decideAgain asks the API server itself who else is at work, and decides on that.
func (r *Reconciler) decideAgain(ctx context.Context, in *practice.Input) (practice.Decision, error) {
	others := &v1alpha1.ReleaseList{}
	if err := r.Reader.List(ctx, others, client.InNamespace(in.Release.Namespace)); err != nil {
		return practice.Decision{}, fmt.Errorf("looking up the Releases of namespace %s: %w", in.Release.Namespace, err)
	}
	in.Others = nil
	for i := range others.Items {
		if others.Items[i].UID != in.Release.UID {
			in.Others = append(in.Others, &others.Items[i])
		}
	}
	return practice.Decide(in, r.Clock.Now()), nil
}

// putStatus writes the status where it differs, and then tells of it. One that was decided on an older version is not
// written; what made it older is on its way here.
func (r *Reconciler) putStatus(ctx context.Context, rel *v1alpha1.Release, d *practice.Decision) (written bool, err error) {
	after := rel.DeepCopy()
	after.Status = d.Status
	written, err = patch.Status(ctx, r.Client, rel, after, patch.OptimisticLock)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("writing the status of Release %s: %w", client.ObjectKeyFromObject(rel), err)
	case written:
		r.tell(rel, d.Events)
	}
	return written, nil
}

// writeStatus writes a status where it differs, or fails with a conflict.
func (r *Reconciler) writeStatus(ctx context.Context, before, after *v1alpha1.Release) error {
	_, err := patch.Status(ctx, r.Client, before, after, patch.OptimisticLock)
	return err
}

func (r *Reconciler) tell(rel *v1alpha1.Release, list []practice.Event) {
	for _, e := range list {
		r.Recorder.Eventf(rel, nil, e.Type(), e.Reason, e.Action, "%s", e.Note)
	}
}
