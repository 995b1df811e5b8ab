package replica

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
)

// TestBusy: what is to be looked at now or is being looked at, and what may soon be tried again; not what waits for its
// time.
func TestBusy(t *testing.T) {
	q := &queue[string]{
		PriorityQueue: priorityqueue.New[string]("busy"), works: func() {},
		due: map[string]time.Time{}, pending: map[string]struct{}{}, atWork: map[string]struct{}{},
	}
	defer q.ShutDown()
	expect := func(when string, want int) {
		t.Helper()
		if got := q.busy("test"); len(got) != want {
			t.Errorf("%s: busy with %v, want %d", when, got, want)
		}
	}
	expect("at first", 0)
	q.AddAfter("later", time.Hour)
	expect("when something waits for its time", 0)
	q.Add("a")
	q.Add("a")
	expect("when something is to be looked at", 1)
	item, _, _ := q.GetWithPriority()
	expect("while it is looked at", 1)
	q.Add(item)
	expect("while it is looked at and is to be again", 2)
	q.Done(item)
	expect("when it is to be looked at again", 1)
	item, _, _ = q.GetWithPriority()
	q.Done(item)
	expect("when all is done", 0)
	q.AddRateLimited("failed")
	expect("when something is to be tried again", 1)
}
