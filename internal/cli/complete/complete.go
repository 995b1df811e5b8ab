// Package complete completes names in a shell by what the cluster has.
package complete

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/cli/session"
)

const (
	// A person presses a key and waits.
	patience = 3 * time.Second
	// mostNames are offered: more help nobody.
	mostNames = 200
)

// Names completes the first argument by the names of objects: all that keep says are of use here.
func Names(f *session.Factory, newList func() client.ObjectList, keep func(client.Object) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd.Context(), f, newList(), typed, keep), cobra.ShellCompDirectiveNoFileComp
	}
}

// Flag completes a flag by the names of objects.
func Flag(f *session.Factory, newList func() client.ObjectList) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return names(cmd.Context(), f, newList(), typed, nil), cobra.ShellCompDirectiveNoFileComp
	}
}

// Nothing completes nothing, where a shell would offer file names.
func Nothing(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// names returns the names that begin as typed. A shell has no place for errors: without an answer there are none.
func names(ctx context.Context, f *session.Factory, list client.ObjectList, typed string, keep func(client.Object) bool) []cobra.Completion {
	s, err := f.Connect()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	namespace, prefix := s.Namespace, ""
	if before, _, slash := strings.Cut(typed, "/"); slash {
		namespace, prefix = before, before+"/"
	}
	if err := s.List(ctx, list, client.InNamespace(namespace), client.Limit(mostNames)); err != nil {
		return nil
	}
	var out []cobra.Completion
	// The function below returns no error, and the items are of one kind.
	_ = meta.EachListItem(list, func(item runtime.Object) error {
		object, ok := item.(client.Object)
		if ok && strings.HasPrefix(prefix+object.GetName(), typed) && (keep == nil || keep(object)) {
			out = append(out, prefix+object.GetName())
		}
		return nil
	})
	return out
}
