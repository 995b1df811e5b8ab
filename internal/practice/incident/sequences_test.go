package incident_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/replay"
)

// Sequences that are not recorded, as Kubernetes' documentation and source have them.

// play makes an object be so at a time.
func (w *world) play(d time.Duration, kind watch.EventType, object runtime.Object) {
	w.t.Helper()
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		w.t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: raw}
	switch object.(type) {
	case *corev1.Pod:
		u.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	case *appsv1.Deployment:
		u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	case *appsv1.StatefulSet:
		u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	}
	versions++
	u.SetResourceVersion(fmt.Sprint(w.t.Name(), versions))
	if err := w.Apply(replay.Event{Time: at(d), Type: kind, Object: u}); err != nil {
		w.t.Fatal(err)
	}
}

var versions int

// webDeployment has so many replicas, of which so many are updated and ready.
func webDeployment(revision string, replicas, updated, current, ready int32) *appsv1.Deployment {
	deadline := int32(600)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "uid-web", Generation: 1, CreationTimestamp: stamped(-hour)},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, ProgressDeadlineSeconds: &deadline},
	}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "web:" + revision}}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: current, UpdatedReplicas: updated, ReadyReplicas: ready}
	reason := "NewReplicaSetAvailable"
	if updated < replicas || current > updated || ready < replicas && revision != "1" {
		reason = "ReplicaSetUpdated"
	}
	d.Status.Conditions = []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: reason,
		Message: `ReplicaSet "web-` + revision + `" is progressing.`, LastTransitionTime: stamped(0), LastUpdateTime: stamped(0),
	}}
	return d
}

// crash lets the container app run for a while, again and again, as a kubelet does: at once, then after 10 s, 20 s, …
// up to 5 min, and from the beginning after a run of 10 min. It ends after a time and returns when and how often.
func (w *world) crash(lasts, until time.Duration, reason string, code int32) (now time.Duration, restarts int32) {
	start, wait := time.Duration(0), time.Duration(0)
	lastFrom, lastTo := time.Duration(-1), time.Duration(-1)
	for {
		pod := aPod("web-1-a").running("app", restarts, start).condition(corev1.PodReady, corev1.ConditionTrue, "", start+second)
		if restarts > 0 {
			pod.last("app", reason, code, lastFrom, lastTo)
		}
		w.play(start+second, watch.Modified, pod.full())
		w.play(start+second, watch.Modified, webDeployment("1", 1, 1, 1, 1))
		if start >= until {
			return start, restarts
		}
		end := start + lasts
		pod = aPod("web-1-a").restarts("app", restarts).ended("app", reason, code, start, end).unready(end)
		if restarts > 0 {
			pod.last("app", reason, code, lastFrom, lastTo)
		}
		if lasts >= 10*minute {
			wait = 0
		}
		w.play(end, watch.Modified, pod.full())
		w.play(end, watch.Modified, webDeployment("1", 1, 1, 1, 0))
		if wait > 0 {
			backedOff := aPod("web-1-a").restarts("app", restarts).waiting("app", "CrashLoopBackOff").last("app", reason, code, start, end).unready(end)
			w.play(end+wait-time.Millisecond, watch.Modified, backedOff.full())
		}
		lastFrom, lastTo = start, end
		start = end + wait
		restarts++
		wait = min(max(2*wait, 10*second), 5*minute)
	}
}

