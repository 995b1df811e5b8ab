package incident_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/replay"
)

// world is a cluster with one detector and one lifecycle, both of which do what their controllers do: look at what an
// event is about, write patches, and come back when they said they would.
type world struct {
	t   *testing.T
	now time.Time
	// skew is how much later than now the operator's clock is. Its timers are not moved when it is set.
	skew     time.Duration
	settings incident.Settings
	facts    incident.Facts
	objects  map[types.UID]*unstructured.Unstructured
	known    map[configuration.Key]bool
	// cronJobOf is the CronJob of each Job that has one.
	cronJobOf map[string]string
	histories map[configuration.Key]incident.History
	incidents []*v1alpha1.Incident
	wakes     map[configuration.Key]time.Time
	lifeWakes map[string]time.Time
	// writes to the incident of a name, its creation included.
	writes map[string]int
}

// What was read of each version of an object; the traces are played many times.
var (
	readPods      = map[string]*incident.Pod{}
	readWorkloads = map[string]*configuration.Workload{}
)

func version(o *unstructured.Unstructured) string {
	return string(o.GetUID()) + "@" + o.GetResourceVersion()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{
		t: t, settings: incident.DefaultSettings(), facts: incident.Facts{Rules: incident.DefaultRules()},
		objects: map[types.UID]*unstructured.Unstructured{}, known: map[configuration.Key]bool{}, cronJobOf: map[string]string{},
		histories: map[configuration.Key]incident.History{}, wakes: map[configuration.Key]time.Time{},
		lifeWakes: map[string]time.Time{}, writes: map[string]int{},
	}
}

// clock is what the operator takes for the time.
func (w *world) clock() time.Time { return w.now.Add(w.skew) }

// timer is when a timer rings that the operator sets by its clock.
func (w *world) timer(at time.Time) time.Time { return at.Add(-w.skew) }

// Apply lets the time until the event pass, and the event happen.
func (w *world) Apply(e replay.Event) error {
	w.pass(e.Time)
	w.put(e)
	if key, ok := w.keyOf(e.Object); ok {
		w.known[key] = true
		w.look(key)
	}
	return nil
}

func (w *world) put(e replay.Event) {
	if e.Type == watch.Deleted {
		delete(w.objects, e.Object.GetUID())
	} else {
		w.objects[e.Object.GetUID()] = e.Object
	}
}

// restart loses all that is not written down, and looks at everything anew.
func (w *world) restart() {
	w.histories = map[configuration.Key]incident.History{}
	w.wakes = map[configuration.Key]time.Time{}
	for _, key := range slices.SortedFunc(maps.Keys(w.known), compareKeys) {
		w.look(key)
	}
}

func compareKeys(a, b configuration.Key) int {
	return cmp.Compare(incident.KeyString(a), incident.KeyString(b))
}

// pass lets time pass, with all the looks and evaluations that were asked for.
func (w *world) pass(until time.Time) {
	for range 10_000 {
		var at time.Time
		var next func()
		for key, wake := range w.wakes {
			if next == nil || wake.Before(at) {
				at, next = wake, func() { w.look(key) }
			}
		}
		for name, wake := range w.lifeWakes {
			if next == nil || wake.Before(at) {
				at, next = wake, func() { w.live(name) }
			}
		}
		if next == nil || at.After(until) {
			w.now = until
			return
		}
		w.now = at
		next()
	}
	w.t.Fatal("the world does not come to rest")
}

func (w *world) keyOf(o *unstructured.Unstructured) (configuration.Key, bool) {
	key := configuration.Key{Namespace: o.GetNamespace(), Kind: o.GetKind(), Name: o.GetName()}
	switch o.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet":
		key.Group = "apps"
		return key, true
	case "ReplicaSet":
		key.Group = "apps"
		return key, len(o.GetOwnerReferences()) == 0
	case "CronJob":
		key.Group = "batch"
		return key, true
	case "Job":
		key.Group = "batch"
		if owners := o.GetOwnerReferences(); len(owners) > 0 {
			w.cronJobOf[o.GetName()] = owners[0].Name
			key.Kind, key.Name = "CronJob", owners[0].Name
		}
		return key, true
	case "Node":
		return key, true
	case "Pod":
		pod := w.pod(o)
		if pod.Owner == nil || pod.Owner.Kind == "Node" {
			return key, true
		}
		key.Group, key.Kind, key.Name = pod.Owner.Group, pod.Owner.Kind, pod.Owner.Name
		switch {
		case pod.Owner.Kind == "ReplicaSet" && pod.Revision != "":
			key.Kind, key.Name = "Deployment", strings.TrimSuffix(pod.Owner.Name, "-"+pod.Revision)
		case pod.Owner.Kind == "Job" && w.cronJobOf[pod.Owner.Name] != "":
			key.Kind, key.Name = "CronJob", w.cronJobOf[pod.Owner.Name]
		}
		return key, true
	default:
		return key, false
	}
}

