package incidents

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newAck(f *session.Factory) *cobra.Command {
	e := newEditor(f, "acknowledged")
	e.Edit = acknowledge
	return e.Several(&cobra.Command{
		Use:   "ack NAME...",
		Short: "Acknowledge Incidents: somebody has taken notice, and the response clock stops",
		Long: `Acknowledge Incidents: somebody has taken notice. It stops the response clock, and the Incident is in progress.
An assignee does the same, and says who: kubectl itil incident assign.`,
		Example: "  kubectl itil incident ack checkout-7f3a9",
	})
}

func acknowledge(i *v1alpha1.Incident) (patch, error) {
	if i.Spec.Acknowledged {
		return nil, nil
	}
	return patch{"acknowledged": true}, nil
}
