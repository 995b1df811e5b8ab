package inventory

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// workload is one version of a workload with those who claim it.
type workload struct {
	*configuration.Workload
	claimants []Claimant
}

// Claimant is a Service that claims a workload, and by which of its claims. A Service whose claims overlap is there
// more than once.
type Claimant struct {
	Service *Service
	Claim   configuration.Claim
}

// Workload returns the newest version of a workload that a Service could claim, and whether it exists.
func (i *Inventory) Workload(key configuration.Key) (*configuration.Workload, bool) {
	w, ok := i.workloads.get(key)
	if !ok {
		return nil, false
	}
	return w.Workload, true
}

// Workloads are all, in no order.
func (i *Inventory) Workloads() iter.Seq[*configuration.Workload] {
	return func(yield func(*configuration.Workload) bool) {
		for _, w := range i.workloads.all() {
			if !yield(w.Workload) {
				return
			}
		}
	}
}

// WorkloadsIn are the keys of a namespace's workloads, in order. It waits for writers.
func (i *Inventory) WorkloadsIn(namespace string) []configuration.Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	p, known := i.written.workloads[namespace]
	if !known {
		return nil
	}
	return slices.SortedFunc(maps.Keys(p.slots), compareKeys)
}

// Claimants are the Services that claim a workload that exists, in the order of their names and claims.
func (i *Inventory) Claimants(key configuration.Key) []Claimant {
	w, ok := i.workloads.get(key)
	if !ok {
		return nil
	}
	return w.claimants
}

// ClaimantsOf are the Services that would claim anything of that key whose pod template has these labels, in the
// order of their names and claims.
func (i *Inventory) ClaimantsOf(key configuration.Key, templateLabels map[string]string) []Claimant {
	var found []*claim
	found = append(found, i.byName.of(claimedName{key.Namespace, key.Kind, key.Name})...)
	i.bySelector.candidates(key.Namespace, templateLabels, func(c *claim) {
		if c.of().Covers(key.Kind, key.Name, templateLabels) {
			found = append(found, c)
		}
	})
	if len(found) == 0 {
		return nil
	}
	slices.SortFunc(found, func(a, b *claim) int {
		return cmp.Or(a.service.Name.Compare(b.service.Name), cmp.Compare(a.place, b.place))
	})
	out := make([]Claimant, len(found))
	for n, c := range found {
		out[n] = Claimant{Service: c.service, Claim: c.of()}
	}
	return out
}

// claimantsOf a workload that exists. The Jobs of a CronJob are runs of it, and nobody's in themselves.
func (i *Inventory) claimantsOf(w *configuration.Workload) []Claimant {
	if _, isRun := cronJobOf(w); isRun {
		return nil
	}
	return i.ClaimantsOf(w.Key, w.Template.Labels)
}

func (i *Inventory) putWorkload(w *configuration.Workload, n *news) {
	old, existed := i.workloads.get(w.Key)
	next := &workload{Workload: w, claimants: i.claimantsOf(w)}
	rolling := w.RollingOut()
	if rolling {
		i.roll(w.Key, true) // first: who reads meanwhile sees one rollout too many rather than one too few
	}
	i.replaceWorkload(next)
	if !existed || !old.Selector.Equal(w.Selector) {
		i.selecting.put(w.Key.Namespace, w.Selector, w.Key)
	}
	if !rolling {
		i.roll(w.Key, false)
	}
	var before []Claimant
	var was *configuration.Workload
	if existed {
		before, was = old.claimants, old.Workload
	}
	i.run(was, w, n)
	i.reclaim(w.Key, before, next.claimants, n)
	n.workload(w.Key)
}

func (i *Inventory) replaceWorkload(next *workload) {
	i.workloads.put(next.Key, next)
	p, known := i.written.workloads[next.Key.Namespace]
	if !known {
		p = newPostings(next.Key.Namespace)
		i.written.workloads[next.Key.Namespace] = p
	}
	p.put(next)
}

func (i *Inventory) removeWorkload(key configuration.Key, n *news) {
	old, existed := i.workloads.get(key)
	if !existed {
		return
	}
	i.workloads.remove(key)
	p := i.written.workloads[key.Namespace]
	if p.remove(key); len(p.slots) == 0 {
		delete(i.written.workloads, key.Namespace)
	}
	i.selecting.remove(key)
	i.run(old.Workload, nil, n)
	i.roll(key, false)
	i.reclaim(key, old.claimants, nil, n)
	n.workload(key)
}

// cronJobOf is the CronJob that a Job says it is a run of.
func cronJobOf(w *configuration.Workload) (cronJob configuration.Key, isRun bool) {
	if w == nil || w.Key.Kind != configuration.KindJob || w.Owner == nil || w.Owner.Key.Kind != configuration.KindCronJob {
		return configuration.Key{}, false
	}
	return w.Owner.Key, true
}

// Runs are the Jobs of a CronJob that there are, in no order. It waits for writers.
func (i *Inventory) Runs(cronJob configuration.Key) []*configuration.Workload {
	if cronJob.Kind != configuration.KindCronJob {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []*configuration.Workload
	for key := range i.written.runs[cronJob] {
		if w, exists := i.workloads.get(key); exists {
			out = append(out, w.Workload)
		}
	}
	return out
}

// run follows a Job from one version to the next; nil: there is none. That it ended, or is gone, is news of its CronJob.
func (i *Inventory) run(old, next *configuration.Workload, n *news) {
	was, wasRun := cronJobOf(old)
	is, isRun := cronJobOf(next)
	if wasRun && was != is {
		i.written.runs.remove(was, old.Key)
		n.workload(was)
	}
	if !isRun {
		return
	}
	i.written.runs.add(is, next.Key)
	if ended(next) && (was != is || !ended(old)) {
		n.workload(is)
	}
}

func ended(job *configuration.Workload) bool {
	return !job.CompletedAt.IsZero() || !job.FailedAt.IsZero()
}

// reclaim follows from other claims on a workload, and tells all who have or had one.
func (i *Inventory) reclaim(key configuration.Key, before, after []Claimant, n *news) {
	moved := false
	for _, c := range before {
		n.service(c.Service.Name)
		if !claimedBy(after, c.Service.Name) {
			i.written.members.remove(c.Service.Name, key)
			moved = true
		}
	}
	for _, c := range after {
		n.service(c.Service.Name)
		if !claimedBy(before, c.Service.Name) {
			i.written.members.add(c.Service.Name, key)
			moved = true
		}
	}
	if moved {
		i.reassessTargeting(key, n)
	}
}

func claimedBy(claimants []Claimant, name servicelevel.ServiceName) bool {
	return slices.ContainsFunc(claimants, func(c Claimant) bool { return c.Service.Name == name })
}

func (i *Inventory) roll(key configuration.Key, rolling bool) {
	keys := i.rolling.of(key.Namespace)
	at := slices.Index(keys, key)
	switch {
	case rolling && at < 0:
		i.rolling.put(key.Namespace, append(slices.Clone(keys), key))
	case !rolling && at >= 0:
		left := slices.Delete(slices.Clone(keys), at, at+1)
		if len(left) == 0 {
			i.rolling.remove(key.Namespace)
		} else {
			i.rolling.put(key.Namespace, left)
		}
	}
}

func compareKeys(a, b configuration.Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Group, b.Group))
}

func sorted[K comparable](members set[K], compare func(a, b K) int) []K {
	if len(members) == 0 {
		return nil
	}
	out := make([]K, 0, len(members))
	for m := range members {
		out = append(out, m)
	}
	slices.SortFunc(out, compare)
	return out
}
