// Command kubectl-itil is the kubectl plugin `kubectl itil`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // the zones of Calendars, also where the machine has none

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubeconfigs may log in by OIDC or a cloud's helper
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/itil-dev/itil-operator/internal/cli"
)

// version is set by the build.
var version = "dev"

func main() {
	// What the libraries log is for people who debug them; each command says itself what went wrong.
	klog.SetLogger(logr.Discard())
	log.SetLogger(logr.Discard())

	// The first Ctrl-C ends what waits; a second one ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(int(cli.Run(ctx, cli.Environment{
		IOStreams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Now:       time.Now,
		Version:   version,
	}, os.Args[1:])))
}
