package change

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	maxMessage    = 4096
	maxRiskWords  = 5
	shownReasons  = 5
	maxRetryAfter = 24 * time.Hour
)

// Explain tells a client why a request was denied, or would have been (Warned, Audited, dry run): the rule, the
// reason, the next step. It never contains words that make a GitOps controller delete and re-create, nor control
// characters other than the ends of its lines.
func Explain(r *Request, w *World, d *Decision) Denial {
	lines := []string{ruleLine(r, w, d)}
	if line := changeLine(r, d); line != "" {
		lines = append(lines, line)
	}
	lines = append(lines, reasonLines(d)...)
	if line := digestLine(r, w); line != "" && !only(d, CauseRollbackTo) {
		lines = append(lines, line)
	}
	if line := nextLine(w, d); line != "" {
		lines = append(lines, line)
	}
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	out := Denial{Message: brief(strings.Join(lines, "\n"), maxMessage)}
	for _, c := range d.Reasons {
		cause := metav1.StatusCause{Type: metav1.CauseType(c.Type), Message: plain(c.Message), Field: c.Field}
		if c.Change != "" {
			cause.Message = "Change " + c.Change + ": " + cause.Message
		}
		out.Causes = append(out.Causes, cause)
	}
	if d.Next.RetryAfter > 0 {
		const second = time.Second
		wait := min(d.Next.RetryAfter, maxRetryAfter)
		out.RetryAfterSeconds = int32((wait + second - 1) / second)
	}
	return out
}

// digestLine recommends digests for images that are new and named by tag.
func digestLine(r *Request, w *World) string {
	if r.New == nil || !configuration.Claimable(r.Key.Kind) {
		return ""
	}
	base := agreed(w.Baselines)
	var tagged []string
	for _, container := range slices.Sorted(maps.Keys(r.New.Images)) {
		if unpinned(container, r.New.Images[container], base) {
			tagged = append(tagged, container)
		}
	}
	if len(tagged) == 0 {
		return ""
	}
	return "Better named by digest (image@sha256:...): the image of " + list(tagged[:min(len(tagged), shownReasons)]) + ". What a tag means can become another after the approval."
}

func ruleLine(r *Request, w *World, d *Decision) string {
	name := fmt.Sprintf("%s %s/%s", strings.ToLower(r.Key.Kind), r.Key.Namespace, r.Key.Name)
	switch {
	case only(d, CauseCopiedGlass):
		return name + " stays as it is."
	case only(d, CauseRollbackTo):
		return fmt.Sprintf("%s is in a namespace with workloads under change control (%s).", name, d.Enforcement)
	}
	return fmt.Sprintf("%s is governed by %s: no approved Change covers %s.", name, governedBy(w), whatOf(r, w))
}

func only(d *Decision, cause CauseType) bool {
	return len(d.Reasons) == 1 && d.Reasons[0].Type == cause
}

func governedBy(w *World) string {
	var names []string
	for i := range w.Claims {
		c := &w.Claims[i]
		name := fmt.Sprintf("Service %s (tier %d)", c.Service, c.Tier)
		if c.Through.Kind != "" {
			name += " through " + nameOf(c.Through)
		}
		names = append(names, name)
	}
	const shown = 3
	if len(names) > shown {
		names = append(names[:shown], plural(len(names)-shown, "other"))
	}
	if len(names) == 0 && w.Rules != nil {
		return "ChangePolicy " + list(w.Rules.Policies)
	}
	return list(names)
}

func whatOf(r *Request, w *World) string {
	if r.Operation == Delete || r.New == nil {
		return "its deletion"
	}
	f := draft{request: r, baseline: agreed(w.Baselines)}
	f.otherFields = f.baseline != nil && f.baseline.ImagelessHash != r.New.ImagelessHash
	what := f.whatChanges()
	switch r.Operation {
	case Create:
		what = "its creation with " + what
	case Release:
		what = "the release of " + what
	case Template, Delete:
	}
	return what + " (template " + shortDigest(r.New.Hash) + ")"
}

// changeLine names the Change to look at and what it waits for.
func changeLine(r *Request, d *Decision) string {
	if d.Change == "" {
		return ""
	}
	name := r.Key.Namespace + "/" + d.Change
	filed := !slices.ContainsFunc(d.Reasons, func(c Cause) bool { return c.Change == d.Change })
	var line string
	switch {
	case filed && r.DryRun:
		line = "Change " + name + " would be filed for you"
	case filed:
		line = "Change " + name + " was filed for you"
	default:
		line = "Change " + name + " is for exactly this"
	}
	if d.Votes.Required > 0 {
		line += "; it needs " + plural(int(d.Votes.Required), "approval") + fromGroups(d.Votes.Groups) + riskWords(d)
	}
	return line + "."
}

func riskWords(d *Decision) string {
	if d.Risk == nil {
		return ""
	}
	var why []string
	for i := range d.Risk.Factors[:min(len(d.Risk.Factors), maxRiskWords)] {
		why = append(why, d.Risk.Factors[i].Why)
	}
	if len(why) == 0 {
		return fmt.Sprintf(" (risk %s)", d.Risk.Level)
	}
	return fmt.Sprintf(" (risk %s: %s)", d.Risk.Level, strings.Join(why, ", "))
}

