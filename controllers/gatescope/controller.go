// Package gatescope keeps the namespaces in the gate's webhook configuration in step with Services and ChangePolicies,
// so that the API server asks the gate about governed namespaces only, and an operator that is gone closes none but
// those with a workload under Enforce.
package gatescope

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
)

// mostNamed is how many namespaces without room a message names.
const mostNamed = 10

var namespaces = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "itil_gate_namespaces",
	Help: "Namespaces by the list of the gate's webhook configuration that they are in; Unlisted ones have no room in it and are not gated.",
}, []string{"list"})

func init() { metrics.Registry.MustRegister(namespaces) }

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=itil-operator-gate,verbs=patch
// +kubebuilder:rbac:groups=itil.dev,resources=services;changepolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// Reconciler writes the lists. The leader alone runs it.
type Reconciler struct {
	Client client.Client
	// OwnNamespace of the operator, which is never gated.
	OwnNamespace string
}

var configuration = types.NamespacedName{Name: gateconfig.Name}

// SetupWithManager registers the reconciler. There is one object to reconcile; events of everything it follows from
// come together in its place in the queue.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	toConfiguration := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []ctrl.Request {
		return []ctrl.Request{{NamespacedName: configuration}}
	})
	mine := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetName() == gateconfig.Name })
	return ctrl.NewControllerManagedBy(mgr).Named("gatescope").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		For(&admissionregistrationv1.ValidatingWebhookConfiguration{}, builder.WithPredicates(mine)).
		Watches(&v1alpha1.Service{}, toConfiguration, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ChangePolicy{}, toConfiguration, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Namespace{}, toConfiguration, builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Complete(r)
}

// Reconcile brings the lists up to date. It reads all Services, but only after one's spec, a ChangePolicy's or a
// namespace's labels changed: to know that a namespace has no workload under Enforce takes all of them.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	live := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := r.Client.Get(ctx, configuration, live); err != nil {
		if apierrors.IsNotFound(err) {
			log.FromContext(ctx).Info("There is no gate: its webhook configuration is not installed", "name", gateconfig.Name)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("reading webhook configuration %s: %w", gateconfig.Name, err)
	}
	in, err := r.gather(ctx, live)
	if err != nil {
		return ctrl.Result{}, err
	}
	lists, left := decide(in)
	err = r.apply(ctx, live, lists)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: patch.StaleRetry}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	r.tell(ctx, lists, left)
	return ctrl.Result{}, nil
}

func (r *Reconciler) gather(ctx context.Context, live *admissionregistrationv1.ValidatingWebhookConfiguration) (observed, error) {
	services, policies, all := &v1alpha1.ServiceList{}, &v1alpha1.ChangePolicyList{}, &corev1.NamespaceList{}
	for _, list := range []client.ObjectList{services, policies, all} {
		// Read only: thousands of Services are not worth a copy each.
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return observed{}, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	return observed{
		services: services.Items, policies: policies.Items, namespaces: all.Items,
		excluded: []string{r.OwnNamespace, metav1.NamespaceSystem},
		listed:   gateconfig.Read(live),
	}, nil
}

// apply writes the lists if they differ. A list of webhooks is replaced as a whole, hence the optimistic lock: the
// rotation of the serving certificate writes the same entries.
func (r *Reconciler) apply(ctx context.Context, live *admissionregistrationv1.ValidatingWebhookConfiguration, lists gateconfig.Namespaces) error {
	want := live.DeepCopy()
	if !gateconfig.Write(want, lists) {
		return nil
	}
	err := r.Client.Patch(ctx, want, client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsNotFound(err) {
		return nil // it was removed at the same time
	}
	if err != nil {
		return fmt.Errorf("writing the namespaces of webhook configuration %s: %w", gateconfig.Name, err)
	}
	log.FromContext(ctx).Info("Gated namespaces changed", "enforce", len(lists.Enforce), "audit", len(lists.Audit))
	return nil
}

func (r *Reconciler) tell(ctx context.Context, lists gateconfig.Namespaces, left []string) {
	namespaces.WithLabelValues(string(gateconfig.ListedEnforce)).Set(float64(len(lists.Enforce)))
	namespaces.WithLabelValues(string(gateconfig.ListedAudit)).Set(float64(len(lists.Audit)))
	namespaces.WithLabelValues("Unlisted").Set(float64(len(left)))
	if len(left) > 0 {
		log.FromContext(ctx).Error(nil, "More namespaces are governed than the gate can list: these are NOT gated",
			"limit", maxListed, "count", len(left), "first", left[:min(len(left), mostNamed)])
	}
}
