package changes

import (
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// manifestFlags are -f, -k and -R, as kubectl has them.
func manifestFlags(cmd *cobra.Command, usage string) *genericclioptions.FileNameFlags {
	var files []string
	var kustomize string
	var recursive bool
	flags := &genericclioptions.FileNameFlags{Usage: usage, Filenames: &files, Kustomize: &kustomize, Recursive: &recursive}
	flags.AddFlags(cmd.Flags())
	return flags
}

func given(flags *genericclioptions.FileNameFlags) bool {
	return len(*flags.Filenames) > 0 || *flags.Kustomize != ""
}

// readManifests reads the workloads of files, folders, URLs or a kustomization; skipped names what else is in them.
func readManifests(s *session.Session, flags *genericclioptions.FileNameFlags) (workloads []*unstructured.Unstructured, skipped []string, err error) {
	options := flags.ToOptions()
	result := resource.NewBuilder(s.Getter).Unstructured().
		NamespaceParam(s.Namespace).DefaultNamespace().
		FilenameParam(s.NamespaceGiven, &options).
		Flatten().Do()
	infos, err := result.Infos()
	if err != nil {
		failure := exit.New(exit.CodeOf(err), "reading the manifests: %v", err).WithCause(err)
		if strings.Contains(err.Error(), "kustomization.y") {
			return nil, nil, failure.WithNext("a folder with a kustomization is given with -k")
		}
		return nil, nil, failure.WithNext("see that kubectl reads them: kubectl apply --dry-run=client with the same -f")
	}
	for _, info := range infos {
		object, ok := info.Object.(*unstructured.Unstructured)
		if !ok || !isWorkload(object) {
			skipped = append(skipped, info.Object.GetObjectKind().GroupVersionKind().Kind+" "+info.Name)
			continue
		}
		workloads = append(workloads, object)
	}
	return workloads, skipped, nil
}

// isWorkload reports whether a Change can have it as a target.
func isWorkload(object *unstructured.Unstructured) bool {
	kind := object.GroupVersionKind()
	group, known := configuration.GroupOf(kind.Kind)
	return known && group == kind.Group && configuration.Claimable(kind.Kind)
}

// readWorkload reads what KIND/NAME names, for example deployment/checkout or deploy/checkout: what a Change can have as
// a target.
func readWorkload(s *session.Session, cmd *cobra.Command, arg string) (*unstructured.Unstructured, error) {
	object, err := readPodMaker(s, cmd, arg)
	if err == nil && !isWorkload(object) {
		return nil, args.Wrong(cmd, "%s is a %s: a Change is about a Deployment, StatefulSet, DaemonSet, CronJob or Job", arg, object.GetKind())
	}
	return object, err
}

// readPodMaker reads what KIND/NAME names: whatever makes pods, and Pods themselves.
func readPodMaker(s *session.Session, cmd *cobra.Command, arg string) (*unstructured.Unstructured, error) {
	kind, name, slash := strings.Cut(arg, "/")
	if !slash || kind == "" || name == "" || strings.Contains(name, "/") {
		return nil, args.Wrong(cmd, "%q names no workload: give KIND/NAME, for example deployment/checkout", arg)
	}
	infos, err := resource.NewBuilder(s.Getter).Unstructured().
		NamespaceParam(s.Namespace).DefaultNamespace().
		ResourceTypeOrNameArgs(false, arg).
		Flatten().Do().Infos()
	if err != nil {
		code := exit.CodeOf(err)
		if strings.Contains(err.Error(), "the server doesn't have a resource type") {
			code = exit.Usage
		}
		failure := exit.New(code, "reading %s in namespace %s: %v", arg, s.Namespace, err).WithCause(err)
		switch code {
		case exit.NotPermitted:
			return nil, failure.WithNext("see the Changes for it: kubectl itil changes -n %s -o wide, kubectl itil change show NAME; or ask for a RoleBinding to ClusterRole view in namespace %s", s.Namespace, s.Namespace)
		case exit.NotFound:
			return nil, failure.WithNext("see which there are: kubectl get %s -n %s", kind, s.Namespace)
		case exit.OK, exit.Failed, exit.Usage, exit.WrongState, exit.NotConfirmed, exit.WouldBeDenied:
		}
		return nil, failure
	}
	object, ok := infos[0].Object.(*unstructured.Unstructured)
	if ok {
		group, makes := configuration.GroupOf(object.GetKind())
		ok = makes && group == object.GroupVersionKind().Group
	}
	if !ok {
		return nil, args.Wrong(cmd, "%s is a %s: that makes no pods, and is not under change control", arg, infos[0].Mapping.GroupVersionKind.Kind)
	}
	return object, nil
}

// readImages reads CONTAINER=IMAGE arguments.
func readImages(cmd *cobra.Command, list []string) (map[string]string, error) {
	images := make(map[string]string, len(list))
	for _, arg := range list {
		container, image, ok := strings.Cut(arg, "=")
		if !ok || container == "" || image == "" {
			return nil, args.Wrong(cmd, "%q is not CONTAINER=IMAGE, for example app=registry.example/checkout:2.4", arg)
		}
		if _, twice := images[container]; twice {
			return nil, args.Wrong(cmd, "container %s is given two images", container)
		}
		images[container] = image
	}
	return images, nil
}
