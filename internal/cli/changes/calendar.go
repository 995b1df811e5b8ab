package changes

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// plan is what a calendar shows.
type plan struct {
	changes []v1alpha1.Change
	// rules by namespace; those of a namespace without policies are the defaults.
	rules map[string]*change.Rules
	// spent are the Services whose error budget is, as namespace/name.
	spent []string
	// unread names the kinds that the user may not read.
	unread []string
	// zone that times are shown in, and its name.
	zone *time.Location
	// from and to bound the coming freezes; to is zero for the next 30 days.
	from, to time.Time
	now      time.Time
}

const (
	dayFormat  = "Mon 2006-01-02"
	hourFormat = "15:04"
	// comingFreezes are shown so far ahead.
	comingFreezes = 30 * 24 * time.Hour
)

// readPlan reads what closes the gate in these namespaces, as far as the user may.
func readPlan(ctx context.Context, s *session.Session, namespace string) (*plan, error) {
	p := &plan{rules: map[string]*change.Rules{}, now: s.Now(), zone: time.UTC}
	namespaces, policies, list := &corev1.NamespaceList{}, &v1alpha1.ChangePolicyList{}, &v1alpha1.CalendarList{}
	agreements := &v1alpha1.ServiceLevelAgreementList{}
	for _, one := range []struct {
		kind string
		read func() error
	}{
		{kindNamespaces, func() error { return readNamespaces(ctx, s, namespace, namespaces) }},
		{kindPolicies, func() error { return s.ReadAll(ctx, policies, "") }},
		{kindCalendars, func() error { return s.ReadAll(ctx, list, "") }},
		{"ServiceLevelAgreements", func() error { return s.ReadAll(ctx, agreements, namespace) }},
	} {
		if err := one.read(); exit.CodeOf(err) == exit.NotPermitted {
			p.unread = append(p.unread, one.kind)
		} else if err != nil {
			return nil, err
		}
	}
	calendars := map[string]change.Calendar{}
	for i := range list.Items {
		hours, problems := change.Hours(list.Items[i].Spec)
		if len(problems) > 0 {
			hours = nil
		}
		calendars[list.Items[i].Name] = hours
	}
	if p.rulesReadable() {
		for i := range namespaces.Items {
			p.rules[namespaces.Items[i].Name] = rulesIn(&namespaces.Items[i], policies, calendars)
		}
	}
	for i := range agreements.Items {
		a := &agreements.Items[i]
		name := a.Namespace + "/" + string(a.Spec.ServiceRef.Name)
		if meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionBudgetExhausted) && !slices.Contains(p.spent, name) {
			p.spent = append(p.spent, name)
		}
	}
	slices.Sort(p.spent)
	return p, nil
}

// rulesReadable reports whether all that closes the gate by a date could be read.
func (p *plan) rulesReadable() bool {
	return !slices.ContainsFunc(p.unread, func(kind string) bool {
		return slices.Contains([]string{kindNamespaces, kindPolicies, kindCalendars}, kind)
	})
}

func readNamespaces(ctx context.Context, s *session.Session, namespace string, list *corev1.NamespaceList) error {
	if namespace == "" {
		return s.ReadAll(ctx, list, "")
	}
	one := &corev1.Namespace{}
	if err := s.Get(ctx, session.Ref{Name: namespace}, one); err != nil {
		return err
	}
	list.Items = []corev1.Namespace{*one}
	return nil
}

func rulesIn(namespace *corev1.Namespace, policies *v1alpha1.ChangePolicyList, calendars map[string]change.Calendar) *change.Rules {
	var scope []*v1alpha1.ChangePolicy
	for i := range policies.Items {
		if change.InScope(&policies.Items[i], namespace.Labels) {
			scope = append(scope, &policies.Items[i])
		}
	}
	return change.Merge(scope, calendars)
}

// commonZone is the zone of all change windows where they have one in common, else UTC.
func (p *plan) commonZone() *time.Location {
	var found *time.Location
	for _, namespace := range sortedKeys(p.rules) {
		if rules := p.rules[namespace]; len(rules.Windows) > 0 {
			zone := rules.Zone()
			if found != nil && found.String() != zone.String() {
				return time.UTC
			}
			found = zone
		}
	}
	return cmp.Or(found, time.UTC)
}

