package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

func listOptions(version string) *metav1.ListOptions {
	return &metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true}
}

// fleet is replicas that are started again when they end, as a Deployment's are.
type fleet struct {
	t      *testing.T
	config replica.Config
	slots  []*slot
	cancel context.CancelFunc
	wait   sync.WaitGroup
	// gated: the replicas answer for the gate.
	gated bool
	// start is held while none may be started.
	start sync.RWMutex
}

// slot is one place in the fleet, and the replica that is in it now.
type slot struct {
	mu      sync.Mutex
	replica *replica.Replica
	// port at which the replica answers for the gate; 0: it is not asked.
	port   int
	fuse   fuse
	starts int
	// complaint is after how many starts it was last said why there is none.
	complaint int
}

// newFleet starts replicas, of which one leads.
func newFleet(t *testing.T, w *world, count int, alter ...func(*replica.Config)) *fleet {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &fleet{t: t, cancel: cancel, config: replica.Config{
		REST: env.AdminConfig(), Namespace: operatorNamespace, Clock: w.clock, Machine: clock.RealClock{}, LeaderElect: true,
	}}
	for _, a := range alter {
		a(&f.config)
	}
	for range count {
		f.slots = append(f.slots, &slot{complaint: -1})
	}
	if w.delivery != nil {
		f.gated = true
		f.config.Between = append(f.config.Between, w.delivery.between())
		w.delivery.front.of(f.slots)
	}
	if w.promises != nil {
		f.config.Between = append(f.config.Between, w.promises.between())
	}
	for _, s := range f.slots {
		f.wait.Go(func() { f.keep(ctx, s) })
	}
	t.Cleanup(f.stop)
	if w.delivery != nil {
		w.delivery.start(ctx)
	}
	return f
}

// keep starts a replica whenever there is none.
func (f *fleet) keep(ctx context.Context, s *slot) {
	const backOff = 300 * time.Millisecond
	for ctx.Err() == nil {
		r, err := f.fill(s)
		if err == nil {
			select {
			case <-r.Done():
			case <-ctx.Done():
				if err := r.Stop(); err != nil && !replica.LostLease(err) {
					f.t.Logf("a replica ended: %v", err)
				}
				return
			}
			if err := r.Err(); err != nil {
				f.t.Logf("a replica ended: %v", err)
			}
		} else {
			s.complain(f.t, err)
		}
		select {
		case <-time.After(backOff):
		case <-ctx.Done():
		}
	}
}

// fill a slot with a replica, as soon as one may be started.
func (f *fleet) fill(s *slot) (*replica.Replica, error) {
	f.start.RLock()
	defer f.start.RUnlock()
	config := f.config
	config.Between = append([]replica.Middleware{s.fuse.middleware(s)}, config.Between...)
	if f.gated {
		config.WebhookPort = freePort(f.t)
	}
	r, err := replica.New(config)
	if err == nil {
		s.put(r, config.WebhookPort)
	}
	return r, err
}

// without kills all replicas, and lets something be done before there are others.
func (f *fleet) without(w *world, do func()) {
	f.t.Helper()
	w.g.Eventually(f.working).Should(Equal(1), f.describe)
	f.start.Lock()
	defer f.start.Unlock()
	leader := f.leader()
	for _, s := range f.slots {
		// One that is only beginning does not end before it has read what there is.
		if r := s.get(); r != nil && s != leader {
			if err := r.Stop(); !replica.LostLease(err) {
				w.must(err)
			}
		}
	}
	if leader != nil {
		w.must(leader.get().Kill())
	}
	if w.promises != nil {
		w.promises.alone = true
		defer func() { w.promises.alone = false }()
	}
	do()
}

func (f *fleet) stop() {
	f.cancel()
	f.wait.Wait()
}

// complain says why no replica starts, once until one does.
func (s *slot) complain(t *testing.T, err error) {
	t.Helper()
	if s.complaint != s.starts {
		s.complaint = s.starts
		t.Logf("a replica did not start: %v", err)
	}
}

func (s *slot) put(r *replica.Replica, port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replica, s.port = r, port
	s.starts++
}

// answers is the replica that answers for the gate now, and where.
func (s *slot) answers() (r *replica.Replica, port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replica, s.port
}

// count is how many replicas there were in this place.
func (s *slot) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts
}

func (s *slot) get() *replica.Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replica
}

// leader is the slot whose replica leads and works; nil where there is none.
func (f *fleet) leader() *slot {
	for _, s := range f.slots {
		r := s.get()
		if r == nil || !closed(r.Leads()) || !closed(r.Working()) || closed(r.Done()) {
			continue
		}
		return s
	}
	return nil
}

// working is how many lead and have begun to work. Without leader election all of them do.
func (f *fleet) working() int {
	count := 0
	for _, s := range f.slots {
		if r := s.get(); r != nil && closed(r.Leads()) && closed(r.Working()) && !closed(r.Done()) {
			count++
		}
	}
	return count
}

// describe says what the replicas wait for.
func (f *fleet) describe() string {
	var text []string
	for n, s := range f.slots {
		if r := s.get(); r != nil {
			text = append(text, fmt.Sprintf("replica %d leads: %t, ended: %t, controllers that do not work yet: %v", n, closed(r.Leads()), closed(r.Done()), r.Missing()))
		}
	}
	return strings.Join(text, "\n")
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// fuse lets a replica die at a write: before the API server has it, or after, when the answer is lost.
type fuse struct {
	mu    sync.Mutex
	left  int
	after bool
}

func (f *fuse) light(writes int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.after = writes, after
}

// burns reports whether this write is the last.
func (f *fuse) burns() (last, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return false, false
	}
	f.left--
	return f.left == 0, f.after
}

func (f *fuse) middleware(s *slot) replica.Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
			if !replica.TargetOf(r).Writes() {
				return next.RoundTrip(r)
			}
			last, after := f.burns()
			if !last {
				return next.RoundTrip(r)
			}
			if after {
				if response, err := next.RoundTrip(r); err == nil {
					_ = response.Body.Close()
				}
			}
			if victim := s.get(); victim != nil {
				victim.Sever()
			}
			return nil, errKilled
		})
	}
}
