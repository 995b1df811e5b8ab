package incident_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// snapshot is one look without history, and what is expected of it: the signals at a time, or those of a later look at
// the same when the first says to come back.
type snapshot struct {
	workload *workloadBuilder
	key      configuration.Key
	pods     []*podBuilder
	jobs     []*configuration.Workload
	node     *incident.Node
	mustRun  bool
	gone     bool
	warnings []incident.Warning
	detect   *v1alpha1.Detection
	at       time.Duration
	// want are "Reason/container" at that time.
	want []string
	// next is when the first look asks for another, 0: never. then is what that one finds.
	next time.Duration
	then []string
}

func (s snapshot) observation() incident.Observation {
	o := incident.Observation{Key: s.key, Jobs: s.jobs, Node: s.node, MustRun: s.mustRun, Gone: s.gone, Warnings: s.warnings}
	if s.workload != nil {
		o.Workload, o.Key = s.workload.obj(), s.workload.obj().Key
	}
	for _, pod := range s.pods {
		o.Pods = append(o.Pods, pod.obj())
	}
	return o
}

func reasons(r incident.Result) []string {
	var out []string
	for _, f := range r.Findings {
		text := string(f.Reason)
		if f.Container != "" {
			text += "/" + f.Container
		}
		out = append(out, text)
	}
	return out
}

func checkSnapshots(t *testing.T, tests map[string]snapshot) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			settings := incident.DefaultSettings().With(test.detect)
			o := test.observation()
			r := incident.Observe(o, settings, incident.History{}, at(test.at))
			if diff := cmp.Diff(test.want, reasons(r)); diff != "" {
				t.Errorf("signals: %s", diff)
			}
			if test.next == 0 {
				return
			}
			if want := at(test.next); !r.NextLook.Equal(want) {
				t.Fatalf("next look at %s, want %s", r.NextLook.Sub(t0), test.next)
			}
			r = incident.Observe(o, settings, r.History, r.NextLook)
			if diff := cmp.Diff(test.then, reasons(r)); diff != "" {
				t.Errorf("signals of the next look: %s", diff)
			}
		})
	}
}

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

func deployment(replicas int32) *workloadBuilder { return aWorkload("Deployment", replicas) }

