package detection

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

const (
	resultTaken     = "taken"
	resultUnmatched = "unmatched"
	resultSurplus   = "surplus"
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
		Help: "Alerts that were reported: taken, unmatched (about nothing that is known), surplus (more of one workload than are followed) or refused (no room; they are sent again).",
	}, []string{"result"})
	stormsTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "itil_incident_storms_total", Help: "Times when more than 20 Incidents were opened within a minute.",
	})
	watchLag = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "itil_detection_watch_lag_seconds",
		Help:    "Time from the last change that a pod's status tells of to its arrival. Clocks of nodes that differ are in it.",
		Buckets: []float64{0.5, 1, 2, 5, 10, 30, 60, 300},
	})
	timeToDetect = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "itil_incident_detection_seconds",
		Help:    "Time from the begin of a failure, by its own timestamps, to its Incident. Grace times are part of it.",
		Buckets: []float64{1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600},
	})
)

func init() { //nolint:gochecknoinits // controller-runtime's registry is filled once, by whoever has metrics
	metrics.Registry.MustRegister(openedTotal, cappedTotal, capped, alertsTotal, stormsTotal, watchLag, timeToDetect)
}

const (
	stormSize   = 20
	stormWindow = time.Minute
)

// storms counts the times when many Incidents are opened at once. One lasts until none was opened for its window.
type storms struct {
	mu     sync.Mutex
	opened []time.Time
	raging bool
}

func (s *storms) open(now time.Time) (began bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = slices.DeleteFunc(s.opened, func(t time.Time) bool { return now.Sub(t) >= stormWindow })
	if len(s.opened) == 0 {
		s.raging = false
	}
	if len(s.opened) <= stormSize {
		s.opened = append(s.opened, now)
	} else {
		copy(s.opened, s.opened[1:])
		s.opened[len(s.opened)-1] = now
	}
	began = !s.raging && len(s.opened) > stormSize
	s.raging = s.raging || began
	return began
}

// measureLag measures how late a version of a pod comes.
func measureLag(old, pod *Record, now time.Time) {
	if old == nil {
		return
	}
	if newest := newestTime(pod); newest > newestTime(old) {
		watchLag.Observe(max(now.Sub(newest.Time()), 0).Seconds())
	}
}

func newestTime(r *Record) incident.Second {
	newest := max(r.Scheduled.Since, r.Sandbox.Since, r.Ready.Since)
	for i := range r.Containers {
		c := &r.Containers[i]
		newest = max(newest, c.RunningSince, c.Ended.Finished)
	}
	return newest
}
