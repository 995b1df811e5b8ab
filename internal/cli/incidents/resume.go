package incidents

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newResume(f *session.Factory) *cobra.Command {
	e := &editor{factory: f, done: "resumed", idle: "not on hold", edit: resume}
	return e.command(&cobra.Command{
		Use:     "resume NAME...",
		Short:   "Take Incidents up again that were on hold",
		Long:    "Take Incidents up again that were on hold: what they waited for is there, and the resolution clock runs on.",
		Example: "  kubectl itil incident resume checkout-7f3a9",
	})
}

func resume(i *v1alpha1.Incident, _ session.Identity) (patch, error) {
	if i.Spec.Hold == nil {
		return nil, nil
	}
	return patch{"hold": nil}, nil
}
