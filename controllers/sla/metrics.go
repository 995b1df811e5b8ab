package sla

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Collector computes the running values when it is asked. The statuses, which are written when something happens, do
// not show them.
type Collector struct {
	// Reader is the manager's cached client, with this package's indexes.
	Reader client.Reader
	Clock  clock.PassiveClock
}

var _ prometheus.Collector = &Collector{}

var (
	labels = []string{"namespace", "service", "agreement"}

	availability = prometheus.NewDesc("itil_sla_availability_ratio",
		"Share of the agreed service time of the running period, as far as it was observed, in which the service was up.", labels, nil)
	budgetRemaining = prometheus.NewDesc("itil_sla_error_budget_remaining_ratio",
		"Share of the running period's error budget that is left; below 0 where more was used.", labels, nil)
	downtime = prometheus.NewDesc("itil_sla_downtime_seconds",
		"Downtime within the agreed service time of the running period.", labels, nil)
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- availability
	descs <- budgetRemaining
	descs <- downtime
}

// Collect implements prometheus.Collector.
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
	facts, err := gather(ctx, c.Reader, a)
	if err != nil {
		out <- prometheus.NewInvalidMetric(availability, err)
		return
	}
	terms, sums, ok := practice.Running(facts, now)
	if !ok {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, a.Namespace, string(a.Spec.ServiceRef.Name), a.Name)
	}
	gauge(downtime, float64(sums.Downtime))
	if share, ok := sums.AvailabilityRatio(); ok {
		gauge(availability, share)
	}
	if share, ok := terms.BudgetRatio(sums); ok {
		gauge(budgetRemaining, share)
	}
}
