package service

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// What an event about a Service tells.
const (
	eventHealth = "HealthChanged"
	actionWatch = "Watch"
)

// announce a change of health, after it was written. The first health of a Service is no news.
func (r *Reconciler) announce(before, after *v1alpha1.Service) {
	if r.Recorder == nil || before.Status.Health == "" || before.Status.Health == after.Status.Health {
		return
	}
	kind := corev1.EventTypeNormal
	if after.Status.Health == v1alpha1.HealthOutage || after.Status.Health == v1alpha1.HealthDegraded {
		kind = corev1.EventTypeWarning
	}
	why := ""
	if c := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionHealthy); c != nil {
		why = c.Message
	}
	const maxNote = 900 // the API allows 1,024 bytes
	r.Recorder.Eventf(after, nil, kind, eventHealth, actionWatch, "%s, was %s: %s",
		after.Status.Health, before.Status.Health, strings.ToValidUTF8(why[:min(len(why), maxNote)], ""))
}
