package incidents

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newResume(f *session.Factory) *cobra.Command {
	e := newEditor(f, "resumed")
	e.Idle, e.Edit = "not on hold", resume
	return e.Several(&cobra.Command{
		Use:     "resume NAME...",
		Short:   "Take Incidents up again that were on hold",
		Long:    "Take Incidents up again that were on hold: what they waited for is there, and the resolution clock runs on.",
		Example: "  kubectl itil incident resume checkout-7f3a9",
	})
}

func resume(i *v1alpha1.Incident) (patch, error) {
	if i.Spec.Hold == nil {
		return nil, nil
	}
	return patch{"hold": nil}, nil
}
