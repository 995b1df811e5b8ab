package incident_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

func refOf(namespace, name string) v1alpha1.NamespacedReference {
	return v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(namespace), Name: v1alpha1.ObjectName(name)}
}

// TestParent: what explains what. The failure began at t0.
func TestParent(t *testing.T) {
	node := func(began time.Duration) incident.Candidate {
		return incident.Candidate{Ref: refOf("itil-system", "node-1"), Node: "node-1", Began: at(began)}
	}
	db := func(began time.Duration) incident.Candidate {
		return incident.Candidate{Ref: refOf("finance", "db"), Began: at(began)}
	}
	finding := func(reason v1alpha1.SignalReason, lost string) incident.Finding {
		return incident.Finding{Reason: reason, Since: t0, LostNode: lost}
	}
	newOnly := func(f incident.Finding) incident.Finding {
		f.CurrentOnly = true
		return f
	}
	seen := func(after time.Duration, f incident.Finding) incident.Finding {
		f.Seen = at(after)
		return f
	}
	with := func(rolling bool, list ...incident.Finding) incident.Result {
		return incident.Result{Findings: list, RollingOut: rolling}
	}
	const (
		nodes = "itil-system/node-1"
		dbs   = "finance/db"
	)
	for name, test := range map[string]struct {
		before     string
		result     incident.Result
		candidates []incident.Candidate
		want       string
	}{
		"a pod on the lost node": {
			result: with(false, finding(v1alpha1.SignalNotReady, "node-1")), candidates: []incident.Candidate{node(-minute)}, want: nodes,
		},
		"the node counts as lost a moment after what it took with it": {
			result: with(false, finding(v1alpha1.SignalNotReady, "node-1")), candidates: []incident.Candidate{node(30 * second)}, want: nodes,
		},
		"it was seen before the node was lost": {
			result: with(false, seen(10*second, finding(v1alpha1.SignalEvicted, "node-1"))), candidates: []incident.Candidate{node(30 * second)},
		},
		"it was seen after the node was lost, and by its kubelet began before": {
			result: with(false, seen(31*second, finding(v1alpha1.SignalEvicted, "node-1"))), candidates: []incident.Candidate{node(30 * second)}, want: nodes,
		},
		"it failed long before": {
			result: with(false, finding(v1alpha1.SignalNotReady, "node-1")), candidates: []incident.Candidate{node(5 * minute)},
		},
		"a pod elsewhere": {
			result: with(false, finding(v1alpha1.SignalNotReady, "")), candidates: []incident.Candidate{node(-minute)},
		},
		"the image of a new template, on the lost node": {
			result: with(true, newOnly(finding(v1alpha1.SignalImagePullFailed, ""))), candidates: []incident.Candidate{node(-minute), db(-minute)},
		},
		"one of two is not explained": {
			result:     with(false, finding(v1alpha1.SignalImagePullFailed, ""), finding(v1alpha1.SignalNotReady, "node-1")),
			candidates: []incident.Candidate{node(-minute)}, before: nodes,
		},
		"a crash loop, and what it needs is out": {
			result: with(false, finding(v1alpha1.SignalCrashLooping, "")), candidates: []incident.Candidate{db(-minute)}, want: dbs,
		},
		"pods that were made since": {
			result:     with(false, incident.Finding{Reason: v1alpha1.SignalCrashLooping, Since: t0, OldestPod: incident.SecondOf(at(-second))}),
			candidates: []incident.Candidate{db(-minute)},
		},
		"pods that worked before": {
			result:     with(false, incident.Finding{Reason: v1alpha1.SignalCrashLooping, Since: t0, OldestPod: incident.SecondOf(at(-hour))}),
			candidates: []incident.Candidate{db(-minute)}, want: dbs,
		},
		"what it needs failed later": {
			result: with(false, finding(v1alpha1.SignalCrashLooping, "")), candidates: []incident.Candidate{db(second)},
		},
		"what it needs failed at the same time, and comes first by name": {
			result: with(false, finding(v1alpha1.SignalCrashLooping, "")), candidates: []incident.Candidate{db(0)}, want: dbs,
		},
		"what it needs does not fill its memory": {
			result: with(false, finding(v1alpha1.SignalOOMKilled, "")), candidates: []incident.Candidate{db(-minute)},
		},
		"only the new template crashes": {
			result: with(true, newOnly(finding(v1alpha1.SignalCrashLooping, ""))), candidates: []incident.Candidate{db(-minute)},
		},
		"all pods crash during a rollout": {
			result: with(true, finding(v1alpha1.SignalCrashLooping, "")), candidates: []incident.Candidate{db(-minute)}, want: dbs,
		},
		"a node before a dependency": {
			result:     with(false, finding(v1alpha1.SignalNotReady, "node-1")),
			candidates: []incident.Candidate{db(-time.Hour), node(-minute)}, want: nodes,
		},
		"what is short of pods before what has them all": {
			result:     with(false, finding(v1alpha1.SignalCrashLooping, "")),
			candidates: []incident.Candidate{{Ref: refOf("finance", "api"), Began: at(-2 * minute), Whole: true}, db(-minute)}, want: dbs,
		},
		"what has all its pods, where nothing else explains it": {
			result:     with(false, finding(v1alpha1.SignalCrashLooping, "")),
			candidates: []incident.Candidate{{Ref: refOf("finance", "db"), Began: at(-minute), Whole: true}}, want: dbs,
		},
		"it keeps the parent that still explains it": {
			result:     with(false, finding(v1alpha1.SignalCrashLooping, "")),
			candidates: []incident.Candidate{db(-minute), {Ref: refOf("finance", "cache"), Began: at(-2 * minute)}}, before: dbs, want: dbs,
		},
		"the parent is over": {
			result: with(false, finding(v1alpha1.SignalCrashLooping, "")), before: dbs,
		},
		"nothing fails any more":    {result: with(false), before: dbs, want: dbs},
		"never itself":              {result: with(false, finding(v1alpha1.SignalCrashLooping, "")), candidates: []incident.Candidate{{Ref: refOf("shop", "web-1"), Began: at(-minute)}}},
		"what an alert tells of it": {result: with(false, finding(v1alpha1.SignalAlertFiring, "")), candidates: []incident.Candidate{db(-minute)}, want: dbs},
	} {
		t.Run(name, func(t *testing.T) {
			var before *v1alpha1.NamespacedReference
			for _, c := range []v1alpha1.NamespacedReference{refOf("itil-system", "node-1"), refOf("finance", "db")} {
				if string(c.Namespace)+"/"+string(c.Name) == test.before {
					before = &c
				}
			}
			got := ""
			if ref := incident.Parent(before, refOf("shop", "web-1"), test.result, test.candidates); ref != nil {
				got = string(ref.Namespace) + "/" + string(ref.Name)
			}
			if got != test.want {
				t.Errorf("explained by %q, want %q", got, test.want)
			}
		})
	}
}

