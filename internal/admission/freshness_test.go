package admission

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

func TestFreshness(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(now)
	wait := func(d time.Duration) { clk.SetTime(clk.Now().Add(d)) }
	freshness := NewFreshness(clk, DefaultStaleAfter)
	status, bodies := http.StatusOK, []io.Writer{}
	wrapped := freshness.Wrap(answers(func(*http.Request) *http.Response {
		reader, writer := io.Pipe()
		bodies = append(bodies, writer)
		return &http.Response{StatusCode: status, Body: reader}
	}))
	open := func(path string) io.Reader {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://server"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := wrapped.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		return response.Body
	}
	says := func(i int, from io.Reader) {
		t.Helper()
		go func() { _, _ = bodies[i].Write([]byte("event")) }()
		if _, err := from.Read(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	ready := func(want bool) {
		t.Helper()
		if err := freshness.Ready(nil); (err == nil) != want {
			t.Fatalf("ready: %v, want %t", err, want)
		}
	}

	ready(true) // nothing is watched yet; the caches' own check says that they are not synced
	open("/api/v1/pods")
	wait(time.Hour)
	ready(true) // that was a list
	pods, services := open("/api/v1/pods?watch=true"), open("/apis/itil.dev/v1alpha1/services?watch=1&allowWatchBookmarks=true")
	ready(true)
	wait(100 * time.Second)
	says(1, pods)
	ready(true)
	wait(100 * time.Second)
	err := freshness.Ready(nil)
	if err == nil || !strings.Contains(err.Error(), "itil.dev/v1alpha1/services") || strings.Contains(err.Error(), "pods") {
		t.Fatalf("one watch is silent for 200 s: %v", err)
	}
	says(2, services)
	ready(true)
	wait(151 * time.Second)
	ready(false)
	status = http.StatusGone // a refused watch says nothing new
	open("/api/v1/pods?watch=true")
	ready(false)
	status = http.StatusOK
	open("/api/v1/pods?watch=true")
	open("/apis/itil.dev/v1alpha1/services?watch=true")
	ready(true)
}
