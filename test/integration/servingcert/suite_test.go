// Package servingcert_test tries the serving certificate against a real API server.
package servingcert_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

var env *apiserver.Env

func TestServingCert(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "Serving certificate")
}

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })
