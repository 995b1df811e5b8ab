package sla

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/leadmetrics"
	practice "github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Collector computes the running values when it is asked: from the sums in the statuses, which are written when
// something happens, and the time that has passed since. The leader alone has any, so that a sum over replicas counts
// nothing twice (docs/adr/0010-service-levels.md).
type Collector struct {
	// Reader is the manager's cached client, with this package's indexes.
	Reader client.Reader
	Clock  clock.PassiveClock
}

var (
	labels = []string{"namespace", "service", "sla"}

	objective = describe("itil_sla_objective_ratio",
		"Availability that was promised, as a share of the agreed service time.")
	availability = describe("itil_sla_availability_ratio",
		"Share of the agreed service time of the running period, as far as it was observed, in which the service was up.")
	budget = describe("itil_sla_error_budget_seconds",
		"Downtime that the objective allows in the whole running period.")
	budgetRemaining = describe("itil_sla_error_budget_remaining_seconds",
		"Downtime that the objective still allows in the running period; below 0 where more was used.")
	budgetRemainingRatio = describe("itil_sla_error_budget_remaining_ratio",
		"Share of the running period's error budget that is left; below 0 where more was used.")
	burnRate = describe("itil_sla_burn_rate",
		"Downtime's share of the agreed service time in the window before now, over the share that the objective allows. "+
			"Absent where the window has no agreed service time.", "window")
	burnRateThreshold = describe("itil_sla_burn_rate_threshold",
		"Burn rate that both windows of a pair must exceed for it to fire.", "long_window", "short_window")
	agreed = describe("itil_sla_agreed_seconds",
		"Agreed service time of the running period that has elapsed.")
	downtime = describe("itil_sla_downtime_seconds",
		"Downtime within the agreed service time of the running period. "+
			"A gauge: it begins anew with each period, and is less again when the end of an outage is dated back.")
	planned = describe("itil_sla_planned_seconds",
		"Downtime of the running period that is excused because it was declared and approved beforehand.")
	unobserved = describe("itil_sla_unobserved_seconds",
		"Agreed service time of the running period of which it is not known whether the service was up.")
	outages = describe("itil_sla_outages", "Outages of the running period.")
	mtrs    = describe("itil_sla_mtrs_seconds",
		"Mean time to restore service in the running period. Absent without an outage.")
	mtbf = describe("itil_sla_mtbf_seconds",
		"Mean time between failures in the running period. Absent without an outage.")
	compliance = describe("itil_sla_compliance",
		"1 for what the agreement's compliance is, 0 for what it is not: Met, AtRisk, Breached or Unknown.", "compliance")

	descriptions = []*prometheus.Desc{
		objective, availability, budget, budgetRemaining, budgetRemainingRatio, burnRate, burnRateThreshold,
		agreed, downtime, planned, unobserved, outages, mtrs, mtbf, compliance,
	}
	compliances = []v1alpha1.Compliance{
		v1alpha1.ComplianceMet, v1alpha1.ComplianceAtRisk, v1alpha1.ComplianceBreached, v1alpha1.ComplianceUnknown,
	}
)

func describe(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append(append([]string{}, labels...), more...), nil)
}

var exported = leadmetrics.New(descriptions...)

func init() { metrics.Registry.MustRegister(exported) } //nolint:gochecknoinits // the registry is filled once, by whoever has metrics

// Collect sends what is known of the running period of each agreement.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list := &v1alpha1.ServiceLevelAgreementList{}
	if err := c.Reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		out <- prometheus.NewInvalidMetric(availability, err)
		return
	}
	now := c.Clock.Now()
	for i := range list.Items {
		c.collect(ctx, &list.Items[i], now, out)
	}
}

func (c *Collector) collect(ctx context.Context, a *v1alpha1.ServiceLevelAgreement, now time.Time, out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, more ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value,
			append([]string{a.Namespace, string(a.Spec.ServiceRef.Name), a.Name}, more...)...)
	}
	is := a.Status.Compliance
	if is == "" {
		is = v1alpha1.ComplianceUnknown
	}
	for _, c := range compliances {
		gauge(compliance, one(c == is), string(c))
	}
	facts, err := gather(ctx, c.Reader, a)
	if err != nil {
		out <- prometheus.NewInvalidMetric(availability, err)
		return
	}
	running, ok := practice.Running(facts, now)
	if !ok {
		return
	}
	terms, sums := running.Terms, running.Sums
	gauge(agreed, float64(sums.Agreed))
	gauge(downtime, float64(sums.Downtime))
	gauge(planned, float64(sums.Planned))
	gauge(unobserved, float64(sums.Unobserved))
	gauge(outages, float64(sums.Outages))
	if share, ok := sums.AvailabilityRatio(); ok {
		gauge(availability, share)
	}
	if seconds, ok := sums.MTRS(); ok {
		gauge(mtrs, float64(seconds))
	}
	if seconds, ok := sums.MTBF(); ok {
		gauge(mtbf, float64(seconds))
	}
	if terms.Target > 0 {
		gauge(objective, float64(terms.Target)/float64(practice.Whole))
	}
	if whole, ok := terms.Budget(sums); ok {
		gauge(budget, whole)
		gauge(budgetRemaining, whole-float64(sums.Downtime))
	}
	if share, ok := terms.BudgetRatio(sums); ok {
		gauge(budgetRemainingRatio, share)
	}
	for _, w := range practice.BurnWindows() {
		if rate, ok := terms.BurnRate(running.Windows[w.Name]); ok {
			gauge(burnRate, rate, w.Name)
		}
	}
	for _, p := range practice.BurnPairs() {
		if factor, ok := terms.Factor(p, running.Windows[p.Long.Name], sums); ok {
			gauge(burnRateThreshold, factor, p.Long.Name, p.Short.Name)
		}
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
