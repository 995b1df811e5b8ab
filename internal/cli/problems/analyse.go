package problems

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newConfirm(f *session.Factory) *cobra.Command {
	var owner string
	e := newEditor(f, "confirmed")
	cmd := e.Several(&cobra.Command{
		Use:   "confirm NAME... [--owner USER]",
		Short: "Say that Problems are worth an analysis, and who owns them: you, or somebody else",
		Long: `Say that Problems are worth an analysis: their cause is looked for from now on. Whom nobody owns is yours, as the API
server knows you; --owner names another.`,
		Example: `  kubectl itil problem confirm checkout-oomkilled-7f3a9

  # Bob looks for the cause
  kubectl itil problem confirm shop/checkout-oomkilled-7f3a9 --owner bob`,
	})
	cmd.Flags().StringVar(&owner, "owner", "", "The user who owns it. Default: who owns it already, else you.")
	e.EditAs = func(p *v1alpha1.Problem, me session.Identity) (patch, error) { return confirm(p, me, owner), nil }
	e.Remark = func(p *v1alpha1.Problem) string { return string(p.Spec.Owner) + " owns it." }
	return cmd
}

func confirm(p *v1alpha1.Problem, me session.Identity, owner string) patch {
	out := ownedBy(p, me)
	if owner != "" {
		out = patch{}
		if owner != string(p.Spec.Owner) {
			out["owner"] = owner
		}
	}
	if !p.Spec.Confirmed {
		out["confirmed"] = true
	}
	return orNil(out)
}

func newKnownError(f *session.Factory) *cobra.Command {
	var cause, workaround string
	e := newEditor(f, "a known error")
	cmd := e.Several(&cobra.Command{
		Use:   "known-error NAME [--cause TEXT] [--workaround TEXT]",
		Short: "Say what the cause of a Problem is, and what helps until it is fixed",
		Long: `Say what the cause of a Problem is, and what helps until it is fixed. A problem of which either is known is a known
error; the workaround is shown on each Incident of the same failure, open or to come. It confirms the Problem too.`,
		Example: `  kubectl itil problem known-error checkout-oomkilled-7f3a9 --cause "a cache without a bound" \
    --workaround "restart it; limit the import to 1 GB"`,
	})
	cmd.Flags().StringVar(&cause, "cause", "", "The root cause.")
	cmd.Flags().StringVar(&workaround, "workaround", "", "What helps until it is fixed.")
	e.Refuse = refuseClosedForGood
	e.Check = func(cmd *cobra.Command) error {
		if cause == "" && workaround == "" {
			return args.Wrong(cmd, "say what is known: --cause TEXT, --workaround TEXT, or both")
		}
		return nil
	}
	e.EditAs = func(p *v1alpha1.Problem, me session.Identity) (patch, error) {
		return know(p, me, cause, workaround), nil
	}
	return cmd
}

func know(p *v1alpha1.Problem, me session.Identity, cause, workaround string) patch {
	out := patch{}
	if cause != "" && cause != p.Spec.RootCause {
		out["rootCause"] = cause
	}
	if workaround != "" && workaround != p.Spec.Workaround {
		out["workaround"] = workaround
	}
	if len(out) > 0 && !p.Spec.Confirmed {
		out["confirmed"] = true
	}
	if len(out) > 0 && p.Spec.Owner == "" {
		out["owner"] = me.Name
	}
	return orNil(out)
}

func newFix(f *session.Factory) *cobra.Command {
	var changes []string
	var applied, remove bool
	var message string
	e := newEditor(f, "being fixed")
	cmd := e.Several(&cobra.Command{
		Use:   "fix NAME (--change CHANGE... | --applied -m HOW)",
		Short: "Name the Changes that fix a Problem, or say that a fix outside a Change was applied",
		Long: `Name the Changes that fix a Problem: it is resolved when all of them have succeeded and the failure did not come back
for 7 days. Or say that it was fixed outside a Change: it is resolved at once, and so are the Incidents on hold that
await it. When it fails again, it is in progress again.`,
		Example: `  kubectl itil problem fix checkout-oomkilled-7f3a9 --change checkout-2-6

  # The supplier has repaired it
  kubectl itil problem fix checkout-oomkilled-7f3a9 --applied -m "the supplier has raised the quota"`,
	})
	flags := cmd.Flags()
	flags.StringSliceVar(&changes, "change", nil, "A Change that fixes it; may be given several times.")
	flags.BoolVar(&remove, "remove", false, "Take these Changes away.")
	flags.BoolVar(&applied, "applied", false, "It was fixed outside a Change.")
	flags.StringVarP(&message, "message", "m", "", "How it was fixed.")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("change", complete.Flag(f, newChangeList))
	e.Check = func(cmd *cobra.Command) error {
		switch {
		case applied == (len(changes) > 0):
			return args.Wrong(cmd, "say which Change fixes it (--change NAME), or that it is fixed (--applied -m HOW)")
		case applied && message == "":
			return args.Wrong(cmd, "say how it was fixed: -m HOW")
		case applied && remove:
			return args.Wrong(cmd, "--remove takes --change")
		case applied:
			e.Done = "fixed"
		case remove:
			e.Done = "no longer fixed by " + strings.Join(changes, ", ")
		}
		return nil
	}
	e.Before = func(ctx context.Context, s *session.Session, ref session.Ref) error {
		return existing(ctx, s, ref.Namespace, changes, remove)
	}
	e.EditAs = func(p *v1alpha1.Problem, me session.Identity) (patch, error) {
		if applied {
			return decide(p, map[string]any{"type": string(v1alpha1.DecisionFixApplied), "reason": message}), nil
		}
		return fix(p, me, changes, remove), nil
	}
	e.Remark = func(p *v1alpha1.Problem) string {
		if p.Spec.RootCause == "" && len(p.Spec.ChangeRefs) > 0 {
			return "Its cause is not known yet, so that it is not in progress: kubectl itil problem known-error " + refOf(p) + " --cause TEXT"
		}
		return ""
	}
	return cmd
}

// existing refuses Changes that are not there: a typing error would keep a Problem from ever being fixed.
func existing(ctx context.Context, s *session.Session, namespace string, changes []string, remove bool) error {
	for _, name := range changes {
		err := s.Read(ctx, session.Ref{Namespace: namespace, Name: name}, &v1alpha1.Change{}, "Change", "changes")
		if err != nil && !remove && exit.CodeOf(err) == exit.NotFound {
			return err
		}
	}
	return nil
}

func fix(p *v1alpha1.Problem, me session.Identity, changes []string, remove bool) patch {
	var refs []any
	same := true
	for _, ref := range p.Spec.ChangeRefs {
		if remove && slices.Contains(changes, string(ref.Name)) {
			same = false
			continue
		}
		refs = append(refs, map[string]any{"name": string(ref.Name)})
	}
	for _, name := range changes {
		known := slices.ContainsFunc(p.Spec.ChangeRefs, func(r v1alpha1.LocalReference) bool { return string(r.Name) == name })
		if !remove && !known {
			refs, same = append(refs, map[string]any{"name": name}), false
		}
	}
	if same {
		return nil
	}
	out := patch{"changeRefs": refs}
	if p.Spec.Decision != nil && p.Spec.Decision.Type == v1alpha1.DecisionFixApplied && !remove {
		// A fix that was declared did not do, if another is named.
		out["decision"] = nil
	}
	if p.Spec.Owner == "" {
		out["owner"] = me.Name
	}
	if !p.Spec.Confirmed {
		out["confirmed"] = true
	}
	return out
}
