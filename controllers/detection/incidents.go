package detection

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// incidentIndex finds the incidents of a workload and counts those that are open, without looking at the others. It
// learns from an informer and from what we write ourselves, whichever is newer.
type incidentIndex struct {
	mu         sync.Mutex
	byWorkload map[configuration.Key]map[types.NamespacedName]*v1alpha1.Incident
	open       map[string]int
	total      int
}

func newIncidentIndex() *incidentIndex {
	return &incidentIndex{
		byWorkload: map[configuration.Key]map[types.NamespacedName]*v1alpha1.Incident{}, open: map[string]int{},
	}
}

// put takes in a version of an incident, unless a newer one is known, and reports whether room was made by it. The
// incident is kept and must not be altered.
func (x *incidentIndex) put(i *v1alpha1.Incident) (key configuration.Key, room bool) {
	key, about := keyOf(i)
	if !about {
		return configuration.Key{}, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	name := types.NamespacedName{Namespace: i.Namespace, Name: i.Name}
	old := x.byWorkload[key][name]
	if old != nil && old.UID == i.UID && older(i.ResourceVersion, old.ResourceVersion) {
		return key, false
	}
	if x.byWorkload[key] == nil {
		x.byWorkload[key] = map[types.NamespacedName]*v1alpha1.Incident{}
	}
	x.byWorkload[key][name] = i
	return key, x.recount(i.Namespace, key, old, i)
}

// remove takes out an incident, unless another took its name.
func (x *incidentIndex) remove(i *v1alpha1.Incident) (key configuration.Key, room bool) {
	key, about := keyOf(i)
	if !about {
		return configuration.Key{}, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	name := types.NamespacedName{Namespace: i.Namespace, Name: i.Name}
	old := x.byWorkload[key][name]
	if old == nil || old.UID != i.UID {
		return key, false
	}
	delete(x.byWorkload[key], name)
	if len(x.byWorkload[key]) == 0 {
		delete(x.byWorkload, key)
	}
	return key, x.recount(i.Namespace, key, old, nil)
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
	if isOpen(old) {
		change--
	}
	if isOpen(next) {
		change++
	}
	x.total += change
	if x.open[namespace] += change; x.open[namespace] == 0 {
		delete(x.open, namespace)
	}
	return change < 0
}

func isOpen(i *v1alpha1.Incident) bool {
	return i != nil && i.Status.State != v1alpha1.IncidentResolved && i.Status.State != v1alpha1.IncidentClosed
}

// of are the incidents of a workload.
func (x *incidentIndex) of(key configuration.Key) []*v1alpha1.Incident {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Values(x.byWorkload[key]))
}

// counts are how many are open in a namespace and in all.
func (x *incidentIndex) counts(namespace string) (there, all int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.open[namespace], x.total
}
