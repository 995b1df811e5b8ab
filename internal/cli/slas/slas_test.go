package slas

import (
	"bytes"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	practice "github.com/itil-dev/itil-operator/internal/practice/servicelevel"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

var now = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

func agreement(name string, c v1alpha1.Compliance) *v1alpha1.ServiceLevelAgreement {
	a := &v1alpha1.ServiceLevelAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	a.Spec.ServiceRef.Name, a.Spec.Customer = "checkout", "retail-emea"
	a.Spec.Availability = &v1alpha1.AvailabilityTarget{Target: "99.5"}
	a.Status.Compliance = c
	a.Status.CurrentPeriod = &v1alpha1.PeriodFigures{
		Start: metav1.NewTime(now.Add(-21 * 24 * time.Hour)), End: metav1.NewTime(now.Add(8 * 24 * time.Hour)), Target: "99.9",
		Availability: "99.1", ErrorBudgetRemaining: "-20.1", DowntimeSeconds: 4000, Outages: 2,
	}
	a.Status.Incidents = &v1alpha1.AgreementIncidents{ResponseMet: 3, ResponseBreached: 1, ResolutionMet: 4}
	a.Status.NextStep = "look at what burns"
	return a
}

func TestTable(t *testing.T) {
	terms := practice.Terms{Target: 999_000}
	sums := practice.Sums{Agreed: 1_800_000, Whole: 2_592_000, Downtime: 600, Outages: 1}
	met, stale, unknown := agreement("checkout-gold", v1alpha1.ComplianceMet), agreement("checkout-old", v1alpha1.ComplianceBreached), agreement("checkout-new", "")
	unknown.Status, unknown.Spec.Availability = v1alpha1.ServiceLevelAgreementStatus{}, nil
	for name, c := range map[string]struct{ wide, colour bool }{"narrow": {}, "wide": {wide: true}, "coloured": {colour: true}} {
		t.Run(name, func(t *testing.T) {
			columns := screen.Columns{Namespace: c.wide, Wide: c.wide}
			table := newTable(columns)
			table.Add(row(met, figuresOf(met, practice.RunningFigures{Terms: terms, Sums: sums}, true), now, columns)...)
			table.Add(row(stale, figuresOf(stale, practice.RunningFigures{}, false), now, columns)...)
			table.Add(row(unknown, figuresOf(unknown, practice.RunningFigures{}, false), now, columns)...)
			var out bytes.Buffer
			if err := table.Write(&out, screen.Palette{Colour: c.colour}); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, out.String())
		})
	}
}

func TestPeriods(t *testing.T) {
	month := func(n time.Month, availability string, credit int32) v1alpha1.PeriodFigures {
		return v1alpha1.PeriodFigures{
			Start: metav1.NewTime(time.Date(2026, n, 1, 0, 0, 0, 0, time.UTC)), End: metav1.NewTime(time.Date(2026, n+1, 1, 0, 0, 0, 0, time.UTC)),
			Target: "99.9", Availability: availability, ErrorBudgetRemaining: "12.5", DowntimeSeconds: 2300, PlannedSeconds: 600, Outages: 1, CreditPercent: credit,
		}
	}
	var out bytes.Buffer
	if err := periods([]v1alpha1.PeriodFigures{month(10, "99.8", 10), month(9, "", 0)}).Write(&out, screen.Palette{}); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, out.String())
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		n        int64
		decimals int
		want     string
	}{{999_700, 4, "99.97 %"}, {1_000_000, 4, "100 %"}, {0, 4, "0 %"}, {5, 4, "0.0005 %"}, {712, 1, "71.2 %"}, {-205, 1, "-20.5 %"}, {-5, 1, "-0.5 %"}} {
		if got := percent(c.n, c.decimals); got != c.want {
			t.Errorf("%d is %q, want %q", c.n, got, c.want)
		}
	}
}
