package detection

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

const (
	resultTaken     = "taken"
	resultUnmatched = "unmatched"
	resultRefused   = "refused"
)

var (
	openedTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_incidents_opened_total", Help: "Incidents that detection opened, by the first reason.",
	}, []string{"reason"})
	cappedTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "itil_incidents_capped_total", Help: "Looks at which a failure opened no Incident because too many were open.",
	})
	capped = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "itil_incidents_capped", Help: "Workloads that fail without an Incident of their own because too many are open.",
	})
	alertsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_alerts_received_total",
		Help: "Alerts that were reported: taken, unmatched (about nothing that is known) or refused (no room; they are sent again).",
	}, []string{"result"})
	timeToDetect = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "itil_incident_detection_seconds",
		Help:    "Time from the begin of a failure, by its own timestamps, to its Incident. Grace times are part of it.",
		Buckets: []float64{1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600},
	})
)

func init() { //nolint:gochecknoinits // controller-runtime's registry is filled once, by whoever has metrics
	metrics.Registry.MustRegister(openedTotal, cappedTotal, capped, alertsTotal, timeToDetect)
}
