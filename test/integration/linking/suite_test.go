// Package linking_test links Services to what runs on a real API server: the inventory, the controllers of Services and
// ConfigurationItems, as the operator's own ServiceAccount with the role that it is installed with.
package linking_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/goleak"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/itil-dev/itil-operator/controllers/configurationitem"
	"github.com/itil-dev/itil-operator/controllers/service"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const operator = "system:serviceaccount:itil-system:itil-operator"

var env *apiserver.Env

// TestMain fails where anything that the specs started still runs after the last. Ginkgo's own wait for an interrupt
// does.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2",
	))
}

func TestLinking(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Linking")
}

var _ = BeforeSuite(func() {
	env = apiserver.Start(GinkgoTB())
	root, err := apiserver.Root()
	Expect(err).NotTo(HaveOccurred())
	env.Apply(GinkgoTB(), filepath.Join(root, "config", "rbac", "role.yaml"))
	env.Bind(GinkgoTB(), "", apiserver.User(operator), "itil-operator")
})

// replica is one running operator, as far as linking goes.
type replica struct {
	inventory *inventory.Inventory
	stop      context.CancelFunc
	stopped   chan struct{}
}

// options of a replica.
type options struct {
	leader    bool
	retention time.Duration
}

// run starts a replica, which stops with the spec at the latest.
func run(o options) *replica {
	GinkgoHelper()
	mgr, err := ctrl.NewManager(env.Config(GinkgoTB(), operator), ctrl.Options{
		Scheme: env.Scheme(),
		Cache: cache.Options{
			ByObject: inventory.CacheByObject(), DefaultTransform: cache.TransformStripManagedFields(), ReaderFailOnMissingInformer: true,
		},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	r := &replica{inventory: inventory.New(), stop: cancel, stopped: make(chan struct{})}
	Expect(r.inventory.Register(ctx, mgr.GetCache())).To(Succeed())
	clk := clock.RealClock{}
	if o.leader {
		services := &service.Reconciler{
			Client: mgr.GetClient(), Inventory: r.inventory, Clock: clk, Recorder: events.NewFakeRecorder(1000), RecoveryHold: time.Second,
		}
		Expect(services.SetupWithManager(ctx, mgr)).To(Succeed())
		items := &configurationitem.Reconciler{
			Client: mgr.GetClient(), Inventory: r.inventory, Clock: clk, Recorder: events.NewFakeRecorder(1000), Retention: o.retention,
		}
		Expect(items.SetupWithManager(mgr)).To(Succeed())
	}
	writer := &configurationitem.AdmissionWriter{Client: mgr.GetClient(), Inventory: r.inventory, Clock: clk}
	Expect(writer.SetupWithManager(mgr)).To(Succeed())
	go func() {
		defer GinkgoRecover()
		defer close(r.stopped)
		Expect(mgr.Start(ctx)).To(Succeed())
	}()
	DeferCleanup(r.end)
	Eventually(r.inventory.HasSynced).Should(BeTrue())
	return r
}

// end stops it and waits until it has.
func (r *replica) end() {
	r.stop()
	Eventually(r.stopped).Should(BeClosed())
}
