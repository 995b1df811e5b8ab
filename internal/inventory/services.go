package inventory

import (
	"iter"
	"slices"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Service is one version of what a Service declares.
type Service struct {
	Name       servicelevel.ServiceName
	Generation int64
	Spec       v1alpha1.ServiceSpec
	// Claims in the order of spec.workloads.
	Claims []configuration.Claim
	// DependsOn in the order of spec.dependsOn, with the namespaces filled in.
	DependsOn []servicelevel.DependencyFacts
}

// Tier from 1 to 4.
func (s *Service) Tier() int32 {
	if s.Spec.Tier < 1 || s.Spec.Tier > 4 {
		return 4
	}
	return s.Spec.Tier
}

// Enforcement as the Service says; empty where it leaves it to the policy.
func (s *Service) Enforcement() v1alpha1.Enforcement {
	if s.Spec.ChangeControl == nil {
		return ""
	}
	return s.Spec.ChangeControl.Enforcement
}

// change is the Service's claim as change enablement sees it.
func (s *Service) change(through configuration.Key) change.Claim {
	return change.Claim{Service: s.Name.Name, Tier: s.Tier(), Enforcement: s.Enforcement(), Through: through}
}

// Dependent is a Service that depends on another.
type Dependent struct {
	Name servicelevel.ServiceName
	// Strength and Group as the dependent declares them.
	Strength v1alpha1.DependencyStrength
	Group    string
}

// claimedName is what a claim by name is of.
type claimedName struct{ namespace, kind, name string }

// claim is one of a Service's.
type claim struct {
	service *Service
	place   int
}

func (c *claim) of() configuration.Claim { return c.service.Claims[c.place] }

// name of the workload that the claim is of, where it is one by name.
func (c *claim) name() (claimedName, bool) {
	of := c.of()
	return claimedName{c.service.Name.Namespace, of.Kind, of.Name}, of.Name != ""
}

// Service returns what a Service declares, and whether it exists.
func (i *Inventory) Service(name servicelevel.ServiceName) (*Service, bool) {
	return i.services.get(name)
}

// ServiceObject returns the object with its status; nil where there is none.
func (i *Inventory) ServiceObject(name servicelevel.ServiceName) *v1alpha1.Service {
	return i.objects.of(name)
}

// Services are all, in no order.
func (i *Inventory) Services() iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		for _, s := range i.services.all() {
			if !yield(s) {
				return
			}
		}
	}
}

// ServicesIn are the names of a namespace's Services, in order. It waits for writers.
func (i *Inventory) ServicesIn(namespace string) []servicelevel.ServiceName {
	i.mu.Lock()
	defer i.mu.Unlock()
	return sorted(i.written.services[namespace], servicelevel.ServiceName.Compare)
}

// Members are the keys of the workloads that a Service claims, in order. It waits for writers.
func (i *Inventory) Members(name servicelevel.ServiceName) []configuration.Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return sorted(i.written.members[name], compareKeys)
}

// ClaimedByName reports whether a Service claims a workload by its name, which need not exist.
func (i *Inventory) ClaimedByName(key configuration.Key) bool {
	return len(i.byName.of(claimedName{key.Namespace, key.Kind, key.Name})) > 0
}

// Dependents are the Services that depend on one, which need not exist, in the order of their names; one that does so
// in several ways is there as often.
func (i *Inventory) Dependents(name servicelevel.ServiceName) []Dependent {
	return i.dependents.of(name)
}

func nameOf(s *v1alpha1.Service) servicelevel.ServiceName {
	return servicelevel.ServiceName{Namespace: s.Namespace, Name: s.Name}
}

func (i *Inventory) putService(obj *v1alpha1.Service, n *news) {
	name := nameOf(obj)
	old, existed := i.services.get(name)
	before := i.objects.of(name)
	i.objects.put(name, obj)
	n.service(name)
	if existed && before != nil && before.UID == obj.UID && old.Generation == obj.Generation {
		return
	}
	next := prepareService(obj)
	i.services.put(name, next)
	i.declare(name, next)
	i.written.services.add(name.Namespace, name)
	// The new claims first: a request that comes in between must not find the workloads unclaimed.
	claims := i.written.claims[name]
	i.written.claims[name] = i.claim(next)
	i.unclaim(claims)
	i.depend(old, next, n)
	i.reclaimFor(name, next.Claims, n)
}

