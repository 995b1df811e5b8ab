package changes

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// verdict is what the gate would do.
type verdict string

const (
	verdictLetIn   verdict = "would let it in"
	verdictWarned  verdict = "would let it in with a warning"
	verdictRefused verdict = "would refuse it"
	// verdictNone: nothing was asked.
	verdictNone verdict = ""
)

// answer is what is known about a trial.
type answer struct {
	trial    *trial
	verdict  verdict
	because  string
	services []*v1alpha1.Service
	item     *v1alpha1.ConfigurationItem
	changes  []considered
	unread   []string
	// outlook is what the gate goes by; nil where it is not known.
	outlook *outlook
	// undo says what the gate would say to a rollback to what ran before; nil where that was not asked.
	undo *undoAnswer
	now  time.Time
}

// considered is an open Change, and what keeps it from covering the trial; nothing where it covers it.
type considered struct {
	targeted
	// fits: it is for exactly what was tried.
	fits  bool
	keeps []string
}

// explain joins what the gate said with what the records say.
func explain(t *trial, tried bool, r *records, now time.Time) *answer {
	a := &answer{trial: t, services: r.claiming(t), item: r.items.of(t.kind, t.name), unread: r.unread, outlook: r.outlook(t), now: now}
	var baseline *v1alpha1.Baseline
	if a.item != nil {
		baseline = agreed(a.item.Status.Baselines)
	}
	for _, open := range r.open(t) {
		c := considered{targeted: open}
		if tried {
			c.keeps = mismatch(open.target, t, baseline)
			c.fits = len(c.keeps) == 0
		}
		c.keeps = append(c.keeps, obstacles(open.change, now)...)
		a.changes = append(a.changes, c)
	}
	if tried {
		a.verdict, a.because = a.judge()
	}
	return a
}

// judge says what the gate would do; why it would let something in is what the records tell, since the gate itself is
// silent then.
func (a *answer) judge() (verdict, string) {
	t := a.trial
	switch {
	case t.governed() && a.enforcement() == v1alpha1.EnforcementWarn:
		return verdictWarned, "enforcement is Warn"
	case t.governed():
		return verdictRefused, ""
	case t.before != nil && t.after != nil && t.template().Hash == templateOf(t.before).Hash:
		return verdictLetIn, "the pod template stays as it is"
	}
	if a.outlook != nil && a.outlook.complete {
		return verdictLetIn, a.outlook.why(t, a.now)
	}
	return verdictLetIn, a.guess()
}

func (a *answer) enforcement() v1alpha1.Enforcement {
	if a.outlook != nil && a.outlook.complete {
		return a.outlook.world.Enforcement
	}
	return enforcementOf(a.services)
}

// guess says by which rule the gate lets something in, where the rules could not be read.
func (a *answer) guess() string {
	t := a.trial
	for _, c := range a.changes {
		if len(c.keeps) == 0 {
			return "Change " + refOf(c.change) + " covers it"
		}
	}
	if a.item != nil && t.after != nil {
		for i := range a.item.Status.Baselines {
			if b := &a.item.Status.Baselines[i]; i > 0 && b.Proven && t.template().IsBaseline(*b, nil) {
				return "it is a rollback to a template that has proven itself"
			}
		}
	}
	switch enforcementOf(a.services) {
	case v1alpha1.EnforcementAudit:
		return "enforcement is Audit: the gate only counts"
	case v1alpha1.EnforcementDisabled:
		return "change control is disabled"
	case v1alpha1.EnforcementEnforce, v1alpha1.EnforcementWarn, "":
	}
	if len(a.services) == 0 && !slices.Contains(a.unread, kindServices) {
		return "no Service claims it"
	}
	return ""
}

// enforcementOf is how the Services say that their workloads are gated: the strictest. Empty where none says so yet.
func enforcementOf(services []*v1alpha1.Service) v1alpha1.Enforcement {
	order := []v1alpha1.Enforcement{"", v1alpha1.EnforcementDisabled, v1alpha1.EnforcementAudit, v1alpha1.EnforcementWarn, v1alpha1.EnforcementEnforce}
	byReason := map[string]v1alpha1.Enforcement{
		"Enforced": v1alpha1.EnforcementEnforce, "Warned": v1alpha1.EnforcementWarn,
		"Audited": v1alpha1.EnforcementAudit, "Disabled": v1alpha1.EnforcementDisabled,
	}
	strictest := v1alpha1.Enforcement("")
	for _, service := range services {
		condition := meta.FindStatusCondition(service.Status.Conditions, v1alpha1.ConditionGoverned)
		if condition == nil {
			continue
		}
		if e := byReason[condition.Reason]; slices.Index(order, e) > slices.Index(order, strictest) {
			strictest = e
		}
	}
	return strictest
}

