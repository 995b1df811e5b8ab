package incident_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// TestEachKindAndContainer: whatever makes the pods, and whichever container of them it is, the same failure is the same
// signal from one look. What Jobs make is retried, and theirs to answer for, unless it cannot begin to run.
func TestEachKindAndContainer(t *testing.T) {
	crashes := func(b *podBuilder, name string) *podBuilder {
		return b.waiting(name, "CrashLoopBackOff").restarts(name, 5).last(name, "Error", 1, 20*second, 21*second)
	}
	stuck := func(b *podBuilder, name string) *podBuilder { return b.waiting(name, "ImagePullBackOff") }
	containers := map[string]func(fail func(*podBuilder, string) *podBuilder) *podBuilder{
		"app": func(fail func(*podBuilder, string) *podBuilder) *podBuilder { return fail(aPod("a"), "app") },
		"log": func(fail func(*podBuilder, string) *podBuilder) *podBuilder {
			return fail(aPod("a").running("log", 0, 2*second), "log")
		},
		"proxy": func(fail func(*podBuilder, string) *podBuilder) *podBuilder {
			return fail(aPod("a").init("proxy", true), "proxy")
		},
		"migrate": func(fail func(*podBuilder, string) *podBuilder) *podBuilder {
			return fail(aPod("a").phase(corev1.PodPending, "").init("migrate", false).waiting("app", "PodInitializing"), "migrate")
		},
	}
	kinds := []string{"ReplicaSet", "ReplicationController", "Pod", "Rollout"}
	for _, kind := range configuration.ClaimableKinds() {
		kinds = append(kinds, kind.Name())
	}
	for _, kind := range kinds {
		for container, of := range containers {
			for what, fail := range map[string]func(*podBuilder, string) *podBuilder{"CrashLooping": crashes, "ImagePullFailed": stuck} {
				t.Run(kind+"/"+container+"/"+what, func(t *testing.T) {
					pod := of(fail)
					o := incident.Observation{Key: configuration.Key{Kind: kind, Namespace: "shop", Name: "web"}}
					switch {
					case kind == "Pod":
						pod.bare()
					case configuration.Claimable(kind):
						o.Workload = aWorkload(kind, 1).counts(1, 1, 0).obj()
						o.Key = o.Workload.Key
					case kind == "Rollout":
						o.Key.Group = "argoproj.io"
					default: // not watched: its pods are all that is known
						o.Key.Group, _ = configuration.GroupOf(kind)
					}
					retried := kind == "Job" || kind == "CronJob"
					if retried {
						pod.ownedBy("batch/v1", "Job", "web")
					}
					want := []string{what + "/" + container}
					switch {
					case retried && what == "CrashLooping":
						want = nil
					case container == "migrate":
						want = []string{"InitFailed/migrate"}
					}
					o.Pods = []*incident.Pod{pod.obj()}
					r := incident.Observe(o, incident.DefaultSettings(), incident.History{}, at(minute))
					if diff := cmp.Diff(want, reasons(r)); diff != "" {
						t.Error(diff)
					}
				})
			}
		}
	}
}

// TestEachKindOfNode: one that does not answer, and one that says that it is not ready, is lost, whatever it runs; one that
// is well, has never been, or is taken away by somebody is not.
func TestEachKindOfNode(t *testing.T) {
	for name, c := range map[string]struct {
		node *corev1.Node
		want []string
	}{
		"silent":           {aNode("node1", corev1.ConditionUnknown, 0, false), []string{"NodeLost"}},
		"not ready":        {aNode("node1", corev1.ConditionFalse, 0, false), []string{"NodeLost"}},
		"well":             {aNode("node1", corev1.ConditionTrue, 0, false), nil},
		"silent, cordoned": {aNode("node1", corev1.ConditionUnknown, 0, true), nil},
		"not yet joined":   {&corev1.Node{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			node := incident.NodeFrom(c.node)
			o := incident.Observation{Key: configuration.Key{Kind: "Node", Name: "node1"}, Node: &node}
			for n := range 3 {
				o.Pods = append(o.Pods, aPod(fmt.Sprint("a", n)).obj())
			}
			r := incident.Observe(o, incident.DefaultSettings(), incident.History{}, at(minute))
			if diff := cmp.Diff(c.want, reasons(r)); diff != "" {
				t.Error(diff)
			}
			if len(c.want) > 0 && r.Findings[0].AffectedPods != 3 {
				t.Errorf("%d pods ran there", r.Findings[0].AffectedPods)
			}
		})
	}
}
