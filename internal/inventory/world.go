package inventory

import (
	"iter"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Governance is who has a say about something that makes pods.
type Governance struct {
	// Claims of Services on it, also through another workload whose pods its own would pass for; each Service once
	// for each such workload, its own claims first.
	Claims []change.Claim
	// Through are those other workloads, in order.
	Through []configuration.Key
	// Enforcement that applies; empty or Disabled: it is not governed.
	Enforcement v1alpha1.Enforcement
	// Rules of the namespace; nil: the defaults.
	Rules *change.Rules
}

// Governed reports whether anybody has a say.
func (g *Governance) Governed() bool {
	return g.Enforcement != "" && g.Enforcement != v1alpha1.EnforcementDisabled
}

// Governance of anything of that key whose pod template has these labels. It takes no lock.
func (i *Inventory) Governance(key configuration.Key, templateLabels map[string]string) Governance {
	g := Governance{Rules: i.rules.of(key.Namespace)}
	g.own(i.ClaimantsOf(key, templateLabels))
	g.through(i, key, templateLabels)
	g.Enforcement = change.EnforcementFor(g.Claims, g.Rules)
	return g
}

func (g *Governance) own(claimants []Claimant) { g.add(claimants, configuration.Key{}) }

func (g *Governance) add(claimants []Claimant, through configuration.Key) {
	for _, c := range claimants {
		claim := c.Service.change(through)
		if !slices.Contains(g.Claims, claim) {
			g.Claims = append(g.Claims, claim)
		}
	}
}

// through finds the claimed workloads whose own selector these labels satisfy.
func (g *Governance) through(i *Inventory, key configuration.Key, templateLabels map[string]string) {
	i.selecting.candidates(key.Namespace, templateLabels, func(other configuration.Key) {
		if other == key {
			return
		}
		w, exists := i.workloads.get(other)
		if exists && len(w.claimants) > 0 && w.Selector.Matches(templateLabels) && !slices.Contains(g.Through, other) {
			g.Through = append(g.Through, other)
		}
	})
	slices.SortFunc(g.Through, compareKeys)
	for _, other := range g.Through {
		g.add(i.Claimants(other), other)
	}
}

// runOf finds the CronJob whose run a Job says that it is. It passes for one, whether it is or not.
func (g *Governance) runOf(i *Inventory, r *change.Request) {
	if r.Key.Kind != configuration.KindJob || r.Owner.Kind != configuration.KindCronJob || r.Owner.Namespace != r.Key.Namespace {
		return
	}
	if _, exists := i.workloads.get(r.Owner); !exists || slices.Contains(g.Through, r.Owner) {
		return
	}
	g.Through = append(g.Through, r.Owner)
	g.add(i.Claimants(r.Owner), r.Owner)
}

// World is what is known about the workload of a request. It takes no lock and asks nobody.
//
// A claim on the template as it was counts like one on the template as it shall be: leaving a Service is a change that
// the Service has a say in.
func (i *Inventory) World(r *change.Request) *change.World {
	key := r.Key
	g := Governance{Rules: i.rules.of(key.Namespace)}
	var labels map[string]string
	if r.Old != nil {
		labels = r.Old.Labels
		g.own(i.ClaimantsOf(key, labels))
	}
	if r.New != nil && (r.Old == nil || !maps.Equal(r.Old.Labels, r.New.Labels)) {
		labels = r.New.Labels
		g.own(i.ClaimantsOf(key, labels))
	}
	g.through(i, key, labels)
	g.runOf(i, r)

	w := &change.World{
		Claims: g.Claims, Enforcement: change.EnforcementFor(g.Claims, g.Rules), Rules: g.Rules,
		Baselines: i.Baselines(key),
	}
	for _, other := range g.Through {
		w.Twins = append(w.Twins, change.Twin{Key: other, Baselines: i.Baselines(other)})
	}
	if t, ok := i.targeted.get(key); ok {
		w.Candidates = t.candidates
	}
	if r.RollbackTo != "" {
		w.Around = i.around(key.Namespace, g.Rules)
	}
	w.FailedChanges = i.failedChanges(key.Namespace, w.Baselines)
	services := serviceNames(key.Namespace, g.Claims)
	w.Risk = i.riskFacts(key, labels, &g, services)
	for _, s := range services {
		if i.budgets.of(s).exhausted {
			w.ExhaustedBudgets = append(w.ExhaustedBudgets, s.Name)
		}
	}
	if g.Rules != nil && g.Rules.MaxConcurrentRollouts > 0 {
		w.Concurrency = i.Concurrency(key.Namespace)
		i.addComing(&w.Concurrency, key.Namespace)
	}
	w.Filed = change.Filed{
		Undecided:   i.undecided.of(key.Namespace),
		LastEpisode: func(base string) int { return i.lastEpisode(key, base, w.Candidates) },
	}
	return w
}

// around is the strictest enforcement in a namespace: of what nobody claims, and of what each of its Services does.
func (i *Inventory) around(namespace string, rules *change.Rules) v1alpha1.Enforcement {
	strictest := change.EnforcementFor(nil, rules)
	for _, s := range i.declared.of(namespace) {
		if len(s.Claims) > 0 {
			strictest = change.Stricter(strictest, change.EnforcementFor([]change.Claim{s.change(configuration.Key{})}, rules))
		}
	}
	return strictest
}

// serviceNames of claims, each once.
func serviceNames(namespace string, claims []change.Claim) []servicelevel.ServiceName {
	out := make([]servicelevel.ServiceName, 0, len(claims))
	for _, c := range claims {
		if name := (servicelevel.ServiceName{Namespace: namespace, Name: c.Service}); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// failedChanges are those, of the Changes that baselines came in by, that did not go well.
func (i *Inventory) failedChanges(namespace string, baselines []v1alpha1.Baseline) []string {
	var out []string
	for n := range baselines {
		name := baselines[n].Change
		if name == "" || slices.Contains(out, name) {
			continue
		}
		if c, ok := i.changes.get(types.NamespacedName{Namespace: namespace, Name: name}); ok && failed(c.Object) {
			out = append(out, name)
		}
	}
	return out
}

// Concurrency of a namespace.
func (i *Inventory) Concurrency(namespace string) change.Concurrency {
	return change.Concurrency{Rollouts: i.Rollouts(namespace), AtMost: len(i.rolling.of(namespace))}
}

// Rollouts in progress of a namespace's governed workloads. They are looked up as they are asked for: there may be
// many, and the gate seldom needs to know more than a few. It takes no lock.
func (i *Inventory) Rollouts(namespace string) iter.Seq[change.Rollout] {
	return func(yield func(change.Rollout) bool) {
		rules := i.rules.of(namespace)
		for _, key := range i.rolling.of(namespace) {
			w, exists := i.workloads.get(key)
			if !exists {
				continue
			}
			g := Governance{}
			g.own(w.claimants)
			switch change.EnforcementFor(g.Claims, rules) {
			case "", v1alpha1.EnforcementDisabled:
				continue
			case v1alpha1.EnforcementAudit, v1alpha1.EnforcementWarn, v1alpha1.EnforcementEnforce:
			}
			rollout := change.Rollout{Workload: key}
			if baselines := i.Baselines(key); len(baselines) > 0 {
				rollout.Change = baselines[0].Change
			}
			if !yield(rollout) {
				return
			}
		}
	}
}

// RiskFacts are what the risk of a change to a workload that exists is computed from. It takes no lock.
func (i *Inventory) RiskFacts(key configuration.Key) change.RiskFacts {
	w, exists := i.workloads.get(key)
	if !exists {
		return change.RiskFacts{}
	}
	g := Governance{Rules: i.rules.of(key.Namespace)}
	g.own(w.claimants)
	return i.riskFacts(key, w.Template.Labels, &g, serviceNames(key.Namespace, g.Claims))
}

func (i *Inventory) riskFacts(
	key configuration.Key, templateLabels map[string]string, g *Governance, services []servicelevel.ServiceName,
) change.RiskFacts {
	f := change.RiskFacts{Protected: i.protected(key.Namespace, templateLabels)}
	for _, c := range g.Claims {
		if f.Tier == 0 || c.Tier < f.Tier {
			f.Tier = c.Tier
		}
	}
	if w, exists := i.workloads.get(key); exists && key.Kind != configuration.KindJob && key.Kind != configuration.KindCronJob {
		f.Replicas = w.Desired
	}
	h := i.history.of(key)
	f.PastChanges, f.FailedChanges = h.past, h.failed
	f.HardDependents, f.LastHealthyOf = i.dependence(services)
	for _, s := range services {
		f.OpenIncidents = append(f.OpenIncidents, i.OpenIncidents(s)...)
		if b := i.budgets.of(s); b.known && (f.BudgetLeft == nil || b.permille < *f.BudgetLeft) {
			f.BudgetLeft = &b.permille
		}
	}
	if g.Rules != nil && len(g.Rules.Windows) > 0 {
		f.WorkingHours = g.Rules.Windows[0].Hours
	}
	return f
}

// dependence says how many Services depend hard on some, and of which groups of dependencies one of them is the last
// that is well.
func (i *Inventory) dependence(services []servicelevel.ServiceName) (hard int, lastOf []string) {
	seen := set[servicelevel.ServiceName]{}
	for _, s := range services {
		for _, d := range i.dependents.of(s) {
			if d.Group != "" {
				if group := d.Group + " of " + d.Name.String(); !slices.Contains(lastOf, group) && i.isLast(s, d) {
					lastOf = append(lastOf, group)
				}
				continue
			}
			if _, dup := seen[d.Name]; !dup && d.Strength == v1alpha1.DependencyHard {
				seen[d.Name] = struct{}{}
				hard++
			}
		}
	}
	return hard, lastOf
}

// isLast reports whether no other member of a dependent's group is well.
func (i *Inventory) isLast(name servicelevel.ServiceName, d Dependent) bool {
	dependent, ok := i.services.get(d.Name)
	if !ok {
		return false
	}
	return !slices.ContainsFunc(dependent.DependsOn, func(other servicelevel.DependencyFacts) bool {
		if other.Group != d.Group || other.On == name {
			return false
		}
		obj := i.objects.of(other.On)
		if obj == nil {
			return false
		}
		return obj.Status.Health == v1alpha1.HealthOperational || obj.Status.Health == v1alpha1.HealthDegraded
	})
}
