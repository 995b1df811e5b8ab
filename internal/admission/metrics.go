package admission

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

var (
	decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_gate_decisions_total",
		Help: "Requests that the gate decided, by verdict and by the enforcement that applied (None where nothing is governed).",
	}, []string{"verdict", "enforcement"})

	decisionSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "itil_gate_decision_seconds",
		Help: "Time to decode the objects of a request and decide about it.",
		// From 50 µs to 0.8 s; the API server waits 3 s.
		Buckets: prometheus.ExponentialBuckets(50e-6, 2, 15),
	})

	sideDoors = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_gate_side_doors_total",
		Help: "Changes of running pods of governed workloads past their template: EphemeralContainer, Resize or Relabel. By namespace.",
	}, []string{"what", "namespace"})
)

func init() { metrics.Registry.MustRegister(decisions, decisionSeconds, sideDoors) }

func observe(verdict change.Verdict, enforcement v1alpha1.Enforcement, took time.Duration) {
	label := string(enforcement)
	if label == "" {
		label = "None"
	}
	decisions.WithLabelValues(string(verdict), label).Inc()
	decisionSeconds.Observe(took.Seconds())
}
