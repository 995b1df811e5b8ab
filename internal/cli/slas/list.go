// Package slas has the commands about ServiceLevelAgreements: what was promised, what was kept, and what is left.
package slas

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

type lister struct {
	factory    *session.Factory
	output     *output.Flags
	namespaces session.Namespaces
	service    string
}

func newAgreementList() client.ObjectList { return &v1alpha1.ServiceLevelAgreementList{} }

// New makes `kubectl itil sla`, with its command for the periods that are over.
func New(f *session.Factory) *cobra.Command {
	l := &lister{factory: f, output: output.ForList(f.Scheme)}
	cmd := &cobra.Command{
		Use:   "sla [NAME]",
		Short: "Show what was promised about Services, what was kept, and what is left",
		Long: `Show ServiceLevelAgreements: what was promised, what was kept in the running period, and what is left of its error
budget. The figures are those of now, computed from the record in the status; those with a * are as of when it was last
written, since they cannot be computed (you may not read what they follow from, or an agreement cannot be understood).

-o json, yaml and name print the agreements themselves.`,
		Example: `  kubectl itil sla -n shop

  # Everywhere, with the times of Incidents and what to do
  kubectl itil sla -A -o wide`,
		Args:              args.AtMost("NAME (or NAMESPACE/NAME)"),
		ValidArgsFunction: complete.Names(f, newAgreementList, nil),
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
	flags := cmd.Flags()
	l.namespaces.AddTo(flags, "agreements")
	flags.StringVar(&l.service, "service", "", "Show only agreements about this Service.")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("service", complete.Flag(f, func() client.ObjectList { return &v1alpha1.ServiceList{} }))
	l.output.AddTo(cmd)
	cmd.AddCommand(newHistory(f))
	return cmd
}

func (l *lister) run(ctx context.Context, names []string) error {
	s, err := l.factory.Connect()
	if err != nil {
		return err
	}
	list := &v1alpha1.ServiceLevelAgreementList{}
	namespace := s.Namespace
	if len(names) > 0 {
		ref, err := s.Ref(names[0])
		if err != nil {
			return err
		}
		one := v1alpha1.ServiceLevelAgreement{}
		if err := s.Read(ctx, ref, &one, "ServiceLevelAgreement", "servicelevelagreements"); err != nil {
			return err
		}
		list.Items = []v1alpha1.ServiceLevelAgreement{one}
	} else {
		namespace = l.namespaces.Of(s)
		if err := s.ReadAll(ctx, list, namespace); err != nil {
			return err
		}
	}
	list.Items = slices.DeleteFunc(list.Items, func(a v1alpha1.ServiceLevelAgreement) bool {
		return l.service != "" && string(a.Spec.ServiceRef.Name) != l.service
	})
	slices.SortStableFunc(list.Items, func(a, b v1alpha1.ServiceLevelAgreement) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	if !l.output.ForPeople() {
		return l.output.List(s.Screen.Out, list)
	}
	if len(list.Items) == 0 {
		s.Screen.Notef("No ServiceLevelAgreements %s.", session.In(namespace))
		return nil
	}
	columns := screen.Columns{Namespace: l.namespaces.All, Wide: l.output.Wide()}
	t, r := newTable(columns), newReader(s)
	for i := range list.Items {
		a := &list.Items[i]
		running, ok := r.running(ctx, a, s.Now())
		t.Add(row(a, figuresOf(a, running, ok), s.Now(), columns)...)
	}
	return t.Write(s.Screen.Out, s.Screen.Palette)
}
