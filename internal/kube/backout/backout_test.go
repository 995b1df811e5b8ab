package backout_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const (
	good   = "registry.shop.example/checkout:2.3"
	bad    = "registry.shop.example/checkout:2.4"
	other  = "registry.shop.example/checkout:2.5"
	onceOf = "checkout-2-4/7c2d"
)

var env *apiserver.Env

func TestMain(m *testing.M) {
	launched, err := apiserver.Launch()
	if err != nil {
		panic(err)
	}
	env = launched
	defer func() {
		if err := env.Stop(); err != nil {
			panic(err)
		}
	}()
	m.Run()
}

// runs matches templates by the image of their container.
func runs(image string) backout.Matcher {
	return func(template map[string]any) bool {
		containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
		if len(containers) != 1 {
			return false
		}
		first, _ := containers[0].(map[string]any)
		return first["image"] == image
	}
}

type bench struct {
	*testing.T
	namespace string
	restorer  *backout.Restorer
}

func setUp(t *testing.T) *bench {
	t.Helper()
	return &bench{t, env.Namespace(t, nil), &backout.Restorer{Reader: env.Admin(), Client: env.Admin()}}
}

func (b *bench) create(obj client.Object) {
	b.Helper()
	obj.SetUID("")
	obj.SetResourceVersion("")
	obj.SetGeneration(0)
	obj.SetCreationTimestamp(metav1.Time{})
	if err := env.Admin().Create(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func template(image string) corev1.PodTemplateSpec {
	out := builder.Template("checkout")
	out.Spec.Containers[0].Image = image
	return out
}

func (b *bench) deployment(image string) *appsv1.Deployment {
	d := builder.MakeDeployment(b.namespace, "checkout").Image("app", image).Obj()
	b.create(d)
	return d
}

// replicaSet is as the Deployment's controller makes it.
func (b *bench) replicaSet(d *appsv1.Deployment, name, revision string, t corev1.PodTemplateSpec) {
	rs := builder.ReplicaSet(b.namespace, name)
	rs.Spec.Template = t
	rs.Spec.Template.Labels["pod-template-hash"] = name
	rs.Spec.Selector.MatchLabels = map[string]string{"app": "checkout", "pod-template-hash": name}
	rs.Labels = rs.Spec.Selector.MatchLabels
	rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": revision}
	rs.OwnerReferences = []metav1.OwnerReference{builder.Controller(appsv1.SchemeGroupVersion.WithKind("Deployment"), d.Name, d.UID)}
	b.create(rs)
}

// controllerRevision is as the controllers of StatefulSets and DaemonSets make it.
func (b *bench) controllerRevision(of client.Object, kind, name string, number int64, t corev1.PodTemplateSpec) {
	b.Helper()
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&t)
	if err != nil {
		b.Fatal(err)
	}
	raw["$patch"] = "replace"
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"template": raw}})
	if err != nil {
		b.Fatal(err)
	}
	b.create(&appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: b.namespace, Name: name, Labels: maps.Clone(t.Labels),
			OwnerReferences: []metav1.OwnerReference{builder.Controller(appsv1.SchemeGroupVersion.WithKind(kind), of.GetName(), of.GetUID())},
		},
		Data: runtime.RawExtension{Raw: data}, Revision: number,
	})
}

func (b *bench) restoration() backout.Restoration {
	return backout.Restoration{
		Workload: backout.Workload{Kind: "Deployment", Namespace: b.namespace, Name: "checkout"}, From: runs(bad), To: runs(good), Mark: onceOf,
	}
}

func (b *bench) restore(what backout.Restoration) backout.Result {
	b.Helper()
	result, err := b.restorer.Restore(b.Context(), what)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

func (b *bench) live() *appsv1.Deployment {
	b.Helper()
	d := &appsv1.Deployment{}
	if err := env.Admin().Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: "checkout"}, d); err != nil {
		b.Fatal(err)
	}
	return d
}

// deployed is a Deployment that runs the bad image, and had the good one with more than the image different.
func (b *bench) deployed() *appsv1.Deployment {
	d := b.deployment(bad)
	before := template(good)
	before.Annotations = map[string]string{"shop.example/team": "payments"}
	before.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "CACHE", Value: "off"}}
	b.replicaSet(d, "checkout-1", "1", before)
	b.replicaSet(d, "checkout-2", "2", template(bad))
	return d
}

func TestRestoreOfTheWholeTemplate(t *testing.T) {
	b := setUp(t)
	b.deployed()
	if got := b.restore(b.restoration()); got != backout.Restored {
		t.Fatalf("%s", got)
	}
	d := b.live()
	c := d.Spec.Template.Spec.Containers[0]
	if c.Image != good || len(c.Env) != 1 || c.Env[0].Value != "off" {
		t.Errorf("container %+v", c)
	}
	if diff := cmp.Diff(map[string]string{"app": "checkout"}, d.Spec.Template.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	mark := d.Labels[backout.LabelBackout]
	if mark == "" || len(d.Annotations) > 0 {
		t.Errorf("labels %v, annotations %v", d.Labels, d.Annotations)
	}

	if got := b.restore(b.restoration()); got != backout.Already {
		t.Errorf("a second time: %s", got)
	}
	// Somebody puts the bad one in again: that is not ours to fight.
	again := b.live()
	again.Spec.Template.Spec.Containers[0].Image = bad
	if err := env.Admin().Update(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if got := b.restore(b.restoration()); got != backout.Already {
		t.Errorf("after somebody put it back: %s", got)
	}
	if image := b.live().Spec.Template.Spec.Containers[0].Image; image != bad {
		t.Errorf("it was fought: %s", image)
	}
	// Another Change is another mark.
	next := b.restoration()
	next.Mark = "checkout-2-4-2/9911"
	if got := b.restore(next); got != backout.Restored {
		t.Errorf("for another Change: %s", got)
	}
	if d := b.live(); d.Labels[backout.LabelBackout] == mark || d.Labels[backout.LabelBackout] == "" {
		t.Errorf("labels %v after those of %s", d.Labels, mark)
	}
}

// A workload that is made with the mark of another was not restored.
func TestAMarkIsOfOneWorkload(t *testing.T) {
	b := setUp(t)
	d := b.deployed()
	if got := b.restore(b.restoration()); got != backout.Restored {
		t.Fatalf("%s", got)
	}
	mark := b.live().Labels[backout.LabelBackout]
	if err := env.Admin().Delete(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := env.Admin().DeleteAllOf(t.Context(), &appsv1.ReplicaSet{}, client.InNamespace(b.namespace)); err != nil {
		t.Fatal(err)
	}
	again := b.deployed()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"`+backout.LabelBackout+`":"`+mark+`"}}}`))
	if err := env.Admin().Patch(t.Context(), again, patch); err != nil {
		t.Fatal(err)
	}
	if got := b.restore(b.restoration()); got != backout.Restored {
		t.Errorf("%s", got)
	}
}

func TestWhatIsLeftAlone(t *testing.T) {
	t.Run("nothing there", func(t *testing.T) {
		b := setUp(t)
		if got := b.restore(b.restoration()); got != backout.Missing {
			t.Errorf("%s", got)
		}
	})
	t.Run("another template", func(t *testing.T) {
		b := setUp(t)
		d := b.deployment(other)
		b.replicaSet(d, "checkout-1", "1", template(good))
		if got := b.restore(b.restoration()); got != backout.Superseded {
			t.Errorf("%s", got)
		}
	})
	t.Run("the right template", func(t *testing.T) {
		b := setUp(t)
		b.deployment(good)
		if got := b.restore(b.restoration()); got != backout.Already {
			t.Errorf("%s", got)
		}
	})
	t.Run("no revision of that template", func(t *testing.T) {
		b := setUp(t)
		d := b.deployment(bad)
		b.replicaSet(d, "checkout-1", "1", template(other))
		// One that passes for it, but is somebody else's.
		stranger := d.DeepCopy()
		stranger.UID = "00000000-0000-0000-0000-000000000001"
		b.replicaSet(stranger, "checkout-stranger", "2", template(good))
		if _, err := b.restorer.Restore(t.Context(), b.restoration()); !errors.Is(err, backout.ErrNoRevision) {
			t.Errorf("%v", err)
		}
	})
}

func TestNewestRevisionOfATemplate(t *testing.T) {
	b := setUp(t)
	d := b.deployment(bad)
	for name, revision := range map[string]string{"checkout-a": "9", "checkout-b": "10", "checkout-c": "2"} {
		b.replicaSet(d, name, revision, template(good))
	}
	obj, err := b.restorer.Get(t.Context(), b.restoration().Workload)
	if err != nil {
		t.Fatal(err)
	}
	found, err := b.restorer.Find(t.Context(), obj, runs(good))
	if err != nil || found.Name != "checkout-b" {
		t.Errorf("found %v, %v", found, err)
	}
}

// racing writes to the workload between the read and the write.
type racing struct {
	client.Client
	before func()
}

func (r racing) Patch(ctx context.Context, obj client.Object, p client.Patch, opts ...client.PatchOption) error {
	r.before()
	return r.Client.Patch(ctx, obj, p, opts...)
}

func TestRestoreLosesTheRace(t *testing.T) {
	b := setUp(t)
	b.deployed()
	writer := env.Admin()
	b.restorer.Client = racing{writer, func() {
		d := b.live()
		d.Spec.Template.Spec.Containers[0].Image = other
		if err := writer.Update(t.Context(), d); err != nil {
			t.Error(err)
		}
	}}
	if _, err := b.restorer.Restore(t.Context(), b.restoration()); !errors.Is(err, backout.ErrConflict) {
		t.Errorf("%v", err)
	}
	if image := b.live().Spec.Template.Spec.Containers[0].Image; image != other {
		t.Errorf("overwrote %s", image)
	}
}

func TestKindsWithControllerRevisions(t *testing.T) {
	for kind, build := range map[string]func(namespace, image string) client.Object{
		"StatefulSet": func(namespace, image string) client.Object {
			s := builder.StatefulSet(namespace, "checkout")
			s.Spec.Template = template(image)
			return s
		},
		"DaemonSet": func(namespace, image string) client.Object {
			s := builder.DaemonSet(namespace, "checkout")
			s.Spec.Template = template(image)
			return s
		},
	} {
		t.Run(kind, func(t *testing.T) {
			b := setUp(t)
			obj := build(b.namespace, bad)
			b.create(obj)
			b.controllerRevision(obj, kind, "checkout-1", 1, template(good))
			b.controllerRevision(obj, kind, "checkout-2", 2, template(bad))
			what := b.restoration()
			what.Workload.Kind = kind
			if got := b.restore(what); got != backout.Restored {
				t.Fatalf("%s", got)
			}
			live, err := b.restorer.Get(t.Context(), what.Workload)
			if err != nil {
				t.Fatal(err)
			}
			raw, _, _ := unstructured.NestedMap(live.Object, "spec", "template")
			if !runs(good)(raw) || raw["$patch"] != nil {
				t.Errorf("template %v", raw)
			}
		})
	}
}

func TestKindsWithoutRevisions(t *testing.T) {
	for kind, want := range map[string]bool{"Deployment": true, "StatefulSet": true, "DaemonSet": true, "CronJob": false, "Job": false} {
		if got := backout.HasRevisions(kind); got != want {
			t.Errorf("%s: %t", kind, got)
		}
	}
}

func (b *bench) pod(of client.Object, kind, name, revision string, ready bool) {
	b.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: b.namespace, Name: name, Labels: map[string]string{"app": "checkout", "controller-revision-hash": revision},
	}, Spec: template(bad).Spec}
	if of != nil {
		p.OwnerReferences = []metav1.OwnerReference{builder.Controller(appsv1.SchemeGroupVersion.WithKind(kind), of.GetName(), of.GetUID())}
	}
	b.create(p)
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	if err := env.Admin().Status().Update(b.Context(), p); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) pods() map[string]bool {
	b.Helper()
	list := &corev1.PodList{}
	if err := env.Admin().List(b.Context(), list, client.InNamespace(b.namespace)); err != nil {
		b.Fatal(err)
	}
	out := map[string]bool{}
	for i := range list.Items {
		out[list.Items[i].Name] = true
	}
	return out
}

func TestBrokenPodsAreDeleted(t *testing.T) {
	b := setUp(t)
	s := builder.StatefulSet(b.namespace, "checkout")
	s.Spec.Template = template(bad)
	b.create(s)
	b.controllerRevision(s, "StatefulSet", "checkout-1", 1, template(good))
	b.controllerRevision(s, "StatefulSet", "checkout-2", 2, template(bad))
	b.pod(s, "StatefulSet", "checkout-0", "checkout-2", false)
	b.pod(s, "StatefulSet", "checkout-1", "checkout-2", true)
	b.pod(s, "StatefulSet", "checkout-2", "checkout-1", false)
	b.pod(nil, "", "passes-for-one", "checkout-2", false)
	w := backout.Workload{Kind: "StatefulSet", Namespace: b.namespace, Name: "checkout"}
	sweep := func(want int) {
		t.Helper()
		if n, err := b.restorer.DeleteBroken(t.Context(), w, runs(bad)); err != nil || n != want {
			t.Fatalf("deleted %d, %v; want %d", n, err, want)
		}
	}
	observe := func() {
		t.Helper()
		if err := env.Admin().Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
			t.Fatal(err)
		}
		s.Status.ObservedGeneration = s.Generation
		if err := env.Admin().Status().Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	observe()
	sweep(0) // It still has the bad template: its controller would make the pod again.
	what := b.restoration()
	what.Workload = w
	b.restore(what)
	sweep(0) // Nor has its controller seen the good one.
	observe()
	sweep(1)
	want := map[string]bool{"checkout-1": true, "checkout-2": true, "passes-for-one": true}
	if diff := cmp.Diff(want, b.pods()); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	sweep(0)
}

func TestBrokenPodsOfADaemonSet(t *testing.T) {
	b := setUp(t)
	d := builder.DaemonSet(b.namespace, "checkout")
	d.Spec.Template = template(good)
	b.create(d)
	b.controllerRevision(d, "DaemonSet", "checkout-5f6d", 1, template(good))
	b.controllerRevision(d, "DaemonSet", "checkout-77ab", 2, template(bad))
	b.pod(d, "DaemonSet", "checkout-x", "77ab", false)
	b.pod(d, "DaemonSet", "checkout-y", "5f6d", false)
	d.Status.ObservedGeneration = d.Generation
	if err := env.Admin().Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	n, err := b.restorer.DeleteBroken(t.Context(), backout.Workload{Kind: "DaemonSet", Namespace: b.namespace, Name: "checkout"}, runs(bad))
	if err != nil || n != 1 {
		t.Errorf("deleted %d, %v", n, err)
	}
	if diff := cmp.Diff(map[string]bool{"checkout-y": true}, b.pods()); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}
