package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

// storm is bad weather between a replica and the API server.
type storm struct {
	mu     sync.Mutex
	random *rand.Rand
	blows  atomic.Bool
	// Of a hundred writes, so many are answered by 409, by 429, by 503 or by a broken connection without reaching the
	// API server, and so many reach it and their answer is lost.
	conflicts, throttled, unavailable, broken, lost int

	counts [5]atomic.Int64
}

var (
	errBroken = errors.New("the connection was broken before the request was sent")
	errLost   = errors.New("the connection was broken before the answer came")
)

// middleware may be given to several replicas.
func (s *storm) middleware(next http.RoundTripper) http.RoundTripper {
	return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		target := replica.TargetOf(r)
		if !s.blows.Load() || !target.Writes() {
			return next.RoundTrip(r)
		}
		switch s.draw() {
		case 0:
			return refuse(r, http.StatusConflict, metav1.StatusReasonConflict, ""), nil
		case 1:
			// With Retry-After the client waits and tries again by itself; without, that is the caller's to do.
			return refuse(r, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, ""), nil
		case 2:
			return refuse(r, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "1"), nil
		case 3:
			return nil, errBroken
		case 4:
			response, err := next.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			_ = response.Body.Close()
			return nil, errLost
		default:
			return next.RoundTrip(r)
		}
	})
}

// draw says which of the kinds of bad weather it is; more than the last is none.
func (s *storm) draw() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.random.IntN(100)
	for kind, share := range []int{s.conflicts, s.throttled, s.unavailable, s.broken, s.lost} {
		if n < share {
			s.counts[kind].Add(1)
			return kind
		}
		n -= share
	}
	return len(s.counts)
}

// refuse answers in the API server's place.
func refuse(r *http.Request, code int, reason metav1.StatusReason, retryAfter string) *http.Response {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	body, _ := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
		Reason: reason, Code: int32(code), Message: "by a test",
	})
	header := http.Header{"Content-Type": {"application/json"}}
	if retryAfter != "" {
		header.Set("Retry-After", retryAfter)
	}
	return &http.Response{
		Status: http.StatusText(code), StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// TestStorms lets writes fail in every way that a server and a network have, most of them: two leaders at once, of
// which neither learns what became of a part of its writes.
func TestStorms(t *testing.T) {
	for name, weather := range map[string]*storm{
		"conflicts":        {conflicts: 60},
		"throttling":       {throttled: 50, unavailable: 5},
		"lost answers":     {lost: 50, broken: 10},
		"everything wrong": {conflicts: 15, throttled: 15, unavailable: 5, broken: 15, lost: 15},
	} {
		t.Run(name, func(t *testing.T) {
			if !long() && name != "everything wrong" {
				t.Logf("in `make faults`: its short version is part of \"everything wrong\"")
				return
			}
			w := newWorld(t, size(6, 10)).governed()
			if long() {
				w.promised()
			}
			weather.random = w.stream(1)
			weather.blows.Store(true)
			f := newFleet(t, w, 2, func(c *replica.Config) {
				c.LeaderElect = false
				c.Between = []replica.Middleware{weather.middleware}
			})
			for range size(1, 6) {
				w.round(t.Context())
			}
			weather.blows.Store(false)
			w.stays(t.Context())
			t.Logf("%d conflicts, %d throttled, %d unavailable, %d broken, %d lost answers; %d replicas started",
				weather.counts[0].Load(), weather.counts[1].Load(), weather.counts[2].Load(), weather.counts[3].Load(), weather.counts[4].Load(),
				f.slots[0].count()+f.slots[1].count())
		})
	}
}

// watches cuts watches, and lets them be resumed or not.
type watches struct {
	mu   sync.Mutex
	open map[*cutBody]struct{}
	// compacted are the watches that were told that their version is too old, since a compaction; nil: there was none.
	compacted map[string]bool
	// away is open while none can be opened: whoever tries waits.
	away chan struct{}

	cuts, gone atomic.Int64
}

// cutBody is the stream of a watch that can be ended by others.
type cutBody struct {
	io.ReadCloser
	of  *watches
	cut atomic.Bool
}

// Read implements io.Reader. One that is cut ends as those that a server ends, and is resumed.
func (b *cutBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.cut.Load() {
		err = io.EOF
	}
	return n, err
}

// Close implements io.Closer.
func (b *cutBody) Close() error {
	b.of.mu.Lock()
	delete(b.of.open, b)
	b.of.mu.Unlock()
	return b.ReadCloser.Close()
}

func (w *watches) middleware(next http.RoundTripper) http.RoundTripper {
	return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if !replica.TargetOf(r).Watch {
			return next.RoundTrip(r)
		}
		if err := w.wait(r.Context()); err != nil {
			return nil, err
		}
		if w.expired(r) {
			w.gone.Add(1)
			return refuse(r, http.StatusGone, metav1.StatusReasonExpired, ""), nil
		}
		response, err := next.RoundTrip(r)
		if err != nil || response.StatusCode != http.StatusOK {
			return response, err
		}
		body := &cutBody{ReadCloser: response.Body, of: w}
		w.mu.Lock()
		if w.open == nil {
			w.open = map[*cutBody]struct{}{}
		}
		w.open[body] = struct{}{}
		w.mu.Unlock()
		response.Body = body
		return response, nil
	})
}

