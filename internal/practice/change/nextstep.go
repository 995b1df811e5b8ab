package change

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// whoAmI puts the authenticated user's name into a manifest. A shell replaces it.
const whoAmI = `$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')`

// nextStep says what a person should do, with the command.
func (l *life) nextStep() string {
	switch l.status.State {
	case v1alpha1.ChangeAssess:
		return "Mend the Change: " + strings.Join(l.lacks, "; ") + "."
	case v1alpha1.ChangeAuthorize:
		return cmp.Or(l.runsAlready(), l.howToApprove())
	case v1alpha1.ChangeScheduled:
		return cmp.Or(l.runsAlready(), l.whatIsAwaited())
	case v1alpha1.ChangeImplement:
		return cmp.Or(l.runsAlready(), l.howToImplement())
	case v1alpha1.ChangeReview:
		return l.howToReview()
	case v1alpha1.ChangeRejected:
		return "Rejected: " + l.rejection() + ". Edit spec, which makes a new version to vote on (kubectl edit chg " + l.Change.Name + " -n " + l.Change.Namespace + "), or file another Change."
	case v1alpha1.ChangeCanceled:
		return l.whatStays()
	case v1alpha1.ChangeClosed:
		if l.status.Outcome == v1alpha1.OutcomeRolledBack {
			return l.proposeProblem()
		}
	}
	return ""
}

// whatStays says what of a canceled Change is in all the same, and how to go back; empty where nothing is.
func (l *life) whatStays() string {
	names, back := l.stillRun(func(v1alpha1.WorkloadReference) bool { return true })
	if names == "" {
		return ""
	}
	step := "It was canceled after it went in: " + names + " runs what it brought in. " + back
	if l.status.Outcome == "" {
		step += " It is watched until its outcome is known."
	}
	return step
}

// stillRun names the targets, of those that are meant, which run what came in by it, and says how they go back; empty: none does.
func (l *life) stillRun(meant func(v1alpha1.WorkloadReference) bool) (which, goBack string) {
	var names, back []string
	for i := range l.Change.Spec.Targets {
		w := l.Change.Spec.Targets[i].Workload
		key := KeyOf(l.Change.Namespace, w)
		if !meant(w) || l.broughtIn(w, l.Workloads[key].Baselines) != 0 {
			continue // nothing of it came in, or it does not run any more
		}
		names, back = append(names, nameOf(key)), append(back, wayBack(key))
	}
	if len(names) == 0 {
		return "", ""
	}
	const shown = 3
	return list(shortened(names, shown)), "To go back, which needs no Change where the earlier template is proven: " + strings.Join(shortened(back, shown), "; ") + "."
}

// wayBack is how a person brings back what a workload ran before. Of other kinds Kubernetes keeps no earlier template.
func wayBack(key configuration.Key) string {
	switch key.Kind {
	case configuration.KindDeployment, configuration.KindStatefulSet, configuration.KindDaemonSet:
		return "kubectl rollout undo " + nameOf(key) + " -n " + key.Namespace
	}
	return "apply the earlier manifest of " + nameOf(key)
}

// shortened is the first of a list, and how many more there are.
func shortened(items []string, shown int) []string {
	if len(items) <= shown {
		return items
	}
	return append(items[:shown:shown], plural(len(items)-shown, "other"))
}

// runsAlready says that all that it asks for is in without it; empty: it is not.
func (l *life) runsAlready() string {
	names := make([]string, 0, len(l.candidate.Targets))
	for i := range l.candidate.Targets {
		t := &l.candidate.Targets[i]
		fact := l.Workloads[t.Key]
		w, base := fact.Workload, agreed(fact.Baselines)
		if w == nil || base == nil || l.wentIn(ReferenceTo(t.Key)) || !slices.Contains(t.Operations, v1alpha1.OperationTemplate) ||
			!w.Template.IsBaseline(*base, l.Rules.IgnoredAnnotationPrefixes) || !t.allows(&w.Template, base, l.Rules, nil) {
			return ""
		}
		names = append(names, nameOf(t.Key))
	}
	const shown = 5
	return "Nothing to do: what it asks for runs already without it (" + list(shortened(names, shown)) + "). Cancel it: kubectl itil change cancel " + l.ref() + "."
}

// ref is the Change as the arguments of kubectl itil name it.
func (l *life) ref() string { return l.Change.Namespace + "/" + l.Change.Name }

