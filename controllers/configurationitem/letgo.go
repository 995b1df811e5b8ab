package configurationitem

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// eventLetGo tells that a template which was held back runs in part.
const eventLetGo = "HeldTemplateRuns"

// heldRuns is how many pods are of a template that is held back, and that the Change which let it in covers no more; 0: none is.
// What a partition or OnDelete holds back comes in with every pod that is made anew, where somebody scales up or deletes one, and
// the gate is not asked about either. While that Change is open, this is what it is for.
func (r *Reconciler) heldRuns(o *observed) int32 {
	w := o.workload
	switch {
	case w.Key.Kind != configuration.KindStatefulSet && w.Key.Kind != configuration.KindDaemonSet:
		return 0
	case !o.inForce || o.unseen() || !w.Hold.Held() || w.ObservedGeneration < w.Generation:
		return 0
	}
	var prefixes []string
	if o.rules != nil {
		prefixes = o.rules.IgnoredAnnotationPrefixes
	}
	if w.Template.IsBaseline(o.item.Status.Baselines[0], prefixes) {
		// It was taken back, and what holds back keeps the pods that were made of it.
		if foundLetGo(o.item) {
			return max(0, w.Current-w.Updated)
		}
		return 0
	}
	if record := recordOf(o, prefixes); record != nil {
		let, known := r.Inventory.Change(types.NamespacedName{Namespace: w.Key.Namespace, Name: record.Change})
		if record.Source != v1alpha1.BaselineChange || known && let.Candidate.Ended == change.NotEnded {
			return 0
		}
	}
	return w.Updated
}

// foundLetGo reports whether an item says so.
func foundLetGo(item *v1alpha1.ConfigurationItem) bool {
	drifted := meta.FindStatusCondition(item.Status.Conditions, v1alpha1.ConditionDrifted)
	return drifted != nil && drifted.Reason == reasonLetGo
}

// announceLetGo tells of it once, when it is found.
func (r *Reconciler) announceLetGo(before, after *v1alpha1.ConfigurationItem) {
	if !foundLetGo(after) || foundLetGo(before) {
		return
	}
	ref := after.Spec.WorkloadRef
	r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, eventLetGo, actionCompare, "%s %s: %s; next: %s", ref.Kind, ref.Name,
		meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionDrifted).Message, after.Status.NextStep)
}
