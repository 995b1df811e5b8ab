// Package sla_test lets a Service fail for known times on a real API server, and finds exactly these seconds in its
// ServiceLevelAgreement.
package sla_test

import (
	"testing"
	_ "time/tzdata"

	. "github.com/onsi/ginkgo/v2"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

var env *apiserver.Env

func TestMain(m *testing.M) { suite.Main(m) }

func TestSLA(t *testing.T) { suite.Run(t, "ServiceLevelAgreement") }

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })
