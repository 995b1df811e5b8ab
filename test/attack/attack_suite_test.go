// Package attack tries what quality demands to be refused, as the users who would try it, on a real API server.
package attack

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/test/attack/who"
)

var env *apiserver.Env

func TestAttack(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Attacks")
}

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies()) })

var _ = Describe("Who said so", func() {
	who.SaidSo(who.Cluster{Env: func() *apiserver.Env { return env }, Stamps: true})
})
