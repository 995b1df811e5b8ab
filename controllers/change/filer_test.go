package change

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
)

var now = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func filing(workload, hash string) practice.Filing {
	return practice.Filing{
		Namespace: "shop", Base: workload + "-" + hash, Episode: 1, Requester: "alice", Type: v1alpha1.ChangeNormal, Summary: "Change it",
		Target: v1alpha1.ChangeTarget{
			Workload:     v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(workload)},
			Operations:   []v1alpha1.Operation{v1alpha1.OperationTemplate},
			TemplateHash: v1alpha1.TemplateHash(hash),
		},
	}
}

type server struct {
	client.Client
	mu      sync.Mutex
	created int
	broken  bool
}

func newFiler(t *testing.T) (*Filer, *server) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s := &server{}
	s.Client = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Change{}).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.broken {
				return errors.New("the API server is away")
			}
			s.created++
			return c.Create(ctx, obj, opts...)
		},
	}).Build()
	return &Filer{Client: s.Client, Inventory: inventory.New(), Clock: clocktesting.NewFakePassiveClock(now)}, s
}

func (s *server) creations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.created
}

func (s *server) breaks(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

func start(t *testing.T, f *Filer) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestFilerFilesEachOnceWhoeverAsks(t *testing.T) {
	g := gomega.NewWithT(t)
	f, s := newFiler(t)
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() {
			for i := range 50 {
				f.File(filing(fmt.Sprintf("workload-%d", i%5), "11111111"))
			}
		})
	}
	start(t, f)
	clients.Wait()
	list := &v1alpha1.ChangeList{}
	g.Eventually(func() int {
		if err := s.List(t.Context(), list); err != nil {
			t.Error(err)
		}
		return len(list.Items)
	}).Should(gomega.Equal(5))
	for i := range list.Items {
		if c := &list.Items[i]; c.Spec.Requester != "alice" || c.Labels[practice.LabelFiledFor] != practice.FiledForDenied {
			t.Errorf("filed %+v", c)
		}
	}
}

func TestFilerNeverBlocks(t *testing.T) {
	f, _ := newFiler(t) // nobody takes from the queue
	for i := range 3 * queueLength {
		f.File(filing(fmt.Sprintf("workload-%d", i), "11111111"))
	}
	if n := len(f.queue()); n != queueLength {
		t.Errorf("%d wait, the bound is %d", n, queueLength)
	}
}

func TestFilerIsBoundedForEachWorkload(t *testing.T) {
	g := gomega.NewWithT(t)
	f, s := newFiler(t)
	start(t, f)
	for i := range 50 {
		f.File(filing("fought-over", fmt.Sprintf("%08d", i)))
	}
	f.File(filing("other", "11111111"))
	g.Eventually(s.creations).Should(gomega.Equal(mostFilings + 1))
	g.Eventually(func() int { return len(f.queue()) }).Should(gomega.BeZero())
	g.Consistently(s.creations, 100*time.Millisecond).Should(gomega.Equal(mostFilings + 1))
}

func TestFilerGoesOnAfterAFailure(t *testing.T) {
	g := gomega.NewWithT(t)
	f, s := newFiler(t)
	start(t, f)
	s.breaks(true)
	f.File(filing("checkout", "11111111"))
	waits := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.pending) > 0
	}
	g.Eventually(waits).Should(gomega.BeFalse())
	s.breaks(false)
	f.File(filing("checkout", "11111111")) // the client tried again
	g.Eventually(s.creations).Should(gomega.Equal(1))
}

func TestAGateThatSawTheNameTakenFilesNoSecond(t *testing.T) {
	f, s := newFiler(t)
	first := filing("checkout", "v1:aaaa")
	f.Inventory.Put(first.Object())
	again := filing("checkout", "v1:aaaa")
	again.Episode = 2
	f.queue()
	f.next(t.Context(), &again)
	if s.created != 0 {
		t.Errorf("%d were made", s.created)
	}
	other := filing("checkout", "v1:bbbb")
	other.Episode = 2
	f.next(t.Context(), &other)
	if s.created != 1 {
		t.Errorf("%d were made for another template", s.created)
	}
}
