// Package sla_test lets a Service fail for known times on a real API server, and finds exactly these seconds in its
// ServiceLevelAgreement.
package sla_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

var env *apiserver.Env

// TestMain fails where anything that the specs started still runs after the last. Ginkgo's own wait for an interrupt
// does.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2",
	))
}

func TestSLA(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "ServiceLevelAgreement")
}

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })
