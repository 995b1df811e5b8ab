package servicelevel

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/planted"
)

// FuzzPlantedStatus: whatever somebody writes into the status of an agreement, it is decided about and exported.
func FuzzPlantedStatus(f *testing.F) {
	statuses := planted.Load(f, "../../../config/crd/bases/itil.dev_servicelevelagreements.yaml", noon, "shop", "gold", "checkout", "99.95", "Europe/Berlin", "odd")
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		facts := &AgreementFacts{Agreement: agreement("99.9"), Service: observed(v1alpha1.HealthOperational, noon.Add(-time.Hour))}
		if r.IntN(2) == 0 {
			facts.Agreement.Spec.Period = v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, Days: 1}
		}
		if r.IntN(2) == 0 {
			facts.Agreement.Spec.CalendarRef = &v1alpha1.LocalReference{Name: "odd"}
			facts.Calendar = &v1alpha1.CalendarSpec{Extra: []v1alpha1.ExtraHours{{From: "2026-11-02T23:10:00Z", To: "2026-11-02T23:40:00Z"}}}
		}
		at := noon
		healths := []v1alpha1.Health{v1alpha1.HealthOperational, v1alpha1.HealthOutage, v1alpha1.HealthUnknown, v1alpha1.HealthMaintenance}
		live := func() {
			at = at.Add(time.Duration(r.IntN(7200)) * time.Second)
			if r.IntN(2) == 0 {
				facts.Service = observed(healths[r.IntN(len(healths))], at)
			}
			_, _ = follow(facts, at)
			exported(*facts, at)
		}
		for range r.IntN(6) {
			live()
		}
		statuses.Plant(t, r, &facts.Agreement.Status)
		exported(*facts, at)
		for range 4 {
			live()
		}
	})
}

// exported reads what metrics are made of.
func exported(facts AgreementFacts, at time.Time) {
	running, ok := Running(facts, at)
	if !ok {
		return
	}
	_, _ = running.Sums.AvailabilityRatio()
	_, _ = running.Sums.MTRS()
	_, _ = running.Sums.MTBF()
	_, _ = running.Terms.Budget(running.Sums)
	_, _ = running.Terms.BudgetRatio(running.Sums)
	for _, w := range BurnWindows() {
		_, _ = running.Terms.BurnRate(running.Windows[w.Name])
	}
	for _, p := range BurnPairs() {
		_, _ = running.Terms.Factor(p, running.Windows[p.Long.Name], running.Sums)
	}
}
