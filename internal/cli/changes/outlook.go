package changes

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// outlook is what the gate goes by for a workload, put together as the gate does it.
type outlook struct {
	world *change.World
	// complete: all that rules come from could be read. What cannot be read is left unsaid.
	complete bool
	// hold says how the template that is let in is held back.
	hold configuration.Hold
}

// facts reads what the gate decides from, as far as the user may: it is put into an inventory like the gate's own.
func (r *records) facts(ctx context.Context, s *session.Session, namespace string) error {
	r.inventory = inventory.New()
	ns := &corev1.Namespace{}
	switch err := s.Get(ctx, session.Ref{Name: namespace}, ns); {
	case exit.CodeOf(err) == exit.NotPermitted:
		r.unread = append(r.unread, kindNamespaces)
	case exit.CodeOf(err) == exit.NotFound:
		return exit.New(exit.NotFound, "there is no namespace %s", namespace).WithCause(err)
	case err != nil:
		return err
	default:
		r.inventory.Put(ns)
	}
	lists := []struct {
		kind string
		list client.ObjectList
		// in is empty for what is of the whole cluster.
		in string
	}{
		{kindPolicies, &v1alpha1.ChangePolicyList{}, ""}, {kindCalendars, &v1alpha1.CalendarList{}, ""},
		{"ServiceLevelAgreements", &v1alpha1.ServiceLevelAgreementList{}, namespace},
		{"Incidents", &v1alpha1.IncidentList{}, namespace}, {"Problems", &v1alpha1.ProblemList{}, namespace},
		{"ChangeApprovals", &v1alpha1.ChangeApprovalList{}, namespace},
	}
	for _, kind := range []string{
		configuration.KindDeployment, configuration.KindStatefulSet, configuration.KindDaemonSet, configuration.KindCronJob, configuration.KindJob,
	} {
		group, _ := configuration.GroupOf(kind)
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind + "List"})
		lists = append(lists, struct {
			kind string
			list client.ObjectList
			in   string
		}{kind + "s", list, namespace})
	}
	for _, one := range lists {
		err := s.ReadAll(ctx, one.list, one.in)
		if exit.CodeOf(err) == exit.NotPermitted {
			r.unread = append(r.unread, one.kind)
			continue
		}
		if err == nil {
			err = meta.EachListItem(one.list, r.put)
		}
		if err != nil {
			return err
		}
	}
	for i := range r.services {
		r.inventory.Put(&r.services[i])
	}
	for _, item := range r.items {
		r.inventory.Put(item)
	}
	for i := range r.changes {
		r.inventory.Put(&r.changes[i])
	}
	return nil
}

func (r *records) put(item runtime.Object) error {
	if object, ok := item.(client.Object); ok {
		r.inventory.Put(object)
	}
	return nil
}

// outlook of a workload; nil where nothing was read for it.
func (r *records) outlook(t *trial) *outlook {
	if r.inventory == nil {
		return nil
	}
	o := &outlook{world: r.inventory.World(t.request())}
	if o.world.Rules == nil {
		o.world.Rules = change.Merge(nil, nil)
	}
	o.complete = !slices.ContainsFunc(r.unread, func(kind string) bool {
		return slices.Contains([]string{kindNamespaces, kindPolicies, kindCalendars, kindServices}, kind)
	})
	if t.before != nil {
		if w, err := configuration.FromObject(t.before.Object); err == nil {
			o.hold = w.Hold
		}
	}
	return o
}

// request is what the gate is asked by a trial; where nothing was tried, by what runs.
func (t *trial) request() *change.Request {
	group, _ := configuration.GroupOf(t.kind)
	r := &change.Request{
		Operation: change.Template, DryRun: true,
		Key: configuration.Key{Group: group, Kind: t.kind, Namespace: t.namespace, Name: t.name},
	}
	if t.before != nil {
		old := templateOf(t.before)
		r.Old = &old
	} else {
		r.Operation = change.Create
	}
	if t.after != nil {
		next := t.template()
		r.New, r.Change = &next, t.after.GetAnnotations()[v1alpha1.AnnotationChange]
	} else {
		r.Operation = change.Delete
	}
	return r
}

// why says by which rule the gate lets in what it was silent about; empty where that cannot be told.
func (o *outlook) why(t *trial, now time.Time) string {
	d := change.Decide(t.request(), o.world, now)
	switch d.Verdict {
	case change.NotGoverned:
		return "nobody governs it"
	case change.Unchanged:
		return "it is what is agreed to run"
	case change.Rollback:
		return "it is a rollback to a template that has proven itself"
	case change.Covered:
		return "Change " + t.namespace + "/" + d.Change + " covers it"
	case change.PreAuthorised:
		if d.StandardChange != "" {
			return "it is the standard change " + d.StandardChange + ", which needs no vote"
		}
		return "its risk is Low, which needs no vote"
	case change.Audited:
		return "enforcement is Audit: the gate only counts"
	case change.BreakGlass, change.Warned, change.Denied:
	}
	return ""
}

// governed is who has a say, in words.
func (o *outlook) governed() string {
	var who []string
	for i := range o.world.Claims {
		c := &o.world.Claims[i]
		text := fmt.Sprintf("Service %s (tier %d)", c.Service, c.Tier)
		if c.Through.Kind != "" {
			text += " through " + strings.ToLower(c.Through.Kind) + "/" + c.Through.Name + ", for whose pods its own would pass"
		}
		who = append(who, text)
	}
	for _, policy := range o.world.Rules.Policies {
		who = append(who, "ChangePolicy "+policy)
	}
	if o.world.Enforcement == "" {
		return "nobody: no Service claims it, and no ChangePolicy covers it"
	}
	return strings.Join(who, "; ")
}

var enforcementWords = map[v1alpha1.Enforcement]string{
	v1alpha1.EnforcementEnforce:  "what no approved Change covers is refused",
	v1alpha1.EnforcementWarn:     "what no approved Change covers is let in with a warning",
	v1alpha1.EnforcementAudit:    "everything is let in, and counted",
	v1alpha1.EnforcementDisabled: "everything is let in",
}

// writeTo writes what the gate goes by.
func (o *outlook) writeTo(p *screen.Page, t *trial, now time.Time) {
	e := o.world.Enforcement
	p.Field("Governed by", screen.Line(o.governed()))
	if words := enforcementWords[e]; words != "" {
		p.Field("Enforcement", p.Palette.Paint(map[v1alpha1.Enforcement]screen.Style{v1alpha1.EnforcementEnforce: screen.Strong}[e], string(e))+": "+words)
	}
	o.writeHold(p)
	if e == "" || e == v1alpha1.EnforcementDisabled {
		return
	}
	if !configuration.Claimable(t.kind) {
		p.Field("Needs", "no Change can name a "+t.kind+": change the workload that makes it")
		return
	}
	o.writeTimes(p, now)
	o.writeVotes(p)
	o.writeReturns(p, t)
}

func (o *outlook) writeHold(p *screen.Page) {
	var how []string
	for _, h := range []struct {
		held  bool
		words string
	}{
		{o.hold.Paused, "paused"}, {o.hold.Suspended, "suspended"}, {o.hold.OnDelete, "updateStrategy OnDelete"},
		{o.hold.Partition > 0, fmt.Sprintf("partition %d", o.hold.Partition)},
	} {
		if h.held {
			how = append(how, h.words)
		}
	}
	if len(how) > 0 {
		p.Field("Held back", p.Palette.Paint(screen.Warn, screen.And(how))+": to let out a template that is not the baseline needs a Change then, as to deploy it does")
	}
}

// writeTimes says when Normal changes may go in.
func (o *outlook) writeTimes(p *screen.Page, now time.Time) {
	rules := o.world.Rules
	look := rules.Outlook(v1alpha1.ChangeNormal, now)
	zone := rules.Zone()
	text := p.Palette.Paint(screen.Good, "open") + " for what is approved"
	switch {
	case look.Open && !look.Until.IsZero():
		text += ", until " + screen.Moment(look.Until.In(zone))
	case !look.Open && look.Next.IsZero():
		text = p.Palette.Paint(screen.Bad, "closed") + " for good, as far as can be seen: see the ChangePolicy"
	case !look.Open:
		text = p.Palette.Paint(screen.Bad, "closed") + " until " + screen.Moment(look.Next.In(zone)) + " (" + screen.Ago(now, look.Next) + ")"
	}
	p.Field("Gate now", text)
	if w := look.Window; w != nil {
		closed := "the change window is closed (Calendar " + w.Name + " of ChangePolicy " + w.Policy + ")"
		if w.Hours == nil {
			closed = w.Closed()
		}
		p.Item(screen.Line(closed + "; it does not hold up Standard and Emergency changes"))
	}
	if f := look.Freeze; f != nil {
		p.Item(screen.Line(freezeLine(f, zone)))
	}
	if rules.FreezeOnExhaustedErrorBudget {
		for _, service := range o.world.ExhaustedBudgets {
			p.Item(screen.Line("the error budget of Service " + service + " is spent: only what refers to its open Incident or Problem goes in"))
		}
	}
}

func freezeLine(f *change.Freeze, zone *time.Location) string {
	text := "freeze " + f.Name + " of ChangePolicy " + f.Policy
	if !f.To.IsZero() {
		text += " until " + screen.Moment(f.To.In(zone))
	}
	if f.Reason != "" {
		text += " (" + f.Reason + ")"
	}
	if len(f.Exempt) > 0 {
		text += "; it does not hold up " + listed(f.Exempt) + " changes"
	}
	return text
}

// writeVotes says how many votes a change needs, by its risk.
func (o *outlook) writeVotes(p *screen.Page) {
	rules := o.world.Rules
	p.Field("Who votes", "by risk, which the operator computes for each Change")
	for _, level := range []v1alpha1.RiskLevel{v1alpha1.RiskLow, v1alpha1.RiskMedium, v1alpha1.RiskHigh} {
		p.Item(fmt.Sprintf("%-10s %s", level, quorumWords(rules.VotesFor(v1alpha1.ChangeNormal, level))))
	}
	if emergency := rules.VotesFor(v1alpha1.ChangeEmergency, v1alpha1.RiskHigh); !sameQuorum(emergency, rules.VotesFor(v1alpha1.ChangeNormal, v1alpha1.RiskHigh)) {
		p.Item(fmt.Sprintf("%-10s %s", v1alpha1.ChangeEmergency, quorumWords(emergency)))
	}
}

func sameQuorum(a, b change.Quorum) bool {
	return a.Required == b.Required && slices.Equal(a.Groups, b.Groups)
}

func quorumWords(q change.Quorum) string {
	if q.Required == 0 {
		return "none"
	}
	return screen.Plural(q.Required, "vote") + fromGroups(q.Groups)
}

// writeReturns says what may come back without a Change.
func (o *outlook) writeReturns(p *screen.Page, t *trial) {
	returns := change.Returns(o.world)
	if len(returns) == 0 {
		p.Field("Rollback", "to nothing yet: no other template is known")
		return
	}
	open := slices.ContainsFunc(returns, func(r change.Return) bool { return len(r.But) == 0 })
	if open {
		p.Field("Rollback", p.Palette.Paint(screen.Good, "open at any time")+", freeze or not, and without a Change: kubectl rollout undo "+strings.ToLower(t.kind)+"/"+t.name+" -n "+t.namespace)
	} else {
		p.Field("Rollback", p.Palette.Paint(screen.Bad, "closed")+": going back needs a Change")
	}
	const shown = 5
	for i, r := range returns {
		if i == shown {
			p.Item("and " + screen.Plural(len(returns)-shown, "older template"))
			break
		}
		b := &o.world.Baselines[r.Baseline]
		line := "to " + screen.Short(b.TemplateHash) + ", " + imagesLine(b.Images)
		if len(r.But) > 0 {
			line = "not " + line + ": " + strings.TrimPrefix(strings.Join(r.But, "; "), "it is an earlier template, but ")
		}
		p.Item(screen.Line(line))
	}
}
