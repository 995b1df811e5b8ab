package inventory_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func with(objects ...client.Object) *inventory.Inventory {
	i := inventory.New()
	for _, o := range objects {
		i.Put(o)
	}
	return i
}

func key(kind, name string) configuration.Key {
	group, _ := configuration.GroupOf(kind)
	return configuration.Key{Group: group, Kind: kind, Namespace: "shop", Name: name}
}

func service(name string) servicelevel.ServiceName {
	return servicelevel.ServiceName{Namespace: "shop", Name: name}
}

func shop(labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: labels}}
}

func deployment(name string) client.Object {
	return builder.MakeDeployment("shop", name).Unstructured()
}

// TestRunsOfACronJob: they are found by it, and its followers hear when one has ended or is gone.
func TestRunsOfACronJob(t *testing.T) {
	job := func(name, of string, ended bool) client.Object {
		j := builder.Job("shop", name)
		j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: of, UID: "1", Controller: new(true)}}
		if ended {
			j.Status.CompletionTime = new(metav1.NewTime(builder.Epoch))
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(builder.Epoch)}}
		}
		return builder.Unstructured(j, builder.GroupVersionKind("Job"))
	}
	i := with(builder.Unstructured(builder.CronJob("shop", "tidy"), builder.GroupVersionKind("CronJob")))
	heard := 0
	cancel := i.Subscribe(func(e inventory.Event) {
		if e.Workload == key("CronJob", "tidy") {
			heard++
		}
	})
	defer cancel()
	for step, do := range []struct {
		what func()
		runs []string
		news int
	}{
		{func() { i.Put(job("a", "tidy", false)) }, []string{"a"}, 0},
		{func() { i.Put(job("b", "tidy", true)) }, []string{"a", "b"}, 1},
		{func() { i.Put(job("b", "tidy", true)) }, []string{"a", "b"}, 0},
		{func() { i.Put(job("a", "tidy", true)) }, []string{"a", "b"}, 1},
		{func() { i.Put(job("c", "other", true)) }, []string{"a", "b"}, 0},
		{func() { i.Remove(job("a", "tidy", true)) }, []string{"b"}, 1},
		{func() { i.Put(job("b", "other", true)) }, nil, 1},
	} {
		heard = 0
		do.what()
		var got []string
		for _, w := range i.Runs(key("CronJob", "tidy")) {
			got = append(got, w.Key.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, do.runs) || heard != do.news {
			t.Errorf("step %d: runs %v, want %v; heard %d times, want %d", step, got, do.runs, heard, do.news)
		}
	}
}

