// Package operate runs the operator, or some of its controllers, on a test's API server as they run in a cluster: as the
// operator's own ServiceAccount, in its namespace, and behind its webhooks. For replicas with a clock of the test's and
// deaths like that of a process see package replica.
package operate

import (
	"context"
	"net"
	"strconv"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/servingcert"
	"github.com/itil-dev/itil-operator/internal/operator"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

const (
	// Namespace of the operator.
	Namespace = "itil-system"
	// Account is the operator's user name.
	Account = "system:serviceaccount:" + Namespace + ":itil-operator"

	certificateSecret = "itil-operator-webhook-cert"
	address           = "127.0.0.1"
)

// GrantRole gives the operator's account the role that it is installed with.
func GrantRole(t testing.TB, env *apiserver.Env) {
	t.Helper()
	env.Apply(t, "config/rbac/role.yaml")
	env.Bind(t, "", apiserver.User(Account), "itil-operator")
}

// NewManager makes a manager that acts as the operator's account and caches what the inventory reads. A process may have
// several.
func NewManager(t testing.TB, env *apiserver.Env) ctrl.Manager {
	t.Helper()
	mgr, err := ctrl.NewManager(env.Config(t, Account), ctrl.Options{
		Scheme: env.Scheme(),
		Cache: cache.Options{
			ByObject: inventory.CacheByObject(), DefaultTransform: cache.TransformStripManagedFields(), ReaderFailOnMissingInformer: true,
		},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		t.Fatalf("making a manager: %v", err)
	}
	return mgr
}

// Running is a manager that was started.
type Running struct {
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// Start makes a manager and starts it. It stops with the test at the latest; the context of making ends then.
func Start(t testing.TB, newManager func(context.Context) ctrl.Manager) *Running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &Running{stop: stop, done: make(chan struct{})}
	t.Cleanup(stop)
	mgr := newManager(ctx)
	go func() {
		defer close(r.done)
		r.err = mgr.Start(ctx)
	}()
	t.Cleanup(func() { r.End(t) })
	return r
}

// End stops it, waits until it has, and fails the test where it did not end well.
func (r *Running) End(t testing.TB) {
	t.Helper()
	r.stop()
	<-r.done
	if r.err != nil {
		t.Errorf("the manager did not end well: %v", r.err)
	}
}

// Operator runs the whole operator as its program does, behind its webhooks on a port of this machine, until the test
// ends, by a clock, which is the real one for all but time travel. It makes the operator's namespace, and binds
// cluster-admin to its account. Alter changes the webhooks' manifest; nil: it stays as it is.
func Operator(t testing.TB, env *apiserver.Env, clk clock.WithTicker, alter func(*admissionregistrationv1.ValidatingWebhookConfiguration)) {
	t.Helper()
	env.Bind(t, "", apiserver.User(Account), "cluster-admin")
	create(t, env, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}})
	create(t, env, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: certificateSecret, Namespace: Namespace}})
	port := freePort(t)
	create(t, env, gateAt(t, env, port, alter))
	Start(t, func(ctx context.Context) ctrl.Manager {
		mgr, err := operator.New(ctx, env.Config(t, Account), operator.Options{
			Namespace: Namespace, Version: "test", ProbeAddress: "0", MetricsAddress: "0",
			WebhookHost: address, WebhookPort: port, Certificates: servingcert.Self,
			CertificateNames: servingcert.Names{DNS: []string{"localhost"}, IPs: []net.IP{net.ParseIP(address)}},
			Detect:           detection.ScopeAll, Concurrency: 2,
		}, clk)
		if err != nil {
			t.Fatalf("wiring the operator: %v", err)
		}
		return mgr
	})
}

// gateAt is config/webhook/gate.yaml with an address of this machine. The operator writes the rest.
func gateAt(t testing.TB, env *apiserver.Env, port int, alter func(*admissionregistrationv1.ValidatingWebhookConfiguration)) client.Object {
	t.Helper()
	root, err := apiserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	read, err := apiserver.ReadManifests(root + "/config/webhook/gate.yaml")
	if err != nil {
		t.Fatalf("reading the webhooks: %v", err)
	}
	gate := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := env.Scheme().Convert(read[0], gate, nil); err != nil {
		t.Fatalf("reading the webhooks: %v", err)
	}
	url := "https://" + net.JoinHostPort(address, strconv.Itoa(port)) + admission.Path
	for i := range gate.Webhooks {
		gate.Webhooks[i].ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: &url}
	}
	if alter != nil {
		alter(gate)
	}
	return gate
}

func create(t testing.TB, env *apiserver.Env, object client.Object) {
	t.Helper()
	if err := env.Admin().Create(context.Background(), object); err != nil {
		t.Fatalf("creating %s: %v", object.GetName(), err)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	port, err := replica.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
