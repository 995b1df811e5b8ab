// Package attack tries what quality demands to be refused, as the users who would try it, on a real API server with the
// gate's real handler behind it, and sees to it that what must pass passes.
package attack

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
	"github.com/itil-dev/itil-operator/test/attack/who"
)

var (
	env      *apiserver.Env
	operator *replica
)

func TestMain(m *testing.M) { suite.Main(m) }

func TestAttack(t *testing.T) { suite.Run(t, "Attacks") }

var _ = BeforeSuite(func(ctx SpecContext) {
	env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies())
	env.Apply(GinkgoTB(), "config/rbac/user_roles.yaml")
	operator = startReplica(ctx)
})

var _ = Describe("Who said so", func() {
	who.SaidSo(who.Cluster{Env: func() *apiserver.Env { return env }, Stamps: true, Gated: true})
})
