package configurationitem

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// sideDoorQueue is how many wait to be written; beyond, they are in metrics and in the log alone.
	sideDoorQueue = 1000
	// maxSideDoors are kept on an item.
	maxSideDoors = 10
	// sideDoorSeries is how long alike ones by one user count as one: an autoscaler resizes many pods.
	sideDoorSeries  = 10 * time.Minute
	sideDoorTimeout = 15 * time.Second
	// Bounds of the API.
	maxPodName, maxDetail, maxUser = 253, 256, 512

	eventSideDoor   = "ChangedPastTemplate"
	actionSideDoor  = "Audit"
	sideDoorRetries = 3
)

var sideDoorsDropped = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "itil_gate_side_doors_dropped_total",
	Help: "Changes of running pods past their template that are not on a ConfigurationItem: too many at once.",
})

func init() { metrics.Registry.MustRegister(sideDoorsDropped) }

// SideDoorKeeper writes what changed running pods past their template on the ConfigurationItems of their workloads.
// Every replica runs it for what its own gate was told.
type SideDoorKeeper struct {
	Client    client.Client
	Inventory *inventory.Inventory
	Recorder  events.EventRecorder

	waiting chan configuration.SideDoor
}

// NewSideDoorKeeper makes one; the manager must run it.
func NewSideDoorKeeper(c client.Client, inv *inventory.Inventory, recorder events.EventRecorder) *SideDoorKeeper {
	return &SideDoorKeeper{Client: c, Inventory: inv, Recorder: recorder, waiting: make(chan configuration.SideDoor, sideDoorQueue)}
}

// SideDoor asks for one to be written. It never blocks.
func (k *SideDoorKeeper) SideDoor(door configuration.SideDoor) {
	select {
	case k.waiting <- door:
	default:
		sideDoorsDropped.Inc()
	}
}

// NeedLeaderElection is false: every replica answers for the gate.
func (k *SideDoorKeeper) NeedLeaderElection() bool { return false }

// Start writes until the context is done.
func (k *SideDoorKeeper) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case door := <-k.waiting:
			for _, workload := range door.Workloads {
				k.keep(ctx, workload, &door)
			}
		}
	}
}

func (k *SideDoorKeeper) keep(ctx context.Context, workload configuration.Key, door *configuration.SideDoor) {
	ctx, cancel := context.WithTimeout(ctx, sideDoorTimeout)
	defer cancel()
	item := k.Inventory.Item(workload)
	if item == nil {
		return // metrics and the log tell of it
	}
	var err error
	for range sideDoorRetries {
		next, news := withSideDoor(item.Status.SideDoors, door)
		if !news {
			return
		}
		after := item.DeepCopy()
		after.Status.SideDoors = next
		if _, err = patch.Status(ctx, k.Client, item, after, patch.OptimisticLock); err == nil {
			k.Recorder.Eventf(after, nil, corev1.EventTypeWarning, eventSideDoor, actionSideDoor,
				"%.128s changed pod %.253s past its template: %s", next[0].By, next[0].Pod, next[0].Detail)
			return
		}
		if !apierrors.IsConflict(err) {
			break
		}
		// The cache may be behind: the newest is asked for.
		live := &v1alpha1.ConfigurationItem{}
		if err = k.Client.Get(ctx, client.ObjectKeyFromObject(item), live); err != nil {
			break
		}
		item = live
	}
	if !apierrors.IsNotFound(err) {
		sideDoorsDropped.Inc()
		log.FromContext(ctx).Error(err, "A change of a running pod is not on its ConfigurationItem", "pod", door.Pod.Name, "by", door.By)
	}
}

// withSideDoor puts one before the others, unless it is one of a series that is told already.
func withSideDoor(list []v1alpha1.SideDoor, door *configuration.SideDoor) (next []v1alpha1.SideDoor, news bool) {
	fresh := v1alpha1.SideDoor{
		What: door.What, Pod: clip(door.Pod.Name, maxPodName), Detail: clip(door.Detail, maxDetail), By: clip(cmp.Or(door.By, "unknown"), maxUser),
		At: metav1.NewTime(door.At.Truncate(time.Second)),
	}
	if slices.ContainsFunc(list, func(s v1alpha1.SideDoor) bool {
		return s.What == fresh.What && s.By == fresh.By && s.Detail == fresh.Detail && door.At.Sub(s.At.Time) < sideDoorSeries
	}) {
		return list, false
	}
	return bounded(append([]v1alpha1.SideDoor{fresh}, list...)), true
}

// bounded drops the oldest of the sort that there are most of: who resizes a pod ten times afterwards has not made the
// container that they put into it be forgotten.
func bounded(list []v1alpha1.SideDoor) []v1alpha1.SideDoor {
	for len(list) > maxSideDoors {
		count := map[v1alpha1.SideDoorKind]int{}
		drop := 0
		for i := range list {
			count[list[i].What]++
		}
		for i := range list {
			if count[list[i].What] >= count[list[drop].What] {
				drop = i
			}
		}
		list = slices.Delete(list, drop, drop+1)
	}
	return list
}

// clip cuts a text to so many bytes.
func clip(s string, limit int) string { return s[:min(len(s), limit)] }