func TestCrashLooping(t *testing.T) {
	checkSnapshots(t, map[string]snapshot{
		"backed off for the second time": {
			workload: deployment(1).counts(1, 1, 0), at: minute,
			pods: []*podBuilder{aPod("a").waiting("app", "CrashLoopBackOff").restarts("app", 2).last("app", "Error", 1, 20*second, 21*second)},
			want: []string{"CrashLooping/app"},
		},
		"backed off for the first time": {
			workload: deployment(1).counts(1, 1, 0), at: minute,
			pods: []*podBuilder{aPod("a").waiting("app", "CrashLoopBackOff").restarts("app", 1).last("app", "Error", 1, 20*second, 21*second)},
		},
		"ended, in the back-off that the kubelet does not name": {
			workload: deployment(1).counts(1, 1, 0), at: 2 * minute,
			pods: []*podBuilder{aPod("a").ended("app", "Error", 1, 80*second, 81*second).restarts("app", 3).last("app", "Error", 1, 20*second, 21*second)},
			want: []string{"CrashLooping/app"},
		},
		"runs between crashes, ready": {
			workload: deployment(1), at: 85 * second,
			pods: []*podBuilder{aPod("a").running("app", 3, 80*second).last("app", "Error", 1, 39*second, 40*second)},
			want: []string{"CrashLooping/app"}, next: 110 * second,
		},
		"killed by its liveness probe, which exits 0": {
			workload: deployment(1), at: 5 * minute,
			pods: []*podBuilder{aPod("a").running("app", 3, 295*second).last("app", "Completed", 0, 250*second, 290*second)},
			want: []string{"CrashLooping/app"}, next: 335 * second, then: []string{"CrashLooping/app"},
		},
		"restarted often, and runs longer than it was backed off": {
			workload: deployment(1), at: hour,
			pods: []*podBuilder{aPod("a").running("app", 9, 20*minute).last("app", "Error", 1, 14*minute, 15*minute)},
		},
		"ran for long before each of a few restarts": {
			workload: deployment(1), at: 100 * hour,
			pods: []*podBuilder{aPod("a").running("app", 3, 100*hour-5*second).last("app", "Error", 1, 70*hour, 100*hour-6*second)},
		},
		"slow: five restarts in a day": {
			workload: deployment(1), at: 10*hour + minute,
			pods: []*podBuilder{aPod("a").running("app", 5, 10*hour).last("app", "Error", 1, 8*hour, 10*hour)},
			want: []string{"CrashLooping/app"}, next: 10*hour + 10*minute,
		},
		"a single restart": {
			workload: deployment(1), at: minute,
			pods: []*podBuilder{aPod("a").running("app", 1, 50*second).last("app", "Error", 1, 2*second, 49*second)},
		},
		"three pods that restarted once each": {
			workload: deployment(3), at: minute,
			pods: []*podBuilder{
				aPod("a").running("app", 1, 50*second).last("app", "Error", 1, 2*second, 49*second),
				aPod("b").running("app", 1, 50*second).last("app", "Error", 1, 2*second, 49*second),
				aPod("c").running("app", 1, 50*second).last("app", "Error", 1, 2*second, 49*second),
			},
			want: []string{"CrashLooping/app"}, next: 120*second + 500*time.Millisecond,
		},
		"as many restarts as the service allows": {
			workload: deployment(1), at: 85 * second, detect: &v1alpha1.Detection{CrashLoopRestarts: 10},
			pods: []*podBuilder{aPod("a").running("app", 4, 80*second).last("app", "Error", 1, 39*second, 40*second)},
		},
		"ignored by the service": {
			workload: deployment(1).counts(1, 1, 0), at: minute, detect: &v1alpha1.Detection{Ignore: []v1alpha1.SignalReason{"CrashLooping"}},
			pods: []*podBuilder{aPod("a").waiting("app", "CrashLoopBackOff").restarts("app", 5).last("app", "Error", 1, 20*second, 21*second)},
		},
		"a native sidecar counts as a container": {
			workload: deployment(1).counts(1, 1, 0), at: minute,
			pods: []*podBuilder{aPod("a").init("proxy", true).waiting("proxy", "CrashLoopBackOff").restarts("proxy", 4).last("proxy", "Error", 1, 20*second, 21*second)},
			want: []string{"CrashLooping/proxy"},
		},
		"an init container": {
			workload: deployment(1).counts(1, 1, 0), at: minute,
			pods: []*podBuilder{aPod("a").phase(corev1.PodPending, "").init("migrate", false).waiting("app", "PodInitializing").
				waiting("migrate", "CrashLoopBackOff").restarts("migrate", 4).last("migrate", "Error", 3, 20*second, 21*second)},
			want: []string{"InitFailed/migrate"},
		},
		"two containers": {
			workload: deployment(1).counts(1, 1, 0), at: minute,
			pods: []*podBuilder{
				aPod("a").waiting("app", "CrashLoopBackOff").restarts("app", 5).last("app", "Error", 1, 20*second, 21*second).
					ended("log", "Error", 2, 30*second, 31*second).restarts("log", 3).last("log", "Error", 2, 8*second, 9*second),
			},
			want: []string{"CrashLooping/app", "CrashLooping/log"},
		},
		"in a Job's pod, which the Job answers for": {
			key: configuration.Key{Group: "batch", Kind: "Job", Namespace: "shop", Name: "report"}, at: minute,
			pods: []*podBuilder{aPod("a").ownedBy("batch/v1", "Job", "report").ended("app", "Error", 4, 20*second, 21*second).restarts("app", 5).last("app", "Error", 4, 8*second, 9*second)},
		},
		"in a pod that is being deleted": {
			workload: deployment(1).counts(1, 1, 0), at: minute,
			pods: []*podBuilder{aPod("a").deleting(90*second).waiting("app", "CrashLoopBackOff").restarts("app", 5)},
			next: 390 * second, then: []string{"StuckTerminating"},
		},
	})
}

func TestOOMKilled(t *testing.T) {
	checkSnapshots(t, map[string]snapshot{
		"down": {
			workload: deployment(1).counts(1, 1, 0), at: 30 * second,
			pods: []*podBuilder{aPod("a").ended("app", "OOMKilled", 137, 2*second, 20*second)},
			next: 50 * second, then: []string{"OOMKilled/app"},
		},
		"for the second time": {
			workload: deployment(1).counts(1, 1, 0), at: 30 * second,
			pods: []*podBuilder{aPod("a").ended("app", "OOMKilled", 137, 21*second, 29*second).restarts("app", 1).last("app", "OOMKilled", 137, 2*second, 20*second)},
			want: []string{"OOMKilled/app"},
		},
		"once, and it runs again": {
			workload: deployment(1), at: 30 * second,
			pods: []*podBuilder{aPod("a").running("app", 1, 21*second).last("app", "OOMKilled", 137, 2*second, 20*second)},
		},
		"two days ago": {
			workload: deployment(1), at: 72 * hour,
			pods: []*podBuilder{aPod("a").ended("app", "OOMKilled", 137, 71*hour, 72*hour-10*second).restarts("app", 1).last("app", "OOMKilled", 137, 2*second, 20*second)},
			next: 72*hour + 20*second, then: []string{"OOMKilled/app"},
		},
		"exit 137 alone is a kill for any reason": {
			workload: deployment(1).counts(1, 1, 0), at: 5 * minute,
			pods: []*podBuilder{aPod("a").ended("app", "Error", 137, 2*second, 20*second)},
		},
		"in a loop, of which only the last is left": {
			workload: deployment(1).counts(1, 1, 0), at: 2 * minute,
			pods: []*podBuilder{aPod("a").waiting("app", "CrashLoopBackOff").restarts("app", 4).last("app", "OOMKilled", 137, 80*second, 110*second)},
			want: []string{"OOMKilled/app", "CrashLooping/app"},
		},
		"a sidecar killed in a pod that succeeded": {
			key: configuration.Key{Group: "batch", Kind: "Job", Namespace: "shop", Name: "report"}, at: hour,
			pods: []*podBuilder{aPod("a").ownedBy("batch/v1", "Job", "report").phase(corev1.PodSucceeded, "").init("proxy", true).ended("proxy", "OOMKilled", 137, 2*second, 20*second)},
		},
	})
}

func TestCannotBegin(t *testing.T) {
	pending := func(reason string) *podBuilder {
		return aPod("a").phase(corev1.PodPending, "").waiting("app", reason)
	}
	short := func() *workloadBuilder { return deployment(1).counts(1, 1, 0) }
	tests := map[string]snapshot{
		"a start error, named only while it is backed off": {
			workload: short(), at: minute,
			pods: []*podBuilder{aPod("a").waiting("app", "CrashLoopBackOff").restarts("app", 1).last("app", "StartError", 128, 30*second, 30*second)},
			want: []string{"StartFailed/app"},
		},
		"a start error": {
			workload: short(), at: 31 * second,
			pods: []*podBuilder{aPod("a").ended("app", "StartError", 128, 30*second, 30*second)},
			next: 40 * second, then: []string{"StartFailed/app"},
		},
		"an image of an init container": {
			workload: short(), at: minute,
			pods: []*podBuilder{pending("PodInitializing").init("migrate", false).waiting("migrate", "ImagePullBackOff")},
			want: []string{"InitFailed/migrate"},
		},
		"an image, after an init container that took long": {
			workload: short(), at: 10*minute + 10*second,
			pods: []*podBuilder{pending("ErrImagePull").init("migrate", false).ended("migrate", "Completed", 0, 2*second, 10*minute)},
			next: 10*minute + 30*second, then: []string{"ImagePullFailed/app"},
		},
		"a longer grace time": {
			workload: short(), at: minute, detect: &v1alpha1.Detection{ImagePullSeconds: 600},
			pods: []*podBuilder{pending("ErrImagePull")}, next: 10*minute + second, then: []string{"ImagePullFailed/app"},
		},
		"a large image": {workload: short(), at: hour, pods: []*podBuilder{pending("ContainerCreating")}},
		"an image of a Job": {
			key: configuration.Key{Group: "batch", Kind: "Job", Namespace: "shop", Name: "report"}, at: minute,
			pods: []*podBuilder{pending("ImagePullBackOff").ownedBy("batch/v1", "Job", "report")}, want: []string{"ImagePullFailed/app"},
		},
	}
	for reason, want := range map[string]struct {
		signal string
		grace  time.Duration
	}{
		"ErrImagePull": {"ImagePullFailed", 30 * second}, "ImagePullBackOff": {"ImagePullFailed", 30 * second},
		"InvalidImageName": {"ImagePullFailed", 30 * second}, "ErrImageNeverPull": {"ImagePullFailed", 30 * second},
		"CreateContainerConfigError": {"ConfigInvalid", 10 * second}, "CreateContainerError": {"ConfigInvalid", 10 * second},
		"RunContainerError": {"StartFailed", 10 * second}, "PostStartHookError": {"StartFailed", 10 * second},
	} {
		tests[reason] = snapshot{
			workload: short(), at: 5 * second, pods: []*podBuilder{pending(reason)},
			next: second + want.grace, then: []string{want.signal + "/app"},
		}
		tests[reason+", long ago"] = snapshot{
			workload: short(), at: minute, pods: []*podBuilder{pending(reason)}, want: []string{want.signal + "/app"},
		}
	}
	checkSnapshots(t, tests)
}

// TestGraceBeginsWhenItIsSeen: with history, a state that carries no time begins when it was first seen.
func TestGraceBeginsWhenItIsSeen(t *testing.T) {
	settings := incident.DefaultSettings()
	look := func(h incident.History, reason string, d time.Duration) incident.Result {
		pod := aPod("a").phase(corev1.PodPending, "").waiting("app", reason).obj()
		w := deployment(1).counts(1, 1, 0).obj()
		return incident.Observe(incident.Observation{Key: w.Key, Workload: w, Pods: []*incident.Pod{pod}}, settings, h, at(d))
	}
	r := look(incident.History{}, "ContainerCreating", minute)
	r = look(r.History, "ErrImagePull", 5*minute)
	if len(r.Findings) > 0 || !r.NextLook.Equal(at(5*minute+30*second)) {
		t.Errorf("a pull that took long and failed once: %v, next look at %s", reasons(r), r.NextLook.Sub(t0))
	}
	r = look(r.History, "ImagePullBackOff", 5*minute+20*second)
	r = look(r.History, "ErrImagePull", 5*minute+30*second)
	if diff := cmp.Diff([]string{"ImagePullFailed/app"}, reasons(r)); diff != "" {
		t.Error(diff)
	}
	if want := at(5 * minute); !r.Findings[0].Since.Equal(want) {
		t.Errorf("since %s", r.Findings[0].Since.Sub(t0))
	}
	r = look(r.History, "ContainerCreating", 6*minute)
	r = look(r.History, "ErrImagePull", 7*minute)
	if len(r.Findings) > 0 {
		t.Errorf("a state that went away and came back is as old as its return: %v", reasons(r))
	}
}

func TestPods(t *testing.T) {
	bare := configuration.Key{Kind: "Pod", Namespace: "shop", Name: "a"}
	short := func() *workloadBuilder { return deployment(3).counts(3, 3, 2) }
	fromNode := func(name, reason string, when time.Duration) *podBuilder {
		b := aPod(name).created(when).phase(corev1.PodFailed, reason)
		b.pod.Status.ContainerStatuses = nil
		return b
	}
	unscheduled := func(reason string) *podBuilder {
		b := aPod("a").phase(corev1.PodPending, "").condition(corev1.PodScheduled, corev1.ConditionFalse, reason, 10*second)
		b.pod.Status.ContainerStatuses = nil
		return b
	}
	noSandbox := aPod("a").phase(corev1.PodPending, "").waiting("app", "ContainerCreating").
		condition(corev1.PodReadyToStartContainers, corev1.ConditionFalse, "", second)
	checkSnapshots(t, map[string]snapshot{
		"no node": {
			workload: short(), at: minute, pods: []*podBuilder{unscheduled("Unschedulable")},
			next: 2*minute + 10*second, then: []string{"Unschedulable"},
		},
		"a scheduling gate": {workload: short(), at: hour, pods: []*podBuilder{unscheduled("SchedulingGated")}},
		"no sandbox, cause unknown": {
			workload: short(), at: minute, pods: []*podBuilder{noSandbox}, next: 2*minute + second, then: []string{"SandboxFailed"},
		},
		"no volume": {
			workload: short(), at: 5 * minute, pods: []*podBuilder{noSandbox}, want: []string{"VolumeUnavailable"},
			warnings: []incident.Warning{{Pod: "a", Reason: "FailedMount", Message: "timed out", At: at(2 * minute)}},
		},
		"no network": {
			workload: short(), at: 5 * minute, pods: []*podBuilder{noSandbox}, want: []string{"SandboxFailed"},
			warnings: []incident.Warning{
				{Pod: "a", Reason: "FailedCreatePodSandBox", At: at(3 * minute)}, {Pod: "a", Reason: "FailedMount", At: at(2 * minute)},
				{Pod: "b", Reason: "FailedMount", At: at(4 * minute)},
			},
		},
		"not ready": {
			workload: short(), at: 2 * minute, pods: []*podBuilder{aPod("a").unready(30 * second)},
			next: 5*minute + 30*second, then: []string{"NotReady"},
		},
		"not ready, and restarted since": {
			workload: short(), at: 5*minute + 31*second, pods: []*podBuilder{aPod("a").unready(30*second).running("app", 1, 5*minute).last("app", "Error", 1, 0, 4*minute)},
			next: 10 * minute, then: []string{"NotReady"},
		},
		"not ready, with a service that waits longer": {
			workload: short(), at: 6 * minute, pods: []*podBuilder{aPod("a").unready(30 * second)}, detect: &v1alpha1.Detection{NotReadySeconds: 3600},
			next: hour + 30*second, then: []string{"NotReady"},
		},
		"not ready in a rollout with a short deadline": {
			workload: deployment(1).counts(1, 1, 0).rollingOut("1", 0).with(func(w *configuration.Workload) { w.ProgressDeadlineSeconds = 30 }),
			at:       10 * second, pods: []*podBuilder{aPod("a").unready(second)}, next: 32 * second, then: []string{"NotReady"},
		},
		"not ready in a rollout with a long deadline": {
			workload: deployment(1).counts(1, 1, 0).rollingOut("1", 0), at: 6 * minute, pods: []*podBuilder{aPod("a").unready(second)},
			next: 10*minute + 2*second, then: []string{"NotReady"},
		},
		"a container that ended is not an unready one": {
			workload: short(), at: hour, pods: []*podBuilder{aPod("a").unready(30*second).ended("app", "Completed", 0, second, 30*second)},
		},
		"evicted, and short of pods": {workload: short(), at: minute, pods: []*podBuilder{fromNode("a", "Evicted", 30*second)}, want: []string{"Evicted"}},
		"evicted, and replaced":      {workload: deployment(3), at: minute, pods: []*podBuilder{fromNode("a", "Evicted", 30*second), aPod("b"), aPod("c"), aPod("d")}},
		"evicted long ago":           {workload: short(), at: hour, pods: []*podBuilder{fromNode("a", "Evicted", 30*second)}},
		"evicted by the API (drain)": {
			workload: short(), at: minute, pods: []*podBuilder{fromNode("a", "", 30*second).condition("DisruptionTarget", "True", "EvictionByEvictionAPI", 0)},
		},
		"preempted": {
			workload: short(), at: hour, pods: []*podBuilder{fromNode("a", "", 59*minute).condition("DisruptionTarget", "True", "PreemptionByScheduler", 0)},
		},
		"its node shut down": {
			workload: short(), at: minute, pods: []*podBuilder{fromNode("a", "Terminated", 30*second).condition("DisruptionTarget", "True", "TerminationByKubelet", 0)},
		},
		"its node is gone": {
			workload: short(), at: minute, pods: []*podBuilder{fromNode("a", "", 30*second).condition("DisruptionTarget", "True", "DeletionByPodGC", 0)},
		},
		"rejected once, and replaced": {workload: deployment(3), at: minute, pods: []*podBuilder{fromNode("a", "OutOfcpu", 30*second)}},
		"rejected, and short for long": {
			workload: short(), at: minute, pods: []*podBuilder{fromNode("a", "OutOfcpu", 30*second)},
			next: 150 * second, then: []string{"PodRejected"},
		},
		"rejected three times": {
			workload: short(), at: minute, want: []string{"PodRejected"},
			pods: []*podBuilder{fromNode("a", "NodeAffinity", 30*second), fromNode("b", "NodeAffinity", 40*second), fromNode("c", "UnexpectedAdmissionError", 50*second)},
		},
		"a bare pod failed": {
			key: bare, at: hour, pods: []*podBuilder{aPod("a").bare().phase(corev1.PodFailed, "").ended("app", "Error", 2, 0, minute)}, want: []string{"PodFailed"},
		},
		"a bare pod succeeded": {key: bare, at: hour, pods: []*podBuilder{aPod("a").bare().phase(corev1.PodSucceeded, "").ended("app", "Completed", 0, 0, minute)}},
		"a bare pod evicted":   {key: bare, at: hour, pods: []*podBuilder{fromNode("a", "Evicted", 30*second).bare()}, want: []string{"Evicted"}},
		"one pod of what is not known failed": {
			key: configuration.Key{Group: "tekton.dev", Kind: "TaskRun", Namespace: "shop", Name: "build"}, at: minute,
			pods: []*podBuilder{aPod("a").ownedBy("tekton.dev/v1", "TaskRun", "build").phase(corev1.PodFailed, "").ended("app", "Error", 2, 0, 30*second)},
		},
		"does not go away": {
			workload: deployment(1), at: minute, pods: []*podBuilder{aPod("a").deleting(40 * second), aPod("b")},
			next: 340 * second, then: []string{"StuckTerminating"},
		},
		"what is gone leaves a pod behind": {
			key: configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}, gone: true, at: hour,
			pods: []*podBuilder{aPod("a").deleting(40 * second)}, want: []string{"StuckTerminating"},
		},
	})
}

