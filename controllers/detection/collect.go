package detection

import (
	"context"
	"fmt"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// collect brings a record that stands for several workloads up to date: the backlog of a namespace, or what caps keep
// back.
func (r *Reconciler) collect(
	ctx context.Context, record configuration.Key, namespace string, c *collection, now time.Time,
) (next time.Time, err error) {
	entries := c.of(record)
	if len(entries) == 0 || namespace == "" {
		return time.Time{}, nil
	}
	in := &input{namespace: namespace, source: v1alpha1.IncidentSourceDetector}
	in.Key, in.subject.Key = record, record
	in.records = incident.Choose(r.incidents.of(record), r.Rules, nil, now)
	before := incident.Detected{}
	if in.records.Current != nil {
		before = incident.DetectedOf(&in.records.Current.Status)
	}
	after := incident.Collect(before, record, entries, now)
	r.countCapped(record, after)
	if due := c.due(record); in.records.Current != nil && incident.OnlyGrew(before, after) && due.After(now) {
		return due, nil
	}
	if in.records.Current == nil {
		if len(after.Signals) == 0 {
			c.said(record, entries)
			return time.Time{}, nil
		}
		created, err := r.create(ctx, in, recordTitle(record, namespace), nil, now)
		if err != nil {
			return time.Time{}, err
		}
		in.records.Current = created
		before = incident.DetectedOf(&created.Status)
		after = incident.Collect(before, record, entries, now)
	}
	if err := r.write(ctx, in.records.Current, after); err != nil {
		return time.Time{}, err
	}
	if record == incident.OverflowKey() && before.Workloads == 0 && after.Workloads > 0 {
		r.emitCapReached(in.records.Current, after.Workloads)
	}
	c.written(record, now)
	c.said(record, entries)
	return time.Time{}, nil
}

// countCapped says in the metrics how many workloads caps keep back.
func (r *Reconciler) countCapped(record configuration.Key, d incident.Detected) {
	if record == incident.OverflowKey() {
		capped.Set(float64(d.Workloads))
	}
}

func recordTitle(record configuration.Key, namespace string) string {
	if record == incident.OverflowKey() {
		return "more workloads fail than Incidents may be open at once"
	}
	return fmt.Sprintf("%s: what already failed when the operator first saw it", namespace)
}
