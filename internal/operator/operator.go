// Package operator wires the operator: what it watches, what reconciles, what answers admission requests. Its program is
// cmd/manager, which has the flags and the real clock; tests wire the same operator with a clock of theirs.
package operator

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/kube/leadership"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/kube/servingcert"
	changepractice "github.com/itil-dev/itil-operator/internal/practice/change"
)

const (
	certificateSecret = "itil-operator-webhook-cert"
	lease             = "itil-operator"

	// The API server is asked for what reconciling needs, and protects itself by priority and fairness; the
	// client's own limit is only against a loop of ours.
	clientQPS, clientBurst = 100, 200
	gracePeriod            = 20 * time.Second
)

// Options say where and how the operator runs.
type Options struct {
	// Namespace is the operator's own.
	Namespace string
	// Version is told to the API server.
	Version string
	// LeaderElect lets one of several replicas reconcile; all of them answer admission requests.
	LeaderElect bool
	// ProbeAddress of /healthz and /readyz, MetricsAddress of /metrics; "0" is none.
	ProbeAddress, MetricsAddress string
	// AlertAddress is where Alertmanager's webhook messages are taken in; empty or "0" is nowhere.
	AlertAddress string
	// MetricsInsecure serves metrics over plain HTTP to anybody.
	MetricsInsecure bool
	// WebhookHost and WebhookPort are where admission requests are answered.
	WebhookHost string
	WebhookPort int
	// WebhookClientCA is a file of the authorities that sign the client certificates of API servers; empty: callers
	// show none.
	WebhookClientCA string
	// Certificates says who makes the webhooks' certificate, for CertificateNames.
	Certificates     servingcert.Authority
	CertificateNames servingcert.Names
	// Detect says where incidents are detected.
	Detect detection.Scope
	// Managers are the field managers that reconcile: what they set, the operator leaves to them.
	Managers fieldmanager.Reconciling
	// Concurrency is how many objects of a kind are reconciled at once.
	Concurrency int
	// ChangeRetention says how long, and how many, Changes are kept that have ended.
	ChangeRetention changepractice.Retention
	// StaleAfter is how long a watch of the API server may be silent; 0 is admission.DefaultStaleAfter.
	StaleAfter time.Duration
	// NewManager makes the manager; nil is ctrl.NewManager. Tests alter here what a process or a machine decides.
	NewManager func(*rest.Config, ctrl.Options) (ctrl.Manager, error)
}

// wire the operator.
func wire(ctx context.Context, restConfig *rest.Config, o Options, clk clock.WithTicker) (ctrl.Manager, error) {
	restConfig = rest.CopyConfig(restConfig)
	restConfig.QPS, restConfig.Burst = clientQPS, clientBurst
	restConfig.UserAgent = "itil-operator/" + o.Version
	freshness := admission.NewFreshness(clk, cmp.Or(o.StaleAfter, admission.DefaultStaleAfter))
	restConfig.Wrap(freshness.Wrap)
	certificate := &servingcert.Reconciler{
		Clock:    clk,
		Secret:   types.NamespacedName{Namespace: o.Namespace, Name: certificateSecret},
		Webhooks: []string{gateconfig.Name}, Names: o.CertificateNames,
		Authority: o.Certificates,
	}
	authorities, err := clientAuthorities(o.WebhookClientCA)
	if err != nil {
		return nil, err
	}
	newManager := o.NewManager
	if newManager == nil {
		newManager = ctrl.NewManager
	}
	lock, err := leadership.New(restConfig, o.Namespace, lease)
	if err != nil {
		return nil, err
	}
	settings := managerOptions(o, certificate, authorities)
	settings.NewCache = endable(ctx.Done())
	settings.LeaderElectionResourceLockInterface = lock
	mgr, err := newManager(restConfig, settings)
	if err != nil {
		return nil, err
	}
	certificate.Client = mgr.GetClient()
	if err := certificate.SetupWithManager(mgr); err != nil {
		return nil, fmt.Errorf("setting up the serving certificate: %w", err)
	}
	inv := inventory.New()
	if err := inv.Register(ctx, mgr.GetCache()); err != nil {
		return nil, err
	}
	sinks, err := addControllers(ctx, mgr, o, &shared{
		inventory: inv, clock: clk, watched: lock.Previous, certificate: certificate, freshness: freshness,
	})
	if err != nil {
		return nil, err
	}
	addWebhooks(mgr, inv, sinks, clk, authorities)
	return mgr, addChecks(mgr, inv, certificate, freshness)
}

