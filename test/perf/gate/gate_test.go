// Package gate_test measures what the gate's decision costs in a large cluster.
package gate_test

import (
	"encoding/json"
	"fmt"
	"os"
	goruntime "runtime"
	"slices"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// size of a cluster: so many of each in all, spread evenly over the namespaces.
type size struct{ namespaces, services, workloads, changes int }

var full = size{namespaces: 100, services: 2000, workloads: 10_000, changes: 1000}

func (s size) part(n int) size {
	return size{s.namespaces / n, s.services / n, s.workloads / n, s.changes / n}
}

var now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

const (
	imageNow  = "registry.shop.example/checkout:2.3.0"
	imageNext = "registry.shop.example/checkout:2.4.0"
	imageOld  = "registry.shop.example/checkout:2.2.0"
)

// world is an inventory of a cluster, and a workload in the midst of it.
type world struct {
	inventory *inventory.Inventory
	key       configuration.Key
	templates map[string]configuration.Template
}

// workload i of a namespace belongs to one of its Services and runs the present image.
func workload(namespace string, i, services int, image string) *appsv1.Deployment {
	name := fmt.Sprintf("workload-%d", i)
	d := builder.MakeDeployment(namespace, name).TemplateLabel("service", fmt.Sprintf("service-%d", i%services)).Image("app", image).RolledOut().Obj()
	dress(d)
	if i >= 20 && i < 60 {
		d.Status.UpdatedReplicas = 0 // being rolled out
	}
	return d
}

// dress gives a Deployment what real ones have.
func dress(d *appsv1.Deployment) {
	pod := &d.Spec.Template.Spec
	app := &pod.Containers[0]
	for i := range 12 {
		app.Env = append(app.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", i), Value: "some value of an ordinary length"})
	}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}}, PeriodSeconds: 10}
	app.LivenessProbe, app.ReadinessProbe = probe, probe
	app.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: 9090}}
	app.Resources = corev1.ResourceRequirements{
		Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
		Limits:   corev1.ResourceList{"memory": resource.MustParse("256Mi")},
	}
	app.VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: "/etc/checkout"}, {Name: "tmp", MountPath: "/tmp"}}
	pod.Volumes = []corev1.Volume{
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "checkout"}}}},
		{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
}

func build(tb testing.TB, s size) *world {
	tb.Helper()
	w := &world{inventory: inventory.New(), templates: map[string]configuration.Template{}}
	w.inventory.Put(&v1alpha1.Calendar{ObjectMeta: metav1.ObjectMeta{Name: "office"}, Spec: v1alpha1.CalendarSpec{
		TimeZone: "Europe/Berlin", Weekly: []v1alpha1.WeeklyHours{{Days: []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri"}, From: "08:00", To: "18:00"}},
	}})
	w.inventory.Put(builder.MakeChangePolicy("production").Enforcement(v1alpha1.EnforcementEnforce).Spec(func(p *v1alpha1.ChangePolicySpec) {
		p.NamespaceSelector = v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": "production"}}
		p.ChangeWindow = &v1alpha1.ChangeWindow{CalendarRef: v1alpha1.LocalReference{Name: "office"}}
		p.MaxConcurrentRollouts = 50
		p.Freezes = []v1alpha1.Freeze{{Name: "christmas", From: "2026-12-20T00:00:00Z", To: "2027-01-02T00:00:00Z"}}
	}).Obj())
	for n := range s.namespaces {
		w.fill(tb, fmt.Sprintf("shop-%d", n), s)
	}
	w.key = configuration.Key{Group: "apps", Kind: "Deployment", Namespace: fmt.Sprintf("shop-%d", s.namespaces/2), Name: "workload-7"}
	return w
}

// fill a namespace with its share.
func (w *world) fill(tb testing.TB, namespace string, s size) {
	tb.Helper()
	w.inventory.Put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"env": "production"}}})
	services, workloads, changes := s.services/s.namespaces, s.workloads/s.namespaces, s.changes/s.namespaces
	for i := range services {
		obj := builder.MakeService(namespace, fmt.Sprintf("service-%d", i)).Tier(int32(1+i%3)).
			DependsOn(namespace, fmt.Sprintf("service-%d", (i+1)%services), v1alpha1.DependencyHard).Obj()
		obj.Spec.Workloads = []v1alpha1.WorkloadClaim{{
			Kind: v1alpha1.WorkloadDeployment, Selector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"service": v1alpha1.LabelValue(obj.Name)}},
		}}
		w.inventory.Put(obj)
	}
	for i := range workloads {
		d := builder.Unstructured(workload(namespace, i, services, imageNow), appsv1.SchemeGroupVersion.WithKind("Deployment"))
		w.inventory.Put(d)
		w.inventory.Put(builder.ConfigurationItem(namespace, v1alpha1.WorkloadDeployment, d.GetName(), w.baselines(tb, namespace, i, services)...))
	}
	for i := range changes {
		c := builder.MakeChange(namespace, fmt.Sprintf("change-%d", i)).Target(v1alpha1.WorkloadDeployment, fmt.Sprintf("workload-%d", i*workloads/changes+7), imageNext).
			Window(now.Add(-time.Hour), now.Add(5*time.Hour)).Assessed(v1alpha1.RiskMedium).Obj()
		w.inventory.Put(c)
		w.inventory.Put(builder.ChangeApproval(c.Name+"-bob", c, v1alpha1.DecisionApprove, "bob"))
	}
}

