package incidents

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newClose(f *session.Factory) *cobra.Command {
	e := newEditor(f, "closed")
	e.Edit = closeIncident
	return e.Several(&cobra.Command{
		Use:   "close NAME...",
		Short: "Close resolved Incidents now, without waiting for the closing time",
		Long: `Close resolved Incidents now. The others are closed by themselves three business days after their resolution, but
for major ones: those are closed by hand. A closed Incident is never opened again.`,
		Example: "  kubectl itil incident close checkout-7f3a9",
	})
}

// closeIncident closes with the resolution that a person declared, else with the computed one.
func closeIncident(i *v1alpha1.Incident) (patch, error) {
	r := i.Spec.Resolution
	if r != nil && r.Closed {
		return nil, nil
	}
	if r == nil && i.Status.State == v1alpha1.IncidentResolved {
		r = i.Status.Resolution
	}
	if r == nil {
		return nil, exit.New(exit.WrongState, "Incident %s is not resolved (state %s)", refOf(i), stateOf(i)).
			WithNext("say how it ended: kubectl itil incident resolve %s --code CODE --close", refOf(i))
	}
	fields := map[string]any{"code": string(r.Code), "closed": true}
	if r.Notes != "" {
		fields["notes"] = r.Notes
	}
	return patch{"resolution": fields}, nil
}
