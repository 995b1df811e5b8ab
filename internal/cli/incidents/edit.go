package incidents

import (
	"cmp"
	"context"
	"maps"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
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
type patch map[string]any

// edit decides, from an Incident as it is, what is to be written to it.
type edit func(i *v1alpha1.Incident, me session.Identity) (patch, error)

// editor writes to Incidents.
type editor struct {
	factory *session.Factory
	output  *output.Flags
	// done says what was done to it, for example "acknowledged".
	done string
	// idle says what it is where there was nothing to do; empty: what was to be done is done already.
	idle string
	// check finds mistakes on the command line; nil: there are none to find.
	check func(cmd *cobra.Command) error
	// links are what Incidents shall be linked with, which must exist; nil: nothing.
	links func() links
	// edit is made for each Incident.
	edit edit
	// remark is shown after it was written; nil, or empty: nothing.
	remark func(i *v1alpha1.Incident) string
}

// command completes a command that writes to one or more Incidents.
func (e *editor) command(cmd *cobra.Command) *cobra.Command {
	e.output = output.ForWrite(e.factory.Scheme)
	cmd.Args = args.AtLeast("NAME (or NAMESPACE/NAME)")
	cmd.ValidArgsFunction = complete.Names(e.factory, func() client.ObjectList { return &v1alpha1.IncidentList{} }, isNotClosed)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if e.check != nil {
			if err := e.check(cmd); err != nil {
				return err
			}
		}
		if err := e.output.Check(); err != nil {
			return err
		}
		return e.run(cmd.Context(), names)
	}
	e.output.AddTo(cmd)
	return cmd
}

func isNotClosed(object client.Object) bool {
	i, ok := object.(*v1alpha1.Incident)
	return ok && i.Status.State != v1alpha1.IncidentClosed
}

// run writes to each of the Incidents that were named.
func (e *editor) run(ctx context.Context, names []string) error {
	s, err := e.factory.Connect()
	if err != nil {
		return err
	}
	me, err := s.WhoAmI(ctx)
	if err != nil {
		return err
	}
	return s.Each(names, func(ref session.Ref) error { return e.one(ctx, s, me, ref) })
}

func (e *editor) one(ctx context.Context, s *session.Session, me session.Identity, ref session.Ref) error {
	if e.links != nil {
		if err := e.links().exist(ctx, s, ref.Namespace); err != nil {
			return err
		}
	}
	i, written, err := e.write(ctx, s, me, ref)
	switch {
	case err != nil:
		return err
	case !e.output.ForPeople():
		return e.output.Object(s.Screen.Out, i)
	case !written:
		s.Screen.Notef("Incident %s is %s; nothing to do.", refOf(i), cmp.Or(e.idle, e.done+" already"))
		return nil
	}
	if err := s.Screen.Printf("incident.itil.dev/%s %s\n", i.Name, e.done); err != nil {
		return err
	}
	if e.remark != nil {
		if remark := e.remark(i); remark != "" {
			s.Screen.Notef("%s", screen.Line(remark))
		}
	}
	return nil
}

func (e *editor) write(ctx context.Context, s *session.Session, me session.Identity, ref session.Ref) (i *v1alpha1.Incident, written bool, err error) {
	empty := func() *v1alpha1.Incident { return &v1alpha1.Incident{} }
	return session.EditSpec(ctx, s, ref, "Incident", "incidents", empty, func(i *v1alpha1.Incident) (map[string]any, error) {
		if err := open(i); err != nil {
			return nil, err
		}
		return e.edit(i, me)
	})
}

// open reports an Incident to which nothing can be added.
func open(i *v1alpha1.Incident) error {
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