func TestRollouts(t *testing.T) {
	old := func(name string) *podBuilder { return aPod(name) }
	fresh := func(name string) *podBuilder {
		return aPod(name).ownedBy("apps/v1", "ReplicaSet", "web-2").revision("2").created(10 * minute)
	}
	badImage := func(name string) *podBuilder {
		b := fresh(name).phase(corev1.PodPending, "").waiting("app", "ImagePullBackOff")
		return b.condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", 10*minute+second)
	}
	crashing := func(b *podBuilder) *podBuilder {
		return b.waiting("app", "CrashLoopBackOff").restarts("app", 5).last("app", "Error", 1, 9*minute, 9*minute+second)
	}
	set := func(kind string, updated, ready int32) *workloadBuilder {
		return aWorkload(kind, 3).counts(updated, 3, ready)
	}
	checkSnapshots(t, map[string]snapshot{
		"a bad image beside healthy old pods": {
			workload: deployment(2).counts(1, 3, 2).rollingOut("2", 10*minute), at: 11 * minute,
			pods: []*podBuilder{old("a"), old("b"), badImage("c")}, want: []string{"ImagePullFailed/app"},
		},
		"an old pod crashes while it is replaced": {
			workload: deployment(2).counts(1, 3, 2).rollingOut("2", 10*minute), at: 10*minute + 30*second,
			pods: []*podBuilder{crashing(old("a")), old("b"), fresh("c")},
		},
		"an old pod crashes, and the rollout is stuck": {
			workload: deployment(2).counts(1, 3, 1).stuck("2", 20*minute), at: 25 * minute,
			pods: []*podBuilder{crashing(old("a")), old("b"), fresh("c")}, want: []string{"CrashLooping/app", "RolloutStuck"},
		},
		"an old pod crashes, and the rollout is paused": {
			workload: deployment(2).counts(1, 3, 1).rollingOut("2", 10*minute).with(func(w *configuration.Workload) { w.Hold.Paused = true }),
			at:       10*minute + 30*second, pods: []*podBuilder{crashing(old("a")), old("b"), fresh("c")}, want: []string{"CrashLooping/app"},
		},
		"a generation that its controller has not seen": {
			workload: deployment(2).with(func(w *configuration.Workload) { w.Generation = 2 }), at: 10 * minute,
			pods: []*podBuilder{crashing(old("a")), old("b")}, next: 11 * minute, then: []string{"CrashLooping/app"},
		},
		"stuck": {workload: deployment(2).counts(1, 3, 2).stuck("2", 20*minute), at: 20 * minute, pods: []*podBuilder{old("a"), old("b")}, want: []string{"RolloutStuck"}},
		"stuck, and its cause about to be told": {
			workload: deployment(2).counts(1, 3, 2).stuck("2", 10*minute), at: 10*minute + 5*second,
			pods: []*podBuilder{old("a"), old("b"), badImage("c")},
			next: 10*minute + 31*second, then: []string{"ImagePullFailed/app", "RolloutStuck"},
		},
		"pods cannot be created": {
			workload: deployment(2).counts(0, 0, 0).condition("ReplicaFailure", "True", "FailedCreate", "quota", 10*minute), at: 10*minute + 30*second,
			next: 11 * minute, then: []string{"ReplicasMissing"},
		},
		"pods are missing": {
			workload: deployment(2).counts(1, 1, 1), at: 10 * minute, pods: []*podBuilder{old("a")},
			next: 11 * minute, then: []string{"ReplicasMissing"},
		},
		"pods are missing while others go": {
			workload: deployment(2).counts(1, 1, 1), at: 10 * minute, pods: []*podBuilder{old("a"), old("b").deleting(10*minute + 30*second)},
			next: 15*minute + 30*second, then: []string{"StuckTerminating"},
		},
		"a StatefulSet replaces one pod": {
			workload: set("StatefulSet", 1, 2), at: 10*minute + 30*second,
			pods: []*podBuilder{old("web-0"), old("web-1"), fresh("web-2").phase(corev1.PodPending, "").waiting("app", "ContainerCreating")},
			next: 20 * minute, then: []string{"RolloutStuck"},
		},
		"a StatefulSet stands still since its newest pod": {
			workload: set("StatefulSet", 1, 2), at: 21 * minute,
			pods: []*podBuilder{old("web-0"), old("web-1"), fresh("web-2").phase(corev1.PodPending, "").waiting("app", "ContainerCreating")},
			want: []string{"RolloutStuck"},
		},
		"a StatefulSet waits for its first pod before it makes the next": {
			workload: aWorkload("StatefulSet", 3).counts(1, 1, 0), at: 2 * minute,
			pods: []*podBuilder{aPod("web-0").phase(corev1.PodPending, "").waiting("app", "ContainerCreating")},
			next: 10 * minute, then: []string{"RolloutStuck"},
		},
		"a StatefulSet with a partition": {
			workload: set("StatefulSet", 1, 3).with(func(w *configuration.Workload) { w.Hold.Partition = 2 }), at: hour,
			pods: []*podBuilder{old("web-0"), old("web-1"), fresh("web-2")},
		},
		"a DaemonSet that is updated by hand": {
			workload: set("DaemonSet", 1, 3).with(func(w *configuration.Workload) { w.Hold.OnDelete = true }), at: hour,
			pods: []*podBuilder{old("a"), old("b"), fresh("c")},
		},
		"a DaemonSet whose spec just changed": {
			workload: set("DaemonSet", 0, 3), at: 100 * hour, pods: []*podBuilder{old("a"), old("b"), old("c")},
			next: 100*hour + 10*minute, then: []string{"RolloutStuck"},
		},
		"scaled to zero": {
			workload: deployment(0), at: hour, mustRun: true, next: hour + minute, then: []string{"NoReplicas"},
		},
		"scaled to zero, as its service allows":  {workload: deployment(0), at: hour},
		"a DaemonSet for which there is no node": {workload: aWorkload("DaemonSet", 0), at: hour, mustRun: true},
		"scaled down":                            {workload: deployment(1), at: hour, pods: []*podBuilder{old("a"), old("b").deleting(hour + 30*second)}, next: hour + 330*second, then: []string{"StuckTerminating"}},
	})
}

