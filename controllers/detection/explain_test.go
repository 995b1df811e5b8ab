package detection

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func node(name string, ready corev1.ConditionStatus, since time.Time) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: ready, Reason: "NodeStatusUnknown", Message: "Kubelet stopped posting node status.",
		LastTransitionTime: metav1.NewTime(since),
	}}}}
}

// silent is a pod whose node does not answer: the node lifecycle controller says that it is not ready, and that is all.
func silent(deployment string, n int, onNode string, since time.Time) *corev1.Pod {
	p := pod(deployment, n)
	p.Spec.NodeName = onNode
	p.Status.Conditions[0].Status, p.Status.Conditions[0].LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(since)
	return p
}

func (s *scene) at(d time.Duration) {
	s.clock.SetTime(t0.Add(d))
}

func (s *scene) lookAtAll() {
	s.begin()
	s.work()
}

// vanish lets a node with twenty pods of ten workloads fall silent at t0.
func vanish(t *testing.T) (*scene, *corev1.Node) {
	t.Helper()
	lost := node("node-1", corev1.ConditionUnknown, t0)
	s := newScene(t, lost)
	for w := range 10 {
		name := fmt.Sprint("w", w)
		s.has(deployment(name, 2))
		for n := range 2 {
			s.seePod(silent(name, n, "node-1", t0.Add(time.Second)))
		}
	}
	s.work()
	s.at(time.Minute + time.Second)
	s.putNode(nil, lost)
	s.work()
	return s, lost
}

func TestNodeThatVanishes(t *testing.T) {
	s, lost := vanish(t)
	parent := s.one()
	if want := "node-1: the node does not answer (20 pods of 10 workloads ran there)"; parent.Spec.Title != want {
		t.Errorf("title %q, want %q", parent.Spec.Title, want)
	}
	s.at(6 * time.Minute)
	s.lookAtAll()
	children := 0
	for _, i := range s.list() {
		if i.Name == parent.Name {
			continue
		}
		children++
		if ref := i.Status.ParentRef; ref == nil || string(ref.Namespace) != parent.Namespace || string(ref.Name) != parent.Name {
			t.Errorf("%s is explained by %v", i.Name, ref)
		}
		if s.writes[i.Name] != 2 {
			t.Errorf("%d writes of %s", s.writes[i.Name], i.Name)
		}
	}
	if children != 10 {
		t.Errorf("%d children", children)
	}
	t.Run("and is removed", func(t *testing.T) {
		if err := s.server.Delete(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		s.removeNode(lost)
		s.work()
		for _, i := range s.list() {
			if i.Status.ParentRef != nil {
				t.Errorf("%s is still explained by a node that there is not", i.Name)
			}
		}
	})
}

func TestNodeThatVanishesAndIsResolved(t *testing.T) {
	s, _ := vanish(t)
	parent := s.one()
	s.at(6 * time.Minute)
	s.lookAtAll()
	end := metav1.NewTime(s.clock.Now())
	before := s.one0(parent.Name)
	after := before.DeepCopy()
	after.Status.State, after.Status.ResolvedAt, after.ResourceVersion = v1alpha1.IncidentResolved, &end, "1000000"
	s.putIncident(before, after)
	s.work()
	for _, i := range s.list() {
		if i.Status.ParentRef != nil {
			t.Errorf("%s, which still fails, is explained by what is resolved", i.Name)
		}
	}
}

func (s *scene) one0(name string) *v1alpha1.Incident {
	s.t.Helper()
	for _, i := range s.list() {
		if i.Name == name {
			return &i
		}
	}
	s.t.Fatalf("no incident %s", name)
	return nil
}

// TestDependency: the incident of what a service cannot do without explains its crash loop, once it harms somebody.
func TestDependency(t *testing.T) {
	s := newScene(t)
	s.hasService(builder.MakeService("shop", "db").Claim(v1alpha1.WorkloadDeployment, "db"))
	s.hasService(builder.MakeService("shop", "checkout").Claim(v1alpha1.WorkloadDeployment, "web").DependsOn("shop", "db", v1alpha1.DependencyHard))
	s.has(deployment("db", 1))
	s.has(deployment("web", 1))
	first := crashing("db", 0)
	earlier := metav1.NewTime(t0.Add(-5 * time.Minute))
	first.Status.ContainerStatuses[0].LastTerminationState.Terminated.StartedAt = earlier
	first.Status.ContainerStatuses[0].LastTerminationState.Terminated.FinishedAt = earlier
	s.seePod(first)
	s.work()
	worked := crashing("web", 0)
	worked.CreationTimestamp = metav1.NewTime(t0.Add(-time.Hour))
	s.seePod(worked)
	s.work()
	web := incident.Name(keyOfDeployment("web"), 1)
	if ref := s.one0(web).Status.ParentRef; ref != nil {
		t.Errorf("explained by %v, which takes nothing from anybody", ref)
	}
	db := s.one0(incident.Name(keyOfDeployment("db"), 1))
	harmful := db.DeepCopy()
	harmful.Status.Impact, harmful.ResourceVersion = v1alpha1.LevelHigh, "1000000"
	s.putIncident(db, harmful)
	s.work()
	if ref := s.one0(web).Status.ParentRef; ref == nil || string(ref.Name) != db.Name {
		t.Errorf("explained by %v", ref)
	}
	// Only a rollout of it does not come in: all the pods that it should have are ready.
	rollout := harmful.DeepCopy()
	rollout.ResourceVersion = "1000001"
	for n := range rollout.Status.Signals {
		rollout.Status.Signals[n].Reason = v1alpha1.SignalImagePullFailed
	}
	s.putIncident(harmful, rollout)
	s.has(builder.MakeDeployment("shop", "db").Generation(1).RolledOut().Obj())
	s.enqueue(keyOfDeployment("web"))
	s.work()
	if ref := s.one0(web).Status.ParentRef; ref != nil {
		t.Errorf("explained by %v, which has all its pods", ref)
	}
	s.has(deployment("db", 1))
	s.enqueue(keyOfDeployment("web"))
	s.work()
	if ref := s.one0(web).Status.ParentRef; ref == nil || string(ref.Name) != db.Name {
		t.Errorf("explained by %v", ref)
	}
	over := rollout.DeepCopy()
	over.Status.State, over.ResourceVersion = v1alpha1.IncidentResolved, "1000002"
	s.putIncident(rollout, over)
	s.work()
	if ref := s.one0(web).Status.ParentRef; ref != nil {
		t.Errorf("explained by %v, which is over", ref)
	}
}

// TestSummary: beyond the caps one record counts all of the rest, though it lists 50, and is not written for each.
func TestSummary(t *testing.T) {
	s := newScene(t)
	s.NamespaceCap = 2
	const failing = 60
	fail := func(from, to int) {
		for n := from; n < to; n++ {
			name := fmt.Sprintf("w%02d", n)
			s.has(deployment(name, 1))
			s.seePod(crashing(name, 0))
		}
		s.work()
	}
	fail(0, failing/2)
	own, summary := split(s)
	if len(own) != 2 || summary == nil || s.writes[summary.Name] != 2 {
		t.Fatalf("%d of their own, %d writes of the summary", len(own), s.writes[summary.Name])
	}
	fail(failing/2, failing)
	if s.writes[summary.Name] != 2 {
		t.Errorf("%d writes within moments", s.writes[summary.Name])
	}
	s.at(growthInterval)
	s.enqueue(incident.OverflowKey())
	s.work()
	if _, summary = split(s); summary.Status.Workloads != failing-2 || len(summary.Status.Signals) != 50 || s.writes[summary.Name] != 3 {
		t.Errorf("it counts %d and lists %d after %d writes", summary.Status.Workloads, len(summary.Status.Signals), s.writes[summary.Name])
	}
	s.seePod(crashing("w00", 0))
	s.work()
	if s.writes[summary.Name] != 3 {
		t.Error("a write although nothing is different")
	}
}

func split(s *scene) (own []v1alpha1.Incident, summary *v1alpha1.Incident) {
	for _, i := range s.list() {
		if i.Spec.WorkloadRef.Kind == incident.KindDetection {
			summary = &i
		} else {
			own = append(own, i)
		}
	}
	return own, summary
}