func (i *Inventory) removeService(obj *v1alpha1.Service, n *news) {
	name := nameOf(obj)
	old, existed := i.services.get(name)
	if !existed {
		return
	}
	i.services.remove(name)
	i.declare(name, nil)
	i.objects.remove(name)
	i.written.services.remove(name.Namespace, name)
	i.unclaim(i.written.claims[name])
	delete(i.written.claims, name)
	i.depend(old, nil, n)
	i.reclaimFor(name, nil, n)
	n.service(name)
}

// declare puts a Service, nil for none, in the place of the one of that name among those of its namespace.
func (i *Inventory) declare(name servicelevel.ServiceName, next *Service) {
	all := slices.DeleteFunc(slices.Clone(i.declared.of(name.Namespace)), func(s *Service) bool { return s.Name == name })
	if next != nil {
		all = append(all, next)
	}
	if len(all) == 0 {
		i.declared.remove(name.Namespace)
		return
	}
	i.declared.put(name.Namespace, all)
}

func prepareService(obj *v1alpha1.Service) *Service {
	s := &Service{Name: nameOf(obj), Generation: obj.Generation, Spec: obj.Spec, Claims: configuration.ClaimsOf(obj.Spec)}
	for _, d := range obj.Spec.DependsOn {
		on := servicelevel.ServiceName{Namespace: string(d.Namespace), Name: string(d.Name)}
		if on.Namespace == "" {
			on.Namespace = obj.Namespace
		}
		strength := d.Strength
		if strength == "" {
			strength = v1alpha1.DependencyHard
		}
		s.DependsOn = append(s.DependsOn, servicelevel.DependencyFacts{On: on, Strength: strength, Group: d.Group, Minimum: d.Minimum})
	}
	return s
}

func (i *Inventory) claim(s *Service) []*claim {
	claims := make([]*claim, 0, len(s.Claims))
	for place := range s.Claims {
		c := &claim{service: s, place: place}
		claims = append(claims, c)
		if key, named := c.name(); named {
			i.byName.put(key, append(slices.Clone(i.byName.of(key)), c))
		} else {
			i.bySelector.put(s.Name.Namespace, c.of().Selector, c)
		}
	}
	return claims
}

func (i *Inventory) unclaim(claims []*claim) {
	for _, c := range claims {
		key, named := c.name()
		if !named {
			i.bySelector.remove(c)
			continue
		}
		left := slices.DeleteFunc(slices.Clone(i.byName.of(key)), func(other *claim) bool { return other == c })
		if len(left) == 0 {
			i.byName.remove(key)
		} else {
			i.byName.put(key, left)
		}
	}
}

// depend keeps the dependents of what a Service depended on before and does now.
func (i *Inventory) depend(old, next *Service, n *news) {
	if old != nil {
		for _, d := range old.DependsOn {
			left := slices.DeleteFunc(slices.Clone(i.dependents.of(d.On)), func(x Dependent) bool { return x.Name == old.Name })
			if len(left) == 0 {
				i.dependents.remove(d.On)
			} else {
				i.dependents.put(d.On, left)
			}
			n.service(d.On)
		}
	}
	if next != nil {
		for _, d := range next.DependsOn {
			all := append(slices.Clone(i.dependents.of(d.On)), Dependent{Name: next.Name, Strength: d.Strength, Group: d.Group})
			slices.SortStableFunc(all, func(a, b Dependent) int { return a.Name.Compare(b.Name) })
			i.dependents.put(d.On, all)
			n.service(d.On)
		}
	}
}

// reclaimFor finds out anew who claims what a Service claimed before or claims now, after a person altered it.
func (i *Inventory) reclaimFor(name servicelevel.ServiceName, claims []configuration.Claim, n *news) {
	affected := map[configuration.Key]*workload{}
	for key := range i.written.members[name] {
		affected[key] = i.workloads.of(key)
	}
	if p, known := i.written.workloads[name.Namespace]; known {
		for _, c := range claims {
			p.claimed(c, affected)
		}
	}
	for key, old := range affected {
		next := &workload{Workload: old.Workload, claimants: i.claimantsOf(old.Workload)}
		i.replaceWorkload(next)
		i.reclaim(key, old.claimants, next.claimants, n)
		n.workload(key)
	}
}