// TestNoCircle: of two that may explain each other, at most one does.
func TestNoCircle(t *testing.T) {
	for _, later := range []time.Duration{-second, 0, second} {
		a := incident.Candidate{Ref: refOf("shop", "a"), Began: t0}
		b := incident.Candidate{Ref: refOf("shop", "b"), Began: at(later)}
		fails := func(c incident.Candidate) incident.Result {
			return incident.Result{Findings: []incident.Finding{{Reason: v1alpha1.SignalCrashLooping, Since: c.Began}}}
		}
		ofA := incident.Parent(nil, a.Ref, fails(a), []incident.Candidate{b})
		ofB := incident.Parent(nil, b.Ref, fails(b), []incident.Candidate{a})
		if (ofA == nil) == (ofB == nil) {
			t.Errorf("%s later: a is explained by %v, b by %v", later, ofA, ofB)
		}
	}
}

// TestLostNodes: which node a finding is laid to.
func TestLostNodes(t *testing.T) {
	lost := map[string]time.Time{"node1": at(10 * minute), "node2": at(9 * minute)}
	on := func(name, node string) *podBuilder {
		p := aPod(name).unready(10 * minute)
		p.pod.Spec.NodeName = node
		return p
	}
	for name, test := range map[string]struct {
		pods []*podBuilder
		want string
	}{
		"one":                       {[]*podBuilder{on("a", "node1")}, "node1"},
		"two on two that are lost":  {[]*podBuilder{on("a", "node1"), on("b", "node2")}, "node2"},
		"one elsewhere":             {[]*podBuilder{on("a", "node1"), on("b", "node3")}, ""},
		"one elsewhere, told first": {[]*podBuilder{on("a", "node3"), on("b", "node1"), on("c", "node2")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := incident.Observation{Key: web, LostNodes: lost}
			for _, p := range test.pods {
				o.Pods = append(o.Pods, p.obj())
			}
			r := incident.Observe(o, incident.DefaultSettings(), incident.History{}, at(16*minute))
			if len(r.Findings) != 1 || r.Findings[0].Reason != v1alpha1.SignalNotReady {
				t.Fatalf("findings %+v", r.Findings)
			}
			if got := r.Findings[0].LostNode; got != test.want {
				t.Errorf("node %q, want %q", got, test.want)
			}
		})
	}
	waiting := aPod("w").phase(corev1.PodPending, "").condition(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable", 10*minute)
	waiting.pod.Spec.NodeName = ""
	o := incident.Observation{Key: web, LostNodes: lost, Pods: []*incident.Pod{waiting.obj(), on("old", "node1").deleting(15 * minute).obj()}}
	r := incident.Observe(o, incident.DefaultSettings(), incident.History{}, at(16*minute))
	if len(r.Findings) != 1 || r.Findings[0].LostNode != "node1" {
		t.Errorf("a pod in the place of one on a lost node: %+v", r.Findings)
	}
}

// TestChildren: a parent is as pressing as its most pressing child, and its children follow its end.
func TestChildren(t *testing.T) {
	t.Run("the highest priority", func(t *testing.T) {
		k := aTicket(t).is("New")
		if k.i.Status.Priority != v1alpha1.PriorityP5 {
			t.Fatal(k.i.Status.Priority)
		}
		k.facts.Children, k.facts.ChildImpact, k.facts.ChildUrgency = 1, v1alpha1.LevelHigh, v1alpha1.LevelHigh
		k.evaluate()
		if k.i.Status.Priority != v1alpha1.PriorityP1 || k.i.Status.Children != 1 {
			t.Errorf("priority %s, %d children", k.i.Status.Priority, k.i.Status.Children)
		}
		k.do(func(s *v1alpha1.IncidentSpec) { s.Urgency = v1alpha1.LevelLow })
		if k.i.Status.Priority != v1alpha1.PriorityP3 {
			t.Errorf("a person lowered the urgency: %s", k.i.Status.Priority)
		}
	})
	t.Run("their number is written now and then", func(t *testing.T) {
		k := aTicket(t)
		k.facts.Children, k.facts.ChildrenDue = 1, k.now.Add(minute)
		k.evaluate()
		k.facts.Children = 70
		k.evaluate()
		if k.i.Status.Children != 1 || !k.next.Equal(k.now.Add(minute)) {
			t.Errorf("%d children, next %s", k.i.Status.Children, k.next)
		}
		k.pass(minute)
		if k.i.Status.Children != 70 {
			t.Errorf("%d children a minute later", k.i.Status.Children)
		}
	})
	t.Run("a parent that is resolved takes those along that are well", func(t *testing.T) {
		k := aTicket(t).adoptedBy("node-1")
		k.seeWell().is("New")
		k.facts.ParentResolvedAt = k.now
		k.evaluate()
		k.is("Resolved")
	})
	t.Run("one that was resolved before does not", func(t *testing.T) {
		k := emptyTicket(t)
		k.facts.ParentResolvedAt = t0.Add(-minute)
		k.i.Spec = v1alpha1.IncidentSpec{Title: "slow", Source: v1alpha1.IncidentSourceUser, Reporter: "bob", ParentRef: &v1alpha1.NamespacedReference{Name: "old"}}
		k.evaluate()
		k.is("New")
	})
}

func response(k *ticket) *v1alpha1.Clock { return k.i.Status.Clocks.Response }

func resolution(k *ticket) *v1alpha1.Clock { return k.i.Status.Clocks.Resolution }

func (k *ticket) adoptedBy(name string) *ticket {
	k.t.Helper()
	ref := refOf("itil-system", name)
	k.i.Status.ParentRef = &ref
	k.evaluate()
	return k
}

// TestResponseOfAChild: it stands still while another incident explains it, and goes on with what was left.
func TestResponseOfAChild(t *testing.T) {
	k := clocked(t, servicelevel.Always())
	due := response(k).DueAt.Time
	k.pass(minute).adoptedBy("node-1")
	if got := response(k).State; got != v1alpha1.ClockPaused {
		t.Fatalf("adopted: %s", got)
	}
	if status, reason := k.condition(v1alpha1.ConditionExplained); status != "True" || reason != "Parent" {
		t.Errorf("condition %s %s", status, reason)
	}
	k.pass(hour)
	k.evaluate()
	if got := response(k).State; got != v1alpha1.ClockPaused {
		t.Errorf("an hour later: %s", got)
	}
	k.i.Status.ParentRef = nil
	k.evaluate()
	if got := response(k); got.State != v1alpha1.ClockRunning || !got.DueAt.Time.Equal(due.Add(hour)) {
		t.Errorf("on its own again: %s, due %s, want %s", got.State, got.DueAt, due.Add(hour))
	}
	if status, _ := k.condition(v1alpha1.ConditionExplained); status != "" {
		t.Error("still explained")
	}
	var told []string
	for _, e := range k.i.Status.Timeline[len(k.i.Status.Timeline)-2:] {
		told = append(told, e.What)
	}
	want := []string{"explained by Incident itil-system/node-1", "stands on its own again, no longer explained by Incident itil-system/node-1"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
	k.adoptedBy("node-1").seeWell().pass(10 * minute).is("Resolved")
	if got := response(k).State; got != v1alpha1.ClockPaused {
		t.Errorf("a child to which nobody had to respond has met or missed nothing: %s", got)
	}
	k.pass(30 * minute).i.Status.ParentRef = nil
	k.fail().is("InProgress")
	if got := response(k); got.State != v1alpha1.ClockRunning || !got.DueAt.Time.Equal(k.now.Add(29*minute)) {
		t.Errorf("it fails again, on its own: %s, due %s, want what was left after a minute", got.State, got.DueAt)
	}
}

// TestResponseOfAChildFromTheStart: explained as long as it was open, it has the whole time when it fails on its own.
func TestResponseOfAChildFromTheStart(t *testing.T) {
	k := aTicket(t).adoptedBy("node-1")
	k.facts.Service = &incident.ServiceFacts{Name: "checkout", Tier: 2, Health: v1alpha1.HealthDegraded}
	k.facts.Agreements = []incident.Agreement{gold(servicelevel.Always())}
	k.evaluate()
	k.pass(hour).seeWell().pass(10 * minute).is("Resolved")
	k.pass(20 * minute).i.Status.ParentRef = nil
	k.fail().is("InProgress")
	if got := response(k); got.State != v1alpha1.ClockRunning || !got.DueAt.Time.Equal(k.now.Add(30*minute)) {
		t.Errorf("%s, due %s, want half an hour from now", got.State, got.DueAt)
	}
}

// TestDispute: a person for whom it is not over says so as a fact.
func TestDispute(t *testing.T) {
	k := clocked(t, servicelevel.Always()).seeWell().pass(10 * minute).is("Resolved")
	resolved := k.i.Status.ResolvedAt.Time
	due := resolution(k).DueAt.Time
	k.do(func(s *v1alpha1.IncidentSpec) { s.Recovery = v1alpha1.RecoveryDisputed }).is("InProgress")
	if got, want := resolution(k).DueAt.Time, due.Add(k.now.Sub(resolved)); !got.Equal(want) {
		t.Errorf("due %s, want %s: less the time in which it was resolved", got, want)
	}
	if _, reason := k.condition(v1alpha1.ConditionRecovered); reason != "Disputed" {
		t.Errorf("condition Recovered has reason %s", reason)
	}
	k.pass(100 * hour).is("InProgress")
	if got := resolution(k).State; got != v1alpha1.ClockBreached {
		t.Errorf("its clock is %s", got)
	}
	k.do(func(s *v1alpha1.IncidentSpec) {
		s.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionUserGuidance, Notes: "cache cleared"}
	}).is("Resolved")
}
