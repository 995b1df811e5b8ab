package detection

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// emitCapReached says on the record that counts them that further failures open no Incident of their own.
func (r *Reconciler) emitCapReached(record *v1alpha1.Incident) {
	r.Recorder.Eventf(record, nil, corev1.EventTypeWarning, "CapReached", "Count",
		"as many Incidents are open as may be; further failures are counted here and open as others are resolved")
}
