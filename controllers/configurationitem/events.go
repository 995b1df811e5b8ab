package configurationitem

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// What an event about a ConfigurationItem tells.
const (
	eventUnauthorized = "UnauthorizedTemplate"
	eventBreakGlass   = "GlassBroken"
	actionCompare     = "Compare"
)

// announce a template that nobody approved, after its baseline was written.
func (r *Reconciler) announce(before, after *v1alpha1.ConfigurationItem) {
	if r.Recorder == nil || len(after.Status.Baselines) == 0 {
		return
	}
	newest := after.Status.Baselines[0]
	if len(before.Status.Baselines) > 0 {
		if last := before.Status.Baselines[0]; last.From == newest.From && last.Source == newest.Source {
			return
		}
	}
	ref := after.Spec.WorkloadRef
	what := fmt.Sprintf("%s %s has template %.12s…", ref.Kind, ref.Name, newest.TemplateHash)
	switch newest.Source {
	case v1alpha1.BaselineUnauthorized:
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, eventUnauthorized, actionCompare, "%s, which no verdict let in: %s", what, after.Status.NextStep)
	case v1alpha1.BaselineBreakGlass:
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, eventBreakGlass, actionCompare, "%s, which %.128s forced in", what, newest.By)
	case v1alpha1.BaselineAdopted, v1alpha1.BaselineChange, v1alpha1.BaselinePreAuthorised, v1alpha1.BaselineRollback, v1alpha1.BaselineAudited:
	}
}
