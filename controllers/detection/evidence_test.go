package detection

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// TestWhyACronJobDidNotRun is told by its own events: no pod can.
func TestWhyACronJobDidNotRun(t *testing.T) {
	event := func(name string, uid types.UID) *corev1.Event {
		return &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Type: corev1.EventTypeWarning, Reason: "FailedCreate",
			Message:        "Error creating job: admission webhook denied the request",
			InvolvedObject: corev1.ObjectReference{Kind: "CronJob", Name: "report", UID: uid}, LastTimestamp: metav1.NewTime(t0),
		}
	}
	s := newScene(t, event("own", "uid-report"), event("other", "uid-other"))
	s.hasObject(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "CronJob",
		"metadata": map[string]any{"namespace": "shop", "name": "report", "uid": "uid-report", "creationTimestamp": t0.Add(-time.Hour).Format(time.RFC3339)},
		"spec":     map[string]any{"schedule": "0 * * * *", "jobTemplate": map[string]any{"spec": map[string]any{"template": map[string]any{}}}},
	}})
	s.at(10 * time.Minute)
	s.enqueue(configuration.Key{Group: "batch", Kind: "CronJob", Namespace: "shop", Name: "report"})
	s.work()
	i := s.one()
	if i.Status.Reason != v1alpha1.SignalScheduleMissed || len(i.Status.Evidence) != 1 {
		t.Fatalf("reason %s, evidence %+v", i.Status.Reason, i.Status.Evidence)
	}
	if e := i.Status.Evidence[0]; e.Object != "CronJob/report" || e.Reason != "FailedCreate" || e.Message == "" {
		t.Errorf("evidence %+v", e)
	}
}
