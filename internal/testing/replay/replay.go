// Package replay plays watch streams that were recorded from a real cluster with a real kubelet.
//
// A trace is what the API server sent about one workload that was made to fail, or not to: pods, their workload, and
// their Warning events. Times within the objects are real; Event.Time is the time of the cluster's clock at which the
// event was sent, so that a fake clock can be set to it.
package replay

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
)

//go:embed testdata/*.jsonl
var traces embed.FS

const suffix = ".jsonl"

// Event is one change of one object.
type Event struct {
	// Time of the cluster's clock.
	Time time.Time
	Type watch.EventType
	// Object is not shared with other events.
	Object *unstructured.Unstructured
}

// Trace is a recorded watch stream.
type Trace struct {
	Name   string
	Events []Event
}

// Target takes the events of a trace.
type Target interface {
	Apply(e Event) error
}

// Names are those of all traces, in alphabetical order.
func Names() []string {
	files, err := fs.Glob(traces, "testdata/*"+suffix)
	if err != nil {
		panic(err)
	}
	names := make([]string, 0, len(files))
	for _, file := range files {
		names = append(names, strings.TrimSuffix(path.Base(file), suffix))
	}
	return names
}

// Load reads a trace. Each call returns objects of its own.
func Load(name string) (*Trace, error) {
	raw, err := traces.ReadFile("testdata/" + name + suffix)
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", name, err)
	}
	trace := &Trace{Name: name}
	var offsets []time.Duration
	for number, line := range bytes.Split(bytes.TrimSpace(raw), []byte("\n")) {
		var record struct {
			At     float64         `json:"at"`
			Type   watch.EventType `json:"type"`
			Object map[string]any  `json:"object"`
		}
		if err := json.Unmarshal(line, &record); err != nil {
			return nil, fmt.Errorf("read trace %s, line %d: %w", name, number+1, err)
		}
		offsets = append(offsets, time.Duration(record.At*float64(time.Second)))
		trace.Events = append(trace.Events, Event{
			Type: record.Type, Object: &unstructured.Unstructured{Object: integers(record.Object).(map[string]any)},
		})
	}
	begin := trace.begin(offsets)
	for i := range trace.Events {
		trace.Events[i].Time = begin.Add(offsets[i])
	}
	return trace, nil
}

// integers are what decoded JSON has as whole floats, as an unstructured object must hold them.
func integers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = integers(v[key])
		}
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return value
}

// begin is the time of the cluster's clock at which the recording began: early enough that no event was sent before
// the times that it tells of.
func (t *Trace) begin(offsets []time.Duration) time.Time {
	var begin time.Time
	for i, e := range t.Events {
		for _, at := range times(e.Object.Object, nil) {
			if b := at.Add(-offsets[i]); b.After(begin) {
				begin = b
			}
		}
	}
	return begin.UTC()
}

// times are all times in an object but that of its deletion, which lies in the future.
func times(value any, found []time.Time) []time.Time {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if key != "deletionTimestamp" {
				found = times(inner, found)
			}
		}
	case []any:
		for _, inner := range v {
			found = times(inner, found)
		}
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			found = append(found, at)
		}
	}
	return found
}

// Play passes all events to a target, in order.
func (t *Trace) Play(target Target) error {
	for i, e := range t.Events {
		if err := target.Apply(e); err != nil {
			return fmt.Errorf("trace %s, event %d (%s %s %s): %w", t.Name, i, e.Type, e.Object.GetKind(), e.Object.GetName(), err)
		}
	}
	return nil
}

// End is the time of the last event.
func (t *Trace) End() time.Time { return t.Events[len(t.Events)-1].Time }

// Snapshot is what existed after the first n events, each object as it was last.
func (t *Trace) Snapshot(n int) []Event {
	var out []Event
	for _, e := range t.Events[:n] {
		same := func(o Event) bool { return o.Object.GetUID() == e.Object.GetUID() }
		i := slices.IndexFunc(out, same)
		switch {
		case e.Type == watch.Deleted:
			out = slices.DeleteFunc(out, same)
		case i >= 0:
			out[i] = Event{Time: e.Time, Type: watch.Added, Object: e.Object.DeepCopy()}
		default:
			out = append(out, Event{Time: e.Time, Type: watch.Added, Object: e.Object.DeepCopy()})
		}
	}
	return out
}

// Shift moves the trace in time, and all times within its objects with it.
func (t *Trace) Shift(by time.Duration) {
	for i := range t.Events {
		t.Events[i].Time = t.Events[i].Time.Add(by)
		t.Events[i].Object.Object = shifted(t.Events[i].Object.Object, by).(map[string]any)
	}
}

func shifted(value any, by time.Duration) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = shifted(v[key], by)
		}
	case []any:
		for i := range v {
			v[i] = shifted(v[i], by)
		}
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at.Add(by).UTC().Format(time.RFC3339)
		}
	}
	return value
}
