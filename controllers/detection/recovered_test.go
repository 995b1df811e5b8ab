package detection

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// recovered is a scene in which a Deployment crashed, and is well again, and that is on record.
func recovered(t *testing.T) *scene {
	t.Helper()
	s := newScene(t)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	s.at(time.Minute)
	s.has(builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj())
	s.seePod(repairedPod(time.Minute))
	s.work()
	s.at(2 * time.Minute)
	s.enqueue(keyOfDeployment("web"))
	s.work()
	if i := s.one(); i.Status.RecoveredAt == nil {
		t.Fatalf("it did not recover: %+v", i.Status.Signals)
	}
	s.at(5 * time.Minute)
	return s
}

// TestARecoveryIsBelievedForWhatIs: not for what was, before this replica led, or its watches fell behind.
func TestARecoveryIsBelievedForWhatIs(t *testing.T) {
	failing := crashedAgain(3 * time.Minute)
	for name, test := range map[string]struct {
		happens func(*scene)
		want    bool
	}{
		"nothing happens": {func(*scene) {}, true},
		"it crashed and the watch told": {func(s *scene) {
			s.putPod(nil, record(failing))
		}, false},
		"it crashed and no watch told": {func(s *scene) { s.exists(failing) }, false},
		"it crashed and runs again, and no watch told": {func(s *scene) {
			p := repairedPod(4*time.Minute + 55*time.Second)
			p.Status.ContainerStatuses[0].RestartCount = 6
			s.exists(p)
		}, false},
		"the pod that failed was replaced by one that is not ready, and no watch told": {func(s *scene) {
			delete(s.live, "Pod shop/web-5d4f-0")
			s.exists(builder.Unstructured(deployment("web", 1), deploymentKind))
		}, false},
		"it was deleted and no watch told":            {func(s *scene) { delete(s.live, "Deployment shop/web") }, false},
		"it was deleted":                              {func(s *scene) { s.Inventory.Remove(s.live["Deployment shop/web"]) }, true},
		"another replica leads that did not look yet": {func(s *scene) { s.restarted() }, false},
		"another replica leads": {func(s *scene) {
			s.restarted()
			s.begin()
			s.work()
		}, true},
		"detection was switched off for it": {func(s *scene) {
			d := builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj()
			d.Labels = map[string]string{v1alpha1.LabelIncidents: v1alpha1.LabelIncidentsDisabled}
			s.has(d)
			s.seePod(failing)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := recovered(t)
			test.happens(s)
			well, err := s.StillWell(t.Context(), s.one())
			if err != nil || well != test.want {
				t.Errorf("well %t, error %v, want %t", well, err, test.want)
			}
		})
	}
}

// restarted begins anew, with what the API server has, and has not looked at anything.
func (s *scene) restarted() {
	s.queue = nil
	s.detector()
	s.hasObject(builder.Unstructured(builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj(), deploymentKind))
	s.putPod(nil, record(repairedPod(time.Minute)))
	s.tell()
}

// TestARecoveryIsNotBelievedBlindly: where the API server does not answer, it is not known.
func TestARecoveryIsNotBelievedBlindly(t *testing.T) {
	away := errors.New("the API server is away")
	s := recovered(t)
	s.Reader = interceptor.NewClient(s.server.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error { return away },
	})
	if well, err := s.StillWell(t.Context(), s.one()); well || !errors.Is(err, away) {
		t.Errorf("well %t, error %v", well, err)
	}
}

// TestARecoveryOfWhatPeopleReport is theirs to judge.
func TestARecoveryOfWhatPeopleReport(t *testing.T) {
	s := newScene(t)
	i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "one"}, Spec: v1alpha1.IncidentSpec{Source: v1alpha1.IncidentSourceUser}}
	if well, err := s.StillWell(t.Context(), i); !well || err != nil {
		t.Errorf("well %t, error %v", well, err)
	}
}

// TestARecoveryOfANode is believed by what the node is now.
func TestARecoveryOfANode(t *testing.T) {
	s := newScene(t, node("node-1", corev1.ConditionUnknown, t0))
	s.at(10 * time.Minute)
	s.enqueue(nodeKey("node-1"))
	s.work()
	back := node("node-1", corev1.ConditionTrue, t0.Add(10*time.Minute))
	if err := s.server.Status().Update(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	s.at(12 * time.Minute)
	s.enqueue(nodeKey("node-1"))
	s.work()
	i := s.one()
	if well, err := s.StillWell(t.Context(), i); !well || err != nil {
		t.Errorf("well %t, error %v of a node that is back", well, err)
	}
	s.Reader = interceptor.NewClient(s.server.(client.WithWatch), interceptor.Funcs{
		Get: func(_ ctx, _ client.WithWatch, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
			node("node-1", corev1.ConditionUnknown, t0.Add(11*time.Minute)).DeepCopyInto(o.(*corev1.Node))
			return nil
		},
	})
	if well, err := s.StillWell(t.Context(), i); well || err != nil {
		t.Errorf("well %t, error %v of a node that was lost again, of which no watch told", well, err)
	}
}

// TestNewPodsFailWhileARecoveryIsNotBelieved: it is the same Incident, which shows what fails, names the pods that do, and is
// held anew when they are well.
func TestNewPodsFailWhileARecoveryIsNotBelieved(t *testing.T) {
	s := recovered(t)
	before := s.one().Status
	made := metav1.NewTime(t0.Add(3 * time.Minute))
	p := crashing("web", 1)
	p.CreationTimestamp, p.Status.StartTime = made, &made
	p.Status.Conditions[0].LastTransitionTime = made
	crash := p.Status.ContainerStatuses[0].LastTerminationState.Terminated
	crash.StartedAt.Time, crash.FinishedAt.Time = t0.Add(4*time.Minute+50*time.Second), t0.Add(4*time.Minute+52*time.Second)
	s.has(deployment("web", 1))
	s.removePod(record(repairedPod(time.Minute)))
	s.seePod(p)
	if well, err := s.StillWell(t.Context(), s.one()); well || err != nil {
		t.Errorf("well %t, error %v", well, err)
	}
	s.work()
	i := s.one()
	if !incident.Active(i.Status.Signals) || i.Status.RecoveredAt != nil || i.Status.Reason != v1alpha1.SignalCrashLooping {
		t.Fatalf("recovered at %v, signals %+v", i.Status.RecoveredAt, i.Status.Signals)
	}
	if got := i.Status.Signals[0]; len(got.Pods) != 1 || got.Pods[0] != "web-5d4f-1" || !got.Since.Equal(&before.Signals[0].Since) {
		t.Errorf("signal %+v, was %+v", got, before.Signals[0])
	}
	since := metav1.NewTime(t0.Add(6 * time.Minute))
	p = pod("web", 1)
	p.CreationTimestamp, p.Status.StartTime, p.Status.Conditions[0].LastTransitionTime = made, &made, since
	p.Status.ContainerStatuses[0].RestartCount, p.Status.ContainerStatuses[0].State.Running.StartedAt = 4, since
	p.Status.ContainerStatuses[0].LastTerminationState.Terminated = crash
	s.at(6 * time.Minute)
	s.has(builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj())
	s.seePod(p)
	s.work()
	i = s.look(8 * time.Minute)
	if at := i.Status.RecoveredAt; at == nil || at.Before(&since) || incident.Active(i.Status.Signals) {
		t.Errorf("recovered at %v, signals %+v", at, i.Status.Signals)
	}
}
