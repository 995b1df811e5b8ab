// Package linking_test links Services to what runs on a real API server: the inventory, the controllers of Services and
// ConfigurationItems, as the operator's own ServiceAccount with the role that it is installed with.
package linking_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/itil-dev/itil-operator/controllers/changepolicy"
	"github.com/itil-dev/itil-operator/controllers/configurationitem"
	"github.com/itil-dev/itil-operator/controllers/service"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/operate"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

var env *apiserver.Env

func TestMain(m *testing.M) { suite.Main(m) }

func TestLinking(t *testing.T) {
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	suite.Run(t, "Linking")
}

var _ = BeforeSuite(func() {
	env = apiserver.Start(GinkgoTB())
	operate.GrantRole(GinkgoTB(), env)
})

// replica is one running operator, as far as linking goes.
type replica struct {
	*operate.Running

	inventory *inventory.Inventory
}

// options of a replica.
type options struct {
	leader    bool
	retention time.Duration
	// grace for the record of an admission; 0 means the default.
	grace time.Duration
	// policies: it keeps the status of ChangePolicies, by a clock that stands still; nil: it does not.
	policies clock.PassiveClock
}

// run starts a replica, which stops with the spec at the latest.
func run(o options) *replica {
	GinkgoHelper()
	r := &replica{inventory: inventory.New()}
	r.Running = operate.Start(GinkgoTB(), func(ctx context.Context) ctrl.Manager {
		mgr := operate.NewManager(GinkgoTB(), env)
		Expect(r.inventory.Register(ctx, mgr.GetCache())).To(Succeed())
		r.control(ctx, mgr, o)
		return mgr
	})
	Eventually(r.inventory.HasSynced).Should(BeTrue())
	return r
}

func (r *replica) control(ctx context.Context, mgr ctrl.Manager, o options) {
	GinkgoHelper()
	clk := clock.RealClock{}
	writer := &configurationitem.AdmissionWriter{Client: mgr.GetClient(), Inventory: r.inventory, Clock: clk}
	Expect(writer.SetupWithManager(mgr)).To(Succeed())
	if !o.leader {
		return
	}
	services := &service.Reconciler{
		Client: mgr.GetClient(), Inventory: r.inventory, Clock: clk, Recorder: events.NewFakeRecorder(1000), RecoveryHold: time.Second,
	}
	Expect(services.SetupWithManager(ctx, mgr)).To(Succeed())
	items := &configurationitem.Reconciler{
		Client: mgr.GetClient(), Inventory: r.inventory, Clock: clk, Recorder: events.NewFakeRecorder(1000), Retention: o.retention,
		AdmissionGrace: o.grace,
	}
	Expect(items.SetupWithManager(mgr)).To(Succeed())
	if o.policies != nil {
		policies := &changepolicy.Reconciler{Client: mgr.GetClient(), Clock: o.policies, Recorder: events.NewFakeRecorder(1000)}
		Expect(policies.SetupWithManager(ctx, mgr)).To(Succeed())
	}
}

func (r *replica) end() { r.End(GinkgoTB()) }
