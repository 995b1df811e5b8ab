package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
)

var (
	minutes = []float64{60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 259200}

	timeToAcknowledge = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "itil_incident_acknowledge_seconds", Help: "Time from detection until a person took notice.", Buckets: minutes,
	}, []string{"priority"})
	timeToResolve = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "itil_incident_resolve_seconds", Help: "Time from detection until the service was restored.", Buckets: minutes,
	}, []string{"priority", "code"})
	reopenedTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_incidents_reopened_total", Help: "Incidents that were opened again after they were resolved.",
	}, []string{"priority"})
	breachedTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_incident_breaches_total", Help: "Clocks of Incidents that ran out.",
	}, []string{"priority"})
)

func init() {
	metrics.Registry.MustRegister(timeToAcknowledge, timeToResolve, reopenedTotal, breachedTotal)
}

// register adds the collector, of which a process has one.
func register(c *Collector) error {
	err := metrics.Registry.Register(c)
	var already prometheus.AlreadyRegisteredError
	if err != nil && !errors.As(err, &already) {
		return fmt.Errorf("register the metrics of Incidents: %w", err)
	}
	return nil
}

// observe measures what a decision brought about.
func observe(i *v1alpha1.Incident, d practice.Decision) {
	began := i.CreationTimestamp.Time
	if i.Status.DetectedAt != nil {
		began = i.Status.DetectedAt.Time
	}
	priority := string(i.Status.Priority)
	for _, e := range d.Events {
		switch e.Reason {
		case practice.EventAcknowledged:
			timeToAcknowledge.WithLabelValues(priority).Observe(max(i.Status.AcknowledgedAt.Sub(began), 0).Seconds())
		case practice.EventResolved:
			// What fails again is not resolved twice: it counts as reopened.
			if i.Status.ResolvedAt != nil && i.Status.Resolution != nil && i.Status.Reopened == 0 {
				timeToResolve.WithLabelValues(priority, string(i.Status.Resolution.Code)).Observe(max(i.Status.ResolvedAt.Sub(began), 0).Seconds())
			}
		case practice.EventReopened:
			reopenedTotal.WithLabelValues(priority).Inc()
		case practice.EventBreached:
			breachedTotal.WithLabelValues(priority).Inc()
		}
	}
}

// Collector counts the Incidents in a cache when it is asked: by state, priority and reason.
type Collector struct {
	// Reader is the manager's cached client.
	Reader client.Reader
}

var _ prometheus.Collector = &Collector{}

var incidents = prometheus.NewDesc("itil_incidents",
	"Incidents that are kept, by state, priority and most telling reason.", []string{"state", "priority", "reason"}, nil)

var openByService = prometheus.NewDesc("itil_incidents_open",
	"Open Incidents by the Service that suffers and priority; of more than 100 Services, those with fewer are in _other.",
	[]string{"namespace", "service", "priority"}, nil)

const (
	// maxServices bounds how many services have a series of their own.
	maxServices  = 100
	otherService = "_other"
)

type serviceName struct{ namespace, name string }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- incidents
	descs <- openByService
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list := &v1alpha1.IncidentList{}
	if err := c.Reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		out <- prometheus.NewInvalidMetric(incidents, err)
		return
	}
	counts := map[[3]string]float64{}
	services := map[serviceName]map[v1alpha1.Priority]int{}
	for n := range list.Items {
		i := &list.Items[n]
		s := &i.Status
		counts[[3]string{string(s.State), string(s.Priority), string(s.Reason)}]++
		if !practice.IsOpen(i) || i.Spec.ServiceRef == nil {
			continue
		}
		name := serviceName{i.Namespace, string(i.Spec.ServiceRef.Name)}
		if services[name] == nil {
			services[name] = map[v1alpha1.Priority]int{}
		}
		services[name][s.Priority]++
	}
	for name, open := range bounded(services) {
		for priority, count := range open {
			out <- prometheus.MustNewConstMetric(openByService, prometheus.GaugeValue, float64(count), name.namespace, name.name, string(priority))
		}
	}
	for labels, count := range counts {
		out <- prometheus.MustNewConstMetric(incidents, prometheus.GaugeValue, count, labels[0], labels[1], labels[2])
	}
}

// bounded are the services with the most open Incidents; the others are one.
func bounded(services map[serviceName]map[v1alpha1.Priority]int) map[serviceName]map[v1alpha1.Priority]int {
	if len(services) <= maxServices {
		return services
	}
	total := func(name serviceName) int {
		sum := 0
		for _, n := range services[name] {
			sum += n
		}
		return sum
	}
	names := slices.SortedFunc(maps.Keys(services), func(a, b serviceName) int {
		return cmp.Or(cmp.Compare(total(b), total(a)), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	out := map[serviceName]map[v1alpha1.Priority]int{}
	rest := map[v1alpha1.Priority]int{}
	for n, name := range names {
		if n < maxServices {
			out[name] = services[name]
			continue
		}
		for priority, count := range services[name] {
			rest[priority] += count
		}
	}
	out[serviceName{name: otherService}] = rest
	return out
}
