package changepolicy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// DefaultTallyPeriod is how far apart a replica's writes to a policy's status are at least.
	DefaultTallyPeriod = time.Minute
	// afterConflict is how long to wait for the version of a policy that another replica wrote.
	afterConflict = time.Second
	// lastWrite bounds the writes of a replica that stops.
	lastWrite = 5 * time.Second
	// maxTallied bounds the policies that are counted for between two writes.
	maxTallied = 1000
)

var (
	tallied = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "itil_policy_would_deny_pending",
		Help: "Requests that went in, that Enforce would have refused, and that are not written on their ChangePolicy yet.",
	})
	tallyDropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "itil_policy_would_deny_dropped_total",
		Help: "Requests that Enforce would have refused and that no ChangePolicy tells of: too many policies, or the policy is gone.",
	})
)

func init() { metrics.Registry.MustRegister(tallied, tallyDropped) }

// Tally counts what this replica's gate let in and Enforce would have refused, and adds it to the status of the
// policies in scope, once a minute at most, and never where nothing is new. Every replica runs it. What a replica has
// counted and not written is lost with it only if it is killed.
type Tally struct {
	Client client.Client
	Clock  clock.PassiveClock
	// Period between two writes to a policy; 0 is the default.
	Period time.Duration

	mu      sync.Mutex
	pending map[string]*practice.Refusals
	written map[string]time.Time
	// enqueue a policy; nil before the controller starts.
	enqueue func(string)
}

// SetupWithManager registers the controller that writes, and the last write of a replica that stops.
func (t *Tally) SetupWithManager(mgr ctrl.Manager) error {
	err := builder.TypedControllerManagedBy[reconcile.Request](mgr).Named("wouldDeny").
		WithOptions(controller.TypedOptions[reconcile.Request]{NeedLeaderElection: new(false), RateLimiter: retry.Limiter[reconcile.Request]()}).
		WatchesRawSource(push.Source(t.follow, func(context.Context) bool { return true })).
		Complete(t)
	if err != nil {
		return err
	}
	return mgr.Add(atTheEnd{t})
}

// follow starts the writing, and with what was counted before.
func (t *Tally) follow(_ context.Context, add func(reconcile.Request)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enqueue = func(policy string) { add(reconcile.Request{NamespacedName: types.NamespacedName{Name: policy}}) }
	for policy := range t.pending {
		t.enqueue(policy)
	}
	return nil
}

// WouldDeny counts one request for each of the policies. It does not block: it is on the way of requests.
func (t *Tally) WouldDeny(policies []string, workload configuration.Key, reasons []practice.Cause, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, policy := range policies {
		counted, known := t.pending[policy]
		if !known {
			if len(t.pending) >= maxTallied {
				tallyDropped.Inc()
				continue
			}
			if t.pending == nil {
				t.pending = map[string]*practice.Refusals{}
			}
			counted = &practice.Refusals{}
			t.pending[policy] = counted
			if t.enqueue != nil {
				t.enqueue(policy)
			}
		}
		counted.Add(workload, reasons, at)
		tallied.Inc()
	}
}

// Reconcile adds what was counted to the status of one policy.
func (t *Tally) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	if wait := t.wait(request.Name); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	return t.write(ctx, request.Name)
}

func (t *Tally) wait(policy string) time.Duration {
	period := t.Period
	if period == 0 {
		period = DefaultTallyPeriod
	}
	now := t.Clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, at := range t.written {
		if now.Sub(at) >= period {
			delete(t.written, name)
		}
	}
	at, waits := t.written[policy]
	if !waits {
		return 0
	}
	return at.Add(period).Sub(now)
}

func (t *Tally) write(ctx context.Context, policy string) (reconcile.Result, error) {
	fresh := t.take(policy)
	if fresh == nil {
		return reconcile.Result{}, nil
	}
	p := &v1alpha1.ChangePolicy{}
	if err := t.Client.Get(ctx, client.ObjectKey{Name: policy}, p); err != nil {
		return t.failed(policy, fresh, err)
	}
	after := p.DeepCopy()
	now := t.Clock.Now()
	after.Status.WouldDeny = practice.NextWouldDeny(p.Status.WouldDeny, fresh, now)
	// Other replicas add to the same lists.
	if _, err := patch.Status(ctx, t.Client, p, after, patch.OptimisticLock); err != nil {
		return t.failed(policy, fresh, err)
	}
	tallied.Sub(float64(fresh.Count()))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.written == nil {
		t.written = map[string]time.Time{}
	}
	t.written[policy] = now
	return reconcile.Result{}, nil
}

// failed keeps what could not be written for the next time, unless there is nothing to write it on.
func (t *Tally) failed(policy string, fresh *practice.Refusals, err error) (reconcile.Result, error) {
	if apierrors.IsNotFound(err) {
		tallied.Sub(float64(fresh.Count()))
		tallyDropped.Add(float64(fresh.Count()))
		return reconcile.Result{}, nil
	}
	t.mu.Lock()
	if meanwhile, more := t.pending[policy]; more {
		fresh.Merge(meanwhile)
	}
	if t.pending == nil {
		t.pending = map[string]*practice.Refusals{}
	}
	t.pending[policy] = fresh
	t.mu.Unlock()
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: afterConflict}, nil
	}
	return reconcile.Result{}, fmt.Errorf("adding to the figures of ChangePolicy %s: %w", policy, err)
}

func (t *Tally) take(policy string) *practice.Refusals {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := t.pending[policy]
	delete(t.pending, policy)
	return fresh
}

func (t *Tally) waiting() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]string, 0, len(t.pending))
	for policy := range t.pending {
		out = append(out, policy)
	}
	return out
}

// atTheEnd writes what is left when the replica stops.
type atTheEnd struct{ tally *Tally }

// NeedLeaderElection is false: every replica counts.
func (atTheEnd) NeedLeaderElection() bool { return false }

// Start waits for the end.
func (e atTheEnd) Start(ctx context.Context) error {
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
	defer cancel()
	for _, policy := range e.tally.waiting() {
		if _, err := e.tally.write(ctx, policy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Some of what Enforce would have refused is not counted", "policy", policy)
		}
	}
	return nil
}