// baselines of a workload: nine that it had, and the present one.
func (w *world) baselines(tb testing.TB, namespace string, i, services int) []v1alpha1.Baseline {
	tb.Helper()
	var out []v1alpha1.Baseline
	for n := range 10 {
		image := fmt.Sprintf("registry.shop.example/checkout:2.%d.0", 3-n)
		if n > 3 {
			image = fmt.Sprintf("registry.shop.example/checkout:1.%d.0", 20-n)
		}
		t := w.template(tb, namespace, i, services, image)
		out = append(out, v1alpha1.Baseline{
			TemplateHash: t.Hash, ImagelessHash: t.ImagelessHash, Images: t.Images, Source: v1alpha1.BaselineChange, Change: fmt.Sprintf("earlier-%d", n),
			From: metav1.NewTime(now.AddDate(0, 0, -n-1)), Proven: true, Generation: 1,
		})
	}
	return out
}

// template of a workload with an image; labels and name differ between workloads, so each is hashed once.
func (w *world) template(tb testing.TB, namespace string, i, services int, image string) configuration.Template {
	tb.Helper()
	key := fmt.Sprintf("%d/%d/%s", i, i%services, image)
	if t, known := w.templates[key]; known {
		return t
	}
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(workload(namespace, i, services, image))
	if err != nil {
		tb.Fatal(err)
	}
	t := configuration.ParseTemplate("Deployment", configuration.RawTemplate(raw))
	w.templates[key] = t
	return t
}

// request to alter the image of the workload.
func (w *world) request(tb testing.TB, s size, image string, alter func(*change.Request)) *change.Request {
	tb.Helper()
	services := s.services / s.namespaces
	before, after := w.template(tb, w.key.Namespace, 7, services, imageNow), w.template(tb, w.key.Namespace, 7, services, image)
	r := &change.Request{Operation: change.Template, Key: w.key, User: change.User{Name: "alice", Groups: []string{"developers"}}, Old: &before, New: &after}
	if alter != nil {
		alter(r)
	}
	return r
}