// page is the calendar: what keeps the gate closed, what is planned for each day, and what has no time yet.
func (p *plan) page(namespaces bool, palette screen.Palette) *screen.Page {
	page := &screen.Page{Palette: palette}
	page.Title(p.now.In(p.zone).Format(dayFormat+" "+hourFormat), "times are in "+p.zone.String())
	p.writeGates(page)
	p.writeFreezes(page)
	planned, unplanned := p.byDay()
	for _, day := range planned {
		page.Gap()
		page.Title(day.title, "")
		page.Table(p.table(day.changes, namespaces))
	}
	if len(unplanned) > 0 {
		page.Gap()
		page.Title("Without a time yet", "a window begins with the approval")
		page.Table(p.table(unplanned, namespaces))
	}
	if len(planned)+len(unplanned) == 0 {
		page.Gap()
		page.Title("No Changes", "")
	}
	return page
}

// writeGates says for each namespace that has a change window or a freeze whether Normal changes go in now, and when
// next. Namespaces that are alike share a line.
func (p *plan) writeGates(page *screen.Page) {
	if !p.rulesReadable() {
		page.Field("Gate", "change windows and freezes are not known: you may not read "+screen.And(p.unread))
		return
	}
	alike := map[string][]string{}
	for _, namespace := range sortedKeys(p.rules) {
		if line := p.gate(p.rules[namespace], page.Palette); line != "" {
			alike[line] = append(alike[line], namespace)
		}
	}
	lines := sortedKeys(alike)
	slices.SortFunc(lines, func(a, b string) int { return cmp.Compare(alike[a][0], alike[b][0]) })
	if len(lines) == 0 {
		page.Field("Gate", "no change window and no freeze holds anything up")
		return
	}
	page.Field("Gate", "for Normal changes")
	for _, line := range lines {
		const shown = 5
		names := alike[line]
		if more := len(names) - shown; more > 0 {
			names = append(slices.Clone(names[:shown]), screen.Plural(more, "other"))
		}
		page.Item(screen.Line(screen.And(names)) + ": " + line)
	}
}

func (p *plan) gate(rules *change.Rules, palette screen.Palette) string {
	if len(rules.Windows)+len(rules.Freezes) == 0 {
		return ""
	}
	look := rules.Outlook(v1alpha1.ChangeNormal, p.now)
	why := ""
	if look.Window != nil {
		why = ", Calendar " + look.Window.Name
	}
	if look.Freeze != nil {
		why = ", freeze " + look.Freeze.Name
	}
	switch {
	case look.Open && look.Until.IsZero():
		return palette.Paint(screen.Good, "open")
	case look.Open:
		return palette.Paint(screen.Good, "open") + " until " + p.moment(look.Until)
	case look.Next.IsZero():
		return palette.Paint(screen.Bad, "closed") + " for good" + screen.Line(why)
	}
	next := palette.Paint(screen.Bad, "closed") + " until " + p.moment(look.Next) + " (" + screen.Ago(p.now, look.Next) + screen.Line(why) + ")"
	if until := rules.Outlook(v1alpha1.ChangeNormal, look.Next).Until; !until.IsZero() {
		next += ", then open until " + p.moment(until)
	}
	return next
}

func (p *plan) moment(t time.Time) string {
	t = t.In(p.zone)
	if t.Format(dayFormat) == p.now.In(p.zone).Format(dayFormat) {
		return t.Format(hourFormat)
	}
	return t.Format(dayFormat + " " + hourFormat)
}

// writeFreezes lists the freezes that are on or come, and the error budgets that are spent.
func (p *plan) writeFreezes(page *screen.Page) {
	from, to := p.from, p.to
	if from.IsZero() || from.Before(p.now) {
		from = p.now
	}
	if to.IsZero() {
		to = from.Add(comingFreezes)
	}
	table := &screen.Table{Header: []string{"FREEZE", "FROM", "TO", "NOT-FOR", "POLICY", "REASON"}}
	seen := map[string]bool{}
	var freezes []*change.Freeze
	for _, namespace := range sortedKeys(p.rules) {
		for i := range p.rules[namespace].Freezes {
			f := &p.rules[namespace].Freezes[i]
			key := f.Policy + "/" + f.Name
			if !seen[key] && (f.To.IsZero() || f.To.After(from)) && f.From.Before(to) {
				seen[key] = true
				freezes = append(freezes, f)
			}
		}
	}
	slices.SortFunc(freezes, func(a, b *change.Freeze) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Name, b.Name))
	})
	for _, f := range freezes {
		style := screen.Plain
		if f.Contains(p.now) {
			style = screen.Bad
		}
		table.Add(screen.Styled(style, f.Name), screen.Text(p.end(f.From)), screen.Text(p.end(f.To)), screen.Text(listed(f.Exempt)), screen.Text(f.Policy), screen.Text(f.Reason))
	}
	if len(freezes) > 0 {
		page.Field("Freezes", "on now, or to come")
		page.Table(table)
	}
	var frozen []string
	for _, service := range p.spent {
		namespace, _, _ := strings.Cut(service, "/")
		if rules := p.rules[namespace]; rules != nil && rules.FreezeOnExhaustedErrorBudget {
			frozen = append(frozen, "Service "+service)
		}
	}
	if len(frozen) > 0 {
		page.Field("Error budget", page.Palette.Paint(screen.Bad, "spent")+": "+screen.Line(screen.And(frozen))+"; only what refers to an open Incident or Problem of it goes in")
	}
}