// TestLoopsAreOneIncident: however long a container runs between its crashes, and whatever it exits with, it is one
// incident until it runs for good. It is not resolved in between, unless it runs for longer than its hold-down: then the
// next crash opens the same again, and it is held for longer than it ran.
func TestLoopsAreOneIncident(t *testing.T) {
	for _, lasts := range []time.Duration{second, 20 * second, 45 * second, 2 * minute, 4 * minute, 9 * minute, 11 * minute, hour, 3 * hour} {
		for _, how := range []struct {
			reason string
			code   int32
		}{{"Error", 1}, {"Completed", 0}, {"OOMKilled", 137}} {
			t.Run(fmt.Sprint(lasts, " ", how.reason), func(t *testing.T) {
				w := newWorld(t)
				until := max(12*hour, 8*lasts)
				end, restarts := w.crash(lasts, until, how.reason, how.code)
				if len(w.incidents) != 1 {
					t.Fatalf("%d incidents: %v", len(w.incidents), w.summary())
				}
				i := w.incidents[0]
				reopened, writes := int32(0), 60
				if lasts > 10*minute {
					reopened, writes = 1, 2*int(restarts)+20
				}
				if i.Status.Reopened > reopened || len(w.open()) != 1 {
					t.Errorf("%v, reopened %d times", w.summary(), i.Status.Reopened)
				}
				if n := w.writes[i.Name]; n > writes {
					t.Errorf("%d writes in %s", n, until)
				}
				longest := w.longestRecovery(lasts)
				w.pass(at(end + longest))
				if i.Status.State != v1alpha1.IncidentResolved {
					t.Errorf("%s after it ran for %s", i.Status.State, longest)
				}
			})
		}
	}
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	got := []string{}
	for _, i := range w.incidents {
		text := string(i.Status.State) + " " + string(i.Status.Reason)
		if i.Status.Resolution != nil {
			text += " " + string(i.Status.Resolution.Code)
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		w.t.Error(diff)
	}
}

func TestBadImageBesideHealthyPods(t *testing.T) {
	w := newWorld(t)
	w.play(0, watch.Added, webDeployment("1", 2, 2, 2, 2))
	w.play(3*second, watch.Added, aPod("a").full())
	w.play(3*second, watch.Added, aPod("b").full())
	bad := func(reason string) *corev1.Pod {
		return aPod("c").created(10*minute).ownedBy("apps/v1", "ReplicaSet", "web-2").revision("2").phase(corev1.PodPending, "").
			waiting("app", reason).condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", 10*minute).full()
	}
	w.play(10*minute, watch.Modified, webDeployment("2", 2, 1, 3, 2))
	w.play(10*minute, watch.Added, bad("ContainerCreating"))
	w.play(10*minute+5*second, watch.Modified, bad("ErrImagePull"))
	w.play(10*minute+20*second, watch.Modified, bad("ImagePullBackOff"))
	w.pass(at(11 * minute))
	w.expect("New ImagePullFailed")
	// Rolled back: the old template again, whose pods were well all the time.
	w.play(15*minute, watch.Modified, webDeployment("1", 2, 2, 3, 2))
	w.play(15*minute, watch.Deleted, bad("ImagePullBackOff"))
	w.play(15*minute+second, watch.Modified, webDeployment("1", 2, 2, 2, 2))
	w.pass(at(20 * minute))
	w.expect("Resolved ImagePullFailed RolledBack")
}

func TestStatefulSetReplacesItsPodsOneByOne(t *testing.T) {
	w := newWorld(t)
	set := func(updated, ready int32) *appsv1.StatefulSet {
		replicas := int32(3)
		s := &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", UID: "uid-db", Generation: 1},
			Spec:       appsv1.StatefulSetSpec{Replicas: &replicas},
		}
		s.Status = appsv1.StatefulSetStatus{ObservedGeneration: 1, Replicas: 3, UpdatedReplicas: updated, ReadyReplicas: ready}
		return s
	}
	pod := func(n int, revision string) *podBuilder {
		b := aPod(fmt.Sprint("db-", n)).ownedBy("apps/v1", "StatefulSet", "db")
		b.pod.Labels = map[string]string{"controller-revision-hash": revision}
		b.pod.UID += "-1"
		return b
	}
	w.play(0, watch.Added, set(3, 3))
	for n := range 3 {
		w.play(3*second, watch.Added, pod(n, "1").full())
	}
	for n := 2; n >= 0; n-- {
		begin := time.Duration(10-2*n) * minute
		w.play(begin, watch.Modified, set(int32(2-n), 3))
		w.play(begin, watch.Modified, pod(n, "1").deleting(begin+30*second).full())
		w.play(begin+10*second, watch.Deleted, pod(n, "1").full())
		fresh := func() *podBuilder {
			b := pod(n, "2").created(begin + 10*second)
			b.pod.UID += "-2"
			return b
		}
		w.play(begin+10*second, watch.Added, fresh().phase(corev1.PodPending, "").waiting("app", "ContainerCreating").full())
		w.play(begin+10*second, watch.Modified, set(int32(3-n), 2))
		w.play(begin+70*second, watch.Modified, fresh().running("app", 0, begin+20*second).condition(corev1.PodReady, corev1.ConditionTrue, "", begin+70*second).full())
		w.play(begin+71*second, watch.Modified, set(int32(3-n), 3))
	}
	w.pass(at(hour))
	w.expect()
}

