package servingcert

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/internal/kube/retry"
)

var expiry = prometheus.NewGauge(prometheus.GaugeOpts{
	Name: "itil_webhook_certificate_expiry_timestamp_seconds",
	Help: "When the certificate that the webhooks serve with ends. Under Enforce an expired one closes the gate.",
})

func init() { metrics.Registry.MustRegister(expiry) }

// Authority says who makes the certificate.
type Authority string

const (
	// Self: the operator makes and renews it, and writes the bundle into the webhook configurations.
	Self Authority = "self"
	// External: something else does both, for example cert-manager; the operator only reads it.
	External Authority = "external"
)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=itil-operator-gate,verbs=patch

// Reconciler keeps the certificate in the Secret, in the webhook configurations and in memory. It runs on every
// replica, leader or not: each serves, and whichever sees first that something is due renews it; the API
// server's resourceVersion lets one win.
type Reconciler struct {
	Client client.Client
	Clock  clock.PassiveClock
	// Secret holds the certificate. It must exist.
	Secret types.NamespacedName
	// Webhooks are the names of the ValidatingWebhookConfigurations that must trust it.
	Webhooks []string
	// Names that the certificate must be good for.
	Names Names
	// Authority says who makes it.
	Authority Authority

	serving atomic.Pointer[tls.Certificate]
}

// SetupWithManager registers the reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	everywhere := false
	mine := predicate.NewPredicateFuncs(func(o client.Object) bool { return client.ObjectKeyFromObject(o) == r.Secret })
	hooks := predicate.NewPredicateFuncs(func(o client.Object) bool { return r.owns(o.GetName()) })
	toSecret := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []ctrl.Request {
		return []ctrl.Request{{NamespacedName: r.Secret}}
	})
	return ctrl.NewControllerManagedBy(mgr).Named("servingcert").
		For(&corev1.Secret{}, builder.WithPredicates(mine)).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, toSecret, builder.WithPredicates(hooks)).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere, RateLimiter: retry.Limiter[ctrl.Request]()}).
		Complete(r)
}

func (r *Reconciler) owns(webhook string) bool {
	return slices.Contains(r.Webhooks, webhook)
}

// Reconcile renews what is due, serves what there is, and has the API server trust it.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	secret := &corev1.Secret{}
	if err := r.Client.Get(ctx, r.Secret, secret); err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the Secret of the serving certificate %s (it is part of the installation; apply it again): %w", r.Secret, err)
	}
	next := time.Time{}
	if r.Authority != External {
		renewed, err := renew(secret.Data, r.Names, r.Clock.Now())
		if err != nil {
			return ctrl.Result{}, err
		}
		if renewed.Changed {
			secret = secret.DeepCopy()
			secret.Data = renewed.Data
			if err := r.Client.Update(ctx, secret); err != nil {
				// Another replica was first: its Secret brings us here again.
				return ctrl.Result{}, client.IgnoreNotFound(ignoreConflict(err))
			}
		}
		next = renewed.Next
	}
	if err := r.load(secret.Data); err != nil {
		return ctrl.Result{}, err
	}
	if r.Authority != External {
		if err := r.trust(ctx, secret.Data[keyBundle]); err != nil {
			return ctrl.Result{}, err
		}
	}
	if next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(r.Clock.Now()), time.Second)}, nil
}

func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// load serves the certificate from now on.
func (r *Reconciler) load(data map[string][]byte) error {
	pair, err := tls.X509KeyPair(data[keyCert], data[keyKey])
	if err != nil {
		return fmt.Errorf("serving certificate in Secret %s: %w", r.Secret, err)
	}
	r.serving.Store(&pair)
	expiry.Set(float64(pair.Leaf.NotAfter.Unix()))
	return nil
}

// trust writes the bundle into the webhook configurations that have another one. The lists are atomic, hence
// the optimistic lock: gatescope writes the namespaces of the same entries.
func (r *Reconciler) trust(ctx context.Context, bundle []byte) error {
	var failures []error
	for _, name := range r.Webhooks {
		live := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		if err := r.Client.Get(ctx, types.NamespacedName{Name: name}, live); err != nil {
			failures = append(failures, client.IgnoreNotFound(err))
			continue
		}
		want := live.DeepCopy()
		differs := false
		for i := range want.Webhooks {
			differs = differs || !bytes.Equal(want.Webhooks[i].ClientConfig.CABundle, bundle)
			want.Webhooks[i].ClientConfig.CABundle = bundle
		}
		if !differs {
			continue
		}
		patch := client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, want, patch); err != nil {
			failures = append(failures, fmt.Errorf("writing the bundle into webhook configuration %s: %w", name, err))
		}
	}
	return errors.Join(failures...)
}

// Serve is for tls.Config.GetCertificate.
func (r *Reconciler) Serve(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := r.serving.Load(); pair != nil {
		return pair, nil
	}
	return nil, errors.New("no serving certificate yet")
}

// Ready is a readiness check: a replica without a certificate must get no admission requests.
func (r *Reconciler) Ready(*http.Request) error {
	_, err := r.Serve(nil)
	return err
}