func TestGovernance(t *testing.T) {
	production := shop(map[string]string{"env": "production"})
	app := func(name string) map[string]string { return map[string]string{"app": name} }
	tests := map[string]struct {
		objects []client.Object
		key     configuration.Key
		labels  map[string]string
		want    v1alpha1.Enforcement
		through int
	}{
		"nobody": {[]client.Object{deployment("checkout")}, key("Deployment", "checkout"), app("checkout"), "", 0},
		"a Service that says nothing": {
			[]client.Object{builder.MakeService("shop", "s").ClaimApp("", "checkout").Obj()}, key("Deployment", "checkout"), app("checkout"), "Audit", 0,
		},
		"a Service of another namespace": {
			[]client.Object{builder.MakeService("pay", "s").ClaimApp("", "checkout").Obj()}, key("Deployment", "checkout"), app("checkout"), "", 0,
		},
		"by name": {
			[]client.Object{builder.MakeService("shop", "s").Claim("Deployment", "checkout").Enforcement("Enforce").Obj()}, key("Deployment", "checkout"), nil, "Enforce", 0,
		},
		"the strictest of two": {
			[]client.Object{
				builder.MakeService("shop", "a").Claim("Deployment", "checkout").Enforcement("Enforce").Obj(),
				builder.MakeService("shop", "b").Claim("Deployment", "checkout").Enforcement("Disabled").Obj(),
			}, key("Deployment", "checkout"), nil, "Enforce", 0,
		},
		"a policy is the floor": {
			[]client.Object{
				builder.MakeService("shop", "a").Claim("Deployment", "checkout").Enforcement("Disabled").Obj(), production,
				builder.MakeChangePolicy("production").Enforcement("Warn").Obj(),
			}, key("Deployment", "checkout"), nil, "Warn", 0,
		},
		"a policy before its namespace is known": {
			[]client.Object{
				builder.MakeChangePolicy("production").Enforcement("Warn").Obj(), production,
				builder.MakeService("shop", "a").Claim("Deployment", "checkout").Obj(),
			}, key("Deployment", "checkout"), nil, "Warn", 0,
		},
		"a policy of another namespace": {
			[]client.Object{
				builder.MakeService("shop", "a").Claim("Deployment", "checkout").Obj(), shop(nil),
				builder.MakeChangePolicy("production").Enforcement("Warn").Obj(),
			}, key("Deployment", "checkout"), nil, "Audit", 0,
		},
		"all workloads": {
			[]client.Object{production, builder.MakeChangePolicy("production").Enforcement("Enforce").AllWorkloads().Obj()}, key("Job", "x"), nil, "Enforce", 0,
		},
		"a twin": {
			[]client.Object{builder.MakeService("shop", "a").Claim("Deployment", "checkout").Enforcement("Enforce").Obj(), deployment("checkout")},
			key("Deployment", "twin"), app("checkout"), "Enforce", 1,
		},
		"a bare Pod": {
			[]client.Object{deployment("checkout"), builder.MakeService("shop", "a").Claim("Deployment", "checkout").Enforcement("Enforce").Obj()},
			key("Pod", "x"), map[string]string{"app": "checkout", "more": "y"}, "Enforce", 1,
		},
		"the twin of what nobody claims": {[]client.Object{deployment("checkout")}, key("Pod", "x"), app("checkout"), "", 0},
		"a Pod whose labels a claim of a kind has": {
			[]client.Object{builder.MakeService("shop", "a").ClaimApp("Deployment", "checkout").Enforcement("Enforce").Obj()},
			key("Pod", "x"), app("checkout"), "", 0,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i := with(test.objects...)
			g := i.Governance(test.key, test.labels)
			if g.Enforcement != test.want || len(g.Through) != test.through {
				t.Errorf("enforcement %q through %v, want %q through %d", g.Enforcement, g.Through, test.want, test.through)
			}
			if governed := test.want != "" && test.want != v1alpha1.EnforcementDisabled; g.Governed() != governed {
				t.Errorf("governed: %t", g.Governed())
			}
			w := i.World(&change.Request{Operation: change.Create, Key: test.key, New: &configuration.Template{Labels: test.labels}})
			if w.Enforcement != test.want || len(w.Twins) != test.through {
				t.Errorf("the gate sees enforcement %q, twins %v", w.Enforcement, w.Twins)
			}
		})
	}
}

// What leaves a Service by a new label is governed by that Service still.
// TestAround: what of a namespace is enforced at all, which its Services and policies say, where a request is about that.
func TestAround(t *testing.T) {
	i := with(deployment("free"), shop(map[string]string{"env": "production"}))
	claiming := func(name string, e v1alpha1.Enforcement, generation int64) client.Object {
		s := builder.MakeService("shop", name).Claim("Deployment", name).Enforcement(e).Obj()
		s.Generation = generation
		return s
	}
	idle := builder.MakeService("shop", "idle").Enforcement("Enforce").Obj()
	elsewhere := builder.MakeService("pay", "b").Claim("Deployment", "b").Enforcement("Enforce").Obj()
	around := func(to string) v1alpha1.Enforcement {
		return i.World(&change.Request{Operation: change.Template, Key: key("Deployment", "free"), RollbackTo: to}).Around
	}
	for n, step := range []struct {
		do   func()
		want v1alpha1.Enforcement
	}{
		{func() {}, ""},
		{func() { i.Put(idle); i.Put(elsewhere) }, ""},
		{func() { i.Put(claiming("a", "Warn", 1)) }, "Warn"},
		{func() { i.Put(claiming("b", "Enforce", 1)) }, "Enforce"},
		{func() { i.Put(claiming("b", "Disabled", 2)) }, "Warn"},
		{func() { i.Remove(claiming("a", "Warn", 1)) }, "Disabled"},
		{func() { i.Put(builder.MakeChangePolicy("production").AllWorkloads().Enforcement("Audit").Obj()) }, "Audit"},
	} {
		step.do()
		if got := around("1"); got != step.want {
			t.Errorf("step %d: %q, want %q", n, got, step.want)
		}
		if got := around(""); got != "" {
			t.Errorf("step %d: looked for without need: %q", n, got)
		}
	}
}

