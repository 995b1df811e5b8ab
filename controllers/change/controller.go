// Package change keeps the status of Changes and ChangeApprovals, and files the Changes that the gate asks for.
//
// What a status is, practice/change.Evaluate decides; what it depends on, the inventory knows. This package brings the
// two together, writes what differs, and wakes up when a window opens or closes.
package change

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	kubepush "github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
)

// +kubebuilder:rbac:groups=itil.dev,resources=changes,verbs=get;list;watch
// +kubebuilder:rbac:groups=itil.dev,resources=changes/status;changeapprovals/status,verbs=patch
// +kubebuilder:rbac:groups=itil.dev,resources=changeapprovals;incidents,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler keeps the status of Changes and of the votes on them. The leader alone runs it.
type Reconciler struct {
	Client    client.Client
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
	Recorder  events.EventRecorder
	// Restorer undoes what spec.backout.automatic asks to undo.
	Restorer *backout.Restorer
	// Managers are the field managers that would put back what is undone of theirs.
	Managers fieldmanager.Reconciling

	revisions revisions
	crowds    crowds
}

// SetupWithManager registers the reconciler, and the index by which it finds the Incidents that suspect a Change. The
// inventory must have been registered with the manager's cache.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := IndexSuspicions(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	exported.Show(ctx, mgr.Elected(), (&Collector{Reader: mgr.GetClient(), Clock: r.Clock}).Collect)
	return ctrl.NewControllerManagedBy(mgr).Named("change").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		WatchesRawSource(r.changes()).
		Watches(&v1alpha1.Incident{}, toSuspected).
		Complete(r)
}

// changes pushes the Changes whose status may differ after something else did, and first of all those that exist.
func (r *Reconciler) changes() source.Source {
	return kubepush.FollowedNames(
		func(push func(types.NamespacedName)) (stop func()) {
			return r.Inventory.Subscribe(func(e inventory.Event) { r.concerned(e, push) })
		},
		func(ctx context.Context, push func(types.NamespacedName)) bool {
			return r.Inventory.WaitForSync(ctx) && kubepush.All(ctx, r.Client, &v1alpha1.ChangeList{}, push)
		},
	)
}

// Reconcile brings the status of one Change, and of the votes on it, up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	known, exists := r.Inventory.Change(request.NamespacedName)
	if !exists || !known.Object.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	if by := r.supersededBy(known); by != "" {
		// What was canceled comes here again.
		return ctrl.Result{}, giveWay(ctx, r.Client, known.Object, by)
	}
	now := r.Clock.Now()
	subject, err := r.gather(ctx, known)
	if err != nil {
		return ctrl.Result{}, err
	}
	evaluation := practice.Evaluate(subject, now)
	var undoing error
	if len(evaluation.Restore) > 0 {
		// The status that asks for it is one that was written, and so known to every replica of the gate.
		subject.Restored, undoing = r.restore(ctx, known.Object, evaluation.Restore)
		evaluation = practice.Evaluate(subject, now)
	}
	err = r.apply(ctx, known, &evaluation)
	if apierrors.IsConflict(err) && undoing == nil {
		return ctrl.Result{RequeueAfter: patch.StaleRetry}, nil
	}
	if err := errors.Join(err, undoing); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.sweep(ctx, evaluation.Sweep); err != nil {
		return ctrl.Result{}, err
	}
	if evaluation.Wake.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(evaluation.Wake.Sub(r.Clock.Now()), time.Millisecond)}, nil
}

// supersededBy names the Change that takes the place of one that was filed, and of which whoever filed that one did not
// say so, or by which what it was filed for went in; empty: none does.
func (r *Reconciler) supersededBy(known *inventory.Change) string {
	if len(known.Candidate.Targets) != 1 {
		return ""
	}
	key := known.Candidate.Targets[0].Key
	by := practice.SupersededBy(known.Candidate, known.Object, func(yield func(*v1alpha1.Change) bool) {
		for _, other := range r.Inventory.ChangesEverOf(key) {
			if !yield(other.Object) {
				return
			}
		}
	})
	if by == "" {
		by = practice.OvertakenBy(known.Candidate, known.Object, r.Inventory.Baselines(key))
	}
	return by
}

// apply writes the statuses that differ, and then tells of it. The lock is against a status that the inventory has not
// seen yet: times and rejections in it must not be lost. Its event brings us here again.
func (r *Reconciler) apply(ctx context.Context, known *inventory.Change, e *practice.Evaluation) error {
	after := known.Object.DeepCopy()
	after.Status = e.Status
	written, err := patch.Status(ctx, r.Client, known.Object, after, patch.OptimisticLock)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("writing the status of Change %s: %w", client.ObjectKeyFromObject(after), err)
	case written:
		r.tell(known.Object, e.Events)
		observe(known.Object, &e.Status)
	}
	for _, vote := range known.Agreed.Approvals {
		if err := r.applyVote(ctx, vote, e.Votes[vote.Name], r.Clock.Now()); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) applyVote(ctx context.Context, vote *v1alpha1.ChangeApproval, s practice.VoteStatus, now time.Time) error {
	if s.State == "" || !vote.DeletionTimestamp.IsZero() {
		return nil
	}
	after := vote.DeepCopy()
	setVoteStatus(after, s, now)
	written, err := patch.Status(ctx, r.Client, vote, after)
	if err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing the status of ChangeApproval %s: %w", client.ObjectKeyFromObject(vote), err))
	}
	if written && s.State != v1alpha1.VoteCounted {
		r.Recorder.Eventf(vote, nil, corev1.EventTypeWarning, string(s.State), "Count", "%s", s.Why)
	}
	return nil
}

func (r *Reconciler) tell(chg *v1alpha1.Change, list []practice.Event) {
	for _, e := range list {
		r.Recorder.Eventf(chg, nil, e.Type(), e.Reason, e.Action, "%s", e.Note)
	}
}