func TestJobs(t *testing.T) {
	job := func(name string, set func(*configuration.Workload)) *configuration.Workload {
		w := aWorkload("Job", 1).with(func(w *configuration.Workload) {
			w.Key.Name, w.UID, w.StartedAt, w.Conditions = name, "uid-job", t0, map[string]configuration.Condition{}
		}).with(set).obj()
		w.UID = types.UID("uid-" + name)
		return w
	}
	failedJob := func(w *configuration.Workload) {
		w.FailedAt = at(10 * minute)
		w.Conditions["Failed"] = configuration.Condition{Status: "True", Reason: "BackoffLimitExceeded", Message: "limit", Since: at(10 * minute)}
	}
	done := func(w *configuration.Workload) { w.CompletedAt = at(10 * minute) }
	builder := func(w *configuration.Workload) *workloadBuilder { return &workloadBuilder{*w} }
	cron := func(set func(*configuration.Workload)) *workloadBuilder {
		return aWorkload("CronJob", 1).with(func(w *configuration.Workload) {
			w.CreatedAt, w.Schedule, w.ScheduleZone = at(-48*hour), "0 * * * *", "Europe/Berlin"
			w.LastScheduled, w.LastSuccessful = t0, at(minute)
		}).with(set)
	}
	nothing := func(*configuration.Workload) {}
	pod := aPod("report-x").ownedBy("batch/v1", "Job", "report").phase(corev1.PodFailed, "")
	checkSnapshots(t, map[string]snapshot{
		"failed for good": {
			workload: builder(job("report", failedJob)), at: 11 * minute,
			pods: []*podBuilder{pod.ended("app", "Error", 4, minute, 2*minute)}, want: []string{"JobFailed"},
		},
		"failed for lack of memory": {
			workload: builder(job("report", failedJob)), at: 11 * minute, want: []string{"OOMKilled/app", "JobFailed"},
			pods: []*podBuilder{aPod("report-x").ownedBy("batch/v1", "Job", "report").phase(corev1.PodFailed, "").ended("app", "OOMKilled", 137, minute, 2*minute)},
		},
		"a pod that will be retried": {
			workload: builder(job("report", nothing)), at: 3 * minute, pods: []*podBuilder{pod},
		},
		"completed": {workload: builder(job("report", done)), at: 11 * minute},
		"runs longer than the service allows": {
			workload: builder(job("report", nothing)), at: minute, detect: &v1alpha1.Detection{JobOverdueSeconds: 600},
			next: 10 * minute, then: []string{"JobOverdue"},
		},
		"suspended": {
			workload: builder(job("report", func(w *configuration.Workload) { w.Hold.Suspended = true })), at: hour, detect: &v1alpha1.Detection{JobOverdueSeconds: 600},
		},
		"the newest run of a CronJob failed": {
			workload: cron(func(w *configuration.Workload) { w.LastSuccessful = at(-hour) }), at: 11 * minute, want: []string{"JobFailed"},
			jobs: []*configuration.Workload{job("web-2", failedJob), job("web-1", func(w *configuration.Workload) { w.StartedAt, w.CompletedAt = at(-hour), at(-hour) })},
			next: 65 * minute, then: []string{"JobFailed", "ScheduleMissed"},
		},
		"a run failed, and a later one did not": {
			workload: cron(func(w *configuration.Workload) { w.LastScheduled, w.LastSuccessful = at(hour), at(61*minute) }), at: 62 * minute,
			jobs: []*configuration.Workload{job("web-1", failedJob), job("web-2", func(w *configuration.Workload) { w.StartedAt, w.CompletedAt = at(hour), at(61*minute) })},
			next: 125 * minute, then: []string{"ScheduleMissed"},
		},
		"a run failed, and its Job is gone": {
			workload: cron(func(w *configuration.Workload) { w.LastSuccessful, w.Ready = at(-hour), 0 }), at: 10 * minute, want: []string{"JobFailed"},
		},
		"it did not run": {
			workload: cron(nothing), at: 62 * minute, next: 65 * minute, then: []string{"ScheduleMissed"},
		},
		"it runs still":                {workload: cron(func(w *configuration.Workload) { w.Active = 1 }), at: 3 * hour},
		"it is suspended":              {workload: cron(func(w *configuration.Workload) { w.Hold.Suspended = true }), at: 3 * hour},
		"nobody can read its schedule": {workload: cron(func(w *configuration.Workload) { w.Schedule = "whenever" }), at: 3 * hour},
	})
}

