package detection

import (
	"errors"
	"strings"
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

// TestAnIncidentThatComesToLightMeanwhile: another leader's Incident becomes known after a look began, which saw none.
// Then the greatest episode is that of an open Incident, and the next one would be its double.
func TestAnIncidentThatComesToLightMeanwhile(t *testing.T) {
	s := newScene(t)
	d := deployment("web", 1)
	s.has(d)
	s.seePod(crashing("web", 0))
	s.work()
	first := s.one()

	s.detector()
	s.has(d)
	s.seePod(crashing("web", 0))
	known := false
	s.Client = interceptor.NewClient(s.Client.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx ctx, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, isNamespace := o.(*corev1.Namespace); isNamespace && !known {
				known = true
				s.tell()
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	s.work()
	if got := s.one(); !known || got.Name != first.Name {
		t.Errorf("Incident %s after %s; it came to light: %t", got.Name, first.Name, known)
	}
}

// TestWhoDiesBetweenTwoWrites: the Incident is there and its status is not, and by the time that another looks what failed
// is repaired. It still says what failed, since when, and that it is over.
func TestWhoDiesBetweenTwoWrites(t *testing.T) {
	const repaired = 20 * time.Second
	for name, test := range map[string]struct {
		opened func(string) string
		want   v1alpha1.SignalReason
	}{
		"it is known what it was opened for": {func(s string) string { return s }, v1alpha1.SignalCrashLooping},
		"somebody took that off":             {func(string) string { return "" }, ""},
		"somebody wrote something else":      {func(string) string { return `{"signal":{"reason":"Nonsense"}}` }, ""},
		"somebody wrote of another time":     {func(s string) string { return strings.ReplaceAll(s, "20", "90") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.has(deployment("web", 1))
			s.seePod(crashing("web", 0))
			died := errors.New("the process died")
			s.intercept.SubResourcePatch = func(ctx, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
				return died
			}
			if _, err := s.Reconcile(t.Context(), keyOfDeployment("web")); !errors.Is(err, died) {
				t.Fatal(err)
			}
			left := s.one()
			if text := test.opened(left.Annotations[v1alpha1.AnnotationOpenedFor]); text != left.Annotations[v1alpha1.AnnotationOpenedFor] {
				left.Annotations[v1alpha1.AnnotationOpenedFor] = text
				if err := s.server.Update(t.Context(), left); err != nil {
					t.Fatal(err)
				}
			}

			s.intercept.SubResourcePatch, s.queue = nil, nil
			s.detector()
			s.at(repaired + time.Minute)
			s.tell()
			s.has(builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj())
			s.seePod(repairedPod(repaired))
			s.work()
			got := s.one().Status
			if got.Reason != test.want || got.RecoveredAt == nil || incident.Active(got.Signals) {
				t.Errorf("reason %q, recovered at %v, signals %+v", got.Reason, got.RecoveredAt, got.Signals)
			}
			if test.want != "" && (len(got.Signals) != 1 || got.Signals[0].ExitCode == nil || got.StartedAt.After(t0)) {
				t.Errorf("started at %v, signals %+v", got.StartedAt, got.Signals)
			}
		})
	}
}

// TestAResolutionThatComesToLightLate: at the very moment at which a recovery is believed, something fails. Who does not
// know yet of the resolution must not write as if it were still open: what had ended before would be told to fail again.
func TestAResolutionThatComesToLightLate(t *testing.T) {
	const repaired = 450 * time.Second
	for name, test := range map[string]struct {
		// crashes is how long after it was resolved it crashes again; 0 is never. Five crashes in a row are a quick loop
		// while they are fresh, and a slow one after that, which takes ten minutes to settle.
		crashes time.Duration
	}{
		"what was a quick loop looks like a slow one": {},
		"it crashes again":                            {crashes: 191 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.has(deployment("web", 1))
			looping := crashing("web", 0)
			looping.Status.ContainerStatuses[0].RestartCount = 4
			s.seePod(looping)
			s.work()
			s.at(repaired)
			s.has(builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj())
			s.seePod(repairedPod(repaired))
			s.work()
			look := func(after time.Duration) {
				t.Helper()
				s.at(repaired + after)
				s.enqueue(keyOfDeployment("web"))
				s.work()
			}
			look(31 * time.Second)
			since := metav1.NewTime(t0.Add(repaired))
			i := s.one()
			if !i.Status.RecoveredAt.Equal(&since) {
				t.Fatalf("recovered at %v, want %v", i.Status.RecoveredAt, since)
			}
			i.Status.State, i.Status.ResolvedAt = v1alpha1.IncidentResolved, i.Status.RecoveredAt
			if err := s.server.Status().Update(t.Context(), i); err != nil {
				t.Fatal(err)
			}
			if test.crashes > 0 {
				s.seePod(crashedAgain(repaired + test.crashes))
			}
			look(191 * time.Second)
			if signals := s.one().Status.Signals; incident.Active(signals) {
				t.Errorf("written as if it were not resolved: %+v", signals)
			}
			s.tell()
			look(192 * time.Second)
			if signals := s.one().Status.Signals; incident.Active(signals) != (test.crashes > 0) {
				t.Errorf("signals when the resolution is known: %+v", signals)
			}
		})
	}
}

// repairedPod crashed five times, and runs since a time after t0.
func repairedPod(at time.Duration) *corev1.Pod {
	since := metav1.NewTime(t0.Add(at))
	p := pod("web", 0)
	p.Status.Conditions[0].LastTransitionTime = since
	c := &p.Status.ContainerStatuses[0]
	c.RestartCount, c.State.Running.StartedAt = 5, since
	c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		ExitCode: 3, Reason: "Error", StartedAt: metav1.NewTime(since.Add(-4 * time.Second)), FinishedAt: metav1.NewTime(since.Add(-time.Second)),
	}
	return p
}

// crashedAgain is the same when it crashed once more.
func crashedAgain(at time.Duration) *corev1.Pod {
	p := crashing("web", 0)
	end := metav1.NewTime(t0.Add(at))
	c := &p.Status.ContainerStatuses[0]
	c.RestartCount = 6
	c.LastTerminationState.Terminated.StartedAt, c.LastTerminationState.Terminated.FinishedAt = end, end
	return p
}
