package servicelevel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// propagate computes the health of all services at once.
func propagate(services []ServiceNode) map[ServiceName]ServiceHealth {
	graph := NewGraph()
	graph.Fill(services)
	healths := make(map[ServiceName]ServiceHealth, len(services))
	for name, node := range graph.nodes {
		healths[name] = node.health
	}
	return healths
}

func svc(name string) ServiceName { return ServiceName{Namespace: "shop", Name: name} }

// service has a health of its own and dependencies written as "ledger" (hard), "mail?" (soft) or
// "cache-a@cache:1" (member of the group cache, minimum 1).
func service(name string, health v1alpha1.Health, dependencies ...string) ServiceNode {
	own := OwnHealth{Health: health, Reason: string(health), Message: "own"}
	node := ServiceNode{Name: svc(name), Own: own}
	for _, text := range dependencies {
		d := DependencyFacts{Strength: v1alpha1.DependencyHard}
		if soft, isSoft := strings.CutSuffix(text, "?"); isSoft {
			d.Strength, text = v1alpha1.DependencySoft, soft
		}
		name, group, grouped := strings.Cut(text, "@")
		d.On = svc(name)
		if grouped {
			d.Group, text, _ = strings.Cut(group, ":")
			if _, err := fmt.Sscan(text, &d.Minimum); err != nil {
				panic(err)
			}
		}
		node.DependsOn = append(node.DependsOn, d)
	}
	return node
}

const (
	up       = v1alpha1.HealthOperational
	degraded = v1alpha1.HealthDegraded
	outage   = v1alpha1.HealthOutage
	unknown  = v1alpha1.HealthUnknown
)

// composite runs on nothing of its own.
func composite(name string, dependencies ...string) ServiceNode {
	node := service(name, up, dependencies...)
	node.Own.Composite = true
	return node
}

// TestComposites: a service that runs on nothing is as what it needs is, also where that is not known.
func TestComposites(t *testing.T) {
	for name, test := range map[string]struct {
		services []ServiceNode
		want     v1alpha1.Health // of a
	}{
		"all is well":                         {[]ServiceNode{composite("a", "b", "c"), service("b", up), service("c", up)}, up},
		"one is out":                          {[]ServiceNode{composite("a", "b", "c"), service("b", outage), service("c", unknown)}, outage},
		"one is degraded":                     {[]ServiceNode{composite("a", "b"), service("b", degraded)}, degraded},
		"one is not known":                    {[]ServiceNode{composite("a", "b", "c"), service("b", up), service("c", unknown)}, unknown},
		"one does not exist":                  {[]ServiceNode{composite("a", "b", "c"), service("b", up)}, unknown},
		"enough of a group is known":          {[]ServiceNode{composite("a", "b@g:1", "c@g:1"), service("b", up), service("c", unknown)}, up},
		"too little of a group is known":      {[]ServiceNode{composite("a", "b@g:2", "c@g:2"), service("b", up), service("c", unknown)}, unknown},
		"what it does not need is not known":  {[]ServiceNode{composite("a", "b", "c?"), service("b", up), service("c", unknown)}, up},
		"nothing that it may use is known":    {[]ServiceNode{composite("a", "c?"), service("c", unknown)}, unknown},
		"through another":                     {[]ServiceNode{composite("a", "b"), composite("b", "c"), service("c", unknown)}, unknown},
		"a cycle that runs on nothing":        {[]ServiceNode{composite("a", "b"), composite("b", "a")}, unknown},
		"a cycle that runs on something":      {[]ServiceNode{composite("a", "b"), service("b", up, "a")}, up},
		"one that runs on something is known": {[]ServiceNode{service("a", up, "b"), service("b", unknown)}, up},
	} {
		t.Run(name, func(t *testing.T) {
			if got := propagate(test.services)[svc("a")]; got.Shown != test.want {
				t.Errorf("%s (%s), want %s", got.Shown, got.Message, test.want)
			}
			// Whatever the order in which they come, and when the last one goes and comes again.
			g := NewGraph()
			for _, s := range slices.Backward(test.services) {
				g.Set(s)
			}
			last := test.services[len(test.services)-1]
			g.Remove(last.Name)
			g.Set(last)
			if got, _ := g.Health(svc("a")); got.Shown != test.want {
				t.Errorf("one after the other: %s (%s), want %s", got.Shown, got.Message, test.want)
			}
		})
	}
}