func TestLeavingAService(t *testing.T) {
	i := with(deployment("checkout"), builder.MakeService("shop", "a").ClaimApp("", "checkout").Enforcement("Enforce").Obj())
	in := &configuration.Template{Labels: map[string]string{"app": "checkout"}}
	out := &configuration.Template{Labels: map[string]string{"app": "other"}}
	for name, r := range map[string]*change.Request{
		"leaving":  {Operation: change.Template, Key: key("Deployment", "checkout"), Old: in, New: out},
		"entering": {Operation: change.Template, Key: key("Deployment", "checkout"), Old: out, New: in},
		"deleting": {Operation: change.Delete, Key: key("Deployment", "checkout"), Old: in},
	} {
		if w := i.World(r); w.Enforcement != v1alpha1.EnforcementEnforce || len(w.Claims) != 1 {
			t.Errorf("%s: enforcement %q, claims %v", name, w.Enforcement, w.Claims)
		}
	}
}

func TestWorld(t *testing.T) {
	tmpl := configuration.ParseTemplate("Deployment", configuration.RawTemplate(builder.MakeDeployment("shop", "checkout").Unstructured().Object))
	baseline := v1alpha1.Baseline{TemplateHash: tmpl.Hash, Source: v1alpha1.BaselineChange, Change: "went-wrong", From: metav1.NewTime(builder.Epoch)}
	healthy := func(s *v1alpha1.Service, h v1alpha1.Health) *v1alpha1.Service { s.Status.Health = h; return s }
	grouped := builder.MakeService("shop", "front").Obj()
	grouped.Spec.DependsOn = []v1alpha1.Dependency{{Name: "checkout", Group: "pay"}, {Name: "other", Group: "pay"}}
	i := with(
		shop(map[string]string{"env": "production"}),
		builder.MakeChangePolicy("production").Spec(func(s *v1alpha1.ChangePolicySpec) { s.MaxConcurrentRollouts = 2 }).Obj(),
		builder.MakeDeployment("shop", "checkout").Replicas(3).Status(3, 1, 3).Unstructured(),
		builder.MakeDeployment("shop", "quiet").Replicas(3).RolledOut().Unstructured(),
		healthy(builder.MakeService("shop", "checkout").Tier(1).Claim("Deployment", "checkout").ClaimApp("", "checkout").Obj(), v1alpha1.HealthOperational),
		builder.MakeService("shop", "second").Tier(3).Claim("Deployment", "checkout").Obj(),
		healthy(builder.MakeService("shop", "other").Obj(), v1alpha1.HealthOutage),
		grouped,
		builder.MakeService("pay", "hard").DependsOn("shop", "checkout", v1alpha1.DependencyHard).DependsOn("shop", "second", v1alpha1.DependencyHard).Obj(),
		builder.MakeService("pay", "soft").DependsOn("shop", "checkout", v1alpha1.DependencySoft).Obj(),
		builder.ConfigurationItem("shop", "Deployment", "checkout", baseline),
		builder.MakeChange("shop", "open").Target("Deployment", "checkout", "x:2").Obj(),
		builder.MakeChange("shop", "elsewhere").Target("Deployment", "quiet", "x:2").Obj(),
		builder.MakeChange("shop", "went-wrong").Target("Deployment", "checkout", "x:1").
			Alter(func(c *v1alpha1.Change) { c.Status.Outcome = v1alpha1.OutcomeUnsuccessful }).Obj(),
		builder.MakeChange("shop", "went-well").Target("Deployment", "checkout", "x:1").
			Alter(func(c *v1alpha1.Change) { c.Status.Outcome = v1alpha1.OutcomeSuccessful }).Obj(),
		builder.MakeChange("shop", "filed").Label(change.LabelFiledFor, "Denied").Target("Deployment", "quiet", "x:2").Obj(),
		builder.MakeChange("shop", "filed-3").Label(change.LabelFiledFor, "Denied").Target("Deployment", "quiet", "x:2").Obj(),
		&v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "i1"}, Spec: v1alpha1.IncidentSpec{ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}}},
		&v1alpha1.ServiceLevelAgreement{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gold"},
			Spec:       v1alpha1.ServiceLevelAgreementSpec{ServiceRef: v1alpha1.LocalReference{Name: "second"}},
			Status: v1alpha1.ServiceLevelAgreementStatus{
				CurrentPeriod: &v1alpha1.PeriodFigures{ErrorBudgetRemaining: "-3.25"},
				Conditions:    []metav1.Condition{{Type: v1alpha1.ConditionBudgetExhausted, Status: metav1.ConditionTrue}},
			},
		},
		&policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"},
			Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout"}}},
		},
	)
	w := i.World(&change.Request{Operation: change.Template, Key: key("Deployment", "checkout"), Old: &tmpl, New: &tmpl})

	left := int32(-32)
	want := change.RiskFacts{
		Tier: 1, HardDependents: 1, LastHealthyOf: []string{"pay of shop/front"}, Replicas: 3, Protected: true,
		PastChanges: 2, FailedChanges: 1, OpenIncidents: []string{"i1"}, BudgetLeft: &left,
	}
	if diff := cmp.Diff(want, w.Risk); diff != "" {
		t.Errorf("risk facts (-want +got):\n%s", diff)
	}
	claims := []change.Claim{{Service: "checkout", Tier: 1}, {Service: "second", Tier: 3}}
	if diff := cmp.Diff(claims, w.Claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]change.Rollout{{Workload: key("Deployment", "checkout"), Change: "went-wrong"}}, slices.Collect(w.Concurrency.Rollouts)); diff != "" {
		t.Errorf("rollouts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]v1alpha1.Baseline{baseline}, w.Baselines); diff != "" {
		t.Errorf("baselines (-want +got):\n%s", diff)
	}
	if len(w.Candidates) != 1 || w.Candidates[0].Name != "open" {
		t.Errorf("candidates %v", w.Candidates)
	}
	if diff := cmp.Diff([]string{"went-wrong"}, w.FailedChanges); diff != "" {
		t.Errorf("failed Changes: %s", diff)
	}
	if diff := cmp.Diff([]string{"second"}, w.ExhaustedBudgets); diff != "" {
		t.Errorf("exhausted budgets: %s", diff)
	}
	if w.Filed.Undecided != 2 || w.Filed.LastEpisode("filed") != 3 || w.Filed.LastEpisode("filed-3") != 1 || w.Filed.LastEpisode("none") != 0 {
		t.Errorf("filed: %d undecided, episodes %d, %d and %d", w.Filed.Undecided, w.Filed.LastEpisode("filed"), w.Filed.LastEpisode("filed-3"), w.Filed.LastEpisode("none"))
	}
	if w.Rules == nil || w.Rules.MaxConcurrentRollouts != 2 {
		t.Errorf("rules %v", w.Rules)
	}
}

