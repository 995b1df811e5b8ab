package inventory_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var (
	worldApps     = []string{"a", "b", "c"}
	worldServices = []string{"s1", "s2", "s3"}
	worldChanges  = []string{"c", "c-2", "d"}
)

// anyObject makes a random version of one of a few objects.
func anyObject(r *rand.Rand, generation int64) client.Object {
	app := worldApps[r.IntN(len(worldApps))]
	enforcements := []v1alpha1.Enforcement{"", "Enforce", "Warn", "Disabled"}
	switch r.IntN(9) {
	case 0, 1:
		d := builder.MakeDeployment("shop", worldApps[r.IntN(len(worldApps))]).TemplateLabel("app", app).Status(1, int32(r.IntN(2)), 1)
		if r.IntN(2) == 0 {
			d.TemplateLabel("more", "x")
		}
		obj := d.Obj()
		obj.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
		if r.IntN(3) == 0 {
			obj.Spec.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{app, "zz"}}, {Key: "less", Operator: metav1.LabelSelectorOpDoesNotExist},
			}}
		}
		return builder.Unstructured(obj, builder.GroupVersionKind("Deployment"))
	case 2, 3:
		s := builder.MakeService("shop", worldServices[r.IntN(len(worldServices))]).Tier(int32(1 + r.IntN(4)))
		if e := enforcements[r.IntN(len(enforcements))]; e != "" {
			s.Enforcement(e)
		}
		for range r.IntN(3) {
			if r.IntN(2) == 0 {
				s.Claim("Deployment", worldApps[r.IntN(len(worldApps))])
			} else {
				s.ClaimApp([]v1alpha1.WorkloadKind{"", "Deployment", "Job"}[r.IntN(3)], worldApps[r.IntN(len(worldApps))])
			}
		}
		for range r.IntN(3) {
			s.DependsOn("", worldServices[r.IntN(len(worldServices))], "Hard")
		}
		obj := s.Obj()
		obj.Generation = generation
		if len(obj.Spec.Workloads) > 0 && r.IntN(3) == 0 {
			obj.Spec.Workloads[0] = v1alpha1.WorkloadClaim{Selector: &v1alpha1.LabelSelector{MatchExpressions: []v1alpha1.LabelSelectorRequirement{{Key: "more", Operator: "Exists"}}}}
		}
		return obj
	case 4:
		c := builder.MakeChange("shop", worldChanges[r.IntN(len(worldChanges))]).Target("Deployment", app, "x:1").Label(change.LabelFiledFor, "Denied")
		if r.IntN(2) == 0 {
			c.Type(v1alpha1.ChangeEmergency).Alter(func(c *v1alpha1.Change) { c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: "i"} })
		}
		c.Assessed(v1alpha1.RiskMedium)
		if r.IntN(4) == 0 {
			c.Alter(func(c *v1alpha1.Change) { c.Status.Outcome = v1alpha1.OutcomeUnsuccessful })
		}
		return c.Obj()
	case 5:
		on := builder.MakeChange("shop", worldChanges[r.IntN(len(worldChanges))]).Target("Deployment", app, "x:1").Obj()
		vote := builder.ChangeApproval(on.Name+"-vote", on, v1alpha1.DecisionApprove, "bob")
		vote.CreationTimestamp = metav1.NewTime(builder.Epoch.Add(1e12))
		return vote
	case 6:
		p := builder.MakeChangePolicy([]string{"x", "y"}[r.IntN(2)]).Approvals(v1alpha1.RiskMedium, int32(r.IntN(3)))
		if e := enforcements[r.IntN(len(enforcements))]; e != "" {
			p.Enforcement(e)
		}
		obj := p.Obj()
		obj.Generation = generation
		return obj
	case 7:
		return shop(map[string]string{"env": []string{"x", "y", "z"}[r.IntN(3)]})
	default:
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "i"}, Spec: v1alpha1.IncidentSpec{
			Source: v1alpha1.IncidentSourceDetector, ServiceRef: &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(worldServices[r.IntN(len(worldServices))])},
		}}
		if r.IntN(3) == 0 {
			i.Status.State = v1alpha1.IncidentResolved
		}
		return i
	}
}

func identity(o client.Object) string {
	return fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName())
}

