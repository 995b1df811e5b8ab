package replica

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// wired is a manager whose controllers have queues that keep to a clock of the test's, and say when they work.
type wired struct {
	ctrl.Manager
	clock   *Clock
	working *gauge
}

// Add implements manager.Manager.
func (w *wired) Add(r manager.Runnable) error {
	value := reflect.Indirect(reflect.ValueOf(r))
	if value.Kind() != reflect.Struct {
		return w.Manager.Add(r)
	}
	// Controllers are of a package that nobody else may import; their queues are the one thing about them that is
	// altered here.
	field := value.FieldByName("NewQueue")
	if !field.IsValid() {
		return w.Manager.Add(r)
	}
	name := value.FieldByName("Name").String()
	if !rewire[reconcile.Request](w, value, name) {
		// A controller whose requests are of a type that is its own keeps its queue, by the machine's clock.
		rewire[configuration.Key](w, value, name)
	}
	return w.Manager.Add(r)
}

type newQueue[R comparable] = func(string, workqueue.TypedRateLimiter[R]) workqueue.TypedRateLimitingInterface[R]

func rewire[R comparable](w *wired, controller reflect.Value, name string) bool {
	field := controller.FieldByName("NewQueue")
	makes, ok := reflect.TypeAssert[newQueue[R]](field)
	if !ok {
		return false
	}
	if limiter, ok := reflect.TypeAssert[workqueue.TypedRateLimiter[R]](controller.FieldByName("RateLimiter")); ok {
		w.working.retries(name, longest(limiter))
	}
	w.working.expect(name)
	wrapped := func(controller string, limiter workqueue.TypedRateLimiter[R]) workqueue.TypedRateLimitingInterface[R] {
		inner := makes(controller, limiter)
		prioritised, ok := inner.(priorityqueue.PriorityQueue[R])
		if !ok {
			// The default of controller-runtime; the manager's options do not say otherwise.
			panic(fmt.Sprintf("controller %s has a queue of type %T", controller, inner))
		}
		q := &queue[R]{
			PriorityQueue: prioritised, clock: w.clock, works: func() { w.working.reached(name) },
			due: map[R]time.Time{}, pending: map[R]struct{}{}, atWork: map[R]struct{}{},
		}
		w.working.ask(func() []string { return q.busy(name) })
		if w.clock != nil {
			w.clock.onLeap(q.leap)
		}
		return q
	}
	field.Set(reflect.ValueOf(wrapped))
	return true
}

// longest that a limiter lets something wait that fails again and again.
func longest[R comparable](limiter workqueue.TypedRateLimiter[R]) (wait time.Duration) {
	const failures = 100
	var something R
	defer limiter.Forget(something)
	for range failures {
		wait = max(wait, limiter.When(something))
	}
	return wait
}

// queue waits by a clock of the test's.
type queue[R comparable] struct {
	priorityqueue.PriorityQueue[R]
	clock *Clock
	once  sync.Once
	works func()

	mu sync.Mutex
	// due is when what waits is to be looked at, by the clock.
	due map[R]time.Time
	// pending is to be looked at now, or as soon as it may be tried again; atWork is being looked at.
	pending, atWork map[R]struct{}
}

// Add implements workqueue.TypedInterface.
func (q *queue[R]) Add(item R) { q.AddWithOpts(priorityqueue.AddOpts{}, item) }

// AddAfter implements workqueue.TypedDelayingInterface.
func (q *queue[R]) AddAfter(item R, after time.Duration) {
	q.AddWithOpts(priorityqueue.AddOpts{After: after}, item)
}

// AddRateLimited implements workqueue.TypedRateLimitingInterface.
func (q *queue[R]) AddRateLimited(item R) {
	q.AddWithOpts(priorityqueue.AddOpts{RateLimited: true}, item)
}

// AddWithOpts implements priorityqueue.PriorityQueue.
func (q *queue[R]) AddWithOpts(o priorityqueue.AddOpts, items ...R) {
	if q.clock != nil && o.After > 0 {
		q.wait(q.clock.Now().Add(o.After), items)
		o.After = q.clock.Real(o.After)
	}
	if o.After <= 0 {
		q.mu.Lock()
		for _, item := range items {
			q.pending[item] = struct{}{}
		}
		q.mu.Unlock()
	}
	q.PriorityQueue.AddWithOpts(o, items...)
}

// wait takes down until when items wait; the earliest time counts, as in the queue.
func (q *queue[R]) wait(due time.Time, items []R) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	for _, item := range items {
		if before, waits := q.due[item]; !waits || !before.After(now) || due.Before(before) {
			q.due[item] = due
		}
	}
}

// leap adds what has become due, and what is due sooner now than its timer says.
func (q *queue[R]) leap() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	for item, due := range q.due {
		o := priorityqueue.AddOpts{}
		if due.After(now) {
			o.After = q.clock.Real(due.Sub(now))
		} else {
			delete(q.due, item)
			q.pending[item] = struct{}{}
		}
		q.PriorityQueue.AddWithOpts(o, item)
	}
}

// GetWithPriority implements priorityqueue.PriorityQueue. The first call is of a worker, and workers begin when all
// that the controller watches is read.
func (q *queue[R]) GetWithPriority() (item R, priority int, shutdown bool) {
	q.once.Do(q.works)
	item, priority, shutdown = q.PriorityQueue.GetWithPriority()
	if !shutdown {
		q.mu.Lock()
		delete(q.pending, item)
		q.atWork[item] = struct{}{}
		q.mu.Unlock()
	}
	return item, priority, shutdown
}

// Done implements workqueue.TypedInterface.
func (q *queue[R]) Done(item R) {
	q.PriorityQueue.Done(item)
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.atWork, item)
}

// busy is what is looked at now, or is to be.
func (q *queue[R]) busy(name string) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []string
	for item := range q.pending {
		out = append(out, fmt.Sprint(name, ": ", item))
	}
	for item := range q.atWork {
		out = append(out, fmt.Sprint(name, ": ", item))
	}
	if n := q.Len(); n > 0 && len(out) == 0 {
		out = append(out, fmt.Sprint(name, ": ", n, " that waited"))
	}
	return out
}

// gauge knows when all of several have come as far.
type gauge struct {
	mu      sync.Mutex
	missing map[string]bool
	busy    []func() []string
	longest map[string]time.Duration
	done    chan struct{}
}

func newGauge() *gauge {
	return &gauge{missing: map[string]bool{}, longest: map[string]time.Duration{}, done: make(chan struct{})}
}

// retries takes down how long a controller waits at most before it tries again what failed.
func (g *gauge) retries(name string, longest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest[name] = longest
}

func (g *gauge) expect(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.missing[name] = true
}

// ask takes in somebody who says what they are busy with.
func (g *gauge) ask(busy func() []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = append(g.busy, busy)
}

func (g *gauge) busyWith() []string {
	g.mu.Lock()
	all := slices.Clone(g.busy)
	g.mu.Unlock()
	var out []string
	for _, busy := range all {
		out = append(out, busy()...)
	}
	slices.Sort(out)
	return out
}

func (g *gauge) names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.missing))
}

func (g *gauge) reached(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if delete(g.missing, name); len(g.missing) == 0 {
		select {
		case <-g.done:
		default:
			close(g.done)
		}
	}
}
