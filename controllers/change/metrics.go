package change

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/leadmetrics"
)

// Collector computes what is known of the Changes that are kept, when it is asked. The leader alone has any, so that a
// sum over replicas counts nothing twice.
type Collector struct {
	// Reader is the manager's cached client.
	Reader client.Reader
	Clock  clock.PassiveClock
}

var _ prometheus.Collector = &Collector{}

var (
	changesDesc = prometheus.NewDesc("itil_changes",
		"Changes that are kept, by state, type and outcome; the outcome is empty while there is none.",
		[]string{"state", "type", "outcome"}, nil)
	recordsDesc = prometheus.NewDesc("itil_change_records",
		"Changes that are kept and record what went in without one, by how (BreakGlass, Unauthorized) and state.",
		[]string{"record_of", "state"}, nil)
	overdueDesc = prometheus.NewDesc("itil_change_reviews_overdue",
		"Changes whose post-implementation review is overdue.", nil, nil)
	oldestOverdueDesc = prometheus.NewDesc("itil_change_review_oldest_overdue_seconds",
		"Since when the post-implementation review is overdue that was due first. Absent where none is.", nil, nil)

	// waits is observed once in the life of a Change, when the status that says so was written.
	waits = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "itil_change_approval_wait_seconds",
		Help: "From when a Change that needs votes was filed until they were granted for the first time.",
		Buckets: []float64{
			60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600, 2 * 24 * 3600, 4 * 24 * 3600, 7 * 24 * 3600, 14 * 24 * 3600,
		},
	})
	withoutChange = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "itil_change_without_change_total",
		Help: "Templates that went in without a Change and were recorded, by how: BreakGlass or Unauthorized.",
	}, []string{"record_of"})
)

var descriptions = []*prometheus.Desc{changesDesc, recordsDesc, overdueDesc, oldestOverdueDesc}

var exported = leadmetrics.New(descriptions...)

func init() {
	for _, of := range []v1alpha1.RecordOf{v1alpha1.RecordOfBreakGlass, v1alpha1.RecordOfUnauthorized} {
		withoutChange.WithLabelValues(string(of))
	}
	metrics.Registry.MustRegister(exported, waits, withoutChange)
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		out <- d
	}
}

// group is what Changes are counted by.
type group struct {
	state   v1alpha1.ChangeState
	kind    v1alpha1.ChangeType
	outcome v1alpha1.Outcome
}

type recordGroup struct {
	of    v1alpha1.RecordOf
	state v1alpha1.ChangeState
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list := &v1alpha1.ChangeList{}
	if err := c.Reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		out <- prometheus.NewInvalidMetric(changesDesc, err)
		return
	}
	changes, records, overdue := map[group]int{}, map[recordGroup]int{}, 0
	var oldest time.Time
	now := c.Clock.Now()
	for i := range list.Items {
		chg := &list.Items[i]
		changes[groupOf(chg)]++
		if of := chg.Spec.RecordOf; of != "" {
			records[recordGroup{of, groupOf(chg).state}]++
		}
		due, err := time.Parse(time.RFC3339, string(chg.Status.ReviewDueAt))
		if chg.Status.State != v1alpha1.ChangeReview || err != nil || now.Before(due) {
			continue
		}
		overdue++
		if oldest.IsZero() || due.Before(oldest) {
			oldest = due
		}
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for g, n := range changes {
		gauge(changesDesc, float64(n), string(g.state), string(g.kind), string(g.outcome))
	}
	for g, n := range records {
		gauge(recordsDesc, float64(n), string(g.of), string(g.state))
	}
	gauge(overdueDesc, float64(overdue))
	if !oldest.IsZero() {
		gauge(oldestOverdueDesc, now.Sub(oldest).Seconds())
	}
}

// groupOf is what a Change is counted by. One that was not assessed yet counts as Assess.
func groupOf(chg *v1alpha1.Change) group {
	g := group{state: chg.Status.State, kind: chg.Spec.Type, outcome: chg.Status.Outcome}
	if g.state == "" {
		g.state = v1alpha1.ChangeAssess
	}
	if g.kind == "" {
		g.kind = v1alpha1.ChangeNormal
	}
	return g
}

// observe counts what a status that was written says in addition to the one before.
func observe(chg *v1alpha1.Change, after *v1alpha1.ChangeStatus) {
	before := &chg.Status
	countBackouts(before, after)
	if before.FirstApprovedAt == nil && before.ApprovedAt == nil && after.FirstApprovedAt != nil {
		waits.Observe(max(after.FirstApprovedAt.Sub(chg.CreationTimestamp.Time), 0).Seconds())
	}
	if chg.Spec.RecordOf != "" && before.State == "" {
		withoutChange.WithLabelValues(string(chg.Spec.RecordOf)).Inc()
	}
}
