package detection

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// goesIn records that a Change altered the Deployment web at a time.
func (s *scene) goesIn(change, hash string, at time.Duration) {
	s.Inventory.Put(&v1alpha1.ConfigurationItem{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: configuration.ItemName("Deployment", "web")},
		Spec:       v1alpha1.ConfigurationItemSpec{WorkloadRef: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web"}},
		Status: v1alpha1.ConfigurationItemStatus{Baselines: []v1alpha1.Baseline{
			{TemplateHash: hash, Source: v1alpha1.BaselineChange, Change: change, From: metav1.NewTime(t0.Add(at))},
		}},
	})
}

// TestTheRepairIsNotSuspected: a Change that goes in seconds after a failure was seen did not cause it, whatever fails by
// then. Where it is of a Release, the Release would stop for what was there before it.
func TestTheRepairIsNotSuspected(t *testing.T) {
	s := newScene(t)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0)) // 10 s before t0
	s.work()
	for _, step := range []time.Duration{20 * time.Second, 40 * time.Second, 5 * time.Minute} {
		s.at(step)
		s.goesIn("web-2", "", 10*time.Second)
		s.enqueue(keyOfDeployment("web"))
		s.work()
		if c := s.one().Status.SuspectedChange; c != nil {
			t.Fatalf("after %s, suspected is %+v", step, c)
		}
	}
}

// TestAnotherTemplateFails: what was taken back is not suspected of what fails without it.
func TestAnotherTemplateFails(t *testing.T) {
	web := func(version string, generation int64) *builder.Deployment {
		return builder.MakeDeployment("shop", "web").TemplateAnnotation("version", version).Generation(generation)
	}
	s := newScene(t)
	s.has(web("2", 1).Status(1, 1, 0).Obj())
	s.goesIn("web-2", "", -30*time.Second)
	s.seePod(crashing("web", 0))
	s.work()
	if c := s.one().Status.SuspectedChange; c == nil || c.Name != "web-2" {
		t.Fatalf("suspected is %+v", c)
	}
	s.has(web("1", 2).RolledOut().Obj())
	s.Inventory.Put(&v1alpha1.ConfigurationItem{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: configuration.ItemName("Deployment", "web")},
		Spec:       v1alpha1.ConfigurationItemSpec{WorkloadRef: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web"}},
		Status: v1alpha1.ConfigurationItemStatus{Baselines: []v1alpha1.Baseline{
			{TemplateHash: "v1:b", Source: v1alpha1.BaselineRollback, From: metav1.NewTime(t0.Add(time.Second))},
			{TemplateHash: "v1:a", Source: v1alpha1.BaselineChange, Change: "web-2", From: metav1.NewTime(t0.Add(-30 * time.Second))},
		}},
	})
	s.seePod(pod("web", 0))
	s.work()
	s.at(time.Minute)
	s.lookAtAll()
	s.resolve(3 * time.Minute)
	s.at(30 * time.Minute)
	s.has(web("1", 2).Status(1, 1, 0).Obj())
	again := crashing("web", 0)
	end := metav1.NewTime(t0.Add(30*time.Minute - 5*time.Second))
	status := &again.Status.ContainerStatuses[0]
	status.RestartCount += 3
	status.LastTerminationState.Terminated.StartedAt, status.LastTerminationState.Terminated.FinishedAt = end, end
	s.seePod(again)
	s.work()
	i := s.one()
	if !incident.Active(i.Status.Signals) {
		t.Fatalf("signals %v", i.Status.Signals)
	}
	if c := i.Status.SuspectedChange; c == nil || c.Name != "" || !strings.Contains(c.Reason, "was rolled back") {
		t.Errorf("suspected is %+v", c)
	}
}

