// Command local runs a whole Kubernetes control plane on this machine, without containers and without root:
// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok in place of nodes and kubelets.
// See README.md beside this file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: go run ./hack/local <command>

  up                      build what is missing, start what is not running, wait until it is ready
  demo                    play the main job and check each outcome
  run                     up, demo, then show what happens until Ctrl-C; the cluster goes on
  down                    stop what up started, wait, remove its data
  status                  show every component; exit code 1 if one is not running
  operator stop           end the operator alone, as at zero replicas
  operator kill           the same, without giving it the time to say goodbye
  operator start          run it again
  user NAME [GROUP...]    write a kubeconfig with a client certificate for this user and print its path
  env                     print what a shell needs:  eval "$(go run ./hack/local env)"

Everything lives in .local (ITIL_LOCAL_DIR). Settings are remembered there until down; set them on the first up:
  ITIL_LOCAL_NODES=3                        simulated nodes
  ITIL_LOCAL_MUTATING_ADMISSION_POLICY=on   off: as on Kubernetes 1.30 to 1.35
  ITIL_LOCAL_ETCD_SYNC=off                  on: etcd syncs to disk, for measurements
  ITIL_LOCAL_OPERATOR=on                    off: the control plane alone
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// errUsage says that the command line was not understood.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	c, err := openCluster(progress)
	if err != nil {
		return err
	}
	switch command, rest := args[0], args[1:]; {
	case command == "user" && len(rest) > 0:
		return c.locked(func() error { return c.user(out, rest[0], rest[1:]) })
	case command == "operator" && len(rest) == 1:
		return c.locked(func() error { return c.operator(ctx, rest[0]) })
	case len(rest) > 0:
		return errUsage
	}
	switch args[0] {
	case "up":
		return c.locked(func() error { return c.up(ctx) })
	case "demo":
		return c.demo(ctx, out)
	case "run":
		return c.play(ctx, out)
	case "down":
		return c.locked(func() error { return c.down(ctx) })
	case "status":
		return c.status(out)
	case "env":
		return c.env(out)
	default:
		return errUsage
	}
}

// play is up, the demo, and then what happens on the cluster, until Ctrl-C.
func (c *cluster) play(ctx context.Context, out io.Writer) error {
	if err := c.locked(func() error { return c.up(ctx) }); err != nil {
		return err
	}
	if err := c.demo(ctx, out); err != nil {
		return err
	}
	return c.follow(ctx, out)
}
