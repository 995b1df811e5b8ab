package detection

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
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

// TestLogs: the log is shown where the Service says so, once, and why there is none where that is not allowed.
func TestLogs(t *testing.T) {
	denied := apierrors.NewForbidden(corev1.Resource("pods"), "web-5d4f-0", errors.New("no"))
	for name, test := range map[string]struct {
		capture bool
		err     error
		lines   int
		problem string
	}{
		"not asked for": {},
		"asked for":     {capture: true, lines: 2},
		"not allowed":   {capture: true, err: denied, problem: "bind ClusterRole itil-operator-log-reader"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			asked := 0
			s.Logs = func(_ context.Context, _, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
				asked++
				if pod != "web-5d4f-0" || o.Container != "app" || !o.Previous || *o.TailLines != 20 || *o.LimitBytes != 320<<10 {
					t.Errorf("asked for %s %+v", pod, o)
				}
				return io.NopCloser(strings.NewReader("starting\npanic: no database\n")), test.err
			}
			service := builder.MakeService("shop", "checkout").Claim(v1alpha1.WorkloadDeployment, "web").Obj()
			service.Spec.Detection = &v1alpha1.Detection{CaptureLogs: test.capture}
			s.Inventory.Put(service)
			s.has(deployment("web", 1))
			s.seePod(crashing("web", 0))
			s.work()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.readLogs(ctx) }()
			for test.capture && s.one().Status.Log == nil && t.Context().Err() == nil {
				s.work()
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			s.tell()
			s.work()
			tail := s.one().Status.Log
			switch {
			case !test.capture:
				if tail != nil || asked > 0 {
					t.Errorf("log %+v, asked %d times", tail, asked)
				}
			case len(tail.Lines) != test.lines || !strings.Contains(tail.Problem, test.problem) || asked != 1:
				t.Errorf("log %+v, asked %d times", tail, asked)
			}
		})
	}
}
