package faults_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// track is every version of every object of a kind in a namespace that there ever was, as far as a watch tells.
type track[T client.Object] struct {
	mu       sync.Mutex
	versions []T
	// arrived is when each version was told of, by the machine's clock.
	arrived map[string]time.Time
}

// trackAll takes down versions until the test ends. Where the watch is lost it begins with a list.
func trackAll[T client.Object](t *testing.T, namespace string, list client.ObjectList) *track[T] {
	t.Helper()
	h := &track[T]{arrived: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			h.listAndWatch(ctx, namespace, list)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

func (h *track[T]) listAndWatch(ctx context.Context, namespace string, kind client.ObjectList) {
	list := kind.DeepCopyObject().(client.ObjectList)
	if err := env.Admin().List(ctx, list, client.InNamespace(namespace)); err != nil {
		return
	}
	_ = meta.EachListItem(list, func(o runtime.Object) error {
		h.add(o.(T))
		return nil
	})
	from := &client.ListOptions{Namespace: namespace}
	from.Raw = listOptions(list.GetResourceVersion())
	w, err := env.Admin().Watch(ctx, kind.DeepCopyObject().(client.ObjectList), from)
	if err != nil {
		return
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if o, ok := e.Object.(T); ok && (e.Type == watch.Added || e.Type == watch.Modified) {
			h.add(o)
		}
	}
}

func (h *track[T]) add(o T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.arrived[versionOf(o)]; !known {
		h.arrived[versionOf(o)] = time.Now()
		h.versions = append(h.versions, o)
	}
}

// arrival is when a version was told of, by the machine's clock.
func (h *track[T]) arrival(o T) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.arrived[versionOf(o)]
}

func versionOf(o client.Object) string { return string(o.GetUID()) + "/" + o.GetResourceVersion() }

func (h *track[T]) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.versions)
}

// inOrder are all versions in the order in which they were written.
func (h *track[T]) inOrder() []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := slices.Clone(h.versions)
	slices.SortFunc(out, func(a, b T) int {
		order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
		if err != nil {
			return cmp.Compare(a.GetResourceVersion(), b.GetResourceVersion())
		}
		return order
	})
	return out
}

// history is every version of every Incident of a namespace.
type history struct{ *track[*v1alpha1.Incident] }

func follow(t *testing.T, namespace string) *history {
	t.Helper()
	return &history{trackAll[*v1alpha1.Incident](t, namespace, &v1alpha1.IncidentList{})}
}

// tell is the timeline of every Incident as it was last, for the report of a failure.
func (h *history) tell() string {
	last := map[types.UID]*v1alpha1.Incident{}
	for _, i := range h.inOrder() {
		last[i.UID] = i
	}
	var text strings.Builder
	for _, i := range last {
		fmt.Fprintf(&text, "%s, episode %d, %s, recovered at %v:\n", i.Name, incident.Episode(i.Labels), i.Status.State, i.Status.RecoveredAt)
		for _, s := range i.Status.Signals {
			fmt.Fprintf(&text, "  signal %s since %s, seen %s, cleared %v, %v\n", s.Reason, s.Since.UTC().Format(time.TimeOnly), s.LastSeen.UTC().Format(time.TimeOnly), s.ClearedAt, s.Pods)
		}
		for _, entry := range i.Status.Timeline {
			fmt.Fprintf(&text, "  %s %s\n", entry.At.UTC().Format(time.TimeOnly), entry.What)
		}
	}
	return text.String()
}

// verify checks what must be so of every version, whatever went wrong when.
func (h *history) verify(w *world) {
	w.t.Helper()
	last := map[types.UID]*v1alpha1.Incident{}
	open := map[configuration.Key]map[string]bool{}
	for _, i := range h.inOrder() {
		key, _ := incident.KeyOf(i)
		if open[key] == nil {
			open[key] = map[string]bool{}
		}
		delete(open[key], i.Name)
		if isOpen(i) {
			open[key][i.Name] = true
		}
		if len(open[key]) > 1 {
			w.t.Errorf("%s had two open Incidents at once: %v", key.Name, open[key])
		}
		if before := last[i.UID]; before != nil {
			h.step(w, before, i)
		}
		last[i.UID] = i
	}
	for _, i := range last {
		h.timeline(w, i)
	}
	h.events(w, last)
}

