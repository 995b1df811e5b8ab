// Package detection_test measures what detection costs: the memory of a watched pod, and a look at a workload.
package detection_test

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/replay"
)

type thresholds struct {
	PodBytes     float64 `json:"podBytes"`
	PodToFull    float64 `json:"podToFull"`
	LookToDecode float64 `json:"lookToDecode"`
	Growth       float64 `json:"growth"`

	StartPods   int     `json:"startPods"`
	StartToList float64 `json:"startToList"`
	StormWrites float64 `json:"stormWrites"`

	IncidentP50Milliseconds   float64 `json:"incidentP50Milliseconds"`
	IncidentP99Milliseconds   float64 `json:"incidentP99Milliseconds"`
	CalmRoundTripMilliseconds float64 `json:"calmRoundTripMilliseconds"`
}

func readThresholds(tb testing.TB) thresholds {
	tb.Helper()
	data, err := os.ReadFile("thresholds.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	var t thresholds
	if err := yaml.UnmarshalStrict(data, &t); err != nil || t.PodBytes <= 0 || t.PodToFull <= 0 || t.LookToDecode <= 0 || t.Growth <= 0 {
		tb.Fatalf("thresholds %+v, error %v", t, err)
	}
	return t
}

// recordedPod is a pod of a recorded crash loop as it was last, with its managed fields, which the recording leaves out.
func recordedPod(tb testing.TB) *corev1.Pod {
	tb.Helper()
	trace, err := replay.Load("crashloop")
	if err != nil {
		tb.Fatal(err)
	}
	pod := &corev1.Pod{}
	for _, e := range trace.Events {
		if e.Object.GetKind() == "Pod" {
			pod = &corev1.Pod{}
			if err := kruntime.DefaultUnstructuredConverter.FromUnstructured(e.Object.Object, pod); err != nil {
				tb.Fatal(err)
			}
		}
	}
	pod.ManagedFields = []metav1.ManagedFieldsEntry{
		managed(tb, "kube-controller-manager", "", map[string]any{"metadata": pod.ObjectMeta, "spec": pod.Spec}),
		managed(tb, "kubelet", "status", map[string]any{"status": pod.Status}),
	}
	return pod
}

// managed is an entry of managed fields as a writer of these has it.
func managed(tb testing.TB, manager, subresource string, fields any) metav1.ManagedFieldsEntry {
	tb.Helper()
	raw, err := json.Marshal(fields)
	if err != nil {
		tb.Fatal(err)
	}
	var decoded any
	if err := json.Unmarshal(raw, &decoded); err != nil {
		tb.Fatal(err)
	}
	if raw, err = json.Marshal(paths(decoded)); err != nil {
		tb.Fatal(err)
	}
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(string(raw)), Subresource: subresource,
	}
}

func paths(v any) map[string]any {
	out := map[string]any{}
	if m, ok := v.(map[string]any); ok {
		for k, inner := range m {
			out["f:"+k] = paths(inner)
		}
	}
	return out
}

// shape gives a recorded pod the identity of the nth pod of a cluster with ten pods to a ReplicaSet and twenty to a node.
func shape(pod *corev1.Pod, n int) {
	set := n / 10
	hash := fmt.Sprintf("%010x", set)
	pod.Namespace, pod.Name = fmt.Sprintf("namespace-%d", set/10), fmt.Sprintf("workload-%d-%s-%05x", set, hash, n)
	pod.UID = types.UID(fmt.Sprintf("%08x-3909-44a0-8093-%012x", n, n))
	pod.ResourceVersion = fmt.Sprint(1_000_000 + n)
	pod.Spec.NodeName = fmt.Sprintf("node-%d", n/20)
	pod.Labels = map[string]string{
		"app": fmt.Sprint("workload-", set), "app.kubernetes.io/name": fmt.Sprint("workload-", set), "team": "payments",
		"pod-template-hash": hash,
	}
	yes := true
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: fmt.Sprintf("workload-%d-%s", set, hash), Controller: &yes,
		UID: types.UID(fmt.Sprintf("%08x-1111-44a0-8093-a7117330df40", set)),
	}}
}

// received is a pod as an informer gets it: decoded from what a watch sends, so that it shares no memory with others.
func received(tb testing.TB, pod *corev1.Pod) *corev1.Pod {
	tb.Helper()
	raw, err := pod.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	out := &corev1.Pod{}
	if err := out.Unmarshal(raw); err != nil {
		tb.Fatal(err)
	}
	return out
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// store fills the store of an informer, as controller-runtime makes it, and returns the bytes that each pod takes.
func store(tb testing.TB, pods int, transform toolscache.TransformFunc) float64 {
	tb.Helper()
	template := recordedPod(tb)
	before := heap()
	indexer := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, toolscache.Indexers{toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc})
	for n := range pods {
		shape(template, n)
		var object any = received(tb, template)
		if transform != nil {
			var err error
			if object, err = transform(object); err != nil {
				tb.Fatal(err)
			}
		}
		if err := indexer.Add(object); err != nil {
			tb.Fatal(err)
		}
	}
	bytes := (heap() - before) / float64(pods)
	runtime.KeepAlive(indexer)
	runtime.KeepAlive(transform)
	return bytes
}