// proposeProblem says how to open one: the operator does not, since a rollback is no cause. What it is about is the first
// Incident that suspects the Change; naming the Change as one of the Problem's would make it a fix that failed.
func (l *life) proposeProblem() string {
	about := "--service SERVICE"
	for _, ref := range l.status.CausedIncidents {
		if string(ref.Namespace) == l.Change.Namespace {
			about = "--incident " + string(ref.Name)
			break
		}
	}
	return fmt.Sprintf("Open a Problem to find out why it was rolled back: kubectl itil problem open %q -n %s %s. Going forward again needs another Change.",
		"Why "+l.Change.Name+" went back", l.Change.Namespace, about)
}

// WithoutPlugin begins the part of a next step, of more than one line, for who does not have the plugin.
const WithoutPlugin = " Without the plugin:"

// howToApprove is a manifest that a shell fills in with the approver's own name.
func (l *life) howToApprove() string {
	a := &l.candidate.Approval
	if l.candidate.Type == v1alpha1.ChangeEmergency && len(a.Missing) > 0 && a.Granted >= a.Required {
		return "Not approved: it lacks " + a.Missing + "."
	}
	vote := fmt.Sprintf("%sLacks %s. %s%sRead it and vote: kubectl itil approve %s (or reject).", l.whatNoVoteMends(), a.Missing, l.whatNobodySees(), l.whatIsLeftOut(), l.ref())
	intro := vote + WithoutPlugin + "\n"
	manifest := approval{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ChangeApproval"}
	manifest.Metadata.GenerateName, manifest.Metadata.Namespace = l.Change.Name+"-", l.Change.Namespace
	manifest.Spec.ChangeRef.Name = v1alpha1.ObjectName(l.Change.Name)
	manifest.Spec.Digest, manifest.Spec.Decision = l.status.Digest, v1alpha1.DecisionApprove
	manifest.Spec.Approver = whoAmI
	if len(a.From) > 0 {
		manifest.Spec.Group = a.From[0]
		if !shellSafe(manifest.Spec.Group) {
			manifest.Spec.Group = "one of your groups"
		}
	}
	data, err := marshal(manifest)
	if err != nil {
		return intro
	}
	step := intro + "kubectl create -f - <<EOF\n" + data + "\nEOF"
	if len(step) > maxNextStep {
		return vote
	}
	return step
}

// whatNoVoteMends warns whoever votes of a Change that cannot go in, whatever they say; empty where it can.
func (l *life) whatNoVoteMends() string {
	if len(l.impossible) > 0 {
		return "It cannot go in as it is: " + strings.Join(l.impossible, "; ") + ". Edit spec before anybody votes. "
	}
	rules, w := l.Rules, l.candidate.Window
	if _, ok := rules.nextChance(l.candidate.Type, w, l.now); ok {
		return ""
	}
	for i := range rules.Windows {
		if c := &rules.Windows[i]; c.Hours == nil && l.candidate.Type == v1alpha1.ChangeNormal {
			return capital(c.Closed(), true) + ". "
		}
	}
	if w.IsZero() {
		return "No hours are open for it within two years. "
	}
	return "No hours are open within its window: edit spec.window before anybody votes. "
}

// whatNobodySees warns whoever votes of a template of which nothing but the hash is known; empty where there is none.
func (l *life) whatNobodySees() string {
	for i := range l.Change.Spec.Targets {
		t := &l.Change.Spec.Targets[i]
		unknown := diffPath(t.Workload, hashAlone)
		if slices.ContainsFunc(l.status.Diff, func(d v1alpha1.FieldDiff) bool { return d.Path == unknown }) {
			return "Nobody sees in it what template " + shortDigest(string(t.TemplateHash)) +
				" is: ask for the manifest (kubectl itil why -f FILE names the template that it makes), or reject it. "
		}
	}
	return ""
}

// whatIsLeftOut warns whoever votes of differences that there is no room for; empty where there is none.
func (l *life) whatIsLeftOut() string {
	left := LeftOut(l.status.Diff)
	if left == "" {
		return ""
	}
	count, _, _ := strings.Cut(left, ",")
	return "Not all is shown: " + count + ". Ask for the manifest and see all (kubectl diff -f FILE), or reject it. "
}

// approval is a ChangeApproval as somebody would write it.
type approval struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		GenerateName string `json:"generateName"`
		Namespace    string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		ChangeRef v1alpha1.LocalReference `json:"changeRef"`
		Digest    string                  `json:"digest"`
		Decision  v1alpha1.Decision       `json:"decision"`
		Approver  string                  `json:"approver"`
		Group     string                  `json:"group,omitempty"`
	} `json:"spec"`
}

// marshal writes JSON as people write it, without escapes for browsers.
func marshal(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// shellSafe says whether a text may stand in a command that somebody will paste: names of groups are what an identity
// provider makes of them.
func shellSafe(s string) bool {
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("-_.:@/+= ", rune(c)) {
			return false
		}
	}
	return true
}

func (l *life) whatIsAwaited() string {
	why := l.whyBlocked()
	at, ok := l.Rules.nextChance(l.candidate.Type, l.candidate.Window, l.now)
	switch {
	case len(l.impossible) > 0 && len(l.status.Implementations) > 0: // its spec cannot be edited any more
		return "The rest cannot go in as it is: " + strings.Join(l.impossible, "; ") + ". " + l.anotherForTheRest()
	case len(l.impossible) > 0:
		return "It cannot go in as it is: " + strings.Join(l.impossible, "; ") + ". Edit spec, which makes a new version to vote on (kubectl edit chg " +
			l.Change.Name + " -n " + l.Change.Namespace + "), or cancel it."
	case !ok && !l.candidate.Window.IsZero() && len(l.status.Implementations) > 0:
		return "The rest cannot go in any more within its window: " + why + ". " + l.anotherForTheRest()
	case !ok && !l.candidate.Window.IsZero():
		return "It cannot go in any more within its window: " + why + ". Edit spec.window, or cancel it."
	case !ok:
		return "No hours are open for it: " + why + "."
	case at.After(l.now):
		return "Nothing to do before " + l.Rules.show(at) + ", when the gate opens for it."
	}
	return "Wait: " + why + "."
}

// anotherForTheRest is what to do where part of it is in, since its spec cannot be edited any more.
func (l *life) anotherForTheRest() string {
	return "File another Change for that, and cancel this one: kubectl itil change cancel " + l.ref() + "."
}

func (l *life) howToImplement() string {
	if l.status.Backout != nil {
		return "Nothing to do: it failed (" + l.status.Backout.Why + ") and goes back by itself."
	}
	failed := l.whatFailed()
	switch {
	case l.pending() > 0 && l.open == 0:
		return failed + l.whatIsAwaited()
	case l.pending() > 0:
		return failed + l.whatToApply()
	case l.any(v1alpha1.RolloutInProgress):
		return failed + "Watch its rollout."
	case failed != "":
		return failed + "Else it has until " + l.Rules.show(l.watchedUntil()) + " to recover."
	}
	return "Nothing to do: it is watched until " + l.Rules.show(l.watchedUntil()) + "."
}

// whatFailed says which rollouts failed, and how they go back; empty where none did, or where something else took their place.
// What a Release brought in, the Release takes back.
func (l *life) whatFailed() string {
	if len(l.Releases) > 0 {
		return ""
	}
	names, back := l.stillRun(func(w v1alpha1.WorkloadReference) bool {
		return slices.ContainsFunc(l.status.Implementations, func(im v1alpha1.Implementation) bool {
			return im.Workload == w && im.Rollout == v1alpha1.RolloutFailed
		})
	})
	if names == "" {
		return ""
	}
	return "The rollout of " + names + " failed. " + back + " "
}

// whatToApply names the targets that nothing went into, while the gate is open for them.
func (l *life) whatToApply() string {
	var names, held []string
	for i := range l.candidate.Targets {
		t := &l.candidate.Targets[i]
		switch fact := l.Workloads[t.Key]; {
		case l.wentIn(ReferenceTo(t.Key)):
		case fact.Workload != nil && fact.Workload.Hold.Held() && t.allows(&fact.Workload.Template, agreed(fact.Baselines), l.Rules, nil):
			held = append(held, nameOf(t.Key)+" has it and holds it back ("+holdWords(fact.Workload.Hold)+"): release it.")
		default:
			names = append(names, nameOf(t.Key))
		}
	}
	const shown = 5
	if len(names) > shown {
		names = append(names[:shown], plural(len(names)-shown, "other"))
	}
	until := "Until " + l.Rules.show(l.candidate.Window.To) + ": "
	if len(names) > 0 {
		held = append([]string{"Apply it to " + list(names) + " (a GitOps controller does so with its next retry)."}, held[:min(len(held), shown)]...)
	}
	return until + strings.Join(held[:min(len(held), shown)], " ")
}

