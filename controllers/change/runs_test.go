package change

import (
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// TestARunThatEndsIsNewsOfTheChange: a Change of a CronJob is looked at when a Job of it ends, with the Jobs that there are.
func TestARunThatEndsIsNewsOfTheChange(t *testing.T) {
	known := inventory.New()
	known.Put(builder.Unstructured(builder.CronJob("shop", "tidy"), builder.GroupVersionKind("CronJob")))
	known.Put(builder.MakeChange("shop", "tidier").Target(v1alpha1.WorkloadCronJob, "tidy", "r/tidy:2").Assessed(v1alpha1.RiskMedium).Obj())
	key := configuration.Key{Group: "batch", Kind: "CronJob", Namespace: "shop", Name: "tidy"}
	r := &Reconciler{Inventory: known}
	var pushed []string
	cancel := known.Subscribe(func(e inventory.Event) {
		r.concerned(e, func(name types.NamespacedName) { pushed = append(pushed, name.Name) })
	})
	defer cancel()

	job := builder.Job("shop", "tidy-1")
	job.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "tidy", UID: "1", Controller: new(true)}}
	known.Put(builder.Unstructured(job, builder.GroupVersionKind("Job")))
	pushed = nil
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(builder.Epoch.Add(time.Minute))}}
	known.Put(builder.Unstructured(job, builder.GroupVersionKind("Job")))
	if !slices.Contains(pushed, "tidier") {
		t.Error("a run failed, and the Change is not looked at")
	}
	fact := r.workload(key, r.world(key))
	if len(fact.Runs) != 1 || fact.Runs[0].Key.Name != "tidy-1" || fact.Runs[0].FailedAt.IsZero() {
		t.Errorf("runs %v", fact.Runs)
	}
}