func TestNodeVanishes(t *testing.T) {
	w := newWorld(t)
	w.play(0, watch.Added, webDeployment("1", 2, 2, 2, 2))
	w.play(3*second, watch.Added, aPod("a").full())
	w.play(3*second, watch.Added, aPod("b").full())
	// The node is silent: its pods are not ready. After five minutes they are evicted, and made elsewhere.
	lost := func() *podBuilder { return aPod("b").unready(10 * minute) }
	w.play(10*minute, watch.Modified, lost().full())
	w.play(10*minute, watch.Modified, webDeployment("1", 2, 2, 2, 1))
	w.play(14*minute+50*second, watch.Modified, lost().condition(corev1.DisruptionTarget, corev1.ConditionTrue, "DeletionByTaintManager", 15*minute).deleting(15*minute).full())
	w.play(14*minute+51*second, watch.Added, aPod("c").created(15*minute).phase(corev1.PodPending, "").waiting("app", "ContainerCreating").full())
	w.play(15*minute+20*second, watch.Modified, aPod("c").created(15*minute).running("app", 0, 15*minute+10*second).condition(corev1.PodReady, corev1.ConditionTrue, "", 15*minute+20*second).full())
	w.play(15*minute+20*second, watch.Modified, webDeployment("1", 2, 2, 2, 2))
	w.expect()
	// The pod on it cannot be removed until the node object is, by hand.
	w.pass(at(25 * minute))
	w.expect("New StuckTerminating")
	w.play(30*minute, watch.Deleted, lost().full())
	w.pass(at(35 * minute))
	w.expect("Resolved StuckTerminating SelfRecovered")
}

func TestScaledDownWhileItFails(t *testing.T) {
	w := newWorld(t)
	now, _ := w.crash(second, 5*minute, "Error", 1)
	w.expect("New CrashLooping")
	w.play(now+second, watch.Modified, webDeployment("1", 0, 0, 0, 0))
	w.play(now+second, watch.Deleted, aPod("web-1-a").full())
	w.pass(at(now + 10*minute))
	w.expect("Resolved CrashLooping SelfRecovered")
}

func TestDeletedAndMadeAnew(t *testing.T) {
	w := newWorld(t)
	now, _ := w.crash(second, 5*minute, "Error", 1)
	w.play(now+second, watch.Deleted, aPod("web-1-a").full())
	w.play(now+second, watch.Deleted, webDeployment("1", 1, 1, 1, 0))
	w.pass(at(now + minute))
	w.expect("New CrashLooping")
	again := webDeployment("1", 1, 1, 1, 0)
	again.UID = "uid-web-again"
	w.play(now+minute, watch.Added, again)
	w.pass(at(now + hour))
	w.expect("New CrashLooping")
	w.play(now+hour, watch.Deleted, again)
	w.pass(at(now + hour + 10*minute))
	w.expect("Resolved CrashLooping NoFault")
}

// TestUndoOfWhatIsNotGoverned: no baseline tells what ran before, but the detector saw it.
func TestUndoOfWhatIsNotGoverned(t *testing.T) {
	for name, test := range map[string]struct{ next, want string }{
		"undone": {"1", "Resolved CrashLooping RolledBack"}, "repaired": {"3", "Resolved CrashLooping FixedByChange"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.play(0, watch.Added, webDeployment("1", 1, 1, 1, 1))
			w.play(3*second, watch.Added, aPod("a").full())
			bad := func() *podBuilder {
				return aPod("b").created(10*minute).ownedBy("apps/v1", "ReplicaSet", "web-2").revision("2")
			}
			w.play(10*minute, watch.Modified, webDeployment("2", 1, 1, 1, 0))
			w.play(10*minute, watch.Deleted, aPod("a").full())
			w.play(11*minute, watch.Added, bad().waiting("app", "CrashLoopBackOff").restarts("app", 3).last("app", "Error", 1, 10*minute+50*second, 10*minute+51*second).full())
			w.play(12*minute, watch.Deleted, bad().full())
			w.play(12*minute, watch.Modified, webDeployment(test.next, 1, 1, 1, 0))
			w.play(12*minute+6*second, watch.Added, started("c", 12*minute).ownedBy("apps/v1", "ReplicaSet", "web-"+test.next).revision(test.next).full())
			w.play(12*minute+6*second, watch.Modified, webDeployment(test.next, 1, 1, 1, 1))
			w.pass(at(30 * minute))
			w.expect(test.want)
		})
	}
}