// holdWords is how a workload holds its template back.
func holdWords(h configuration.Hold) string {
	var words []string
	for _, how := range []struct {
		holds bool
		word  string
	}{{h.Paused, "paused"}, {h.Suspended, "suspended"}, {h.OnDelete, "updateStrategy OnDelete"}, {h.Partition > 0, fmt.Sprintf("partition %d", h.Partition)}} {
		if how.holds {
			words = append(words, how.word)
		}
	}
	return list(words)
}

func (l *life) howToReview() string {
	outcome := l.suggestedOutcome()
	var steps []string
	if l.reviewOverdue() {
		steps = append(steps, "Overdue since "+l.Rules.show(l.reviewDue())+".")
	}
	if undo := l.howToUndo(); undo != "" {
		steps = append(steps, undo)
	}
	if l.status.Backout == nil && len(l.Releases) == 0 && outcome == v1alpha1.OutcomeUnsuccessful {
		if names, back := l.stillRun(func(v1alpha1.WorkloadReference) bool { return true }); names != "" {
			steps = append(steps, names+" runs it still. "+back)
		}
	}
	if open := l.openIncidents(); open != "" {
		steps = append(steps, open)
	}
	steps = append(steps, fmt.Sprintf("Write the review: kubectl itil change review %s --outcome %s -m 'what we learnt'", l.ref(), outcome))
	if l.status.Outcome == v1alpha1.OutcomeRolledBack {
		steps = append(steps, l.proposeProblem())
	}
	return strings.Join(steps, "\n")
}

// suggestedOutcome is the outcome as far as it is known: of what went in without a Change nothing but this tells it.
func (l *life) suggestedOutcome() v1alpha1.Outcome {
	switch {
	case l.status.Outcome != "":
		return l.status.Outcome
	case l.any(v1alpha1.RolloutRolledBack):
		return v1alpha1.OutcomeRolledBack
	case l.any(v1alpha1.RolloutFailed), l.suspectedOf(true):
		return v1alpha1.OutcomeUnsuccessful
	case l.suspectedOf(false):
		return v1alpha1.OutcomeSuccessfulWithIssues
	}
	return v1alpha1.OutcomeSuccessful
}

// openIncidents warns of Incidents that it may have caused, or was to end, and that go on.
func (l *life) openIncidents() string {
	var names []string
	for i := range l.Suspicions {
		if s := &l.Suspicions[i]; s.Open {
			names = append(names, s.Namespace+"/"+s.Name+" ("+string(s.Priority)+")")
		}
	}
	slices.Sort(names)
	const shown = 3
	ended := l.Incident
	switch {
	case len(names) == 1:
		return "Incident " + names[0] + ", which suspects it, is open: wait until it is resolved, or say what is known."
	case len(names) > 1:
		return "Incidents " + list(shortened(names, shown)) + ", which suspect it, are open: wait until they are resolved, or say what is known."
	case ended != nil && ended.Open && l.candidate.Type == v1alpha1.ChangeEmergency:
		return "Incident " + ended.Name + ", which it was to end, is open: wait until it is resolved, or say what is known."
	}
	return ""
}

// howToUndo names the first of the workloads that the operator could not bring back, and that nobody brought back since.
func (l *life) howToUndo() string {
	if l.status.Backout == nil {
		return ""
	}
	for i := range l.status.Backout.Targets {
		t := &l.status.Backout.Targets[i]
		switch t.State {
		case v1alpha1.ChangeBackoutNotPossible, v1alpha1.ChangeBackoutFailed:
			key := KeyOf(l.Change.Namespace, t.Workload)
			if how := l.undoneByHand(t, key); how != "" {
				return fmt.Sprintf("%s could not be brought back (%s): undo it by hand, %s.", nameOf(key), t.Why, how)
			}
		case v1alpha1.ChangeBackoutPending, v1alpha1.ChangeBackoutRestored, v1alpha1.ChangeBackoutVerified, v1alpha1.ChangeBackoutSuperseded:
		}
	}
	return ""
}

// undoneByHand is how a person undoes what the operator could not; empty where it is undone.
func (l *life) undoneByHand(t *v1alpha1.ChangeBackoutTarget, key configuration.Key) string {
	fact := l.Workloads[key]
	gone := fact.Workload == nil
	switch {
	case t.From == "" && gone: // the change deleted it
		return "apply its manifest again, which needs a Change"
	case gone, !fact.Workload.Template.Is(t.From, l.Rules.IgnoredAnnotationPrefixes):
		return ""
	case len(fact.Baselines) == 1: // the change made it
		return "kubectl delete " + nameOf(key) + " -n " + key.Namespace + ", which needs a Change"
	}
	return wayBack(key)
}
