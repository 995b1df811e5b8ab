package detection

import (
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// incidentIndex finds the incidents of a workload, those that may explain others, and counts those that are open,
// without looking at all of them. It learns from an informer and from what we write ourselves, whichever is newer.
type incidentIndex struct {
	mu         sync.Mutex
	byWorkload map[configuration.Key]map[types.NamespacedName]*v1alpha1.Incident
	open       map[string]int
	total      int
	// reserved are about to be created.
	reserved    map[string]int
	reservedAll int

	// explaining is what others may follow from, of those that are open; the three below find them and theirs.
	explaining map[types.NamespacedName]explanation
	byService  map[servicelevel.ServiceName]map[types.NamespacedName]struct{}
	lost       map[string]types.NamespacedName
	// alerts are the incidents, by the names of the alerts that fire by their records.
	alerts map[string]map[types.NamespacedName]configuration.Key
	// children are the workloads whose open incidents are explained by one.
	children map[types.NamespacedName]map[configuration.Key]struct{}
	parents  map[types.NamespacedName]types.NamespacedName
}

// explanation is what an open incident may explain others by.
type explanation struct {
	uid             types.UID
	resourceVersion string
	// node that is lost, or services that suffer.
	node     string
	services []servicelevel.ServiceName
	began    time.Time
	// workload that it is about; empty where it is about none.
	workload configuration.Key
	// surplus: the pods that fail never served.
	surplus bool
}

func newIncidentIndex() *incidentIndex {
	return &incidentIndex{
		byWorkload: map[configuration.Key]map[types.NamespacedName]*v1alpha1.Incident{},
		open:       map[string]int{}, reserved: map[string]int{},
		explaining: map[types.NamespacedName]explanation{},
		byService:  map[servicelevel.ServiceName]map[types.NamespacedName]struct{}{},
		lost:       map[string]types.NamespacedName{},
		alerts:     map[string]map[types.NamespacedName]configuration.Key{},
		children:   map[types.NamespacedName]map[configuration.Key]struct{}{},
		parents:    map[types.NamespacedName]types.NamespacedName{},
	}
}

// news is what a version of an incident brought.
type news struct {
	// key of the workload that it is about; empty where that is not detection's.
	key configuration.Key
	// room was made: one less is open.
	room bool
	// stirred: what it explains, or no longer does, is to be looked at. Before and now are as which it explained.
	stirred     bool
	before, now explanation
}

// put takes in a version of an incident, unless a newer one is known. The incident is kept and must not be altered.
func (x *incidentIndex) put(i *v1alpha1.Incident) news {
	x.mu.Lock()
	defer x.mu.Unlock()
	name := types.NamespacedName{Namespace: i.Namespace, Name: i.Name}
	key, about := keyOf(i)
	n := news{}
	if about {
		n.key = key
		old := x.byWorkload[key][name]
		if old != nil && old.UID == i.UID && older(i.ResourceVersion, old.ResourceVersion) {
			return n
		}
		if x.byWorkload[key] == nil {
			x.byWorkload[key] = map[types.NamespacedName]*v1alpha1.Incident{}
		}
		x.byWorkload[key][name] = i
		x.follow(name, key, old, i)
		n.room = x.recount(i.Namespace, key, old, i)
		x.adopt(name, key, i)
	}
	n.before, n.now = x.explaining[name], explanationOf(key, about, i)
	if before := n.before; before.uid == i.UID && older(i.ResourceVersion, before.resourceVersion) {
		return n
	}
	n.stirred = x.explain(name, n.before, n.now)
	return n
}

// remove takes out an incident, unless another took its name.
func (x *incidentIndex) remove(i *v1alpha1.Incident) news {
	x.mu.Lock()
	defer x.mu.Unlock()
	name := types.NamespacedName{Namespace: i.Namespace, Name: i.Name}
	n := news{before: x.explaining[name]}
	if key, about := keyOf(i); about {
		n.key = key
		old := x.byWorkload[key][name]
		if old == nil || old.UID != i.UID {
			return news{key: key}
		}
		delete(x.byWorkload[key], name)
		x.follow(name, key, old, nil)
		if len(x.byWorkload[key]) == 0 {
			delete(x.byWorkload, key)
		}
		n.room = x.recount(i.Namespace, key, old, nil)
		x.adopt(name, key, nil)
	}
	if n.before.uid == i.UID {
		n.stirred = x.explain(name, n.before, explanation{})
	}
	return n
}

// explanationOf is what an incident may explain others by; of one that is over, or takes nothing from anybody, nothing.
func explanationOf(key configuration.Key, about bool, i *v1alpha1.Incident) explanation {
	e := explanation{uid: i.UID, resourceVersion: i.ResourceVersion, began: incident.BeganAt(&i.Status), workload: key}
	if e.began.IsZero() {
		e.began = i.CreationTimestamp.Time
	}
	switch {
	case !incident.IsOpen(i) || about && incident.StandsForOthers(key):
	case about && key.Kind == incident.KindNode && key.Namespace == "":
		// Of a node, an alert may tell as well.
		if slices.ContainsFunc(i.Status.Signals, func(s v1alpha1.Signal) bool { return s.Reason == v1alpha1.SignalNodeLost }) {
			e.node = key.Name
		}
	case incident.Harms(i):
		e.surplus = incident.Surplus(i.Status.Signals)
		if i.Spec.ServiceRef != nil {
			e.services = append(e.services, servicelevel.ServiceName{Namespace: i.Namespace, Name: string(i.Spec.ServiceRef.Name)})
		}
		for _, a := range i.Status.AffectedServices {
			if s := (servicelevel.ServiceName{Namespace: string(a.Namespace), Name: string(a.Name)}); !slices.Contains(e.services, s) {
				e.services = append(e.services, s)
			}
		}
	}
	return e
}

// explain replaces what an incident may explain others by, and reports whether that is different.
func (x *incidentIndex) explain(name types.NamespacedName, before, now explanation) bool {
	for _, s := range before.services {
		delete(x.byService[s], name)
		if len(x.byService[s]) == 0 {
			delete(x.byService, s)
		}
	}
	if before.node != "" && x.lost[before.node] == name {
		delete(x.lost, before.node)
	}
	for _, s := range now.services {
		if x.byService[s] == nil {
			x.byService[s] = map[types.NamespacedName]struct{}{}
		}
		x.byService[s][name] = struct{}{}
	}
	if now.node != "" {
		x.lost[now.node] = name
	}
	if now.node == "" && len(now.services) == 0 {
		delete(x.explaining, name)
	} else {
		x.explaining[name] = now
	}
	return before.node != now.node || !slices.Equal(before.services, now.services) ||
		!before.began.Equal(now.began) && (now.node != "" || len(now.services) > 0)
}

// adopt takes down which incident explains one that is open.
func (x *incidentIndex) adopt(name types.NamespacedName, key configuration.Key, i *v1alpha1.Incident) {
	if before, had := x.parents[name]; had {
		delete(x.parents, name)
		delete(x.children[before], key)
		if len(x.children[before]) == 0 {
			delete(x.children, before)
		}
	}
	if !incident.IsOpen(i) || i.Status.ParentRef == nil {
		return
	}
	parent := types.NamespacedName{Namespace: string(i.Status.ParentRef.Namespace), Name: string(i.Status.ParentRef.Name)}
	x.parents[name] = parent
	if x.children[parent] == nil {
		x.children[parent] = map[configuration.Key]struct{}{}
	}
	x.children[parent][key] = struct{}{}
}

// follow takes down which alerts fire by a record.
func (x *incidentIndex) follow(name types.NamespacedName, key configuration.Key, old, next *v1alpha1.Incident) {
	for alert := range firing(key, old) {
		delete(x.alerts[alert], name)
		if len(x.alerts[alert]) == 0 {
			delete(x.alerts, alert)
		}
	}
	for alert, about := range firing(key, next) {
		if x.alerts[alert] == nil {
			x.alerts[alert] = map[types.NamespacedName]configuration.Key{}
		}
		x.alerts[alert][name] = about
	}
}

// firing are the alerts of which a record does not say that they are over, and what each is about.
func firing(key configuration.Key, i *v1alpha1.Incident) map[string]configuration.Key {
	if i == nil || i.Status.State == v1alpha1.IncidentClosed {
		return nil
	}
	var out map[string]configuration.Key
	for n := range i.Status.Signals {
		s := &i.Status.Signals[n]
		if s.Alert == "" || s.ClearedAt != nil {
			continue
		}
		about := key
		if incident.StandsForOthers(key) {
			listed := incident.ListedIn(i.Status.Signals[n : n+1])
			if len(listed) == 0 {
				continue
			}
			about = listed[0]
		}
		if out == nil {
			out = map[string]configuration.Key{}
		}
		out[s.Alert] = about
	}
	return out
}

// ofAlert is the workload by whose record an alert fires.
func (x *incidentIndex) ofAlert(alert string) (configuration.Key, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, key := range x.alerts[alert] {
		return key, true
	}
	return configuration.Key{}, false
}

// childrenOf are the workloads whose open incidents are explained by one.
func (x *incidentIndex) childrenOf(parent types.NamespacedName) []configuration.Key {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.children[parent]))
}