func TestNodes(t *testing.T) {
	key := configuration.Key{Kind: "Node", Name: "node1"}
	lost := incident.Node{Name: "node1", Ready: corev1.ConditionUnknown, Reason: "NodeStatusUnknown", Since: t0}
	leaving := lost
	leaving.Leaving = true
	checkSnapshots(t, map[string]snapshot{
		"lost":           {key: key, node: &lost, at: 30 * second, next: minute, then: []string{"NodeLost"}},
		"being removed":  {key: key, node: &leaving, at: hour},
		"well":           {key: key, node: &incident.Node{Name: "node1", Ready: corev1.ConditionTrue}, at: hour},
		"not yet joined": {key: key, node: &incident.Node{Name: "node1"}, at: hour},
	})
	for name, node := range map[string]*corev1.Node{
		"cordoned":   {Spec: corev1.NodeSpec{Unschedulable: true}},
		"autoscaler": {Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler"}}}},
		"karpenter":  {Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "karpenter.sh/disrupted"}}}},
		"deleted":    {ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: t0}}},
	} {
		if !incident.NodeFrom(node).Leaving {
			t.Errorf("%s: the node is not taken to be leaving", name)
		}
	}
}

// TestChurnedPodsAddUp: each pod restarts once and is replaced, as by an impatient operator of its own.
func TestChurnedPodsAddUp(t *testing.T) {
	w := aWorkload("Operand", 1).obj()
	h, settings := incident.History{}, incident.DefaultSettings()
	for n := range 4 {
		now := time.Duration(n) * 2 * minute
		pod := aPod(fmt.Sprint("p", n)).created(now).ownedBy("example.org/v1", "Operand", "x").revision("")
		pod.running("app", 1, now+30*second).last("app", "Error", 1, now+second, now+29*second)
		r := incident.Observe(incident.Observation{Key: w.Key, Pods: []*incident.Pod{pod.obj()}}, settings, h, at(now+31*second))
		h = r.History
		if looping := slices.Contains(reasons(r), "CrashLooping/app"); looping != (n >= 2) {
			t.Errorf("after %d restarts: looping is %t", n+1, looping)
		}
	}
}