func (p *plan) end(t time.Time) string {
	if t.IsZero() {
		return "always"
	}
	return t.In(p.zone).Format(dayFormat + " " + hourFormat)
}

// day is what is planned for a day.
type day struct {
	title   string
	changes []*v1alpha1.Change
}

// byDay groups Changes by the day on which their window begins; those that began earlier and may still go in are of
// today, and so is what is left of earlier ones: they wait for somebody.
func (p *plan) byDay() (planned []day, unplanned []*v1alpha1.Change) {
	for i := range p.changes {
		c := &p.changes[i]
		start, end := windowTimes(c)
		if start.IsZero() {
			unplanned = append(unplanned, c)
			continue
		}
		title := start.In(p.zone).Format(dayFormat)
		if start.Before(p.now) && (end.After(p.now) || !isEnded(c)) {
			title = p.now.In(p.zone).Format(dayFormat) + ", today"
		} else if title == p.now.In(p.zone).Format(dayFormat) {
			title += ", today"
		}
		at := slices.IndexFunc(planned, func(d day) bool { return d.title == title })
		if at < 0 {
			planned = append(planned, day{title: title})
			at = len(planned) - 1
		}
		planned[at].changes = append(planned[at].changes, c)
	}
	return planned, unplanned
}

func (p *plan) table(changes []*v1alpha1.Change, namespaces bool) *screen.Table {
	t := &screen.Table{Header: []string{"WHEN", "CHANGE", "STATE", "TYPE", "RISK", "TARGETS", "WAITS-FOR"}}
	for _, c := range changes {
		name := c.Name
		if namespaces {
			name = refOf(c)
		}
		waits := screen.Line(strings.Join(waitsFor(c, p.now), "; "))
		t.Add(screen.Text(p.when(c)), screen.Text(name), screen.Styled(stateStyle(c), string(stateOf(c))),
			screen.Text(string(cmp.Or(c.Spec.Type, v1alpha1.ChangeNormal))), riskCell(c), screen.Text(screen.Cut(targetNames(c), maxTargets)),
			screen.Styled(waitStyle(c, p.now), screen.Cut(waits, maxWaits)))
	}
	return t
}

// maxTargets is how many columns of the targets are shown in a calendar.
const maxTargets = 40

// when is the window within its day: "08:00–12:00", with the day of its end where that is another.
func (p *plan) when(c *v1alpha1.Change) string {
	start, end := windowTimes(c)
	if start.IsZero() {
		return ""
	}
	start, end = start.In(p.zone), end.In(p.zone)
	from, to := start.Format(hourFormat), end.Format(hourFormat)
	if !start.After(p.now) {
		from = "now"
		if !end.After(p.now) {
			from = start.Format(dayFormat + " " + hourFormat)
		}
	}
	if end.Format(dayFormat) != cmp.Or(map[bool]string{true: p.now.In(p.zone).Format(dayFormat)}[from == "now"], start.Format(dayFormat)) {
		to = end.Format(dayFormat + " " + hourFormat)
	}
	return from + "–" + to
}

// waitStyle marks what a freeze or another Change keeps out.
func waitStyle(c *v1alpha1.Change, now time.Time) screen.Style {
	blocked := len(frozen(c)) > 0 || slices.ContainsFunc(c.Status.Conflicts, func(conflict v1alpha1.Conflict) bool { return conflict.Blocking })
	if blocked && isOpen(c) && len(obstacles(c, now)) > 0 {
		return screen.Bad
	}
	return screen.Plain
}
