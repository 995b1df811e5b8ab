package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// component is a process of the cluster.
type component struct {
	name string
	// order of starting; what starts later is stopped earlier, also when it was restarted meanwhile.
	order  int
	binary string
	args   []string
	env    []string
	// content is the digest of what the binary and its arguments do not show: files that it reads once.
	content string
	// readyURL answers 200 when the component is ready.
	readyURL string
	// grace is how long it may take to stop after SIGTERM before it is killed.
	grace time.Duration
}

// digest changes whenever a running process is no longer the one that is wanted.
func (c component) digest() string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Concat([]string{c.binary, c.content}, c.args, c.env), "\x00")))
	return hex.EncodeToString(sum[:])
}

// record is what is known of a process that up started. A pid alone says nothing: it may long be another's.
type record struct {
	PID      int       `json:"pid"`
	Identity string    `json:"identity"` // of this very process, see processIdentity
	Digest   string    `json:"digest"`   // of the component that was started
	Order    int       `json:"order"`
	Grace    string    `json:"grace"`
	Started  time.Time `json:"started"`
}

func (r record) alive() bool {
	if r.PID <= 0 {
		return false
	}
	identity, err := processIdentity(r.PID)
	return err == nil && identity == r.Identity
}

// processIdentity tells a process from any other that had or will have its pid: the boot, and the start time
// since it. A zombie is no process. Outside Linux, where there is no /proc, ps knows the start time.
func processIdentity(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		if _, procErr := os.Stat("/proc/self/stat"); procErr == nil {
			return "", err
		}
		return identityFromPS(pid)
	}
	if err != nil {
		return "", err
	}
	state, started, err := parseProcStat(string(stat))
	if err != nil {
		return "", err
	}
	if state == "Z" || state == "X" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(boot)) + "/" + started, nil
}

// parseProcStat returns the state and the start time (clock ticks since boot) of /proc/<pid>/stat. The second
// field, the command's name in parentheses, may hold anything, also blanks and parentheses.
func parseProcStat(stat string) (state, started string, err error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return "", "", fmt.Errorf("unexpected content of /proc/<pid>/stat: %q", stat)
	}
	const stateField, startField = 0, 19 // fields 3 and 22, counted from behind the name
	fields := strings.Fields(stat[end+1:])
	if len(fields) <= startField {
		return "", "", fmt.Errorf("unexpected content of /proc/<pid>/stat: %q", stat)
	}
	return fields[stateField], fields[startField], nil
}

func identityFromPS(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec,noctx // a number; returns at once
	if err != nil {
		return "", fmt.Errorf("no process %d: %w", pid, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (c *cluster) recordPath(name string) string { return c.path("run", name+".json") }

func (c *cluster) readRecord(name string) (record, error) {
	content, err := os.ReadFile(c.recordPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(content, &r); err != nil {
		return record{}, fmt.Errorf("%s: %w", c.recordPath(name), err)
	}
	return r, nil
}

// recorded names every process that was started and not yet stopped, in the order of stopping.
func (c *cluster) recorded() ([]string, error) {
	files, err := filepath.Glob(c.recordPath("*"))
	if err != nil {
		return nil, err
	}
	order := map[string]int{}
	names := make([]string, 0, len(files))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		r, err := c.readRecord(name)
		if err != nil {
			return nil, err
		}
		order[name] = r.Order
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return order[b] - order[a] })
	return names, nil
}

func (c *cluster) logPath(name string) string { return c.path("logs", name+".log") }

// start runs the component detached from this terminal and records it.
func (c *cluster) start(wanted component) (record, error) {
	for _, dir := range []string{"run", "logs", "data"} {
		if err := os.MkdirAll(c.path(dir), 0o700); err != nil {
			return record{}, err
		}
	}
	log := c.logPath(wanted.name)
	if err := os.Rename(log, log+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return record{}, err
	}
	output, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // our own folder
	if err != nil {
		return record{}, err
	}
	process := exec.Command(wanted.binary, wanted.args...) //nolint:gosec,noctx // it outlives this command on purpose
	process.Dir = c.dir
	process.Env = append(os.Environ(), wanted.env...)
	process.Stdout, process.Stderr = output, output
	process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = errors.Join(process.Start(), output.Close())
	if err != nil {
		return record{}, fmt.Errorf("starting %s: %w", wanted.name, err)
	}
	// While this command runs it is the parent: collect the process if it ends, so that it is seen to be dead.
	go func() { _ = process.Wait() }()
	identity, err := processIdentity(process.Process.Pid)
	if err != nil {
		return record{}, c.died(wanted.name)
	}
	r := record{
		PID: process.Process.Pid, Identity: identity, Digest: wanted.digest(),
		Order: wanted.order, Grace: wanted.grace.String(), Started: time.Now().UTC(),
	}
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return record{}, err
	}
	return r, writeFile(c.recordPath(wanted.name), append(content, '\n'))
}

// stop ends the process of this record, if it is still that process, and waits until it is gone.
func (c *cluster) stop(ctx context.Context, name string, running record) error {
	if running.alive() {
		grace, err := time.ParseDuration(running.Grace)
		if err != nil {
			grace = 10 * time.Second
		}
		if err := c.end(ctx, running, syscall.SIGTERM, grace); err != nil {
			return err
		}
		if running.alive() {
			c.say("  %-26s did not stop within %s: killing pid %d", name, grace, running.PID)
			if err := c.end(ctx, running, syscall.SIGKILL, 10*time.Second); err != nil {
				return err
			}
		}
		if running.alive() {
			return fmt.Errorf("%s (pid %d) cannot be stopped", name, running.PID)
		}
		c.say("  %-26s stopped (pid %d)", name, running.PID)
	}
	if err := os.Remove(c.recordPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// end sends the signal and returns when the process is gone or the time is over.
func (c *cluster) end(ctx context.Context, running record, signal syscall.Signal, within time.Duration) error {
	if err := syscall.Kill(running.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s to pid %d: %w", signal, running.PID, err)
	}
	deadline := time.Now().Add(within)
	for running.alive() && time.Now().Before(deadline) {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// died explains that a component ended by itself, with the end of its log.
func (c *cluster) died(name string) error {
	return fmt.Errorf("%s ended by itself; the end of %s:\n%s\n"+
		"If its port is taken by something else, new ones are chosen after: go run ./hack/local down",
		name, c.logPath(name), tail(c.logPath(name), 20))
}

// tail returns the last lines of a file, as far as it can be read.
func tail(path string, lines int) string {
	content, err := os.ReadFile(path) //nolint:gosec // our own log
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// pause waits, unless the command is interrupted.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("interrupted: %w", context.Cause(ctx))
	case <-timer.C:
		return nil
	}
}

// writeFile replaces a file that only its owner may read, in one step.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
