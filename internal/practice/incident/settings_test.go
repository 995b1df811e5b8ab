package incident_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// TestSettingsOfAService: each field sets one thing, and what is not there leaves the default.
func TestSettingsOfAService(t *testing.T) {
	if diff := cmp.Diff(incident.DefaultSettings(), incident.DefaultSettings().With(&v1alpha1.Detection{})); diff != "" {
		t.Errorf("nothing is said (-want +got):\n%s", diff)
	}
	got := incident.DefaultSettings().With(&v1alpha1.Detection{
		Ignore:     []v1alpha1.SignalReason{v1alpha1.SignalEvicted},
		OOMSeconds: 1, ImagePullSeconds: 2, ConfigSeconds: 3, StartSeconds: 4, UnschedulableSeconds: 5, SandboxSeconds: 6,
		NotReadySeconds: 7, ProgressSeconds: 8, ReplicasMissingSeconds: 9, NoReplicasSeconds: 10, ScheduleMissedSeconds: 11,
		JobOverdueSeconds: 12, TerminatingSeconds: 13, CrashLoopRestarts: 14, SlowLoopRestarts: 15, FailedPods: 16,
	})
	want := incident.DefaultSettings()
	want.Ignore = []v1alpha1.SignalReason{v1alpha1.SignalEvicted}
	want.OOM, want.ImagePull, want.Config, want.Start = second, 2*second, 3*second, 4*second
	want.Unschedulable, want.Sandbox, want.NotReady, want.Progress = 5*second, 6*second, 7*second, 8*second
	want.ReplicasMissing, want.NoReplicas, want.ScheduleMissed = 9*second, 10*second, 11*second
	want.JobOverdue, want.Terminating = 12*second, 13*second
	want.CrashLoopRestarts, want.SlowLoopRestarts, want.FailedPods = 14, 15, 16
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// TestRevisionOfAStatefulSet: its status says which pods are of the newest template, also when an old one was made last.
func TestRevisionOfAStatefulSet(t *testing.T) {
	key := configuration.Key{Group: "apps", Kind: "StatefulSet", Namespace: "shop", Name: "db"}
	w := &configuration.Workload{Key: key, UpdateRevision: "db-new", Desired: 2, Current: 2, Updated: 1, Ready: 1}
	old := aPod("db-0").created(5 * minute)
	old.pod.Labels = map[string]string{"controller-revision-hash": "db-old"}
	crashing := aPod("db-1").waiting("app", "ImagePullBackOff")
	crashing.pod.Labels = map[string]string{"controller-revision-hash": "db-new"}
	r := incident.Observe(incident.Observation{Key: key, Workload: w, Pods: []*incident.Pod{old.obj(), crashing.obj()}},
		incident.DefaultSettings(), incident.History{}, at(6*minute))
	if len(r.Findings) != 1 || r.Findings[0].Reason != v1alpha1.SignalImagePullFailed || !r.Findings[0].CurrentOnly || !r.RollingOut {
		t.Errorf("findings %+v, rolling out %t", r.Findings, r.RollingOut)
	}
}

// TestFailuresThatAreOver: many pods failed at once, and nothing happens any more: their failure must still end.
func TestFailuresThatAreOver(t *testing.T) {
	w := &configuration.Workload{Key: web, Desired: 1, Current: 1, Updated: 1, Ready: 1}
	o := incident.Observation{Key: web, Workload: w, Pods: []*incident.Pod{aPod("well").obj()}}
	for n, name := range []string{"a", "b", "c", "d"} {
		p := aPod(name).phase(corev1.PodFailed, "OutOfcpu").created(minute + time.Duration(n)*second)
		p.pod.Status.ContainerStatuses, p.pod.Status.Conditions = nil, nil
		o.Pods = append(o.Pods, p.obj())
	}
	r := incident.Observe(o, incident.DefaultSettings(), incident.History{}, at(2*minute))
	if want := at(3*minute + second); len(r.Findings) != 1 || !r.NextLook.Equal(want) {
		t.Fatalf("findings %+v, next look %s, want %s: then fewer than three are recent", r.Findings, r.NextLook, want)
	}
	r = incident.Observe(o, incident.DefaultSettings(), r.History, r.NextLook)
	if len(r.Findings) != 0 || !r.Well.Evident {
		t.Errorf("findings %+v, well %+v", r.Findings, r.Well)
	}
}
