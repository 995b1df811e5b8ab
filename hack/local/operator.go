package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const operatorName = "operator"

func (c *cluster) operatorBinary() string { return c.path("operator", "itil-operator") }

// upOperator builds the operator, installs what it needs on the cluster, and starts it beside the cluster.
func (c *cluster) upOperator(ctx context.Context, st *state) error {
	if err := c.install(ctx, st); err != nil {
		return fmt.Errorf("installing the operator: %w", err)
	}
	if err := c.buildOperator(ctx); err != nil {
		return err
	}
	if err := c.ensure(ctx, c.operatorComponent(st)); err != nil {
		return err
	}
	return c.awaitGate(ctx)
}

// buildOperator is quick where nothing changed: Go knows what it has built.
func (c *cluster) buildOperator(ctx context.Context) error {
	begin := time.Now()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", //nolint:gosec // our own paths
		"-ldflags=-X main.version=local", "-o", c.operatorBinary(), "./cmd/manager")
	build.Dir = c.root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = c.progress
	// Ctrl-C must reach the compilers that go runs.
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) }
	build.WaitDelay = 10 * time.Second
	const announceAfter = 3 * time.Second
	announce := time.AfterFunc(announceAfter, func() { c.say("  %-26s building (a minute or two the first time)", operatorName) })
	defer announce.Stop()
	if err := build.Run(); err != nil {
		return fmt.Errorf("the operator does not build: %w. The control plane runs all the same "+
			"(KUBECONFIG=%s); mend ./cmd/manager and run this again", err, c.kubeconfig())
	}
	if took := time.Since(begin); took > announceAfter {
		c.say("  %-26s built in %.0fs", operatorName, took.Seconds())
	}
	return nil
}

// operatorComponent is the operator as a process of this machine: the API server calls its webhooks on 127.0.0.1.
func (c *cluster) operatorComponent(st *state) component {
	return component{
		name:   operatorName,
		order:  len(c.components(st, "")), // stopped first, while it can still give its lease back
		binary: c.operatorBinary(),
		args: []string{
			"--namespace=" + operatorNamespace,
			"--leader-elect",
			"--webhook-bind-address=" + st.address(portWebhook), "--webhook-hosts=127.0.0.1",
			"--metrics-bind-address=" + st.address(portMetrics), "--metrics-insecure",
			"--health-probe-bind-address=" + st.address(portHealth),
			"--zap-time-encoding=rfc3339nano", // logs are read beside those of the others, and measured by
		},
		env:      []string{"KUBECONFIG=" + c.pki("operator.kubeconfig")},
		content:  digestOf([]string{c.operatorBinary()}),
		readyURL: "http://" + st.address(portHealth) + "/readyz",
		grace:    30 * time.Second, // as in config/manager
	}
}

// operator stops or starts the operator alone.
func (c *cluster) operator(ctx context.Context, command string) error {
	st, err := c.loadState()
	if err != nil {
		return err
	}
	running, err := c.readRecord(operatorName)
	if err != nil {
		return err
	}
	switch command {
	case "stop":
		return c.stop(ctx, operatorName, running)
	case "kill":
		if !running.alive() {
			return errors.New("the operator is not running")
		}
		if err := c.end(ctx, running, syscall.SIGKILL, 10*time.Second); err != nil {
			return err
		}
		return c.stop(ctx, operatorName, running) // removes the record
	case "start":
		if _, err := os.Stat(c.operatorBinary()); err != nil || st.Ports[portHealth] == 0 {
			return errors.New("the operator is not installed on a local cluster yet; do that with: make up")
		}
		return c.ensure(ctx, c.operatorComponent(st))
	default:
		return errUsage
	}
}
