package changes

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

type lister struct {
	factory    *session.Factory
	output     *output.Flags
	namespaces session.Namespaces
	// ended: also those that have ended.
	ended bool
	// toApprove: only those that wait for a vote of the user.
	toApprove bool
	filter    filter
	// calendar: day by day, with what keeps the gate closed.
	calendar bool
	zone     string
}

// NewList makes `kubectl itil changes`.
func NewList(f *session.Factory) *cobra.Command {
	l := &lister{factory: f, output: output.ForList(f.Scheme)}
	cmd := &cobra.Command{
		Use:   "changes",
		Short: "Show what is asked for, scheduled, frozen or in conflict, by window",
		Long: `Show open Changes, the next window first: what waits for votes, what is scheduled and when, what a freeze or
another Change keeps out, what is being rolled out, and what awaits its review.

With --calendar it shows them day by day, below what closes the gate: change windows with their next hours, freezes, and
error budgets that are spent.`,
		Example: `  # What is planned in this namespace
  kubectl itil changes

  # What waits for my vote, anywhere
  kubectl itil changes -A --to-approve

  # Day by day, with change windows and freezes
  kubectl itil changes -A --calendar --until 14d

  # What is planned for a Service on a day, in another time zone
  kubectl itil changes --service checkout --since 2026-11-23 --until 2026-11-23 --calendar --zone America/New_York

  # What I asked for, and which reviews are owed
  kubectl itil changes --mine
  kubectl itil changes -A --state Review

  # Also what has ended, with requester, targets and summary
  kubectl itil changes --all -o wide`,
		Args:              args.Exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.output.Check(); err != nil {
				return err
			}
			return l.run(cmd)
		},
	}
	l.namespaces.AddTo(cmd.Flags(), "Changes")
	cmd.Flags().BoolVar(&l.ended, "all", false, "Show also Changes that are closed, rejected or canceled.")
	cmd.Flags().BoolVar(&l.toApprove, "to-approve", false, "Show only Changes that wait for a vote of yours.")
	cmd.Flags().BoolVar(&l.calendar, "calendar", false, "Show them day by day, with change windows and freezes.")
	cmd.Flags().StringVar(&l.zone, "zone", "", "Time zone of the calendar, and of dates given to --since and --until, such as Europe/Berlin. Default: the change windows' zone, else UTC.")
	l.filter.addFlags(cmd)
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("service", complete.Flag(f, func() client.ObjectList { return &v1alpha1.ServiceList{} }))
	l.output.AddTo(cmd)
	return cmd
}

func (l *lister) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	s, err := l.factory.Connect()
	if err != nil {
		return err
	}
	zone := time.UTC
	if l.zone != "" {
		if zone, err = servicelevel.ParseTimeZone("--zone", v1alpha1.TimeZone(l.zone)); err != nil {
			return args.Wrong(cmd, "%s", err)
		}
	}
	namespace := l.namespaces.Of(s)
	calendar, err := l.plan(ctx, s, namespace, &zone)
	if err != nil {
		return err
	}
	if err := l.filter.check(cmd, s.Now(), zone); err != nil {
		return err
	}
	list, err := l.read(ctx, s, namespace)
	if err != nil {
		return err
	}
	if !l.output.ForPeople() {
		return l.output.List(s.Screen.Out, list)
	}
	if calendar != nil {
		calendar.changes, calendar.from, calendar.to = list.Items, l.filter.from, l.filter.to
		_, err := calendar.page(l.namespaces.All, s.Screen.Palette).WriteTo(s.Screen.Out)
		return err
	}
	if len(list.Items) == 0 {
		s.Screen.Notef("%s", l.nothing(namespace))
		return nil
	}
	columns := screen.Columns{Namespace: l.namespaces.All, Wide: l.output.Wide()}
	return changesTable(list.Items, s.Now(), columns).Write(s.Screen.Out, s.Screen.Palette)
}

// plan reads what a calendar needs, and finds its zone where none is given; nil where no calendar is wanted.
func (l *lister) plan(ctx context.Context, s *session.Session, namespace string, zone **time.Location) (*plan, error) {
	if !l.calendar || !l.output.ForPeople() {
		return nil, nil
	}
	p, err := readPlan(ctx, s, namespace)
	if err != nil {
		return nil, err
	}
	if l.zone == "" {
		*zone = p.commonZone()
	}
	p.zone = *zone
	return p, nil
}

// read lists the Changes that are to be shown, by window.
func (l *lister) read(ctx context.Context, s *session.Session, namespace string) (*v1alpha1.ChangeList, error) {
	list := &v1alpha1.ChangeList{}
	if err := s.ReadAll(ctx, list, namespace); err != nil {
		return nil, err
	}
	var me session.Identity
	if l.toApprove || l.filter.mine {
		var err error
		if me, err = s.WhoAmI(ctx); err != nil {
			return nil, err
		}
	}
	known := map[string]items{}
	if l.filter.service != "" {
		all := &v1alpha1.ConfigurationItemList{}
		if err := s.ReadAll(ctx, all, namespace); err != nil {
			return nil, err
		}
		for i := range all.Items {
			in := all.Items[i].Namespace
			if known[in] == nil {
				known[in] = items{}
			}
			known[in][all.Items[i].Spec.WorkloadRef] = &all.Items[i]
		}
	}
	list.Items = slices.DeleteFunc(list.Items, func(c v1alpha1.Change) bool {
		switch {
		case l.toApprove && !awaitsVoteOf(&c, me):
			return true
		case !l.toApprove && !l.ended && len(l.filter.states) == 0 && isEnded(&c):
			return true
		}
		return !l.filter.keeps(&c, me, known)
	})
	slices.SortStableFunc(list.Items, func(a, b v1alpha1.Change) int { return byWindow(&a, &b) })
	return list, nil
}