func (w *world) pod(o *unstructured.Unstructured) *incident.Pod {
	if known := readPods[version(o)]; known != nil {
		return known
	}
	full := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, full); err != nil {
		w.t.Fatal(err)
	}
	pod := incident.PodFrom(full)
	readPods[version(o)] = &pod
	return &pod
}

func (w *world) workload(o *unstructured.Unstructured) *configuration.Workload {
	if known := readWorkloads[version(o)]; known != nil {
		return known
	}
	workload, err := configuration.FromObject(o.Object)
	if err != nil {
		w.t.Fatal(err)
	}
	readWorkloads[version(o)] = &workload
	return &workload
}

func (w *world) observation(key configuration.Key) incident.Observation {
	o := incident.Observation{Key: key}
	for _, object := range w.objects {
		k, ok := w.keyOf(object)
		switch {
		case key.Kind == "Node" && object.GetKind() == "Pod" && w.pod(object).Node == key.Name:
			o.Pods = append(o.Pods, w.pod(object))
		case !ok || k != key:
		case object.GetKind() == "Node":
			o.Node = w.node(object)
		case object.GetKind() == "Pod":
			o.Pods = append(o.Pods, w.pod(object))
			if key.Kind == "Pod" {
				o.Workload = w.workload(object)
			}
		case object.GetKind() == "Job" && key.Kind == "CronJob":
			o.Jobs = append(o.Jobs, w.workload(object))
		default:
			o.Workload = w.workload(object)
		}
	}
	group, watched := configuration.GroupOf(key.Kind)
	o.Gone = o.Workload == nil && o.Node == nil && (len(o.Pods) == 0 || watched && group == key.Group || key.Kind == "Node")
	o.LostNodes, _ = w.lostNodes()
	return o
}

func (w *world) node(o *unstructured.Unstructured) *incident.Node {
	full := &corev1.Node{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, full); err != nil {
		w.t.Fatal(err)
	}
	node := incident.NodeFrom(full)
	return &node
}

// lostNodes are those with an open Incident, which may explain others.
func (w *world) lostNodes() (since map[string]time.Time, candidates []incident.Candidate) {
	since = map[string]time.Time{}
	for _, i := range w.open() {
		key, _ := incident.KeyOf(i)
		if key.Kind != "Node" || i.Status.StartedAt == nil {
			continue
		}
		since[key.Name] = i.Status.StartedAt.Time
		candidates = append(candidates, incident.Candidate{
			Ref:  v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(i.Namespace), Name: v1alpha1.ObjectName(i.Name)},
			Node: key.Name, Began: i.Status.StartedAt.Time,
		})
	}
	return since, candidates
}

func (w *world) look(key configuration.Key) {
	delete(w.wakes, key)
	o := w.observation(key)
	r := incident.Observe(o, w.settings, w.histories[key], w.clock())
	w.histories[key] = r.History
	subject := incident.Subject{Key: key}
	_, subject.Candidates = w.lostNodes()
	if o.Workload != nil {
		subject.TemplateHash = o.Workload.Template.Hash
	}
	records := incident.Choose(w.of(key), incident.DefaultRules(), r.Findings, w.clock())
	action := incident.Decide(records, r, subject, w.clock())
	if !action.Next.IsZero() {
		w.wakes[key] = w.timer(action.Next)
	}
	switch action.Verb {
	case incident.Nothing:
	case incident.Open:
		w.detected(w.create(key, r), action.Detected)
		w.lookAtOthers(key)
	case incident.Update:
		w.detected(records.Current, action.Detected)
		w.lookAtOthers(key)
	}
}

// lookAtOthers looks at what a node explains, or does not any more.
func (w *world) lookAtOthers(key configuration.Key) {
	if key.Kind != "Node" {
		return
	}
	for _, other := range slices.SortedFunc(maps.Keys(w.known), compareKeys) {
		if other.Kind != "Node" {
			w.look(other)
		}
	}
}

func (w *world) of(key configuration.Key) []*v1alpha1.Incident {
	var out []*v1alpha1.Incident
	for _, i := range w.incidents {
		if k, ok := incident.KeyOf(i); ok && k == key {
			out = append(out, i)
		}
	}
	return out
}

func (w *world) create(key configuration.Key, r incident.Result) *v1alpha1.Incident {
	episode := len(w.of(key)) + 1
	ref := incident.Reference(key)
	i := &v1alpha1.Incident{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: incident.Name(key, episode), CreationTimestamp: metav1.NewTime(w.now),
			Labels: map[string]string{v1alpha1.LabelEpisode: strconv.Itoa(episode)}, Generation: 1,
		},
		Spec: v1alpha1.IncidentSpec{
			Title: incident.Title(key, r.Findings[0]), Source: v1alpha1.IncidentSourceDetector, WorkloadRef: &ref,
		},
	}
	w.incidents = append(w.incidents, i)
	w.writes[i.Name]++
	return i
}

func (w *world) detected(i *v1alpha1.Incident, d incident.Detected) {
	w.write(i, d.Into(i.Status))
	w.live(i.Name)
}

func (w *world) live(name string) {
	delete(w.lifeWakes, name)
	for n, i := range w.incidents {
		if i.Name != name {
			continue
		}
		d := incident.Evaluate(i, w.facts, w.clock())
		if d.Expired {
			w.incidents = slices.Delete(w.incidents, n, n+1)
			return
		}
		if diff := gocmp.Diff(incident.DetectedOf(&i.Status), incident.DetectedOf(&d.Status)); diff != "" {
			w.t.Errorf("the lifecycle alters what the detector wrote: %s", diff)
		}
		w.write(i, d.Status)
		if !d.Next.IsZero() {
			w.lifeWakes[name] = w.timer(d.Next)
		}
		if diff := gocmp.Diff(i.Status, incident.Evaluate(i, w.facts, w.clock()).Status, cmpopts.EquateEmpty()); diff != "" {
			w.t.Errorf("the decision about %s is not at rest: %s", name, diff)
		}
		return
	}
}

// write sends what differs through a merge patch, as the API server gets it.
func (w *world) write(i *v1alpha1.Incident, status v1alpha1.IncidentStatus) {
	w.t.Helper()
	after := i.DeepCopy()
	after.Status = status
	patch, err := client.MergeFrom(i.DeepCopy()).Data(after)
	if err != nil {
		w.t.Fatal(err)
	}
	if string(patch) == "{}" {
		return
	}
	w.writes[i.Name]++
	var changes map[string]any
	if err := json.Unmarshal(patch, &changes); err != nil {
		w.t.Fatal(err)
	}
	document, err := runtime.DefaultUnstructuredConverter.ToUnstructured(i)
	if err != nil {
		w.t.Fatal(err)
	}
	mergePatch(document, changes)
	var out v1alpha1.Incident
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(document, &out); err != nil {
		w.t.Fatal(err)
	}
	*i = out
}

// mergePatch changes a document by a JSON merge patch (RFC 7386).
func mergePatch(document, changes map[string]any) {
	for key, value := range changes {
		inside, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(document, key)
		case isObject:
			before, wasObject := document[key].(map[string]any)
			if !wasObject {
				before = map[string]any{}
			}
			mergePatch(before, inside)
			document[key] = before
		default:
			document[key] = value
		}
	}
}

// summary is what must be the same whatever order things came in.
func (w *world) summary() []string {
	var out []string
	for _, i := range w.incidents {
		var reasons []string
		for _, s := range i.Status.Signals {
			reasons = append(reasons, string(s.Reason)+"/"+s.Container)
		}
		slices.Sort(reasons)
		line := i.Name + " " + string(i.Status.State) + " " + string(i.Status.Reason) + " [" + strings.Join(reasons, " ") + "]"
		if i.Status.Resolution != nil {
			line += " " + string(i.Status.Resolution.Code)
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}
