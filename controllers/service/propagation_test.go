package service

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// One workload goes out among chains of services: those of its chain that depend on it are written, once each, nobody
// else is so much as asked for, and the same news again writes nothing. In test/perf/graph there are 2,000.
func TestOneTransitionWritesWhatItReaches(t *testing.T) {
	const chains, length, at = 6, 8, 3
	name := func(chain, n int) string { return fmt.Sprintf("service-%d-%d", chain, n) }
	workload := func(chain, n int, ready int32) client.Object {
		return builder.MakeDeployment("shop", name(chain, n)).Replicas(2).Status(2, 2, ready).Unstructured()
	}
	var objects []client.Object
	var all, want []string
	for chain := range chains {
		for n := range length {
			s := builder.MakeService("shop", name(chain, n)).Claim("Deployment", name(chain, n))
			if n > 0 {
				s.DependsOn("", name(chain, n-1), v1alpha1.DependencyHard)
			}
			objects = append(objects, s.Obj(), workload(chain, n, 2))
			all = append(all, name(chain, n))
			if chain == 2 && n >= at {
				want = append(want, name(chain, n))
			}
		}
	}
	c := newCluster(t, objects...)
	c.reconcile(all...)
	if c.writes != len(all) {
		t.Fatalf("%d writes for %d new Services", c.writes, len(all))
	}
	var news []string
	stop := c.r.Inventory.Subscribe(func(e inventory.Event) {
		if e.Service.Name != "" {
			news = append(news, e.Service.Name)
		}
	})
	defer stop()
	// settle reconciles as the queue would until nothing is asked for, and returns who was.
	settle := func() (asked []string) {
		for round := 0; len(news)+len(c.asked) > 0; round++ {
			if round > 100 {
				t.Fatalf("it does not end: %v, %v", news, c.asked)
			}
			next := news
			for _, q := range c.asked {
				next = append(next, q[len("shop/"):])
			}
			slices.Sort(next)
			news, c.asked = nil, nil
			next = slices.Compact(next)
			asked = append(asked, next...)
			for _, n := range next {
				before := c.writes
				status, _ := c.reconcile(n)
				if c.writes == before {
					news = slices.DeleteFunc(news, func(told string) bool { return told == n }) // reconcile puts it back as it is
				}
				if status.Health != v1alpha1.HealthOutage {
					t.Errorf("%s is %s", n, status.Health)
				}
			}
		}
		slices.Sort(asked)
		return slices.Compact(asked)
	}
	c.after(time.Minute)
	c.writes = 0
	for _, writes := range []int{len(want), 0} {
		c.put(workload(2, at, 0))
		asked := settle()
		if writes > 0 && !cmp.Equal(want, asked) {
			t.Errorf("asked for (-want +got):\n%s", cmp.Diff(want, asked))
		}
		if c.writes != writes {
			t.Errorf("%d writes, want %d", c.writes, writes)
		}
		c.writes = 0
	}
}
