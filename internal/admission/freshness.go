package admission

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// DefaultStaleAfter is how long a watch may be silent: the API server sends a bookmark every 60 s on an idle kind.
const DefaultStaleAfter = 150 * time.Second

// maxWatched bounds the watches that are remembered. The operator's caches watch some twenty kinds.
const maxWatched = 200

// Freshness knows when each watch of the API server last said something. A replica whose watch has died decides by
// yesterday's facts: it may let in what was rejected since. Such a replica must not be asked.
//
// Wrap goes around the transport of the client that the caches use, Ready into the readiness checks.
type Freshness struct {
	clock      clock.PassiveClock
	staleAfter time.Duration

	mu   sync.Mutex
	last map[string]time.Time
	// ended are the watches that ended and were not opened again yet, with when they ended.
	ended map[string]time.Time
	// newest is the number of the newest watch of a path.
	newest  map[string]int
	watches int
	// unseen is since when something may have been missed, while a watch is among the ended or silent; away: for a while.
	unseen  time.Time
	away    bool
	regains []func(until, since time.Time)
}

// blindAfter is how long a watch may be ended until it counts: API servers end watches now and then, and they are opened
// again at once.
const blindAfter = 5 * time.Second

// NewFreshness returns one that calls a watch stale after so long.
func NewFreshness(clk clock.PassiveClock, staleAfter time.Duration) *Freshness {
	return &Freshness{clock: clk, staleAfter: staleAfter, last: map[string]time.Time{}, ended: map[string]time.Time{}, newest: map[string]int{}}
}

// Wrap returns a transport that takes down when bytes arrive on watches; see rest.Config.Wrap.
func (f *Freshness) Wrap(next http.RoundTripper) http.RoundTripper {
	return transport{next: next, freshness: f}
}

// Ready fails while a watch is silent for too long.
func (f *Freshness) Ready(*http.Request) error {
	now := f.clock.Now()
	f.mu.Lock()
	last := maps.Clone(f.last)
	f.mu.Unlock()
	var stale []error
	for _, path := range slices.Sorted(maps.Keys(last)) {
		if silent := now.Sub(last[path]); silent > f.staleAfter {
			stale = append(stale, fmt.Errorf("the watch on %s is silent for %s, and should not be for more than %s",
				path, silent.Truncate(time.Second), f.staleAfter))
		}
	}
	return errors.Join(stale...)
}

// Blind reports whether a watch has ended and could not be opened again for a while, or is silent though it is open: what
// happens is not seen. Who must not decide by that waits, and is told by OnRegained.
func (f *Freshness) Blind() bool {
	now := f.clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.ended {
		if now.Sub(at) > blindAfter {
			return true
		}
	}
	return f.silent(now)
}

// silent reports whether a watch has said nothing for too long. A connection that is dead is found by client-go, which
// pings it, within 45 s, and ends its watches; this is for one that lives and passes nothing on.
func (f *Freshness) silent(now time.Time) bool {
	for _, last := range f.last {
		if now.Sub(last) > f.staleAfter {
			return true
		}
	}
	return false
}

// OnRegained calls f, from a goroutine that must not be held up, when all watches are open and say something again after
// one did not for a while: until when all was seen, and since when it is again.
func (f *Freshness) OnRegained(tell func(until, since time.Time)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.regains = append(f.regains, tell)
}

// opened takes down that a watch is open, and tells who waits for that. It returns the number of the watch.
func (f *Freshness) opened(path string) int {
	now := f.clock.Now()
	f.mu.Lock()
	f.hear(path, now)
	f.watches++
	number := f.watches
	f.newest[path] = number
	if at, ended := f.ended[path]; ended {
		f.away = f.away || now.Sub(at) > blindAfter
		delete(f.ended, path)
	}
	f.tellAndUnlock(now)
	return number
}

// tellAndUnlock tells who waits for it that all is seen again, if it is. They are told without the lock.
func (f *Freshness) tellAndUnlock(now time.Time) {
	var tell []func(until, since time.Time)
	until := f.unseen
	if len(f.ended) == 0 && !until.IsZero() && !f.silent(now) {
		if f.away {
			tell = slices.Clone(f.regains)
		}
		f.unseen, f.away = time.Time{}, false
	}
	f.mu.Unlock()
	for _, t := range tell {
		t(until, now)
	}
}

// lost takes down that a watch ended. What happened since it said something last may not have been told. One that
// another has taken the place of does not matter.
func (f *Freshness) lost(path string, number int) {
	now := f.clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	last, known := f.last[path]
	if _, ended := f.ended[path]; ended || !known || f.newest[path] != number {
		return
	}
	f.ended[path] = now
	f.miss(last)
}

// heard takes down that a watch said something.
func (f *Freshness) heard(path string) {
	now := f.clock.Now()
	f.mu.Lock()
	f.hear(path, now)
	f.tellAndUnlock(now)
}

func (f *Freshness) hear(path string, now time.Time) {
	last, known := f.last[path]
	if !known && len(f.last) >= maxWatched {
		return
	}
	f.last[path] = now
	if known && now.Sub(last) > f.staleAfter {
		f.away = true
		f.miss(last)
	}
}

// miss: something may have been missed since then.
func (f *Freshness) miss(since time.Time) {
	if f.unseen.IsZero() || since.Before(f.unseen) {
		f.unseen = since
	}
}

type transport struct {
	next      http.RoundTripper
	freshness *Freshness
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusOK || !isWatch(request) {
		return response, err
	}
	number := t.freshness.opened(request.URL.Path)
	response.Body = body{ReadCloser: response.Body, path: request.URL.Path, number: number, freshness: t.freshness}
	return response, nil
}

// WrappedRoundTripper lets client-go find what is below.
func (t transport) WrappedRoundTripper() http.RoundTripper { return t.next }

func isWatch(request *http.Request) bool {
	watch := request.URL.Query().Get("watch")
	return watch == "1" || strings.EqualFold(watch, "true")
}

// body of a watch.
type body struct {
	io.ReadCloser
	path      string
	number    int
	freshness *Freshness
}

// Read implements io.Reader.
func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.freshness.heard(b.path)
	}
	if err != nil {
		b.freshness.lost(b.path, b.number)
	}
	return n, err
}

// Close implements io.Closer: a watch also ends when its reader has had enough of it.
func (b body) Close() error {
	b.freshness.lost(b.path, b.number)
	return b.ReadCloser.Close()
}
