package incidents

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newReopen(f *session.Factory) *cobra.Command {
	e := newEditor(f, "open again")
	e.Edit = reopen
	return e.Several(&cobra.Command{
		Use:   "reopen NAME...",
		Short: "Say that an Incident is not over: it is in progress again",
		Long: `Say that an Incident is not over. It is in progress again, and its clock goes on, less the time in which it was resolved.

It takes back the resolution that a person declared. Of what the operator resolved because it recovered, it disputes that
(spec.recovery: Disputed): then only a declared resolution ends it. What fails again within an hour the operator opens by
itself. A closed Incident is never opened again: open another one.`,
		Example: "  kubectl itil incident reopen checkout-7f3a9",
	})
}

func reopen(i *v1alpha1.Incident) (patch, error) {
	wanted := patch{}
	if i.Spec.Resolution != nil {
		wanted["resolution"] = nil
	}
	// What has recovered would be resolved again at once.
	if recovered := i.Status.RecoveredAt != nil || i.Spec.Resolution == nil; recovered && isOver(i) && i.Spec.Recovery != v1alpha1.RecoveryDisputed {
		wanted["recovery"] = string(v1alpha1.RecoveryDisputed)
	}
	return merged(wanted), nil
}
