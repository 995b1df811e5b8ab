package incidents_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/incident"
	"github.com/itil-dev/itil-operator/internal/inventory"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// late is a cache that tells nothing of Services until it is let go.
type late struct {
	cache.Cache
	letGo func()
	gate  chan struct{}
	// asked is how often somebody asked whether all Services are known.
	asked atomic.Int32
}

func newLate() *late {
	l := &late{gate: make(chan struct{})}
	l.letGo = sync.OnceFunc(func() { close(l.gate) })
	DeferCleanup(l.letGo)
	return l
}

// GetInformer implements cache.Informers.
func (l *late) GetInformer(ctx context.Context, o client.Object, opts ...cache.InformerGetOption) (cache.Informer, error) {
	informer, err := l.Cache.GetInformer(ctx, o, opts...)
	if _, is := o.(*v1alpha1.Service); !is || err != nil {
		return informer, err
	}
	return lateInformer{informer, l}, nil
}

type lateInformer struct {
	cache.Informer
	late *late
}

// AddEventHandler implements cache.Informer.
func (i lateInformer) AddEventHandler(h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	registration, err := i.Informer.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(o any, first bool) { <-i.late.gate; h.OnAdd(o, first) },
		UpdateFunc: func(before, o any) { <-i.late.gate; h.OnUpdate(before, o) },
		DeleteFunc: func(o any) { <-i.late.gate; h.OnDelete(o) },
	})
	return lateRegistration{registration, i.late}, err
}

type lateRegistration struct {
	toolscache.ResourceEventHandlerRegistration
	late *late
}

// HasSynced implements toolscache.ResourceEventHandlerRegistration.
func (r lateRegistration) HasSynced() bool {
	r.late.asked.Add(1)
	return r.ResourceEventHandlerRegistration.HasSynced()
}

// follow runs what follows Incidents, and nothing else, with an inventory that learns of Services late.
func (s *shop) follow(l *late) {
	GinkgoHelper()
	mgr, err := ctrl.NewManager(env.AdminConfig(), ctrl.Options{
		Scheme: env.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller:              config.Controller{SkipNameValidation: new(true)},
		Cache:                   cache.Options{ByObject: inventory.CacheByObject(), DefaultNamespaces: map[string]cache.Config{s.namespace: {}}},
		GracefulShutdownTimeout: ptr.To(10 * time.Second),
	})
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	l.Cache = mgr.GetCache()
	inv := inventory.New()
	Expect(inv.Register(ctx, l)).To(Succeed())
	lifecycle := &incident.Reconciler{
		Client: mgr.GetClient(), Inventory: inv, Clock: s.clock, Recorder: &events.FakeRecorder{}, Rules: practice.DefaultRules(),
	}
	Expect(lifecycle.SetupWithManager(ctx, mgr)).To(Succeed())
	o := &operator{cancel: cancel, done: make(chan error, 1)}
	go func() { o.done <- mgr.Start(ctx) }()
	DeferCleanup(func() {
		l.letGo()
		o.stop()
	})
}

var _ = Describe("An operator that begins", func() {
	It("decides about no Incident before it knows the Services", func(ctx SpecContext) {
		s := newShop()
		service := builder.MakeService(s.namespace, "checkout").Tier(1).Obj()
		service.UID, service.ResourceVersion, service.Generation = "", "", 0
		Expect(admin().Create(ctx, service)).To(Succeed())
		service.Status.Health = v1alpha1.HealthOutage
		Expect(admin().Status().Update(ctx, service)).To(Succeed())
		Expect(admin().Create(ctx, &v1alpha1.Incident{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "slow"},
			Spec: v1alpha1.IncidentSpec{
				Title: "checkout is slow", Source: v1alpha1.IncidentSourceUser, Reporter: "bob",
				ServiceRef: &v1alpha1.LocalReference{Name: "checkout"},
			},
		})).To(Succeed())
		seen, err := env.Admin().Watch(ctx, &v1alpha1.IncidentList{}, client.InNamespace(s.namespace))
		Expect(err).NotTo(HaveOccurred())
		defer seen.Stop()

		l := newLate()
		s.follow(l)
		By("waiting for them")
		Eventually(l.asked.Load).Should(BeNumerically(">", 5))
		l.letGo()

		By("deciding when it does")
		var priorities []v1alpha1.Priority
		Eventually(func() []v1alpha1.Priority {
			for {
				select {
				case e := <-seen.ResultChan():
					if i, is := e.Object.(*v1alpha1.Incident); is && i.Status.Priority != "" {
						priorities = append(priorities, i.Status.Priority)
					}
				default:
					return priorities
				}
			}
		}).Should(ContainElement(v1alpha1.PriorityP1))
		Expect(priorities).To(HaveEach(v1alpha1.PriorityP1), "it was taken for an Incident without a Service")
	}, SpecTimeout(3*time.Minute))
})
