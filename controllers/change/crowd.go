package change

import (
	"sync"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// crowds remembers how many workloads of a namespace were being rolled out, where a policy limits them: a Change that
// waits for room hears nothing of the workload that makes it.
type crowds struct {
	mu    sync.Mutex
	sizes map[string]int
}

// became says whether it is another number than before. None is not remembered.
func (c *crowds) became(namespace string, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.sizes[namespace]
	switch {
	case n == 0:
		delete(c.sizes, namespace)
	case c.sizes == nil:
		c.sizes = map[string]int{namespace: n}
	default:
		c.sizes[namespace] = n
	}
	return n != before
}

// crowded says whether an event of a workload altered how many are being rolled out in its namespace, as far as that
// matters to the policy's limit. A workload's own rollout does not count against it, hence one more than the limit.
func (r *Reconciler) crowded(e configuration.Key) bool {
	rules := r.Inventory.Rules(e.Namespace)
	if rules == nil || rules.MaxConcurrentRollouts < 1 {
		return r.crowds.became(e.Namespace, 0)
	}
	n := 0
	for range r.Inventory.Rollouts(e.Namespace) {
		if n++; n > int(rules.MaxConcurrentRollouts) {
			break
		}
	}
	return r.crowds.became(e.Namespace, n)
}