// TestSuspectedThoughAClockIsBehind: the pods of the new template fail, and by their kubelet did so before it went in.
func TestSuspectedThoughAClockIsBehind(t *testing.T) {
	for name, test := range map[string]struct {
		all  bool
		want string
	}{
		"only pods of the new template fail":         {false, "web-2"},
		"pods of the template before fail like them": {true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.has(builder.MakeDeployment("shop", "web").Replicas(1).Generation(2).Status(2, 1, 0).Condition(appsv1.DeploymentCondition{
				Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded",
				Message: `ReplicaSet "web-6a2b" has timed out progressing.`, LastTransitionTime: metav1.NewTime(t0),
			}).Obj())
			s.goesIn("web-2", "", -5*time.Second)
			failing := crashing("web", 1) // 10 s before t0, by the kubelet
			failing.Name, failing.OwnerReferences[0].Name, failing.OwnerReferences[0].UID = "web-6a2b-1", "web-6a2b", "uid-set-2"
			failing.UID, failing.Labels[incident.LabelTemplateHash] = "uid-web-new", "6a2b"
			s.seePod(failing)
			old := pod("web", 0)
			if test.all {
				old = crashing("web", 0)
			}
			s.seePod(old)
			s.work()
			got := ""
			if c := s.one().Status.SuspectedChange; c != nil {
				got = c.Name
			}
			if got != test.want {
				t.Errorf("suspected is %q, want %q; signals %+v", got, test.want, s.one().Status.Signals)
			}
		})
	}
}

func TestSuspectedChange(t *testing.T) {
	s := newScene(t)
	item := &v1alpha1.ConfigurationItem{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: configuration.ItemName("Deployment", "web")},
		Spec:       v1alpha1.ConfigurationItemSpec{WorkloadRef: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web"}},
	}
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	if i := s.one(); i.Status.SuspectedChange != nil {
		t.Errorf("suspected is %v", i.Status.SuspectedChange)
	}
	// The record of what went in comes a moment later.
	item.Status.Baselines = []v1alpha1.Baseline{{TemplateHash: "v1:b", Source: v1alpha1.BaselineChange, Change: "web-2", From: metav1.NewTime(t0.Add(-time.Minute))}}
	s.Inventory.Put(item)
	s.work()
	if c := s.one().Status.SuspectedChange; c == nil || c.Name != "web-2" || c.Confidence != v1alpha1.ConfidenceHigh {
		t.Errorf("suspected is %v", c)
	}
}

// TestSuspectedEmergency: who breaks the glass is recorded after the fact, by a Change that has ended for the gate.
func TestSuspectedEmergency(t *testing.T) {
	s := newScene(t)
	begun := metav1.NewTime(t0.Add(-time.Minute))
	s.Inventory.Put(&v1alpha1.ConfigurationItem{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: configuration.ItemName("Deployment", "web")},
		Spec:       v1alpha1.ConfigurationItemSpec{WorkloadRef: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web"}},
		Status:     v1alpha1.ConfigurationItemStatus{Baselines: []v1alpha1.Baseline{{TemplateHash: "v1:b", Source: v1alpha1.BaselineBreakGlass, From: begun}}},
	})
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	if c := s.one().Status.SuspectedChange; c == nil || c.Name != "" {
		t.Fatalf("suspected is %v", c)
	}
	writes := s.writes[s.one().Name]
	s.lookAtAll()
	if n := s.writes[s.one().Name] - writes; n != 0 {
		t.Errorf("%d writes of the same suspicion", n)
	}
	target := v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web"}
	s.Inventory.Put(&v1alpha1.Change{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-record"},
		Spec: v1alpha1.ChangeSpec{
			Type: v1alpha1.ChangeEmergency, RecordOf: v1alpha1.RecordOfBreakGlass, Targets: []v1alpha1.ChangeTarget{{Workload: target}},
		},
		Status: v1alpha1.ChangeStatus{
			State: v1alpha1.ChangeReview, Implementations: []v1alpha1.Implementation{{Workload: target, At: begun}},
		},
	})
	s.work()
	if c := s.one().Status.SuspectedChange; c == nil || c.Name != "web-record" || c.Confidence != v1alpha1.ConfidenceHigh {
		t.Errorf("suspected is %v", c)
	}
}
