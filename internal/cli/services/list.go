// Package services has the command that shows Services as a tree of what depends on what.
package services

import (
	"context"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// maxReads bounds how many services of other namespaces are read one by one.
const maxReads = 100

type lister struct {
	factory    *session.Factory
	output     *output.Flags
	namespaces session.Namespaces
}

// NewList makes `kubectl itil services`.
func NewList(f *session.Factory) *cobra.Command {
	l := &lister{factory: f, output: output.ForList(f.Scheme)}
	cmd := &cobra.Command{
		Use:   "services [NAME]",
		Short: "Show Services, what they depend on, and how well they are",
		Long: `Show Services as trees: below each Service are those that it depends on, also of other namespaces, with their
health, ready pods, open Incidents and what is left of the error budget. With a NAME only that one and what is below it.

-o json, yaml and name print the Services themselves.`,
		Example: `  kubectl itil services -n shop

  # One service, and all that it needs
  kubectl itil services shop/checkout -o wide`,
		Args:              args.AtMost("NAME (or NAMESPACE/NAME)"),
		ValidArgsFunction: complete.Names(f, func() client.ObjectList { return &v1alpha1.ServiceList{} }, nil),
		RunE: func(cmd *cobra.Command, names []string) error {
			if l.namespaces.All && len(names) > 0 {
				return args.Wrong(cmd, "give a NAME or -A, not both")
			}
			if err := l.output.Check(); err != nil {
				return err
			}
			return l.run(cmd.Context(), names)
		},
	}
	l.namespaces.AddTo(cmd.Flags(), "Services")
	l.output.AddTo(cmd)
	return cmd
}

func (l *lister) run(ctx context.Context, names []string) error {
	s, err := l.factory.Connect()
	if err != nil {
		return err
	}
	list := &v1alpha1.ServiceList{}
	var namespace string
	if len(names) > 0 {
		ref, err := s.Ref(names[0])
		if err != nil {
			return err
		}
		namespace = ref.Namespace
		root := v1alpha1.Service{}
		if err := s.Read(ctx, ref, &root, "Service", "services"); err != nil {
			return err
		}
		list.Items = []v1alpha1.Service{root}
	} else {
		namespace = l.namespaces.Of(s)
		if err := s.ReadAll(ctx, list, namespace); err != nil {
			return err
		}
	}
	if !l.output.ForPeople() {
		return l.output.List(s.Screen.Out, list)
	}
	if len(list.Items) == 0 {
		s.Screen.Notef("No Services %s.", session.In(namespace))
		return nil
	}
	return l.draw(ctx, s, list.Items, namespace, len(names) > 0)
}

func (l *lister) draw(ctx context.Context, s *session.Session, items []v1alpha1.Service, namespace string, named bool) error {
	refs := make([]session.Ref, 0, len(items))
	for i := range items {
		refs = append(refs, refOf(&items[i]))
	}
	f := newForest(items)
	if err := f.complete(ctx, s); err != nil {
		return err
	}
	v := view{now: s.Now(), namespace: namespace, wide: l.output.Wide(), budgets: readBudgets(ctx, s, namespace)}
	lines := f.growAll
	if named {
		lines = f.growFrom
	}
	return v.table(lines(refs)).Write(s.Screen.Out, s.Screen.Palette)
}

// complete reads what the services depend on, and what that depends on, as far as the user may and it is not too much.
func (f *forest) complete(ctx context.Context, s *session.Session) error {
	reads := 0
	for missing := f.missing(); len(missing) > 0; missing = f.missing() {
		for _, ref := range missing {
			if reads == maxReads {
				return nil
			}
			reads++
			service := &v1alpha1.Service{}
			switch err := s.Get(ctx, ref, service); exit.CodeOf(err) {
			case exit.OK:
				f.services[ref] = service
			case exit.NotFound:
				f.lost[ref] = notFound
			case exit.NotPermitted:
				f.lost[ref] = unreadable
			case exit.Failed, exit.Usage, exit.WrongState, exit.NotConfirmed, exit.WouldBeDenied:
				return err
			}
		}
	}
	return nil
}

// readBudgets reads the agreements of what is shown, as far as the user may.
func readBudgets(ctx context.Context, s *session.Session, namespace string) budgets {
	list := &v1alpha1.ServiceLevelAgreementList{}
	if err := s.ReadAll(ctx, list, namespace); err != nil {
		return nil
	}
	return budgetsOf(list.Items)
}
