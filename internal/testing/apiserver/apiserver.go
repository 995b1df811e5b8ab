// Package apiserver runs a real kube-apiserver with etcd for tests, with the CRDs of this repository installed.
//
// A suite starts one, before its first spec, and every spec works in a namespace of its own:
//
//	var env *apiserver.Env
//
//	var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies()) })
//
//	It("…", func(ctx SpecContext) {
//		namespace := env.Namespace(GinkgoTB(), nil)
//		env.Grant(GinkgoTB(), namespace, apiserver.User("alice"), apiserver.Allow("itil.dev", "changes", "create"))
//		alice := env.Client(GinkgoTB(), "alice", "developers")
//		…
//	})
//
// No controller-manager runs here: nothing makes pods, collects garbage, empties a deleted namespace or fills
// aggregated ClusterRoles ("edit" has no rules; bind "system:aggregate-to-edit").
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/itil-dev/itil-operator/internal/kube/scheme"
)

const (
	assetsVariable = "KUBEBUILDER_ASSETS"

	// Generous: other suites may be compiling on the same two cores. A server that ends by itself is seen at once.
	startTimeout = 3 * time.Minute
	stopTimeout  = time.Minute
	// killTimeout is for a server that is not to say farewell: it would wait for watches to end.
	killTimeout = 500 * time.Millisecond
	// setupTimeout is for the CRDs, policies and objects.
	setupTimeout = 2 * time.Minute
)

// Env is a running API server.
type Env struct {
	environment *envtest.Environment
	scheme      *runtime.Scheme
	root        string
	admin       client.WithWatch
	// certificates of a server that may be started again; empty where it may not.
	certificates string
	// quota of etcd, in bytes; 0 is its own.
	quota int64

	mu    sync.Mutex
	users map[string]*rest.Config
}

// running: a process has one API server at a time. A second one would cost as much as the suite.
var running atomic.Bool

// Start runs an API server until the test ends (in a BeforeSuite: until the suite ends), or fails the test.
func Start(t testing.TB, list ...Option) *Env {
	t.Helper()
	env, err := Launch(list...)
	if err != nil {
		t.Fatalf("starting an API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	return env
}

// Launch runs an API server until Stop. It is for TestMain, which has no testing.TB; others use Start.
func Launch(list ...Option) (_ *Env, err error) {
	silence()
	root, err := Root()
	if err != nil {
		return nil, err
	}
	assets, err := findAssets()
	if err != nil {
		return nil, err
	}
	if !running.CompareAndSwap(false, true) {
		return nil, errors.New("this process already runs an API server: start one for the whole suite, in BeforeSuite or TestMain")
	}
	o := newOptions(list)
	env := &Env{scheme: scheme.New(), root: root, quota: o.quota, users: map[string]*rest.Config{}}
	env.environment = env.configure(assets, o)
	if o.restarts {
		if err := env.allowRestarts(); err != nil {
			running.Store(false)
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, env.Stop())
		}
	}()
	config, err := env.environment.Start()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	return env, env.setUp(ctx, config, o)
}

func (e *Env) configure(assets string, o options) *envtest.Environment {
	environment := &envtest.Environment{
		BinaryAssetsDirectory:    assets,
		Scheme:                   e.scheme,
		CRDDirectoryPaths:        []string{filepath.Join(e.root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
	}
	environment.CRDInstallOptions.MaxTime = setupTimeout
	args := environment.ControlPlane.GetAPIServer().Configure()
	if !o.mutatingPolicies {
		args.Append("feature-gates", "MutatingAdmissionPolicy=false")
		args.Append("disable-admission-plugins", "MutatingAdmissionPolicy")
		args.Append("runtime-config",
			"admissionregistration.k8s.io/v1/mutatingadmissionpolicies=false,"+
				"admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings=false")
	}
	environment.ControlPlane.Etcd = &envtest.Etcd{}
	if o.syncing {
		environment.ControlPlane.Etcd.Configure().Disable("unsafe-no-fsync")
	}
	if o.quota > 0 {
		environment.ControlPlane.Etcd.Configure().Set("quota-backend-bytes", strconv.FormatInt(o.quota, 10))
	}
	return environment
}

func (e *Env) setUp(ctx context.Context, config *rest.Config, o options) error {
	// No limit on the client's side: the tests are the only user of this server.
	config.QPS = -1
	config.WarningHandlerWithContext = rest.NoWarnings{}
	admin, err := client.NewWithWatch(config, client.Options{Scheme: e.scheme})
	if err != nil {
		return fmt.Errorf("making the administrator's client: %w", err)
	}
	e.admin = admin
	if o.policies {
		if err := e.applyPolicies(ctx, o.mutatingPolicies); err != nil {
			return fmt.Errorf("applying config/policies: %w", err)
		}
	}
	for _, dir := range o.objects {
		if err := e.applyFolder(ctx, dir); err != nil {
			return fmt.Errorf("applying %s: %w", dir, err)
		}
	}
	return nil
}

// Stop ends the API server and etcd and removes their files. Informers and managers must be stopped before:
// kube-apiserver waits for their watches.
func (e *Env) Stop() error {
	defer running.Store(false)
	if e.certificates == "" {
		return e.environment.Stop()
	}
	// It is killed, and says so: that is what was asked for. So is etcd where it takes longer; its files go anyway.
	_ = e.environment.ControlPlane.APIServer.Stop()
	err := e.environment.ControlPlane.Etcd.Stop()
	if err != nil && strings.Contains(err.Error(), "timeout waiting for process") {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(e.certificates))
}

// allowRestarts keeps what a server that is started again needs: its port is kept anyway.
func (e *Env) allowRestarts() error {
	dir, err := os.MkdirTemp("", "apiserver-")
	if err != nil {
		return err
	}
	e.certificates = dir
	e.environment.ControlPlane.GetAPIServer().CertDir = dir
	e.environment.ControlPlaneStopTimeout = killTimeout
	return nil
}

// Suspend ends the kube-apiserver at once, until Resume; etcd stays. Start must have been given WithRestarts.
func (e *Env) Suspend() error {
	if e.certificates == "" {
		return errors.New("this server may not be started again: WithRestarts was not given")
	}
	// It is killed, and says so.
	_ = e.environment.ControlPlane.APIServer.Stop()
	return nil
}

// Resume starts the kube-apiserver again, with the same address, certificates and data, and returns when it answers.
func (e *Env) Resume() error { return e.environment.ControlPlane.APIServer.Start() }

// Root is the folder of the repository's go.mod, found from the working directory upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "config", "crd", "bases")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no config/crd/bases in this folder or above: run this inside a clone of the repository")
		}
		dir = parent
	}
}

// findAssets checks what envtest would otherwise report as a failed exec of /usr/local/kubebuilder/bin/etcd.
func findAssets() (string, error) {
	const next = `run "make test", or: export ` + assetsVariable + `="$(hack/controlplane/build.sh)"`
	assets := os.Getenv(assetsVariable)
	if assets == "" {
		return "", errors.New(assetsVariable + " is not set, so there is no kube-apiserver to test against: " + next)
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if _, err := os.Stat(filepath.Join(assets, name)); err != nil {
			return "", fmt.Errorf("%s names a folder without %s: %s (%w)", assetsVariable, name, next, err)
		}
	}
	return assets, nil
}

var silenced sync.Once

// silence keeps the libraries' logs out of test reports. A test that is about a log passes its own logger.
func silence() {
	silenced.Do(func() {
		log.SetLogger(logr.Discard())
		klog.SetLogger(logr.Discard())
	})
}
