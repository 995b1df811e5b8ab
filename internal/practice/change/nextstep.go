package change

import (
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
		return l.howToApprove()
	case v1alpha1.ChangeScheduled:
		return l.whatIsAwaited()
	case v1alpha1.ChangeImplement:
		return l.howToImplement()
	case v1alpha1.ChangeReview:
		return l.howToReview()
	case v1alpha1.ChangeRejected:
		return "Rejected: " + l.rejection() + ". Edit spec, which makes a new version to vote on (kubectl edit chg " + l.Change.Name + " -n " + l.Change.Namespace + "), or file another Change."
	case v1alpha1.ChangeCanceled:
		return ""
	case v1alpha1.ChangeClosed:
		if l.status.Outcome == v1alpha1.OutcomeRolledBack {
			return l.proposeProblem()
		}
	}
	return ""
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
	vote := fmt.Sprintf("Lacks %s. %sRead it and vote: kubectl itil approve %s (or reject).", a.Missing, l.whatNobodySees(), l.ref())
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
	case len(l.impossible) > 0:
		return "It cannot go in as it is: " + strings.Join(l.impossible, "; ") + ". Edit spec, which makes a new version to vote on (kubectl edit chg " +
			l.Change.Name + " -n " + l.Change.Namespace + "), or cancel it."
	case !ok && !l.candidate.Window.IsZero():
		return "It cannot go in any more within its window: " + why + ". Edit spec.window, or cancel it."
	case !ok:
		return "No hours are open for it: " + why + ". See the ChangePolicy."
	case at.After(l.now):
		return "Nothing to do before " + l.Rules.show(at) + ", when the gate opens for it."
	}
	return "Wait: " + why + "."
}

func (l *life) howToImplement() string {
	if l.status.Backout != nil {
		return "Nothing to do: it failed (" + l.status.Backout.Why + ") and goes back by itself."
	}
	if l.pending() == 0 {
		if l.any(v1alpha1.RolloutInProgress) {
			return "Watch its rollout."
		}
		return "Nothing to do: it is watched until " + l.Rules.show(l.wake.at) + "."
	}
	if l.open == 0 {
		return l.whatIsAwaited()
	}
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
	outcome := l.status.Outcome
	if outcome == "" {
		outcome = v1alpha1.OutcomeSuccessful
	}
	var steps []string
	if l.reviewOverdue() {
		steps = append(steps, "Overdue since "+l.Rules.show(l.reviewDue())+".")
	}
	if l.status.Outcome != v1alpha1.OutcomeRolledBack {
		if undo := l.howToUndo(); undo != "" {
			steps = append(steps, undo)
		}
	}
	steps = append(steps, fmt.Sprintf("Write the review: kubectl itil change review %s --outcome %s -m 'what we learnt'", l.ref(), outcome))
	if l.status.Outcome == v1alpha1.OutcomeRolledBack {
		steps = append(steps, l.proposeProblem())
	}
	return strings.Join(steps, "\n")
}

// howToUndo names the workloads that the operator could not bring back.
func (l *life) howToUndo() string {
	if l.status.Backout == nil {
		return ""
	}
	for i := range l.status.Backout.Targets {
		t := &l.status.Backout.Targets[i]
		switch t.State {
		case v1alpha1.ChangeBackoutNotPossible, v1alpha1.ChangeBackoutFailed:
			name := nameOf(KeyOf(l.Change.Namespace, t.Workload))
			return fmt.Sprintf("%s could not be brought back (%s): undo it by hand, kubectl rollout undo %s -n %s.", name, t.Why, name, l.Change.Namespace)
		case v1alpha1.ChangeBackoutPending, v1alpha1.ChangeBackoutRestored, v1alpha1.ChangeBackoutVerified, v1alpha1.ChangeBackoutSuperseded:
		}
	}
	return ""
}
