// Package event is what a practice has the operator tell of a record.
package event

import corev1 "k8s.io/api/core/v1"

// Event is told about a record once its status is written.
type Event struct {
	// Warning, or else Normal.
	Warning bool
	// Reason is a word for machines in CamelCase, Action what was done, Note a sentence for people. The note may have words of
	// people and of pods in it, and is never a format.
	Reason, Action, Note string
}

// Type is the type of the Kubernetes event: Warning or Normal.
func (e Event) Type() string {
	if e.Warning {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}
