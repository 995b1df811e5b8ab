package detection

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

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

// TestReplicaSetIsReadOnce: whose ReplicaSet it is, is asked for once, whatever becomes of its pods.
func TestReplicaSetIsReadOnce(t *testing.T) {
	s := newScene(t, replicaSet("web-5d4f", "uid-set-web", &metav1.OwnerReference{
		APIVersion: "argoproj.io/v1alpha1", Kind: kindRollout, Name: "web",
	}))
	reads := 0
	s.Reader = interceptor.NewClient(s.server.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx ctx, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, is := o.(*metav1.PartialObjectMetadata); is {
				reads++
			}
			return s.getLive(ctx, c, key, o, opts...)
		},
	})
	for n := range 5 {
		s.seePod(pod("web", n))
		s.work()
	}
	for n := range 5 {
		s.seePod(crashing("web", n))
		s.work()
	}
	key := configuration.Key{Group: groupRollouts, Kind: kindRollout, Namespace: "shop", Name: "web"}
	if i := s.one(); reads != 1 || i.Spec.WorkloadRef.Kind != kindRollout || len(s.pods.of(key)) != 5 {
		t.Errorf("read %d times; an Incident about %+v, which has %d pods", reads, i.Spec.WorkloadRef, len(s.pods.of(key)))
	}
}

// TestAControllerThatNobodyReads: of a kind that is not watched its pods are all that is known. That they are replaced is
// nothing; that there are none for two minutes ends its Incident, which does not say that it knows more; what fails then
// fails again.
func TestAControllerThatNobodyReads(t *testing.T) {
	s := newScene(t)
	fails := crashing("build", 0)
	fails.OwnerReferences[0].APIVersion, fails.OwnerReferences[0].Kind, fails.OwnerReferences[0].Name = "tekton.dev/v1", "TaskRun", "build"
	key := configuration.Key{Group: "tekton.dev", Kind: "TaskRun", Namespace: "shop", Name: "build"}
	look := func(after time.Duration) *v1alpha1.Incident {
		s.at(after)
		s.enqueue(key)
		s.work()
		return s.one()
	}
	s.seePod(fails)
	if i := look(0); !incident.Active(i.Status.Signals) {
		t.Fatalf("signals %+v", i.Status.Signals)
	}
	s.removePod(record(fails))
	s.work()
	if i := look(recreated - time.Second); !incident.Active(i.Status.Signals) {
		t.Error("a deleted pod clears what failed")
	}
	i := look(recreated)
	if incident.Active(i.Status.Signals) || len(i.Status.Evidence) != 1 {
		t.Fatalf("signals %+v, evidence %+v", i.Status.Signals, i.Status.Evidence)
	}
	if e := i.Status.Evidence[0]; e.Reason != incident.EvidenceGone || !strings.Contains(e.Message, "not watched") {
		t.Errorf("it says %q", e.Message)
	}
	again := fails.DeepCopy()
	end := metav1.NewTime(t0.Add(recreated + 50*time.Second))
	again.UID, again.CreationTimestamp, again.Status.StartTime = "uid-again", end, &end
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.StartedAt = end
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.FinishedAt = end
	s.seePod(again)
	if i := look(recreated + time.Minute); !incident.Active(i.Status.Signals) {
		t.Error("it fails, and nothing tells")
	}
}
