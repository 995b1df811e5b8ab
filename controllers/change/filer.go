package change

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// +kubebuilder:rbac:groups=itil.dev,resources=changes,verbs=get;create;patch
// +kubebuilder:rbac:groups=itil.dev,resources=changes/status,verbs=patch

const (
	// queueLength is how many filings wait; beyond, they are dropped: a denied client tries again, and what was
	// pre-authorised is found on the workload.
	queueLength = 1000
	// mostFilings of one workload within filingPeriod; beyond, they are dropped. Two GitOps controllers that fight over
	// a workload would else file a Change with each round.
	mostFilings  = 10
	filingPeriod = time.Hour
	// mostRemembered workloads whose filings are counted.
	mostRemembered = 10_000
	// fileTimeout bounds one filing.
	fileTimeout = 15 * time.Second
)

var (
	filings = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_change_filings_total",
		Help: "Changes that the gate asked for, by what became of it: Filed, Exists, Dropped or Failed.",
	}, []string{"result"})
	queued = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "itil_change_filings_queued",
		Help: "Changes that the gate asked for and that wait to be filed.",
	})
)

func init() { metrics.Registry.MustRegister(filings, queued) }

// Filer files the Changes that the gate asks for. Every replica files what its own gate denied; names are
// deterministic, so that two file the same Change. It runs until its context is done.
type Filer struct {
	Client client.Client
	// Reader reads from the API server itself: what holds a name may not be known from a watch yet.
	Reader    client.Reader
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock

	once    sync.Once
	waiting chan practice.Filing
	// recent filings by workload; Start's goroutine alone uses it.
	recent map[configuration.Key][]time.Time
	// mu is over pending: names that wait, so that a client that tries fifty times waits once.
	mu      sync.Mutex
	pending map[types.NamespacedName]struct{}
}

func (f *Filer) queue() chan practice.Filing {
	f.once.Do(func() {
		f.waiting = make(chan practice.Filing, queueLength)
		f.pending = map[types.NamespacedName]struct{}{}
		f.recent = map[configuration.Key][]time.Time{}
	})
	return f.waiting
}

// File asks for a Change to be filed. It never blocks.
func (f *Filer) File(filing practice.Filing) {
	queue, name := f.queue(), nameOf(&filing)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, waits := f.pending[name]; waits {
		return
	}
	select {
	case queue <- filing:
		f.pending[name] = struct{}{}
		queued.Set(float64(len(queue)))
	default:
		filings.WithLabelValues("Dropped").Inc()
	}
}

func nameOf(f *practice.Filing) types.NamespacedName {
	return types.NamespacedName{Namespace: f.Namespace, Name: f.Name()}
}

// NeedLeaderElection is false: every replica answers for the gate.
func (f *Filer) NeedLeaderElection() bool { return false }

// Start files until the context is done.
func (f *Filer) Start(ctx context.Context) error {
	queue := f.queue()
	for {
		select {
		case <-ctx.Done():
			return nil
		case filing := <-queue:
			f.next(ctx, &filing)
		}
	}
}

// next files one Change. It is no longer pending before it exists for good: whoever asks in between asks for a name
// that exists, which is no error.
func (f *Filer) next(ctx context.Context, filing *practice.Filing) {
	defer func() {
		f.mu.Lock()
		delete(f.pending, nameOf(filing))
		f.mu.Unlock()
		queued.Set(float64(len(f.queue())))
	}()
	ctx, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	logger := log.FromContext(ctx).WithValues("change", nameOf(filing).String(), "requester", filing.Requester)
	key := practice.KeyOf(filing.Namespace, filing.Target.Workload)
	if f.overtaken(filing) {
		filings.WithLabelValues("Dropped").Inc()
		logger.Info("Not filed: it waited long, and something else was asked for of the workload since")
		return
	}
	if existing := f.existing(filing); existing != nil {
		filings.WithLabelValues("Exists").Inc()
		if existing.Candidate.Ended != practice.NotEnded {
			return
		}
		// Whoever filed it may have died, or been refused, before the earlier ones were canceled.
		if err := f.supersede(ctx, filing, existing.Object.Name); err != nil {
			logger.Error(err, "Canceling what it supersedes")
		}
		return
	}
	// What is in has its record, however many there are: it needs a new template each time, so that nobody fights over it.
	if !filing.PreAuthorised && !f.allowed(key, f.Clock.Now()) {
		filings.WithLabelValues("Dropped").Inc()
		logger.Info("Not filed: too many Changes were filed for this workload lately", "limit", mostFilings, "period", filingPeriod.String())
		return
	}
	filed, err := f.create(ctx, filing)
	switch {
	case err != nil:
		filings.WithLabelValues("Failed").Inc()
		logger.Error(err, "Filing a Change")
		return
	case !filed:
		filings.WithLabelValues("Exists").Inc()
	default:
		filings.WithLabelValues("Filed").Inc()
		logger.V(1).Info("Filed")
	}
	if err := f.supersede(ctx, filing, filing.Name()); err != nil {
		logger.Error(err, "Canceling what it supersedes")
	}
}

