package main

import (
	"bytes"
	"testing"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func TestShellWordsCanBeTyped(t *testing.T) {
	got := shellWords([]string{"get", "-o", `jsonpath={.a}{"\n"}`, "it's", ""})
	if want := `get -o 'jsonpath={.a}{"\n"}' 'it'\''s' ''`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Escape sequences in a log file or a pipe are noise.
func TestNoColourButOnATerminal(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(&out)
	c.printf("%s\n", c.in(red, "text"))
	c.block(dim, "one\ntwo\n")
	if want := "text\n    one\n    two\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	c.colour = true
	if got, want := c.in(red, "text"), "\x1b[31mtext\x1b[0m"; got != want {
		t.Errorf("on a terminal: got %q, want %q", got, want)
	}
}

func TestFollowerSaysOnlyWhatIsNew(t *testing.T) {
	var out bytes.Buffer
	f := &follower{console: newConsole(&out), said: map[string]string{}}
	service := func(health v1alpha1.Health, revision string) client.Object {
		s := &v1alpha1.Service{}
		s.Namespace, s.Name, s.ResourceVersion = "shop", "checkout", revision
		s.Status.Health, s.Status.Ready = health, "4/4"
		return s
	}
	lines := func() int { return bytes.Count(out.Bytes(), []byte("\n")) }
	steps := []struct {
		event watch.EventType
		of    client.Object
		lines int
	}{
		{watch.Added, service("", "1"), 0},
		{watch.Modified, service(v1alpha1.HealthOperational, "2"), 1},
		{watch.Modified, service(v1alpha1.HealthOperational, "3"), 1},
		{watch.Modified, service(v1alpha1.HealthOutage, "4"), 2},
		{watch.Deleted, service(v1alpha1.HealthOutage, "5"), 3},
	}
	for i, step := range steps {
		f.tell(watch.Event{Type: step.event, Object: step.of})
		if lines() != step.lines {
			t.Fatalf("after step %d: %d lines, want %d:\n%s", i, lines(), step.lines, &out)
		}
	}
}
