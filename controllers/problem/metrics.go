package problem

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/leadmetrics"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// Collector tells of the Problems in a cache when it is asked: how many there are, and which cause the most harm.
type Collector struct {
	// Reader is the manager's cached client.
	Reader client.Reader
}

var (
	ofState     = []string{"namespace", "state"}
	ofProblem   = []string{"namespace", "problem", "service"}
	problems    = prometheus.NewDesc("itil_problems", "Problems that are kept, by state.", ofState, nil)
	knownErrors = prometheus.NewDesc("itil_problem_known_errors", "Problems, open or accepted as a risk, whose cause or workaround is known.", []string{"namespace"}, nil)
	overdue     = prometheus.NewDesc("itil_problem_reviews_overdue", "Accepted risks that were not reviewed in time.", []string{"namespace"}, nil)
	rank        = prometheus.NewDesc("itil_problem_rank", "Place among the open Problems of the namespace by downtime caused, then failures, of 90 days; 1 is the worst. Of the first 50.", ofProblem, nil)
	downtime    = prometheus.NewDesc("itil_problem_downtime_seconds", "Downtime of 90 days that the Problem's incidents caused, of the first 50 by rank.", ofProblem, nil)
	failures    = prometheus.NewDesc("itil_problem_failures", "Failures of 90 days that the Problem's incidents had, of the first 50 by rank.", ofProblem, nil)
)

var exported = leadmetrics.New(problems, knownErrors, overdue, rank, downtime, failures)

func init() { metrics.Registry.MustRegister(exported) } //nolint:gochecknoinits // the registry is filled once, by whoever has metrics

// Collect tells the figures.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list := &v1alpha1.ProblemList{}
	if err := c.Reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		out <- prometheus.NewInvalidMetric(problems, err)
		return
	}
	states, known, late := map[[2]string]float64{}, map[string]float64{}, map[string]float64{}
	for i := range list.Items {
		p := &list.Items[i]
		states[[2]string{p.Namespace, string(p.Status.State)}]++
		late[p.Namespace] += 0
		if practice.KnownErrorOf(p) != nil {
			known[p.Namespace]++
		}
		if meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReviewOverdue) {
			late[p.Namespace]++
		}
		weigh(p, out)
	}
	for labels, n := range states {
		out <- prometheus.MustNewConstMetric(problems, prometheus.GaugeValue, n, labels[0], labels[1])
	}
	for namespace, n := range known {
		out <- prometheus.MustNewConstMetric(knownErrors, prometheus.GaugeValue, n, namespace)
	}
	for namespace, n := range late {
		out <- prometheus.MustNewConstMetric(overdue, prometheus.GaugeValue, n, namespace)
	}
}

// weigh tells the figures of one that has a place. The places bound how many series there are.
func weigh(p *v1alpha1.Problem, out chan<- prometheus.Metric) {
	if !practice.IsOpen(p) || p.Status.Incidents == nil || p.Status.Rank < 1 || p.Status.Rank >= practice.LastRank {
		return
	}
	service := ""
	if p.Spec.ServiceRef != nil {
		service = string(p.Spec.ServiceRef.Name)
	}
	gauge := func(d *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, p.Namespace, p.Name, service)
	}
	gauge(rank, float64(p.Status.Rank))
	gauge(downtime, float64(p.Status.Incidents.RankDowntimeSeconds))
	gauge(failures, float64(p.Status.Incidents.RankFailures))
}
