package configurationitem

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// What an event about a ConfigurationItem tells.
const (
	eventUnauthorized = "UnauthorizedTemplate"
	eventBreakGlass   = "GlassBroken"
	eventTagMoved     = "TagMoved"
	actionCompare     = "Compare"
)

// announce a template that nobody approved, after its baseline was written: once, since it is written once.
func (r *Reconciler) announce(before, after *v1alpha1.ConfigurationItem) {
	if r.Recorder == nil || len(after.Status.Baselines) == 0 {
		return
	}
	r.announceEarlier(before, after)
	r.announceLetGo(before, after)
	newest := after.Status.Baselines[0]
	r.announceMoved(before, after)
	if len(before.Status.Baselines) > 0 {
		if last := before.Status.Baselines[0]; last.From == newest.From && last.Source == newest.Source {
			return
		}
	}
	ref := after.Spec.WorkloadRef
	what := fmt.Sprintf("%s %s has template %.12s…", ref.Kind, ref.Name, newest.TemplateHash)
	switch newest.Source {
	case v1alpha1.BaselineUnauthorized:
		unauthorised.WithLabelValues(after.Namespace).Inc()
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, eventUnauthorized, actionCompare, "%s, which no verdict let in: %s", what, after.Status.NextStep)
	case v1alpha1.BaselineBreakGlass:
		brokenGlass.WithLabelValues(after.Namespace).Inc()
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, eventBreakGlass, actionCompare, "%s, which %.128s forced in", what, newest.By)
	case v1alpha1.BaselineAdopted, v1alpha1.BaselineChange, v1alpha1.BaselinePreAuthorised, v1alpha1.BaselineRollback, v1alpha1.BaselineAudited:
	}
}

// announceMoved tells when a tag is found to mean another image than the one that was agreed to.
func (r *Reconciler) announceMoved(before, after *v1alpha1.ConfigurationItem) {
	newest := &after.Status.Baselines[0]
	if len(newest.MovedImageIDs) == 0 {
		return
	}
	if list := before.Status.Baselines; len(list) > 0 && maps.Equal(list[0].MovedImageIDs, newest.MovedImageIDs) {
		return
	}
	movedTags.WithLabelValues(after.Namespace).Inc()
	ref := after.Spec.WorkloadRef
	r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, eventTagMoved, actionCompare, "%s %s: %.800s", ref.Kind, ref.Name, movedStep(newest))
}
