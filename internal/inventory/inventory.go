// Package inventory knows what runs and what was agreed about it: workloads, the Services that claim them, the
// policies over them, Changes, baselines. Informers keep it current. The gate reads it without a lock and without
// asking anybody; controllers are told what changed after it is up to date.
//
// It gathers facts. What follows from them is decided in internal/practice.
package inventory

import (
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Inventory of one cluster. New makes one, Register keeps it current. All that its methods return is shared and must
// not be altered.
type Inventory struct {
	// mu is held by writers, one at a time, and by the few readers that say so.
	mu sync.Mutex

	// Read without a lock.
	workloads  table[configuration.Key, *workload]
	byName     table[claimedName, []*claim]
	bySelector selectorIndex[*claim]
	selecting  selectorIndex[configuration.Key]
	rolling    table[string, []configuration.Key]
	services   table[servicelevel.ServiceName, *Service]
	declared   table[string, []*Service] // by namespace
	objects    table[servicelevel.ServiceName, *v1alpha1.Service]
	dependents table[servicelevel.ServiceName, []Dependent]
	rules      table[string, *change.Rules]
	items      table[configuration.Key, *v1alpha1.ConfigurationItem]
	changes    table[types.NamespacedName, *Change]
	releases   table[types.NamespacedName, *v1alpha1.Release]
	targeted   table[configuration.Key, *targeted]
	history    table[configuration.Key, history]
	episodes   table[types.NamespacedName, []int]
	undecided  table[string, int]
	incidents  table[servicelevel.ServiceName, []string]
	budgets    table[servicelevel.ServiceName, budget]
	protecting selectorIndex[types.NamespacedName]
	protectors table[types.NamespacedName, configuration.Selector]

	written writersOnly
	letIn   admissions

	subscribers table[uint64, func(Event)]
	subscribed  atomic.Uint64
	informers   atomic.Pointer[[]toolscache.InformerSynced]
}

// writersOnly is under the lock.
type writersOnly struct {
	workloads  map[string]*postings                                // by namespace
	members    groups[servicelevel.ServiceName, configuration.Key] // by the Service that claims them
	runs       groups[configuration.Key, configuration.Key]        // Jobs, by the CronJob that they are runs of
	services   groups[string, servicelevel.ServiceName]            // by namespace
	claims     map[servicelevel.ServiceName][]*claim
	policies   map[string]*v1alpha1.ChangePolicy
	calendars  map[string]change.Calendar
	namespaces map[string]map[string]string // labels
	changes    groups[string, types.NamespacedName]
	targeting  groups[configuration.Key, types.NamespacedName]
	approvals  map[types.NamespacedName]map[string]*v1alpha1.ChangeApproval
	incidents  map[types.NamespacedName]*v1alpha1.Incident
	problems   map[types.NamespacedName]*v1alpha1.Problem
	forwards   groups[types.NamespacedName, types.NamespacedName] // Incident or Problem -> Changes that refer to it
	releases   groups[types.NamespacedName, types.NamespacedName] // by the Change that they go in under
	releasing  groups[configuration.Key, types.NamespacedName]    // by their units
	released   groups[string, types.NamespacedName]               // by namespace
	agreements map[types.NamespacedName]*v1alpha1.ServiceLevelAgreement
	agreed     groups[servicelevel.ServiceName, types.NamespacedName] // agreements by Service
}

// New returns an empty inventory.
func New() *Inventory {
	return &Inventory{
		written: writersOnly{
			workloads:  map[string]*postings{},
			members:    groups[servicelevel.ServiceName, configuration.Key]{},
			runs:       groups[configuration.Key, configuration.Key]{},
			services:   groups[string, servicelevel.ServiceName]{},
			claims:     map[servicelevel.ServiceName][]*claim{},
			policies:   map[string]*v1alpha1.ChangePolicy{},
			calendars:  map[string]change.Calendar{},
			namespaces: map[string]map[string]string{},
			changes:    groups[string, types.NamespacedName]{},
			targeting:  groups[configuration.Key, types.NamespacedName]{},
			approvals:  map[types.NamespacedName]map[string]*v1alpha1.ChangeApproval{},
			incidents:  map[types.NamespacedName]*v1alpha1.Incident{},
			problems:   map[types.NamespacedName]*v1alpha1.Problem{},
			forwards:   groups[types.NamespacedName, types.NamespacedName]{},
			releases:   groups[types.NamespacedName, types.NamespacedName]{},
			releasing:  groups[configuration.Key, types.NamespacedName]{},
			released:   groups[string, types.NamespacedName]{},
			agreements: map[types.NamespacedName]*v1alpha1.ServiceLevelAgreement{},
			agreed:     groups[servicelevel.ServiceName, types.NamespacedName]{},
		},
	}
}

// Event says that something about one object is different now. One of its fields is set.
type Event struct {
	// Workload itself, the Services that claim it, its ConfigurationItem or what was admitted of it.
	Workload configuration.Key
	// Service itself, its workloads, its dependents, or the open Incidents and Changes that concern it.
	Service servicelevel.ServiceName
	// Change itself, its votes, or what else decides about it.
	Change types.NamespacedName
	// Release itself.
	Release types.NamespacedName
	// Namespace whose rules are others.
	Namespace string
}

// Subscribe calls f after each change, from the goroutine that made it: f must not block, nor write to the inventory.
// Nothing is told of what happened before.
func (i *Inventory) Subscribe(f func(Event)) (cancel func()) {
	id := i.subscribed.Add(1)
	i.subscribers.put(id, f)
	return func() { i.subscribers.remove(id) }
}

// news collects events, each once.
type news struct {
	seen  map[Event]struct{}
	order []Event
}

func (n *news) add(e Event) {
	if e == (Event{}) {
		return
	}
	if _, dup := n.seen[e]; dup {
		return
	}
	if n.seen == nil {
		n.seen = map[Event]struct{}{}
	}
	n.seen[e] = struct{}{}
	n.order = append(n.order, e)
}

func (n *news) workload(key configuration.Key)        { n.add(Event{Workload: key}) }
func (n *news) service(name servicelevel.ServiceName) { n.add(Event{Service: name}) }
func (n *news) change(name types.NamespacedName)      { n.add(Event{Change: name}) }
func (n *news) release(name types.NamespacedName)     { n.add(Event{Release: name}) }
func (n *news) namespace(name string)                 { n.add(Event{Namespace: name}) }

// write does one change and then tells of it.
func (i *Inventory) write(f func(n *news)) {
	n := &news{}
	i.mu.Lock()
	f(n)
	i.mu.Unlock()
	for _, e := range n.order {
		for _, tell := range i.subscribers.all() {
			tell(e)
		}
	}
}
