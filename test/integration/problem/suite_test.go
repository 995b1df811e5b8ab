// Package problem_test lets failures recur on a real API server, and follows the Problem that this opens.
package problem_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

var env *apiserver.Env

func TestProblem(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "Problem")
}

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })
