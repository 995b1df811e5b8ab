package push_test

import (
	"context"
	"errors"
	"testing"

	"k8s.io/client-go/util/workqueue"

	"github.com/itil-dev/itil-operator/internal/kube/push"
)

func TestSource(t *testing.T) {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	defer queue.ShutDown()
	ready := false
	var add func(string)
	s := push.Source(func(_ context.Context, a func(string)) error { add = a; a("first"); return nil }, func(context.Context) bool { return ready })
	if err := s.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	add("second")
	add("first")
	if queue.Len() != 2 {
		t.Errorf("%d requests, want 2", queue.Len())
	}
	if err := s.WaitForSync(t.Context()); err == nil {
		t.Error("workers may begin before it is ready")
	}
	ready = true
	if err := s.WaitForSync(t.Context()); err != nil {
		t.Error(err)
	}
	failing := push.Source(func(context.Context, func(string)) error { return errors.New("no") }, func(context.Context) bool { return true })
	if err := failing.Start(t.Context(), queue); err == nil {
		t.Error("an error of start is lost")
	}
}
