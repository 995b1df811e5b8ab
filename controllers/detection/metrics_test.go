package detection

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestStorms: one is counted once, and another one after it was calm.
func TestStorms(t *testing.T) {
	s := &storms{}
	began := 0
	open := func(n int, at, every time.Duration) {
		for i := range n {
			if s.open(t0.Add(at + time.Duration(i)*every)) {
				began++
			}
		}
	}
	open(20, 0, time.Second)
	if began != 0 {
		t.Errorf("%d storms of twenty", began)
	}
	open(200, 20*time.Second, time.Second)
	if began != 1 {
		t.Errorf("%d storms, want one", began)
	}
	open(30, time.Hour, time.Second)
	if began != 2 {
		t.Errorf("%d storms, want a second one", began)
	}
	open(100, 2*time.Hour, 10*time.Second)
	if began != 2 {
		t.Errorf("%d storms: ten a minute are none", began)
	}
}

// TestWatchLag: how late the news of a pod comes is measured once for each thing that its status tells, and not for what a
// list repeats.
func TestWatchLag(t *testing.T) {
	measured := func() (count uint64, sum float64) {
		registry := prometheus.NewRegistry()
		registry.MustRegister(watchLag)
		families, err := registry.Gather()
		if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 1 {
			t.Fatalf("gathered %v, error %v", families, err)
		}
		h := families[0].GetMetric()[0].GetHistogram()
		return h.GetSampleCount(), h.GetSampleSum()
	}
	before, sum := measured()
	old, ready := pod("web", 0), pod("web", 0)
	ready.Status.Conditions[0].LastTransitionTime = metav1.NewTime(t0)
	measureLag(nil, record(old), t0)
	measureLag(record(old), record(ready), t0.Add(3*time.Second))
	measureLag(record(ready), record(ready), t0.Add(time.Hour))
	if count, total := measured(); count-before != 1 || total-sum != 3 {
		t.Errorf("%d measurements of %v s in all, want one of 3 s", count-before, total-sum)
	}
}
