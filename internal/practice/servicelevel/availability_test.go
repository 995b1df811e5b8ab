package servicelevel

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// noon is on a Monday; the month has 30 days.
var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func minutesAfter(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

func interruption(kind v1alpha1.InterruptionType, from, to int) Interruption {
	i := Interruption{Interval: Interval{Start: minutesAfter(from)}, Type: kind}
	if to > 0 {
		i.End = minutesAfter(to)
	}
	return i
}

func TestObserve(t *testing.T) {
	const up, degraded, out = v1alpha1.HealthOperational, v1alpha1.HealthDegraded, v1alpha1.HealthOutage
	const outage, maintenance, unobserved = v1alpha1.InterruptionOutage, v1alpha1.InterruptionMaintenance, v1alpha1.InterruptionUnobserved
	type seen struct {
		health         v1alpha1.Health
		since, at, yet int
	}
	cases := map[string]struct {
		seen []seen
		want []Interruption
	}{
		"up":                      {seen: []seen{{up, 0, 5, 0}}},
		"up for days":             {seen: []seen{{up, 0, 5, 0}, {up, 0, 5000, 0}}},
		"an outage, noticed late": {seen: []seen{{up, 0, 5, 0}, {out, 10, 15, 0}}, want: []Interruption{interruption(outage, 10, 0)}},
		"its end, dated back": {
			seen: []seen{{up, 0, 5, 0}, {out, 10, 10, 0}, {up, 20, 21, 0}}, want: []Interruption{interruption(outage, 10, 20)},
		},
		"degraded is not downtime": {seen: []seen{{up, 0, 5, 0}, {degraded, 10, 10, 0}, {up, 12, 12, 0}}},
		"nobody looked, and nothing changed": {
			seen: []seen{{out, 0, 0, 0}, {out, 0, 600, 0}, {up, 700, 700, 0}}, want: []Interruption{interruption(outage, 0, 700)},
		},
		"nobody looked, and it began anew": {
			seen: []seen{{up, 0, 0, 0}, {up, 60, 90, 30}}, want: []Interruption{interruption(unobserved, 30, 60)},
		},
		"out anew": {
			seen: []seen{{out, 0, 0, 0}, {out, 60, 90, 30}},
			want: []Interruption{interruption(outage, 0, 30), interruption(unobserved, 30, 60), interruption(outage, 60, 0)},
		},
		"not known": {
			seen: []seen{{up, 0, 0, 0}, {v1alpha1.HealthUnknown, 10, 10, 0}, {out, 15, 15, 0}},
			want: []Interruption{interruption(unobserved, 10, 15), interruption(outage, 15, 0)},
		},
		"maintenance that takes too long": {
			seen: []seen{{up, 0, 0, 0}, {v1alpha1.HealthMaintenance, 10, 10, 0}, {out, 20, 20, 0}, {up, 30, 31, 0}},
			want: []Interruption{interruption(maintenance, 10, 20), interruption(outage, 20, 30)},
		},
		"a time in the future is now": {
			seen: []seen{{up, 0, 0, 0}, {out, 99, 10, 0}, {up, 20, 20, 0}}, want: []Interruption{interruption(outage, 10, 20)},
		},
		"nothing begins before what was counted": {
			seen: []seen{{up, 0, 0, 0}, {out, 10, 10, 0}, {up, 20, 20, 0}, {out, 5, 30, 0}}, want: []Interruption{interruption(outage, 10, 0)},
		},
		"a clock that was set back makes no time negative": {
			seen: []seen{{up, 0, 0, 0}, {out, 50, 50, 0}, {up, 40, 40, 0}}, want: nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			account := Account{}
			for _, s := range c.seen {
				account = account.Observe(Observation{Health: s.health, Since: minutesAfter(s.since), Seen: minutesAfter(s.yet)}, minutesAfter(s.at))
			}
			if diff := cmp.Diff(c.want, account.Interruptions, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("interruptions (-want +got):\n%s", diff)
			}
			if !account.From.Equal(noon) {
				t.Errorf("complete from %v, want the first health's beginning", account.From)
			}
		})
	}
}

func TestTheRecordIsBounded(t *testing.T) {
	account, at := Account{}, noon
	for n := range 500 {
		for _, health := range []v1alpha1.Health{v1alpha1.HealthOperational, v1alpha1.HealthOutage} {
			// One gap is the shortest: those around it are joined first.
			at = at.Add(time.Hour - time.Duration(n%7)*time.Minute)
			account = account.Observe(Observation{Health: health, Since: at}, at)
		}
	}
	if len(account.Interruptions) != maxInterruptions {
		t.Fatalf("%d interruptions, want %d", len(account.Interruptions), maxInterruptions)
	}
	for n := range maxInterruptions - 1 {
		if end := account.Interruptions[n].End; end.IsZero() || end.After(account.Interruptions[n+1].Start) {
			t.Fatalf("interruption %d overlaps the next", n)
		}
	}
	if !account.Interruptions[maxInterruptions-1].End.IsZero() {
		t.Error("the outage that goes on was ended")
	}
}

