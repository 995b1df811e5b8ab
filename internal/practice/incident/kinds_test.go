package incident_test

import (
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
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod", "Rollout"} {
		for container, of := range containers {
			for what, fail := range map[string]func(*podBuilder, string) *podBuilder{"CrashLooping": crashes, "ImagePullFailed": stuck} {
				t.Run(kind+"/"+container+"/"+what, func(t *testing.T) {
					pod := of(fail)
					o := incident.Observation{Key: configuration.Key{Group: "argoproj.io", Kind: kind, Namespace: "shop", Name: "web"}}
					switch kind {
					case "Rollout": // not watched: its pods are all that is known
					case "Pod":
						pod.bare()
						o.Key.Group = ""
					default:
						o.Workload = aWorkload(kind, 1).counts(1, 1, 0).obj()
						o.Key = o.Workload.Key
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