// A vote, an edit of a policy and a cancellation are in the candidate as soon as they are known.
// What is made known while the gate decides is not passed over for a second one of its name.
func TestWorldIsOfOneInstant(t *testing.T) {
	i := with(deployment("checkout"))
	w := i.World(&change.Request{Operation: change.Template, Key: key("Deployment", "checkout"), New: &configuration.Template{}})
	i.Put(builder.MakeChange("shop", "filed").Target("Deployment", "checkout", "x:2").Obj())
	if n := w.Filed.LastEpisode("filed"); n != 0 {
		t.Errorf("episode %d of what was not known", n)
	}
	i.Put(builder.MakeChange("shop", "filed").Target("Deployment", "checkout", "x:2").
		Alter(func(c *v1alpha1.Change) { c.Spec.Cancel = true }).Obj())
	if n := w.Filed.LastEpisode("filed"); n != 1 {
		t.Errorf("episode %d of what has ended", n)
	}
}

func TestCandidatesFollow(t *testing.T) {
	at := key("Deployment", "checkout")
	chg := builder.MakeChange("shop", "c").Target("Deployment", "checkout", "x:2").Assessed(v1alpha1.RiskMedium).Obj()
	i := with(shop(map[string]string{"env": "production"}), chg)
	approved := func(want bool, after string) {
		t.Helper()
		candidates := i.World(&change.Request{Operation: change.Template, Key: at}).Candidates
		if len(candidates) != 1 || candidates[0].Approval.Approved != want {
			t.Fatalf("after %s: candidates %+v, want approved %t", after, candidates, want)
		}
	}
	approved(false, "nothing")
	vote := builder.ChangeApproval("c-bob", chg, v1alpha1.DecisionApprove, "bob")
	vote.CreationTimestamp = metav1.NewTime(builder.Epoch.Add(time.Minute))
	i.Put(vote)
	approved(true, "a vote")
	policy := builder.MakeChangePolicy("production").Approvals(v1alpha1.RiskMedium, 2).Obj()
	i.Put(policy)
	approved(false, "a policy that wants two votes")
	i.Remove(policy)
	approved(true, "the end of that policy")
	i.Remove(vote)
	approved(false, "the end of the vote")
	i.Put(vote)
	canceled := chg.DeepCopy()
	canceled.Spec.Cancel = true
	i.Put(canceled)
	if candidates := i.World(&change.Request{Operation: change.Template, Key: at}).Candidates; len(candidates) != 0 {
		t.Errorf("after a cancellation: candidates %+v", candidates)
	}
	if c, ok := i.Change(types.NamespacedName{Namespace: "shop", Name: "c"}); !ok || c.Candidate.Ended != change.EndedCanceled {
		t.Errorf("the Change is %+v", c)
	}
}

