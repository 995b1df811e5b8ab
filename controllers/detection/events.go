package detection

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// emitCapReached says on the record that counts them that further failures open no Incident of their own.
func (r *Reconciler) emitCapReached(record *v1alpha1.Incident, workloads int32) {
	r.Recorder.Eventf(record, nil, corev1.EventTypeWarning, "CapReached", "Count",
		"at most %d Incidents may be open in a namespace and %d in all; %d workloads fail without one of their own and are counted here; they open as others are resolved",
		r.namespaceCap(), r.clusterCap(), workloads)
}
