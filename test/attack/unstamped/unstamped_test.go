// Package unstamped tries the attacks on an API server without MutatingAdmissionPolicy: Kubernetes 1.30 to 1.35.
package unstamped

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
	"github.com/itil-dev/itil-operator/test/attack/who"
)

var env *apiserver.Env

func TestMain(m *testing.M) { suite.Main(m) }

func TestUnstamped(t *testing.T) { suite.Run(t, "Attacks on a cluster that does not stamp") }

var _ = BeforeSuite(func() {
	env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies(), apiserver.WithMutatingAdmissionPolicy(false))
})

var _ = Describe("Who said so, where nothing stamps", func() {
	who.SaidSo(who.Cluster{Env: func() *apiserver.Env { return env }})
})
