// Package incidents has the commands about Incidents: the list by what is due, and what people declare about one.
package incidents

import (
	"context"
	"slices"
	"strings"

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

var priorities = []string{
	string(v1alpha1.PriorityP1), string(v1alpha1.PriorityP2), string(v1alpha1.PriorityP3),
	string(v1alpha1.PriorityP4), string(v1alpha1.PriorityP5),
}

type lister struct {
	factory    *session.Factory
	output     *output.Flags
	namespaces session.Namespaces
	// over: also those that are resolved or closed.
	over       bool
	mine       bool
	watch      bool
	service    string
	priorities []string
}

// NewList makes `kubectl itil incidents`.
func NewList(f *session.Factory) *cobra.Command {
	l := &lister{factory: f, output: output.ForList(f.Scheme)}
	cmd := &cobra.Command{
		Use:   "incidents",
		Short: "Show open Incidents, by what is due next",
		Long: `Show open Incidents: what is due first comes first, overdue before all; then, where no agreement sets a time, by
priority. DUE says what is due, the response (somebody takes notice) or the resolution. ELAPSED (-o wide) is the time since
detection, until the resolution, by the wall clock and in the service time that was agreed, less its pauses.`,
		Example: `  # What must be done next, anywhere
  kubectl itil incidents -A

  # My own, as they change
  kubectl itil incidents --mine --watch

  # The pressing ones of one service, with what fails and the suspected change
  kubectl itil incidents --service checkout --priority P1,P2 -o wide`,
		Args:              args.Exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.check(cmd); err != nil {
				return err
			}
			return l.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	l.namespaces.AddTo(flags, "Incidents")
	flags.BoolVar(&l.over, "all", false, "Show also Incidents that are resolved or closed.")
	flags.BoolVar(&l.mine, "mine", false, "Show only Incidents that are assigned to you.")
	flags.BoolVarP(&l.watch, "watch", "w", false, "Go on and show each Incident again when it changes.")
	flags.StringVar(&l.service, "service", "", "Show only Incidents of this Service.")
	flags.StringSliceVar(&l.priorities, "priority", nil, "Show only these priorities, for example P1,P2.")
	// They fail only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("priority", cobra.FixedCompletions(slices.Clone(priorities), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("service", complete.Flag(f, newServiceList))
	l.output.AddTo(cmd)
	return cmd
}

func newServiceList() client.ObjectList { return &v1alpha1.ServiceList{} }

func (l *lister) check(cmd *cobra.Command) error {
	for i, p := range l.priorities {
		l.priorities[i] = strings.ToUpper(p)
		if !slices.Contains(priorities, l.priorities[i]) {
			return args.Wrong(cmd, "--priority takes %s, and not %q", strings.Join(priorities, ", "), p)
		}
	}
	return l.output.Check()
}

func (l *lister) run(ctx context.Context) error {
	s, err := l.factory.Connect()
	if err != nil {
		return err
	}
	namespace := l.namespaces.Of(s)
	keep, err := l.filter(ctx, s)
	if err != nil {
		return err
	}
	if l.watch {
		return l.follow(ctx, s, namespace, keep)
	}
	list := &v1alpha1.IncidentList{}
	if err := s.ReadAll(ctx, list, namespace); err != nil {
		return err
	}
	list.Items = chosen(list.Items, keep)
	if !l.output.ForPeople() {
		return l.output.List(s.Screen.Out, list)
	}
	if len(list.Items) == 0 {
		if err := l.known(ctx, s, namespace); err != nil {
			return err
		}
		s.Screen.Notef("%s", l.nothing(namespace))
		return nil
	}
	columns := l.columns()
	t := newTable(columns)
	times := newElapsed(s)
	for i := range list.Items {
		t.Add(row(&list.Items[i], s.Now(), columns, func(i *v1alpha1.Incident) string { return times.text(ctx, i) })...)
	}
	return t.Write(s.Screen.Out, s.Screen.Palette)
}

func (l *lister) columns() screen.Columns {
	return screen.Columns{Namespace: l.namespaces.All, Wide: l.output.Wide()}
}

// known refuses a Service that there is not: of a name that was mistyped, all is quiet. In all namespaces, and where it may
// not be read, the name is taken as it is.
func (l *lister) known(ctx context.Context, s *session.Session, namespace string) error {
	if l.service == "" || namespace == "" {
		return nil
	}
	err := s.Read(ctx, session.Ref{Namespace: namespace, Name: l.service}, &v1alpha1.Service{}, "Service", "services")
	if exit.CodeOf(err) == exit.NotFound {
		return err
	}
	return nil
}

// chosen are the incidents that a filter keeps, in the order of what is due.
func chosen(items []v1alpha1.Incident, keep func(*v1alpha1.Incident) bool) []v1alpha1.Incident {
	items = slices.DeleteFunc(items, func(i v1alpha1.Incident) bool { return !keep(&i) })
	slices.SortStableFunc(items, func(a, b v1alpha1.Incident) int { return byDue(&a, &b) })
	return items
}

// filter is what the flags keep.
func (l *lister) filter(ctx context.Context, s *session.Session) (func(*v1alpha1.Incident) bool, error) {
	me := session.Identity{}
	if l.mine {
		var err error
		if me, err = s.WhoAmI(ctx); err != nil {
			return nil, err
		}
	}
	return func(i *v1alpha1.Incident) bool {
		return (l.over || !isOver(i)) &&
			(!l.mine || string(i.Spec.Assignee) == me.Name) &&
			(l.service == "" || serviceOf(i) == l.service) &&
			(len(l.priorities) == 0 || slices.Contains(l.priorities, string(i.Status.Priority)))
	}, nil
}

func (l *lister) nothing(namespace string) string {
	what := "No open Incidents"
	switch {
	case l.mine:
		what = "No Incidents of yours"
	case l.over:
		what = "No Incidents"
	}
	if l.service != "" {
		what += " on Service " + l.service
	}
	if len(l.priorities) > 0 {
		what += " of priority " + strings.Join(l.priorities, ", ")
	}
	return what + " " + session.In(namespace) + "."
}
