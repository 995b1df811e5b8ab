package detection

import (
	"context"
	"fmt"
	"time"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// collect brings a record that stands for several workloads up to date: the backlog of a namespace, or what caps keep
// back.
func (r *Reconciler) collect(
	ctx context.Context, record configuration.Key, namespace string, c *collection, now time.Time,
) error {
	entries := c.of(record)
	if len(entries) == 0 || namespace == "" {
		return nil
	}
	in := &input{namespace: namespace}
	in.Key, in.subject.Key = record, record
	in.records = incident.Choose(r.incidents.of(record), r.Rules, now)
	before := incident.Detected{}
	if in.records.Current != nil {
		before = incident.DetectedOf(&in.records.Current.Status)
	}
	after := incident.Collect(before, record, entries, now)
	if in.records.Current == nil {
		if len(after.Signals) == 0 {
			c.said(record, entries)
			return nil
		}
		created, err := r.create(ctx, in, recordTitle(record, namespace), now)
		if err != nil {
			return err
		}
		in.records.Current = created
		after = incident.Collect(incident.DetectedOf(&created.Status), record, entries, now)
		if record == incident.OverflowKey() {
			r.emitCapReached(created)
		}
	}
	if err := r.write(ctx, in.records.Current, after); err != nil {
		return err
	}
	c.said(record, entries)
	return nil
}

func recordTitle(record configuration.Key, namespace string) string {
	if record == incident.OverflowKey() {
		return "more workloads fail than Incidents may be open at once"
	}
	return fmt.Sprintf("%s: what already failed when the operator first saw it", namespace)
}