func (l *lister) nothing(namespace string) string {
	what := "No open Changes"
	switch {
	case l.filter.service != "" || len(l.filter.states) > 0 || l.filter.mine || l.filter.since != "" || l.filter.until != "":
		what = "No such Changes"
	case l.toApprove:
		what = "No Change waits for your vote"
	case l.ended:
		what = "No Changes"
	}
	return what + " " + session.In(namespace) + "."
}

// awaitsVoteOf reports whether a vote of the user would bring a Change on.
func awaitsVoteOf(c *v1alpha1.Change, me session.Identity) bool {
	if c.Status.State != v1alpha1.ChangeAuthorize || c.Spec.Cancel || !assessed(c) {
		return false
	}
	if string(c.Spec.Requester) == me.Name || voteOf(c, me.Name) != nil {
		return false
	}
	groups := votersOf(c)
	return len(groups) == 0 || slices.ContainsFunc(groups, me.In)
}

// byWindow orders Changes by when their window begins; those that have none yet come last, the oldest first.
func byWindow(a, b *v1alpha1.Change) int {
	aStart, _ := windowTimes(a)
	bStart, _ := windowTimes(b)
	switch {
	case aStart.IsZero() != bStart.IsZero():
		if aStart.IsZero() {
			return 1
		}
		return -1
	default:
		return cmp.Or(
			aStart.Compare(bStart),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.Name, b.Name),
		)
	}
}

func changesTable(items []v1alpha1.Change, now time.Time, columns screen.Columns) *screen.Table {
	t := columns.Table(
		[]string{"NAME", "STATE", "TYPE", "RISK", "VOTES", "WINDOW", "WAITS-FOR"},
		[]string{"REQUESTER", "TARGETS", "AGE", "SUMMARY"},
	)
	for i := range items {
		t.Add(changeRow(&items[i], now, columns)...)
	}
	return t
}

func changeRow(c *v1alpha1.Change, now time.Time, columns screen.Columns) []screen.Cell {
	waits := screen.Line(strings.Join(waitsFor(c, now), "; "))
	if !columns.Wide {
		waits = screen.Cut(waits, maxWaits)
	}
	return columns.Row(c.Namespace, []screen.Cell{
		screen.Text(c.Name),
		screen.Styled(stateStyle(c), string(stateOf(c))),
		screen.Text(string(cmp.Or(c.Spec.Type, v1alpha1.ChangeNormal))),
		riskCell(c),
		votesCell(c),
		screen.Text(windowCell(c, now)),
		screen.Text(waits),
	}, func() []screen.Cell {
		return []screen.Cell{
			screen.Text(string(c.Spec.Requester)), screen.Text(targetNames(c)),
			screen.Text(screen.Age(now, c.CreationTimestamp.Time)), screen.Text(c.Spec.Summary),
		}
	})
}

// maxWaits is how many columns of the last column are shown without -o wide.
const maxWaits = 72

func riskCell(c *v1alpha1.Change) screen.Cell {
	if c.Status.Risk == nil {
		return screen.Cell{}
	}
	return screen.Styled(riskStyle(c.Status.Risk.Level), string(c.Status.Risk.Level))
}

func votesCell(c *v1alpha1.Change) screen.Cell {
	a := c.Status.Approvals
	if a == nil {
		return screen.Cell{}
	}
	return screen.Text(strconv.Itoa(int(a.Granted)) + "/" + strconv.Itoa(int(a.Required)))
}

func windowCell(c *v1alpha1.Change, now time.Time) string {
	start, end := windowTimes(c)
	switch {
	case start.IsZero():
		return ""
	case !isOpen(c):
		return screen.Moment(start)
	case now.Before(start):
		return screen.Moment(start) + " (" + screen.Ago(now, start) + ")"
	case now.Before(end):
		return "until " + screen.Moment(end) + " (" + screen.Ago(now, end) + ")"
	default:
		return "closed " + screen.Moment(end)
	}
}

// waitsFor is what a Change waits for, in a few words each; nothing for one that has ended.
func waitsFor(c *v1alpha1.Change, now time.Time) []string {
	if isEnded(c) {
		if c.Status.Outcome != "" {
			return []string{"ended: " + string(c.Status.Outcome)}
		}
		return nil
	}
	if c.Status.State == v1alpha1.ChangeReview {
		return []string{"a review (PIR)"}
	}
	if running := rollouts(c); len(running) > 0 {
		return running
	}
	if allIn(c) {
		return []string{"nothing: it is in, and watched"}
	}
	var out []string
	for _, o := range obstacles(c, now) {
		out = append(out, strings.TrimPrefix(o, "it "))
	}
	if len(out) > 0 {
		return out
	}
	if c.Status.State == v1alpha1.ChangeImplement && len(c.Status.Implementations) == 0 {
		return []string{"deployment: the gate is open"}
	}
	return nil
}

func targetNames(c *v1alpha1.Change) string {
	var names []string
	for _, t := range c.Spec.Targets {
		names = append(names, strings.ToLower(string(t.Workload.Kind))+"/"+string(t.Workload.Name))
	}
	return strings.Join(names, ",")
}
