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
}

// NewFreshness returns one that calls a watch stale after so long.
func NewFreshness(clk clock.PassiveClock, staleAfter time.Duration) *Freshness {
	return &Freshness{clock: clk, staleAfter: staleAfter, last: map[string]time.Time{}}
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

func (f *Freshness) heard(path string) {
	now := f.clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.last[path]; known || len(f.last) < maxWatched {
		f.last[path] = now
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
	t.freshness.heard(request.URL.Path)
	response.Body = body{ReadCloser: response.Body, path: request.URL.Path, freshness: t.freshness}
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
	freshness *Freshness
}

// Read implements io.Reader.
func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.freshness.heard(b.path)
	}
	return n, err
}
