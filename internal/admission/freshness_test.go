package admission

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

// line is the connection of a freshness to an API server: what is opened is silent until it is made to say something.
type line struct {
	t      *testing.T
	round  http.RoundTripper
	status int
	opened []io.Writer
}

func newLine(t *testing.T, freshness *Freshness) *line {
	t.Helper()
	l := &line{t: t, status: http.StatusOK}
	l.round = freshness.Wrap(answers(func(*http.Request) *http.Response {
		reader, writer := io.Pipe()
		l.opened = append(l.opened, writer)
		return &http.Response{StatusCode: l.status, Body: reader}
	}))
	return l
}

func (l *line) open(path string) io.ReadCloser {
	l.t.Helper()
	return open(l.t, l.round, path)
}

func open(t *testing.T, round http.RoundTripper, path string) io.ReadCloser {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://server"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := round.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	return response.Body
}

// says has the i-th of what was opened say something, which arrives.
func (l *line) says(i int, from io.Reader) {
	l.t.Helper()
	go func() { _, _ = l.opened[i].Write([]byte("event")) }()
	if _, err := from.Read(make([]byte, 10)); err != nil {
		l.t.Fatal(err)
	}
}

func TestFreshness(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(now)
	wait := func(d time.Duration) { clk.SetTime(clk.Now().Add(d)) }
	freshness := NewFreshness(clk, DefaultStaleAfter)
	server := newLine(t, freshness)
	ready := func(want bool) {
		t.Helper()
		if err := freshness.Ready(nil); (err == nil) != want {
			t.Fatalf("ready: %v, want %t", err, want)
		}
	}

	ready(true) // nothing is watched yet; the caches' own check says that they are not synced
	server.open("/api/v1/pods")
	wait(time.Hour)
	ready(true) // that was a list
	pods, services := server.open("/api/v1/pods?watch=true"), server.open("/apis/itil.dev/v1alpha1/services?watch=1&allowWatchBookmarks=true")
	ready(true)
	wait(100 * time.Second)
	server.says(1, pods)
	ready(true)
	wait(100 * time.Second)
	err := freshness.Ready(nil)
	if err == nil || !strings.Contains(err.Error(), "itil.dev/v1alpha1/services") || strings.Contains(err.Error(), "pods") {
		t.Fatalf("one watch is silent for 200 s: %v", err)
	}
	server.says(2, services)
	ready(true)
	wait(151 * time.Second)
	ready(false)
	server.status = http.StatusGone // a refused watch says nothing new
	server.open("/api/v1/pods?watch=true")
	ready(false)
	server.status = http.StatusOK
	server.open("/api/v1/pods?watch=true")
	server.open("/apis/itil.dev/v1alpha1/services?watch=true")
	ready(true)
}

// A watch that ends is opened again at once, or it is not, and then what happened meanwhile was not seen.
func TestBlindness(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(now)
	wait := func(d time.Duration) { clk.SetTime(clk.Now().Add(d)) }
	freshness := NewFreshness(clk, time.Hour)
	wrapped := freshness.Wrap(answers(func(*http.Request) *http.Response {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("event"))}
	}))
	watch := func(path string) io.ReadCloser {
		t.Helper()
		return open(t, wrapped, path+"?watch=true")
	}
	type gap struct{ until, since time.Duration }
	var told []gap
	freshness.OnRegained(func(until, since time.Time) { told = append(told, gap{until.Sub(now), since.Sub(now)}) })
	blind := func(want bool) {
		t.Helper()
		if freshness.Blind() != want {
			t.Fatalf("after %s: blind is %t, want %t", clk.Now().Sub(now), !want, want)
		}
	}
	end := func(body io.ReadCloser) {
		t.Helper()
		if _, err := io.ReadAll(body); err != nil {
			t.Fatal(err)
		}
		if err := body.Close(); err != nil {
			t.Fatal(err)
		}
	}

	pods, services := watch("/pods"), watch("/services")
	wait(time.Minute)
	end(pods) // it says something, ends, and is opened again
	blind(false)
	wait(time.Second)
	second := watch("/pods")
	wait(time.Minute)
	blind(false)
	if err := pods.Close(); err != nil { // the first one, once more
		t.Fatal(err)
	}
	wait(time.Minute)
	blind(false)

	if err := second.Close(); err != nil { // silent since 1m1s
		t.Fatal(err)
	}
	wait(10 * time.Second)
	blind(true)
	end(services) // heard just now
	watch("/pods")
	blind(false) // for /services is away for a moment only
	if len(told) > 0 {
		t.Fatalf("told of %v while a watch is away", told)
	}
	wait(time.Second)
	watch("/services")
	blind(false)
	want := []gap{{61 * time.Second, 3*time.Minute + 12*time.Second}}
	if len(told) != 1 || told[0] != want[0] {
		t.Errorf("told of %v, want %v", told, want)
	}
}

// A watch that is open and says nothing, though bookmarks are due, shows nothing either: a proxy may keep a connection
// alive and pass nothing on. The time since it said something last was not seen.
func TestASilentWatchIsBlind(t *testing.T) {
	for name, regain := range map[string]func(server *line, says func()){
		"it speaks again":                func(_ *line, says func()) { says() },
		"it ends, and is opened at once": func(server *line, _ func()) { server.open("/pods?watch=true") },
	} {
		t.Run(name, func(t *testing.T) {
			clk := clocktesting.NewFakePassiveClock(now)
			freshness := NewFreshness(clk, DefaultStaleAfter)
			server := newLine(t, freshness)
			var told []time.Duration
			freshness.OnRegained(func(until, since time.Time) { told = append(told, until.Sub(now), since.Sub(now)) })
			pods, services := server.open("/pods?watch=true"), server.open("/services?watch=true")
			for range 3 { // from a minute on /pods says nothing
				clk.SetTime(clk.Now().Add(time.Minute))
				server.says(1, services)
				if len(told) == 0 && clk.Now().Sub(now) == time.Minute {
					server.says(0, pods)
				}
			}
			if freshness.Blind() {
				t.Fatal("blind after two minutes of silence")
			}
			clk.SetTime(clk.Now().Add(time.Minute))
			server.says(1, services)
			if !freshness.Blind() || len(told) > 0 {
				t.Fatalf("after three minutes of silence blind is %t, told of %v", freshness.Blind(), told)
			}
			regain(server, func() { server.says(0, pods) })
			if freshness.Blind() || !slices.Equal(told, []time.Duration{time.Minute, 4 * time.Minute}) {
				t.Errorf("blind is %t, told of %v", freshness.Blind(), told)
			}
		})
	}
}
