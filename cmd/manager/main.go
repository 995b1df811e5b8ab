// Command manager is the operator: it reconciles the kinds of itil.dev, detects incidents and answers the gate's
// admission requests. It holds the only real clock.
package main

import (
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
	err := run(os.Args[1:])
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "itil-operator:", err)
	os.Exit(1)
}

func run(args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	log := zap.New(zap.UseFlagOptions(&o.zap))
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	log.Info("Starting itil-operator", "version", version, "namespace", o.Namespace)
	ctx := ctrl.SetupSignalHandler()
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster (KUBECONFIG, or the pod's ServiceAccount): %w", err)
	}
	mgr, err := operator.New(ctx, config, o.Options, clock.RealClock{})
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}
