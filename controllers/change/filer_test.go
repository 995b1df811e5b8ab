package change

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	// patched are the names of what was patched; it fails while broken.
	patched []string
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
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch, opts ...client.PatchOption) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.broken {
				return errors.New("the API server is away")
			}
			s.patched = append(s.patched, obj.GetName())
			return c.Patch(ctx, obj, p, opts...)
		},
	}).Build()
	return &Filer{Client: s.Client, Reader: s.Client, Inventory: inventory.New(), Clock: clocktesting.NewFakePassiveClock(now)}, s
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
	// What went in without a vote has its record, however often that is.
	for i := range mostFilings + 1 {
		in := filing("fought-over", fmt.Sprintf("in%06d", i))
		in.PreAuthorised = true
		f.File(in)
	}
	g.Eventually(s.creations).Should(gomega.Equal(2*mostFilings + 2))
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

// What was not canceled, since the replica died or the API server was away, is when the client tries again.
func TestARetryCancelsWhatIsSuperseded(t *testing.T) {
	for name, test := range map[string]struct {
		// asks for one of the two that are filed, the second of which was asked for so long after the first.
		asks  string
		after time.Duration
		// at which time, after the first.
		at    time.Duration
		ended bool
		want  string
	}{
		"the later one is asked for again":     {"v1:bbbb", time.Second, 2 * time.Second, false, "[checkout-v1:aaaa]"},
		"within the same second":               {"v1:bbbb", time.Millisecond, 2 * time.Millisecond, false, "[checkout-v1:aaaa]"},
		"what is late in a queue cancels none": {"v1:aaaa", 2 * time.Second, time.Second, false, "[]"},
		"nor does what has ended":              {"v1:bbbb", time.Second, 2 * time.Second, true, "[]"},
		"a clock was set back":                 {"v1:bbbb", time.Second, -time.Hour, false, "[checkout-v1:aaaa]"},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := newFiler(t)
			f.queue()
			for hash, asked := range map[string]time.Duration{"v1:aaaa": 0, "v1:bbbb": test.after} {
				filed := filing("checkout", hash)
				filed.At = now.Add(asked)
				chg := filed.Object()
				chg.Spec.Cancel = test.ended && hash == test.asks
				f.Inventory.Put(chg)
				if err := s.Client.Create(t.Context(), chg.DeepCopy()); err != nil {
					t.Fatal(err)
				}
			}
			again := filing("checkout", test.asks)
			again.At = now.Add(test.at)
			f.Clock = clocktesting.NewFakePassiveClock(again.At)
			f.next(t.Context(), &again)
			if got := fmt.Sprint(s.patched); got != test.want {
				t.Errorf("canceled %s, want %s", got, test.want)
			}
		})
	}
}

// A replica that is late with what it denied first does not cancel what another has filed for a later request.
func TestWhatIsFiledLateCancelsNoLaterOne(t *testing.T) {
	f, s := newFiler(t)
	f.queue()
	later := filing("checkout", "v1:bbbb")
	later.At = now.Add(time.Second)
	f.Inventory.Put(later.Object())
	late := filing("checkout", "v1:aaaa")
	late.At = now
	f.next(t.Context(), &late)
	if s.created != 1 || len(s.patched) > 0 {
		t.Errorf("%d were made, canceled %v", s.created, s.patched)
	}
}

// What waited in a queue for minutes takes the place of nothing that was asked for meanwhile, whether it was filed before or not.
func TestWhatWaitedLongIsOvertaken(t *testing.T) {
	for name, filedBefore := range map[string]bool{"it was filed before": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			f, s := newFiler(t)
			f.queue()
			waited, since := filing("checkout", "v1:aaaa"), filing("checkout", "v1:bbbb")
			waited.At, since.At = now.Add(-5*time.Minute), now.Add(-3*time.Minute)
			f.Inventory.Put(since.Object())
			if filedBefore {
				f.Inventory.Put(waited.Object())
			}
			f.next(t.Context(), &waited)
			if s.created != 0 || len(s.patched) > 0 {
				t.Errorf("%d were made, canceled %v", s.created, s.patched)
			}
			// Of another workload, or by somebody who asks now, it is filed.
			elsewhere := filing("cart", "v1:aaaa")
			elsewhere.At = waited.At
			f.next(t.Context(), &elsewhere)
			waited.At = now
			f.next(t.Context(), &waited)
			if want := map[bool]int{true: 1, false: 2}[filedBefore]; s.created != want {
				t.Errorf("%d were made, want %d", s.created, want)
			}
		})
	}
}

// A replica whose watch is behind finds a name taken, and its cache does not know by what.
func TestWhatAnotherFiledIsReadFromTheAPIServer(t *testing.T) {
	f, s := newFiler(t)
	f.queue()
	first := filing("checkout", "v1:aaaa")
	if err := s.Client.Create(t.Context(), first.Object()); err != nil {
		t.Fatal(err)
	}
	f.Client = interceptor.NewClient(s.Client.(client.WithWatch), interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
			return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("changes").GroupResource(), key.Name)
		},
	})
	again := filing("checkout", "v1:aaaa")
	f.next(t.Context(), &again)
	list := &v1alpha1.ChangeList{}
	if err := s.Client.List(t.Context(), list); err != nil || len(list.Items) != 1 || s.created != 2 {
		t.Errorf("%d Changes, %d were to be made, error %v", len(list.Items), s.created, err)
	}
}

func TestWhatCannotBeCanceledIsTriedAgain(t *testing.T) {
	f, s := newFiler(t)
	f.queue()
	first, second := filing("checkout", "v1:aaaa"), filing("checkout", "v1:bbbb")
	f.Inventory.Put(first.Object())
	if err := s.Client.Create(t.Context(), first.Object()); err != nil {
		t.Fatal(err)
	}
	f.next(t.Context(), &second)
	s.patched = nil
	f.Inventory.Put(second.Object())
	again := filing("checkout", "v1:bbbb")
	f.next(t.Context(), &again)
	if got := fmt.Sprint(s.patched); got != "[checkout-v1:aaaa]" {
		t.Errorf("canceled %s", got)
	}
}

// A requester who watches what is filed in their name edits it before the differences are written.
func TestDifferencesAreWrittenOnWhatWasFiledAlone(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*v1alpha1.Change)
		want  int
	}{
		"labeled meanwhile": {func(c *v1alpha1.Change) { c.Labels["team"] = "payments" }, 1},
		"edited meanwhile": {func(c *v1alpha1.Change) {
			c.Spec.Targets[0].TemplateHash = "v1:eeee"
			c.Generation++ // as the API server does
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := newFiler(t)
			filed := filing("checkout", "v1:aaaa")
			filed.Diff = []v1alpha1.FieldDiff{{Path: "deployment/checkout: spec.containers[app].image", From: "a", To: "b"}}
			f.Client = interceptor.NewClient(s.Client.(client.WithWatch), interceptor.Funcs{
				Create: func(ctx context.Context, inner client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
					if err := inner.Create(ctx, obj, opts...); err != nil {
						return err
					}
					live := obj.DeepCopyObject().(*v1alpha1.Change)
					c.alter(live)
					return inner.Update(ctx, live)
				},
			})
			f.queue()
			f.next(t.Context(), &filed)
			live := &v1alpha1.Change{}
			if err := s.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: filed.Name()}, live); err != nil {
				t.Fatal(err)
			}
			if len(live.Status.Diff) != c.want {
				t.Errorf("diff %v of target %v", live.Status.Diff, live.Spec.Targets)
			}
		})
	}
}
