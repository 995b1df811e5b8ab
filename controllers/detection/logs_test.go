package detection

import (
	"fmt"
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// TestLogsNobodyWaitsFor: logs that were read for what is gone by then do not take the place of others.
func TestLogsNobodyWaitsFor(t *testing.T) {
	s := newScene(t)
	s.begin()
	tail := incident.TailOf(incident.LogSource{Pod: "web-5d4f-0", Container: "app"}, "panic", s.Clock.Now())
	for n := range maxLogsWanted {
		key := keyOfDeployment(fmt.Sprint("gone", n))
		s.tails.put(key, "gone-abcde", tail)
		if _, err := s.Reconcile(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.tails.read); n > 0 {
		t.Errorf("%d logs are kept", n)
	}

	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	s.tails.put(keyOfDeployment("web"), "web-other", tail)
	s.enqueue(keyOfDeployment("web"))
	s.work()
	if n := len(s.tails.read); n > 0 || s.one().Status.Log != nil {
		t.Errorf("the log of an Incident that is not there: %d are kept, and this has %+v", n, s.one().Status.Log)
	}
}

// TestLogIsOfTheIncidentAsItIs: a log that comes while a look still goes is not taken for that of the failure before.
func TestLogIsOfTheIncidentAsItIs(t *testing.T) {
	s := newScene(t)
	s.begin()
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	key := keyOfDeployment("web")
	if _, err := s.Reconcile(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	i := s.one()
	read := func(text string) *v1alpha1.LogTail {
		s.tails.put(key, i.Name, incident.TailOf(incident.LogSource{Pod: "web-5d4f-0", Container: "app"}, text, s.Clock.Now()))
		if err := s.addLog(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		return s.one().Status.Log
	}
	if tail := read("panic"); tail == nil || tail.Lines[0] != "panic" {
		t.Errorf("log %+v before the informer tells of the Incident", tail)
	}
	if tail := read("another"); tail == nil || tail.Lines[0] != "panic" {
		t.Errorf("log %+v: it is read once", tail)
	}
	if n := len(s.tails.read); n > 0 {
		t.Errorf("%d logs are kept", n)
	}
}
