package changes

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// NewChange makes `kubectl itil change`, with its commands.
func NewChange(f *session.Factory) *cobra.Command {
	group := args.Group(&cobra.Command{
		Use:               "change",
		Short:             "Show, file, cancel or review a Change",
		ValidArgsFunction: complete.Names(f, newChangeList, nil),
	}, newShow(f), newNew(f), newCancel(f), newReview(f))
	unknown := group.RunE
	group.RunE = func(cmd *cobra.Command, names []string) error {
		// One name that is not nearly a command is a Change's.
		if len(names) == 1 && len(cmd.SuggestionsFor(names[0])) == 0 {
			return show(cmd.Context(), f, names[0])
		}
		return unknown(cmd, names)
	}
	return group
}

func newCancel(f *session.Factory) *cobra.Command {
	out := output.ForWrite(f.Scheme)
	cmd := &cobra.Command{
		Use:   "cancel NAME",
		Short: "Withdraw a Change, for good",
		Long: `Withdraw a Change, for good: it lets nothing in any more. What it let in already stays.

It takes the right to patch Changes; a Change that has ended cannot be canceled.`,
		Example:           "  kubectl itil change cancel checkout-2-4 -n shop",
		Args:              args.Exactly("NAME (or NAMESPACE/NAME)"),
		ValidArgsFunction: complete.Names(f, newChangeList, isOpenChange),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			return patchChange(cmd.Context(), f, out, names[0], "canceled", func(c *v1alpha1.Change) (map[string]any, error) {
				if c.Spec.Cancel {
					return nil, nil
				}
				if c.Status.State == v1alpha1.ChangeReview {
					return nil, exit.New(exit.WrongState, "Change %s has ended, and awaits its review", refOf(c)).
						WithNext("kubectl itil change review %s --outcome OUTCOME", refOf(c))
				}
				return map[string]any{"cancel": true}, ended(c)
			})
		},
	}
	out.AddTo(cmd)
	return cmd
}

// patchChange writes the fields of spec that a function asks for; nothing where it asks for none.
func patchChange(
	ctx context.Context, f *session.Factory, out *output.Flags, name, done string,
	wanted func(*v1alpha1.Change) (map[string]any, error),
) error {
	s, c, err := readChange(ctx, f, name)
	if err != nil {
		return err
	}
	spec, err := wanted(c)
	if err != nil {
		return err
	}
	if spec == nil {
		s.Screen.Notef("Change %s is %s already; nothing to do.", refOf(c), done)
		return nil
	}
	patch, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		return err
	}
	if err := s.Patch(ctx, c, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return session.Refused(err, "writing to Change "+refOf(c))
	}
	if !out.ForPeople() {
		return out.Object(s.Screen.Out, c)
	}
	return s.Screen.Printf("change.itil.dev/%s %s\n", c.Name, done)
}