// mismatch says why a target is not about what was tried; nothing where it is.
func mismatch(target *v1alpha1.ChangeTarget, t *trial, baseline *v1alpha1.Baseline) []string {
	asked := v1alpha1.OperationTemplate
	switch {
	case t.after == nil:
		asked = v1alpha1.OperationDelete
	case t.before == nil:
		asked = v1alpha1.OperationCreate
	}
	var out []string
	operations := target.Operations
	if len(operations) == 0 {
		operations = []v1alpha1.Operation{v1alpha1.OperationTemplate}
	}
	if !slices.Contains(operations, asked) {
		out = append(out, fmt.Sprintf("it asks for %s, not for %s", listed(operations), asked))
	}
	if t.after == nil {
		return out
	}
	after := t.template()
	switch {
	case target.TemplateHash != "":
		if string(target.TemplateHash) != after.Hash {
			out = append(out, "it is for template "+screen.Short(string(target.TemplateHash))+", and this is "+screen.Short(after.Hash))
		}
		return out
	case baseline == nil && t.before == nil:
		return append(out, "it names images alone, and there is no baseline to compare with")
	}
	base := baseOf(baseline, templateOf(t.before))
	if !base.differsInImagesOnly(after) {
		out = append(out, "it names images alone, and more than images differs")
	}
	for _, container := range slices.Sorted(maps.Keys(after.Images)) {
		image := after.Images[container]
		wanted, named := target.Images[container]
		switch {
		case named && string(wanted) != image:
			out = append(out, fmt.Sprintf("it allows %s=%s, and this is %s", container, wanted, image))
		case !named && base.images[container] != image:
			out = append(out, fmt.Sprintf("it does not name container %s, whose image differs too", container))
		}
	}
	return out
}

// page is the answer for people.
func (a *answer) page(now time.Time, palette screen.Palette) *screen.Page {
	p := &screen.Page{Palette: palette}
	p.Title(a.trial.String(), "")
	a.writeVerdict(p)
	if a.outlook != nil && a.outlook.complete {
		a.outlook.writeTo(p, a.trial, now)
	} else {
		a.writeGovernance(p)
	}
	a.writeUndo(p)
	a.writeDrift(p)
	a.writeBaselines(p, now)
	a.writeChanges(p)
	return p
}

// unknownOr is what there is to say where nothing of a kind was found.
func (a *answer) unknownOr(kind, none string) string {
	if slices.Contains(a.unread, kind) {
		return "not known: you may not read " + kind + " in namespace " + a.trial.namespace
	}
	return none
}

func (a *answer) writeVerdict(p *screen.Page) {
	styles := map[verdict]screen.Style{verdictLetIn: screen.Good, verdictWarned: screen.Warn, verdictRefused: screen.Bad}
	if a.verdict != verdictNone {
		text := p.Palette.Paint(styles[a.verdict], string(a.verdict))
		if a.because != "" {
			text += ": " + screen.Line(a.because)
		}
		p.Field("The gate", text)
	}
	for _, warning := range a.trial.warnings {
		p.Item(screen.Line(warning))
	}
}

func (a *answer) writeGovernance(p *screen.Page) {
	var services []string
	for _, service := range a.services {
		text := "Service " + service.Name + " (tier " + strconv.Itoa(int(service.Spec.Tier)) + ")"
		if governed := meta.FindStatusCondition(service.Status.Conditions, v1alpha1.ConditionGoverned); governed != nil {
			text += ", " + strings.ToLower(governed.Reason)
		}
		services = append(services, text)
	}
	none := "no Service"
	if !configuration.Claimable(a.trial.kind) {
		none = "no Service itself; if its pods pass for those of a governed workload, it is governed as that one is: ask about that"
	}
	p.Field("Claimed by", screen.Line(cmp.Or(strings.Join(services, "; "), a.unknownOr(kindServices, none))))
	if a.outlook != nil {
		a.outlook.writeHold(p)
		p.Field("Not known", "change windows, freezes, and how many must vote: you may not read "+screen.And(a.unread))
		p.Item("ask for a ClusterRoleBinding to " + a.roleLacking() + "; or ask the gate: kubectl itil why " + screen.Line(strings.ToLower(a.trial.kind)+"/"+a.trial.name) + " CONTAINER=IMAGE")
	}
}

// roleLacking is the least ClusterRole that lets the user read what they may not.
func (a *answer) roleLacking() string {
	if slices.ContainsFunc(a.unread, func(kind string) bool { return kind != kindPolicies && kind != kindCalendars }) {
		return "itil-viewer"
	}
	return "itil-policy-viewer"
}

func (a *answer) writeDrift(p *screen.Page) {
	if a.item != nil && a.item.Status.Drift == v1alpha1.DriftDrifted {
		p.Field("Drift", p.Palette.Paint(screen.Bad, "what runs is not what was agreed: "+screen.Line(a.item.Status.NextStep)))
	}
}

