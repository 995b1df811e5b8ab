// Package delivery_test measures deliveries on a real API server: the controllers of the figures, as the operator's own
// ServiceAccount with the role that it is installed with, against histories that the specs write.
package delivery_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/controllers/delivery"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/operate"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

var env *apiserver.Env

func TestMain(m *testing.M) { suite.Main(m) }

func TestDelivery(t *testing.T) {
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	suite.Run(t, "Delivery")
}

var _ = BeforeSuite(func() {
	env = apiserver.Start(GinkgoTB())
	operate.GrantRole(GinkgoTB(), env)
})

// replica is one running operator, as far as delivery goes.
type replica struct {
	*operate.Running

	inventory *inventory.Inventory
}

// start a replica at a time, which stops with the spec at the latest. Follow is told what its inventory learns, and may
// hold it up; nil: nobody is.
func start(now time.Time, follow func(inventory.Event)) *replica {
	GinkgoHelper()
	r := &replica{inventory: inventory.New()}
	r.Running = operate.Start(GinkgoTB(), func(ctx context.Context) ctrl.Manager {
		mgr := operate.NewManager(GinkgoTB(), env)
		if follow != nil {
			r.inventory.Subscribe(follow)
		}
		Expect(r.inventory.Register(ctx, mgr.GetCache())).To(Succeed())
		figures := &delivery.Reconciler{Client: mgr.GetClient(), Inventory: r.inventory, Clock: clocktesting.NewFakePassiveClock(now)}
		Expect(figures.SetupWithManager(ctx, mgr)).To(Succeed())
		return mgr
	})
	return r
}

func (r *replica) end() { r.End(GinkgoTB()) }

// gathered are the values of a family of the registry by their labels, joined by slashes in the order of their names.
func gathered(family string) map[string]float64 {
	GinkgoHelper()
	out := map[string]float64{}
	families, err := metrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	for _, f := range families {
		if f.GetName() != family {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += "/" + l.GetValue()
			}
			out[labels] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// reconciled is how often both controllers have, in all replicas since the process began, and whether there is more to do.
func reconciled() (services, releases float64, idle bool) {
	GinkgoHelper()
	for labels, n := range gathered("controller_runtime_reconcile_total") {
		switch filepath.Dir(labels) {
		case "/delivery":
			services += n
		case "/release-delivery":
			releases += n
		}
	}
	idle = true
	for _, family := range []string{"workqueue_depth", "controller_runtime_active_workers"} {
		for _, n := range gathered(family) {
			idle = idle && n == 0
		}
	}
	return services, releases, idle
}
