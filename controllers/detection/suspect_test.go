package detection

import (
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
