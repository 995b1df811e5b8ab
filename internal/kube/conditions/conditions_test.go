package conditions_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/internal/kube/conditions"
)

func TestSet(t *testing.T) {
	start := time.Date(2026, 11, 2, 8, 0, 0, 5, time.UTC)
	later := start.Add(time.Minute)
	healthy := metav1.Condition{Type: "Healthy", Status: metav1.ConditionTrue, Reason: "Operational", Message: "a"}
	list := []metav1.Condition{{Type: "Other", Status: metav1.ConditionTrue}}
	tests := []struct {
		name    string
		c       metav1.Condition
		now     time.Time
		changed bool
		since   time.Time
	}{
		{"new", healthy, start, true, start.Truncate(time.Second)},
		{"the same", healthy, later, false, start.Truncate(time.Second)},
		{"another message", metav1.Condition{Type: "Healthy", Status: metav1.ConditionTrue, Reason: "Operational", Message: "b"}, later, true, start.Truncate(time.Second)},
		{"another status", metav1.Condition{Type: "Healthy", Status: metav1.ConditionFalse, Reason: "Outage"}, later, true, later.Truncate(time.Second)},
	}
	for _, test := range tests {
		if changed := conditions.Set(&list, test.c, test.now); changed != test.changed {
			t.Errorf("%s: changed %t, want %t", test.name, changed, test.changed)
		}
		if got := list[1]; len(list) != 2 || !got.LastTransitionTime.Time.Equal(test.since) || got.Status != test.c.Status || got.Message != test.c.Message {
			t.Errorf("%s: conditions are %v", test.name, list)
		}
	}
	conditions.Keep(&list, "Healthy")
	if len(list) != 1 || list[0].Type != "Healthy" {
		t.Errorf("kept %v", list)
	}
	conditions.Keep(&list)
	if diff := cmp.Diff([]metav1.Condition(nil), list); diff != "" {
		t.Errorf("an empty list is not nil: %s", diff)
	}
}
