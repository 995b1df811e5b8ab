package detection

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// TestAProcessThatWasStopped: what it saw before it was stopped for ten minutes, or cut off from the API server, is over
// when it wakes; the grace times end by its clock before its watches tell so.
func TestAProcessThatWasStopped(t *testing.T) {
	leaving := pod("web", 0)
	end := metav1.NewTime(t0.Add(30 * time.Second))
	leaving.DeletionTimestamp = &end
	unready := pod("web", 0)
	unready.Status.Conditions[0].Status, unready.Status.Conditions[0].LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(t0)
	namesake := pod("web", 0)
	namesake.UID = "another"
	running := func(replicas int32) *builder.Deployment {
		return builder.MakeDeployment("shop", "web").Replicas(replicas).Generation(1).RolledOut()
	}
	for name, test := range map[string]struct {
		before, after *corev1.Pod
		// deployment before and after; nil where it stays as it is.
		scaled, back *builder.Deployment
	}{
		"a pod that was being deleted is gone": {before: leaving},
		"a pod that was not ready is":          {before: unready, after: pod("web", 0)},
		"another pod has its name":             {before: leaving, after: namesake},
		"what was scaled to zero is back":      {scaled: running(0), back: running(1)},
		"what was scaled to zero is gone":      {scaled: running(0)},
	} {
		t.Run(name, func(t *testing.T) {
			stopped := func() *scene {
				s := newScene(t)
				s.hasService(builder.MakeService("shop", "checkout").Tier(2).Claim(v1alpha1.WorkloadDeployment, "web"))
				if test.scaled == nil {
					s.has(running(1).Obj())
					s.seePod(test.before)
				} else {
					s.has(test.scaled.Obj())
				}
				s.work()
				s.at(10 * time.Minute)
				return s
			}
			look := func(s *scene) time.Duration {
				again, err := s.Reconcile(s.t.Context(), keyOfDeployment("web"))
				if err != nil {
					s.t.Fatal(err)
				}
				return again.RequeueAfter
			}

			s := stopped()
			delete(s.live, "Pod shop/web-5d4f-0")
			if test.after != nil {
				s.exists(test.after)
			}
			if test.scaled != nil {
				delete(s.live, "Deployment shop/web")
			}
			if test.back != nil {
				s.exists(builder.Unstructured(test.back.Obj(), deploymentKind))
			}
			if again := look(s); again != behindWait || len(s.list()) > 0 {
				t.Errorf("Incidents %+v of what is over; the next look is in %s, want %s", s.list(), again, behindWait)
			}

			s = stopped()
			look(s)
			if got := s.one().Spec.Title; got == "" {
				t.Error("what lasts has an Incident without a title")
			}
		})
	}
}

// TestWhatMovesOn: a pod in a crash loop is another one at every moment, and what the watch tells is never the latest.
func TestWhatMovesOn(t *testing.T) {
	now := metav1.NewTime(t0.Add(time.Second))
	for name, live := range map[string]func(*corev1.ContainerStatus){
		"it runs once more": func(c *corev1.ContainerStatus) {
			c.RestartCount++
			c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
		},
		"it crashed once more": func(c *corev1.ContainerStatus) {
			c.RestartCount++
			c.LastTerminationState.Terminated.FinishedAt = now
		},
		"its back-off is over": func(c *corev1.ContainerStatus) { c.State.Waiting.Reason = "ContainerCreating" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.has(deployment("web", 1))
			p := crashing("web", 0)
			s.seePod(p)
			live(&p.Status.ContainerStatuses[0])
			s.exists(p)
			s.at(time.Second)
			if _, err := s.Reconcile(t.Context(), keyOfDeployment("web")); err != nil || len(s.list()) != 1 {
				t.Errorf("%d Incidents at the first look, error %v", len(s.list()), err)
			}
		})
	}
}

