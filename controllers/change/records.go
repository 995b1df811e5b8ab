package change

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
	kubepush "github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
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
	workloads := kubepush.Followed(
		func(push func(configuration.Key)) (stop func()) {
			return r.Inventory.Subscribe(func(e inventory.Event) {
				if configuration.Claimable(e.Workload.Kind) {
					push(e.Workload)
				}
			})
		},
		func(ctx context.Context, push func(configuration.Key)) bool {
			if !r.Inventory.WaitForSync(ctx) {
				return false
			}
			for w := range r.Inventory.Workloads() {
				push(w.Key)
			}
			return true
		},
	)
	return builder.TypedControllerManagedBy[configuration.Key](mgr).Named("changerecords").
		WithOptions(controller.TypedOptions[configuration.Key]{RateLimiter: retry.Limiter[configuration.Key]()}).
		WatchesRawSource(workloads).
		Complete(r)
}

// Reconcile files what the baselines of a workload owe, one after the other: the event of each brings us here again.
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
	if owed == nil {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	r.nameManager(ctx, key, owed)
	switch err := r.Client.Create(ctx, owed); {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return ctrl.Result{}, nil // what it was owed for goes, with the records that there were
	case err != nil && !apierrors.IsAlreadyExists(err):
		return ctrl.Result{}, fmt.Errorf("filing Change %s: %w", client.ObjectKeyFromObject(owed), err)
	}
	return ctrl.Result{}, nil
}

// nameManager says in a record who wrote the template last, where the workload still has it. The cache keeps no
// managedFields: the API server is asked, once for each record. What cannot be read keeps no record from being made.
func (r *RecordKeeper) nameManager(ctx context.Context, key configuration.Key, owed *v1alpha1.Change) {
	kind, known := configuration.KindNamed(key.Kind)
	if !known || owed.Spec.RecordOf == "" {
		return
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: key.Group, Version: "v1", Kind: key.Kind})
	if err := r.Client.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: key.Name}, live); err != nil {
		log.FromContext(ctx).Info("Cannot tell who wrote the template last", "workload", key.Kind+"/"+key.Name, "reason", err.Error())
		return
	}
	t := configuration.ParseTemplate(key.Kind, configuration.RawTemplate(live.Object))
	if t.Hash != string(owed.Spec.Targets[0].TemplateHash) {
		return
	}
	manager, at := fieldmanager.LastOfTemplate(live, kind.TemplatePath())
	practice.NameManager(owed, manager, at)
}
