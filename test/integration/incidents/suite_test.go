// Package incidents_test plays what was recorded from a real cluster into a real API server, with detection and the
// life of Incidents running against it.
package incidents_test

import (
	"context"
	"maps"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/controllers/incident"
	"github.com/itil-dev/itil-operator/internal/inventory"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/replay"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

var env *apiserver.Env

func TestIncidents(t *testing.T) {
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	suite.Run(t, "Incidents")
}

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })

// operator is what the manager of the operator runs, as far as Incidents are concerned.
type operator struct {
	cancel context.CancelFunc
	done   chan error
}

// ofTheTrace makes pods of a trace as old as they were in it, which the API server does not let them be.
func ofTheTrace(byObject map[client.Object]cache.ByObject) map[client.Object]cache.ByObject {
	for object, options := range byObject {
		if _, is := object.(*corev1.Pod); !is {
			continue
		}
		transform := options.Transform
		options.Transform = func(in any) (any, error) {
			if pod, is := in.(*corev1.Pod); is {
				replay.Recreate(pod)
			}
			return transform(in)
		}
		byObject[object] = options
	}
	return byObject
}

// traceReader reads them like that, too: what is read again must be as it was seen.
type traceReader struct{ client.Reader }

// Get implements client.Reader.
func (r traceReader) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	err := r.Reader.Get(ctx, key, into, opts...)
	if pod, is := into.(*corev1.Pod); is && err == nil {
		replay.Recreate(pod)
	}
	return err
}

// start runs an operator that sees one namespace.
func start(namespace string, now clock.PassiveClock, settings ...func(*detection.Reconciler)) *operator {
	GinkgoHelper()
	return startAs(env.AdminConfig(), namespace, now, settings...)
}

// startAs runs it as somebody who may not do everything.
func startAs(as *rest.Config, namespace string, now clock.PassiveClock, settings ...func(*detection.Reconciler)) *operator {
	GinkgoHelper()
	byObject := inventory.CacheByObject()
	maps.Copy(byObject, ofTheTrace(detection.CacheByObject()))
	mgr, err := ctrl.NewManager(as, ctrl.Options{
		Scheme: env.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache: cache.Options{
			ByObject: byObject, DefaultNamespaces: map[string]cache.Config{namespace: {}},
		},
		GracefulShutdownTimeout: ptr.To(10 * time.Second),
	})
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())

	inv := inventory.New()
	Expect(inv.Register(ctx, mgr.GetCache())).To(Succeed())
	detector := detection.New()
	detector.Client, detector.Reader, detector.Inventory = mgr.GetClient(), traceReader{mgr.GetAPIReader()}, inv
	detector.Clock, detector.Recorder = now, &events.FakeRecorder{}
	for _, set := range settings {
		set(detector)
	}
	Expect(detector.SetupWithManager(mgr)).To(Succeed())
	lifecycle := &incident.Reconciler{
		Client: mgr.GetClient(), Inventory: inv, Clock: now, Recorder: &events.FakeRecorder{}, Rules: practice.DefaultRules(),
	}
	Expect(lifecycle.SetupWithManager(ctx, mgr)).To(Succeed())

	o := &operator{cancel: cancel, done: make(chan error, 1)}
	go func() { o.done <- mgr.Start(ctx) }()
	DeferCleanup(o.stop)
	return o
}

// stop ends it and waits for that; once is enough.
func (o *operator) stop() {
	if o.done == nil {
		return
	}
	o.cancel()
	Eventually(o.done).Should(Receive(BeNil()))
	o.done = nil
}

func admin() client.Client { return env.Admin() }
