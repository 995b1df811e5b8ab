package incident_test

import (
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// TestSummary: what a colleague would say in the morning. The messages are those of a cluster.
func TestSummary(t *testing.T) {
	for name, test := range map[string]struct {
		signal v1alpha1.Signal
		want   string
	}{
		"crash": {
			v1alpha1.Signal{Reason: v1alpha1.SignalCrashLooping, Container: "app", ExitCode: new(int32(3)), AffectedPods: 3, Message: "exited with code 3 after 1s: panic: nil map"},
			"web: container app crashes again and again (exit code 3), on 3 pods: panic: nil map",
		},
		"crash without a word": {
			v1alpha1.Signal{Reason: v1alpha1.SignalCrashLooping, Container: "app", ExitCode: new(int32(0)), AffectedPods: 1, Message: "exited with code 0 after 20s"},
			"web: container app crashes again and again (exit code 0)",
		},
		"oom": {
			v1alpha1.Signal{Reason: v1alpha1.SignalOOMKilled, Container: "app", AffectedPods: 1, Message: "ended with OOMKilled, exit code 137 after 1s"},
			"web: container app is OOMKilled",
		},
		"image": {
			v1alpha1.Signal{Reason: v1alpha1.SignalImagePullFailed, Container: "app", AffectedPods: 1, Message: `ImagePullBackOff: Back-off pulling image "registry.example/web:9": ErrImagePull: failed to pull and unpack image "registry.example/web:9": not found`},
			"web: the image of container app cannot be pulled: registry.example/web:9",
		},
		"image without a name": {
			v1alpha1.Signal{Reason: v1alpha1.SignalImagePullFailed, Container: "app", AffectedPods: 1, Message: `InvalidImageName: couldn't parse image reference`},
			"web: the image of container app cannot be pulled: couldn't parse image reference",
		},
		"configuration": {
			v1alpha1.Signal{Reason: v1alpha1.SignalConfigInvalid, Container: "app", AffectedPods: 2, Message: `CreateContainerConfigError: configmap "settings" not found`},
			`web: container app cannot be created from its configuration, on 2 pods: configmap "settings" not found`,
		},
		"no room": {
			v1alpha1.Signal{Reason: v1alpha1.SignalUnschedulable, AffectedPods: 1, Message: "0/3 nodes are available: 3 Insufficient memory. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."},
			"web: no node takes its pods: 0/3 nodes are available: 3 Insufficient memory",
		},
		"quota": {
			v1alpha1.Signal{Reason: v1alpha1.SignalReplicasMissing, Message: `pods "web-655c88f49c-sghnp" is forbidden: exceeded quota: tiny, requested: pods=1, used: pods=3, limited: pods=3`},
			"web: pods cannot be created: exceeded quota: tiny",
		},
		"lines": {
			v1alpha1.Signal{Reason: v1alpha1.SignalJobFailed, Message: "Job web-1 failed:\n\tDeadlineExceeded"},
			"web: the Job failed: Job web-1 failed: DeadlineExceeded",
		},
		"eviction": {
			v1alpha1.Signal{Reason: v1alpha1.SignalEvicted, AffectedPods: 1, Message: "Evicted: The node was low on resource: memory. (node node-1)"},
			"web: pods were evicted from their node: The node was low on resource: memory. (node node-1)",
		},
		"node":               {v1alpha1.Signal{Reason: v1alpha1.SignalNodeLost, Message: "Ready is Unknown"}, "web: the node does not answer"},
		"node with its pods": {v1alpha1.Signal{Reason: v1alpha1.SignalNodeLost, AffectedPods: 15}, "web: the node does not answer (15 pods ran there)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := incident.Summary(web, test.signal); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	job := configuration.Key{Group: "batch", Kind: configuration.KindJob, Namespace: "shop", Name: "migrate"}
	failed := v1alpha1.Signal{Reason: v1alpha1.SignalJobFailed, ExitCode: new(int32(4)), Message: "Job migrate failed: BackoffLimitExceeded: Job has reached the specified backoff limit; container app exited with code 4 after 1s"}
	if got, want := incident.Summary(job, failed), "migrate: the Job failed (exit code 4): BackoffLimitExceeded: Job has reached the specified backoff limit; container app exited with code 4 after 1s"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	pod := configuration.Key{Kind: incident.KindPod, Namespace: "shop", Name: "lonely"}
	if got, want := incident.Summary(pod, v1alpha1.Signal{Reason: v1alpha1.SignalNotReady, AffectedPods: 1}), "lonely: it runs and is not ready"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
