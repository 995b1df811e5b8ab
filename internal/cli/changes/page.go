package changes

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// approversPage is what an approver must know of a Change: what would change, how risky that is and why, what is in
// the way, and who else must vote.
func approversPage(c *v1alpha1.Change, releases []v1alpha1.Release, now time.Time, palette screen.Palette) *screen.Page {
	p := &screen.Page{Palette: palette}
	p.Title("Change "+refOf(c), fmt.Sprintf("%s, %s", cmp.Or(c.Spec.Type, v1alpha1.ChangeNormal), palette.Paint(stateStyle(c), string(stateOf(c)))))
	p.Field("Summary", screen.Line(c.Spec.Summary))
	p.Text("Why", c.Spec.Justification)
	p.Field("Requested by", screen.Line(string(c.Spec.Requester))+", "+screen.Ago(now, c.CreationTimestamp.Time))
	writeRefs(p, c)
	p.Field("Digest", screen.Line(c.Status.Digest))
	p.Gap()
	writeTargets(p, c)
	writeReleases(p, releases)
	writeDiff(p, c)
	p.Gap()
	writeRisk(p, c)
	writeConflicts(p, c)
	p.Field("Window", windowOf(c, now))
	if c.Spec.ExpectedDowntimeSeconds > 0 {
		p.Field("Downtime", "at most "+duration.HumanDuration(time.Duration(c.Spec.ExpectedDowntimeSeconds)*time.Second)+" planned")
	}
	writeBackout(p, c)
	writeAnswers(p, c)
	writeVotes(p, c, now)
	writeCourse(p, c, now)
	return p
}

// stateOf is the state that is shown: a Change that the operator has not seen yet is being assessed.
func stateOf(c *v1alpha1.Change) v1alpha1.ChangeState {
	return cmp.Or(c.Status.State, v1alpha1.ChangeAssess)
}

func stateStyle(c *v1alpha1.Change) screen.Style {
	switch stateOf(c) {
	case v1alpha1.ChangeAuthorize, v1alpha1.ChangeReview:
		return screen.Warn
	case v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement:
		return screen.Good
	case v1alpha1.ChangeRejected:
		return screen.Bad
	case v1alpha1.ChangeCanceled, v1alpha1.ChangeClosed:
		return screen.Faint
	case v1alpha1.ChangeAssess:
	}
	return screen.Plain
}

func riskStyle(level v1alpha1.RiskLevel) screen.Style {
	switch level {
	case v1alpha1.RiskHigh:
		return screen.Bad
	case v1alpha1.RiskMedium:
		return screen.Warn
	case v1alpha1.RiskLow:
	}
	return screen.Plain
}

func writeRefs(p *screen.Page, c *v1alpha1.Change) {
	var refs []string
	if c.Spec.IncidentRef != nil {
		refs = append(refs, "Incident "+string(c.Spec.IncidentRef.Name))
	}
	if c.Spec.ProblemRef != nil {
		refs = append(refs, "Problem "+string(c.Spec.ProblemRef.Name))
	}
	p.Field("For", screen.Line(screen.And(refs)))
	p.Field("Claims to be", screen.Line(c.Spec.StandardChange))
}

func writeTargets(p *screen.Page, c *v1alpha1.Change) {
	p.Field("Targets", screen.Plural(len(c.Spec.Targets), "workload"))
	for i := range c.Spec.Targets {
		p.Item(screen.Line(targetLine(&c.Spec.Targets[i])))
	}
}

// targetLine is, for example, "Deployment checkout: image of app is registry.example/checkout:2.4".
func targetLine(t *v1alpha1.ChangeTarget) string {
	name := string(t.Workload.Kind) + " " + string(t.Workload.Name)
	var what []string
	for _, o := range t.Operations {
		switch o {
		case v1alpha1.OperationCreate:
			what = append(what, "create it")
		case v1alpha1.OperationDelete:
			what = append(what, "delete it")
		case v1alpha1.OperationTemplate:
		}
	}
	for _, container := range slices.Sorted(maps.Keys(t.Images)) {
		what = append(what, "image of "+container+" is "+string(t.Images[container]))
	}
	if t.TemplateHash != "" {
		what = append(what, "exactly template "+screen.Short(string(t.TemplateHash)))
	}
	return name + ": " + strings.Join(what, ", ")
}

func writeDiff(p *screen.Page, c *v1alpha1.Change) {
	if len(c.Status.Diff) == 0 {
		p.Field("Diff", "none is known against what runs")
		return
	}
	p.Field("Diff", "against what runs; values of env and args are hidden")
	if left := change.LeftOut(c.Status.Diff); left != "" {
		p.Item(p.Palette.Paint(screen.Bad, "NOT ALL IS SHOWN: "+screen.Line(left)))
		p.Item("ask the requester for the manifest: kubectl diff -f FILE shows all, kubectl itil why -f FILE which template it makes")
	}
	for _, d := range c.Status.Diff {
		p.Item(screen.Line(d.Path))
		if d.From != "" {
			p.Item("  " + p.Palette.Paint(screen.Bad, "- "+screen.Line(d.From)))
		}
		if d.To != "" {
			p.Item("  " + p.Palette.Paint(screen.Good, "+ "+screen.Line(d.To)))
		}
	}
}

func writeRisk(p *screen.Page, c *v1alpha1.Change) {
	r := c.Status.Risk
	if r == nil {
		p.Field("Risk", "not assessed yet")
		return
	}
	p.Field("Risk", p.Palette.Paint(riskStyle(r.Level), string(r.Level))+fmt.Sprintf(" (%d of 100)", r.Score))
	for _, f := range r.Factors {
		p.Item(fmt.Sprintf("%+3d  %s: %s", f.Points, screen.Line(f.Name), screen.Line(f.Why)))
	}
}

func writeConflicts(p *screen.Page, c *v1alpha1.Change) {
	if frozen := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionFrozen); frozen != nil && frozen.Status == "True" {
		p.Field("Frozen", p.Palette.Paint(screen.Bad, screen.Line(strings.TrimPrefix(frozen.Message, "freeze "))))
	}
	if len(c.Status.Conflicts) == 0 {
		return
	}
	p.Field("Conflicts", screen.Plural(len(c.Status.Conflicts), "other Change"))
	for _, conflict := range c.Status.Conflicts {
		kind := "warning"
		if conflict.Blocking {
			kind = p.Palette.Paint(screen.Bad, "blocking")
		}
		p.Item(kind + ": " + screen.Line(conflictWith(c, conflict)+": "+conflict.Why))
	}
}

func conflictWith(c *v1alpha1.Change, conflict v1alpha1.Conflict) string {
	return cmp.Or(string(conflict.With.Namespace), c.Namespace) + "/" + string(conflict.With.Name)
}

func writeBackout(p *screen.Page, c *v1alpha1.Change) {
	if c.Spec.Backout == nil {
		p.Field("Backout", "no plan is given")
		return
	}
	plan := cmp.Or(c.Spec.Backout.Plan, "no plan is given")
	if c.Spec.Backout.Automatic {
		plan += "\nautomatic: the operator restores the last proven template when it fails"
	}
	p.Text("Backout", plan)
	possible := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionBackoutPossible)
	if possible != nil && possible.Status == "False" && c.Status.Backout == nil {
		p.Item(p.Palette.Paint(screen.Warn, "the operator could not: "+screen.Line(possible.Message)))
	}
}

func writeReleases(p *screen.Page, releases []v1alpha1.Release) {
	for i := range releases {
		r := &releases[i]
		p.Field("Release", screen.Line(r.Name+", "+string(cmp.Or(r.Status.State, v1alpha1.ReleasePlanning))+": its targets go in by its phases, kubectl itil release status "+r.Namespace+"/"+r.Name))
	}
}