// review is the AdmissionReview of an update: the object before and after, as an API server sends them, with the
// annotation of kubectl apply and the fields' managers.
func review(tb testing.TB, s size) []byte {
	tb.Helper()
	object := func(image string) runtime.RawExtension {
		d := workload("shop-1", 7, s.services/s.namespaces, image)
		d.UID = types.UID("0b1d1c9e-2f7e-4b1c-9a54-3c1d1b0d8f6a")
		applied, err := json.Marshal(d)
		if err != nil {
			tb.Fatal(err)
		}
		d.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(applied), "deployment.kubernetes.io/revision": "7"}
		raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
		if err != nil {
			tb.Fatal(err)
		}
		u := &unstructured.Unstructured{Object: raw}
		fields, err := json.Marshal(managed(raw["spec"]))
		if err != nil {
			tb.Fatal(err)
		}
		u.SetManagedFields([]metav1.ManagedFieldsEntry{
			{Manager: "kubectl-client-side-apply", Operation: "Update", APIVersion: "apps/v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(fields))},
		})
		out, err := u.MarshalJSON()
		if err != nil {
			tb.Fatal(err)
		}
		return runtime.RawExtension{Raw: out}
	}
	out, err := json.Marshal(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "7f0c2c7e-0d4b-4f6e-8f1b-6f7a6f1f2a3b", Kind: metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
			Resource: metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, Name: "workload-7", Namespace: "shop-1",
			Operation: admissionv1.Update, Object: object(imageNext), OldObject: object(imageNow),
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// managed is a set of fields as managers have them.
func managed(v any) map[string]any {
	out := map[string]any{}
	if m, ok := v.(map[string]any); ok {
		for k, inner := range m {
			out["f:"+k] = managed(inner)
		}
	}
	return out
}

// decoder reads an AdmissionReview as controller-runtime does.
func decoder(tb testing.TB) runtime.Decoder {
	tb.Helper()
	scheme := runtime.NewScheme()
	if err := admissionv1.AddToScheme(scheme); err != nil {
		tb.Fatal(err)
	}
	return serializer.NewCodecFactory(scheme).UniversalDeserializer()
}

type thresholds struct {
	DecisionToDecode           float64 `json:"decisionToDecode"`
	Growth                     float64 `json:"growth"`
	EventGrowth                float64 `json:"eventGrowth"`
	MemoryGrowth               float64 `json:"memoryGrowth"`
	NotTheTemplate             float64 `json:"notTheTemplate"`
	NotTheTemplateMilliseconds float64 `json:"notTheTemplateMilliseconds"`
	TemplateP50                float64 `json:"templateP50"`
	TemplateP99                float64 `json:"templateP99"`
	TemplateToNoop             float64 `json:"templateToNoop"`
}

func readThresholds(tb testing.TB) thresholds {
	tb.Helper()
	data, err := os.ReadFile("thresholds.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	var t thresholds
	if err := yaml.UnmarshalStrict(data, &t); err != nil || slices.Contains([]float64{t.DecisionToDecode, t.Growth, t.EventGrowth, t.MemoryGrowth,
		t.NotTheTemplate, t.NotTheTemplateMilliseconds, t.TemplateP50, t.TemplateP99, t.TemplateToNoop}, 0) {
		tb.Fatalf("thresholds %+v, error %v", t, err)
	}
	return t
}

// scenarios are the requests that a gate decides about, and what it says.
var scenarios = []struct {
	name    string
	image   string
	alter   func(*change.Request)
	verdict change.Verdict
}{
	{"Unchanged", imageNow, nil, change.Unchanged},
	{"Covered", imageNext, nil, change.Covered},
	{"Rollback", imageOld, nil, change.Rollback},
	{"Denied", "evil.example/miner:1", nil, change.Denied},
	{"NotGoverned", imageNext, func(r *change.Request) { r.Key.Namespace = "elsewhere" }, change.NotGoverned},
}

// BenchmarkGate measures the decision, from the inventory to the verdict, and beside it the decoding of the
// AdmissionReview; the ratio must stay below the threshold.
func BenchmarkGate(b *testing.B) {
	limits := readThresholds(b)
	w, half, quarter := build(b, full), build(b, full.part(2)), build(b, full.part(4))
	body, decode := review(b, full), decoder(b)
	b.Logf("AdmissionReview of %d bytes; %d Services, %d workloads, %d open Changes", len(body), full.services, full.workloads, full.changes)
	for _, s := range scenarios {
		b.Run(s.name, func(b *testing.B) {
			r, middle, small := w.request(b, full, s.image, s.alter), half.request(b, full.part(2), s.image, s.alter), quarter.request(b, full.part(4), s.image, s.alter)
			for _, check := range []change.Decision{
				change.Decide(r, w.inventory.World(r), now), change.Decide(middle, half.inventory.World(middle), now),
				change.Decide(small, quarter.inventory.World(small), now),
			} {
				if check.Verdict != s.verdict {
					b.Fatalf("the scenario is %s, not %s: %v", check.Verdict, s.verdict, check.Reasons)
				}
			}
			var deciding, decoding, halved, smaller samples
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				d := change.Decide(r, w.inventory.World(r), now)
				decided := time.Now()
				if _, _, err := decode.Decode(body, nil, &admissionv1.AdmissionReview{}); err != nil || d.Verdict != s.verdict {
					b.Fatal(err, d.Verdict)
				}
				decoded := time.Now()
				change.Decide(middle, half.inventory.World(middle), now)
				again := time.Now()
				change.Decide(small, quarter.inventory.World(small), now)
				deciding, decoding = append(deciding, decided.Sub(begin)), append(decoding, decoded.Sub(decided))
				halved, smaller = append(halved, again.Sub(decoded)), append(smaller, time.Since(again))
			}
			ratio, growth := deciding.median()/decoding.median(), deciding.median()/smaller.median()
			b.ReportMetric(deciding.median(), "decision-ns")
			b.ReportMetric(decoding.median(), "decode-ns")
			b.ReportMetric(ratio, "decision/decode")
			b.ReportMetric(deciding.median()/halved.median(), "growth/2x")
			b.ReportMetric(growth, "growth/4x")
			if ratio > limits.DecisionToDecode {
				b.Errorf("the decision takes %.3f of the time to decode its AdmissionReview; the threshold is %.3f", ratio, limits.DecisionToDecode)
			}
			if growth > limits.Growth {
				b.Errorf("four times the cluster takes %.2f times as long; the threshold is %.2f", growth, limits.Growth)
			}
		})
	}
}

// BenchmarkGrowth measures what an event costs the inventory, and the memory that it takes for each workload, in a
// cluster and in one of half and of a quarter of its size.
func BenchmarkGrowth(b *testing.B) {
	limits := readThresholds(b)
	var worlds []*world
	var perWorkload []float64
	parts := []int{4, 2, 1}
	for _, part := range parts {
		before := heap()
		w := build(b, full.part(part))
		w.templates = nil // of the test, not of the inventory
		worlds = append(worlds, w)
		perWorkload = append(perWorkload, float64(heap()-before)/float64(full.part(part).workloads))
	}
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			goruntime.KeepAlive(worlds)
		}
		ratio := perWorkload[2] / perWorkload[0]
		b.ReportMetric(perWorkload[2], "bytes/workload")
		b.ReportMetric(perWorkload[2]/perWorkload[1], "growth/2x")
		b.ReportMetric(ratio, "growth/4x")
		if ratio > limits.MemoryGrowth {
			b.Errorf("each workload takes %.2f times the memory in a cluster four times as large; the threshold is %.2f", ratio, limits.MemoryGrowth)
		}
	})
	for name, event := range map[string]func(w *world, n int) client.Object{
		"change": func(w *world, n int) client.Object {
			return builder.MakeChange(w.key.Namespace, "change-0").Target(v1alpha1.WorkloadDeployment, "workload-7", imageNext).
				Window(now.Add(-time.Hour), now.Add(time.Duration(5+n%2)*time.Hour)).Assessed(v1alpha1.RiskMedium).Obj()
		},
		"workload": func(w *world, n int) client.Object {
			d := workload(w.key.Namespace, 7, 20, imageNow)
			d.Status.UpdatedReplicas = int32(n % 2)
			return builder.Unstructured(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))
		},
		"incident": func(w *world, n int) client.Object {
			i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: "incident-0"}}
			i.Spec.ServiceRef = &v1alpha1.LocalReference{Name: "service-7"}
			if n%2 == 0 {
				i.Status.State = v1alpha1.IncidentClosed
			}
			return i
		},
	} {
		b.Run("event/"+name, func(b *testing.B) {
			taken := make([]samples, len(worlds))
			n := 0
			for b.Loop() {
				n++
				for i, w := range worlds {
					object := event(w, n)
					begin := time.Now()
					w.inventory.Put(object)
					taken[i] = append(taken[i], time.Since(begin))
				}
			}
			ratio := taken[2].median() / taken[0].median()
			b.ReportMetric(taken[2].median(), "event-ns")
			b.ReportMetric(taken[2].median()/taken[1].median(), "growth/2x")
			b.ReportMetric(ratio, "growth/4x")
			if ratio > limits.EventGrowth {
				b.Errorf("an event of a %s costs %.2f times as much in a cluster four times as large; the threshold is %.2f", name, ratio, limits.EventGrowth)
			}
		})
	}
}

// heap is the memory that is in use after the garbage is collected.
func heap() uint64 {
	goruntime.GC()
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return m.HeapAlloc
}

// samples of one thing. Their median does not move when something else on the machine takes a turn.
type samples []time.Duration

func (s samples) median() float64 {
	slices.Sort(s)
	return float64(s[len(s)/2].Nanoseconds())
}

// BenchmarkPrepare measures what an event of a Change or a vote costs the inventory.
func BenchmarkPrepare(b *testing.B) {
	c := builder.MakeChange("shop", "c").Target(v1alpha1.WorkloadDeployment, "checkout", imageNext).Assessed(v1alpha1.RiskMedium).Obj()
	votes := []*v1alpha1.ChangeApproval{
		builder.ChangeApproval("bob", c, v1alpha1.DecisionApprove, "bob"), builder.ChangeApproval("carol", c, v1alpha1.DecisionApprove, "carol"),
	}
	b.ReportAllocs()
	for b.Loop() {
		change.Prepare(change.Agreed{Change: c, Approvals: votes})
	}
}
