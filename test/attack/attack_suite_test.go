// Package attack tries what quality demands to be refused, as the users who would try it, on a real API server with the
// gate's real handler behind it, and sees to it that what must pass passes.
package attack

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/test/attack/who"
)

var (
	env      *apiserver.Env
	operator *replica
)

// TestMain fails where anything that the specs started still runs after the last. Ginkgo's own wait for an interrupt
// does.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2",
	))
}

func TestAttack(t *testing.T) {
	RegisterFailHandler(Fail)
	// What the API server learns through watches takes as long as it takes on a busy machine.
	SetDefaultEventuallyTimeout(time.Minute)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "Attacks")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies())
	env.Apply(GinkgoTB(), "config/rbac/user_roles.yaml")
	operator = startReplica(ctx)
})

var _ = Describe("Who said so", func() {
	who.SaidSo(who.Cluster{Env: func() *apiserver.Env { return env }, Stamps: true, Gated: true})
})
