package incidents

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newReopen(f *session.Factory) *cobra.Command {
	e := &editor{factory: f, done: "open again", edit: reopen}
	return e.command(&cobra.Command{
		Use:   "reopen NAME...",
		Short: "Take back the resolution that a person declared",
		Long: `Take back the resolution that a person declared: the Incident is in progress again, and its clock goes on, less the
time in which it was resolved.

What the operator resolved because it recovered, it opens again by itself when it fails again within an hour. A closed
Incident is never opened again: open another one.`,
		Example: "  kubectl itil incident reopen checkout-7f3a9",
	})
}

func reopen(i *v1alpha1.Incident, _ session.Identity) (patch, error) {
	switch {
	case i.Spec.Resolution != nil && i.Status.RecoveredAt != nil, i.Spec.Resolution == nil && isOver(i):
		return nil, exit.New(exit.WrongState, "Incident %s has recovered: what failed works again, and the operator keeps it resolved", refOf(i)).
			WithNext("it is opened again by itself if it fails again; for trouble that does not show, open another one: kubectl itil incident open TITLE --parent %s", refOf(i))
	case i.Spec.Resolution == nil:
		return nil, nil
	default:
		return patch{"resolution": nil}, nil
	}
}