// leave lets nobody open a watch until back.
func (w *watches) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = make(chan struct{})
}

func (w *watches) back() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.away)
	w.away = nil
}

func (w *watches) wait(ctx context.Context) error {
	w.mu.Lock()
	away := w.away
	w.mu.Unlock()
	if away == nil {
		return nil
	}
	select {
	case <-away:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// compact lets no watch be resumed that was open before. What is listed from now on may be followed.
func (w *watches) compact() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compacted = map[string]bool{}
}

// expired reports whether a watch is the first of its kind since a compaction, and is to be resumed.
func (w *watches) expired(r *http.Request) bool {
	query := r.URL.Query()
	// One that asks for all that there is resumes nothing.
	if version := query.Get("resourceVersion"); version == "" || version == "0" || query.Get("sendInitialEvents") == "true" {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	of := r.URL.Path + "?" + query.Get("fieldSelector")
	if w.compacted == nil || w.compacted[of] {
		return false
	}
	w.compacted[of] = true
	return true
}

// cut ends all watches that are open.
func (w *watches) cut() {
	w.mu.Lock()
	var all []*cutBody
	for body := range w.open {
		all = append(all, body)
	}
	w.mu.Unlock()
	for _, body := range all {
		w.cuts.Add(1)
		body.cut.Store(true)
		_ = body.Close()
	}
}

// TestWatchesCompacted cuts all watches, lets the world change meanwhile, and refuses to resume: what was deleted and
// replaced in between is never told, and must be found by a list.
func TestWatchesCompacted(t *testing.T) {
	w := newWorld(t, size(6, 10)).governedInLong().promised()
	lines := &watches{}
	f := newFleet(t, w, 1, func(c *replica.Config) { c.Between = []replica.Middleware{lines.middleware} })
	ctx := t.Context()
	w.round(ctx)
	// Each makes client-go wait twice as long before it reads everything again, up to a minute where none was resumed for two.
	for range size(1, 5) {
		lines.leave()
		lines.compact()
		lines.cut()
		// Some fail, others recover, and pods are replaced, all unseen.
		changed := w.some()
		for _, one := range changed {
			if one.fault == nil {
				w.must(w.begin(ctx, one))
			} else {
				w.must(w.end(ctx, one))
			}
		}
		lines.back()
		w.agrees(ctx, "after the watches were cut and could not be resumed")
	}
	for _, one := range w.workloads {
		if one.fault != nil {
			w.must(w.end(ctx, one))
		}
	}
	w.stays(ctx)
	if n := f.slots[0].count(); n != 1 {
		t.Errorf("%d replicas were started: it did not survive", n)
	}
	t.Logf("%d watches cut, %d refused as expired", lines.cuts.Load(), lines.gone.Load())
	w.g.Expect(lines.gone.Load()).To(BeNumerically(">", 0), "nothing was compacted")
}

// TestServerAway ends the API server's process for a minute while workloads fail and recover.
func TestServerAway(t *testing.T) {
	if !long() {
		t.Log("in `make faults`: it takes minutes")
		return
	}
	// So slow that within the minute no reopen window ends: what is seen only then counts by when it is seen.
	const slow = 10
	w := newWorldAt(t, 10, slow).governed().promised()
	f := newFleet(t, w, 2)
	ctx := t.Context()
	w.round(ctx)
	const away = time.Minute
	for range 2 {
		failing := w.some()
		for _, one := range failing {
			w.must(w.begin(ctx, one))
		}
		// As soon as something was written of it.
		w.g.Eventually(w.history.count).Should(BeNumerically(">", 0))
		w.must(env.Suspend())
		pause(ctx, away)
		w.must(env.Resume())
		w.agrees(ctx, "after the API server was away while they failed")
		for _, one := range failing {
			w.must(w.end(ctx, one))
		}
		w.must(env.Suspend())
		pause(ctx, away)
		w.must(env.Resume())
		w.agrees(ctx, "after the API server was away while they recovered")
	}
	w.stays(ctx)
	t.Logf("replicas started: %d and %d", f.slots[0].count(), f.slots[1].count())
}

// TestClockSteps sets the operator's clock forward and back by an hour, before, during and after failures.
func TestClockSteps(t *testing.T) {
	if !long() {
		t.Log("in `make faults`: what ends after a step back is believed an hour later")
		return
	}
	w := newWorld(t, size(6, 10)).governed()
	// An hour of the operator's is a minute of the machine's, which is nearly all of the usual patience.
	w.g.SetDefaultEventuallyTimeout(persistence)
	newFleet(t, w, 1)
	ctx := t.Context()
	w.round(ctx)
	step := time.Hour
	for range 5 {
		for _, by := range []time.Duration{step, -step} {
			failing := w.some()
			for _, one := range failing {
				w.must(w.begin(ctx, one))
			}
			w.agrees(ctx, "before the clock was set")
			w.clock.Step(by)
			w.agrees(ctx, "when the clock was set while they failed")
			pause(ctx, w.clock.Real(5*time.Minute))
			w.agrees(ctx, "some minutes after the clock was set while they failed")
			for _, one := range failing {
				w.must(w.end(ctx, one))
			}
			w.agrees(ctx, "when they recovered after the clock was set")
		}
	}
	w.stays(ctx)
}

// fullDisk refuses every write, leases too, as an API server does whose etcd has no space left.
type fullDisk struct {
	full    atomic.Bool
	refused atomic.Int64
}

func (d *fullDisk) middleware(next http.RoundTripper) http.RoundTripper {
	return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if !d.full.Load() || !replica.TargetOf(r).Writes() {
			return next.RoundTrip(r)
		}
		d.refused.Add(1)
		return refuse(r, http.StatusInternalServerError, metav1.StatusReasonInternalError, ""), nil
	})
}

