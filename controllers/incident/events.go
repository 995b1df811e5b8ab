package incident

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
)

// emit tells of something that happened to an Incident.
func (r *Reconciler) emit(i *v1alpha1.Incident, e practice.Event) {
	kind := corev1.EventTypeNormal
	if e.Warning {
		kind = corev1.EventTypeWarning
	}
	// The note is a text of people and of pods: it must not be read as a format.
	r.Recorder.Eventf(i, nil, kind, e.Reason, e.Action, "%s", e.Note)
}