func TestPropagate(t *testing.T) {
	for name, test := range map[string]struct {
		services []ServiceNode
		want     map[string]v1alpha1.Health
	}{
		"hard dependency out": {
			[]ServiceNode{service("a", up, "b"), service("b", up, "c"), service("c", outage)},
			map[string]v1alpha1.Health{"a": outage, "b": outage, "c": outage},
		},
		"hard dependency degraded": {
			[]ServiceNode{service("a", up, "b"), service("b", degraded)},
			map[string]v1alpha1.Health{"a": degraded, "b": degraded},
		},
		"soft dependency out": {
			[]ServiceNode{service("a", up, "b?"), service("b", outage)},
			map[string]v1alpha1.Health{"a": degraded, "b": outage},
		},
		"soft dependency degraded": {
			[]ServiceNode{service("a", up, "b?"), service("b", degraded)},
			map[string]v1alpha1.Health{"a": up, "b": degraded},
		},
		"unknown takes nobody down": {
			[]ServiceNode{service("a", up, "b"), service("b", unknown)},
			map[string]v1alpha1.Health{"a": up, "b": unknown},
		},
		"an unknown service with a dependency out is out": {
			[]ServiceNode{service("a", up, "b"), service("b", unknown, "c"), service("c", outage)},
			map[string]v1alpha1.Health{"a": outage, "b": outage, "c": outage},
		},
		"an unknown service with a dependency degraded is unknown": {
			[]ServiceNode{service("a", unknown, "b"), service("b", degraded)},
			map[string]v1alpha1.Health{"a": unknown, "b": degraded},
		},
		"not found takes nobody down": {
			[]ServiceNode{service("a", up, "gone")},
			map[string]v1alpha1.Health{"a": up},
		},
		"a cycle does not hold itself down": {
			[]ServiceNode{service("a", up, "b"), service("b", up, "a")},
			map[string]v1alpha1.Health{"a": up, "b": up},
		},
		"an outage goes round a cycle": {
			[]ServiceNode{service("a", up, "b"), service("b", up, "c"), service("c", outage, "a")},
			map[string]v1alpha1.Health{"a": outage, "b": outage, "c": outage},
		},
		"a group with enough members": {
			[]ServiceNode{service("a", up, "x@cache:1", "y@cache:1"), service("x", outage), service("y", up)},
			map[string]v1alpha1.Health{"a": up, "x": outage, "y": up},
		},
		"a group below its minimum": {
			[]ServiceNode{service("a", up, "x@cache:2", "y@cache:0", "z@cache:0"), service("x", outage), service("y", up), service("z", outage)},
			map[string]v1alpha1.Health{"a": outage, "x": outage, "y": up, "z": outage},
		},
		"a group with too few that work well": {
			[]ServiceNode{service("a", up, "x@cache:1", "y@cache:1"), service("x", outage), service("y", degraded)},
			map[string]v1alpha1.Health{"a": degraded, "x": outage, "y": degraded},
		},
		"a soft group below its minimum": {
			[]ServiceNode{service("a", up, "x@cache:1?", "y@cache:1?"), service("x", outage), service("y", outage)},
			map[string]v1alpha1.Health{"a": degraded, "x": outage, "y": outage},
		},
		"a minimum that no group can reach is all of it": {
			[]ServiceNode{service("a", up, "x@cache:9"), service("x", up)},
			map[string]v1alpha1.Health{"a": up, "x": up},
		},
		"a dependency named twice is one member": {
			[]ServiceNode{service("a", up, "x@cache:2", "x@cache:2"), service("x", outage)},
			map[string]v1alpha1.Health{"a": outage, "x": outage},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]v1alpha1.Health{}
			for name, health := range propagate(test.services) {
				got[name.Name] = health.Health
				if health.Shown != health.Health || health.Reason != string(health.Health) {
					t.Errorf("%s is shown as %s with reason %s, want %s", name, health.Shown, health.Reason, health.Health)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	none := DependenciesHealth{Status: metav1.ConditionTrue, Reason: ReasonNoDependencies, Message: "it depends on nothing"}
	for name, test := range map[string]struct {
		services []ServiceNode
		want     ServiceHealth
	}{
		"out by dependencies": {
			[]ServiceNode{service("a", up, "b", "c", "m?"), service("b", outage), service("c", degraded), service("m", outage)},
			ServiceHealth{
				Health: outage, Shown: outage, Reason: "Outage", Message: "hard dependency shop/b is out",
				Dependencies: DependenciesHealth{Status: metav1.ConditionFalse, Reason: ReasonDependencyDown, Message: "out: shop/b; shop/m"},
			},
		},
		"degraded by a group and a soft one": {
			[]ServiceNode{service("a", up, "x@cache:2", "y@cache:2", "m?"), service("x", degraded), service("y", up), service("m", outage)},
			ServiceHealth{
				Health: degraded, Shown: degraded, Reason: "Degraded",
				Message:      "hard dependency group cache: 1 of 2 are degraded, minimum 2 working; soft dependency shop/m is out",
				Dependencies: DependenciesHealth{Status: metav1.ConditionFalse, Reason: ReasonDependencyDown, Message: "out: shop/m"},
			},
		},
		"not found": {
			[]ServiceNode{service("a", up, "gone", "dark"), service("dark", unknown)},
			ServiceHealth{
				Health: up, Shown: up, Reason: "Operational", Message: "own",
				Dependencies: DependenciesHealth{
					Status: metav1.ConditionUnknown, Reason: ReasonDependencyNotFound,
					Message: "there is no Service shop/gone: correct spec.dependsOn, or create it",
				},
			},
		},
		"unknown": {
			[]ServiceNode{service("a", up, "dark"), service("dark", unknown)},
			ServiceHealth{
				Health: up, Shown: up, Reason: "Operational", Message: "own",
				Dependencies: DependenciesHealth{
					Status: metav1.ConditionUnknown, Reason: ReasonDependencyUnknown, Message: "not known how they are: shop/dark",
				},
			},
		},
		"cycle": {
			[]ServiceNode{service("a", up, "b"), service("b", up, "a")},
			ServiceHealth{
				Health: up, Shown: up, Reason: "Operational", Message: "own",
				Dependencies: DependenciesHealth{
					Status: metav1.ConditionTrue, Reason: ReasonAllHealthy,
					Message: "no dependency is out; it is part of a dependency cycle: shop/a; shop/b",
				},
			},
		},
		"depends on itself": {
			[]ServiceNode{service("a", up, "a")},
			ServiceHealth{
				Health: up, Shown: up, Reason: "Operational", Message: "own",
				Dependencies: DependenciesHealth{
					Status: metav1.ConditionTrue, Reason: ReasonAllHealthy,
					Message: "no dependency is out; it is part of a dependency cycle: shop/a",
				},
			},
		},
		"depends on a cycle": {
			[]ServiceNode{service("a", up, "b"), service("b", up, "c"), service("c", up, "b")},
			ServiceHealth{
				Health: up, Shown: up, Reason: "Operational", Message: "own",
				Dependencies: DependenciesHealth{Status: metav1.ConditionTrue, Reason: ReasonAllHealthy, Message: "no dependency is out"},
			},
		},
		"no workloads": {
			[]ServiceNode{{Name: svc("a"), Own: AssessOwn(OwnFacts{})}},
			ServiceHealth{
				Health: unknown, Shown: unknown, Reason: ReasonNoWorkloads,
				Message: "it claims no workload: name them in spec.workloads", Dependencies: none,
			},
		},
		"maintenance": {
			[]ServiceNode{{Name: svc("a"), Own: OwnHealth{Health: outage, Reason: "Outage", Message: "own", Planned: true}}},
			ServiceHealth{
				Health: outage, Shown: v1alpha1.HealthMaintenance, Reason: "Maintenance",
				Message: "own (planned: an implementing Change declared it)", Dependencies: none,
			},
		},
		"maintenance excuses no dependency": {
			[]ServiceNode{
				{
					Name: svc("a"), Own: OwnHealth{Health: outage, Reason: "Outage", Message: "own", Planned: true},
					DependsOn: service("", up, "b").DependsOn,
				},
				service("b", outage),
			},
			ServiceHealth{
				Health: outage, Shown: outage, Reason: "Outage", Message: "own",
				Dependencies: DependenciesHealth{Status: metav1.ConditionFalse, Reason: ReasonDependencyDown, Message: "out: shop/b"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, propagate(test.services)[svc("a")]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestGraphFollowsChanges alters random graphs step by step and compares each step with the slow oracle, and what
// Set and Remove report as changed with what is different.
func TestGraphFollowsChanges(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		graph, services, before := NewGraph(), map[ServiceName]ServiceNode{}, map[ServiceName]ServiceHealth{}
		for step := range 40 {
			name := fmt.Sprint(random.IntN(8))
			var changed []ServiceName
			if random.IntN(6) == 0 {
				delete(services, svc(name))
				changed = graph.Remove(svc(name))
			} else {
				node := randomService(random, name)
				services[node.Name] = node
				changed = graph.Set(node)
			}
			after := map[ServiceName]ServiceHealth{}
			want := slowHealth(services)
			for name := range services {
				after[name], _ = graph.Health(name)
				if after[name].Health != want[name] {
					t.Fatalf("seed %d step %d: %s is %s, want %s", seed, step, name, after[name].Health, want[name])
				}
				if inCycle := strings.Contains(after[name].Dependencies.Message, "cycle"); inCycle != reaches(services, name, name) {
					t.Fatalf("seed %d step %d: %s is told to be in a cycle: %t", seed, step, name, inCycle)
				}
			}
			var different []ServiceName
			for name := range after {
				if after[name] != before[name] {
					different = append(different, name)
				}
			}
			slices.SortFunc(different, ServiceName.Compare)
			if diff := cmp.Diff(different, changed); diff != "" {
				t.Fatalf("seed %d step %d: what changed (-want +got):\n%s", seed, step, diff)
			}
			var nodes []ServiceNode
			for _, node := range services {
				nodes = append(nodes, node)
			}
			if diff := cmp.Diff(after, propagate(nodes)); diff != "" {
				t.Fatalf("seed %d step %d: all at once they are otherwise (-graph +propagate):\n%s", seed, step, diff)
			}
			before = after
		}
	}
}

func randomService(random *rand.Rand, name string) ServiceNode {
	var dependencies []string
	for range random.IntN(4) {
		dependency := fmt.Sprint(random.IntN(8))
		if random.IntN(3) == 0 {
			dependency += fmt.Sprintf("@%s:%d", []string{"x", "y"}[random.IntN(2)], random.IntN(4))
		}
		if random.IntN(3) == 0 {
			dependency += "?"
		}
		dependencies = append(dependencies, dependency)
	}
	return service(name, []v1alpha1.Health{up, up, up, degraded, outage, unknown}[random.IntN(6)], dependencies...)
}

// slowHealth applies the rules of the documentation to all services until nothing changes.
func slowHealth(services map[ServiceName]ServiceNode) map[ServiceName]v1alpha1.Health {
	health := map[ServiceName]v1alpha1.Health{}
	for name, node := range services {
		health[name] = node.Own.Health
	}
	for again := true; again; {
		again = false
		for name, node := range services {
			if now := slowStep(node, health); now != health[name] {
				health[name], again = now, true
			}
		}
	}
	return health
}

func slowStep(node ServiceNode, health map[ServiceName]v1alpha1.Health) v1alpha1.Health {
	result := node.Own.Health
	for _, d := range node.DependsOn {
		members, hard, minimum := map[ServiceName]bool{d.On: true}, d.Strength == v1alpha1.DependencyHard, 1
		if d.Group != "" {
			for _, other := range node.DependsOn {
				if other.Group == d.Group {
					members[other.On] = true
					hard = hard || other.Strength == v1alpha1.DependencyHard
					minimum = max(minimum, int(other.Minimum))
				}
			}
		}
		working, well := 0, 0
		for member := range members {
			if health[member] != outage {
				working++
				if health[member] != degraded {
					well++
				}
			}
		}
		minimum = min(minimum, len(members))
		switch {
		case hard && working < minimum:
			return outage
		case node.Own.Health == up && (working < minimum || hard && well < minimum):
			result = degraded
		}
	}
	return result
}

func reaches(services map[ServiceName]ServiceNode, from, to ServiceName) bool {
	seen := map[ServiceName]bool{}
	var walk func(ServiceName) bool
	walk = func(at ServiceName) bool {
		for _, d := range services[at].DependsOn {
			if _, exists := services[d.On]; !exists || seen[d.On] {
				continue
			}
			if d.On == to {
				return true
			}
			seen[d.On] = true
			if walk(d.On) {
				return true
			}
		}
		return false
	}
	return walk(from)
}

func TestDependents(t *testing.T) {
	graph := NewGraph()
	graph.Set(service("b", up, "ledger"))
	graph.Set(service("a", up, "ledger", "mail"))
	want := []ServiceName{svc("a"), svc("b")}
	if diff := cmp.Diff(want, graph.Dependents(svc("ledger"))); diff != "" {
		t.Errorf("dependents of ledger (-want +got):\n%s", diff)
	}
	graph.Set(service("a", up, "mail"))
	graph.Remove(svc("b"))
	if got := graph.Dependents(svc("ledger")); len(got) != 0 {
		t.Errorf("dependents of ledger: %v, want none", got)
	}
	if changed := graph.Set(service("a", up, "mail")); changed != nil {
		t.Errorf("the same again changed %v", changed)
	}
}

// BenchmarkGraphSet alters one service at the top of a graph of 2,000 with 4 dependencies each, and one on which
// half of them rest.
func BenchmarkGraphSet(b *testing.B) {
	graph := NewGraph()
	const count = 2000
	for i := range count {
		var dependencies []string
		for j := 1; j <= 4 && i > 0; j++ {
			dependencies = append(dependencies, fmt.Sprint(max(0, i-j*j*7)))
		}
		graph.Set(service(fmt.Sprint(i), up, dependencies...))
	}
	for name, at := range map[string]int{"top": count - 1, "middle": count / 2} {
		b.Run(name, func(b *testing.B) {
			node := graph.nodes[svc(fmt.Sprint(at))].service
			for b.Loop() {
				node.Own.Health = outage
				graph.Set(node)
				node.Own.Health = up
				graph.Set(node)
			}
		})
	}
}