func TestEmergencyFollowsItsIncident(t *testing.T) {
	incident := &v1alpha1.Incident{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "down"},
		Spec:       v1alpha1.IncidentSpec{Source: v1alpha1.IncidentSourceDetector, ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}},
	}
	chg := builder.MakeChange("shop", "c").Type(v1alpha1.ChangeEmergency).Target("Deployment", "checkout", "x:2").
		Alter(func(c *v1alpha1.Change) { c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: "down"} }).Assessed(v1alpha1.RiskLow).Obj()
	i := with(chg, deployment("checkout"))
	missing := func() string {
		c, _ := i.Change(types.NamespacedName{Namespace: "shop", Name: "c"})
		return c.Candidate.Approval.Missing
	}
	before := missing()
	i.Put(incident)
	unclaimed := missing()
	i.Put(builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj())
	if got := missing(); got != "" || before == "" || unclaimed == "" || before == unclaimed {
		t.Errorf("it lacked %q, then %q, and at last %q", before, unclaimed, got)
	}
	i.Remove(incident)
	if got := missing(); got != before {
		t.Errorf("without its Incident it lacks %q, want %q", got, before)
	}
}

func TestEvents(t *testing.T) {
	claimed := inventory.Event{Workload: key("Deployment", "checkout")}
	claimant := inventory.Event{Service: service("checkout")}
	dependency := inventory.Event{Service: servicelevel.ServiceName{Namespace: "finance", Name: "ledger"}}
	chg := inventory.Event{Change: types.NamespacedName{Namespace: "shop", Name: "c"}}
	s := builder.MakeService("shop", "checkout").ClaimApp("", "checkout").DependsOn("finance", "ledger", "Hard").Obj()
	older := builder.MakeService("shop", "checkout").ClaimApp("", "checkout").Obj()
	older.Generation = 0
	tests := map[string]struct {
		before []client.Object
		write  func(i *inventory.Inventory)
		want   []inventory.Event
	}{
		"a workload that nobody claims": {nil, func(i *inventory.Inventory) { i.Put(deployment("checkout")) }, []inventory.Event{claimed}},
		"a claimed workload":            {[]client.Object{s}, func(i *inventory.Inventory) { i.Put(deployment("checkout")) }, []inventory.Event{claimant, claimed}},
		"a claimed workload is gone":    {[]client.Object{s, deployment("checkout")}, func(i *inventory.Inventory) { i.Remove(deployment("checkout")) }, []inventory.Event{claimant, claimed}},
		"a Service":                     {[]client.Object{deployment("checkout")}, func(i *inventory.Inventory) { i.Put(s) }, []inventory.Event{claimant, dependency, claimed}},
		"a Service's status":            {[]client.Object{s, deployment("checkout")}, func(i *inventory.Inventory) { i.Put(s.DeepCopy()) }, []inventory.Event{claimant}},
		"a dependency more":             {[]client.Object{older}, func(i *inventory.Inventory) { i.Put(s) }, []inventory.Event{claimant, dependency}},
		"a Service is gone":             {[]client.Object{s, deployment("checkout")}, func(i *inventory.Inventory) { i.Remove(s) }, []inventory.Event{dependency, claimant, claimed}},
		"a baseline":                    {[]client.Object{s}, func(i *inventory.Inventory) { i.Put(builder.ConfigurationItem("shop", "Deployment", "checkout")) }, []inventory.Event{claimed}},
		"an item that was made by hand": {nil, func(i *inventory.Inventory) {
			o := builder.ConfigurationItem("shop", "Deployment", "checkout")
			o.Name = "mine"
			i.Put(o)
		}, nil},
		"a Change": {[]client.Object{s, deployment("checkout")}, func(i *inventory.Inventory) {
			i.Put(builder.MakeChange("shop", "c").Target("Deployment", "checkout", "x").Obj())
		}, []inventory.Event{chg, claimed, claimant}},
		"a vote on nothing": {nil, func(i *inventory.Inventory) {
			i.Put(builder.ChangeApproval("v", builder.MakeChange("shop", "c").Obj(), "Approve", "bob"))
		}, []inventory.Event{chg}},
		"an admission":                {nil, func(i *inventory.Inventory) { i.Admitted(claimed.Workload, configuration.AdmissionRecord{}) }, []inventory.Event{claimed}},
		"a policy without namespaces": {nil, func(i *inventory.Inventory) { i.Put(builder.MakeChangePolicy("p").Obj()) }, nil},
		"a policy":                    {[]client.Object{shop(map[string]string{"env": "p"})}, func(i *inventory.Inventory) { i.Put(builder.MakeChangePolicy("p").Obj()) }, []inventory.Event{{Namespace: "shop"}}},
		"a policy's figures": {[]client.Object{shop(map[string]string{"env": "p"}), builder.MakeChangePolicy("p").Obj()}, func(i *inventory.Inventory) {
			p := builder.MakeChangePolicy("p").Obj()
			p.Status.WouldDeny = &v1alpha1.WouldDeny{Count: 1}
			p.Status.StandardChanges = []v1alpha1.StandardChangeStatus{{Name: "patch", Used: 1}}
			i.Put(p)
		}, nil},
		"a policy's standard change is suspended": {[]client.Object{shop(map[string]string{"env": "p"}), builder.MakeChangePolicy("p").Obj()}, func(i *inventory.Inventory) {
			p := builder.MakeChangePolicy("p").Obj()
			p.Status.StandardChanges = []v1alpha1.StandardChangeStatus{{Name: "patch", Suspended: true}}
			i.Put(p)
		}, []inventory.Event{{Namespace: "shop"}}},
		"something else":       {nil, func(i *inventory.Inventory) { i.Put(&corev1.ConfigMap{}); i.Remove(&corev1.ConfigMap{}) }, nil},
		"what was never there": {nil, func(i *inventory.Inventory) { i.Remove(s); i.Remove(deployment("checkout")) }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i := with(test.before...)
			var got []inventory.Event
			cancel := i.Subscribe(func(e inventory.Event) { got = append(got, e) })
			test.write(i)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			cancel()
			i.Put(deployment("later"))
			if len(got) != len(test.want) {
				t.Error("told of something after the subscription ended")
			}
		})
	}
}

