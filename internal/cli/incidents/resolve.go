package incidents

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
)

var codes = []string{
	string(v1alpha1.ResolutionFixedByChange), string(v1alpha1.ResolutionWorkaround), string(v1alpha1.ResolutionKnownError),
	string(v1alpha1.ResolutionSelfRecovered), string(v1alpha1.ResolutionRolledBack), string(v1alpha1.ResolutionUserGuidance),
	string(v1alpha1.ResolutionNoFault), string(v1alpha1.ResolutionDuplicate),
}

func newResolve(f *session.Factory) *cobra.Command {
	var code, notes, parent string
	var closed bool
	e := newEditor(f, "resolved")
	cmd := e.Several(&cobra.Command{
		Use:   "resolve NAME... (--code CODE | --of NAME)",
		Short: "Say how Incidents ended",
		Long: `Say how Incidents ended. Most need nobody's word: the operator resolves what has recovered. While a failure still
shows, only Workaround with notes (-m: what is accepted, and until when) or Duplicate resolves an Incident.

Codes: ` + strings.Join(codes, ", ") + ".",
		Example: `  kubectl itil incident resolve checkout-7f3a9 --code FixedByChange -m "limit raised by checkout-2-5"
  kubectl itil incident resolve checkout-7f3a9 --code Workaround -m "restarted hourly until 2.5 is out"
  kubectl itil incident resolve checkout-7f3a9 --code Duplicate --of finance/ledger-1b2c3`,
	})
	flags := cmd.Flags()
	flags.StringVar(&code, "code", "", "How it ended. Default: Duplicate with --of.")
	flags.StringVarP(&notes, "message", "m", "", "Notes for whoever meets it again.")
	flags.StringVar(&parent, "of", "", "The Incident that it duplicates, as NAME or NAMESPACE/NAME.")
	flags.BoolVar(&closed, "close", false, "Close it as well, without waiting for the closing time.")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("code", cobra.FixedCompletions(slices.Clone(codes), cobra.ShellCompDirectiveNoFileComp))
	e.Check = func(cmd *cobra.Command) error {
		if code == "" && parent != "" {
			code = string(v1alpha1.ResolutionDuplicate)
		}
		if code == "" {
			return args.Wrong(cmd, "say how it ended: --code with one of %s", strings.Join(codes, ", "))
		}
		if !slices.Contains(codes, code) {
			return args.Wrong(cmd, "--code must be one of %s, and not %q", strings.Join(codes, ", "), code)
		}
		return checkParent(cmd, "of", parent)
	}
	e.Before = func(ctx context.Context, s *session.Session, ref session.Ref) error {
		return links{parent: parent}.exist(ctx, s, ref.Namespace)
	}
	e.Edit = func(i *v1alpha1.Incident) (patch, error) {
		return resolve(i, v1alpha1.Resolution{Code: v1alpha1.ResolutionCode(code), Notes: notes, Closed: closed}, parent)
	}
	e.Remark = stillFails
	return cmd
}

// resolve declares a resolution.
func resolve(i *v1alpha1.Incident, wanted v1alpha1.Resolution, parent string) (patch, error) {
	linked := links{parent: parent}.patch(i)
	if err := (links{parent: parent}).apart(i); err != nil {
		return nil, err
	}
	if wanted.Code == v1alpha1.ResolutionDuplicate && parent == "" && i.Spec.ParentRef == nil {
		return nil, exit.New(exit.Usage, "Incident %s names no Incident that it duplicates", refOf(i)).WithNext("name it: --of NAMESPACE/NAME")
	}
	if i.Spec.Resolution != nil && *i.Spec.Resolution == wanted {
		return merged(linked), nil
	}
	fields := map[string]any{"code": string(wanted.Code), "notes": wanted.Notes, "closed": wanted.Closed}
	if wanted.Notes == "" {
		fields["notes"] = nil // an earlier resolution's notes go with it
	}
	out := merged(linked, patch{"resolution": fields})
	if i.Spec.Recovery == v1alpha1.RecoveryDisputed {
		out["recovery"] = nil // whoever says how it ended disputes it no longer
	}
	return out, nil
}

// stillFails says that what was declared resolved still shows; empty where it does not, or where that is accepted.
func stillFails(i *v1alpha1.Incident) string {
	if i.Spec.Resolution == nil {
		return ""
	}
	switch i.Spec.Resolution.Code {
	case v1alpha1.ResolutionDuplicate:
		return ""
	case v1alpha1.ResolutionWorkaround:
		if i.Spec.Resolution.Notes != "" {
			return ""
		}
	case v1alpha1.ResolutionFixedByChange, v1alpha1.ResolutionKnownError, v1alpha1.ResolutionSelfRecovered,
		v1alpha1.ResolutionRolledBack, v1alpha1.ResolutionUserGuidance, v1alpha1.ResolutionNoFault:
	}
	var showing []string
	for _, s := range i.Status.Signals {
		if s.ClearedAt == nil && !practice.EndsByHand(i, s.Reason) && !slices.Contains(showing, string(s.Reason)) {
			showing = append(showing, string(s.Reason))
		}
	}
	if len(showing) == 0 {
		return ""
	}
	return "Note: " + screen.And(showing) + " still shows: it may stay open until that is gone, or accept it with --code Workaround -m NOTES."
}
