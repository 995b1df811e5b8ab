// Package problems has the commands about Problems: the list by the harm that each causes, and what people find out
// and decide about one.
package problems

import (
	"cmp"
	"context"

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

// NewProblem makes `kubectl itil problem`, with its commands.
func NewProblem(f *session.Factory) *cobra.Command {
	return args.Group(&cobra.Command{
		Use:   "problem",
		Short: "List Problems by the harm that they cause; say what is known, and how each ends",
		Long: `Problems are the causes of Incidents. The operator opens one when the same failure comes back, or after a major
Incident. Each command writes only the fields that it is about; the state follows from them.`,
	}, newList(f), newOpen(f), newConfirm(f), newKnownError(f), newFix(f), newAcceptRisk(f), newDuplicate(f), newNotReproducible(f))
}

// patch is the fields of spec to be written; nil where all is as wanted.
type patch map[string]any

// editor writes to Problems.
type editor struct {
	factory *session.Factory
	output  *output.Flags
	// done says what was done to it, for example "confirmed".
	done string
	// check finds mistakes on the command line; nil: there are none to find.
	check func(cmd *cobra.Command) error
	// edit decides, from a Problem as it is, what is to be written to it.
	edit func(p *v1alpha1.Problem, me session.Identity) (patch, error)
	// before looks at what else is there, before anything is written; nil: nothing.
	before func(ctx context.Context, s *session.Session, ref session.Ref) error
	// remark is shown after it was written; nil, or empty: nothing.
	remark func(p *v1alpha1.Problem) string
	// closed: also one that is closed can be written to.
	closed bool
}

// command completes a command that writes to one or more Problems.
func (e *editor) command(cmd *cobra.Command) *cobra.Command {
	e.output = output.ForWrite(e.factory.Scheme)
	cmd.Args = args.AtLeast("NAME (or NAMESPACE/NAME)")
	cmd.ValidArgsFunction = complete.Names(e.factory, newProblemList, func(o client.Object) bool {
		p, ok := o.(*v1alpha1.Problem)
		return ok && (e.closed || p.Status.State != v1alpha1.ProblemClosed)
	})
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

func newProblemList() client.ObjectList { return &v1alpha1.ProblemList{} }

func newChangeList() client.ObjectList { return &v1alpha1.ChangeList{} }

func newServiceList() client.ObjectList { return &v1alpha1.ServiceList{} }

// run writes to each of the Problems that were named.
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
	if e.before != nil {
		if err := e.before(ctx, s, ref); err != nil {
			return err
		}
	}
	p, written, err := e.write(ctx, s, me, ref)
	switch {
	case err != nil:
		return err
	case !e.output.ForPeople():
		return e.output.Object(s.Screen.Out, p)
	case !written:
		s.Screen.Notef("Problem %s is %s already; nothing to do.", refOf(p), e.done)
		return nil
	}
	if err := s.Screen.Printf("problem.itil.dev/%s %s\n", p.Name, e.done); err != nil {
		return err
	}
	if e.remark != nil {
		if remark := e.remark(p); remark != "" {
			s.Screen.Notef("%s", screen.Line(remark))
		}
	}
	return nil
}

func (e *editor) write(ctx context.Context, s *session.Session, me session.Identity, ref session.Ref) (p *v1alpha1.Problem, written bool, err error) {
	empty := func() *v1alpha1.Problem { return &v1alpha1.Problem{} }
	return session.EditSpec(ctx, s, ref, "Problem", "problems", empty, func(p *v1alpha1.Problem) (map[string]any, error) {
		if p.Status.State == v1alpha1.ProblemClosed && !e.closed {
			return nil, isClosed(p)
		}
		return e.edit(p, me)
	})
}

func isClosed(p *v1alpha1.Problem) error {
	return exit.New(exit.WrongState, "Problem %s is closed", refOf(p)).
		WithNext("open another one: kubectl itil problem open STATEMENT -n %s", p.Namespace)
}

func refOf(p *v1alpha1.Problem) string { return p.Namespace + "/" + p.Name }

// ownedBy is what makes somebody the owner of what nobody owns.
func ownedBy(p *v1alpha1.Problem, me session.Identity) patch {
	if p.Spec.Owner != "" {
		return patch{}
	}
	return patch{"owner": me.Name}
}

func orNil(p patch) patch {
	if len(p) == 0 {
		return nil
	}
	return p
}

func stateOf(p *v1alpha1.Problem) v1alpha1.ProblemState {
	return cmp.Or(p.Status.State, v1alpha1.ProblemNew)
}
