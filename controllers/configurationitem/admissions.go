package configurationitem

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// AdmissionWriter writes what this replica's gate let in on ConfigurationItems. Every replica answers for the gate, and
// only the leader, which may be another one, writes baselines: this is how it learns who let a template in. Every
// replica runs it.
type AdmissionWriter struct {
	Client    client.Client
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
}

// SetupWithManager registers the writer.
func (a *AdmissionWriter) SetupWithManager(mgr ctrl.Manager) error {
	return builder.TypedControllerManagedBy[configuration.Key](mgr).Named("admissions").
		WithOptions(controller.TypedOptions[configuration.Key]{
			NeedLeaderElection: new(false), EnableWarmup: new(false), RateLimiter: retry.Limiter[configuration.Key](),
		}).
		WatchesRawSource(push.Source(a.follow, a.Inventory.WaitForSync)).
		Complete(a)
}

// follow asks for workloads of which there is something to write: a new admission, or an item to write it on.
func (a *AdmissionWriter) follow(ctx context.Context, add func(configuration.Key)) error {
	stop := a.Inventory.Subscribe(func(e inventory.Event) {
		if e.Workload.Kind != "" && len(a.Inventory.AdmittedHere(e.Workload)) > 0 {
			add(e.Workload)
		}
	})
	context.AfterFunc(ctx, stop)
	return nil
}

// Reconcile writes the admissions of one workload on its item. A workload that is just being created has none yet; the
// event of the item brings us here again.
func (a *AdmissionWriter) Reconcile(ctx context.Context, key configuration.Key) (reconcile.Result, error) {
	records, now := a.Inventory.AdmittedHere(key), a.Clock.Now()
	if len(records) == 0 {
		return reconcile.Result{}, nil
	}
	item := a.Inventory.Item(key)
	if item == nil {
		stale := slices.DeleteFunc(slices.Clone(records), func(r configuration.AdmissionRecord) bool { return now.Sub(r.At) <= admissionsKept })
		a.Inventory.Forget(key, stale)
		if len(stale) < len(records) {
			// Nothing may come of a request after the gate let it in; then it is forgotten.
			return reconcile.Result{RequeueAfter: admissionsKept + time.Second}, nil
		}
		return reconcile.Result{}, nil
	}
	after := item.DeepCopy()
	after.Status.Admissions = merged(item.Status.Admissions, records)
	_, err := patch.Status(ctx, a.Client, item, after, patch.OptimisticLock)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		// It was written, or removed, at the same time; that event brings us here again.
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("writing the admissions of ConfigurationItem %s/%s: %w", item.Namespace, item.Name, err)
	}
	a.Inventory.Forget(key, records)
	return reconcile.Result{}, nil
}

// merged are the newest of both, each once, the newest first.
func merged(written []v1alpha1.Admission, records []configuration.AdmissionRecord) []v1alpha1.Admission {
	out := slices.Clone(written)
	for _, r := range records {
		if !slices.ContainsFunc(out, func(a v1alpha1.Admission) bool { return inventory.SameAdmission(inventory.RecordOf(a), r) }) {
			out = append(out, v1alpha1.Admission{
				TemplateHash: r.TemplateHash, Source: r.Source, By: r.By, Change: r.Change, At: metav1.NewTime(r.At.Truncate(time.Second)),
			})
		}
	}
	slices.SortStableFunc(out, func(x, y v1alpha1.Admission) int { return y.At.Compare(x.At.Time) })
	return out[:min(len(out), inventory.MaxAdmissions)]
}