// writeCourse shows what became of a Change: what went in, whom it hurt, how it was undone, how it ended, what is owed.
func writeCourse(p *screen.Page, c *v1alpha1.Change, now time.Time) {
	s := &c.Status
	if len(s.Implementations) > 0 {
		p.Field("Went in", screen.Plural(len(s.Implementations), "template"))
	}
	for i := range s.Implementations {
		im := &s.Implementations[i]
		line := workloadWord(im.Workload) + ", " + screen.Ago(now, im.At.Time)
		if im.By != "" {
			line += ", by " + im.By
		}
		if im.Operation == v1alpha1.OperationDelete {
			line += ", deleted"
		}
		p.Item(p.Palette.Paint(rolloutStyle(im.Rollout), string(im.Rollout)) + "  " + screen.Line(line))
	}
	if n := len(s.CausedIncidents); n > 0 {
		p.Field("Incidents", p.Palette.Paint(screen.Bad, screen.Plural(n, "Incident"))+" suspected to be caused by it")
		for _, ref := range s.CausedIncidents {
			p.Item(screen.Line(cmp.Or(string(ref.Namespace), c.Namespace) + "/" + string(ref.Name)))
		}
	}
	writeUndoing(p, s.Backout, now)
	if s.Outcome != "" {
		style := screen.Good
		switch s.Outcome {
		case v1alpha1.OutcomeUnsuccessful, v1alpha1.OutcomeRolledBack:
			style = screen.Bad
		case v1alpha1.OutcomeSuccessfulWithIssues, v1alpha1.OutcomePartial, v1alpha1.OutcomeNotImplemented, v1alpha1.OutcomeInconclusive:
			style = screen.Warn
		case v1alpha1.OutcomeSuccessful:
		}
		p.Field("Outcome", p.Palette.Paint(style, string(s.Outcome)))
	}
	if due, err := time.Parse(time.RFC3339, string(s.ReviewDueAt)); err == nil {
		text := screen.Moment(due) + " (" + screen.Ago(now, due) + ")"
		if now.After(due) {
			text = p.Palette.Paint(screen.Bad, "overdue since "+text)
		}
		p.Field("Review due", text)
	}
	if r := c.Spec.Review; r != nil {
		p.Text("Review", string(r.Outcome)+": "+cmp.Or(r.Notes, "no notes"))
	}
}

// writeUndoing shows how far the operator is with undoing it.
func writeUndoing(p *screen.Page, b *v1alpha1.ChangeBackout, now time.Time) {
	if b == nil {
		return
	}
	p.Field("Undone", screen.Line("by the operator, "+screen.Ago(now, b.StartedAt.Time)+": "+b.Why))
	for i := range b.Targets {
		t := &b.Targets[i]
		line := workloadWord(t.Workload)
		if t.To != "" {
			line += ", back to template " + screen.Short(t.To)
		}
		if t.Why != "" {
			line += ": " + t.Why
		}
		style := screen.Plain
		switch t.State {
		case v1alpha1.ChangeBackoutVerified:
			style = screen.Good
		case v1alpha1.ChangeBackoutNotPossible, v1alpha1.ChangeBackoutFailed:
			style = screen.Bad
		case v1alpha1.ChangeBackoutPending, v1alpha1.ChangeBackoutRestored, v1alpha1.ChangeBackoutSuperseded:
		}
		p.Item(p.Palette.Paint(style, string(t.State)) + "  " + screen.Line(line))
	}
}

func workloadWord(w v1alpha1.WorkloadReference) string {
	return strings.ToLower(string(w.Kind)) + "/" + string(w.Name)
}

func rolloutStyle(r v1alpha1.RolloutState) screen.Style {
	switch r {
	case v1alpha1.RolloutFailed, v1alpha1.RolloutRolledBack:
		return screen.Bad
	case v1alpha1.RolloutComplete:
		return screen.Good
	case v1alpha1.RolloutInProgress:
	}
	return screen.Plain
}