// reasonLines name what else keeps it out, a line for each Change, the one to look at first. What a Change for something else
// lacks besides is in the causes alone.
func reasonLines(d *Decision) []string {
	var order []string
	reasons, elsewhere := map[string][]string{}, aboutOthers(d)
	for _, c := range d.Reasons {
		if kind, other := elsewhere[c.Change]; other && c.Type != kind && c.Type != CauseNoRollback {
			continue
		}
		said := c.Type == CauseNotApproved && c.Change == d.Change && d.Votes.Required > 0 // with the Change
		if said || c.Type == CauseNoChange || c.Type == CauseEnded && noReturn(c.Change, d) {
			continue
		}
		if _, seen := reasons[c.Change]; !seen {
			order = append(order, c.Change)
		}
		reasons[c.Change] = append(reasons[c.Change], c.Message)
	}
	slices.SortStableFunc(order, func(a, b string) int { return nearness(a, d) - nearness(b, d) })
	var lines []string
	for i, change := range order {
		if i == shownReasons {
			lines = append(lines, "And "+plural(len(order)-i, "more Change")+" that do not cover it.")
			break
		}
		prefix := ""
		if change != "" {
			prefix = "Change " + change + ": "
		}
		lines = append(lines, prefix+capital(strings.Join(reasons[change], "; "), prefix == "")+".")
	}
	return lines
}

// aboutOthers are the Changes for another operation or another template than what was asked for, with which of the two.
func aboutOthers(d *Decision) map[string]CauseType {
	out := map[string]CauseType{}
	for _, c := range d.Reasons {
		if c.Change == "" || c.Change == d.Change {
			continue
		}
		if c.Type == CauseOtherOperation || c.Type == CauseOtherTemplate && out[c.Change] == "" {
			out[c.Change] = c.Type
		}
	}
	return out
}

// noReturn says whether it is said of a Change already that there is no way back to what it let in.
func noReturn(change string, d *Decision) bool {
	return slices.ContainsFunc(d.Reasons, func(c Cause) bool { return c.Type == CauseNoRollback && c.Change == change })
}

func nearness(change string, d *Decision) int {
	switch change {
	case d.Change:
		return 0
	case "":
		return 1
	}
	return 2
}

func nextLine(w *World, d *Decision) string {
	line := d.Next.Step
	if d.Next.At.IsZero() {
		return line
	}
	rules := w.Rules
	if rules == nil {
		rules = defaultRules
	}
	if len(rules.Windows) > 0 || len(rules.Freezes) > 0 || d.Next.RetryAfter > 0 {
		line += "    Next window: " + rules.show(d.Next.At)
	}
	return strings.TrimSpace(line)
}

// lacking says whether the Change to look at is approved, but not for who asks.
func lacking(d *Decision) bool {
	return slices.ContainsFunc(d.Reasons, func(c Cause) bool { return c.Type == CauseNotApproved && c.Change == d.Change })
}

// step says what the user should do about a denial.
func (f *draft) step(d *Decision, nearest *Candidate) string {
	name := f.request.Key.Namespace + "/" + d.Change
	switch unmended := f.whatNoVoteMends(d, nearest); {
	case f.standIn:
		return ""
	case unmended != "":
		return unmended
	case nearest != nil && d.Votes.Required == 0 && !nearest.Approval.Approved:
		return "Give it what it lacks, then retry: kubectl describe chg " + d.Change + " -n " + f.request.Key.Namespace
	case nearest != nil && nearest.Approval.Approved && !lacking(d):
		return "Retry when the gate is open: kubectl itil why " + nameOf(f.request.Key) + " -n " + f.request.Key.Namespace
	case d.Change != "" && nearest == nil && f.request.DryRun:
		return "Without a dry run that Change is filed; then have it approved: kubectl itil approve " + name
	case d.Change != "":
		return "Approve: kubectl itil approve " + name
	case d.Verdict != Denied:
		return "File a Change for it before enforcement is switched to Enforce: " + f.howToFile()
	case f.limited():
		return fmt.Sprintf("No Change was filed for you: %d that were filed in the namespace wait for a decision. Approve, reject or cancel some, then retry.", f.world.Filed.Undecided)
	}
	return "File a Change for it and have it approved, then retry: " + f.howToFile()
}

// whatNoVoteMends says what to do where nobody's vote is missing, or would help; empty: votes are what it lacks.
func (f *draft) whatNoVoteMends(d *Decision, nearest *Candidate) string {
	switch {
	case f.standIn:
		return ""
	case nearest != nil && nearest.Ended == EndedRejected:
		return "Change the manifest, or file a Change of your own for this template and have it approved: " + f.howToFile()
	case nearest == nil && !f.exact(nil):
		return "Name the images by digest (image@sha256:...) and try again: as it is no Change can let it in."
	case d.Votes.Required == 0 && (f.voteless() || nearest == nil && votesNeeded(f.clauses) == 0 && d.Change != ""):
		return "It needs no vote. Retry when the gate is open: kubectl itil why " + nameOf(f.request.Key) + " -n " + f.request.Key.Namespace
	}
	return ""
}

// howToFile is the command that files a Change for what was asked for.
func (f *draft) howToFile() string {
	what := "-f MANIFESTS"
	if f.request.Operation == Delete {
		what = "--delete " + nameOf(f.request.Key)
	}
	return "kubectl itil change new " + what + " -n " + f.request.Key.Namespace
}
