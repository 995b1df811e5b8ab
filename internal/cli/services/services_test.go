package services

import (
	"bytes"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

var now = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

func well(s *builder.Service, health v1alpha1.Health, incidents int32) v1alpha1.Service {
	out := s.Obj()
	since := metav1.NewTime(now.Add(-3 * time.Hour))
	out.Status = v1alpha1.ServiceStatus{Health: health, HealthSince: &since, Ready: "2/3", OpenIncidents: incidents, OpenChanges: 1}
	out.Status.Workloads = []v1alpha1.ServiceWorkload{{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(out.Name), Ready: 2, Desired: 3}}
	return *out
}

func shop() []v1alpha1.Service {
	const hard, soft = v1alpha1.DependencyHard, v1alpha1.DependencySoft
	cached := well(builder.MakeService("shop", "cached").Tier(2), v1alpha1.HealthMaintenance, 0)
	for _, name := range []v1alpha1.ObjectName{"cache-a", "cache-b"} {
		cached.Spec.DependsOn = append(cached.Spec.DependsOn, v1alpha1.Dependency{Name: name, Group: "cache", Strength: hard})
	}
	noted := well(builder.MakeService("shop", "search"), v1alpha1.HealthOperational, 0)
	noted.Status.NextStep = "claim a workload\x1b[2J"
	return []v1alpha1.Service{
		well(builder.MakeService("shop", "storefront").Tier(1).DependsOn("", "checkout", hard).DependsOn("", "search", soft).DependsOn("", "cached", hard), v1alpha1.HealthDegraded, 1),
		well(builder.MakeService("shop", "checkout").Tier(1).DependsOn("finance", "ledger", hard).DependsOn("", "cached", hard).DependsOn("", "gone", hard).DependsOn("vault", "keys", hard), v1alpha1.HealthDegraded, 1),
		well(builder.MakeService("finance", "ledger").DependsOn("shop", "checkout", soft), v1alpha1.HealthOutage, 2),
		noted, cached,
		well(builder.MakeService("shop", "cache-a"), v1alpha1.HealthOperational, 0),
		*builder.MakeService("shop", "cache-b").Obj(),
		well(builder.MakeService("shop", "ring-a").DependsOn("", "ring-b", hard), v1alpha1.HealthOperational, 0),
		well(builder.MakeService("shop", "ring-b").DependsOn("", "ring-a", hard), v1alpha1.HealthOperational, 0),
		well(builder.MakeService("shop", "self").DependsOn("", "self", hard), v1alpha1.HealthOperational, 0),
	}
}

func TestTree(t *testing.T) {
	agreements := []v1alpha1.ServiceLevelAgreement{agreement("gold", "checkout", "71.2"), agreement("silver", "checkout", "8.5"), agreement("odd", "search", "")}
	for name, test := range map[string]struct {
		view  view
		roots []session.Ref
	}{
		"of a namespace": {view: view{now: now, namespace: "shop"}},
		"of all":         {view: view{now: now, wide: true}},
		"of one":         {view: view{now: now, namespace: "shop"}, roots: []session.Ref{{Namespace: "shop", Name: "checkout"}}},
	} {
		t.Run(name, func(t *testing.T) {
			items := shop()
			f := newForest(items)
			f.lost[session.Ref{Namespace: "shop", Name: "gone"}] = notFound
			f.lost[session.Ref{Namespace: "vault", Name: "keys"}] = unreadable
			if missing := f.missing(); len(missing) > 0 {
				t.Errorf("missing %v", missing)
			}
			refs := make([]session.Ref, 0, len(items))
			for i := range items {
				refs = append(refs, refOf(&items[i]))
			}
			var lines []line
			if test.roots != nil {
				lines = f.growFrom(test.roots)
			} else {
				lines = f.growAll(refs)
			}
			test.view.budgets = budgetsOf(agreements)
			var out bytes.Buffer
			if err := test.view.table(lines).Write(&out, screen.Palette{}); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, out.String())
		})
	}
}

func agreement(name, service, left string) v1alpha1.ServiceLevelAgreement {
	return v1alpha1.ServiceLevelAgreement{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec:       v1alpha1.ServiceLevelAgreementSpec{ServiceRef: v1alpha1.LocalReference{Name: v1alpha1.ObjectName(service)}},
		Status:     v1alpha1.ServiceLevelAgreementStatus{CurrentPeriod: &v1alpha1.PeriodFigures{ErrorBudgetRemaining: left}},
	}
}

// Every service is drawn, and with all that it depends on exactly once, whatever depends on what.
func TestTreeDrawsEverythingOnce(t *testing.T) {
	const n = 4
	refs := make([]session.Ref, n)
	for i := range refs {
		refs[i] = session.Ref{Namespace: "shop", Name: string(rune('a' + i))}
	}
	for edges := range 1 << (n * n) {
		items := make([]v1alpha1.Service, n)
		for i := range items {
			s := builder.MakeService("shop", refs[i].Name)
			for j := range n {
				if edges>>(i*n+j)&1 == 1 {
					s.DependsOn("", refs[j].Name, v1alpha1.DependencyHard)
				}
			}
			items[i] = *s.Obj()
		}
		lines := newForest(items).growAll(refs)
		drawn := map[session.Ref]int{}
		for _, l := range lines {
			if l.mark == shownHere && (len(l.service.Spec.DependsOn) > 0 || drawn[l.ref] == 0) {
				drawn[l.ref]++
			}
		}
		for _, ref := range refs {
			if drawn[ref] != 1 {
				t.Fatalf("world %d: %s is drawn %d times", edges, ref.Name, drawn[ref])
			}
		}
	}
}
