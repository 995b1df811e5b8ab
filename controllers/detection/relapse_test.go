package detection

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// killed ran out of memory at two times after t0, and runs again since a second after the latter.
func killed(restarts int32, before, last time.Duration) *corev1.Pod {
	p := pod("web", 0)
	begun, end, since := metav1.NewTime(t0.Add(before+time.Second)), metav1.NewTime(t0.Add(last)), metav1.NewTime(t0.Add(last+time.Second))
	p.CreationTimestamp, p.Status.StartTime = metav1.NewTime(t0.Add(-24*time.Hour)), nil
	p.Status.Conditions[0].LastTransitionTime = since
	c := &p.Status.ContainerStatuses[0]
	c.RestartCount, c.State.Running.StartedAt = restarts, since
	c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", StartedAt: begun, FinishedAt: end}
	return p
}

// slowLoop has an Incident that was opened again once about a container that is killed every three hours, the last time at
// t0, and believed to be over when it was not for longer.
func slowLoop(t *testing.T) *scene {
	t.Helper()
	s := newScene(t)
	s.has(builder.MakeDeployment("shop", "web").Generation(1).RolledOut().Obj())
	s.at(-3*time.Hour + time.Minute)
	s.seePod(killed(1, -6*time.Hour, -3*time.Hour))
	s.work()
	s.at(5 * time.Second)
	s.seePod(killed(2, -3*time.Hour, 0))
	s.work()
	s.at(11 * time.Minute)
	s.lookAtAll()
	i := s.one()
	if i.Status.RecoveredAt == nil {
		t.Fatalf("it runs, and is not taken for well: %+v", i.Status.Signals)
	}
	i.Status.State, i.Status.Reopened, i.Status.RecoveryHoldSeconds = v1alpha1.IncidentInProgress, 1, int32((5 * time.Hour).Seconds())
	if err := s.server.Status().Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	s.tell()
	s.work()
	return s
}

func (s *scene) look(after time.Duration) *v1alpha1.Incident {
	s.t.Helper()
	s.at(after)
	s.enqueue(keyOfDeployment("web"))
	s.work()
	return s.one()
}

// TestAnotherCrashOfASlowLoop is one write, whenever it is looked at.
func TestAnotherCrashOfASlowLoop(t *testing.T) {
	s := slowLoop(t)
	writes := s.writes[s.one().Name]
	s.at(3 * time.Hour)
	s.seePod(killed(3, 0, 3*time.Hour))
	for _, after := range []time.Duration{time.Second, 20 * time.Second, 31 * time.Second, time.Minute, 5 * time.Minute, time.Hour} {
		s.look(3*time.Hour + after)
	}
	i := s.one()
	if n := s.writes[i.Name] - writes; n != 1 {
		t.Errorf("%d writes, want one", n)
	}
	since := metav1.NewTime(t0.Add(3*time.Hour + time.Second))
	if signal := i.Status.Signals[0]; !i.Status.RecoveredAt.Equal(&since) || !signal.ClearedAt.Equal(&since) || signal.Count != 3 {
		t.Errorf("well since %v, want %v; signal %+v", i.Status.RecoveredAt, since, signal)
	}
}

// TestAnotherCrashOfWhatIsResolved: who does not know of the resolution does not write over it, and opens it again when it
// does.
func TestAnotherCrashOfWhatIsResolved(t *testing.T) {
	s := slowLoop(t)
	i := s.one()
	i.Status.State, i.Status.ResolvedAt = v1alpha1.IncidentResolved, i.Status.RecoveredAt
	if err := s.server.Status().Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	s.at(3 * time.Hour)
	s.seePod(killed(3, 0, 3*time.Hour))
	if got := s.look(3*time.Hour + 40*time.Second); !got.Status.RecoveredAt.Equal(i.Status.RecoveredAt) {
		t.Errorf("well since %v is written over a resolution", got.Status.RecoveredAt)
	}
	s.tell()
	if got := s.look(3*time.Hour + 41*time.Second); !incident.Active(got.Status.Signals) {
		t.Errorf("signals when the resolution is known: %+v", got.Status.Signals)
	}
}

// TestASlowLoopIsBelievedToBeOver when its hold-down is, though its crashes are still in the window in which they are a
// loop: else it would be asked again and again for as long.
func TestASlowLoopIsBelievedToBeOver(t *testing.T) {
	for name, test := range map[string]struct {
		after   time.Duration
		crashes func(*scene)
		want    bool
	}{
		"it ran on": {5 * time.Hour, func(*scene) {}, true},
		"it crashed, and runs again": {5 * time.Hour, func(s *scene) {
			s.exists(killed(3, 0, 5*time.Hour-time.Minute))
		}, false},
		"it crashed, and the watch told": {5 * time.Hour, func(s *scene) {
			s.seePod(killed(3, 0, 5*time.Hour-time.Minute))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := slowLoop(t)
			s.at(test.after + time.Minute)
			i := s.one()
			test.crashes(s)
			if well, err := s.StillWell(t.Context(), i); err != nil || well != test.want {
				t.Errorf("well: %t, error %v", well, err)
			}
		})
	}
}
