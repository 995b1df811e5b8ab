package problems

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

type lister struct {
	factory    *session.Factory
	output     *output.Flags
	namespaces session.Namespaces
	// over: also those that are closed.
	over    bool
	mine    bool
	service string
}

func newList(f *session.Factory) *cobra.Command {
	l := &lister{factory: f, output: output.ForList(f.Scheme)}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show open Problems, the one that causes the most harm first",
		Long: `Show open Problems in the order of a Pareto analysis: by the downtime that their Incidents caused in 90 days, then by
how often they failed. The first few are worth the most.`,
		Example: `  kubectl itil problem list -n shop

  # Everywhere, with workaround and next step
  kubectl itil problem list -A -o wide`,
		Args:              args.Exactly(),
		ValidArgsFunction: complete.Nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.output.Check(); err != nil {
				return err
			}
			return l.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	l.namespaces.AddTo(flags, "Problems")
	flags.BoolVar(&l.over, "all", false, "Show also Problems that are closed.")
	flags.BoolVar(&l.mine, "mine", false, "Show only Problems that you own.")
	flags.StringVar(&l.service, "service", "", "Show only Problems of this Service.")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("service", complete.Flag(f, newServiceList))
	l.output.AddTo(cmd)
	return cmd
}

func (l *lister) run(ctx context.Context) error {
	s, err := l.factory.Connect()
	if err != nil {
		return err
	}
	namespace := l.namespaces.Of(s)
	me := session.Identity{}
	if l.mine {
		if me, err = s.WhoAmI(ctx); err != nil {
			return err
		}
	}
	list := &v1alpha1.ProblemList{}
	if err := s.ReadAll(ctx, list, namespace); err != nil {
		return err
	}
	list.Items = slices.DeleteFunc(list.Items, func(p v1alpha1.Problem) bool {
		return !l.over && p.Status.State == v1alpha1.ProblemClosed && !isOverdue(&p) ||
			l.mine && string(p.Spec.Owner) != me.Name || l.service != "" && serviceOf(&p) != l.service
	})
	slices.SortStableFunc(list.Items, func(a, b v1alpha1.Problem) int { return byHarm(&a, &b) })
	if !l.output.ForPeople() {
		return l.output.List(s.Screen.Out, list)
	}
	if len(list.Items) == 0 {
		s.Screen.Notef("No open Problems %s.", session.In(namespace))
		return nil
	}
	columns := screen.Columns{Namespace: l.namespaces.All, Wide: l.output.Wide()}
	return table(list.Items, s.Now(), columns).Write(s.Screen.Out, s.Screen.Palette)
}

// byHarm is the order of the ranking, over all namespaces; what is closed comes last.
func byHarm(a, b *v1alpha1.Problem) int {
	closed := func(p *v1alpha1.Problem) int {
		if p.Status.State == v1alpha1.ProblemClosed {
			return 1
		}
		return 0
	}
	x, y := figures(a), figures(b)
	return cmp.Or(
		cmp.Compare(closed(a), closed(b)),
		cmp.Compare(y.RankDowntimeSeconds, x.RankDowntimeSeconds),
		cmp.Compare(y.RankFailures, x.RankFailures),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}

func figures(p *v1alpha1.Problem) v1alpha1.ProblemIncidents {
	if p.Status.Incidents == nil {
		return v1alpha1.ProblemIncidents{}
	}
	return *p.Status.Incidents
}

func table(items []v1alpha1.Problem, now time.Time, c screen.Columns) *screen.Table {
	t := c.Table(
		[]string{"RANK", "NAME", "STATE", "SERVICE", "OWNER", "DOWNTIME", "FAILURES", "OPEN", "LAST", "KNOWN-ERROR"},
		[]string{"CHANGES", "WORKAROUND", "NEXT"},
	)
	for i := range items {
		t.Add(row(&items[i], now, c)...)
	}
	return t
}

const maxText = 80

func row(p *v1alpha1.Problem, now time.Time, c screen.Columns) []screen.Cell {
	f := figures(p)
	rank := ""
	if p.Status.Rank > 0 && p.Status.Rank < practice.LastRank {
		rank = strconv.Itoa(int(p.Status.Rank))
	}
	last := ""
	if f.Last != nil {
		last = screen.Ago(now, f.Last.Time)
	}
	return c.Row(p.Namespace, []screen.Cell{
		screen.Text(rank),
		screen.Text(p.Name),
		screen.Styled(stateStyle(p), stateText(p)),
		screen.Text(serviceOf(p)),
		screen.Text(string(p.Spec.Owner)),
		screen.Text(duration.HumanDuration(time.Duration(f.RankDowntimeSeconds) * time.Second)),
		screen.Text(strconv.Itoa(int(f.RankFailures))),
		screen.Text(strconv.Itoa(int(f.Open))),
		screen.Text(last),
		screen.Text(knownErrorOf(p)),
	}, func() []screen.Cell {
		var changes []string
		for _, c := range p.Status.Changes {
			changes = append(changes, string(c.Name)+" "+string(c.State))
		}
		return []screen.Cell{
			screen.Text(strings.Join(changes, ",")),
			screen.Text(screen.Cut(screen.Line(p.Spec.Workaround), maxText)),
			screen.Text(screen.Line(p.Status.NextStep)),
		}
	})
}

func isOverdue(p *v1alpha1.Problem) bool {
	return meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReviewOverdue)
}

func isRecurring(p *v1alpha1.Problem) bool {
	return p.Status.State != v1alpha1.ProblemClosed && meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionRecurring)
}

func stateText(p *v1alpha1.Problem) string {
	switch {
	case isOverdue(p):
		return string(stateOf(p)) + " review overdue"
	case isRecurring(p):
		return string(stateOf(p)) + " failed again"
	default:
		return string(stateOf(p))
	}
}

func stateStyle(p *v1alpha1.Problem) screen.Style {
	switch {
	case isOverdue(p), isRecurring(p):
		return screen.Bad
	case p.Status.State == v1alpha1.ProblemResolved:
		return screen.Good
	case p.Status.State == v1alpha1.ProblemClosed:
		return screen.Faint
	case stateOf(p) == v1alpha1.ProblemNew:
		return screen.Warn
	}
	return screen.Plain
}

func serviceOf(p *v1alpha1.Problem) string {
	if p.Spec.ServiceRef == nil {
		return ""
	}
	return string(p.Spec.ServiceRef.Name)
}

func knownErrorOf(p *v1alpha1.Problem) string {
	switch {
	case p.Spec.Workaround != "" && p.Spec.RootCause != "":
		return "cause, workaround"
	case p.Spec.Workaround != "":
		return "workaround"
	case p.Spec.RootCause != "":
		return "cause"
	default:
		return ""
	}
}