// TestAFixedTemplateStartsAnew: restarts of an old template are not held against the one that repairs it.
func TestAFixedTemplateStartsAnew(t *testing.T) {
	settings := incident.DefaultSettings()
	w := deployment(1).counts(1, 1, 0).obj()
	bad := aPod("a").waiting("app", "CrashLoopBackOff").restarts("app", 5).last("app", "Error", 1, 30*second, 31*second).obj()
	r := incident.Observe(incident.Observation{Key: w.Key, Workload: w, Pods: []*incident.Pod{bad}}, settings, incident.History{}, at(minute))
	if len(r.Findings) != 1 {
		t.Fatalf("found %v", reasons(r))
	}
	w = deployment(1).rollingOut("2", minute).obj()
	good := aPod("b").created(minute).revision("2").running("app", 0, minute).obj()
	r = incident.Observe(incident.Observation{Key: w.Key, Workload: w, Pods: []*incident.Pod{good}}, settings, r.History, at(61*second))
	if len(r.Findings) > 0 || !r.Well.Evident {
		t.Errorf("found %v, well %v", reasons(r), r.Well)
	}
}

// TestWellness: what counts as evidence that a workload is well, and since when.
func TestWellness(t *testing.T) {
	for name, test := range map[string]struct {
		snapshot
		evident bool
		since   time.Duration
	}{
		"ready": {snapshot{workload: deployment(2), pods: []*podBuilder{aPod("a"), aPod("b").condition("Ready", "True", "", 4*minute)}, at: hour}, true, 4 * minute},
		"ready since a container began to run": {
			snapshot{workload: deployment(1), pods: []*podBuilder{aPod("a").running("app", 1, 7*minute)}, at: hour}, true, 7 * minute,
		},
		"fewer pods than the status says":       {snapshot{workload: deployment(2), pods: []*podBuilder{aPod("a")}, at: hour}, false, 0},
		"not all ready":                         {snapshot{workload: deployment(1), pods: []*podBuilder{aPod("a"), aPod("b").unready(59 * minute)}, at: hour}, false, 0},
		"not observed":                          {snapshot{workload: deployment(1).with(func(w *configuration.Workload) { w.Generation = 9 }), pods: []*podBuilder{aPod("a")}, at: hour}, false, 0},
		"rolling out":                           {snapshot{workload: deployment(1).counts(1, 2, 1).rollingOut("1", 0), pods: []*podBuilder{aPod("a")}, at: hour}, false, 0},
		"a pod on its way out says nothing":     {snapshot{workload: deployment(1), pods: []*podBuilder{aPod("a"), aPod("b").deleting(hour + second).unready(0)}, at: hour}, true, 2 * second},
		"scaled to zero":                        {snapshot{workload: deployment(0), at: hour}, true, hour},
		"no pods of what is not known":          {snapshot{key: configuration.Key{Kind: "X", Namespace: "shop"}, at: hour}, false, 0},
		"a pod of what is not known":            {snapshot{key: configuration.Key{Kind: "X", Namespace: "shop"}, pods: []*podBuilder{aPod("a")}, at: hour}, true, 2 * second},
		"while something fails within its time": {snapshot{workload: deployment(1).counts(1, 1, 0), pods: []*podBuilder{aPod("a").waiting("app", "ErrImagePull")}, at: 5 * second}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := incident.Observe(test.observation(), incident.DefaultSettings(), incident.History{}, at(test.at))
			if r.Well.Evident != test.evident || test.evident && !r.Well.Since.Equal(at(test.since)) {
				t.Errorf("well %t since %s; want %t since %s", r.Well.Evident, r.Well.Since.Sub(t0), test.evident, test.since)
			}
		})
	}
}
