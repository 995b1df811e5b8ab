// Command manager is the operator: it reconciles the kinds of itil.dev, detects incidents and answers the gate's
// admission requests. It holds the only real clock.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	// The calendars' time zones; the image has none.
	_ "time/tzdata"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/itil-dev/itil-operator/internal/operator"
)

// version is set by the linker.
var version = "dev"

func main() {
	err := run(ctrl.SetupSignalHandler(), os.Args[1:])
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "itil-operator:", err)
	os.Exit(1)
}

// run the operator until the context is done.
func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	log := zap.New(zap.UseFlagOptions(&o.zap))
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	log.Info("Starting itil-operator", "version", version, "namespace", o.Namespace)
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster (KUBECONFIG, or the pod's ServiceAccount): %w", err)
	}
	mgr, err := operator.New(ctx, config, o.Options, clock.RealClock{})
	if err != nil && ctx.Err() != nil {
		log.Info("Ending as told, before anything had begun", "reason", err.Error())
		return nil //nolint:nilerr // it does what it was told
	}
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}
