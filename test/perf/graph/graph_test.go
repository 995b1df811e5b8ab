// Package graph_test measures how health spreads from one workload over the dependencies of a large cluster.
package graph_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

const (
	// services of the largest cluster, with edgesOf dependencies each on average.
	services = 2000
	edgesOf  = 5
	// cell is so many services of which each depends on up to edgesOf of those before it. The first of a cell reaches
	// the cell; the rest of its dependencies are on services of the platform, which reach much of the cluster.
	cell     = 10
	platform = 10
)

// parts of the largest cluster that are measured beside it.
var parts = []int{4, 2, 1}

func name(n int) servicelevel.ServiceName {
	return servicelevel.ServiceName{Namespace: "shop", Name: fmt.Sprintf("service-%04d", n)}
}

// dependencies of service n of so many, edgesOf for each service in all: those of the platform, which come first, have
// none, and others make up for it.
func dependencies(n int) (on []int) {
	if n < platform {
		return nil
	}
	for place := n % cell; len(on) < edgesOf && len(on) < place; {
		on = append(on, n-1-len(on))
	}
	wanted := edgesOf
	if n < platform+platform*edgesOf {
		wanted++
	}
	for len(on) < wanted {
		on = append(on, (n/cell+len(on)*3)%platform)
	}
	return on
}

func node(n int, health v1alpha1.Health) servicelevel.ServiceNode {
	s := servicelevel.ServiceNode{Name: name(n), Own: servicelevel.OwnHealth{Health: health, Reason: string(health), Message: "as it is by itself"}}
	for _, d := range dependencies(n) {
		s.DependsOn = append(s.DependsOn, servicelevel.DependencyFacts{On: name(d), Strength: v1alpha1.DependencyHard, Minimum: 1})
	}
	return s
}

// nodes of so many services, all of them well but one; -1: all.
func nodes(count, out int) []servicelevel.ServiceNode {
	all := make([]servicelevel.ServiceNode, count)
	for n := range all {
		all[n] = node(n, v1alpha1.HealthOperational)
		if n == out {
			all[n] = node(n, v1alpha1.HealthOutage)
		}
	}
	return all
}

// graph of so many services, put in as a controller meets them.
func graph(count int) *servicelevel.Graph {
	g := servicelevel.NewGraph()
	for _, s := range nodes(count, -1) {
		g.Set(s)
	}
	return g
}

// filled is a graph whose services are computed all at once.
func filled(services []servicelevel.ServiceNode) *servicelevel.Graph {
	g := servicelevel.NewGraph()
	g.Fill(services)
	return g
}

// moved are the services of which something else is told when one of so many is out, by computing all twice.
func moved(count, out int) (names []servicelevel.ServiceName) {
	before, after := filled(nodes(count, -1)), filled(nodes(count, out))
	for n := range count {
		was, _ := before.Health(name(n))
		if is, _ := after.Health(name(n)); is != was {
			names = append(names, name(n))
		}
	}
	return names
}

// firstOfCell is one in the middle of the cluster that reaches its cell alone.
func firstOfCell(count int) int { return count / 2 / cell * cell }

// transition is one service going out and coming back; it returns how many were told otherwise, both times together.
func transition(g *servicelevel.Graph, n int) int {
	return len(g.Set(node(n, v1alpha1.HealthOutage))) + len(g.Set(node(n, v1alpha1.HealthOperational)))
}

// BenchmarkTransition measures what it costs that one service goes out and comes back, for one that reaches ten services
// whatever the size of the cluster and for one that reaches most of it, in a cluster and in one of half and of a quarter
// of its size; and the first of them to computing all services anew.
func BenchmarkTransition(b *testing.B) {
	limits := readThresholds(b)
	for what, origin := range map[string]func(count int) int{
		"ten": firstOfCell, "most": func(int) int { return 0 },
	} {
		b.Run(what, func(b *testing.B) {
			var graphs []*servicelevel.Graph
			reached, taken := make([]int, len(parts)), make([]samples, len(parts))
			for i, part := range parts {
				graphs = append(graphs, graph(services/part))
				reached[i] = len(moved(services/part, origin(services/part)))
			}
			var anew samples
			all := nodes(services, origin(services))
			for b.Loop() {
				for i, part := range parts {
					n := origin(services / part)
					begin := time.Now()
					told := transition(graphs[i], n)
					taken[i] = append(taken[i], time.Since(begin)/2)
					if told != 2*reached[i] {
						b.Fatalf("of %d services %d are told otherwise, want twice %d", services/part, told, reached[i])
					}
				}
				begin := time.Now()
				filled(all)
				anew = append(anew, time.Since(begin))
			}
			each := func(i int) float64 { return taken[i].median() / float64(reached[i]) }
			growth, share, reach := each(2)/each(0), taken[2].median()/anew.median(), float64(reached[2])/services
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(reached[2]), "reached")
			b.ReportMetric(taken[2].median(), "transition-ns")
			b.ReportMetric(each(2), "ns/reached")
			b.ReportMetric(each(1)/each(0), "growth/2x")
			b.ReportMetric(growth, "growth/4x")
			b.ReportMetric(share/reach, "share/reach")
			if growth > limits.Growth {
				b.Errorf("in a cluster four times as large, each service that is reached costs %.2f times as much; the threshold is %.2f", growth, limits.Growth)
			}
			if share/reach > limits.ShareToReach {
				b.Errorf("a transition that reaches %.4f of all costs %.4f of computing all anew; the threshold is %.1f times as much", reach, share, limits.ShareToReach)
			}
		})
	}
}

type thresholds struct {
	Growth           float64 `json:"growth"`
	ShareToReach     float64 `json:"shareToReach"`
	ControllerGrowth float64 `json:"controllerGrowth"`
	StartGrowth      float64 `json:"startGrowth"`
}

func readThresholds(tb testing.TB) thresholds {
	tb.Helper()
	data, err := os.ReadFile("thresholds.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	var t thresholds
	if err := yaml.UnmarshalStrict(data, &t); err != nil || slices.Contains([]float64{t.Growth, t.ShareToReach, t.ControllerGrowth, t.StartGrowth}, 0) {
		tb.Fatalf("thresholds %+v, error %v", t, err)
	}
	return t
}

// samples of one thing. Their median does not move when something else on the machine takes a turn.
type samples []time.Duration

func (s samples) median() float64 {
	slices.Sort(s)
	return float64(s[len(s)/2].Nanoseconds())
}
