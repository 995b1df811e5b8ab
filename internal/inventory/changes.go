package inventory

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Change is a Change as an object, and as the gate sees it.
type Change struct {
	Object    *v1alpha1.Change
	Candidate *change.Candidate
	// Agreed is what the candidate was made from.
	Agreed change.Agreed

	// keys of its targets.
	keys []configuration.Key
}

// targeted are the Changes with a workload as a target that the gate has to know of, in the order of their names.
type targeted struct {
	changes    []*Change
	candidates []*change.Candidate
}

// history is how the Changes of a workload went that have ended and are still kept.
type history struct{ past, failed int }

// Change returns a Change by name, and whether it exists.
func (i *Inventory) Change(name types.NamespacedName) (*Change, bool) { return i.changes.get(name) }

// ChangesOf are the Changes with a workload as a target that have not ended, and those that ended by being rejected or
// backed out; in the order of their names.
func (i *Inventory) ChangesOf(key configuration.Key) []*Change {
	if t, ok := i.targeted.get(key); ok {
		return t.changes
	}
	return nil
}

// ChangesEverOf are the Changes with a workload as a target that are kept, whatever became of them; in the order of their
// names. It waits for writers.
func (i *Inventory) ChangesEverOf(key configuration.Key) []*Change {
	i.mu.Lock()
	names := sorted(i.written.targeting[key], compareNames)
	i.mu.Unlock()
	return i.changesNamed(names)
}

// ChangesIn are the Changes of a namespace, in the order of their names. It waits for writers.
func (i *Inventory) ChangesIn(namespace string) []*Change {
	i.mu.Lock()
	names := sorted(i.written.changes[namespace], compareNames)
	i.mu.Unlock()
	return i.changesNamed(names)
}

func (i *Inventory) changesNamed(names []types.NamespacedName) []*Change {
	out := make([]*Change, 0, len(names))
	for _, name := range names {
		if c, ok := i.changes.get(name); ok {
			out = append(out, c)
		}
	}
	return out
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func named(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func (i *Inventory) putChange(obj *v1alpha1.Change, n *news) {
	name := named(obj)
	old, existed := i.changes.get(name)
	next := &Change{Object: obj}
	for _, t := range obj.Spec.Targets {
		next.keys = append(next.keys, change.KeyOf(obj.Namespace, t.Workload))
	}
	if !existed {
		i.written.changes.add(name.Namespace, name)
		i.count(name, 1)
	} else {
		i.forget(name, old)
	}
	for _, key := range next.keys {
		i.written.targeting.add(key, name)
	}
	for _, ref := range references(obj) {
		i.written.forwards.add(ref, name)
	}
	i.assess(name, next)
	i.remember(next)
	i.replaceTargeted(old, next)
	i.tell(old, n)
	i.tell(next, n)
}

func (i *Inventory) removeChange(obj *v1alpha1.Change, n *news) {
	name := named(obj)
	old, existed := i.changes.get(name)
	if !existed {
		return
	}
	i.written.changes.remove(name.Namespace, name)
	i.count(name, -1)
	i.forget(name, old)
	i.changes.remove(name)
	i.replaceTargeted(old, nil)
	i.tell(old, n)
}

// assess makes the candidate and puts the Change where readers find it.
func (i *Inventory) assess(name types.NamespacedName, c *Change) {
	c.Agreed = i.agreed(name, c)
	c.Candidate = change.Prepare(c.Agreed)
	i.changes.put(name, c)
}

// prepare makes the candidate of a Change anew, after something that decides about it became different.
func (i *Inventory) prepare(name types.NamespacedName, n *news) {
	old, exists := i.changes.get(name)
	if !exists {
		return
	}
	i.unfile(old)
	next := &Change{Object: old.Object, keys: old.keys}
	i.assess(name, next)
	i.file(next)
	i.replaceTargeted(old, next)
	n.change(name)
}

// reassessTargeting makes the candidates anew that depend on who claims a workload and what its baseline is.
func (i *Inventory) reassessTargeting(key configuration.Key, n *news) {
	for name := range i.written.targeting[key] {
		if c, ok := i.changes.get(name); ok && c.Object.Spec.Type != v1alpha1.ChangeNormal && c.Object.Spec.Type != "" {
			i.prepare(name, n)
		}
	}
}

func (i *Inventory) reassessReferring(ref types.NamespacedName, n *news) {
	for name := range i.written.forwards[ref] {
		i.prepare(name, n)
	}
}

func (i *Inventory) agreed(name types.NamespacedName, c *Change) change.Agreed {
	a := change.Agreed{Change: c.Object, Rules: i.rules.of(name.Namespace), Releases: i.releaseFacts(name, c)}
	for _, approval := range slices.Sorted(maps.Keys(i.written.approvals[name])) {
		a.Approvals = append(a.Approvals, i.written.approvals[name][approval])
	}
	if ref := c.Object.Spec.IncidentRef; ref != nil {
		a.Incident = incidentFact(i.written.incidents[types.NamespacedName{Namespace: name.Namespace, Name: string(ref.Name)}])
	}
	if ref := c.Object.Spec.ProblemRef; ref != nil {
		a.Problem = problemFact(i.written.problems[types.NamespacedName{Namespace: name.Namespace, Name: string(ref.Name)}])
	}
	if c.Object.Spec.Type == v1alpha1.ChangeStandard || c.Object.Spec.Type == v1alpha1.ChangeEmergency {
		a.Targets = map[configuration.Key]change.TargetFact{}
		for _, key := range c.keys {
			if w, ok := i.workloads.get(key); ok {
				a.Targets[key] = targetFact(w.claimants, i.Baselines(key))
			}
		}
	}
	return a
}

func targetFact(claimants []Claimant, baselines []v1alpha1.Baseline) change.TargetFact {
	var f change.TargetFact
	for _, c := range claimants {
		if !slices.Contains(f.Services, c.Service.Name.Name) {
			f.Services = append(f.Services, c.Service.Name.Name)
		}
		if tier := c.Service.Tier(); f.Tier == 0 || tier < f.Tier {
			f.Tier = tier
		}
	}
	for n := range baselines {
		if baselines[n].Source != v1alpha1.BaselineUnauthorized {
			f.Images = baselines[n].Images
			break
		}
	}
	return f
}

func references(chg *v1alpha1.Change) []types.NamespacedName {
	var out []types.NamespacedName
	if ref := chg.Spec.IncidentRef; ref != nil {
		out = append(out, incidentKey(chg.Namespace, string(ref.Name)))
	}
	if ref := chg.Spec.ProblemRef; ref != nil {
		out = append(out, problemKey(chg.Namespace, string(ref.Name)))
	}
	return out
}

// Incidents and Problems of one name are told apart by a character that no name has.
func incidentKey(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: "Incident/" + name}
}

func problemKey(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: "Problem/" + name}
}

