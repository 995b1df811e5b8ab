package incident_test

import (
	"testing"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// TestAnotherScheduleHasMissedNothing: a CronJob that runs once a day is made to run every minute, and the minutes since
// its last run were never due. Those after the edit are.
func TestAnotherScheduleHasMissedNothing(t *testing.T) {
	nightly := func(schedule string) incident.Observation {
		w := aWorkload("CronJob", 1).with(func(w *configuration.Workload) {
			w.Schedule, w.LastScheduled, w.LastSuccessful = schedule, at(0), at(minute)
		}).obj()
		return incident.Observation{Key: w.Key, Workload: w}
	}
	settings := incident.DefaultSettings()
	r := incident.Observe(nightly("30 3 * * *"), settings, incident.History{}, at(2*minute))
	r = incident.Observe(nightly("* * * * *"), settings, r.History, at(hour))
	if len(r.Findings) > 0 {
		t.Fatalf("found %v: %s", reasons(r), r.Findings[0].Message)
	}
	r = incident.Observe(nightly("* * * * *"), settings, r.History, at(hour+4*minute))
	if len(r.Findings) > 0 {
		t.Fatalf("found %v: %s", reasons(r), r.Findings[0].Message)
	}
	r = incident.Observe(nightly("* * * * *"), settings, r.History, at(hour+7*minute))
	if len(r.Findings) != 1 {
		t.Errorf("found %v, want the runs missed since the edit", reasons(r))
	}
}