// writeAnswers shows what the requester says of the Change.
func writeAnswers(p *screen.Page, c *v1alpha1.Change) {
	q := c.Spec.Questionnaire
	if q == nil {
		return
	}
	words := map[v1alpha1.Answer]string{v1alpha1.AnswerConfirmed: "yes", v1alpha1.AnswerNotConfirmed: "no", "": "not said"}
	p.Field("Requester", fmt.Sprintf("says: tested %s, reversible %s, customer-visible %s", words[q.Tested], words[q.Reversible], words[q.CustomerVisible]))
}

func writeVotes(p *screen.Page, c *v1alpha1.Change, now time.Time) {
	a := c.Status.Approvals
	switch {
	case c.Spec.RecordOf != "":
		p.Field("Votes", "none: it records what went in without a Change, and owes a review")
		return
	case a == nil:
		p.Field("Votes", "not known yet how many are needed")
		return
	}
	p.Field("Votes", fmt.Sprintf("%d of %d%s", a.Granted, a.Required, fromGroups(a.From)))
	if missing := approvedMessage(c); missing != "" {
		p.Item(screen.Line(missing))
	}
	for _, v := range a.Votes {
		line := strings.ToLower(string(v.Decision)) + " by " + string(v.Approver)
		if v.Group != "" {
			line += " for " + v.Group
		}
		line += ", " + screen.Ago(now, v.At.Time)
		style := screen.Good
		if v.Decision == v1alpha1.DecisionReject {
			style = screen.Bad
		}
		if v.Ignored != "" {
			line, style = line+"; does not count: "+v.Ignored, screen.Faint
		}
		p.Item(p.Palette.Paint(style, screen.Line(line)))
	}
	if missing := a.Required - a.Granted; missing > 0 && isOpen(c) {
		p.Item(screen.Plural(missing, "more vote") + " needed")
	}
}

// approvedMessage says which votes are missing, from which groups, while groups have a say; else empty.
func approvedMessage(c *v1alpha1.Change) string {
	approved := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionApproved)
	if approved == nil || approved.Status == "True" || len(c.Status.Approvals.From) == 0 || !isOpen(c) {
		return ""
	}
	_, missing, found := strings.Cut(approved.Message, "it lacks ")
	if !found {
		return ""
	}
	return "it lacks " + missing
}

func fromGroups(groups []string) string {
	if len(groups) == 0 {
		return ""
	}
	return ", from " + screen.Line(screen.Or(groups))
}

// windowOf is the effective window, or the one that was asked for.
func windowOf(c *v1alpha1.Change, now time.Time) string {
	start, end := windowTimes(c)
	switch {
	case !start.IsZero():
	case isOpen(c):
		return "the first 24 open hours after its approval"
	default:
		return ""
	}
	text := screen.Moment(start) + " – " + screen.Moment(end)
	switch {
	case !isOpen(c):
		return text
	case now.Before(start):
		return text + " (opens " + screen.Ago(now, start) + ")"
	case now.Before(end):
		return text + " (open, closes " + screen.Ago(now, end) + ")"
	default:
		return text + " (closed " + screen.Ago(now, end) + ")"
	}
}

// windowTimes are the ends of the effective window, else of the declared one; zero where there is none, or where it
// cannot be read.
func windowTimes(c *v1alpha1.Change) (start, end time.Time) {
	var from, to v1alpha1.Timestamp
	switch {
	case c.Status.Window != nil:
		from, to = c.Status.Window.Start, c.Status.Window.End
	case c.Spec.Window != nil:
		from, to = c.Spec.Window.Start, c.Spec.Window.End
	default:
		return time.Time{}, time.Time{}
	}
	start, startErr := time.Parse(time.RFC3339, string(from))
	end, endErr := time.Parse(time.RFC3339, string(to))
	if startErr != nil || endErr != nil {
		return time.Time{}, time.Time{}
	}
	return start, end
}
