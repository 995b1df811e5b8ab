package faults_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

// silence is an API server that takes requests for what it has, and does not answer.
type silence struct {
	once  sync.Once
	asked chan struct{}
}

func (s *silence) middleware(next http.RoundTripper) http.RoundTripper {
	return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		// Which kinds there are is known by then, and of which version they are.
		if target := replica.TargetOf(r); target.Resource == "" || target.Resource == "customresourcedefinitions" {
			return next.RoundTrip(r)
		}
		s.once.Do(func() { close(s.asked) })
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
}

// TestToldToEndWhileReading tells a replica to end that is reading what there is, from an API server that does not answer.
func TestToldToEndWhileReading(t *testing.T) {
	ensureOperatorNamespace(t)
	silent := &silence{asked: make(chan struct{})}
	r, err := replica.New(replica.Config{
		REST: env.AdminConfig(), Namespace: operatorNamespace, Machine: clock.RealClock{}, LeaderElect: true, Between: []replica.Middleware{silent.middleware},
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-silent.asked:
	case <-time.After(patience):
		t.Fatal("it reads nothing")
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if closed(r.Working()) {
		t.Error("it worked on what it had not read")
	}
}

// TestRetries: what failed while the API server was away is looked at again soon after it is back, however long that was.
func TestRetries(t *testing.T) {
	ensureOperatorNamespace(t)
	r := replica.Start(t, replica.Config{REST: env.AdminConfig(), Namespace: operatorNamespace, Machine: clock.RealClock{}})
	longest := r.LongestRetries()
	if len(longest) == 0 {
		t.Fatal("no controller tells")
	}
	for name, wait := range longest {
		if wait > time.Minute {
			t.Errorf("controller %s waits for up to %s before it tries again what failed, want a minute at most", name, wait)
		}
	}
}