// readable is all that readers can see of the small world.
func readable(i *inventory.Inventory) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, app := range worldApps {
		at := key("Deployment", app)
		tmpl := &configuration.Template{Labels: map[string]string{"app": app, "more": "x"}}
		for _, c := range i.Claimants(at) {
			say("%s is claimed by %s with %v", app, c.Service.Name, c.Claim)
		}
		w := i.World(&change.Request{Operation: change.Template, Key: at, Old: tmpl, New: tmpl})
		for _, c := range w.Candidates {
			say("%s: candidate %s %+v %+v", app, c.Name, c.Approval, c.Remedies)
		}
		say("%s: %v %v %+v twins %v filed %d %d", app, w.Claims, w.Enforcement, w.Risk, w.Twins, w.Filed.Undecided, w.Filed.LastEpisode("c"))
		pod := i.Governance(key("Pod", app), tmpl.Labels)
		say("pod of %s: %v through %v, %v", app, pod.Claims, pod.Through, pod.Enforcement)
	}
	for _, name := range worldServices {
		say("%s claims %v, dependents %v, incidents %v, changes %d", name, i.Members(service(name)), i.Dependents(service(name)), i.OpenIncidents(service(name)), i.OpenChangesOf(service(name)))
	}
	if rules := i.Rules("shop"); rules != nil {
		say("rules %v %v %v", rules.Policies, rules.Enforcement, rules.Parts)
	}
	say("rollouts %v", slices.Sorted(maps.Keys(rolloutsOf(i))))
	return out
}

func rolloutsOf(i *inventory.Inventory) map[string]bool {
	out := map[string]bool{}
	for r := range i.Rollouts("shop") {
		out[r.Workload.Name] = true
	}
	return out
}

// Whatever happened before and in whatever order, what readers see follows from the objects that exist now.
func TestOrderDoesNotMatter(t *testing.T) {
	const seed, worlds, steps = 20261102, 80, 60
	sawClaims, sawTwins, sawCandidates := 0, 0, 0
	for world := range worlds {
		r := rand.New(rand.NewPCG(seed, uint64(world)))
		i, live := inventory.New(), map[string]client.Object{}
		for step := range steps {
			if len(live) > 0 && r.IntN(4) == 0 {
				gone := slices.Sorted(maps.Keys(live))[r.IntN(len(live))]
				i.Remove(live[gone])
				delete(live, gone)
			} else {
				o := anyObject(r, int64(step))
				i.Put(o)
				live[identity(o)] = o
			}
			if step%10 != 9 {
				continue
			}
			fresh := inventory.New()
			for _, n := range r.Perm(len(live)) {
				fresh.Put(live[slices.Sorted(maps.Keys(live))[n]])
			}
			got := readable(i)
			if diff := cmp.Diff(readable(fresh), got); diff != "" {
				t.Fatalf("world %d, step %d (-made anew +followed):\n%s", world, step, diff)
			}
			checkClaims(t, i, live)
			text := strings.Join(got, "\n")
			sawClaims += strings.Count(text, "is claimed by")
			sawTwins += strings.Count(text, "Through:{Group:apps")
			sawCandidates += strings.Count(text, ": candidate")
		}
	}
	if sawClaims < 100 || sawTwins+sawCandidates < 100 {
		t.Errorf("the worlds were too quiet: %d claims, %d twins, %d candidates", sawClaims, sawTwins, sawCandidates)
	}
}

