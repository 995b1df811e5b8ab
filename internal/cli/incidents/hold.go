package incidents

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

var holdReasons = []string{
	string(v1alpha1.HoldAwaitingCaller), string(v1alpha1.HoldAwaitingChange),
	string(v1alpha1.HoldAwaitingProblem), string(v1alpha1.HoldAwaitingVendor),
}

func newHold(f *session.Factory) *cobra.Command {
	var reason, comment, change, problem string
	e := newEditor(f, "on hold")
	cmd := e.Several(&cobra.Command{
		Use:   "hold NAME... (--reason REASON | --change NAME | --problem NAME)",
		Short: "Say what Incidents wait for",
		Long: `Say what Incidents wait for. While the reporter is asked (AwaitingCaller, with -m: who is asked what), the
resolution clock stands still; for a Change, a Problem or a vendor it runs on. A hold for a Change or Problem ends by
itself when that is closed.

Reasons: ` + strings.Join(holdReasons, ", ") + ".",
		Example: `  kubectl itil incident hold checkout-7f3a9 --reason AwaitingChange --change checkout-2-5
  kubectl itil incident hold checkout-7f3a9 --reason AwaitingCaller -m "asked bob for the order number"`,
	})
	flags := cmd.Flags()
	flags.StringVar(&reason, "reason", "", "What it waits for. Default: AwaitingChange with --change, AwaitingProblem with --problem.")
	flags.StringVarP(&comment, "message", "m", "", "What exactly is waited for.")
	flags.StringVar(&change, "change", "", "The Change that it waits for; it is linked as well.")
	flags.StringVar(&problem, "problem", "", "The Problem that it waits for; it is linked as well.")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("reason", cobra.FixedCompletions(slices.Clone(holdReasons), cobra.ShellCompDirectiveNoFileComp))
	e.Check = func(cmd *cobra.Command) error {
		if change != "" && reason == "" {
			reason = string(v1alpha1.HoldAwaitingChange)
		}
		if problem != "" && reason == "" {
			reason = string(v1alpha1.HoldAwaitingProblem)
		}
		switch {
		case reason == "":
			return args.Wrong(cmd, "say what it waits for: --reason with one of %s", strings.Join(holdReasons, ", "))
		case !slices.Contains(holdReasons, reason):
			return args.Wrong(cmd, "--reason must be one of %s, and not %q", strings.Join(holdReasons, ", "), reason)
		case reason == string(v1alpha1.HoldAwaitingCaller) && comment == "":
			return args.Wrong(cmd, "--reason AwaitingCaller needs -m: who is asked what")
		default:
			return nil
		}
	}
	e.Before = func(ctx context.Context, s *session.Session, ref session.Ref) error {
		return links{change: change, problem: problem}.exist(ctx, s, ref.Namespace)
	}
	e.EditAs = func(i *v1alpha1.Incident, me session.Identity) (patch, error) {
		return hold(i, v1alpha1.Hold{Reason: v1alpha1.HoldReason(reason), Comment: comment, By: v1alpha1.UserName(me.Name)}, change, problem)
	}
	return cmd
}

// hold says what is waited for; what the API server would refuse is refused here, with the command that helps.
func hold(i *v1alpha1.Incident, wanted v1alpha1.Hold, change, problem string) (patch, error) {
	linked := links{change: change, problem: problem}.patch(i)
	switch {
	case wanted.Reason == v1alpha1.HoldAwaitingCaller && i.Spec.Reporter == "":
		return nil, exit.New(exit.WrongState, "nobody reported Incident %s, so there is no caller to wait for", refOf(i)).
			WithNext("use another reason: %s", strings.Join(holdReasons[1:], ", "))
	case wanted.Reason == v1alpha1.HoldAwaitingChange && change == "" && len(i.Spec.ChangeRefs) == 0:
		return nil, exit.New(exit.Usage, "Incident %s names no Change to wait for", refOf(i)).WithNext("name it: --change NAME")
	case wanted.Reason == v1alpha1.HoldAwaitingProblem && problem == "" && i.Spec.ProblemRef == nil:
		return nil, exit.New(exit.Usage, "Incident %s names no Problem to wait for", refOf(i)).WithNext("name it: --problem NAME")
	case isOver(i):
		return nil, exit.New(exit.WrongState, "Incident %s is resolved", refOf(i)).WithNext("reopen it first: kubectl itil incident reopen %s", refOf(i))
	}
	if h := i.Spec.Hold; h != nil && h.Reason == wanted.Reason && h.Comment == wanted.Comment {
		return merged(linked), nil
	}
	fields := map[string]any{"reason": string(wanted.Reason), "comment": wanted.Comment}
	if wanted.Comment == "" {
		fields["comment"] = nil // an earlier hold's comment goes with it
	}
	if wanted.By != "" {
		fields["by"] = string(wanted.By)
	}
	return merged(linked, patch{"hold": fields}), nil
}
