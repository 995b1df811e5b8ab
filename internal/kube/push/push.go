// Package push is a source of reconcile requests that somebody else calls: what keeps an index pushes a request after
// it has brought the index up to date, so that the reconciler never reads it too early.
package push

import (
	"context"
	"errors"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Source calls start when the controller starts. Start must not block; it may call add, which never blocks, at once
// and from any goroutine until the context is done. The controller's workers begin when synced returns true.
func Source[R comparable](
	start func(ctx context.Context, add func(R)) error, synced func(ctx context.Context) bool,
) source.TypedSyncingSource[R] {
	return &pushed[R]{start: start, synced: synced}
}

type pushed[R comparable] struct {
	start  func(ctx context.Context, add func(R)) error
	synced func(ctx context.Context) bool
}

// Start implements source.TypedSource.
func (p *pushed[R]) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[R]) error {
	return p.start(ctx, queue.Add)
}

// WaitForSync implements source.TypedSyncingSource.
func (p *pushed[R]) WaitForSync(ctx context.Context) error {
	if !p.synced(ctx) {
		return errors.New("what pushes reconcile requests did not become ready in time")
	}
	return nil
}

// String names the source in logs.
func (p *pushed[R]) String() string { return "push source" }
