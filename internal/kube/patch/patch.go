// Package patch writes what differs, in one request, and nothing where nothing does.
package patch

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/kube/definitions"
)

// StaleRetry is how soon a reconciler looks again after a conflict. What was written meanwhile brings it there sooner, by
// its event; a proxy or a server in trouble can answer with a conflict that has none.
const StaleRetry = time.Second

// Option of a patch.
type Option func(*options)

type options struct{ optimisticLock bool }

// OptimisticLock makes the request fail with a conflict if the object was written since it was read: for lists that
// are merged, which a merge patch replaces.
func OptimisticLock(o *options) { o.optimisticLock = true }

// Status writes the status of after where it differs from that of before, by one merge patch, and reports whether it
// did. Both must be of the same object, and differ in status alone. After is brought up to date with the answer.
func Status(ctx context.Context, c client.Client, before, after client.Object, list ...Option) (written bool, err error) {
	var o options
	for _, option := range list {
		option(&o)
	}
	data, err := client.MergeFrom(before).Data(after)
	if err != nil {
		return false, fmt.Errorf("comparing the status of %s: %w", client.ObjectKeyFromObject(after), err)
	}
	if string(data) == "{}" {
		return false, nil
	}
	p := client.MergeFrom(before)
	if o.optimisticLock {
		p = client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	}
	if err := c.Status().Patch(ctx, after, p); err != nil {
		return false, definitions.Explain(err, kindOf(c, before))
	}
	return true, nil
}

func kindOf(c client.Client, o client.Object) string {
	kind, err := c.GroupVersionKindFor(o)
	if err != nil {
		return fmt.Sprintf("%T", o)
	}
	return kind.Kind
}
