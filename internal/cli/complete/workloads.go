package complete

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// kinds of workloads, as people type them.
var kinds = map[string]schema.GroupVersionKind{
	"deployment":  {Group: "apps", Version: "v1", Kind: configuration.KindDeployment},
	"statefulset": {Group: "apps", Version: "v1", Kind: configuration.KindStatefulSet},
	"daemonset":   {Group: "apps", Version: "v1", Kind: configuration.KindDaemonSet},
	"cronjob":     {Group: "batch", Version: "v1", Kind: configuration.KindCronJob},
	"job":         {Group: "batch", Version: "v1", Kind: configuration.KindJob},
}

// Workloads completes KIND/NAME, and after it CONTAINER=IMAGE by the containers of that workload and what they run.
func Workloads(f *session.Factory) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return containers(cmd.Context(), f, args[0], typed), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		}
		return workloads(cmd.Context(), f, typed)
	}
}

// Workload completes a flag, or a single argument, by KIND/NAME.
func Workload(f *session.Factory) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return workloads(cmd.Context(), f, typed)
	}
}

func workloads(ctx context.Context, f *session.Factory, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	kind, name, slash := strings.Cut(typed, "/")
	if !slash {
		var out []cobra.Completion
		for _, k := range slices.Sorted(maps.Keys(kinds)) {
			if strings.HasPrefix(k, kind) {
				out = append(out, k+"/")
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	gvk, known := kinds[kind]
	if !known {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := f.Connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	if err := s.List(ctx, list, client.InNamespace(s.Namespace), client.Limit(mostNames)); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for i := range list.Items {
		if strings.HasPrefix(list.Items[i].GetName(), name) {
			out = append(out, kind+"/"+list.Items[i].GetName())
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// containers are those of a workload, each with the image that it has: what is to be typed is mostly the same.
func containers(ctx context.Context, f *session.Factory, workload, typed string) []cobra.Completion {
	kind, name, _ := strings.Cut(workload, "/")
	gvk, known := kinds[kind]
	if !known {
		return nil
	}
	s, err := f.Connect()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(gvk)
	if err := s.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, live); err != nil {
		return nil
	}
	images := configuration.ParseTemplate(gvk.Kind, configuration.RawTemplate(live.Object)).Images
	var out []cobra.Completion
	for _, container := range slices.Sorted(maps.Keys(images)) {
		if option := container + "=" + images[container]; strings.HasPrefix(option, typed) {
			out = append(out, option)
		}
	}
	return out
}
