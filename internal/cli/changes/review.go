package changes

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// outcomes that a review can have, as the API has them.
var outcomes = []string{
	string(v1alpha1.OutcomeSuccessful), string(v1alpha1.OutcomeSuccessfulWithIssues), string(v1alpha1.OutcomeUnsuccessful),
	string(v1alpha1.OutcomeRolledBack), string(v1alpha1.OutcomePartial), string(v1alpha1.OutcomeNotImplemented),
	string(v1alpha1.OutcomeInconclusive),
}

func newReview(f *session.Factory) *cobra.Command {
	out := output.ForWrite(f.Scheme)
	var outcome, notes string
	cmd := &cobra.Command{
		Use:   "review NAME --outcome OUTCOME",
		Short: "Write the post-implementation review of a Change",
		Long: `Write the post-implementation review (PIR) of a Change. Changes in state Review wait for it; the others need none.

Outcomes: ` + strings.Join(outcomes, ", ") + ".",
		Example: `  kubectl itil change review checkout-2-4 --outcome SuccessfulWithIssues -m "two pods had to be restarted"`,
		Args:    args.Exactly("NAME (or NAMESPACE/NAME)"),
		ValidArgsFunction: complete.Names(f, newChangeList, func(object client.Object) bool {
			c, ok := object.(*v1alpha1.Change)
			return ok && c.Status.State == v1alpha1.ChangeReview
		}),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			if !slices.Contains(outcomes, outcome) {
				return args.Wrong(cmd, "--outcome must be one of %s, and not %q", strings.Join(outcomes, ", "), outcome)
			}
			return patchChange(cmd.Context(), f, out, names[0], "reviewed", func(c *v1alpha1.Change) (map[string]any, error) {
				return review(c, outcome, notes)
			})
		},
	}
	cmd.Flags().StringVar(&outcome, "outcome", "", "How it went. Required.")
	cmd.Flags().StringVarP(&notes, "message", "m", "", "Notes for the next time.")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(slices.Clone(outcomes), cobra.ShellCompDirectiveNoFileComp))
	out.AddTo(cmd)
	return cmd
}

// review is the patch of a review; nil where it is written so already.
func review(c *v1alpha1.Change, outcome, notes string) (map[string]any, error) {
	if r := c.Spec.Review; r != nil && string(r.Outcome) == outcome && r.Notes == notes {
		return nil, nil
	}
	switch c.Status.State {
	case v1alpha1.ChangeReview, v1alpha1.ChangeClosed:
	case v1alpha1.ChangeImplement:
		return nil, exit.New(exit.WrongState, "Change %s is in state %s: how it went is not known yet", refOf(c), stateOf(c)).
			WithNext("%s", cmp.Or(screen.Line(c.Status.NextStep), "wait until it is in state Review: kubectl itil changes -n "+c.Namespace))
	case v1alpha1.ChangeAssess, v1alpha1.ChangeAuthorize, v1alpha1.ChangeScheduled, v1alpha1.ChangeRejected, v1alpha1.ChangeCanceled, "":
		return nil, exit.New(exit.WrongState, "Change %s is not implemented (state %s): there is nothing to review", refOf(c), stateOf(c)).
			WithNext("wait until it is in state Review: kubectl itil changes -n %s", c.Namespace)
	}
	written := map[string]any{"outcome": outcome, "notes": notes}
	if notes == "" {
		written["notes"] = nil // an earlier review's notes go with it
	}
	return map[string]any{"review": written}, nil
}
