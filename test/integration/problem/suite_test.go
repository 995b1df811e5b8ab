// Package problem_test lets failures recur on a real API server, and follows the Problem that this opens.
package problem_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

var env *apiserver.Env

func TestProblem(t *testing.T) { suite.Run(t, "Problem") }

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })
