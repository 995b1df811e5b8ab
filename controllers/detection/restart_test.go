package detection

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// family is a story of Incidents of which one explains the others, with the operator restarted in it.
type family struct {
	*scene
	nodes    []*corev1.Node
	services []*builder.Service
	random   *rand.Rand
	// left are the children that left a parent.
	left []string
}

func newFamily(t *testing.T, seed uint64, objects []client.Object, nodes ...*corev1.Node) *family {
	t.Helper()
	for _, n := range nodes {
		objects = append(objects, n)
	}
	f := &family{scene: newScene(t, objects...), nodes: nodes, random: rand.New(rand.NewPCG(seed, 6))}
	f.intercept.SubResourcePatch = f.patch
	return f
}

// patch writes a status, and notes who leaves a parent by that.
func (f *family) patch(ctx ctx, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	before, after := &v1alpha1.Incident{}, &v1alpha1.Incident{}
	if err := c.Get(ctx, client.ObjectKeyFromObject(o), before); err != nil {
		return err
	}
	if err := c.SubResource(sub).Patch(ctx, o, p, opts...); err != nil {
		return err
	}
	if err := c.Get(ctx, client.ObjectKeyFromObject(o), after); err != nil {
		return err
	}
	if before.Status.ParentRef != nil && after.Status.ParentRef == nil {
		f.left = append(f.left, fmt.Sprintf("%s at %s", o.GetName(), f.clock.Now().Sub(t0)))
	}
	return nil
}

// restart begins anew with what the API server has, in the order in which informers may tell: pods before anything is
// known of what they belong to.
func (f *family) restart() {
	f.queue = nil
	f.detector()
	for _, n := range f.nodes {
		f.putNode(nil, n)
	}
	for _, o := range f.live {
		if p, is := o.(*corev1.Pod); is {
			f.putPod(nil, record(p))
		}
	}
	f.tell()
	for _, o := range f.live {
		if u, is := o.(*unstructured.Unstructured); is {
			f.Inventory.Put(u)
		}
	}
	for _, s := range f.services {
		f.hasService(s)
	}
	f.begin()
	f.random.Shuffle(len(f.queue), func(i, j int) { f.queue[i], f.queue[j] = f.queue[j], f.queue[i] })
	f.work()
}

// parents are who is explained by whom.
func (f *family) parents() []string {
	var out []string
	for _, i := range f.list() {
		if ref := i.Status.ParentRef; ref != nil {
			out = append(out, i.Name+" by "+string(ref.Name))
		}
	}
	slices.Sort(out)
	return out
}

// look looks again at all that has an Incident.
func (f *family) look(after time.Duration) {
	f.scene.at(after)
	for _, i := range f.list() {
		if key, about := incident.KeyOf(&i); about {
			f.enqueue(key)
		}
	}
	f.work()
}

// TestNoChildLeavesALostNodeAtARestart: wherever in the story the operator is restarted, and in whatever order it looks
// at what there is, no child leaves the node that explains it.
func TestNoChildLeavesALostNodeAtARestart(t *testing.T) {
	for seed := range uint64(3) {
		lost := node("node-1", corev1.ConditionUnknown, t0)
		const workloads = 5
		name := func(w int) string { return fmt.Sprint("w", w) }
		// The first is of a kind that is not watched: its ReplicaSet is asked for.
		yes := true
		f := newFamily(t, seed, []client.Object{&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name(0) + "-5d4f", UID: types.UID("uid-set-" + name(0)),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: kindRollout, Name: name(0), UID: "uid", Controller: &yes}},
		}}}, lost)
		for w := range workloads {
			if w > 0 {
				f.has(deployment(name(w), 2))
			}
			for n := range 2 {
				f.seePod(silent(name(w), n, "node-1", t0.Add(time.Second)))
			}
		}
		f.putNode(nil, lost)
		for _, step := range []time.Duration{61 * time.Second, 6*time.Minute + 2*time.Second} {
			f.look(step)
			f.restart()
		}
		if got := len(f.parents()); got != workloads {
			t.Fatalf("%d children, want %d: %v", got, workloads, f.parents())
		}
		want := f.parents()
		// The taint manager deletes the pods, which nobody confirms; others are made in their place, and find no room.
		for w := range workloads {
			for n := range 2 {
				p := silent(name(w), n, "node-1", t0.Add(time.Second))
				end := metav1.NewTime(t0.Add(6*time.Minute + 30*time.Second))
				p.DeletionTimestamp = &end
				f.seePod(p)
				f.seePod(unschedulable(name(w), 2+n, t0.Add(6*time.Minute)))
			}
		}
		f.work()
		for _, step := range []time.Duration{6 * time.Minute, 7 * time.Minute, 9 * time.Minute, 13 * time.Minute, time.Hour} {
			f.look(step)
			f.restart()
			f.look(step + 37*time.Second)
		}
		if len(f.left) > 0 || strings.Join(want, " ") != strings.Join(f.parents(), " ") {
			t.Errorf("seed %d: %v left; explained are %v, want %v", seed, f.left, f.parents(), want)
		}
	}
}

func unschedulable(deployment string, n int, since time.Time) *corev1.Pod {
	p := pod(deployment, n)
	p.CreationTimestamp = metav1.NewTime(since)
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(since),
	}}}
	return p
}

// TestNoChildLeavesADependencyAtARestart: the pod ran for an hour, then what it needs failed, and it crashes ever since. A
// replica that remembers nothing has only its restart count to tell since when.
func TestNoChildLeavesADependencyAtARestart(t *testing.T) {
	for seed := range uint64(3) {
		f := newFamily(t, seed, nil)
		f.services = []*builder.Service{
			builder.MakeService("shop", "db").Claim(v1alpha1.WorkloadDeployment, "db"),
			builder.MakeService("shop", "checkout").Claim(v1alpha1.WorkloadDeployment, "web").DependsOn("shop", "db", v1alpha1.DependencyHard),
		}
		for _, s := range f.services {
			f.hasService(s)
		}
		f.has(deployment("db", 1))
		f.has(deployment("web", 1))
		f.seePod(pod("web", 0))
		f.seePod(loops("db", 3, 0, 0))
		f.work()
		db := f.one()
		db.Status.Impact = v1alpha1.LevelHigh
		if err := f.server.Status().Update(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		f.putIncident(nil, f.one())
		now := 10 * time.Second
		for restarts := int32(1); restarts < 9; restarts++ {
			f.scene.at(now)
			f.seePod(loops("web", restarts, now-5*time.Second, now-time.Second))
			f.work()
			for range 2 {
				f.restart()
				now += 37 * time.Second
				f.look(now)
			}
			now += time.Duration(min(10<<restarts, 300)) * time.Second
		}
		web := incident.Name(keyOfDeployment("web"), 1) + " by " + db.Name
		if got := f.parents(); len(f.left) > 0 || len(got) != 1 || got[0] != web {
			t.Errorf("seed %d: %v left; explained are %v, want %s", seed, f.left, got, web)
		}
	}
}

// loops is a pod that was made an hour ago and is backed off after a run.
func loops(deployment string, restarts int32, from, to time.Duration) *corev1.Pod {
	p := crashing(deployment, 0)
	start := metav1.NewTime(t0.Add(-time.Hour))
	p.CreationTimestamp, p.Status.StartTime = start, &start
	c := &p.Status.ContainerStatuses[0]
	c.RestartCount = restarts
	c.LastTerminationState.Terminated.StartedAt, c.LastTerminationState.Terminated.FinishedAt = metav1.NewTime(t0.Add(from)), metav1.NewTime(t0.Add(to))
	return p
}
