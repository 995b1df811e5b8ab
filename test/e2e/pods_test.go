package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// watched is what the pods of a namespace went through.
type watched struct {
	stop context.CancelFunc
	mu   sync.Mutex
	// of pod, the states of its container "app", none twice in a row.
	of map[string]*history
}

type history struct {
	app    string
	states []string
}

// watchPods begins to watch, until it is told to stop or the suite ends.
func watchPods(namespace string) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watched{stop: cancel, of: map[string]*history{}}
	watcher, err := env.admin.Watch(ctx, &corev1.PodList{}, client.InNamespace(namespace))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(cancel)
	go func() {
		defer GinkgoRecover()
		for event := range watcher.ResultChan() {
			if pod, is := event.Object.(*corev1.Pod); is && event.Type != watch.Deleted {
				w.add(pod)
			}
		}
	}()
	return w
}

func (w *watched) add(pod *corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.of[pod.Name]
	if h == nil {
		h = &history{app: pod.Labels["app"]}
		w.of[pod.Name] = h
	}
	for i := range pod.Status.ContainerStatuses {
		state := stateOf(&pod.Status.ContainerStatuses[i].State)
		if len(h.states) == 0 || h.states[len(h.states)-1] != state {
			h.states = append(h.states, state)
		}
	}
}

func stateOf(s *corev1.ContainerState) string {
	switch {
	case s.Running != nil:
		return "running"
	case s.Terminated != nil:
		return fmt.Sprintf("terminated %s %d", s.Terminated.Reason, s.Terminated.ExitCode)
	case s.Waiting != nil:
		return s.Waiting.Reason
	}
	return "waiting"
}

// states of that pod of an app which was seen in most of them.
func (w *watched) states(app string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest []string
	for _, h := range w.of {
		if h.app == app && len(h.states) > len(longest) {
			longest = h.states
		}
	}
	return slices.Clone(longest)
}

// containInOrder matches a list that has these, in this order, whatever lies between them.
func containInOrder(want []string) types.GomegaMatcher {
	return WithTransform(func(got []string) string {
		rest := want
		for _, state := range got {
			if len(rest) > 0 && state == rest[0] {
				rest = rest[1:]
			}
		}
		if len(rest) == 0 {
			return ""
		}
		return fmt.Sprintf("%q is missing from %q in %q", rest[0], strings.Join(want, ", "), strings.Join(got, ", "))
	}, BeEmpty())
}