// hasOpen reports whether an incident of the workload is open.
func (x *incidentIndex) hasOpen(key configuration.Key) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, i := range x.byWorkload[key] {
		if incident.IsOpen(i) {
			return true
		}
	}
	return false
}

// maxExplaining bounds how many incidents of a service may explain one of a dependent.
const maxExplaining = 50

// onService are the open incidents by which a service suffers.
func (x *incidentIndex) onService(s servicelevel.ServiceName, whole func(configuration.Key) bool) []incident.Candidate {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []incident.Candidate
	for name := range x.byService[s] {
		if len(out) == maxExplaining {
			break
		}
		e := x.explaining[name]
		c := candidate(name, e)
		c.Whole = whole(e.workload)
		if c.Whole && e.surplus {
			continue
		}
		out = append(out, c)
	}
	return out
}

// lostNode is the open incident of a node.
func (x *incidentIndex) lostNode(node string) (incident.Candidate, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	name, lost := x.lost[node]
	if !lost {
		return incident.Candidate{}, false
	}
	return candidate(name, x.explaining[name]), true
}

// candidate is an open incident that may explain others.
func (x *incidentIndex) candidate(name types.NamespacedName) (incident.Candidate, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, open := x.explaining[name]
	return candidate(name, e), open
}

func (x *incidentIndex) anyLost() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.lost) > 0
}