// TestNoSpace lets workloads fail, and recover, while nothing can be written, until somebody makes room; in the long
// version leases run out and replicas end meanwhile. The world's own writes go on, which is harder than an etcd without space: more happens
// unrecorded.
func TestNoSpace(t *testing.T) {
	w := newWorld(t, size(6, 10)).governedInLong()
	disk := &fullDisk{}
	f := newFleet(t, w, 2, func(c *replica.Config) { c.Between = []replica.Middleware{disk.middleware} })
	ctx := t.Context()
	w.round(ctx)
	without := w.clock.Real(time.Duration(size(2, 15)) * time.Minute)
	for range size(1, 10) {
		failing := w.some()
		disk.full.Store(true)
		for _, one := range failing {
			w.must(w.begin(ctx, one))
		}
		refused := disk.refused.Load()
		w.g.Eventually(disk.refused.Load).Should(BeNumerically(">", refused), "nothing was refused")
		pause(ctx, without)
		disk.full.Store(false)
		w.agrees(ctx, "when there is space again, after they failed")

		disk.full.Store(true)
		for _, one := range failing {
			w.must(w.end(ctx, one))
		}
		pause(ctx, without)
		disk.full.Store(false)
		w.agrees(ctx, "when there is space again, after they recovered")
	}
	w.stays(ctx)
	t.Logf("%d writes refused, replicas started: %d and %d", disk.refused.Load(), f.slots[0].count(), f.slots[1].count())
}
