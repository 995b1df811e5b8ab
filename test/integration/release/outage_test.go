package release_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/release"
	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
)

// line to the API server, which can be cut.
type line struct {
	mu   sync.Mutex
	cut  bool
	open []io.Closer
}

var errCut = errors.New("the line to the API server is cut")

func (l *line) wrap(next http.RoundTripper) http.RoundTripper {
	return trip(func(r *http.Request) (*http.Response, error) {
		if l.isCut() {
			return nil, errCut
		}
		response, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open = append(l.open, response.Body)
		return response, nil
	})
}

func (l *line) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// set cuts the line, with all that goes over it, or mends it.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for _, body := range l.open {
		_ = body.Close() // most of them were read to the end long ago
	}
	l.open = nil
}

type trip func(*http.Request) (*http.Response, error)

func (t trip) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// operate runs the Release controller in a manager of its own over a line, wired as in the operator.
func (s *shop) operate(l *line) *admission.Freshness {
	GinkgoHelper()
	freshness := admission.NewFreshness(s.clock, time.Hour)
	restConfig := rest.CopyConfig(env.AdminConfig())
	restConfig.Wrap(l.wrap)
	restConfig.Wrap(freshness.Wrap)
	again := true
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme: env.Scheme(), Metrics: server.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: &again},
		Cache: cache.Options{ByObject: inventory.CacheByObject(), DefaultNamespaces: map[string]cache.Config{s.namespace: {}}},
	})
	Expect(err).NotTo(HaveOccurred())
	running, stop := context.WithCancel(context.Background())
	inv := inventory.New()
	Expect(inv.Register(running, mgr.GetCache())).To(Succeed())
	Expect((&release.Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Inventory: inv, Clock: s.clock, Recorder: s.recorder,
		Restorer: &backout.Restorer{Reader: mgr.GetAPIReader(), Client: mgr.GetClient()}, Detection: s, Sight: freshness,
	}).SetupWithManager(running, mgr)).To(Succeed())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(running) }()
	DeferCleanup(func() {
		l.set(false)
		stop()
		Eventually(done).WithTimeout(time.Minute).Should(Receive(BeNil()))
	})
	Expect(inv.WaitForSync(running)).To(BeTrue())
	return freshness
}

// touch makes the controller look at the Release again.
func (s *shop) touch(ctx SpecContext) {
	GinkgoHelper()
	r := s.release(ctx, "shop-2")
	was := r.DeepCopy()
	r.Labels = map[string]string{"touched": s.clock.Now().Format("150405")}
	Expect(env.Admin().Patch(ctx, r, client.MergeFrom(was))).To(Succeed())
}

var _ = Describe("While the API server cannot be reached", func() {
	It("a Release does not soak, and goes on when it can", func(ctx SpecContext) {
		s := open(ctx)
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		s.pass(ctx, 3*time.Second)
		pilot := func() v1alpha1.ReleasePhaseStatus { return s.release(ctx, "shop-2").Status.Phases[0] }
		Expect(pilot().State).To(Equal(v1alpha1.ReleasePhaseSoaking))

		l := &line{}
		freshness := s.operate(l)
		s.clock.SetTime(s.clock.Now().Add(time.Minute))
		s.touch(ctx)
		Eventually(func() bool { return pilot().ObservedAt.Time.Equal(s.clock.Now()) }).WithTimeout(time.Minute).Should(BeTrue(), "it is carried on by the manager")

		By("cutting the line for ten minutes")
		l.set(true)
		Eventually(func() bool {
			s.clock.SetTime(s.clock.Now().Add(time.Second))
			return freshness.Blind()
		}).WithTimeout(time.Minute).Should(BeTrue())
		s.clock.SetTime(s.clock.Now().Add(10 * time.Minute))
		s.touch(ctx)
		l.set(false)
		Eventually(func() int32 { return pilot().UnobservedSeconds }).WithTimeout(2 * time.Minute).Should(BeNumerically(">=", 600))
		Expect(freshness.Blind()).To(BeFalse())
		Expect(pilot().State).To(Equal(v1alpha1.ReleasePhaseSoaking), "it was seen to run well for a minute of two")

		By("letting the rest of its soak pass")
		s.clock.SetTime(s.clock.Now().Add(2 * time.Minute))
		s.touch(ctx)
		Eventually(func() v1alpha1.ReleasePhaseState { return pilot().State }).WithTimeout(time.Minute).Should(Equal(v1alpha1.ReleasePhaseDone))
	})
})