func TestSum(t *testing.T) {
	const outage, maintenance, unobserved = v1alpha1.InterruptionOutage, v1alpha1.InterruptionMaintenance, v1alpha1.InterruptionUnobserved
	const month = 30 * 86400
	office := v1alpha1.CalendarSpec{Weekly: []v1alpha1.WeeklyHours{{Days: workdays, From: "09:00", To: "17:00"}}}
	monthStart := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	// November 2026 has 21 working days.
	const officeMonth = 21 * 8 * 3600
	cases := map[string]struct {
		interruptions []Interruption
		declared      []Interval
		recorded      time.Time
		calendar      *v1alpha1.CalendarSpec
		from          time.Time
		planned       bool
		at            time.Time
		want          Sums
		availability  string
		left          string
	}{
		"nothing happened": {
			at: minutesAfter(60), want: Sums{Agreed: 37 * 3600, Whole: month}, availability: "100", left: "100.0",
		},
		"one hour out of 37: 97.29729…, and 3600 of 25920 budget seconds": {
			interruptions: []Interruption{interruption(outage, 0, 60)}, at: minutesAfter(60),
			want: Sums{Agreed: 37 * 3600, Whole: month, Downtime: 3600, Outages: 1}, availability: "97.2972", left: "86.1",
		},
		"an outage that goes on": {
			interruptions: []Interruption{interruption(outage, 0, 0)}, at: minutesAfter(30),
			want: Sums{Agreed: 131400, Whole: month, Downtime: 1800, Outages: 1, OpenSince: noon}, availability: "98.6301", left: "93.0",
		},
		"overlaps count once": {
			interruptions: []Interruption{interruption(outage, 0, 60)},
			declared:      []Interval{{Start: minutesAfter(30), End: minutesAfter(90)}, {Start: minutesAfter(40), End: minutesAfter(50)}},
			at:            minutesAfter(120),
			want:          Sums{Agreed: 38 * 3600, Whole: month, Downtime: 5400, Outages: 1}, availability: "96.0526", left: "79.1",
		},
		"maintenance is excused where that was agreed": {
			interruptions: []Interruption{interruption(maintenance, 0, 60), interruption(outage, 60, 70)}, planned: true, at: minutesAfter(120),
			want: Sums{Agreed: 38 * 3600, Whole: month, Downtime: 600, Planned: 3600, Outages: 1}, availability: "99.5614", left: "97.6",
		},
		"and else is downtime": {
			interruptions: []Interruption{interruption(maintenance, 0, 60), interruption(outage, 60, 70)}, at: minutesAfter(120),
			want: Sums{Agreed: 38 * 3600, Whole: month, Downtime: 4200, Outages: 1}, availability: "96.9298", left: "83.7",
		},
		"a declared incident is not excused by maintenance": {
			interruptions: []Interruption{interruption(maintenance, 0, 60)}, declared: []Interval{{Start: minutesAfter(50)}}, planned: true,
			at:           minutesAfter(60),
			want:         Sums{Agreed: 37 * 3600, Whole: month, Downtime: 600, Planned: 3000, Outages: 1, OpenSince: minutesAfter(50)},
			availability: "99.5495", left: "97.6",
		},
		"what was not observed is neither up nor down": {
			interruptions: []Interruption{interruption(unobserved, 0, 60), interruption(outage, 60, 90)}, at: minutesAfter(120),
			want: Sums{Agreed: 38 * 3600, Whole: month, Downtime: 1800, Unobserved: 3600, Outages: 1}, availability: "98.6486", left: "93.0",
		},
		"nor what was before the record": {
			recorded: noon, at: minutesAfter(60),
			want: Sums{Agreed: 37 * 3600, Whole: month, Unobserved: 36 * 3600}, availability: "100", left: "100.0",
		},
		"office hours: a night out is an hour, twice": {
			// From 16:00 on Monday to 10:00 on Tuesday.
			interruptions: []Interruption{interruption(outage, 240, 1320)}, calendar: &office, at: minutesAfter(1440),
			want: Sums{Agreed: 11 * 3600, Whole: officeMonth, Downtime: 7200, Outages: 1}, availability: "81.8181", left: "-19.1",
		},
		"an outage at night is none": {
			interruptions: []Interruption{interruption(outage, 360, 0)}, calendar: &office, at: minutesAfter(600),
			want: Sums{Agreed: 8 * 3600, Whole: officeMonth, OpenSince: minutesAfter(360)}, availability: "100", left: "100.0",
		},
		"only from when it is valid": {
			interruptions: []Interruption{interruption(outage, 0, 60)}, from: minutesAfter(30), at: minutesAfter(90),
			want: Sums{Agreed: 3600, Whole: month - 37*3600 + 1800, Downtime: 1800, Outages: 1}, availability: "50", left: "92.6",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			terms := Terms{From: c.from, Period: period(t, "", "UTC", 0), Calendar: Always(), Target: 990_000, ExcludePlanned: c.planned}
			if c.calendar != nil {
				terms.Calendar, _ = ParseCalendar(*c.calendar)
			}
			account := Account{Health: v1alpha1.HealthOperational, From: c.recorded, Interruptions: c.interruptions}
			s := terms.Sum(account, c.declared, terms.Period.At(monthStart), c.at)
			if diff := cmp.Diff(c.want, s, cmpopts.IgnoreUnexported(Sums{})); diff != "" {
				t.Errorf("sums (-want +got):\n%s", diff)
			}
			availability, _ := s.Availability()
			left, _ := terms.BudgetRemaining(s)
			if availability.String() != c.availability || tenths(left) != c.left {
				t.Errorf("availability %s, budget left %s; want %s and %s", availability, tenths(left), c.availability, c.left)
			}
		})
	}
}

