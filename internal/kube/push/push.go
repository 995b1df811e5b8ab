// Package push is a source of reconcile requests that somebody else calls: what keeps an index pushes a request after
// it has brought the index up to date, so that the reconciler never reads it too early.
package push

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Source calls start when the controller starts. Start must not block; it may call add, which never blocks, at once
// and from any goroutine until the context is done. The controller's workers begin when synced returns true.
func Source[R comparable](
	start func(ctx context.Context, add func(R)) error, synced func(ctx context.Context) bool,
) source.TypedSyncingSource[R] {
	return &pushed[R]{start: start, synced: synced}
}

// Followed is a Source of what follow adds, from when the controller starts until it stops, and of what ready adds: ready
// waits for what the reconciler reads, adds what there is by then, and reports whether all of that came.
func Followed[R comparable](
	follow func(add func(R)) (stop func()), ready func(ctx context.Context, add func(R)) bool,
) source.TypedSyncingSource[R] {
	var add func(R)
	start := func(ctx context.Context, to func(R)) error {
		add = to
		context.AfterFunc(ctx, follow(add))
		return nil
	}
	return Source(start, func(ctx context.Context) bool { return ready(ctx, add) })
}

// FollowedNames is Followed for requests that are the name of an object.
func FollowedNames(
	follow func(add func(types.NamespacedName)) (stop func()), ready func(ctx context.Context, add func(types.NamespacedName)) bool,
) source.TypedSyncingSource[reconcile.Request] {
	named := func(add func(reconcile.Request)) func(types.NamespacedName) {
		return func(name types.NamespacedName) { add(reconcile.Request{NamespacedName: name}) }
	}
	return Followed(
		func(add func(reconcile.Request)) (stop func()) { return follow(named(add)) },
		func(ctx context.Context, add func(reconcile.Request)) bool { return ready(ctx, named(add)) },
	)
}

// All adds the names of all objects of a kind that a cache has, and reports whether it could be asked. Why not, it logs.
func All(ctx context.Context, cache client.Reader, kind client.ObjectList, add func(types.NamespacedName)) bool {
	err := cache.List(ctx, kind, client.UnsafeDisableDeepCopy)
	if err == nil {
		err = meta.EachListItem(kind, func(item runtime.Object) error {
			object, err := meta.Accessor(item)
			if err != nil {
				return err
			}
			add(types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()})
			return nil
		})
	}
	if err != nil {
		log.FromContext(ctx).Error(err, "Listing what exists", "kind", fmt.Sprintf("%T", kind))
	}
	return err == nil
}

// Barrier is a Source of nothing: it holds the controller's workers back until synced returns true.
func Barrier(synced func(ctx context.Context) bool) source.TypedSyncingSource[reconcile.Request] {
	return Source(func(context.Context, func(reconcile.Request)) error { return nil }, synced)
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
