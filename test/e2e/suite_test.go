// Package e2e tries the operator as its users meet it: on a whole control plane of its own, started by hack/local in a
// temporary folder, with kubectl, and with pods that fail as on a real kubelet (kwok).
//
// All specs share that cluster, in one ordered container: what takes minutes (a fault that must be gone for long enough)
// goes on while others run. Each part works in namespaces of its own.
package e2e

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const (
	// soon is for what the operator does at once, on a slow machine.
	soon = time.Minute
	// stays is how long nothing may happen, to be believed.
	stays = 5 * time.Second
)

var env *environment

func TestE2E(t *testing.T) {
	RegisterFailHandler(Fail)
	suite, reporter := GinkgoConfiguration()
	suite.Timeout = 39 * time.Minute
	RunSpecs(t, "The operator on a whole control plane", suite, reporter)
}

var _ = BeforeSuite(func(ctx SpecContext) {
	SetDefaultEventuallyTimeout(soon)
	SetDefaultEventuallyPollingInterval(250 * time.Millisecond)
	SetDefaultConsistentlyDuration(stays)
	SetDefaultConsistentlyPollingInterval(250 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	env = start(ctx)
}, NodeTimeout(10*time.Minute))

// One container, so that the order is the one below.
var _ = Describe("The operator", Ordered, ContinueOnFailure, func() {
	faults, promise := &faults{}, &promise{}
	Context("when something is promised", promise.made)
	Context("when workloads fail", faults.open)
	Context("on the main job", mainJob)
	Context("at night in a freeze", atNight)
	Context("from Audit to Enforce", fromAuditToEnforce)
	Context("when versions are released", releases)
	Context("while workloads live their normal life", normalLife)
	Context("when a promise is measured", promise.kept)
	Context("when workloads have recovered", faults.resolve)
	Context("when it dies", death)
	Context("when it dies in an outage", promise.keptByTheDead)
	Context("at zero replicas", zeroReplicas)
	Context("when nothing happens", idle)
	Context("when it is removed", removal)

	AfterEach(func(ctx SpecContext) {
		if CurrentSpecReport().Failed() {
			env.describe(ctx)
		}
	}, NodeTimeout(2*time.Minute))
})
