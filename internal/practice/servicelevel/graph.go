package servicelevel

import (
	"cmp"
	"maps"
	"slices"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// ServiceName names a Service. It converts to and from types.NamespacedName.
type ServiceName struct {
	Namespace, Name string
}

func (n ServiceName) String() string { return n.Namespace + "/" + n.Name }

// Compare orders by namespace, then name.
func (n ServiceName) Compare(other ServiceName) int {
	return cmp.Or(cmp.Compare(n.Namespace, other.Namespace), cmp.Compare(n.Name, other.Name))
}

// DependencyFacts is one entry of spec.dependsOn with its namespace filled in.
type DependencyFacts struct {
	On       ServiceName
	Strength v1alpha1.DependencyStrength
	// Group joins dependencies that stand in for each other; empty: it stands alone.
	Group string
	// Minimum members of the group that must work; below 1 is 1. The greatest of the group's members counts, and
	// no more than all can be asked for.
	Minimum int32
}

// ServiceNode is a service as its health spreads: what it is by itself and what it needs.
type ServiceNode struct {
	Name      ServiceName
	Own       OwnHealth
	DependsOn []DependencyFacts
}

// Graph holds the services of a cluster and the health of each. It is the least fixed point: a service is out
// only for a reason that begins at some service's own workloads, so that services in a cycle cannot hold each
// other down. A change costs time linear in the edges that it reaches: those of the service and of all that
// depend on it, directly or not.
//
// An Unknown dependency takes nobody down; it is told in the dependents' condition. It is not safe for use by
// several goroutines.
type Graph struct {
	nodes map[ServiceName]*graphNode
	// dependents by what they depend on, which need not exist.
	dependents map[ServiceName]map[ServiceName]struct{}
}

type graphNode struct {
	service      ServiceNode
	requirements []requirement
	// of is where in requirements a dependency counts.
	of    map[ServiceName][]int
	level level
	// known: somebody observes it, or it runs on nothing of its own and enough of what it needs is known. Else nothing
	// tells how it is.
	known bool
	// cycle is the other services of a dependency cycle through this one, and itself.
	cycle  []ServiceName
	health ServiceHealth
}

// level is what a service does to its dependents.
type level int

const (
	levelUp level = iota
	levelImpaired
	levelOut
)

// requirement is one dependency, or a group of them, of which so many must work.
type requirement struct {
	strength v1alpha1.DependencyStrength
	group    string
	minimum  int
	members  []ServiceName
	// out and impaired count members; what is out is impaired too.
	out, impaired int
}

func (r requirement) isOut() bool      { return len(r.members)-r.out < r.minimum }
func (r requirement) isImpaired() bool { return len(r.members)-r.impaired < r.minimum }

// NewGraph returns a graph without services.
func NewGraph() *Graph {
	return &Graph{
		nodes:      map[ServiceName]*graphNode{},
		dependents: map[ServiceName]map[ServiceName]struct{}{},
	}
}

// Fill puts services into a graph that has none and computes how they are, in time linear in all their edges: by Set,
// each would be looked at anew for every one that it depends on.
func (g *Graph) Fill(services []ServiceNode) {
	region := make(map[ServiceName]struct{}, len(services))
	for _, service := range services {
		g.insert(service)
		region[service.Name] = struct{}{}
	}
	g.settle(region)
}

// Set adds or replaces a service and returns the services whose health, reason or message is another now, in
// order. The service itself is among them when it is new.
func (g *Graph) Set(service ServiceNode) []ServiceName {
	var told ServiceHealth
	if old, exists := g.nodes[service.Name]; exists {
		told = old.health
		sameEdges := slices.Equal(old.service.DependsOn, service.DependsOn)
		if sameEdges && old.service.Own == service.Own {
			return nil
		}
		if sameEdges && old.service.Own.Health == service.Own.Health && old.service.Own.Composite == service.Own.Composite {
			// Only how it is told differs: nobody else is affected.
			old.service = service
			return g.retell([]ServiceName{service.Name})
		}
		g.detach(service.Name)
	}
	g.insert(service)
	g.nodes[service.Name].health = told
	return g.settle(g.reach(service.Name))
}

// Remove takes a service out and returns the services whose health, reason or message is another now, in order.
func (g *Graph) Remove(name ServiceName) []ServiceName {
	if _, exists := g.nodes[name]; !exists {
		return nil
	}
	region := g.reach(name)
	g.detach(name)
	delete(region, name)
	return g.settle(region)
}

// Health returns what Set and Remove computed, and whether there is such a service.
func (g *Graph) Health(name ServiceName) (ServiceHealth, bool) {
	node, exists := g.nodes[name]
	if !exists {
		return ServiceHealth{}, false
	}
	return node.health, true
}

// Dependents are the services that depend on one directly, in order. The one need not exist.
func (g *Graph) Dependents(name ServiceName) []ServiceName {
	return slices.SortedFunc(maps.Keys(g.dependents[name]), ServiceName.Compare)
}

func (g *Graph) insert(service ServiceNode) {
	node := &graphNode{service: service, requirements: requirementsOf(service.DependsOn), of: map[ServiceName][]int{}}
	for i, r := range node.requirements {
		for _, member := range r.members {
			node.of[member] = append(node.of[member], i)
			if g.dependents[member] == nil {
				g.dependents[member] = map[ServiceName]struct{}{}
			}
			g.dependents[member][service.Name] = struct{}{}
		}
	}
	g.nodes[service.Name] = node
}

func (g *Graph) detach(name ServiceName) {
	for dependency := range g.nodes[name].of {
		delete(g.dependents[dependency], name)
		if len(g.dependents[dependency]) == 0 {
			delete(g.dependents, dependency)
		}
	}
	delete(g.nodes, name)
}

func requirementsOf(dependencies []DependencyFacts) []requirement {
	var requirements []requirement
	groups := map[string]int{}
	for _, d := range dependencies {
		i, joins := groups[d.Group]
		if d.Group == "" || !joins {
			i = len(requirements)
			requirements = append(requirements, requirement{strength: d.Strength, group: d.Group, minimum: 1})
			groups[d.Group] = i
		}
		r := &requirements[i]
		if !slices.Contains(r.members, d.On) {
			r.members = append(r.members, d.On)
		}
		if d.Strength == v1alpha1.DependencyHard {
			r.strength = v1alpha1.DependencyHard
		}
		r.minimum = max(r.minimum, int(d.Minimum))
	}
	for i := range requirements {
		requirements[i].minimum = min(requirements[i].minimum, len(requirements[i].members))
	}
	return requirements
}

// reach is a service and all that depend on it, directly or not.
func (g *Graph) reach(name ServiceName) map[ServiceName]struct{} {
	reached := map[ServiceName]struct{}{name: {}}
	for queue := []ServiceName{name}; len(queue) > 0; {
		next := queue[0]
		queue = queue[1:]
		for dependent := range g.dependents[next] {
			if _, seen := reached[dependent]; !seen {
				reached[dependent] = struct{}{}
				queue = append(queue, dependent)
			}
		}
	}
	return reached
}

// settle computes the least fixed point within a region that holds, with each service, all its dependents: what
// is outside does not depend on it and stays as it is.
func (g *Graph) settle(region map[ServiceName]struct{}) []ServiceName {
	for name := range region {
		node := g.nodes[name]
		node.level = levelUp
		for i := range node.requirements {
			node.requirements[i].out, node.requirements[i].impaired = 0, 0
		}
		for dependency := range node.of {
			if _, inside := region[dependency]; inside {
				continue
			}
			if other, exists := g.nodes[dependency]; exists {
				node.count(dependency, levelUp, other.level)
			}
		}
	}
	var queue []*graphNode
	raise := func(node *graphNode) {
		if to := node.evaluate(); to > node.level {
			queue = append(queue, node)
		}
	}
	for name := range region {
		raise(g.nodes[name])
	}
	for len(queue) > 0 {
		node := queue[0]
		queue = queue[1:]
		from := node.level
		if node.level = node.evaluate(); node.level == from {
			continue
		}
		for name := range g.dependents[node.service.Name] {
			dependent := g.nodes[name]
			dependent.count(node.service.Name, from, node.level)
			raise(dependent)
		}
	}
	g.settleKnown(region)
	names := slices.SortedFunc(maps.Keys(region), ServiceName.Compare)
	g.findCycles(names, region)
	return g.retell(names)
}

// settleKnown finds of which services within a region it is known how they are: the least fixed point, from those that
// are observed themselves, so that a cycle of services that run on nothing is not known.
func (g *Graph) settleKnown(region map[ServiceName]struct{}) {
	var queue []*graphNode
	learn := func(node *graphNode) {
		if !node.known && node.knowable(g) {
			node.known = true
			queue = append(queue, node)
		}
	}
	for name := range region {
		g.nodes[name].known = false
	}
	for name := range region {
		learn(g.nodes[name])
	}
	for len(queue) > 0 {
		node := queue[0]
		queue = queue[1:]
		for name := range g.dependents[node.service.Name] {
			if _, inside := region[name]; inside {
				learn(g.nodes[name])
			}
		}
	}
}

// knowable reports whether it is known how a service is, by what is known of others so far.
func (n *graphNode) knowable(g *Graph) bool {
	if !n.service.Own.Composite {
		return n.service.Own.Health != v1alpha1.HealthUnknown
	}
	if n.level == levelOut {
		return true
	}
	for _, r := range n.requirements {
		if r.strength != v1alpha1.DependencyHard {
			continue
		}
		known := 0
		for _, member := range r.members {
			if other, exists := g.nodes[member]; exists && other.known {
				known++
			}
		}
		if known < r.minimum {
			return false
		}
	}
	return slices.ContainsFunc(n.requirements, func(r requirement) bool {
		return slices.ContainsFunc(r.members, func(m ServiceName) bool { other, exists := g.nodes[m]; return exists && other.known })
	})
}

// count takes notice of a dependency that went from one level to a higher one.
func (n *graphNode) count(dependency ServiceName, from, to level) {
	for _, i := range n.of[dependency] {
		if from < levelImpaired && to >= levelImpaired {
			n.requirements[i].impaired++
		}
		if from < levelOut && to >= levelOut {
			n.requirements[i].out++
		}
	}
}

// evaluate is the level that a service's own health and its requirements come to.
func (n *graphNode) evaluate() level {
	own := levelUp
	switch n.service.Own.Health {
	case v1alpha1.HealthOutage:
		return levelOut
	case v1alpha1.HealthDegraded:
		own = levelImpaired
	case v1alpha1.HealthOperational, v1alpha1.HealthMaintenance, v1alpha1.HealthUnknown:
	}
	for _, r := range n.requirements {
		hard := r.strength == v1alpha1.DependencyHard
		switch {
		case hard && r.isOut():
			return levelOut
		case n.service.Own.Health == v1alpha1.HealthUnknown:
			// It may be worse than impaired: it stays Unknown, which takes nobody down.
		case r.isOut(), hard && r.isImpaired():
			own = levelImpaired
		}
	}
	return own
}

// retell says anew how services are, and returns those of which something else is said now.
func (g *Graph) retell(names []ServiceName) []ServiceName {
	var changed []ServiceName
	for _, name := range names {
		node := g.nodes[name]
		if told := g.tell(node); told != node.health {
			node.health = told
			changed = append(changed, name)
		}
	}
	return changed
}

// findCycles finds the strongly connected components within a region (Tarjan). A cycle through one of its
// services lies wholly in it.
func (g *Graph) findCycles(names []ServiceName, region map[ServiceName]struct{}) {
	type visit struct{ index, low int }
	var (
		visits  = make(map[ServiceName]*visit, len(region))
		stack   []ServiceName
		connect func(name ServiceName) *visit
	)
	connect = func(name ServiceName) *visit {
		v := &visit{index: len(visits), low: len(visits)}
		visits[name] = v
		position := len(stack)
		stack = append(stack, name)
		selfish := false
		for dependency := range g.nodes[name].of {
			if _, inside := region[dependency]; !inside {
				continue
			}
			selfish = selfish || dependency == name
			if other, seen := visits[dependency]; !seen {
				v.low = min(v.low, connect(dependency).low)
			} else {
				// A component that is finished has low = infinity and changes nothing.
				v.low = min(v.low, other.low)
			}
		}
		if v.low < v.index {
			return v
		}
		component := slices.SortedFunc(slices.Values(stack[position:]), ServiceName.Compare)
		stack = stack[:position]
		if len(component) == 1 && !selfish {
			component = nil
		}
		for _, member := range component {
			g.nodes[member].cycle = component
		}
		if component == nil {
			g.nodes[name].cycle = nil
		}
		finish := component
		if finish == nil {
			finish = []ServiceName{name}
		}
		for _, member := range finish {
			visits[member].low = finished
		}
		return v
	}
	for _, name := range names {
		if _, seen := visits[name]; !seen {
			connect(name)
		}
	}
}

// finished is greater than every index.
const finished = int(^uint(0) >> 1)