func candidate(name types.NamespacedName, e explanation) incident.Candidate {
	return incident.Candidate{
		Ref:  v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(name.Namespace), Name: v1alpha1.ObjectName(name.Name)},
		Node: e.node, Began: e.began,
	}
}

// keyOf is the key of what detection finds by itself: incidents of people are theirs.
func keyOf(i *v1alpha1.Incident) (configuration.Key, bool) {
	if i.Spec.Source == v1alpha1.IncidentSourceUser || i.Spec.Source == "" {
		return configuration.Key{}, false
	}
	return incident.KeyOf(i)
}

func older(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

func (x *incidentIndex) recount(namespace string, key configuration.Key, old, next *v1alpha1.Incident) (room bool) {
	if incident.StandsForOthers(key) {
		return false
	}
	change := 0
	if incident.IsOpen(old) {
		change--
	}
	if incident.IsOpen(next) {
		change++
	}
	x.total += change
	if x.open[namespace] += change; x.open[namespace] == 0 {
		delete(x.open, namespace)
	}
	return change < 0
}

// of are the incidents of a workload.
func (x *incidentIndex) of(key configuration.Key) []*v1alpha1.Incident {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Values(x.byWorkload[key]))
}

// reserve takes one of the places that are left in a namespace and in all, until release; ok is false where none is.
func (x *incidentIndex) reserve(namespace string, most, mostInAll int) (release func(), ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open[namespace]+x.reserved[namespace] >= most || x.total+x.reservedAll >= mostInAll {
		return nil, false
	}
	x.reserved[namespace]++
	x.reservedAll++
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.reserved[namespace]--; x.reserved[namespace] == 0 {
			delete(x.reserved, namespace)
		}
		x.reservedAll--
	}, true
}

// counts are how many are open in a namespace and in all.
func (x *incidentIndex) counts(namespace string) (there, all int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.open[namespace], x.total
}
