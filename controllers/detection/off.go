package detection

import (
	"context"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Off says why nothing that befalls a workload would open an Incident; empty: it would. It looks at exactly what a look
// at the workload looks at.
func (r *Reconciler) Off(ctx context.Context, key configuration.Key) (why string, err error) {
	in := &input{namespace: key.Namespace, settings: r.Settings, mayOpen: true}
	in.Key, in.subject.Key = key, key
	r.gatherWorkload(in)
	if in.subject.SwitchedOff {
		return "its label " + v1alpha1.LabelIncidents + " switches detection off", nil
	}
	r.gatherService(in)
	if !in.mayOpen && len(r.Inventory.Claimants(key)) > 0 {
		return "its Service is only planned (lifecycle " + string(v1alpha1.LifecyclePipeline) + ")", nil
	}
	if !in.mayOpen {
		return "no Service claims it, and the operator detects only what Services claim (--detect=" + string(ScopeServices) + ")", nil
	}
	alive, err := r.gatherScope(ctx, in)
	switch {
	case err != nil:
		return "", err
	case in.subject.SwitchedOff:
		return "the label " + v1alpha1.LabelIncidents + " of namespace " + key.Namespace + " switches detection off", nil
	case !in.mayOpen:
		return "nothing is detected in namespace " + key.Namespace + " unless it is labelled " +
			v1alpha1.LabelIncidents + "=" + v1alpha1.LabelIncidentsEnabled, nil
	case !alive:
		return "namespace " + key.Namespace + " is being deleted", nil
	}
	return "", nil
}
