package session

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Await watches an object that was just written until it satisfies done, and returns it as it is then. It returns nil
// where that does not happen in time, or where the user may not watch: what was written is written all the same.
func Await[T client.Object](
	ctx context.Context, s *Session, list client.ObjectList, written T, patience time.Duration, done func(T) bool,
) (seen T, ok bool) {
	if patience <= 0 {
		return seen, false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := s.Watch(ctx, list, client.InNamespace(written.GetNamespace()), &client.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", written.GetName()),
		Raw:           &metav1.ListOptions{ResourceVersion: written.GetResourceVersion()},
	})
	if err != nil {
		return seen, false
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return seen, false
		case event, open := <-w.ResultChan():
			if !open {
				return seen, false
			}
			object, isT := event.Object.(T)
			if isT && event.Type != watch.Deleted && done(object) {
				return object, true
			}
		}
	}
}
