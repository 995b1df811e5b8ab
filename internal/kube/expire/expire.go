// Package expire deletes records that were kept long enough.
package expire

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Record deletes a record as it was seen, which stays as it is, and reports whether it did. One that was written meanwhile
// is left, since its time may not be over any more, and one that is gone is gone. Kind is what an error calls it.
func Record(ctx context.Context, w client.Writer, kind string, seen client.Object) (deleted bool, err error) {
	uid, version := seen.GetUID(), seen.GetResourceVersion()
	object, ok := seen.DeepCopyObject().(client.Object)
	if !ok {
		return false, fmt.Errorf("a copy of %T is no object", seen)
	}
	err = w.Delete(ctx, object, client.Preconditions{UID: &uid, ResourceVersion: &version})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("deleting %s %s after its retention time: %w", kind, client.ObjectKeyFromObject(seen), err)
	}
	return true, nil
}
