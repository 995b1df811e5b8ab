package detection

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

type ctx = context.Context

func unstructuredOf(o map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o}
}

// everywhere knows each ReplicaSet's Deployment.
type everywhere struct{}

func (everywhere) known(namespace string, ref incident.PodOwner, pod *Record) (configuration.Key, bool) {
	return configuration.Key{Group: "apps", Kind: "Deployment", Namespace: namespace, Name: withoutHash(ref.Name, pod.Revision)}, true
}

func (everywhere) selects(configuration.Key, *Record) bool { return true }

func countOf(x *podIndex) int {
	n := 0
	for _, o := range x.owners {
		n += len(o.pods)
	}
	return n
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

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

func TestScope(t *testing.T) {
	muted := map[string]string{v1alpha1.LabelIncidents: v1alpha1.LabelIncidentsDisabled}
	for name, test := range map[string]struct {
		prepare func(*scene)
		want    int
	}{
		"everything": {func(*scene) {}, 1},
		"a muted workload": {func(s *scene) {
			s.has(builder.MakeDeployment("shop", "web").Label(v1alpha1.LabelIncidents, "disabled").Generation(1).Status(1, 1, 0).Obj())
		}, 0},
		"services only": {func(s *scene) { s.Scope = ScopeServices }, 0},
		"services only, claimed": {func(s *scene) {
			s.Scope = ScopeServices
			s.hasService(builder.MakeService("shop", "checkout").Claim(v1alpha1.WorkloadDeployment, "web"))
		}, 1},
		"a service that is planned": {func(s *scene) {
			s.hasService(builder.MakeService("shop", "checkout").Lifecycle(v1alpha1.LifecyclePipeline).Claim(v1alpha1.WorkloadDeployment, "web"))
		}, 0},
		"the operator's namespace": {func(s *scene) { s.Namespace = "shop" }, 0},
		"a muted namespace": {func(s *scene) {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: muted}}
			if err := s.server.Update(s.t.Context(), ns); err != nil {
				s.t.Fatal(err)
			}
		}, 0},
		"a namespace that goes away": {func(s *scene) {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}}
			if err := s.server.Status().Update(s.t.Context(), ns); err != nil {
				s.t.Fatal(err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.has(deployment("web", 1))
			test.prepare(s)
			s.seePod(crashing("web", 0))
			s.work()
			if got := len(s.list()); got != test.want {
				t.Errorf("%d incidents, want %d", got, test.want)
			}
		})
	}
}

func TestSwitchedOffWhileItFails(t *testing.T) {
	s := newScene(t)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	s.has(builder.MakeDeployment("shop", "web").Label(v1alpha1.LabelIncidents, "disabled").Generation(1).Status(1, 1, 0).Obj())
	s.work()
	i := s.one()
	if incident.Active(i.Status.Signals) || i.Status.Evidence[0].Reason != incident.EvidenceSwitched {
		t.Errorf("status %+v", i.Status)
	}
}

