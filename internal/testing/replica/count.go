package replica

import (
	"maps"
	"net/http"
	"slices"
	"sync"
)

// Counter counts the writes of a replica, the renewals of its lease left aside. What is created has no name yet: it is
// counted by its kind and namespace.
type Counter struct {
	mu     sync.Mutex
	writes map[Target]int
	total  int
}

// Middleware counts what passes.
func (c *Counter) Middleware(next http.RoundTripper) http.RoundTripper {
	return RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if t := TargetOf(r); t.Writes() {
			c.mu.Lock()
			if c.writes == nil {
				c.writes = map[Target]int{}
			}
			c.writes[t]++
			c.total++
			c.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

// Total is how many there were.
func (c *Counter) Total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// Writes are how often each target was written.
func (c *Counter) Writes() map[Target]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.writes)
}

// Most are the targets that were written most often, up to a number of them.
func (c *Counter) Most(n int) []string {
	writes := c.Writes()
	targets := slices.SortedFunc(maps.Keys(writes), func(a, b Target) int { return writes[b] - writes[a] })
	var out []string
	for _, t := range targets[:min(n, len(targets))] {
		out = append(out, t.String())
	}
	return out
}

// Reset forgets all.
func (c *Counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes, c.total = nil, 0
}
