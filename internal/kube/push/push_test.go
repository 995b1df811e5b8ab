package push_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
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

func TestFollowedNames(t *testing.T) {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	for name, test := range map[string]struct {
		scheme *runtime.Scheme
		synced bool
		ready  bool
		want   []string
	}{
		"those that exist, after news":   {scheme.New(), true, true, []string{"shop/news", "shop/a", "shop/b"}},
		"before it is ready, news alone": {scheme.New(), false, false, []string{"shop/news"}},
		"a cache that cannot be asked":   {runtime.NewScheme(), true, false, []string{"shop/news"}},
	} {
		t.Run(name, func(t *testing.T) {
			stopped := make(chan struct{})
			cache := fake.NewClientBuilder().WithScheme(test.scheme)
			if test.ready {
				cache.WithObjects(builder.MakeChange("shop", "a").Obj(), builder.MakeChange("shop", "b").Obj())
			}
			s := push.FollowedNames(
				func(add func(types.NamespacedName)) (stop func()) {
					add(types.NamespacedName{Namespace: "shop", Name: "news"})
					return func() { close(stopped) }
				},
				func(ctx context.Context, add func(types.NamespacedName)) bool {
					return test.synced && push.All(ctx, cache.Build(), &v1alpha1.ChangeList{}, add)
				},
			)
			ctx, stop := context.WithCancel(t.Context())
			if err := s.Start(ctx, queue); err != nil {
				t.Fatal(err)
			}
			if err := s.WaitForSync(ctx); (err == nil) != test.ready {
				t.Errorf("%v, want it to be ready: %t", err, test.ready)
			}
			var got []string
			for queue.Len() > 0 {
				r, _ := queue.Get()
				got = append(got, r.String())
				queue.Done(r)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			stop()
			<-stopped
		})
	}
}

func TestBarrier(t *testing.T) {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	ready := false
	b := push.Barrier(func(context.Context) bool { return ready })
	if err := b.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	if err := b.WaitForSync(t.Context()); err == nil {
		t.Error("workers may begin before it is ready")
	}
	ready = true
	if err := b.WaitForSync(t.Context()); err != nil {
		t.Error(err)
	}
}