func TestCaps(t *testing.T) {
	s := newScene(t)
	s.NamespaceCap = 2
	s.hasService(builder.MakeService("shop", "vital").Tier(1).Claim(v1alpha1.WorkloadDeployment, "w4"))
	for n := range 5 {
		name := fmt.Sprint("w", n)
		s.has(deployment(name, 1))
		s.seePod(crashing(name, 0))
	}
	s.work()
	var titles []string
	var record *v1alpha1.Incident
	for _, i := range s.list() {
		if key, _ := incident.KeyOf(&i); key == incident.OverflowKey() {
			record = i.DeepCopy()
			continue
		}
		titles = append(titles, strings.SplitN(i.Spec.Title, ":", 2)[0])
	}
	slices.Sort(titles)
	if !slices.Equal(titles, []string{"w0", "w1", "w4"}) {
		t.Errorf("open are %v", titles)
	}
	if record == nil || record.Namespace != "itil-system" || len(record.Status.Signals) != 2 {
		t.Fatalf("the rest is counted in %+v", record)
	}
	// Two are resolved. What has no bound counts, too: there is room for one.
	s.tell()
	for _, i := range s.list() {
		if strings.HasPrefix(i.Spec.Title, "w0") || strings.HasPrefix(i.Spec.Title, "w1") {
			i.Status.State = v1alpha1.IncidentResolved
			if err := s.server.Status().Update(t.Context(), &i); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.tell()
	s.work()
	open := 0
	for _, i := range s.list() {
		key, _ := incident.KeyOf(&i)
		if key == incident.OverflowKey() && len(i.Status.Signals) != 1 {
			t.Errorf("%d are counted", len(i.Status.Signals))
		}
		if incident.IsOpen(&i) && key.Kind == "Deployment" {
			open++
		}
	}
	if open != 2 {
		t.Errorf("%d are open", open)
	}
}

func TestBacklog(t *testing.T) {
	s := newScene(t)
	s.InstalledAt = t0
	for n := range 3 {
		name := fmt.Sprint("w", n)
		s.has(deployment(name, 1))
		s.seePod(crashing(name, 0))
	}
	s.work()
	i := s.one()
	if key, _ := incident.KeyOf(i); key != incident.BacklogKey("shop") || len(i.Status.Signals) != 3 {
		t.Fatalf("incident %s with %v", i.Spec.Title, i.Status.Signals)
	}
	// One recovers and leaves the list; then it fails, which is a failure of its own.
	s.tell()
	s.has(builder.MakeDeployment("shop", "w0").Generation(1).RolledOut().Obj())
	s.seePod(pod("w0", 0))
	s.work()
	if i := s.one(); len(i.Status.Signals) != 2 {
		t.Errorf("listed are %v", i.Status.Signals)
	}
	// The operator is restarted, and another was deleted meanwhile.
	s.detector()
	s.InstalledAt = t0
	s.has(builder.MakeDeployment("shop", "w0").Generation(1).RolledOut().Obj())
	s.has(deployment("w2", 1))
	s.seePod(crashing("w2", 0))
	s.tell()
	s.work()
	if i := s.one(); len(i.Status.Signals) != 1 || !strings.Contains(i.Status.Signals[0].Pods[0], "w2") {
		t.Errorf("listed are %v", i.Status.Signals)
	}
	s.clock.SetTime(t0.Add(time.Hour))
	again := crashing("w0", 0)
	end := metav1.NewTime(t0.Add(time.Hour - time.Second))
	again.Status.StartTime, again.CreationTimestamp = &end, end
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.StartedAt = end
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.FinishedAt = end
	s.seePod(again)
	s.work()
	if got := len(s.list()); got != 2 {
		t.Errorf("%d incidents, want the backlog and one", got)
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

func replicaSet(name, uid string, owner *metav1.OwnerReference) *appsv1.ReplicaSet {
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(uid)}}
	if owner != nil {
		yes := true
		owner.Controller = &yes
		rs.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return rs
}

func TestOwners(t *testing.T) {
	ownedBy := func(version, kind, name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.OwnerReferences[0].APIVersion, p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = version, kind, name
		}
	}
	for name, test := range map[string]struct {
		alter   func(*corev1.Pod)
		objects []client.Object
		has     bool
		want    configuration.Key
	}{
		"a Deployment, by the hash in the name": {has: true, want: keyOfDeployment("web")},
		"a Deployment that does not select it": {
			has: true, alter: func(p *corev1.Pod) { p.Labels["app"] = "other" }, objects: []client.Object{replicaSet("web-5d4f", "uid-set-web", nil)},
			want: configuration.Key{Group: "apps", Kind: "ReplicaSet", Namespace: "shop", Name: "web-5d4f"},
		},
		"a naked ReplicaSet": {
			objects: []client.Object{replicaSet("web-5d4f", "uid-set-web", nil)},
			want:    configuration.Key{Group: "apps", Kind: "ReplicaSet", Namespace: "shop", Name: "web-5d4f"},
		},
		"a Rollout": {
			objects: []client.Object{replicaSet("web-5d4f", "uid-set-web", &metav1.OwnerReference{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "web"})},
			want:    configuration.Key{Group: "argoproj.io", Kind: "Rollout", Namespace: "shop", Name: "web"},
		},
		"a Deployment that the inventory does not know yet": {
			objects: []client.Object{replicaSet("web-5d4f", "uid-set-web", &metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"})},
			want:    keyOfDeployment("web"),
		},
		"a StatefulSet": {alter: ownedBy("apps/v1", "StatefulSet", "db"), want: configuration.Key{Group: "apps", Kind: "StatefulSet", Namespace: "shop", Name: "db"}},
		"a DaemonSet":   {alter: ownedBy("apps/v1", "DaemonSet", "agent"), want: configuration.Key{Group: "apps", Kind: "DaemonSet", Namespace: "shop", Name: "agent"}},
		"a ReplicationController": {
			alter: ownedBy("v1", "ReplicationController", "old"), want: configuration.Key{Kind: "ReplicationController", Namespace: "shop", Name: "old"},
		},
		"what nobody knows": {
			alter: ownedBy("tekton.dev/v1", "TaskRun", "build"), want: configuration.Key{Group: "tekton.dev", Kind: "TaskRun", Namespace: "shop", Name: "build"},
		},
		"itself": {
			alter: func(p *corev1.Pod) { p.OwnerReferences = nil }, want: configuration.Key{Kind: "Pod", Namespace: "shop", Name: "web-5d4f-0"},
		},
		"an owner that is no controller": {
			alter: func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }, want: configuration.Key{Kind: "Pod", Namespace: "shop", Name: "web-5d4f-0"},
		},
		"a mirror of a static pod": {alter: ownedBy("v1", "Node", "node1"), want: configuration.Key{Kind: "Pod", Namespace: "shop", Name: "web-5d4f-0"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, test.objects...)
			if test.has {
				s.has(deployment("web", 1))
			}
			p := pod("web", 0)
			if test.alter != nil {
				test.alter(p)
			}
			s.seePod(p)
			s.work()
			if got := s.pods.of(test.want); len(got) != 1 {
				t.Errorf("%v has no pod; those are %v", test.want, s.pods.byWorkload)
			}
			s.removePod(record(p))
			if countOf(s.pods) != 0 || len(s.pods.owners)+len(s.pods.byWorkload)+len(s.pods.byNamespace) != 0 {
				t.Errorf("left of a pod that is gone: %+v", s.pods)
			}
		})
	}
}

// TestMissingReplicaSet: a cache or an API server that does not know it yet is asked again, and nothing is guessed.
func TestMissingReplicaSet(t *testing.T) {
	s := newScene(t)
	s.seePod(crashing("web", 0))
	key := configuration.Key{Group: "apps", Kind: "ReplicaSet", Namespace: "shop", Name: "web-5d4f"}
	result, err := s.Reconcile(t.Context(), key)
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("again after %s, error %v", result.RequeueAfter, err)
	}
	s.has(deployment("web", 1))
	if _, err := s.Reconcile(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	s.work()
	if len(s.pods.of(keyOfDeployment("web"))) != 1 {
		t.Error("the Deployment has no pod although it is there now")
	}
}

func TestForgedOwner(t *testing.T) {
	s := newScene(t)
	s.has(deployment("web", 1))
	s.seePod(pod("web", 0))
	forged := crashing("web", 1)
	forged.Labels = map[string]string{incident.LabelTemplateHash: "5d4f"}
	s.seePod(forged)
	labelled := pod("web", 2)
	labelled.Labels["role"] = "leader"
	s.seePod(labelled)
	if got := len(s.pods.of(keyOfDeployment("web"))); got != 2 {
		t.Errorf("the Deployment has %d pods, want its own and not the one that it does not select", got)
	}
	relabelled := pod("web", 0)
	before := record(relabelled.DeepCopy())
	relabelled.Labels["app"] = "quarantine"
	relabelled.OwnerReferences = nil
	s.putPod(before, record(relabelled))
	if got := len(s.pods.of(keyOfDeployment("web"))); got != 1 || countOf(s.pods) != 3 {
		t.Errorf("a pod that was taken out: %d left, %d in all", got, countOf(s.pods))
	}
}

func TestJobsOfACronJob(t *testing.T) {
	s := newScene(t)
	yes := true
	job := map[string]any{"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"namespace": "shop", "name": "report-1", "uid": "uid-job", "creationTimestamp": t0.Format(time.RFC3339),
			"ownerReferences": []any{map[string]any{"apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": "uid-cron", "controller": yes}}},
		"status": map[string]any{"startTime": t0.Format(time.RFC3339), "conditions": []any{map[string]any{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": t0.Format(time.RFC3339)}}}}
	cron := map[string]any{"apiVersion": "batch/v1", "kind": "CronJob",
		"metadata": map[string]any{"namespace": "shop", "name": "report", "uid": "uid-cron"},
		"spec":     map[string]any{"schedule": "0 0 1 1 *"}, "status": map[string]any{"lastScheduleTime": t0.Format(time.RFC3339)}}
	p := pod("report-1", 0)
	p.OwnerReferences[0].APIVersion, p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name, p.OwnerReferences[0].UID = "batch/v1", "Job", "report-1", "uid-job"
	s.seePod(p) // before its Job is known
	s.work()
	s.hasObject(unstructuredOf(job))
	s.hasObject(unstructuredOf(cron))
	s.work()
	key := configuration.Key{Group: "batch", Kind: "CronJob", Namespace: "shop", Name: "report"}
	if len(s.pods.of(key)) != 1 || len(s.jobs.of(key)) != 1 {
		t.Errorf("pods %d, Jobs %d", len(s.pods.of(key)), len(s.jobs.of(key)))
	}
	if i := s.one(); i.Spec.WorkloadRef.Kind != "CronJob" || i.Status.Reason != v1alpha1.SignalJobFailed {
		t.Errorf("incident about %v", i.Spec.WorkloadRef)
	}
	s.Inventory.Remove(unstructuredOf(job))
	s.work()
	if len(s.jobs.of(key)) != 0 || !incident.Active(s.one().Status.Signals) {
		t.Error("the Job was removed after its time, and with it its failure")
	}
}

func TestTransform(t *testing.T) {
	transform := TransformPod()
	out, err := transform(crashing("web", 0))
	if err != nil {
		t.Fatal(err)
	}
	r := out.(*Record)
	if again, _ := transform(r); again != any(r) {
		t.Error("what was transformed is transformed again")
	}
	if m := r.GetObjectMeta(); m.GetName() != "web-5d4f-0" || m.GetNamespace() != "shop" || m.GetResourceVersion() != "1" || m.GetUID() == "" {
		t.Errorf("metadata %v", m)
	}
	other, _ := transform(crashing("web", 1))
	if o := other.(*Record); o.Owner != r.Owner || &o.Containers[0] == &r.Containers[0] {
		t.Error("pods of a ReplicaSet do not share what they have in common, or share what they have not")
	}
	node, _ := TransformNode(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", ManagedFields: []metav1.ManagedFieldsEntry{{}}, Annotations: map[string]string{"a": "b"}},
		Spec:       corev1.NodeSpec{Unschedulable: true},
		Status: corev1.NodeStatus{Images: []corev1.ContainerImage{{}}, Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeReady, Status: corev1.ConditionTrue}, {Type: corev1.NodeMemoryPressure},
		}},
	})
	n := node.(*corev1.Node)
	if len(n.ManagedFields)+len(n.Annotations)+len(n.Status.Images) > 0 || len(n.Status.Conditions) != 1 || !n.Spec.Unschedulable {
		t.Errorf("kept of a node: %+v", n)
	}
}

// BenchmarkPodIndex measures what the index adds to the memory of a pod.
func BenchmarkPodIndex(b *testing.B) {
	const pods = 20_000
	records := make([]*Record, pods)
	for n := range records {
		records[n] = record(pod(fmt.Sprint("w", n/10), n%10))
	}
	var bytes float64
	for b.Loop() {
		before := heap()
		x := newPodIndex()
		for _, r := range records {
			x.put(nil, r, everywhere{})
		}
		bytes = (heap() - before) / pods
		if countOf(x) != pods {
			b.Fatal(countOf(x))
		}
	}
	b.ReportMetric(bytes, "B/pod")
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
