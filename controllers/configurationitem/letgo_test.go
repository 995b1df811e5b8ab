package configurationitem

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// What a partition holds back comes in with every pod that is made anew. While its Change is open that is what it is for; once
// somebody has withdrawn that, scaling up, which the gate is not asked about, would bring in what nobody agrees to any more.
func TestAHeldTemplateThatRunsInPart(t *testing.T) {
	key := configuration.Key{Group: "apps", Kind: "StatefulSet", Namespace: "shop", Name: "db"}
	set := func(tag string, generation int64, partition, replicas, updated int32) *unstructured.Unstructured {
		s := builder.StatefulSet("shop", "db")
		s.Generation, s.Spec.Replicas = generation, &replicas
		s.Spec.Template.Spec.Containers[0].Image = image + tag
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &partition}
		s.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: generation, Replicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas, UpdatedReplicas: updated,
		}
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
		if err != nil {
			t.Fatal(err)
		}
		return &unstructured.Unstructured{Object: fields}
	}
	owner := builder.MakeService("shop", "db").Team("data").Tier(1).Claim("StatefulSet", "db").Enforcement(v1alpha1.EnforcementEnforce).Obj()
	open := builder.MakeChange("shop", "c").Target("StatefulSet", "db", image+"2").Approved(start)
	c := newCluster(t, owner, gate(), open.Obj(), set("1", 1, 0, 2, 2))
	expect := func(what string, drift v1alpha1.DriftState, events int) *v1alpha1.ConfigurationItem {
		t.Helper()
		item, _ := c.after(time.Minute).reconcile(key)
		if item.Status.Drift != drift || len(c.events.Events) != events {
			t.Fatalf("%s: %s and %d events, want %s and %d: %s", what, item.Status.Drift, len(c.events.Events), drift, events, item.Status.NextStep)
		}
		return item
	}
	expect("as agreed", v1alpha1.DriftNone, 0)
	next := set("2", 2, 2, 2, 0)
	w, err := configuration.FromObject(next.Object)
	if err != nil {
		t.Fatal(err)
	}
	c.r.Inventory.Admitted(key, configuration.AdmissionRecord{
		TemplateHash: w.Template.Hash, Source: v1alpha1.BaselineChange, By: "alice", Change: "c", At: c.clock.Now(),
	})
	c.put(next)
	expect("held back", v1alpha1.DriftNone, 0)
	c.put(set("2", 3, 2, 3, 1))
	expect("let go in part, while its Change is open", v1alpha1.DriftNone, 0)
	c.put(open.Alter(func(chg *v1alpha1.Change) { chg.Spec.Cancel = true }).Obj())
	item := expect("once that is canceled", v1alpha1.DriftDrifted, 1)
	if told := <-c.events.Events; !strings.Contains(told, "in 1 of 3 pods") || !strings.Contains(told, "kubectl rollout undo -n shop statefulset/db") {
		t.Errorf("told %q, next step %q", told, item.Status.NextStep)
	}
	expect("still", v1alpha1.DriftDrifted, 0)
	c.put(set("1", 4, 2, 3, 2))
	expect("taken back, but for a pod that the partition keeps", v1alpha1.DriftDrifted, 0)
	c.put(set("1", 5, 0, 3, 3))
	expect("once that is gone", v1alpha1.DriftNone, 0)
	c.put(set("1", 6, 2, 3, 1))
	expect("restarted in part, of which nothing was let go", v1alpha1.DriftNone, 0)
}
