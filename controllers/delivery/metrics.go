package delivery

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/leadmetrics"
)

// Collector tells the figures of Services when it is asked, from their statuses in the cache.
type Collector struct {
	// Reader is the manager's cached client.
	Reader client.Reader
}

var (
	ofService   = []string{"namespace", "service"}
	deployments = prometheus.NewDesc("itil_delivery_deployments",
		"Deployments of 90 days: Changes of which something went in. The sample of the other delivery figures.", ofService, nil)
	leadTime = prometheus.NewDesc("itil_delivery_lead_time_seconds",
		"Median time of 90 days from the creation of a Change until it was rolled out.", ofService, nil)
	failed = prometheus.NewDesc("itil_delivery_failed_deployments",
		"Deployments of 90 days that did not roll out, were rolled back, or were found Unsuccessful.", ofService, nil)
	failureRatio = prometheus.NewDesc("itil_delivery_change_failure_ratio", "Share of the deployments of 90 days that failed.", ofService, nil)
	recovery     = prometheus.NewDesc("itil_delivery_recovery_seconds",
		"Median time of 90 days from a failed deployment until what it broke was restored.", ofService, nil)
	recoveries = prometheus.NewDesc("itil_delivery_recoveries", "Failed deployments of 90 days that were recovered from.", ofService, nil)
	rework     = prometheus.NewDesc("itil_delivery_rework_ratio",
		"Share of the deployments of 90 days that were unplanned: Emergency Changes, and those that refer to an Incident.", ofService, nil)
)

var exported = leadmetrics.New(deployments, leadTime, failed, failureRatio, recovery, recoveries, rework)

func init() { metrics.Registry.MustRegister(exported) } //nolint:gochecknoinits // the registry is filled once, by whoever has metrics

// Collect tells the figures.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list := &v1alpha1.ServiceList{}
	if err := c.Reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		out <- prometheus.NewInvalidMetric(deployments, err)
		return
	}
	for i := range list.Items {
		s := &list.Items[i]
		f := s.Status.Delivery
		if f == nil {
			continue
		}
		gauge := func(d *prometheus.Desc, value float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, s.Namespace, s.Name)
		}
		gauge(deployments, float64(f.Deployments))
		gauge(failed, float64(f.Failed))
		gauge(recoveries, float64(f.Recoveries))
		if f.LeadTimeSeconds != nil {
			gauge(leadTime, float64(*f.LeadTimeSeconds))
		}
		if f.RecoverySeconds != nil {
			gauge(recovery, float64(*f.RecoverySeconds))
		}
		if f.Deployments > 0 {
			gauge(failureRatio, float64(f.Failed)/float64(f.Deployments))
			gauge(rework, float64(f.Rework)/float64(f.Deployments))
		}
	}
}
