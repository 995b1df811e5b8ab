// Package servingcert_test tries the serving certificate against a real API server.
package servingcert_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

var env *apiserver.Env

func TestServingCert(t *testing.T) { suite.Run(t, "Serving certificate") }

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })
