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

func TestCompliance(t *testing.T) {
	const up, out = v1alpha1.HealthOperational, v1alpha1.HealthOutage
	// The agreement is of noon, 2 November: 28.5 days of the month, of which one percent are 24,624 s.
	later := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	cases := map[string]struct {
		edit      func(*AgreementFacts)
		health    v1alpha1.Health
		after     int
		want      v1alpha1.Compliance
		met, data string
		exhausted metav1.ConditionStatus
		says      string
	}{
		"kept":                    {health: up, after: 60, want: "Met", met: "Kept", data: "Observed", exhausted: "False"},
		"no second has passed":    {health: up, want: "Unknown", met: "NoData", data: "Observed", exhausted: "Unknown"},
		"too fast":                {health: out, after: 60, want: "AtRisk", met: "Kept", data: "Observed", exhausted: "False"},
		"one second left":         {health: out, after: 24_623, want: "AtRisk", met: "Kept", data: "Observed", exhausted: "False"},
		"none left is not missed": {health: out, after: 24_624, want: "AtRisk", met: "Kept", data: "Observed", exhausted: "True"},
		"one too many":            {health: out, after: 24_625, want: "Breached", met: "TargetMissed", data: "Observed", exhausted: "True"},
		"unknown health":          {health: v1alpha1.HealthUnknown, after: 60, want: "Unknown", met: "NoData", data: "HealthUnknown", exhausted: "Unknown"},
		"no Service": {
			edit: func(f *AgreementFacts) { f.Service = nil }, after: 60,
			want: "Unknown", met: "NoData", data: "ServiceNotFound", exhausted: "Unknown", says: "there is no Service checkout",
		},
		"not begun": {
			edit: func(f *AgreementFacts) { f.Agreement.Spec.ValidFrom = "2027-01-01T00:00:00Z" }, health: up, after: 60,
			want: "Unknown", met: "NotStarted", data: "NotStarted", exhausted: "Unknown", says: "2027-01-01",
		},
		"an unknown zone": {
			edit: func(f *AgreementFacts) { f.Agreement.Spec.Period.TimeZone = "Europe/Bonn" }, health: up, after: 60,
			want: "Unknown", met: "Invalid", data: "Invalid", exhausted: "Unknown", says: `spec.period.timeZone "Europe/Bonn"`,
		},
		"no such Calendar": {
			edit:   func(f *AgreementFacts) { f.Agreement.Spec.CalendarRef = &v1alpha1.LocalReference{Name: "office"} },
			health: up, after: 60, want: "Unknown", met: "Invalid", data: "Invalid", exhausted: "Unknown", says: `spec.calendarRef.name "office"`,
		},
		"a Calendar that cannot be understood": {
			edit: func(f *AgreementFacts) {
				f.Agreement.Spec.CalendarRef = &v1alpha1.LocalReference{Name: "office"}
				f.Calendar = &v1alpha1.CalendarSpec{TimeZone: "Europe/Bonn", Weekly: []v1alpha1.WeeklyHours{{Days: workdays, From: "09:00", To: "17:00"}}}
			},
			health: up, after: 60, want: "Unknown", met: "Invalid", data: "Invalid", exhausted: "Unknown", says: `Calendar office, whose spec.timeZone "Europe/Bonn"`,
		},
		"no availability promised": {
			edit: func(f *AgreementFacts) { f.Agreement.Spec.Availability = nil }, health: out, after: 60,
			want: "Met", met: "Kept", data: "Observed", exhausted: "False",
		},
		"an incident answered too late": {
			edit: func(f *AgreementFacts) {
				f.Incidents = []AgreementIncident{{DetectedAt: noon, Response: v1alpha1.ClockBreached}}
			},
			health: up, after: 60, want: "Breached", met: "IncidentTimesMissed", data: "Observed", exhausted: "False",
		},
		"an incident that is due soon": {
			edit: func(f *AgreementFacts) {
				f.Incidents = []AgreementIncident{{DetectedAt: noon, Resolution: v1alpha1.ClockWarning}}
			},
			health: up, after: 60, want: "AtRisk", met: "Kept", data: "Observed", exhausted: "False",
		},
		"a declared incident": {
			edit: func(f *AgreementFacts) {
				f.Incidents = []AgreementIncident{{Declared: true, Interval: Interval{Start: noon}}}
			},
			health: up, after: 24_625, want: "Breached", met: "TargetMissed", data: "Observed", exhausted: "True",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := &AgreementFacts{Agreement: agreement("99"), Service: observed(c.health, noon)}
			if c.edit != nil {
				c.edit(f)
			}
			s := EvaluateAgreement(*f, later(c.after)).Status
			met, data := meta.FindStatusCondition(s.Conditions, "Met"), meta.FindStatusCondition(s.Conditions, "DataAvailable")
			exhausted := meta.FindStatusCondition(s.Conditions, "BudgetExhausted")
			if s.Compliance != c.want || met.Reason != c.met || data.Reason != c.data || exhausted.Status != c.exhausted || !strings.Contains(data.Message, c.says) {
				t.Errorf("%s, Met %s, DataAvailable %s %q, BudgetExhausted %s", s.Compliance, met.Reason, data.Reason, data.Message, exhausted.Status)
			}
			if len(s.Conditions) != 4 || c.want != "Met" && c.want != "AtRisk" && s.NextStep == "" && data.Status == "False" && data.Reason != "NotStarted" {
				t.Errorf("conditions %v, next step %q", s.Conditions, s.NextStep)
			}
		})
	}
}

// A pair of windows that fires is told, whatever else is broken or not known: a Release stops by it. It is told when it
// begins, without anybody's doing.
func TestAFiringPairIsToldWhateverElseIs(t *testing.T) {
	late := func(f *AgreementFacts) {
		f.Incidents = []AgreementIncident{{DetectedAt: noon, Response: v1alpha1.ClockBreached}}
	}
	cases := map[string]struct {
		edit func(*AgreementFacts)
		met  string
	}{
		"all else is well":              {met: "Kept"},
		"an Incident was answered late": {edit: late, met: "IncidentTimesMissed"},
		"more than the budget was not seen": {met: "NoData", edit: func(f *AgreementFacts) {
			f.Service = observed(v1alpha1.HealthUnknown, noon.Add(time.Hour))
			follow(f, noon.Add(time.Hour))
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := &AgreementFacts{Agreement: agreement("99"), Service: observed(v1alpha1.HealthOperational, noon)}
			follow(f, noon)
			if c.edit != nil {
				c.edit(f)
			}
			out := noon.Add(21 * time.Hour)
			f.Service = observed(v1alpha1.HealthOutage, out)
			_, at := follow(f, out)
			risk := func() *metav1.Condition { return meta.FindStatusCondition(f.Agreement.Status.Conditions, "AtRisk") }
			for range 10 {
				if risk().Reason == ReasonBurnRate || at.IsZero() {
					break
				}
				_, at = follow(f, at)
			}
			if risk().Status != "True" || risk().Reason != ReasonBurnRate || !risk().LastTransitionTime.Time.Before(out.Add(time.Hour)) {
				t.Errorf("AtRisk is %+v", risk())
			}
			if met := meta.FindStatusCondition(f.Agreement.Status.Conditions, "Met"); met.Reason != c.met {
				t.Errorf("Met is %+v, want %s", met, c.met)
			}
		})
	}
}

func TestPeriodsEnd(t *testing.T) {
	f := &AgreementFacts{Agreement: agreement("99"), Service: observed(v1alpha1.HealthOperational, noon)}
	f.Agreement.Spec.Credits = []v1alpha1.Credit{{Below: "99", Percent: 10}, {Below: "90", Percent: 25}}
	follow(f, noon)
	// Out from 24 November to 1 December 02:00; the target is edited in between.
	f.Service = observed(v1alpha1.HealthOutage, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))
	follow(f, f.Service.Since)
	f.Agreement.Spec.Availability.Target = "50"
	f.Agreement.Generation++
	follow(f, f.Service.Since.Add(time.Hour))
	if p := f.Agreement.Status.CurrentPeriod; p.Target != "99" {
		t.Errorf("an edit changed the target of the running period to %s", p.Target)
	}
	f.Service = observed(v1alpha1.HealthOperational, time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC))
	follow(f, f.Service.Since.Add(time.Minute))
	s := f.Agreement.Status
	// 28.5 days agreed, 7 of them down: 75.43859…
	stamp := func(month time.Month) metav1.Time {
		return metav1.NewTime(time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC))
	}
	want := []v1alpha1.PeriodFigures{{
		Start: stamp(11), End: stamp(12), AsOf: stamp(12), AgreedSeconds: 2_462_400, DowntimeSeconds: 604_800, Outages: 1,
		MTRSSeconds: new(int64(604_800)), MTBFSeconds: new(int64(1_857_600)),
		Target: "99", Availability: "75.4385", ErrorBudgetRemaining: "-2356.2", CreditPercent: 25,
	}}
	if diff := cmp.Diff(want, s.History); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if p := s.CurrentPeriod; p.DowntimeSeconds != 7200 || p.Outages != 1 || p.Target != "50" || len(s.Interruptions) != 1 {
		t.Errorf("the period that began with an outage: %+v", p)
	}
	// Two years later nobody has looked.
	follow(f, time.Date(2028, 12, 15, 0, 0, 0, 0, time.UTC))
	s = f.Agreement.Status
	if h := s.History; len(h) != 12 || h[0].End != metav1.NewTime(time.Date(2028, 12, 1, 0, 0, 0, 0, time.UTC)) || h[0].Availability != "100" || h[11].CreditPercent != 0 {
		t.Errorf("the history after two years: %+v", h)
	}
}

// TestDeclaredAfterwards: who declares the impact of an incident when it is over is heard all the same.
func TestDeclaredAfterwards(t *testing.T) {
	f := &AgreementFacts{Agreement: agreement("99"), Service: observed(v1alpha1.HealthOperational, noon)}
	follow(f, noon.Add(time.Hour))
	if wrote, _ := follow(f, noon.Add(3*time.Hour)); wrote {
		t.Error("wrote where nothing happened")
	}
	f.Incidents = []AgreementIncident{{Interval: Interval{Start: minutesAfter(30), End: minutesAfter(40)}, Declared: true, DetectedAt: noon}}
	wrote, _ := follow(f, noon.Add(3*time.Hour))
	if p := f.Agreement.Status.CurrentPeriod; !wrote || p.DowntimeSeconds != 600 || p.Outages != 1 {
		t.Errorf("wrote %t: %+v", wrote, p)
	}
	f.Incidents[0].End = minutesAfter(45)
	if wrote, _ = follow(f, noon.Add(4*time.Hour)); !wrote || f.Agreement.Status.CurrentPeriod.DowntimeSeconds != 900 {
		t.Errorf("wrote %t: %+v", wrote, f.Agreement.Status.CurrentPeriod)
	}
	if wrote, _ = follow(f, noon.Add(5*time.Hour)); wrote {
		t.Error("wrote where nothing happened")
	}
}

// TestRunning: who computes the running value gets what the status would say now.
func TestRunning(t *testing.T) {
	f := &AgreementFacts{Agreement: agreement("99"), Service: observed(v1alpha1.HealthOutage, noon)}
	if _, ok := Running(*f, noon); ok {
		t.Error("there is a value before anything was observed")
	}
	follow(f, noon)
	r, ok := Running(*f, minutesAfter(60))
	left, _ := r.Terms.BudgetRemaining(r.Sums)
	// 3600 of 24,624 s.
	if !ok || r.Sums.Downtime != 3600 || left != 853 || r.Windows["30m"] != (Burnt{Agreed: 1800, Downtime: 1800}) {
		t.Errorf("%t: %+v, %d", ok, r, left)
	}
}

// TestRollingHistory: of periods that overlap, those are kept that do not, so that no credit is due twice.
func TestRollingHistory(t *testing.T) {
	f := &AgreementFacts{Agreement: agreement("99"), Service: observed(v1alpha1.HealthOperational, noon)}
	f.Agreement.Spec.Period = v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, Days: 3}
	for day := range 10 {
		follow(f, noon.Add(time.Duration(day)*24*time.Hour))
	}
	// It began at noon on 2 November; the first three whole days are 3 to 5 November, the next 6 to 8.
	var starts []string
	for _, h := range f.Agreement.Status.History {
		starts = append(starts, h.Start.Format(time.DateOnly)+" to "+h.End.Format(time.DateOnly))
	}
	if diff := cmp.Diff([]string{"2026-11-06 to 2026-11-09", "2026-11-03 to 2026-11-06"}, starts); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}