// forget takes a version of a Change out of what is counted and found by it.
func (i *Inventory) forget(name types.NamespacedName, c *Change) {
	for _, key := range c.keys {
		i.written.targeting.remove(key, name)
	}
	for _, ref := range references(c.Object) {
		i.written.forwards.remove(ref, name)
	}
	i.unfile(c)
	i.addHistory(c, -1)
}

func (i *Inventory) remember(c *Change) {
	i.file(c)
	i.addHistory(c, 1)
}

func (i *Inventory) addHistory(c *Change, times int) {
	if c.Object.Status.Outcome == "" {
		return
	}
	for _, key := range c.keys {
		h := i.history.of(key)
		h.past += times
		if failed(c.Object) {
			h.failed += times
		}
		if h == (history{}) {
			i.history.remove(key)
		} else {
			i.history.put(key, h)
		}
	}
}

func failed(chg *v1alpha1.Change) bool {
	return chg.Status.Outcome == v1alpha1.OutcomeUnsuccessful || chg.Status.Outcome == v1alpha1.OutcomeRolledBack
}

// file and unfile count the Changes that the operator filed and nobody decided on.
func (i *Inventory) file(c *Change)   { i.addUndecided(c, 1) }
func (i *Inventory) unfile(c *Change) { i.addUndecided(c, -1) }

func (i *Inventory) addUndecided(c *Change, times int) {
	candidate := c.Candidate
	if candidate == nil || !candidate.FiledByOperator || candidate.Ended != change.NotEnded || candidate.Approval.Approved {
		return
	}
	count := i.undecided.of(candidate.Namespace) + times
	if count == 0 {
		i.undecided.remove(candidate.Namespace)
	} else {
		i.undecided.put(candidate.Namespace, count)
	}
}

// known reports whether the gate has to know of it.
func (c *Change) known() bool {
	switch c.Candidate.Ended {
	case change.NotEnded, change.EndedRejected, change.EndedBackedOut:
		return true
	case change.EndedCanceled, change.EndedClosed:
	}
	return false
}

