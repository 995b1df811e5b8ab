package detection

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func TestOneIncidentForAFailingDeployment(t *testing.T) {
	s := newScene(t, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e"}, Type: corev1.EventTypeWarning, Reason: "BackOff", Message: "back-off",
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "web-5d4f-0", UID: "uid-web-0"}, LastTimestamp: metav1.NewTime(t0),
	})
	s.hasService(builder.MakeService("shop", "checkout").Tier(2).Claim(v1alpha1.WorkloadDeployment, "web"))
	s.has(deployment("web", 2))
	s.seePod(crashing("web", 0))
	s.seePod(crashing("web", 1))
	s.work()
	i := s.one()
	if i.Name != incident.Name(keyOfDeployment("web"), 1) || i.Namespace != "shop" {
		t.Errorf("name %s/%s", i.Namespace, i.Name)
	}
	if i.Spec.Title != "web: container app crashes again and again (exit code 3)" || i.Spec.ServiceRef == nil || i.Spec.ServiceRef.Name != "checkout" {
		t.Errorf("spec %+v", i.Spec)
	}
	if i.Spec.Impact != "" || i.Status.State != "" || len(i.Status.Conditions) > 0 {
		t.Error("the detector writes what is not its to write")
	}
	if got := i.Status.Signals[0]; got.AffectedPods != 2 || got.Count != 6 || *got.ExitCode != 3 {
		t.Errorf("signal %+v", got)
	}
	if len(i.Status.Evidence) != 1 || i.Status.Evidence[0].Reason != "BackOff" {
		t.Errorf("evidence %v", i.Status.Evidence)
	}
	if n := s.writes[i.Name]; n != 2 {
		t.Errorf("%d writes to open it, want 2", n)
	}
	s.tell()
	s.seePod(crashing("web", 0))
	s.work()
	if n := s.writes[i.Name]; n != 2 {
		t.Errorf("%d writes although nothing changed", n-2)
	}
}

func TestRecovery(t *testing.T) {
	s := newScene(t)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	well := builder.MakeDeployment("shop", "web").Generation(1).RolledOut().Obj()
	s.has(well)
	s.seePod(pod("web", 0))
	s.work()
	if i := s.one(); i.Status.RecoveredAt != nil {
		t.Errorf("well at once, by a pod that was well while it failed: recovered at %s", i.Status.RecoveredAt)
	}
	s.at(time.Minute)
	s.lookAtAll()
	if i := s.one(); i.Status.RecoveredAt == nil || i.Status.RecoveredAt.Time.Before(t0) || i.Status.Signals[0].ClearedAt == nil {
		t.Errorf("status %+v", i.Status)
	}
}

// TestAlreadyExists: what is found under the name may be ours, over, or somebody else's.
func TestAlreadyExists(t *testing.T) {
	key := keyOfDeployment("web")
	ref := incident.Reference(key)
	existing := func(state v1alpha1.IncidentState, resolved time.Duration) *v1alpha1.Incident {
		i := &v1alpha1.Incident{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: incident.Name(key, 1), UID: "uid", Labels: map[string]string{v1alpha1.LabelEpisode: "1"}},
			Spec:       v1alpha1.IncidentSpec{Title: "web: it fails", Source: v1alpha1.IncidentSourceDetector, WorkloadRef: &ref},
		}
		i.Status.State = state
		if resolved != 0 {
			end := metav1.NewTime(t0.Add(-resolved))
			i.Status.ResolvedAt = &end
		}
		return i
	}
	another := existing("", 0)
	another.Spec.WorkloadRef = &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "other"}
	person := existing("", 0)
	person.Spec.Source = v1alpha1.IncidentSourceUser
	for name, test := range map[string]struct {
		existing *v1alpha1.Incident
		episode  int
	}{
		"open":                        {existing(v1alpha1.IncidentNew, 0), 1},
		"just made, without a status": {existing("", 0), 1},
		"resolved, within the window": {existing(v1alpha1.IncidentResolved, time.Minute), 1},
		"resolved, before the window": {existing(v1alpha1.IncidentResolved, 2*time.Hour), 2},
		"closed":                      {existing(v1alpha1.IncidentClosed, time.Minute), 2},
		"about something else":        {another, 2},
		"a person's, about the same":  {person, 2},
	} {
		t.Run(name, func(t *testing.T) {
			// The informer has not told of it yet.
			s := newScene(t, test.existing)
			s.has(deployment("web", 1))
			s.seePod(crashing("web", 0))
			s.work()
			i := &v1alpha1.Incident{}
			if err := s.server.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: incident.Name(key, test.episode)}, i); err != nil {
				t.Fatal(err)
			}
			if !incident.Active(i.Status.Signals) {
				t.Errorf("episode %d has signals %v", test.episode, i.Status.Signals)
			}
			if got := len(s.list()); got != test.episode {
				t.Errorf("%d incidents", got)
			}
		})
	}
}

func TestTwoDetectorsMakeOne(t *testing.T) {
	s := newScene(t)
	first := s.Reconciler
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.detector()
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	for _, r := range []*Reconciler{first, s.Reconciler, first, s.Reconciler} {
		if _, err := r.Reconcile(t.Context(), keyOfDeployment("web")); err != nil {
			t.Fatal(err)
		}
	}
	i := s.one()
	if n := s.writes[i.Name]; n != 3 {
		t.Errorf("%d writes, want a creation, one that failed and a status", n)
	}
}

