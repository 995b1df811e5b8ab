package configurationitem

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	unauthorised = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_change_unauthorized_total",
		Help: "Templates under Enforce that no verdict let in: past the gate, or while it did not answer. By namespace.",
	}, []string{"namespace"})
	brokenGlass = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_change_breakglass_total",
		Help: "Templates that were forced in by breaking the glass. By namespace.",
	}, []string{"namespace"})
	movedTags = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_change_moved_tags_total",
		Help: "Workloads whose tags were found to mean another image than when they were agreed to. By namespace.",
	}, []string{"namespace"})
)

func init() { metrics.Registry.MustRegister(unauthorised, brokenGlass, movedTags) }
