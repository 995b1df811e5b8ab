package detection

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/events"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// value is what a metric without labels measures: the value, or how often and how much in all.
func value(t *testing.T, c prometheus.Collector) (count uint64, sum float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("gathered %v, error %v", families, err)
	}
	for _, m := range families[0].GetMetric() {
		count += m.GetHistogram().GetSampleCount()
		sum += m.GetHistogram().GetSampleSum() + m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return count, sum
}

// TestTheCapOfAll: all namespaces together have a bound, too, but for tiers 1 and 2; it says so by an event and metrics.
func TestTheCapOfAll(t *testing.T) {
	s := newScene(t)
	told := events.NewFakeRecorder(10)
	s.Recorder, s.ClusterCap = told, 3
	s.hasService(builder.MakeService("shop", "vital").Tier(2).Claim(v1alpha1.WorkloadDeployment, "w5"))
	s.hasService(builder.MakeService("shop", "other").Tier(3).Claim(v1alpha1.WorkloadDeployment, "w4"))
	_, before := value(t, cappedTotal)
	for n := range 6 {
		name := fmt.Sprint("w", n)
		s.has(deployment(name, 1))
		s.seePod(crashing(name, 0))
	}
	s.work()
	own, summary := split(s)
	if len(own) != 4 || summary == nil || summary.Status.Workloads != 2 {
		t.Fatalf("%d of their own, the rest is counted in %+v", len(own), summary)
	}
	if n := len(told.Events); n != 1 {
		t.Fatalf("%d events, want one", n)
	}
	if got := <-told.Events; !strings.HasPrefix(got, "Warning CapReached at most 50 Incidents may be open in a namespace and 3 in all; ") {
		t.Errorf("event %q", got)
	}
	if _, total := value(t, cappedTotal); total-before < 2 {
		t.Errorf("%v times kept back", total-before)
	}
	if _, now := value(t, capped); now != 2 {
		t.Errorf("%v are kept back", now)
	}
}

// TestTimeToDetectIsMeasuredOnce, from when it began to when it was seen, and that it opened.
func TestTimeToDetectIsMeasuredOnce(t *testing.T) {
	s := newScene(t)
	count, sum := value(t, timeToDetect)
	_, opened := value(t, openedTotal)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	s.tell()
	s.at(10 * time.Minute)
	s.seePod(crashing("web", 1))
	s.work()
	i := s.one()
	took := i.Status.DetectedAt.Sub(i.Status.StartedAt.Time).Seconds()
	if n, total := value(t, timeToDetect); n-count != 1 || total-sum != took || took == 0 {
		t.Errorf("%d measurements of %v s, want one of %v s", n-count, total-sum, took)
	}
	if _, n := value(t, openedTotal); n-opened != 1 {
		t.Errorf("%v were opened", n-opened)
	}
}
