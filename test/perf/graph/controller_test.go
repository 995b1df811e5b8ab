package graph_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/service"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// cluster is the service controller over an inventory and a client that hold the same Services. A status that is written
// is in the inventory at once, as a watch would bring it.
type cluster struct {
	b          *testing.B
	count      int
	reconciler *service.Reconciler
	clock      *clocktesting.FakePassiveClock
	wrote      []servicelevel.ServiceName
	// started is how long the first Reconcile took, which fills the graph.
	started time.Duration
}

func newCluster(b *testing.B, count int) *cluster {
	b.Helper()
	c := &cluster{b: b, count: count, clock: clocktesting.NewFakePassiveClock(builder.Epoch.Add(time.Hour))}
	kube := fake.NewClientBuilder().WithScheme(scheme.New()).WithStatusSubresource(&v1alpha1.Service{}).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, k client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				if err := k.SubResource(sub).Patch(ctx, o, p, opts...); err != nil {
					return err
				}
				c.wrote = append(c.wrote, servicelevel.ServiceName{Namespace: o.GetNamespace(), Name: o.GetName()})
				c.reconciler.Inventory.Put(o.DeepCopyObject().(client.Object))
				return nil
			},
		}).Build()
	c.reconciler = &service.Reconciler{Client: kube, Inventory: inventory.New(), Clock: c.clock}
	for n := range count {
		s := builder.MakeService("shop", name(n).Name).Claim("Deployment", name(n).Name)
		for _, d := range dependencies(n) {
			s.DependsOn("", name(d).Name, v1alpha1.DependencyHard)
		}
		stored := s.Obj()
		must(b, kube.Create(b.Context(), stored))
		c.reconciler.Inventory.Put(stored)
		c.workload(n, 2)
	}
	begin := time.Now()
	c.reconcile(name(0))
	c.started = time.Since(begin)
	c.reconcileAll()
	if len(c.wrote) != count {
		b.Fatalf("%d writes for %d new Services", len(c.wrote), count)
	}
	return c
}

// workload of a service, with so many of two pods ready.
func (c *cluster) workload(n int, ready int32) {
	c.reconciler.Inventory.Put(builder.MakeDeployment("shop", name(n).Name).Replicas(2).Status(2, 2, ready).Unstructured())
}

func (c *cluster) reconcile(names ...servicelevel.ServiceName) {
	c.b.Helper()
	for _, n := range names {
		_, err := c.reconciler.Reconcile(c.b.Context(), ctrl.Request{NamespacedName: types.NamespacedName(n)})
		must(c.b, err)
	}
}

func (c *cluster) reconcileAll() {
	c.b.Helper()
	for n := range c.count {
		c.reconcile(name(n))
	}
}

// expect that the status of these, and of no other Service, was written since it was asked last, once each.
func (c *cluster) expect(when string, want []servicelevel.ServiceName) {
	c.b.Helper()
	slices.SortFunc(c.wrote, servicelevel.ServiceName.Compare)
	if !slices.Equal(c.wrote, want) {
		c.b.Fatalf("%s, of %d Services: wrote %v, want %v", when, c.count, c.wrote, want)
	}
	c.wrote = nil
}

// fail a workload and let it come back, and return how long it took from the news that it is out until all statuses
// that follow from it are written.
func (c *cluster) fail(n int, reached []servicelevel.ServiceName) time.Duration {
	c.b.Helper()
	c.wrote = nil
	rest := slices.DeleteFunc(slices.Clone(reached), func(r servicelevel.ServiceName) bool { return r == name(n) })
	c.clock.SetTime(c.clock.Now().Add(time.Minute))
	begin := time.Now()
	c.workload(n, 0)
	c.reconcile(name(n))
	c.reconcile(rest...)
	took := time.Since(begin)
	c.reconcileAll() // whoever else is asked for, nothing is left to be said
	c.expect("when it is out", reached)
	c.workload(n, 0)
	c.reconcileAll()
	c.expect("at the same news again", nil)

	c.clock.SetTime(c.clock.Now().Add(time.Minute))
	c.workload(n, 2)
	c.reconcile(name(n))
	c.clock.SetTime(c.clock.Now().Add(service.DefaultRecoveryHold))
	c.wrote = nil // it said that it recovers
	c.reconcile(name(n))
	c.reconcileAll()
	c.expect("when it is back", reached)
	return took
}

// BenchmarkController measures how long it takes from the news that a workload is out until all statuses that follow from
// it are written, and that no other status is: in a cluster and in one of half and of a quarter of its size; and how long
// the first Reconcile takes, before which nothing is known.
func BenchmarkController(b *testing.B) {
	limits := readThresholds(b)
	var clusters []*cluster
	reached, taken := make([][]servicelevel.ServiceName, len(parts)), make([]samples, len(parts))
	for i, part := range parts {
		clusters = append(clusters, newCluster(b, services/part))
		reached[i] = moved(services/part, firstOfCell(services/part))
	}
	for b.Loop() {
		for i, c := range clusters {
			taken[i] = append(taken[i], c.fail(firstOfCell(c.count), reached[i]))
		}
	}
	growth := taken[2].median() / taken[0].median()
	start := clusters[2].started.Seconds() / clusters[0].started.Seconds() / float64(parts[0])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(reached[2])), "writes")
	b.ReportMetric(taken[2].median()/1e6, "transition-ms")
	b.ReportMetric(taken[2].median()/taken[1].median(), "growth/2x")
	b.ReportMetric(growth, "growth/4x")
	b.ReportMetric(clusters[2].started.Seconds()*1e3, "start-ms")
	b.ReportMetric(start, "start-growth/4x")
	if growth > limits.ControllerGrowth {
		b.Errorf("in a cluster four times as large, the same transition takes %.2f times as long; the threshold is %.2f", growth, limits.ControllerGrowth)
	}
	if start > limits.StartGrowth {
		b.Errorf("in a cluster four times as large, the first Reconcile takes %.2f times as long for each Service; the threshold is %.2f", start, limits.StartGrowth)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