func TestAProcessThatWasStoppedAndANode(t *testing.T) {
	s := newScene(t, node("node-1", corev1.ConditionUnknown, t0))
	s.at(10 * time.Minute)
	reader := s.Reader
	s.Reader = interceptor.NewClient(s.server.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx ctx, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if n, is := o.(*corev1.Node); is {
				node("node-1", corev1.ConditionTrue, t0.Add(time.Second)).DeepCopyInto(n)
				return nil
			}
			return reader.Get(ctx, key, o, opts...)
		},
	})
	if again, err := s.Reconcile(t.Context(), nodeKey("node-1")); err != nil || again.RequeueAfter != behindWait || len(s.list()) > 0 {
		t.Errorf("%d Incidents of a node that is back; the next look is in %s, error %v", len(s.list()), again.RequeueAfter, err)
	}
	s.Reader = reader
	if _, err := s.Reconcile(t.Context(), nodeKey("node-1")); err != nil || len(s.list()) != 1 {
		t.Errorf("%d Incidents of a node that is lost, error %v", len(s.list()), err)
	}
}

// TestAProcessThatWasStoppedAndASchedule: the CronJob ran meanwhile.
func TestAProcessThatWasStoppedAndASchedule(t *testing.T) {
	cron := func(ran time.Time) map[string]any {
		return map[string]any{
			"apiVersion": "batch/v1", "kind": "CronJob",
			"metadata": map[string]any{"namespace": "shop", "name": "report", "uid": "uid-cron", "creationTimestamp": t0.Add(-time.Hour).Format(time.RFC3339)},
			"spec":     map[string]any{"schedule": "2 * * * *"},
			"status":   map[string]any{"lastScheduleTime": ran.Format(time.RFC3339), "lastSuccessfulTime": ran.Format(time.RFC3339)},
		}
	}
	key := configuration.Key{Group: "batch", Kind: "CronJob", Namespace: "shop", Name: "report"}
	s := newScene(t)
	s.hasObject(unstructuredOf(cron(t0.Add(-58 * time.Minute))))
	s.work()
	s.at(10 * time.Minute)
	s.exists(unstructuredOf(cron(t0.Add(2 * time.Minute))))
	if again, err := s.Reconcile(t.Context(), key); err != nil || again.RequeueAfter != behindWait || len(s.list()) > 0 {
		t.Errorf("%d Incidents of a CronJob that ran; the next look is in %s, error %v", len(s.list()), again.RequeueAfter, err)
	}
	s.exists(unstructuredOf(cron(t0.Add(-58 * time.Minute))))
	if _, err := s.Reconcile(t.Context(), key); err != nil || s.one().Status.Reason != v1alpha1.SignalScheduleMissed {
		t.Errorf("status %+v, error %v", s.one().Status, err)
	}
}

// TestAProcessThatWasStoppedAndWhatIsResolved: it does not open again either.
func TestAProcessThatWasStoppedAndWhatIsResolved(t *testing.T) {
	s := newScene(t)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	i := s.one()
	resolved := metav1.NewTime(t0.Add(time.Minute))
	i.Status.State, i.Status.ResolvedAt, i.Status.Signals = v1alpha1.IncidentResolved, &resolved, nil
	if err := s.server.Status().Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	s.tell()
	unready := pod("web", 0)
	unready.Status.Conditions[0].Status, unready.Status.Conditions[0].LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(t0.Add(2*time.Minute))
	s.at(2 * time.Minute)
	s.seePod(unready)
	s.work()
	s.at(10 * time.Minute)
	s.exists(pod("web", 0))
	if again, err := s.Reconcile(t.Context(), keyOfDeployment("web")); err != nil || again.RequeueAfter != behindWait || len(s.one().Status.Signals) > 0 {
		t.Errorf("signals %v, the next look is in %s, error %v", s.one().Status.Signals, again.RequeueAfter, err)
	}
	s.exists(unready)
	if _, err := s.Reconcile(t.Context(), keyOfDeployment("web")); err != nil || len(s.one().Status.Signals) != 1 {
		t.Errorf("signals %v, error %v", s.one().Status.Signals, err)
	}
}
