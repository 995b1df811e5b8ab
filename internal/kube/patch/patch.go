// Package patch writes what differs, in one request, and nothing where nothing does.
package patch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

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
	tellReplaced(ctx, kindOf(c, before), before, after)
	return true, nil
}

// tellReplaced logs what a newer version of the operator had written and this one, which does not know it, has replaced by what
// it computes itself.
func tellReplaced(ctx context.Context, kind string, before, after client.Object) {
	replaced := foreign(kind, before)
	if len(replaced) == 0 {
		return
	}
	kept := foreign(kind, after)
	replaced = slices.DeleteFunc(replaced, func(value string) bool { return slices.Contains(kept, value) })
	if len(replaced) > 0 {
		log.FromContext(ctx).Info("Replaced values of the status that this version does not know: a newer one, or somebody by hand, had written them",
			"kind", kind, "namespace", before.GetNamespace(), "name", before.GetName(), "replaced", replaced)
	}
}

func foreign(kind string, o client.Object) []string {
	content, err := json.Marshal(o)
	if err != nil {
		return nil // it was not read from JSON either
	}
	return definitions.Foreign(kind, content)
}

func kindOf(c client.Client, o client.Object) string {
	kind, err := c.GroupVersionKindFor(o)
	if err != nil {
		return fmt.Sprintf("%T", o)
	}
	return kind.Kind
}
