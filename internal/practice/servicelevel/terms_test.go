package servicelevel

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func dateOf(month time.Month, n int) time.Time {
	return time.Date(2026, month, n, 0, 0, 0, 0, time.UTC)
}

// TestEditsTakeEffectWithTheNextPeriod: whatever is edited, the running period is measured as was agreed when it began,
// and no second is counted in two periods.
func TestEditsTakeEffectWithTheNextPeriod(t *testing.T) {
	nights := v1alpha1.CalendarSpec{Weekly: []v1alpha1.WeeklyHours{{Days: workdays, From: "00:00", To: "06:00"}}}
	type figures struct {
		start, end   time.Time
		agreed, down int64
		target       v1alpha1.Percentage
	}
	cases := map[string]struct {
		from v1alpha1.AgreementPeriod
		edit func(*AgreementFacts)
		// running is of 20 November, next of the first period that begins after the edit, three days later.
		running, next figures
	}{
		"a calendar": {
			edit: func(f *AgreementFacts) {
				f.Agreement.Spec.CalendarRef, f.Calendar = &v1alpha1.LocalReference{Name: "nights"}, &nights
			},
			running: figures{start: dateOf(11, 1), end: dateOf(12, 1), agreed: 18*86400 - 43200, down: 3600},
			next:    figures{start: dateOf(12, 1), end: dateOf(13, 1), agreed: 3 * 6 * 3600},
		},
		"from months to quarters": {
			edit:    func(f *AgreementFacts) { f.Agreement.Spec.Period.Type = v1alpha1.PeriodCalendarQuarter },
			running: figures{start: dateOf(11, 1), end: dateOf(12, 1), agreed: 18*86400 - 43200, down: 3600},
			next:    figures{start: dateOf(10, 1), end: dateOf(13, 1), agreed: 3 * 86400},
		},
		"from months to a rolling period": {
			edit: func(f *AgreementFacts) {
				f.Agreement.Spec.Period = v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, Days: 30}
			},
			running: figures{start: dateOf(11, 1), end: dateOf(12, 1), agreed: 18*86400 - 43200, down: 3600},
			next:    figures{start: dateOf(11, 5), end: dateOf(12, 5), agreed: 3 * 86400},
		},
		"a rolling period, with the next day": {
			from:    v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, Days: 30},
			edit:    func(f *AgreementFacts) { f.Agreement.Spec.Availability.Target = "98" },
			running: figures{start: dateOf(10, 22), end: dateOf(11, 21), agreed: 18*86400 - 43200, down: 3600},
			next:    figures{start: dateOf(10, 25), end: dateOf(11, 24), agreed: 21*86400 - 43200, down: 3600, target: "98"},
		},
		"when it begins to count": {
			edit:    func(f *AgreementFacts) { f.Agreement.Spec.ValidFrom = "2026-12-02T00:00:00Z" },
			running: figures{start: dateOf(11, 1), end: dateOf(12, 1), agreed: 18*86400 - 43200, down: 3600},
			next:    figures{start: dateOf(12, 1), end: dateOf(13, 1), agreed: 2 * 86400},
		},
		"whether maintenance counts": {
			edit:    func(f *AgreementFacts) { f.Agreement.Spec.ExcludePlannedMaintenance = true },
			running: figures{start: dateOf(11, 1), end: dateOf(12, 1), agreed: 18*86400 - 43200, down: 3600},
			next:    figures{start: dateOf(12, 1), end: dateOf(13, 1), agreed: 3 * 86400},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := &AgreementFacts{Agreement: agreement("99"), Service: observed(v1alpha1.HealthOperational, noon)}
			if f.Agreement.Spec.Period = c.from; c.from.Type == "" {
				f.Agreement.Spec.Period.Type = v1alpha1.PeriodCalendarMonth
			}
			follow(f, noon)
			for _, o := range []Observation{{Health: v1alpha1.HealthMaintenance, Since: dateOf(11, 10)}, {Health: v1alpha1.HealthOperational, Since: dateOf(11, 10).Add(time.Hour)}} {
				f.Service = &o
				follow(f, o.Since)
			}
			follow(f, dateOf(11, 20))
			f.Agreement.Generation++
			c.edit(f)
			follow(f, dateOf(11, 20))
			expect := func(want figures) {
				t.Helper()
				if want.target == "" {
					want.target = "99"
				}
				p := f.Agreement.Status.CurrentPeriod
				got := figures{start: p.Start.Time, end: p.End.Time, agreed: p.AgreedSeconds, down: p.DowntimeSeconds, target: p.Target}
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
			expect(c.running)
			// It is not written anew merely since the spec is another one than the terms.
			if wrote, _ := follow(f, dateOf(11, 20).Add(time.Hour)); wrote {
				t.Error("wrote where nothing happened")
			}
			if c.from.Type == v1alpha1.PeriodRolling {
				follow(f, dateOf(11, 23))
			} else {
				follow(f, dateOf(12, 4))
			}
			expect(c.next)
		})
	}
}

// TestDeletedIncidents: what retention deletes has counted, and goes on to.
func TestDeletedIncidents(t *testing.T) {
	f := &AgreementFacts{Agreement: agreement("99"), Service: observed(v1alpha1.HealthOperational, noon)}
	follow(f, noon)
	f.Incidents = []AgreementIncident{
		{Name: "nobody-can-pay", Declared: true, Interval: Interval{Start: minutesAfter(10), End: minutesAfter(20)}, DetectedAt: minutesAfter(10), Response: v1alpha1.ClockMet},
		{Name: "slow", Interval: Interval{Start: minutesAfter(30)}, DetectedAt: minutesAfter(30), Response: v1alpha1.ClockBreached, Resolution: v1alpha1.ClockRunning},
		{Namespace: "it", Name: "network", Declared: true, Interval: Interval{Start: minutesAfter(40)}, DetectedAt: minutesAfter(40)},
		{Name: "of-no-account", Interval: Interval{Start: minutesAfter(50)}, DetectedAt: minutesAfter(50), Response: v1alpha1.ClockRunning},
	}
	follow(f, minutesAfter(60))
	with := *f.Agreement.Status.CurrentPeriod
	if with.DowntimeSeconds != 1800 || len(f.Agreement.Status.IncidentRecords) != 3 {
		t.Fatalf("%+v, %+v", with, f.Agreement.Status.IncidentRecords)
	}
	f.Incidents = nil
	follow(f, minutesAfter(70))
	s := f.Agreement.Status
	if s.CurrentPeriod.DowntimeSeconds != 600+1800 || s.Incidents.ResponseMet != 1 || s.Incidents.ResponseBreached != 1 {
		t.Errorf("after they were deleted: %+v, %+v", s.CurrentPeriod, s.Incidents)
	}
	// The open one is over since it was deleted, and no window of the burn rate but the longest still holds it.
	follow(f, minutesAfter(500))
	if wrote, _ := follow(f, minutesAfter(600)); wrote {
		t.Errorf("wrote again: %+v", f.Agreement.Status)
	}
	if r, ok := Running(*f, minutesAfter(600)); !ok || r.Sums.Downtime != 2400 {
		t.Errorf("running: %+v", r.Sums)
	}
	// Who takes a declaration back is heard.
	f.Incidents = []AgreementIncident{{Name: "nobody-can-pay", Interval: Interval{Start: minutesAfter(10), End: minutesAfter(20)}, DetectedAt: minutesAfter(10)}}
	follow(f, minutesAfter(601))
	if d := f.Agreement.Status.CurrentPeriod.DowntimeSeconds; d != 1800 {
		t.Errorf("%d s of downtime after one was taken back", d)
	}
	follow(f, time.Date(2026, 12, 10, 0, 0, 0, 0, time.UTC))
	if s := f.Agreement.Status; len(s.IncidentRecords) != 0 || s.History[0].DowntimeSeconds != 1800 {
		t.Errorf("in the next period: %+v, %+v", s.IncidentRecords, s.History)
	}
}

func TestUnderpinning(t *testing.T) {
	days := v1alpha1.CalendarSpec{Weekly: []v1alpha1.WeeklyHours{{Days: workdays, From: "08:00", To: "18:00"}}}
	shorter := v1alpha1.CalendarSpec{Weekly: []v1alpha1.WeeklyHours{{Days: workdays, From: "09:00", To: "17:00"}}}
	cases := map[string]struct {
		own      func(*v1alpha1.ServiceLevelAgreementSpec)
		theirs   v1alpha1.ServiceLevelAgreementSpec
		calendar *v1alpha1.CalendarSpec
		says     string
	}{
		"as much":         {theirs: v1alpha1.ServiceLevelAgreementSpec{Availability: &v1alpha1.AvailabilityTarget{Target: "99.9"}}},
		"nothing of that": {theirs: v1alpha1.ServiceLevelAgreementSpec{}},
		"less availability": {
			theirs: v1alpha1.ServiceLevelAgreementSpec{Availability: &v1alpha1.AvailabilityTarget{Target: "99.5"}},
			says:   "OLA finance/ledger promises an availability of 99.5 %, less than 99.9 %",
		},
		"longer": {
			theirs: v1alpha1.ServiceLevelAgreementSpec{Resolution: &v1alpha1.PriorityTimes{P1: "5h", P2: "8h", P4: "99h"}},
			says:   "OLA finance/ledger promises resolution of P1 in 5h instead of 4h",
		},
		"fewer hours": {
			theirs: v1alpha1.ServiceLevelAgreementSpec{CalendarRef: &v1alpha1.LocalReference{Name: "days"}}, calendar: &days,
			says: "OLA finance/ledger has no service time at 2026-11-01T00:00:00Z",
		},
		"enough hours": {
			own:    func(s *v1alpha1.ServiceLevelAgreementSpec) { s.CalendarRef = &v1alpha1.LocalReference{Name: "own"} },
			theirs: v1alpha1.ServiceLevelAgreementSpec{CalendarRef: &v1alpha1.LocalReference{Name: "days"}}, calendar: &days,
		},
		"no such hours": {
			theirs: v1alpha1.ServiceLevelAgreementSpec{CalendarRef: &v1alpha1.LocalReference{Name: "days"}}, says: "names a Calendar that does not exist",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.theirs.Type = v1alpha1.AgreementOLA
			f := &AgreementFacts{
				Agreement: agreement("99.9"), Service: observed(v1alpha1.HealthOperational, noon), Calendar: &shorter,
				Underpinning: []Underpinning{{Namespace: "finance", Name: "ledger", Spec: &c.theirs, Calendar: c.calendar}},
			}
			f.Agreement.Spec.Resolution = &v1alpha1.PriorityTimes{P1: "4h", P2: "8h", P3: "24h"}
			if c.own != nil {
				c.own(&f.Agreement.Spec)
			}
			follow(f, noon.Add(time.Hour))
			condition := meta.FindStatusCondition(f.Agreement.Status.Conditions, v1alpha1.ConditionUnderpinned)
			if condition == nil || (condition.Status == metav1.ConditionTrue) != (c.says == "") || !strings.Contains(condition.Message, c.says) {
				t.Errorf("%+v", condition)
			}
			f.Underpinning = nil
			follow(f, noon.Add(2*time.Hour))
			if diff := cmp.Diff(4, len(f.Agreement.Status.Conditions)); diff != "" {
				t.Errorf("conditions without an OLA (-want +got):\n%s", diff)
			}
		})
	}
}
