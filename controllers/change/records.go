package change

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/inventory"
	kubepush "github.com/itil-dev/itil-operator/internal/kube/push"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// RecordKeeper files the Changes that baselines owe: the record of what was forced in or came in past the gate, and the
// Change of what was pre-authorised, where a replica died before it filed it. The leader alone runs it.
type RecordKeeper struct {
	Client    client.Client
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
}

// SetupWithManager registers the keeper.
func (r *RecordKeeper) SetupWithManager(mgr ctrl.Manager) error {
	var push func(configuration.Key)
	source := kubepush.Source(func(ctx context.Context, add func(configuration.Key)) error {
		push = add
		context.AfterFunc(ctx, r.Inventory.Subscribe(func(e inventory.Event) {
			if configuration.Claimable(e.Workload.Kind) {
				add(e.Workload)
			}
		}))
		return nil
	}, func(ctx context.Context) bool {
		if !r.Inventory.WaitForSync(ctx) {
			return false
		}
		for w := range r.Inventory.Workloads() {
			push(w.Key)
		}
		return true
	})
	return builder.TypedControllerManagedBy[configuration.Key](mgr).Named("changerecords").
		WatchesRawSource(source).
		Complete(r)
}

// Reconcile files what the newest baseline of a workload owes.
func (r *RecordKeeper) Reconcile(ctx context.Context, key configuration.Key) (ctrl.Result, error) {
	exists := func(name string) bool {
		_, ok := r.Inventory.Change(types.NamespacedName{Namespace: key.Namespace, Name: name})
		return ok
	}
	var annotations map[string]string
	if w, known := r.Inventory.Workload(key); known {
		annotations = w.Annotations
	}
	owed, wait := practice.Owed(key, annotations, r.Inventory.Baselines(key), exists, r.Clock.Now())
	if owed == nil || wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	if err := r.Client.Create(ctx, owed); err != nil && !apierrors.IsAlreadyExists(err) {
		return ctrl.Result{}, fmt.Errorf("filing Change %s: %w", client.ObjectKeyFromObject(owed), err)
	}
	return ctrl.Result{}, nil
}
