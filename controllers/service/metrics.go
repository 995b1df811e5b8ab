package service

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/leadmetrics"
)

// Collector shows how services are when it is asked. The leader alone does, so that a sum over replicas counts nothing
// twice (docs/adr/0010-service-levels.md).
type Collector struct {
	// Reader is the manager's cached client.
	Reader    client.Reader
	Inventory *inventory.Inventory
}

var (
	health = prometheus.NewDesc("itil_service_health",
		"1 for what the service's health is, 0 for what it is not: Operational, Degraded, Outage, Maintenance or Unknown.",
		[]string{"namespace", "service", "health"}, nil)
	openIncidents = prometheus.NewDesc("itil_service_open_incidents",
		"Incidents on the service that are not resolved, by priority.",
		[]string{"namespace", "service", "priority"}, nil)

	healths = []v1alpha1.Health{
		v1alpha1.HealthOperational, v1alpha1.HealthDegraded, v1alpha1.HealthOutage, v1alpha1.HealthMaintenance, v1alpha1.HealthUnknown,
	}
	priorities = []v1alpha1.Priority{
		v1alpha1.PriorityP1, v1alpha1.PriorityP2, v1alpha1.PriorityP3, v1alpha1.PriorityP4, v1alpha1.PriorityP5,
	}
)

var exported = leadmetrics.New(health, openIncidents)

func init() { metrics.Registry.MustRegister(exported) } //nolint:gochecknoinits // the registry is filled once, by whoever has metrics

// Collect sends health and open Incidents of each Service.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list := &v1alpha1.IncidentList{}
	if err := c.Reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		out <- prometheus.NewInvalidMetric(openIncidents, err)
		return
	}
	priorityOf := make(map[types.NamespacedName]v1alpha1.Priority, len(list.Items))
	for n := range list.Items {
		priorityOf[client.ObjectKeyFromObject(&list.Items[n])] = list.Items[n].Status.Priority
	}
	for s := range c.Inventory.Services() {
		is := v1alpha1.HealthUnknown
		if o := c.Inventory.ServiceObject(s.Name); o != nil && o.Status.Health != "" {
			is = o.Status.Health
		}
		for _, h := range healths {
			value := 0.
			if h == is {
				value = 1
			}
			out <- prometheus.MustNewConstMetric(health, prometheus.GaugeValue, value, s.Name.Namespace, s.Name.Name, string(h))
		}
		counts := map[v1alpha1.Priority]int{}
		for _, incident := range c.Inventory.OpenIncidents(s.Name) {
			counts[priorityOf[incidentName(s.Name.Namespace, incident)]]++
		}
		for _, p := range priorities {
			out <- prometheus.MustNewConstMetric(openIncidents, prometheus.GaugeValue, float64(counts[p]), s.Name.Namespace, s.Name.Name, string(p))
		}
	}
}

// incidentName reads a name as the inventory writes it: with its namespace where that is not the Service's.
func incidentName(namespace, name string) types.NamespacedName {
	if other, rest, found := strings.Cut(name, "/"); found {
		return types.NamespacedName{Namespace: other, Name: rest}
	}
	return types.NamespacedName{Namespace: namespace, Name: name}
}