// overtaken reports whether a filing comes too late: it would take the place of what was asked for after it.
func (f *Filer) overtaken(filing *practice.Filing) bool {
	now := f.Clock.Now()
	return slices.ContainsFunc(f.Inventory.ChangesOf(practice.KeyOf(filing.Namespace, filing.Target.Workload)), func(other *inventory.Change) bool {
		return filing.Overtaken(other.Candidate, other.Object, now)
	})
}

// existing is the Change as the inventory knows it already, or another one that may still go in for exactly the same: a gate
// that decided in the instant in which that was made known may have seen its name taken, and not yet by what. Nil: neither.
func (f *Filer) existing(filing *practice.Filing) *inventory.Change {
	if known, ok := f.Inventory.Change(nameOf(filing)); ok && filing.Is(known.Object) {
		return known
	}
	if filing.PreAuthorised || filing.Episode == 1 {
		return nil
	}
	others := f.Inventory.ChangesOf(practice.KeyOf(filing.Namespace, filing.Target.Workload))
	at := slices.IndexFunc(others, func(other *inventory.Change) bool {
		return other.Candidate.Ended == practice.NotEnded && other.Object.Labels[practice.LabelFiledFor] == practice.FiledForDenied && filing.Is(other.Object)
	})
	if at < 0 {
		return nil
	}
	return others[at]
}

// allowed counts the filings of a workload.
func (f *Filer) allowed(key configuration.Key, now time.Time) bool {
	if len(f.recent) >= mostRemembered {
		clear(f.recent)
	}
	var recent []time.Time
	for _, at := range f.recent[key] {
		if now.Sub(at) < filingPeriod {
			recent = append(recent, at)
		}
	}
	if len(recent) >= mostFilings {
		return false
	}
	f.recent[key] = append(recent, now)
	return true
}

// create makes the Change, under the next name that is free if another one has its name, and reports whether it made
// it: that it exists already is as good.
func (f *Filer) create(ctx context.Context, filing *practice.Filing) (filed bool, err error) {
	const attempts = 3
	for range attempts {
		chg := filing.Object()
		err = f.Client.Create(ctx, chg)
		switch {
		case err == nil:
			return true, f.recordDiff(ctx, chg, filing)
		case !apierrors.IsAlreadyExists(err):
			return false, fmt.Errorf("creating Change %s: %w", nameOf(filing), err)
		}
		live := &v1alpha1.Change{}
		switch err := f.Reader.Get(ctx, nameOf(filing), live); {
		case apierrors.IsNotFound(err): // it was deleted meanwhile
		case err != nil:
			return false, fmt.Errorf("reading Change %s, which exists: %w", nameOf(filing), err)
		case filing.Is(live):
			return false, nil
		default:
			filing.Episode++
		}
	}
	return false, fmt.Errorf("the names up to %s are taken by other Changes: %w", nameOf(filing), err)
}

// recordDiff keeps what the request showed: the Change's controller sees a hash only. Of a spec that its requester has put in
// the place of the one that was filed it would say what is not so.
func (f *Filer) recordDiff(ctx context.Context, filed *v1alpha1.Change, filing *practice.Filing) (err error) {
	if len(filing.Diff) == 0 {
		return nil
	}
	const attempts = 3
	live := filed
	for range attempts {
		after := live.DeepCopy()
		after.Status.Diff = filing.Diff
		if _, err = patch.Status(ctx, f.Client, live, after, patch.OptimisticLock); !apierrors.IsConflict(err) {
			break
		}
		live = &v1alpha1.Change{}
		if err = f.Reader.Get(ctx, nameOf(filing), live); err != nil {
			break
		}
		if live.Generation != filed.Generation {
			return nil
		}
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("recording the differences of Change %s: %w", nameOf(filing), err)
	}
	return nil
}

// supersede cancels the Changes for the same workload that were asked for earlier, and that nobody decided on. By is the name
// of the one that takes their place.
func (f *Filer) supersede(ctx context.Context, filing *practice.Filing, by string) error {
	for _, other := range f.Inventory.ChangesOf(practice.KeyOf(filing.Namespace, filing.Target.Workload)) {
		if !filing.Supersedes(other.Candidate, other.Object) {
			continue
		}
		if err := giveWay(ctx, f.Client, other.Object, by); err != nil {
			return err
		}
	}
	return nil
}

// giveWay cancels a Change because another takes its place.
func giveWay(ctx context.Context, c client.Client, chg *v1alpha1.Change, to string) error {
	after := chg.DeepCopy()
	after.Spec.Cancel = true
	if after.Annotations == nil {
		after.Annotations = map[string]string{}
	}
	after.Annotations[practice.AnnotationSupersededBy] = to
	if err := c.Patch(ctx, after, client.MergeFrom(chg)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("canceling Change %s: %w", client.ObjectKeyFromObject(after), err)
	}
	return nil
}
