package changes

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newShow(f *session.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a Change: what would differ, its risk, who must vote, what became of it, what to do next",
		Long: `Show a Change on one page: what would differ from what runs, how risky that is and why, what is in the way, who must
vote, the Release that it belongs to, what went in, whom it hurt, how it is undone, when its review is due, and what is to
be done next. "kubectl itil change NAME" is the same.

For programs there is kubectl get change NAME -o yaml.`,
		Example: `  kubectl itil change show checkout-2-4 -n shop
  kubectl itil change show shop/checkout-2-4`,
		Args:              args.Exactly("NAME (or NAMESPACE/NAME)"),
		ValidArgsFunction: complete.Names(f, newChangeList, nil),
		RunE: func(cmd *cobra.Command, names []string) error {
			return show(cmd.Context(), f, names[0])
		},
	}
}

func show(ctx context.Context, f *session.Factory, name string) error {
	s, c, err := readChange(ctx, f, name)
	if err != nil {
		return err
	}
	releases, err := releasesOf(ctx, s, c)
	if err != nil {
		return err
	}
	page := approversPage(c, releases, s.Now(), s.Screen.Palette)
	page.Text("Next", nextFor(c))
	_, err = page.WriteTo(s.Screen.Out)
	return err
}

// readChange connects and reads the Change that an argument names.
func readChange(ctx context.Context, f *session.Factory, name string) (*session.Session, *v1alpha1.Change, error) {
	s, err := f.Connect()
	if err != nil {
		return nil, nil, err
	}
	ref, err := s.Ref(name)
	if err != nil {
		return nil, nil, err
	}
	c := &v1alpha1.Change{}
	return s, c, s.Read(ctx, ref, c, "Change", "changes")
}

// nextFor is what is to be done about a Change. Who has the plugin needs no manifest of a vote; where votes are not what is
// missing, the operator knows best.
func nextFor(c *v1alpha1.Change) string {
	if a := c.Status.Approvals; stateOf(c) == v1alpha1.ChangeAuthorize && a != nil && a.Granted < a.Required {
		return "vote: kubectl itil approve " + refOf(c) + ", or kubectl itil reject " + refOf(c) + " -m REASON"
	}
	return c.Status.NextStep
}

// releasesOf are the Releases that go in under a Change; none where the user may not read them.
func releasesOf(ctx context.Context, s *session.Session, c *v1alpha1.Change) ([]v1alpha1.Release, error) {
	list := &v1alpha1.ReleaseList{}
	if err := s.ReadAll(ctx, list, c.Namespace); err != nil {
		if exit.CodeOf(err) == exit.NotPermitted {
			return nil, nil
		}
		return nil, err
	}
	var out []v1alpha1.Release
	for i := range list.Items {
		r := &list.Items[i]
		if ref := r.Status.ChangeRef; ref != nil && string(ref.Name) == c.Name {
			out = append(out, *r)
		}
	}
	return out, nil
}