// checkClaims asks all Services about all workloads, the slow and obvious way.
func checkClaims(t *testing.T, i *inventory.Inventory, live map[string]client.Object) {
	t.Helper()
	for _, w := range live {
		u, isWorkload := w.(interface{ UnstructuredContent() map[string]any })
		if !isWorkload {
			continue
		}
		parsed, err := configuration.FromObject(u.UnstructuredContent())
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		for _, o := range live {
			if s, isService := o.(*v1alpha1.Service); isService && configuration.Claims(s, parsed.Key.Kind, parsed.Key.Name, parsed.Template.Labels) {
				want[s.Name] = true
			}
		}
		got := map[string]bool{}
		for _, c := range i.Claimants(parsed.Key) {
			got[c.Service.Name.Name] = true
			if !slices.Contains(i.Members(c.Service.Name), parsed.Key) {
				t.Errorf("%s claims %s, which is not among its members", c.Service.Name, parsed.Key.Name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("claimants of %s (-want +got):\n%s", parsed.Key.Name, diff)
		}
		for _, other := range live {
			checkTwin(t, i, &parsed, other)
		}
	}
}

func checkTwin(t *testing.T, i *inventory.Inventory, claimed *configuration.Workload, other client.Object) {
	t.Helper()
	u, isWorkload := other.(interface{ UnstructuredContent() map[string]any })
	if !isWorkload || other.GetName() == claimed.Key.Name {
		return
	}
	parsed, err := configuration.FromObject(u.UnstructuredContent())
	if err != nil {
		t.Fatal(err)
	}
	s := &metav1.LabelSelector{MatchLabels: claimed.Selector.MatchLabels}
	for _, e := range claimed.Selector.Expressions {
		s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: e.Key, Operator: metav1.LabelSelectorOperator(e.Operator), Values: e.Values})
	}
	theirs, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	want := theirs.Matches(labels.Set(parsed.Template.Labels)) && len(i.Claimants(claimed.Key)) > 0
	g := i.Governance(parsed.Key, parsed.Template.Labels)
	if got := slices.Contains(g.Through, claimed.Key); got != want {
		t.Errorf("%s passes for %s: %t, want %t", parsed.Key.Name, claimed.Key.Name, got, want)
	}
}

// A reader never finds a claimed workload unclaimed, nor an approved Change gone, while writers replace them.
func TestReadersBesideWriters(t *testing.T) {
	i := inventory.New()
	for _, app := range worldApps {
		i.Put(builder.MakeDeployment("shop", app).Unstructured())
	}
	put := func(generation int64) {
		s := builder.MakeService("shop", "s").Claim("Deployment", "a").ClaimApp("", "b").Enforcement("Enforce").Obj()
		s.Generation = generation
		i.Put(s)
		i.Put(builder.MakeDeployment("shop", "b").Generation(generation).Unstructured())
		i.Put(builder.MakeChange("shop", "c").Target("Deployment", "a", "x:1").Obj())
	}
	put(0)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				for _, app := range []string{"a", "b"} {
					tmpl := &configuration.Template{Labels: map[string]string{"app": app}}
					w := i.World(&change.Request{Operation: change.Template, Key: key("Deployment", app), Old: tmpl, New: tmpl})
					if w.Enforcement != v1alpha1.EnforcementEnforce {
						t.Errorf("%s was found with enforcement %q", app, w.Enforcement)
						return
					}
					if app == "a" && len(w.Candidates) != 1 {
						t.Errorf("%d candidates were found", len(w.Candidates))
						return
					}
				}
				if g := i.Governance(key("Pod", "x"), map[string]string{"app": "b"}); len(g.Through) != 1 {
					t.Errorf("a twin was found of %v", g.Through)
					return
				}
			}
		})
	}
	for generation := range int64(100) {
		put(generation + 1)
	}
	close(done)
	readers.Wait()
}

func BenchmarkWorld(b *testing.B) {
	i := inventory.New()
	for n := range 10_000 {
		ns, name := fmt.Sprintf("ns-%d", n%100), fmt.Sprintf("w-%d", n)
		i.Put(builder.MakeDeployment(ns, name).TemplateLabel("managed-by", "helm").Unstructured())
		if n%5 == 0 {
			i.Put(builder.MakeService(ns, name).ClaimApp("", name).Enforcement("Enforce").Obj())
		}
		if n%10 == 0 {
			i.Put(builder.MakeChange(ns, name).Target("Deployment", name, "x:1").Obj())
		}
	}
	at := configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "ns-0", Name: "w-0"}
	tmpl := &configuration.Template{Labels: map[string]string{"app": "w-0", "managed-by": "helm", "version": "2", "team": "a"}}
	r := &change.Request{Operation: change.Template, Key: at, Old: tmpl, New: tmpl}
	if w := i.World(r); len(w.Claims) != 1 || len(w.Candidates) != 1 {
		b.Fatalf("world %+v", w)
	}
	b.ReportAllocs()
	for b.Loop() {
		i.World(r)
	}
}