// step checks what one write made of an Incident.
func (h *history) step(w *world, a, b *v1alpha1.Incident) {
	w.t.Helper()
	allowed := map[v1alpha1.IncidentState][]v1alpha1.IncidentState{
		"":                          {v1alpha1.IncidentNew, v1alpha1.IncidentResolved},
		v1alpha1.IncidentNew:        {v1alpha1.IncidentInProgress, v1alpha1.IncidentOnHold, v1alpha1.IncidentResolved},
		v1alpha1.IncidentInProgress: {v1alpha1.IncidentOnHold, v1alpha1.IncidentResolved},
		v1alpha1.IncidentOnHold:     {v1alpha1.IncidentInProgress, v1alpha1.IncidentResolved},
		v1alpha1.IncidentResolved:   {v1alpha1.IncidentInProgress, v1alpha1.IncidentOnHold, v1alpha1.IncidentClosed},
	}
	from, to := a.Status.State, b.Status.State
	if from != to && !slices.Contains(allowed[from], to) {
		w.t.Errorf("Incident %s went from %q to %q", b.Name, from, to)
	}
	reopened := from == v1alpha1.IncidentResolved && to != from && to != v1alpha1.IncidentClosed
	if more := b.Status.Reopened - a.Status.Reopened; more < 0 || more > 1 || (more == 1) != reopened {
		w.t.Errorf("Incident %s went from %q to %q, and its count of reopenings from %d to %d", b.Name, from, to, a.Status.Reopened, b.Status.Reopened)
	}
	if a.Status.DetectedAt != nil && !a.Status.DetectedAt.Equal(b.Status.DetectedAt) {
		w.t.Errorf("Incident %s was detected at %v, and then at %v", b.Name, a.Status.DetectedAt, b.Status.DetectedAt)
	}
	if a.Status.StartedAt != nil && !a.Status.StartedAt.Equal(b.Status.StartedAt) {
		w.t.Errorf("Incident %s began at %v, and then at %v", b.Name, a.Status.StartedAt, b.Status.StartedAt)
	}
}

// timeline checks that everything is told once.
func (h *history) timeline(w *world, i *v1alpha1.Incident) {
	w.t.Helper()
	told := map[string]int32{}
	for _, entry := range i.Status.Timeline {
		what := strings.FieldsFunc(entry.What, func(r rune) bool { return r == ':' || r == ',' })
		told[what[0]]++
	}
	resolved := i.Status.Reopened
	if !isOpen(i) {
		resolved++
	}
	if told["opened"] != 1 || told["reopened"] != i.Status.Reopened || told["resolved"] != resolved {
		w.t.Errorf("Incident %s is %s and was reopened %d times; its timeline tells %v", i.Name, i.Status.State, i.Status.Reopened, told)
	}
}

// events checks that nobody was told the same twice. A replica that dies before it tells takes the word with it.
func (h *history) events(w *world, incidents map[types.UID]*v1alpha1.Incident) {
	w.t.Helper()
	list := &eventsv1.EventList{}
	w.must(env.Admin().List(w.t.Context(), list, client.InNamespace(w.namespace)))
	told := map[types.UID]map[string]int32{}
	for _, e := range list.Items {
		if incidents[e.Regarding.UID] == nil {
			continue
		}
		if told[e.Regarding.UID] == nil {
			told[e.Regarding.UID] = map[string]int32{}
		}
		told[e.Regarding.UID][e.Reason] += times(&e)
	}
	for uid, counts := range told {
		i := incidents[uid]
		most := map[string]int32{
			incident.EventOpened: 1, incident.EventReopened: i.Status.Reopened, incident.EventResolved: i.Status.Reopened + 1,
		}
		for reason, limit := range most {
			if counts[reason] > limit {
				w.t.Errorf("event %s of Incident %s was sent %d times, want at most %d", reason, i.Name, counts[reason], limit)
			}
		}
	}
}
