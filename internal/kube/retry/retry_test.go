package retry_test

import (
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/internal/kube/retry"
)

func TestLimiter(t *testing.T) {
	limiter, total := retry.Limiter[string](), time.Duration(0)
	before := time.Duration(0)
	for n := range 100 {
		wait := limiter.When("a")
		if wait < before || wait > retry.Longest {
			t.Fatalf("after failure %d it waits %s, before that %s", n+1, wait, before)
		}
		before, total = wait, total+wait
	}
	if before != retry.Longest {
		t.Errorf("in the end it waits %s", before)
	}
	if first := limiter.When("b"); first > 10*time.Millisecond {
		t.Errorf("another waits %s", first)
	}
	limiter.Forget("a")
	if first := limiter.When("a"); first > 10*time.Millisecond {
		t.Errorf("after a success it waits %s", first)
	}
}
