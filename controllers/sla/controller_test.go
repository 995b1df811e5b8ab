package sla

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// TestLook: until when a health was seen to last is remembered, for the time when it turns out to have begun anew, and
// also while that could not be written yet.
func TestLook(t *testing.T) {
	noon := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	minutes := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	a := &v1alpha1.ServiceLevelAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gold"}}
	a.Status.Observed = &v1alpha1.ObservedHealth{Health: v1alpha1.HealthOperational, Since: metav1.NewTime(noon)}
	r := &Reconciler{}
	look := func(since, at int) time.Time {
		o := &practice.Observation{Health: v1alpha1.HealthOperational, Since: minutes(since)}
		r.look(a, o, minutes(at))
		return o.Seen
	}
	if seen := look(0, 10); !seen.IsZero() {
		t.Errorf("a new process knows of %s", seen)
	}
	look(0, 30)
	for range 2 { // the second after a write that failed
		if seen := look(50, 60); !seen.Equal(minutes(30)) {
			t.Errorf("seen until %s, want 12:30", seen)
		}
	}
	a.Status.Observed.Since = metav1.NewTime(minutes(50))
	if seen := look(50, 70); !seen.IsZero() {
		t.Errorf("what began anew was seen until %s", seen)
	}
	r.forget(client.ObjectKeyFromObject(a))
	if len(r.looks) != 0 {
		t.Error("what was deleted is remembered")
	}
}
