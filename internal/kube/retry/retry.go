// Package retry says how soon what could not be reconciled is tried again.
package retry

import (
	"time"

	"k8s.io/client-go/util/workqueue"
)

const (
	// first wait after a failure; each further one is twice as long.
	first = 5 * time.Millisecond
	// Longest wait. By controller-runtime's default it is nearly 17 minutes: once the API server had been away for some, or had
	// refused one object's writes for long enough by chance, that object was looked at so much later than all was well again.
	Longest = time.Minute
)

// Limiter of a controller's queue.
func Limiter[R comparable]() workqueue.TypedRateLimiter[R] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[R](first, Longest)
}