func agreement(target v1alpha1.Percentage) *v1alpha1.ServiceLevelAgreement {
	return &v1alpha1.ServiceLevelAgreement{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gold", Generation: 1, CreationTimestamp: metav1.NewTime(noon)},
		Spec: v1alpha1.ServiceLevelAgreementSpec{
			ServiceRef: v1alpha1.LocalReference{Name: "checkout"}, Availability: &v1alpha1.AvailabilityTarget{Target: target},
		},
	}
}

// follow evaluates an agreement at a time and keeps what follows, as its controller does.
func follow(f *AgreementFacts, at time.Time) (wrote bool, wake time.Time) {
	d := EvaluateAgreement(*f, at)
	wrote = !equality.Semantic.DeepEqual(f.Agreement.Status, d.Status)
	f.Agreement = f.Agreement.DeepCopy()
	f.Agreement.Status = d.Status
	return wrote, d.Wake
}

func observed(health v1alpha1.Health, since time.Time) *Observation {
	return &Observation{Health: health, Since: since}
}

func TestAgreementThroughAnOutage(t *testing.T) {
	// 100 s of budget in a rolling day.
	f := &AgreementFacts{Agreement: agreement("99.8843"), Service: observed(v1alpha1.HealthOperational, noon.Add(-time.Hour))}
	f.Agreement.Spec.Period = v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, Days: 1}
	f.Agreement.Spec.ValidFrom = "2026-11-02T00:00:00Z"
	f.Service.Since = noon.Add(-12 * time.Hour)
	expect := func(at time.Time, wrote bool, compliance v1alpha1.Compliance, wake time.Time) *v1alpha1.PeriodFigures {
		t.Helper()
		gotWrote, gotWake := follow(f, at)
		if s := f.Agreement.Status; gotWrote != wrote || s.Compliance != compliance || !gotWake.Equal(wake) {
			t.Errorf("at %s: wrote %t, %s, wakes at %s; want %t, %s, %s", at, gotWrote, s.Compliance, gotWake, wrote, compliance, wake)
		}
		return f.Agreement.Status.CurrentPeriod
	}
	const met, risk, breached = v1alpha1.ComplianceMet, v1alpha1.ComplianceAtRisk, v1alpha1.ComplianceBreached
	midnight := time.Date(2026, 11, 3, 0, 0, 1, 0, time.UTC)
	expect(noon, true, met, midnight)
	expect(noon.Add(time.Hour), false, met, midnight)

	// 99.9648 s are allowed in the day: two seconds are more than 2 % of them within an hour.
	f.Service = observed(v1alpha1.HealthOutage, noon.Add(time.Hour))
	from := noon.Add(time.Hour)
	expect(from, true, met, from.Add(2*time.Second))
	expect(from.Add(time.Second), false, met, from.Add(2*time.Second))
	// After 55 s they do not last at the rate so far either; that is at risk already.
	expect(from.Add(2*time.Second), true, risk, from.Add(55*time.Second))
	expect(from.Add(55*time.Second), false, risk, from.Add(100*time.Second))
	p := expect(from.Add(100*time.Second), true, breached, midnight)
	want := v1alpha1.PeriodFigures{
		Start: metav1.NewTime(noon.Add(-12 * time.Hour)), End: metav1.NewTime(noon.Add(12 * time.Hour)), AsOf: metav1.NewTime(from.Add(100 * time.Second)),
		AgreedSeconds: 13*3600 + 100, DowntimeSeconds: 100, Outages: 1, OpenOutageSince: new(metav1.NewTime(from)),
		MTRSSeconds: new(int64(100)), MTBFSeconds: new(int64(13 * 3600)),
		Target: "99.8843", Availability: "99.7867", ErrorBudgetRemaining: "-0.1",
	}
	if diff := cmp.Diff(want, *p); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}

	f.Service = observed(v1alpha1.HealthOperational, from.Add(110*time.Second))
	p = expect(from.Add(170*time.Second), true, breached, midnight)
	if p.DowntimeSeconds != 110 || p.Outages != 1 || p.OpenOutageSince != nil {
		t.Errorf("after the outage: %+v", p)
	}
	// The next day counts nothing of it, and the history does. The record keeps it for the burn rate of three days.
	p = expect(midnight, true, met, midnight.Add(24*time.Hour))
	if h := f.Agreement.Status.History; p.DowntimeSeconds != 0 || len(h) != 1 || h[0].DowntimeSeconds != 110 || len(f.Agreement.Status.Interruptions) != 1 {
		t.Errorf("the next day: %+v, history %+v", p, h)
	}
}