func TestAdmissions(t *testing.T) {
	at := key("Deployment", "checkout")
	record := func(hash string, minute int) configuration.AdmissionRecord {
		return configuration.AdmissionRecord{TemplateHash: hash, Source: v1alpha1.BaselineChange, By: "alice", At: builder.Epoch.Add(time.Duration(minute) * time.Minute)}
	}
	i := inventory.New()
	for n := range 7 {
		i.Admitted(at, record("v1:"+string(rune('a'+n)), n))
	}
	got := i.Admissions(at)
	if len(got) != inventory.MaxAdmissions || got[0].TemplateHash != "v1:g" || got[4].TemplateHash != "v1:c" {
		t.Errorf("kept %v", got)
	}
	// What another replica let in is on the item; what is in both is told once.
	item := builder.ConfigurationItem("shop", "Deployment", "checkout")
	for _, r := range []configuration.AdmissionRecord{record("v1:x", 9), got[0]} {
		item.Status.Admissions = append(item.Status.Admissions, v1alpha1.Admission{TemplateHash: r.TemplateHash, Source: r.Source, By: r.By, At: metav1.NewTime(r.At)})
	}
	i.Put(item)
	merged := i.Admissions(at)
	if len(merged) != inventory.MaxAdmissions || merged[0].TemplateHash != "v1:x" || merged[1].TemplateHash != "v1:g" || merged[2].TemplateHash != "v1:f" {
		t.Errorf("merged %v", merged)
	}
	i.Forget(at, got[:4])
	if left := i.AdmittedHere(at); len(left) != 1 || left[0].TemplateHash != "v1:c" {
		t.Errorf("left %v", left)
	}
	i.Forget(at, got)
	i.Forget(at, got)
	if left := i.AdmittedHere(at); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestWhatIsComing: what the gate let in counts until it is seen on its workload, the newest of each workload alone.
func TestWhatIsComing(t *testing.T) {
	deployment := func(name, tag string) client.Object {
		d := builder.MakeDeployment("shop", name).TemplateLabel("app", name).Image("app", "r/"+name+":"+tag).RolledOut().Obj()
		return builder.Unstructured(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))
	}
	i := with(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"env": "production"}}},
		builder.MakeChangePolicy("production").AllWorkloads().Spec(func(s *v1alpha1.ChangePolicySpec) { s.MaxConcurrentRollouts = 2 }).Obj(),
		deployment("cart", "1"), deployment("search", "1"))
	coming := func() []string {
		tmpl := configuration.Template{Labels: map[string]string{"app": "checkout"}}
		w := i.World(&change.Request{Operation: change.Create, Key: key("Deployment", "checkout"), New: &tmpl})
		names := []string{}
		for c := range w.Concurrency.Coming {
			names = append(names, c.Workload.Name+" "+c.At.Sub(builder.Epoch).String())
		}
		return names
	}
	is := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(append([]string{}, want...), coming()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	letIn := func(name, tag string, after time.Duration) {
		seen, _ := with(deployment(name, tag)).Workload(key("Deployment", name))
		i.Admitted(key("Deployment", name), configuration.AdmissionRecord{TemplateHash: seen.Template.Hash, At: builder.Epoch.Add(after)})
	}
	is("nothing was let in")
	letIn("cart", "2", 0)
	letIn("search", "2", time.Second)
	is("neither is seen", "cart 0s", "search 1s")
	letIn("cart", "3", 2*time.Second)
	is("another of the same", "search 1s", "cart 2s")
	i.Put(deployment("search", "2"))
	is("one is seen", "cart 2s")
	i.Put(deployment("cart", "2"))
	is("the one before is seen", "cart 2s")
	letIn("new", "1", 2*time.Second+change.ComingFor)
	is("what was never seen is forgotten", "new 12s")
}
