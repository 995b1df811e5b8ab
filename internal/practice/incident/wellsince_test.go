package incident_test

import (
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// TestRecoveryIsNotBeforeTheEnd: after a rollback only pods are left that were well all along. It is over since they
// are alone, and not since they began, or an Incident would end before it was opened and have taken no time.
func TestRecoveryIsNotBeforeTheEnd(t *testing.T) {
	settings := incident.DefaultSettings()
	old := func() *incident.Pod { return aPod("old").revision("1").obj() }
	bad := aPod("new").created(minute).revision("2").waiting("app", "ImagePullBackOff").obj()
	failing := deployment(1).counts(1, 2, 1).rollingOut("2", minute).obj()
	seen := incident.Observe(incident.Observation{Key: web, Workload: failing, Pods: []*incident.Pod{old(), bad}}, settings, incident.History{}, at(2*minute))
	if len(seen.Findings) != 1 {
		t.Fatalf("found %v", reasons(seen))
	}
	opened, _ := incident.Correlate(incident.Detected{}, seen, subject(), at(2*minute))

	undone := incident.Observation{Key: web, Workload: deployment(1).obj(), Pods: []*incident.Pod{old()}}
	for name, test := range map[string]struct {
		history incident.History
		looks   []time.Duration
		want    time.Duration
	}{
		"seen to end":                       {seen.History, []time.Duration{10 * minute, 10*minute + 29*second, 11 * minute}, 10 * minute},
		"it ended while nobody looked":      {incident.History{}, []time.Duration{10 * minute}, 2 * minute},
		"moments after it was seen to fail": {incident.History{}, []time.Duration{2*minute + 5*second, 3 * minute}, 2 * minute},
	} {
		t.Run(name, func(t *testing.T) {
			d, history := opened, test.history
			for n, now := range test.looks {
				r := incident.Observe(undone, settings, history, at(now))
				history = r.History
				d, _ = incident.Correlate(d, r, subject(), at(now))
				if last := n == len(test.looks)-1; (d.RecoveredAt != nil) != last {
					t.Fatalf("recovered at %v by the look at %s", d.RecoveredAt, now)
				}
			}
			if !d.RecoveredAt.Time.Equal(at(test.want)) {
				t.Errorf("recovered after %s, want %s", d.RecoveredAt.Sub(t0), test.want)
			}
		})
	}
}

// TestASignalThatComesBack: what failed, was clear and fails again while the incident is open for something else began
// when it began this time.
func TestASignalThatComesBack(t *testing.T) {
	d, _ := incident.Correlate(incident.Detected{}, found(oom(0), stuckRollout(minute)), subject(), at(2*minute))
	d, _ = incident.Correlate(d, well(3*minute), subject(), at(10*minute))
	if incident.Active(d.Signals) {
		t.Fatalf("signals %v", signalsOf(d))
	}
	again := subject()
	again.Resolved = true
	d, _ = incident.Correlate(d, found(oom(29*minute)), again, at(30*minute))
	// It is open again by now.
	d, _ = incident.Correlate(d, found(oom(29*minute), stuckRollout(31*minute)), subject(), at(32*minute))
	for _, s := range d.Signals {
		want := at(29 * minute)
		if s.Reason == stuckRollout(0).Reason {
			want = at(31 * minute)
		}
		if s.ClearedAt != nil || !s.Since.Time.Equal(want) {
			t.Errorf("%s since %s, want %s", s.Reason, s.Since.Sub(t0), want.Sub(t0))
		}
	}
}