func serveWith(certificate *servingcert.Reconciler) func(*tls.Config) {
	return func(c *tls.Config) { c.GetCertificate, c.MinVersion = certificate.Serve, tls.VersionTLS12 }
}

func managerOptions(o Options, certificate *servingcert.Reconciler, authorities *x509.CertPool) ctrl.Options {
	serve := serveWith(certificate)
	metrics := metricsserver.Options{BindAddress: o.MetricsAddress, SecureServing: !o.MetricsInsecure}
	if metrics.SecureServing {
		metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
		metrics.TLSOpts = []func(*tls.Config){serve}
	}
	grace := gracePeriod
	return ctrl.Options{
		Scheme: scheme.New(),
		// What a definition does not know is refused as a whole. Otherwise it is dropped, and the rest is taken for all of it.
		Client: client.Options{FieldValidation: metav1.FieldValidationStrict},
		Cache: cache.Options{
			ByObject:         cacheByObject(o),
			DefaultTransform: cache.TransformStripManagedFields(),
			// What nobody declared to watch is asked for live, or is a mistake; it is never watched by accident.
			ReaderFailOnMissingInformer: true,
		},
		// Replicas that wait watch what the gate needs, and no pods; a new leader reads the pods once.
		Controller:             config.Controller{MaxConcurrentReconciles: o.Concurrency},
		Metrics:                metrics,
		HealthProbeBindAddress: o.ProbeAddress,
		WebhookServer: webhook.NewServer(webhook.Options{
			Host: o.WebhookHost, Port: o.WebhookPort,
			TLSOpts: []func(*tls.Config){serve, func(c *tls.Config) { askCallers(c, authorities) }},
		}),
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              lease,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &grace,
	}
}

// cacheByObject keeps of each object what is needed: memory is for what runs, not for how it is written down.
func cacheByObject(o Options) map[client.Object]cache.ByObject {
	kinds := inventory.CacheByObject()
	maps.Copy(kinds, detection.CacheByObject())
	kinds[&corev1.Secret{}] = cache.ByObject{Namespaces: map[string]cache.Config{
		o.Namespace: {FieldSelector: fields.OneTermEqualSelector("metadata.name", certificateSecret)},
	}}
	return kinds
}

// addWebhooks serves the gate. Until all facts are read it answers nothing: an empty memory would govern nobody.
func addWebhooks(mgr ctrl.Manager, inv *inventory.Inventory, sinks *gateSinks, clk clock.PassiveClock, authorities *x509.CertPool) {
	gate := &admission.Gate{Facts: inv, Filer: sinks.filer, Records: inv, Audits: sinks.audits, SideDoors: sinks.sideDoors, Clock: clk}
	mgr.GetWebhookServer().Register(admission.Path, verifiedOnly(authorities, onceSynced(inv.HasSynced, gate.Webhook())))
}

// onceSynced answers 503 until synced, so that the webhook's failurePolicy decides.
func onceSynced(synced func() bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !synced() {
			http.Error(w, "the operator has not read all it needs to decide yet; try again in a moment", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// addChecks says when the operator lives and when it may be asked.
func addChecks(mgr ctrl.Manager, inv *inventory.Inventory, certificate *servingcert.Reconciler, freshness *admission.Freshness) error {
	synced := func(*http.Request) error {
		if !inv.HasSynced() {
			return errors.New("not all facts are read yet")
		}
		return nil
	}
	return errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("inventory", synced),
		mgr.AddReadyzCheck("certificate", certificate.Ready),
		mgr.AddReadyzCheck("watches", freshness.Ready),
		mgr.AddReadyzCheck("webhook", mgr.GetWebhookServer().StartedChecker()),
	)
}
