// Package leadmetrics exports what the leader computes when it is asked. The other replicas say nothing, so that a sum
// over replicas counts nothing twice (docs/adr/0010-service-levels.md).
package leadmetrics

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Exporter is what a process's registry asks. It is registered once, and shows the collector of the manager that was set
// up last.
type Exporter struct {
	describe func(chan<- *prometheus.Desc)
	shown    atomic.Pointer[source]
}

var _ prometheus.Collector = &Exporter{}

type source struct {
	collect func(chan<- prometheus.Metric)
	elected <-chan struct{}
}

// New is an exporter of metrics with these descriptions.
func New(descriptions ...*prometheus.Desc) *Exporter {
	return &Exporter{describe: func(out chan<- *prometheus.Desc) {
		for _, d := range descriptions {
			out <- d
		}
	}}
}

// Show what collect tells, from when elected is closed until the context ends. A nil elected: at once.
func (e *Exporter) Show(ctx context.Context, elected <-chan struct{}, collect func(chan<- prometheus.Metric)) {
	s := &source{collect: collect, elected: elected}
	e.shown.Store(s)
	context.AfterFunc(ctx, func() { e.shown.CompareAndSwap(s, nil) })
}

// Describe implements prometheus.Collector.
func (e *Exporter) Describe(out chan<- *prometheus.Desc) { e.describe(out) }

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(out chan<- prometheus.Metric) {
	s := e.shown.Load()
	if s == nil {
		return
	}
	if s.elected != nil {
		select {
		case <-s.elected:
		default:
			return
		}
	}
	s.collect(out)
}
