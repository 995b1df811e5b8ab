// Package unstamped tries the attacks on an API server without MutatingAdmissionPolicy: Kubernetes 1.30 to 1.35.
package unstamped

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/test/attack/who"
)

var env *apiserver.Env

// TestMain fails where anything that the specs started still runs after the last. Ginkgo's own wait for an interrupt
// does.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2",
	))
}

func TestUnstamped(t *testing.T) {
	RegisterFailHandler(Fail)
	// What the API server learns through watches takes as long as it takes on a busy machine.
	SetDefaultEventuallyTimeout(time.Minute)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "Attacks on a cluster that does not stamp")
}

var _ = BeforeSuite(func() {
	env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies(), apiserver.WithMutatingAdmissionPolicy(false))
})

var _ = Describe("Who said so, where nothing stamps", func() {
	who.SaidSo(who.Cluster{Env: func() *apiserver.Env { return env }})
})