func TestAFailedWriteIsRepeated(t *testing.T) {
	s := newScene(t)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.intercept.SubResourcePatch = func(ctx, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
		return errors.New("the API server is away")
	}
	if _, err := s.Reconcile(t.Context(), keyOfDeployment("web")); err == nil {
		t.Fatal("the failure is lost")
	}
	s.intercept.SubResourcePatch = nil
	s.work()
	if i := s.one(); !incident.Active(i.Status.Signals) {
		t.Error("what was seen is not told")
	}
	s.intercept.Create = func(ctx, client.WithWatch, client.Object, ...client.CreateOption) error {
		return apierrors.NewTooManyRequests("busy", 1)
	}
	s.has(deployment("db", 1))
	s.seePod(crashing("db", 0))
	if _, err := s.Reconcile(t.Context(), keyOfDeployment("db")); !apierrors.IsTooManyRequests(err) {
		t.Errorf("error %v", err)
	}
}

func TestNodes(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node1"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionUnknown, LastTransitionTime: metav1.NewTime(t0.Add(-2 * time.Minute)),
	}}}}
	s := newScene(t, node)
	s.putNode(nil, node)
	s.work()
	i := s.one()
	if i.Namespace != "itil-system" || i.Status.Reason != v1alpha1.SignalNodeLost || i.Spec.WorkloadRef.Kind != "Node" {
		t.Errorf("incident %+v", i.Spec)
	}
	if err := s.server.Delete(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	s.removeNode(node)
	s.work()
	s.clock.SetTime(t0.Add(3 * time.Minute))
	s.removeNode(node)
	s.work()
	if i := s.one(); incident.Active(i.Status.Signals) {
		t.Errorf("the node is gone, and its signals are %v", i.Status.Signals)
	}
}

// TestFailsAgain: one that is opened again tells what went in before it failed again, and what is to be seen now.
func TestFailsAgain(t *testing.T) {
	s := newScene(t, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e"}, Type: corev1.EventTypeWarning, Reason: "BackOff", Message: "back-off",
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "web-5d4f-0", UID: "uid-web-0"}, LastTimestamp: metav1.NewTime(t0),
	})
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	s.has(builder.MakeDeployment("shop", "web").Generation(1).RolledOut().Obj())
	s.seePod(pod("web", 0))
	s.work()
	s.at(time.Minute)
	s.lookAtAll()
	s.resolve(3 * time.Minute)
	// Half an hour later something goes in, and it fails.
	s.at(30 * time.Minute)
	s.Inventory.Put(&v1alpha1.ConfigurationItem{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: configuration.ItemName("Deployment", "web")},
		Spec:       v1alpha1.ConfigurationItemSpec{WorkloadRef: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web"}},
		Status: v1alpha1.ConfigurationItemStatus{Baselines: []v1alpha1.Baseline{
			{TemplateHash: "v1:b", Source: v1alpha1.BaselineChange, Change: "web-2", From: metav1.NewTime(t0.Add(29 * time.Minute))},
		}},
	})
	s.has(deployment("web", 1))
	again := crashing("web", 0)
	for n := range again.Status.ContainerStatuses {
		c := &again.Status.ContainerStatuses[n]
		c.RestartCount += 3
		if last := c.LastTerminationState.Terminated; last != nil {
			last.StartedAt, last.FinishedAt = metav1.NewTime(t0.Add(1795*time.Second)), metav1.NewTime(t0.Add(1796*time.Second))
		}
		if ended := c.State.Terminated; ended != nil {
			ended.StartedAt, ended.FinishedAt = metav1.NewTime(t0.Add(1797*time.Second)), metav1.NewTime(t0.Add(1798*time.Second))
		}
	}
	s.seePod(again)
	s.work()
	i := s.one()
	if c := i.Status.SuspectedChange; !incident.Active(i.Status.Signals) || c == nil || c.Name != "web-2" {
		t.Errorf("signals %v, suspected is %v", i.Status.Signals, c)
	}
	if n := len(i.Status.Evidence); n != 2 {
		t.Errorf("%d events, want that of each failure", n)
	}
}

// TestDescription: it says whom it is about, and who answers for that; one that follows another names it.
func TestDescription(t *testing.T) {
	s := newScene(t)
	service := builder.MakeService("shop", "checkout").Tier(2).Team("payments").Claim(v1alpha1.WorkloadDeployment, "web").Obj()
	service.Spec.SupportGroup = "payments-oncall"
	s.Inventory.Put(service)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	first := s.one()
	want := "Deployment web in namespace shop, of Service checkout (tier 2, owner payments, support group payments-oncall)."
	if got := first.Spec.Description; got != want {
		t.Errorf("description %q, want %q", got, want)
	}
	closed := metav1.NewTime(t0)
	first.Status.State, first.Status.ResolvedAt, first.Status.ClosedAt = v1alpha1.IncidentClosed, &closed, &closed
	if err := s.server.Status().Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	s.tell()
	s.at(10 * time.Minute)
	again := crashing("web", 0)
	end := metav1.NewTime(t0.Add(9 * time.Minute))
	again.Status.ContainerStatuses[0].RestartCount = 6
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.StartedAt = end
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.FinishedAt = end
	s.seePod(again)
	s.work()
	second := s.one0(incident.Name(keyOfDeployment("web"), 2))
	if want += " The Incident before was " + first.Name + "."; second.Spec.Description != want {
		t.Errorf("description %q, want %q", second.Spec.Description, want)
	}
}