// replaceTargeted puts a version of a Change, if the gate has to know of it, in the place of the one before.
func (i *Inventory) replaceTargeted(old, next *Change) {
	var keys []configuration.Key
	if old != nil {
		keys = append(keys, old.keys...)
	}
	if next != nil {
		keys = append(keys, next.keys...)
	}
	slices.SortFunc(keys, compareKeys)
	for _, key := range slices.Compact(keys) {
		var changes []*Change
		if t, ok := i.targeted.get(key); ok {
			changes = slices.DeleteFunc(slices.Clone(t.changes), func(c *Change) bool { return c == old })
		}
		if next != nil && next.known() && slices.Contains(next.keys, key) {
			changes = append(changes, next)
		}
		if len(changes) == 0 {
			i.targeted.remove(key)
			continue
		}
		slices.SortFunc(changes, func(a, b *Change) int { return cmp.Compare(a.Object.Name, b.Object.Name) })
		t := &targeted{changes: changes}
		for _, c := range changes {
			t.candidates = append(t.candidates, c.Candidate)
		}
		i.targeted.put(key, t)
	}
}

// tell all whom a version of a Change concerns.
func (i *Inventory) tell(c *Change, n *news) {
	if c == nil {
		return
	}
	n.change(named(c.Object))
	for _, key := range c.keys {
		n.workload(key)
		for _, by := range i.Claimants(key) {
			n.service(by.Service.Name)
		}
	}
}

// count keeps the episodes of names: a name is the first of itself, and "<base>-n" the nth of the base as well.
func (i *Inventory) count(name types.NamespacedName, times int) {
	bases := []string{name.Name}
	if at := strings.LastIndexByte(name.Name, '-'); at > 0 {
		bases = append(bases, name.Name[:at])
	}
	for _, base := range bases {
		episode := change.EpisodeOf(base, name.Name)
		if episode == 0 {
			continue
		}
		key := types.NamespacedName{Namespace: name.Namespace, Name: base}
		episodes := slices.Clone(i.episodes.of(key))
		if times > 0 {
			episodes = append(episodes, episode)
			slices.Sort(episodes)
		} else if at := slices.Index(episodes, episode); at >= 0 {
			episodes = slices.Delete(episodes, at, at+1)
		}
		if len(episodes) == 0 {
			i.episodes.remove(key)
		} else {
			i.episodes.put(key, episodes)
		}
	}
}

func (i *Inventory) lastEpisode(key configuration.Key, base string, seen []*change.Candidate) int {
	episodes := i.episodes.of(types.NamespacedName{Namespace: key.Namespace, Name: base})
	if len(episodes) == 0 {
		return 0
	}
	last := episodes[len(episodes)-1]
	// A Change that was made known after the others were read is counted, and not among them: it may be the one that is
	// looked for, and its name is not to be passed over.
	name := types.NamespacedName{Namespace: key.Namespace, Name: change.EpisodeName(base, last)}
	c, known := i.changes.get(name)
	if !known || c.Candidate.Ended == change.NotEnded && slices.Contains(c.keys, key) && !slices.Contains(seen, c.Candidate) &&
		!slices.ContainsFunc(seen, func(s *change.Candidate) bool { return s.Name == name.Name }) {
		return last - 1
	}
	return last
}

func (i *Inventory) putApproval(a *v1alpha1.ChangeApproval, n *news) {
	name := types.NamespacedName{Namespace: a.Namespace, Name: string(a.Spec.ChangeRef.Name)}
	if i.written.approvals[name] == nil {
		i.written.approvals[name] = map[string]*v1alpha1.ChangeApproval{}
	}
	i.written.approvals[name][a.Name] = a
	n.change(name)
	i.prepare(name, n)
}

func (i *Inventory) removeApproval(a *v1alpha1.ChangeApproval, n *news) {
	name := types.NamespacedName{Namespace: a.Namespace, Name: string(a.Spec.ChangeRef.Name)}
	delete(i.written.approvals[name], a.Name)
	if len(i.written.approvals[name]) == 0 {
		delete(i.written.approvals, name)
	}
	n.change(name)
	i.prepare(name, n)
}

// Approvals are the votes on a Change, in the order of their names. It waits for writers.
func (i *Inventory) Approvals(name types.NamespacedName) []*v1alpha1.ChangeApproval {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []*v1alpha1.ChangeApproval
	for _, approval := range slices.Sorted(maps.Keys(i.written.approvals[name])) {
		out = append(out, i.written.approvals[name][approval])
	}
	return out
}

// OpenChangesOf is how many Changes that have not ended have one of the workloads of a Service as a target. It waits
// for writers.
func (i *Inventory) OpenChangesOf(service servicelevel.ServiceName) int {
	open := set[*Change]{}
	for _, key := range i.Members(service) {
		for _, c := range i.ChangesOf(key) {
			if c.Candidate.Ended == change.NotEnded {
				open[c] = struct{}{}
			}
		}
	}
	return len(open)
}
