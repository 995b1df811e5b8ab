package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// demo plays the main job: each step is a kubectl command as one would type it, and what is expected of it.
type demo struct {
	cluster *cluster
	console *console
	api     client.Client
	// kubeconfigs by user.
	kubeconfigs map[string]string
	began       time.Time
	steps       int
}

// people of the demo, and their groups; demo/40-people.yaml says what these may do.
var people = map[string][]string{
	"alice": {"shop-developers"},
	"carol": {"sre-leads"},
	"dave":  {"sre-leads"},
}

const admin = "admin"

// unexpected is an outcome that was not the expected one.
type unexpected struct{ expected, got string }

func (u unexpected) Error() string { return "expected " + u.expected + ", got " + u.got }

func (c *cluster) demo(ctx context.Context, out io.Writer) error {
	if err := c.status(io.Discard); err != nil {
		return errors.New("the local cluster does not run; start it with: make up")
	}
	d := &demo{cluster: c, console: newConsole(out), began: time.Now(), kubeconfigs: map[string]string{admin: c.kubeconfig()}}
	var err error
	if d.api, err = c.client(); err != nil {
		return err
	}
	for name, groups := range people {
		var path bytes.Buffer
		if err := c.locked(func() error { return c.user(&path, name, groups) }); err != nil {
			return err
		}
		d.kubeconfigs[name] = strings.TrimSpace(path.String())
	}
	err = d.play(ctx)
	if outcome, is := errors.AsType[unexpected](err); is {
		d.report(outcome)
		return errors.New("the demo did not go as expected")
	}
	if err != nil {
		return err
	}
	d.console.printf("\n%s\n", d.console.in(bold, fmt.Sprintf("All as expected, in %.0fs.", time.Since(d.began).Seconds())))
	d.console.printf("Go on by yourself:\n"+
		"  export KUBECONFIG=%s\n"+
		"  kubectl get itil -A\n"+
		"  kubectl -n shop set image deployment/checkout app=registry.shop.example/checkout:9.9   # refused\n"+
		"  kubectl -n finance annotate pods --all kwok.itil.dev/behaviour=oom                     # opens an Incident\n"+
		"As alice (may edit), carol or dave (may approve): KUBECONFIG=%s\n",
		c.kubeconfig(), strings.Replace(d.kubeconfigs["alice"], "alice", "<name>", 1))
	return nil
}

// step begins a step.
func (d *demo) step(title string) {
	d.steps++
	d.console.printf("\n%s\n", d.console.in(bold, fmt.Sprintf("%d. %s", d.steps, title)))
}

// run types a command as a user and shows what comes of it.
func (d *demo) run(ctx context.Context, user, stdin string, args ...string) (answer, error) {
	prompt := d.console.in(cyan, user+"$")
	if stdin == "" {
		d.console.printf("\n  %s %s\n", prompt, d.console.in(bold, "kubectl "+shellWords(args)))
	} else {
		d.console.printf("\n  %s %s\n", prompt, d.console.in(bold, "kubectl "+shellWords(args)+" <<END"))
		d.console.block(dim, stdin+"\nEND")
	}
	got, err := d.cluster.kubectlAs(ctx, d.kubeconfigs[user], stdin, args...)
	if err != nil {
		return answer{}, err
	}
	d.console.block("", withoutWaiting(got.output))
	return got, nil
}

// withoutWaiting leaves out what `kubectl rollout status` says until it is done.
func withoutWaiting(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "Waiting for deployment ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// passes runs a command that must succeed.
func (d *demo) passes(ctx context.Context, user string, args ...string) error {
	return d.passesWith(ctx, user, "", args...)
}

func (d *demo) passesWith(ctx context.Context, user, stdin string, args ...string) error {
	got, err := d.run(ctx, user, stdin, args...)
	if err != nil {
		return err
	}
	if got.failed {
		return unexpected{"that it passes", "a refusal"}
	}
	d.ok("passed")
	return nil
}

// refused runs a command that must be refused, with a message that says all of these.
func (d *demo) refused(ctx context.Context, user, stdin string, says []string, args ...string) error {
	got, err := d.run(ctx, user, stdin, args...)
	if err != nil {
		return err
	}
	if !got.failed {
		return unexpected{"a refusal", "that it passed"}
	}
	for _, text := range says {
		if !strings.Contains(got.output, text) {
			return unexpected{fmt.Sprintf("a refusal that says %q", text), strings.TrimSpace(got.output)}
		}
	}
	d.ok("refused")
	return nil
}

func (d *demo) ok(what string) { d.console.printf("    %s\n", d.console.in(green, "✓ "+what)) }

// becomes waits until a check has nothing to say, then shows how it looks with kubectl. The check returns what is not
// yet as expected.
func (d *demo) becomes(ctx context.Context, what string, within time.Duration, check func(context.Context) (string, error), show ...string) error {
	begin, deadline := time.Now(), time.Now().Add(within)
	for {
		problem, err := check(ctx)
		if err != nil {
			return err
		}
		if problem == "" {
			break
		}
		if time.Now().After(deadline) {
			if _, err := d.run(ctx, admin, "", show...); err != nil {
				return err
			}
			return unexpected{fmt.Sprintf("%s within %s", what, within), problem}
		}
		if err := pause(ctx, readyPeriod); err != nil {
			return err
		}
	}
	took := time.Since(begin)
	if _, err := d.run(ctx, admin, "", show...); err != nil {
		return err
	}
	if took < time.Second {
		d.ok(what)
	} else {
		d.ok(fmt.Sprintf("%s (after %.0fs)", what, took.Seconds()))
	}
	return nil
}

// report says what was not as expected, and where to look.
func (d *demo) report(outcome unexpected) {
	c := d.console
	c.printf("\n    %s\n    expected: %s\n    got:      %s\n", c.in(red, "✗ NOT AS EXPECTED"), outcome.expected, outcome.got)
	log := d.cluster.logPath(operatorName)
	c.printf("\n    The end of the operator's log, %s:\n", log)
	const lines = 10
	c.block(dim, tail(log, lines))
	c.printf("\n    The other logs lie beside it. Look around with: export KUBECONFIG=%s\n", d.cluster.kubeconfig())
}