// BenchmarkPodMemory measures the memory of watched pods against that of a full cache of the same pods.
func BenchmarkPodMemory(b *testing.B) {
	limits := readThresholds(b)
	const pods = 20_000
	var kept, full float64
	for b.Loop() {
		full = store(b, pods, nil)
		kept = store(b, pods, detection.TransformPod())
	}
	b.ReportMetric(kept, "B/pod")
	b.ReportMetric(full, "B/full-pod")
	b.ReportMetric(kept/full, "pod/full")
	if kept > limits.PodBytes {
		b.Errorf("a watched pod takes %.0f bytes; the threshold is %.0f", kept, limits.PodBytes)
	}
	if kept/full > limits.PodToFull {
		b.Errorf("a watched pod takes %.3f of a full one; the threshold is %.3f", kept/full, limits.PodToFull)
	}
}

// observation is a Deployment with so many pods, of which the last crashes if it shall.
func observation(tb testing.TB, pods int, crashing bool) (incident.Observation, time.Time) {
	tb.Helper()
	crashed := recordedPod(tb)
	now := crashed.Status.ContainerStatuses[0].LastTerminationState.Terminated.FinishedAt.Add(time.Minute)
	running := crashed.DeepCopy()
	status := &running.Status.ContainerStatuses[0]
	status.RestartCount, status.LastTerminationState = 0, corev1.ContainerState{}
	status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: *running.Status.StartTime}}
	for i := range running.Status.Conditions {
		running.Status.Conditions[i].Status = corev1.ConditionTrue
	}
	count := int32(pods)
	w := &configuration.Workload{
		Key:        configuration.Key{Group: "apps", Kind: configuration.KindDeployment, Namespace: "namespace-0", Name: "workload-0"},
		Generation: 1, ObservedGeneration: 1, Desired: count, Ready: count, Updated: count, Current: count,
		Conditions: map[string]configuration.Condition{"Progressing": {Status: "True", Reason: "NewReplicaSetAvailable"}},
	}
	o := incident.Observation{Key: w.Key, Workload: w}
	for n := range pods {
		source := running
		if crashing && n == pods-1 {
			source = crashed
		}
		shape(source, n%10)
		pod := incident.PodFrom(source)
		pod.Name = fmt.Sprint(pod.Name, n)
		o.Pods = append(o.Pods, &pod)
	}
	return o, now
}

// BenchmarkLook measures a look at a workload, and beside it the decoding of the pod whose event it is.
func BenchmarkLook(b *testing.B) {
	limits := readThresholds(b)
	settings := incident.DefaultSettings()
	raw, err := recordedPod(b).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range []struct {
		name     string
		crashing bool
	}{{"Healthy", false}, {"Crashing", true}} {
		b.Run(s.name, func(b *testing.B) {
			o, now := observation(b, 10, s.crashing)
			r := incident.Observe(o, settings, incident.History{}, now)
			if (len(r.Findings) > 0) != s.crashing {
				b.Fatalf("found %v", r.Findings)
			}
			var looking, decoding samples
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				incident.Observe(o, settings, r.History, now)
				looked := time.Now()
				if err := (&corev1.Pod{}).Unmarshal(raw); err != nil {
					b.Fatal(err)
				}
				looking, decoding = append(looking, looked.Sub(begin)), append(decoding, time.Since(looked))
			}
			ratio := looking.median() / decoding.median()
			b.ReportMetric(looking.median(), "look-ns")
			b.ReportMetric(decoding.median(), "decode-ns")
			b.ReportMetric(ratio, "look/decode")
			if ratio > limits.LookToDecode {
				b.Errorf("a look takes %.2f of the time to decode a pod; the threshold is %.2f", ratio, limits.LookToDecode)
			}
		})
	}
}

// BenchmarkLookGrowth: a look is linear in the pods of its workload, and needs nothing of any other.
func BenchmarkLookGrowth(b *testing.B) {
	limits := readThresholds(b)
	settings := incident.DefaultSettings()
	small, now := observation(b, 100, true)
	large, _ := observation(b, 400, true)
	var at100, at400 samples
	for b.Loop() {
		begin := time.Now()
		incident.Observe(small, settings, incident.History{}, now)
		between := time.Now()
		incident.Observe(large, settings, incident.History{}, now)
		at100, at400 = append(at100, between.Sub(begin)), append(at400, time.Since(between))
	}
	growth := at400.median() / at100.median() / 4
	b.ReportMetric(growth, "growth/4x")
	if growth > limits.Growth {
		b.Errorf("four times the pods take %.2f times as long as linear; the threshold is %.2f", growth, limits.Growth)
	}
}

// BenchmarkTransform measures what the cache does with a pod that it receives.
func BenchmarkTransform(b *testing.B) {
	pod := recordedPod(b)
	shape(pod, 1)
	transform := detection.TransformPod()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := transform(pod); err != nil {
			b.Fatal(err)
		}
	}
}

// samples of one thing. Their median does not move when something else on the machine takes a turn.
type samples []time.Duration

func (s samples) median() float64 {
	slices.Sort(s)
	return float64(s[len(s)/2].Nanoseconds())
}
