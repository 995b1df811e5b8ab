package inventory

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/release"
)

// Release returns a Release by name, and whether it exists.
func (i *Inventory) Release(name types.NamespacedName) (*v1alpha1.Release, bool) {
	return i.releases.get(name)
}

// ReleasesOf are the Releases with a workload as a unit, in the order of their names. It waits for writers.
func (i *Inventory) ReleasesOf(key configuration.Key) []*v1alpha1.Release {
	i.mu.Lock()
	names := sorted(i.written.releasing[key], compareNames)
	i.mu.Unlock()
	return i.releasesBy(names)
}

// ReleasesUnder are the Releases that go in under a Change, in the order of their names. It waits for writers.
func (i *Inventory) ReleasesUnder(chg types.NamespacedName) []*v1alpha1.Release {
	i.mu.Lock()
	names := sorted(i.written.releases[chg], compareNames)
	i.mu.Unlock()
	return i.releasesBy(names)
}

// ReleasesIn are the Releases of a namespace, in the order of their names. It waits for writers.
func (i *Inventory) ReleasesIn(namespace string) []*v1alpha1.Release {
	i.mu.Lock()
	names := sorted(i.written.released[namespace], compareNames)
	i.mu.Unlock()
	return i.releasesBy(names)
}

func (i *Inventory) releasesBy(names []types.NamespacedName) []*v1alpha1.Release {
	out := make([]*v1alpha1.Release, 0, len(names))
	for _, name := range names {
		if r, ok := i.releases.get(name); ok {
			out = append(out, r)
		}
	}
	return out
}

func (i *Inventory) putRelease(obj *v1alpha1.Release, n *news) {
	i.replaceRelease(named(obj), obj, n)
}

func (i *Inventory) removeRelease(obj *v1alpha1.Release, n *news) {
	i.replaceRelease(named(obj), nil, n)
}

// replaceRelease puts a version of a Release in the place of the one before; nil: it is gone.
func (i *Inventory) replaceRelease(name types.NamespacedName, next *v1alpha1.Release, n *news) {
	var changes []types.NamespacedName
	if old, existed := i.releases.get(name); existed {
		for _, key := range release.Keys(old) {
			i.written.releasing.remove(key, name)
		}
		for _, chg := range changesOf(old) {
			i.written.releases.remove(chg, name)
			changes = append(changes, chg)
		}
	}
	if next == nil {
		i.releases.remove(name)
		i.written.released.remove(name.Namespace, name)
	} else {
		i.releases.put(name, next)
		i.written.released.add(name.Namespace, name)
		for _, key := range release.Keys(next) {
			i.written.releasing.add(key, name)
		}
		for _, chg := range changesOf(next) {
			i.written.releases.add(chg, name)
			changes = append(changes, chg)
		}
	}
	n.release(name)
	slices.SortFunc(changes, compareNames)
	for _, chg := range slices.Compact(changes) {
		i.prepare(chg, n)
	}
}

// changesOf are the Changes that a Release may go in under: the one that it says, and the one that it would raise.
func changesOf(r *v1alpha1.Release) []types.NamespacedName {
	out := []types.NamespacedName{{Namespace: r.Namespace, Name: r.Name}}
	if name := release.ChangeOf(r); name != "" && name != r.Name {
		out = append(out, types.NamespacedName{Namespace: r.Namespace, Name: name})
	}
	return out
}

// releaseFacts of a Change: what the Releases that go in under it say. One that a Release raised covers nothing while
// that Release is not known, or goes in under another.
func (i *Inventory) releaseFacts(name types.NamespacedName, c *Change) []change.ReleaseFact {
	var out []change.ReleaseFact
	raisedBy, listed := release.RaisedBy(c.Object), false
	for _, by := range sorted(i.written.releases[name], compareNames) {
		r, _ := i.releases.get(by)
		if r == nil || release.ChangeOf(r) != name.Name {
			continue
		}
		listed = listed || r.Name == raisedBy
		if fact, limits := release.Fact(r); limits {
			out = append(out, fact)
		}
	}
	if raisedBy != "" && !listed {
		out = append(out, change.ReleaseFact{
			Name: raisedBy, Units: c.keys, Why: "it raised this Change, and does not exist or goes in under another by now; file a Change of your own",
		})
	}
	return out
}
