package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// kubectl is the one that is installed, which its user knows; else the one that the control plane's build made.
func (c *cluster) kubectl() (string, error) {
	if path, err := exec.LookPath("kubectl"); err == nil {
		return path, nil
	}
	built := filepath.Join(c.root, ".local", "bin", "kubectl")
	if _, err := os.Stat(built); err != nil {
		return "", errors.New("there is no kubectl; it is built by: make up")
	}
	return built, nil
}

// answer is what kubectl said.
type answer struct {
	output string // of both streams, as on a terminal
	failed bool
}

// kubectlAs runs kubectl with a kubeconfig, from the repository's root.
func (c *cluster) kubectlAs(ctx context.Context, kubeconfig, stdin string, args ...string) (answer, error) {
	binary, err := c.kubectl()
	if err != nil {
		return answer{}, err
	}
	var output bytes.Buffer
	command := exec.CommandContext(ctx, binary, args...) //nolint:gosec // the arguments are ours
	command.Dir = c.root
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	command.Stdin = strings.NewReader(stdin)
	command.Stdout, command.Stderr = &output, &output
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	err = command.Run()
	if ctx.Err() != nil {
		return answer{}, fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return answer{}, fmt.Errorf("running kubectl: %w", err)
	}
	return answer{output: output.String(), failed: err != nil}, nil
}

// shellWords writes arguments as one would type them.
func shellWords(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\$&|;<>()*?[]{}~#!`") {
			words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
