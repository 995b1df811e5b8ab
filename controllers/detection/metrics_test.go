package detection

import (
	"testing"
	"time"
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