func (a *answer) writeBaselines(p *screen.Page, now time.Time) {
	switch {
	case a.item == nil:
		p.Field("Baselines", a.unknownOr(kindItems, "none: it has no ConfigurationItem"))
		return
	case len(a.item.Status.Baselines) == 0:
		p.Field("Baselines", "none yet")
		return
	}
	p.Field("Baselines", "what ran, the newest first (ConfigurationItem "+a.item.Name+")")
	t := &screen.Table{Header: []string{"TEMPLATE", "FROM", "SOURCE", "CHANGE", "BY", "PROVEN", "IMAGES"}}
	// A template that ran more than once is marked where it did so last.
	marked := marker{"runs": templateOf(a.trial.before)}
	if a.verdict != verdictNone {
		marked["asked"] = templateOf(a.trial.after)
	}
	for i := range a.item.Status.Baselines {
		b := &a.item.Status.Baselines[i]
		style := screen.Plain
		if b.Source == v1alpha1.BaselineUnauthorized || b.Source == v1alpha1.BaselineBreakGlass {
			style = screen.Bad
		}
		t.Add(screen.Text(screen.Short(b.TemplateHash)+marked.of(b)), screen.Text(screen.Ago(now, b.From.Time)),
			screen.Styled(style, string(b.Source)), screen.Text(b.Change), screen.Text(byWhom(b)), screen.Text(provenWord(b)), screen.Text(imagesLine(b.Images)))
	}
	p.Table(t)
}

// marker says once of each template which baseline it is.
type marker map[string]configuration.Template

func (m marker) of(b *v1alpha1.Baseline) string {
	var marks []string
	for _, word := range []string{"runs", "asked"} {
		if t, left := m[word]; left && t.Hash != "" && t.IsBaseline(*b, nil) {
			marks = append(marks, " ("+word+")")
			delete(m, word)
		}
	}
	return strings.Join(marks, "")
}

// byWhom let a template in, else whoever wrote it: a field manager is no user.
func byWhom(b *v1alpha1.Baseline) string {
	if b.By == "" && b.UnverifiedBy != "" {
		return b.UnverifiedBy + " (unverified)"
	}
	return b.By
}

func provenWord(b *v1alpha1.Baseline) string {
	if b.Proven {
		return "yes"
	}
	return "no"
}

func imagesLine(images map[string]string) string {
	var out []string
	for _, container := range slices.Sorted(maps.Keys(images)) {
		out = append(out, container+"="+images[container])
	}
	return strings.Join(out, ",")
}

func (a *answer) writeChanges(p *screen.Page) {
	if len(a.changes) == 0 {
		p.Field("Changes", a.unknownOr(kindChanges, "none is open for it"))
		return
	}
	what := "open for it, and what keeps them from letting anything in"
	if a.verdict != verdictNone {
		what = "open for it, and what keeps them from letting this in"
	}
	p.Field("Changes", what)
	for i := range a.changes {
		c := &a.changes[i]
		p.Item(p.Palette.Paint(screen.Strong, c.change.Name) + ", " + p.Palette.Paint(stateStyle(c.change), string(stateOf(c.change))) +
			": " + screen.Line(c.change.Spec.Summary))
		if len(c.keeps) == 0 {
			p.Item("  " + p.Palette.Paint(screen.Good, "nothing: its gate is open"))
		}
		for _, keep := range c.keeps {
			p.Item("  - " + screen.Line(keep))
		}
		c.writeAssessment(p)
	}
}

// writeAssessment shows in few lines what an approver would be shown of a Change.
func (c *considered) writeAssessment(p *screen.Page) {
	const shown = 5
	about := func(label, value string) { p.Item("  " + label + strings.Repeat(" ", max(9-len(label), 1)) + value) }
	s := &c.change.Status
	for i := range s.Diff[:min(len(s.Diff), shown)] {
		d := &s.Diff[i]
		about("differs", screen.Line(d.Path+": "+cmp.Or(d.From, "nothing")+" → "+cmp.Or(d.To, "nothing")))
	}
	left := change.LeftOut(s.Diff)
	switch more := len(s.Diff) - shown; {
	case left != "":
		about("", fmt.Sprintf("and %d more of them; ", max(more-1, 0))+p.Palette.Paint(screen.Bad, "NOT ALL IS SHOWN: "+screen.Line(left)))
	case more > 0:
		about("", "and "+screen.Plural(more, "more difference"))
	}
	if s.Risk != nil {
		var why []string
		for i := range s.Risk.Factors {
			why = append(why, s.Risk.Factors[i].Why)
		}
		text := fmt.Sprintf("(%d of 100)", s.Risk.Score)
		if len(why) > 0 {
			text += ": " + strings.Join(why, "; ")
		}
		about("risk", p.Palette.Paint(riskStyle(s.Risk.Level), string(s.Risk.Level))+" "+screen.Line(text))
	}
	for _, conflict := range s.Conflicts {
		if !conflict.Blocking { // what blocks, keeps it out
			about("mind", screen.Line(conflictWith(c.change, conflict)+": "+conflict.Why))
		}
	}
	if votes := s.Approvals; votes != nil && votes.Required > 0 {
		about("votes", fmt.Sprintf("%d of %d%s", votes.Granted, votes.Required, fromGroups(votes.From)))
		if missing := approvedMessage(c.change); missing != "" {
			about("", screen.Line(missing))
		}
	}
	if next, _, _ := strings.Cut(nextFor(c.change), "\n"); next != "" {
		about("next", screen.Line(next))
	}
}

// listed is "a, b and c" of any texts.
func listed[S ~string](all []S) string {
	texts := make([]string, 0, len(all))
	for _, item := range all {
		texts = append(texts, string(item))
	}
	return screen.And(texts)
}
