package operator

import (
	"context"
	"fmt"
	"sync/atomic"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// New wires the operator, ready to be started. It returns as soon as the context is done: finding out which kinds the API
// server has cannot be interrupted, and has no end where that takes requests and does not answer. The same context is to be
// given to the manager's Start.
func New(ctx context.Context, restConfig *rest.Config, o Options, clk clock.WithTicker) (ctrl.Manager, error) {
	type result struct {
		mgr ctrl.Manager
		err error
	}
	wired := make(chan result, 1)
	go func() {
		mgr, err := wire(ctx, restConfig, o, clk)
		wired <- result{mgr, err}
	}()
	select {
	case r := <-wired:
		return r.mgr, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("told to end before the API server had answered: %w", ctx.Err())
	}
}

// endable makes caches that let their manager end while they are being read for the first time. controller-runtime's waits for
// that whatever its context says, in a loop that does not pause: a replica that was told to end while the API server did not
// answer went on until it was killed.
func endable(told <-chan struct{}) cache.NewCacheFunc {
	return func(config *rest.Config, o cache.Options) (cache.Cache, error) {
		c, err := cache.New(config, o)
		if err != nil {
			return nil, err //nolint:wrapcheck // the manager says what it is
		}
		return &endableCache{Cache: c, told: told}, nil
	}
}

type endableCache struct {
	cache.Cache
	told  <-chan struct{}
	asked atomic.Bool
}

// WaitForCacheSync implements cache.Informers. The manager is the first to ask, before it begins anything that reads the cache;
// what it begins then, to end it at once, asks again, and is told no.
func (c *endableCache) WaitForCacheSync(ctx context.Context) bool {
	if c.asked.Swap(true) {
		return c.Cache.WaitForCacheSync(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	synced := make(chan bool, 1)
	go func() { synced <- c.Cache.WaitForCacheSync(ctx) }()
	select {
	case ok := <-synced:
		return ok
	case <-c.told:
		return true
	}
}
