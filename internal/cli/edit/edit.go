// Package edit has what the commands share by which people declare something about records: they are named, their spec
// is written to, each as it is and by itself, and what was done is said.
package edit

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// Fields of a spec that are to be written; nil where all is as wanted.
type Fields map[string]any

// Kind of record that is written to.
type Kind[T client.Object] struct {
	// Name and Plural are what messages and the API call it: Incident, incidents.
	Name, Plural string
	// New makes an empty one, and NewList an empty list.
	New     func() T
	NewList func() client.ObjectList
}

// Editor writes to records of a kind.
type Editor[T client.Object] struct {
	Factory *session.Factory
	Kind    Kind[T]
	// Done says what was done to it, for example "acknowledged".
	Done string
	// Idle says what it is where there was nothing to do; empty: what was to be done is done already.
	Idle string
	// Check finds mistakes on the command line; nil: there are none to find.
	Check func(cmd *cobra.Command) error
	// Refuse says why nothing can be written to a record that is as this one, which is then not offered to a shell either;
	// nil: something always can.
	Refuse func(T) error
	// Before looks at what else is there, before anything is read or written; nil: nothing.
	Before func(ctx context.Context, s *session.Session, ref session.Ref) error
	// Edit decides, from a record as it is, what is to be written to it.
	Edit func(T) (Fields, error)
	// EditAs decides it in place of Edit where that depends on who the user is.
	EditAs func(T, session.Identity) (Fields, error)
	// Remark is shown after it was written; nil, or empty: nothing.
	Remark func(T) string

	output *output.Flags
}

const named = "NAME (or NAMESPACE/NAME)"

// Several completes a command that writes to one record or more.
func (e *Editor[T]) Several(cmd *cobra.Command) *cobra.Command {
	return e.command(cmd, args.AtLeast(named))
}

// One completes a command that writes to a single record.
func (e *Editor[T]) One(cmd *cobra.Command) *cobra.Command {
	return e.command(cmd, args.Exactly(named))
}

func (e *Editor[T]) command(cmd *cobra.Command, arguments cobra.PositionalArgs) *cobra.Command {
	e.output = output.ForWrite(e.Factory.Scheme)
	cmd.Args = arguments
	cmd.ValidArgsFunction = complete.Names(e.Factory, e.Kind.NewList, func(o client.Object) bool {
		record, ok := o.(T)
		return ok && e.refusal(record) == nil
	})
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if e.Check != nil {
			if err := e.Check(cmd); err != nil {
				return err
			}
		}
		if err := e.output.Check(); err != nil {
			return err
		}
		s, err := e.Factory.Connect()
		if err != nil {
			return err
		}
		return e.writeTo(cmd.Context(), s, names)
	}
	e.output.AddTo(cmd)
	return cmd
}

func (e *Editor[T]) refusal(record T) error {
	if e.Refuse == nil {
		return nil
	}
	return e.Refuse(record)
}

// writeTo writes to each of the records that were named.
func (e *Editor[T]) writeTo(ctx context.Context, s *session.Session, names []string) error {
	decide := e.Edit
	if e.EditAs != nil {
		me, err := s.WhoAmI(ctx)
		if err != nil {
			return err
		}
		decide = func(record T) (Fields, error) { return e.EditAs(record, me) }
	}
	return s.Each(names, func(ref session.Ref) error { return e.one(ctx, s, ref, decide) })
}

func (e *Editor[T]) one(ctx context.Context, s *session.Session, ref session.Ref, decide func(T) (Fields, error)) error {
	if e.Before != nil {
		if err := e.Before(ctx, s, ref); err != nil {
			return err
		}
	}
	record, written, err := session.EditSpec(ctx, s, ref, e.Kind.Name, e.Kind.Plural, e.Kind.New, func(record T) (map[string]any, error) {
		if err := e.refusal(record); err != nil {
			return nil, err
		}
		return decide(record)
	})
	switch {
	case err != nil:
		return err
	case !e.output.ForPeople():
		return e.output.Object(s.Screen.Out, record)
	case !written:
		s.Screen.Notef("%s %s is %s; nothing to do.", e.Kind.Name, ref, cmp.Or(e.Idle, e.Done+" already"))
		return nil
	}
	if err := s.Screen.Printf("%s.itil.dev/%s %s\n", strings.ToLower(e.Kind.Name), record.GetName(), e.Done); err != nil {
		return err
	}
	if e.Remark != nil {
		if remark := e.Remark(record); remark != "" {
			s.Screen.Notef("%s", screen.Line(remark))
		}
	}
	return nil
}
