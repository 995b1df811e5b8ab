package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary play a component: see helper.
func TestMain(m *testing.M) {
	switch os.Getenv("LOCAL_TEST_HELPER") {
	case "wait": // ends on SIGTERM
		select {}
	case "stubborn": // ends on SIGKILL only
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		select {}
	case "die":
		fmt.Println("address already in use")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func helper(t *testing.T, play string) component {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return component{
		name: play, binary: binary, env: []string{"LOCAL_TEST_HELPER=" + play},
		readyURL: "http://127.0.0.1:1/", grace: 10 * time.Second,
	}
}

func testCluster(t *testing.T) *cluster {
	t.Helper()
	return &cluster{root: t.TempDir(), dir: t.TempDir(), progress: &bytes.Buffer{}}
}

func mustStart(t *testing.T, c *cluster, wanted component) record {
	t.Helper()
	running, err := c.start(wanted)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(running.PID, syscall.SIGKILL) })
	if !running.alive() {
		t.Fatalf("%s does not run", wanted.name)
	}
	return running
}

func TestStopEndsWhatWasStarted(t *testing.T) {
	c := testCluster(t)
	mustStart(t, c, helper(t, "wait"))
	running, err := c.readRecord("wait")
	if err != nil {
		t.Fatal(err)
	}
	if !running.alive() {
		t.Fatal("the record does not tell that the process runs")
	}
	if err := c.stop(t.Context(), "wait", running); err != nil {
		t.Fatal(err)
	}
	if running.alive() {
		t.Error("the process still runs")
	}
	if names, err := c.recorded(); err != nil || len(names) != 0 {
		t.Errorf("still recorded: %v %v", names, err)
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	c := testCluster(t)
	wanted := helper(t, "stubborn")
	wanted.grace = time.Millisecond
	running := mustStart(t, c, wanted)
	for tail(c.logPath("stubborn"), 1) != "ready" {
		if err := pause(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.stop(t.Context(), "stubborn", running); err != nil {
		t.Fatal(err)
	}
	if running.alive() {
		t.Error("the process still runs")
	}
}

// A pid is used again. What has our pid, but did not start when ours did, is not ours.
func TestStopSparesStrangers(t *testing.T) {
	c := testCluster(t)
	running := mustStart(t, c, helper(t, "wait"))
	stranger := running
	stranger.Identity = "another boot/1"
	if stranger.alive() {
		t.Fatal("a process with another start time counts as ours")
	}
	if err := c.stop(t.Context(), "wait", stranger); err != nil {
		t.Fatal(err)
	}
	if !running.alive() {
		t.Error("a process that is not ours was stopped")
	}
}

func TestWaitReadyReportsADeath(t *testing.T) {
	c := testCluster(t)
	if err := c.writeCredentials(newState()); err != nil {
		t.Fatal(err)
	}
	wanted := helper(t, "die")
	running, err := c.start(wanted)
	if err == nil {
		err = c.waitReady(t.Context(), wanted, running)
	}
	if err == nil || !strings.Contains(err.Error(), "die ended by itself") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v, want that it ended, and the end of its log", err)
	}
}

func TestPauseEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pause(ctx, time.Hour); err == nil {
		t.Error("no error")
	}
}

func TestRecordedIsTheOrderOfStopping(t *testing.T) {
	c := testCluster(t)
	for order, name := range []string{"etcd", "kube-apiserver", "kwok"} {
		if err := writeFile(c.recordPath(name), fmt.Appendf(nil, `{"order": %d}`, order)); err != nil {
			t.Fatal(err)
		}
	}
	names, err := c.recorded()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(names, " "), "kwok kube-apiserver etcd"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDigestSeesEveryDifference(t *testing.T) {
	base := component{name: "x", binary: "/bin/x", args: []string{"a", "b"}, content: "c"}
	tests := map[string]component{
		"binary":    {name: "x", binary: "/bin/y", args: []string{"a", "b"}, content: "c"},
		"argument":  {name: "x", binary: "/bin/x", args: []string{"a", "B"}, content: "c"},
		"boundary":  {name: "x", binary: "/bin/x", args: []string{"ab"}, content: "c"},
		"variable":  {name: "x", binary: "/bin/x", args: []string{"a", "b"}, content: "c", env: []string{"d=e"}},
		"read file": {name: "x", binary: "/bin/x", args: []string{"a", "b"}, content: "d"},
	}
	for name, other := range tests {
		t.Run(name, func(t *testing.T) {
			if base.digest() == other.digest() {
				t.Error("the digests are equal")
			}
		})
	}
}

func TestParseProcStat(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21"
	tests := map[string]struct {
		stat    string
		wantErr bool
	}{
		"plain":                     {stat: "42 (etcd)" + rest},
		"a name with blanks":        {stat: "42 (my (odd) name)" + rest},
		"no name":                   {stat: "42 S 1 2", wantErr: true},
		"too short":                 {stat: "42 (etcd) S 1 2", wantErr: true},
		"nothing":                   {stat: "", wantErr: true},
		"a name that looks like it": {stat: "42 (x) Z 1 2 3)" + rest},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			state, started, err := parseProcStat(test.stat)
			if test.wantErr {
				if err == nil {
					t.Errorf("got %s %s, want an error", state, started)
				}
				return
			}
			if err != nil || state != "S" || started != "4711" {
				t.Errorf("got %q %q %v, want S 4711", state, started, err)
			}
		})
	}
}
