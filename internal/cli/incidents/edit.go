package incidents

import (
	"maps"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/edit"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// NewIncident makes `kubectl itil incident`, with its commands.
func NewIncident(f *session.Factory) *cobra.Command {
	return args.Group(&cobra.Command{
		Use:   "incident",
		Short: "Show, open, acknowledge, assign, hold, resolve, close, reopen or link Incidents",
		Long: `What people declare about Incidents. Each command writes only the fields that it is about; the state follows from
them: kubectl itil incidents.`,
	}, newShow(f), newOpen(f), newAck(f), newAssign(f), newHold(f), newResume(f), newResolve(f), newClose(f), newReopen(f), newLink(f))
}

// patch is the fields of spec to be written; nil where all is as wanted.
type patch = edit.Fields

// newEditor makes what writes to Incidents that are not closed.
func newEditor(f *session.Factory, done string) *edit.Editor[*v1alpha1.Incident] {
	return &edit.Editor[*v1alpha1.Incident]{
		Factory: f, Done: done, Refuse: refuseClosed,
		Kind: edit.Kind[*v1alpha1.Incident]{
			Name: "Incident", Plural: "incidents",
			New:     func() *v1alpha1.Incident { return &v1alpha1.Incident{} },
			NewList: func() client.ObjectList { return &v1alpha1.IncidentList{} },
		},
	}
}

// refuseClosed refuses an Incident that is closed: nothing can be added to it.
func refuseClosed(i *v1alpha1.Incident) error {
	if i.Status.State != v1alpha1.IncidentClosed {
		return nil
	}
	return exit.New(exit.WrongState, "Incident %s is closed", refOf(i)).
		WithNext("open another one that names it: kubectl itil incident open TITLE --parent %s", refOf(i))
}

// merged joins patches.
func merged(patches ...patch) patch {
	out := patch{}
	for _, p := range patches {
		maps.Copy(out, p)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func refOf(i *v1alpha1.Incident) string { return i.Namespace + "/" + i.Name }
