package leadmetrics_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/itil-dev/itil-operator/internal/kube/leadmetrics"
)

func TestTheLeaderAloneShowsMetrics(t *testing.T) {
	desc := prometheus.NewDesc("answer", "The answer.", nil, nil)
	e := leadmetrics.New(desc)
	count := func() int {
		out := make(chan prometheus.Metric, 10)
		e.Collect(out)
		return len(out)
	}
	if n := count(); n != 0 {
		t.Fatalf("%d metrics before there is anything to show", n)
	}
	collect := func(out chan<- prometheus.Metric) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 42)
	}
	first, end := context.WithCancel(t.Context())
	elected := make(chan struct{})
	e.Show(first, elected, collect)
	if n := count(); n != 0 {
		t.Fatalf("%d metrics of one who does not lead", n)
	}
	close(elected)
	if n := count(); n != 1 {
		t.Fatalf("%d metrics of the leader", n)
	}
	e.Show(t.Context(), nil, collect)
	end()
	if n := count(); n != 1 {
		t.Fatalf("%d metrics after another came: the end of the first is none of the second", n)
	}
}
