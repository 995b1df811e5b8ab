// Package session connects a command to the cluster of the current kubeconfig, as kubectl does, and answers what only
// the API server knows: who the user is, and what the user may do.
package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
)

const (
	// fieldManager names the plugin in managedFields.
	fieldManager = "kubectl-itil"
	// A person waits for the answer: no client-side limit slows a command down, the API server has its own.
	unlimited = -1
	// pageSize is kubectl's: what one LIST request returns.
	pageSize = 500
	// What discovery may ask at once on a cluster with many kinds; kubectl's numbers.
	discoveryBurst = 300
	discoveryQPS   = 50
)

// Factory makes sessions. It has the flags that every command has.
type Factory struct {
	// Flags are kubectl's: --kubeconfig, --context, -n, --as and so on.
	Flags *genericclioptions.ConfigFlags
	// Scheme of the types that commands read and write.
	Scheme *runtime.Scheme
	// Screen to write to.
	Screen *screen.Screen
	// Now is the clock.
	Now func() time.Time
	// Version of the plugin.
	Version string
}

// NewFactory makes a factory with kubectl's flags.
func NewFactory(out *screen.Screen, now func() time.Time, version string) *Factory {
	f := &Factory{
		Flags:  genericclioptions.NewConfigFlags(true).WithDiscoveryBurst(discoveryBurst).WithDiscoveryQPS(discoveryQPS).WithWarningPrinter(out.IOStreams),
		Scheme: scheme.New(), Screen: out, Now: now, Version: version,
	}
	f.Flags.WithWrapConfigFn(f.wrap)
	return f
}

// AddFlags adds kubectl's flags.
func (f *Factory) AddFlags(flags *pflag.FlagSet) { f.Flags.AddFlags(flags) }

func (f *Factory) wrap(config *rest.Config) *rest.Config {
	config.UserAgent = fieldManager + "/" + f.Version
	config.QPS = unlimited
	config.WarningHandlerWithContext = &warnings{screen: f.Screen}
	return config
}

// Session is a connection to the cluster.
type Session struct {
	client.WithWatch
	// Namespace is the one of -n or of the current context.
	Namespace string
	// NamespaceGiven: -n was given.
	NamespaceGiven bool
	// Getter is for cli-runtime's resource builder.
	Getter genericclioptions.RESTClientGetter
	*Factory
}

// Connect reads the kubeconfig. It asks nothing of the cluster yet.
func (f *Factory) Connect() (*Session, error) {
	loader := f.Flags.ToRawKubeConfigLoader()
	namespace, given, err := loader.Namespace()
	if err != nil {
		return nil, badConfig(err)
	}
	config, err := f.Flags.ToRESTConfig()
	if err != nil {
		return nil, badConfig(err)
	}
	mapper, err := f.Flags.ToRESTMapper()
	if err != nil {
		return nil, badConfig(err)
	}
	c, err := client.NewWithWatch(config, client.Options{
		Scheme: f.Scheme, Mapper: mapper, FieldOwner: fieldManager,
	})
	if err != nil {
		return nil, badConfig(err)
	}
	return &Session{WithWatch: c, Namespace: namespace, NamespaceGiven: given, Getter: f.Flags, Factory: f}, nil
}

func badConfig(err error) error {
	return exit.New(exit.Failed, "cannot use the kubeconfig: %v", err).WithCause(err).
		WithNext("see what kubectl uses: kubectl config view --minify")
}

// Ref is a namespace and a name.
type Ref = client.ObjectKey

// Ref reads NAME or NAMESPACE/NAME, and also what -o name prints: KIND.itil.dev/NAME.
func (s *Session) Ref(arg string) (Ref, error) {
	first, name, slash := strings.Cut(arg, "/")
	switch {
	case arg == "" || slash && (first == "" || name == "" || strings.Contains(name, "/")):
		return Ref{}, exit.New(exit.Usage, "%q is no name", arg).WithNext("give NAME or NAMESPACE/NAME")
	case !slash:
		return Ref{Namespace: s.Namespace, Name: arg}, nil
	case strings.HasSuffix(first, ".itil.dev"):
		return Ref{Namespace: s.Namespace, Name: name}, nil
	case s.NamespaceGiven && first != s.Namespace:
		return Ref{}, exit.New(exit.Usage, "%s is in namespace %s, and --namespace says %s", arg, first, s.Namespace).WithNext("leave one of them out")
	default:
		return Ref{Namespace: first, Name: name}, nil
	}
}

// Read gets an object; what is not there and what may not be read are errors with a next step.
func (s *Session) Read(ctx context.Context, ref Ref, object client.Object, kind, plural string) error {
	err := s.Get(ctx, ref, object)
	switch code := exit.CodeOf(err); {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err):
		return err
	case code == exit.NotFound:
		return exit.New(exit.NotFound, "there is no %s %s", kind, ref).WithCause(err).
			WithNext("see which there are: kubectl get %s.itil.dev -n %s", plural, ref.Namespace)
	case code == exit.NotPermitted:
		return exit.New(exit.NotPermitted, "you may not read %s %s: %v", kind, ref, err).WithCause(err).
			WithNext("ask for a RoleBinding to ClusterRole itil-viewer in namespace %s", ref.Namespace)
	default:
		return fmt.Errorf("reading %s %s: %w", kind, ref, err)
	}
}

// ReadAll lists all objects of a kind into list, page by page: of one namespace, or of all where it is empty.
func (s *Session) ReadAll(ctx context.Context, list client.ObjectList, namespace string, more ...client.ListOption) error {
	empty := list.DeepCopyObject()
	var all []runtime.Object
	for token := ""; ; {
		// Each page is a list of its own: reading one into the other would overwrite the items of the one before.
		page, ok := empty.DeepCopyObject().(client.ObjectList)
		if !ok {
			return fmt.Errorf("a copy of %T is no list", list)
		}
		options := append([]client.ListOption{client.InNamespace(namespace), client.Limit(pageSize), client.Continue(token)}, more...)
		if err := s.List(ctx, page, options...); err != nil {
			return s.listError(err, namespace)
		}
		items, err := meta.ExtractList(page)
		if err != nil {
			return err
		}
		all = append(all, items...)
		if token = page.GetContinue(); token == "" {
			list.SetResourceVersion(page.GetResourceVersion())
			return meta.SetList(list, all)
		}
	}
}

func (s *Session) listError(err error, namespace string) error {
	if exit.CodeOf(err) != exit.NotPermitted || meta.IsNoMatchError(err) {
		return err
	}
	failure := exit.New(exit.NotPermitted, "%v", err).WithCause(err)
	if namespace == "" {
		return failure.WithNext("look at one namespace: -n NAMESPACE instead of -A; or ask for a ClusterRoleBinding to itil-viewer")
	}
	return failure.WithNext("ask for a RoleBinding to ClusterRole itil-viewer in namespace %s", namespace)
}

// Refused turns a refusal of the API server into words: what the user wanted, and what the server said.
func Refused(err error, doing string) error {
	code := exit.CodeOf(err)
	if known, ok := errors.AsType[*exit.Error](err); ok {
		return known
	}
	next := ""
	switch code {
	case exit.WrongState:
		next = "it was changed meanwhile: look at it again, and repeat"
	case exit.NotFound, exit.NotPermitted, exit.OK, exit.Failed, exit.Usage, exit.NotConfirmed, exit.WouldBeDenied:
		next = exit.NextOf(err)
	}
	return &exit.Error{Code: code, Message: fmt.Sprintf("%s: %v", doing, err), Next: next, Cause: err}
}
