package change

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	maxConflicts      = 20
	maxConflictWhy    = 512
	maxConditionWords = 1024
)

// conflicts finds out which targets the gate lets in now, what stands in the way of the others, and what a person
// should know of.
func (l *life) conflicts() {
	c := l.candidate
	for i := range c.Targets {
		t := &c.Targets[i]
		if l.wentIn(ReferenceTo(t.Key)) {
			continue
		}
		fact := l.Workloads[t.Key]
		l.gate.exhausted, l.gate.baselines, l.gate.exists = fact.ExhaustedBudgets, fact.Baselines, fact.Workload != nil
		if l.gate.admits(c, t, nil) && l.gate.possible(c, t, nil) {
			l.open++
		} else {
			l.gate.admits(c, t, &l.blocked)
			l.whyImpossible(t)
		}
		l.blocking(t)
	}
	l.nonblocking()
	l.wakeups()
}

// whyImpossible says of a target what keeps it out however long one waits.
func (l *life) whyImpossible(t *Target) {
	if l.candidate.Ended != NotEnded {
		return
	}
	before := len(l.blocked.causes)
	l.gate.possible(l.candidate, t, l.blocked.about(l.candidate.Name))
	for _, c := range l.blocked.causes[before:] {
		l.impossible = append(l.impossible, nameOf(t.Key)+": "+c.Message)
	}
}

func (l *life) blocking(t *Target) {
	for _, other := range l.Others {
		var why string
		switch l.gate.precedes(other, l.candidate, t.Key) {
		case notBefore:
			continue
		case isRollingOut:
			why = "it is being rolled out on " + nameOf(t.Key)
		case goesFirst:
			why = "on " + nameOf(t.Key) + " it " + l.gate.untilWhen(other, l.candidate)
		}
		l.conflict(other, why, true)
		l.wake.add(other.Window.To)
	}
}

// nonblocking warns of Changes in the same time on Services that ours depend on, or the other way.
func (l *life) nonblocking() {
	for _, n := range l.Neighbours {
		if n.Ended == NotEnded && n.Approval.Approved && overlap(n.Window, l.candidate.Window) {
			l.conflict(n.Candidate, "it goes in at the same time "+n.Why, false)
		}
	}
}

func (l *life) conflict(with *Candidate, why string, blocking bool) {
	entry := v1alpha1.Conflict{
		With: v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(with.Namespace), Name: v1alpha1.ObjectName(with.Name)},
		Why:  brief(plain(why), maxConflictWhy), Blocking: blocking,
	}
	if len(l.status.Conflicts) < maxConflicts && !slices.Contains(l.status.Conflicts, entry) {
		l.status.Conflicts = append(l.status.Conflicts, entry)
	}
}

func overlap(a, b Interval) bool {
	if a.IsZero() || b.IsZero() {
		return false
	}
	return endsAfter(a.To, b.From) && endsAfter(b.To, a.From)
}

// wakeups are the times at which its gate opens or closes by itself.
func (l *life) wakeups() {
	w := l.candidate.Window
	l.wake.add(w.From)
	l.wake.add(w.To)
	if l.candidate.Approval.Approved && l.candidate.Ended == NotEnded {
		_, until := l.Rules.openAt(l.candidate.Type, l.now)
		l.wake.add(until)
	}
}

// conditions say why, for machines.
func (l *life) conditions() {
	l.setRiskAssessed()
	l.setApproved()
	l.setConflictFree()
	l.setFrozen()
	l.setGateOpen()
	l.setImplemented()
	l.setReviewed()
	l.setReviewOverdue()
	l.setBackoutPossible()
	l.setRolledBack()
}

func (l *life) set(name string, holds bool, reason, message string) {
	c := metav1.Condition{
		Type: name, Status: metav1.ConditionFalse, Reason: reason, Message: brief(plain(message), maxConditionWords),
		ObservedGeneration: l.Change.Generation, LastTransitionTime: *ptrTime(l.now),
	}
	if holds {
		c.Status = metav1.ConditionTrue
	}
	for i := range l.before.Conditions {
		if old := &l.before.Conditions[i]; old.Type == name && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	l.status.Conditions = append(l.status.Conditions, c)
}

func (l *life) setRiskAssessed() {
	if len(l.lacks) > 0 {
		l.set(v1alpha1.ConditionRiskAssessed, false, "Pending", strings.Join(l.lacks, "; "))
		return
	}
	l.set(v1alpha1.ConditionRiskAssessed, true, "Assessed", fmt.Sprintf("%s, %d points%s", l.status.Risk.Level, l.status.Risk.Score, factorWords(l.status.Risk)))
}

func factorWords(r *v1alpha1.Risk) string {
	var why []string
	for i := range r.Factors {
		why = append(why, r.Factors[i].Why)
	}
	if len(why) == 0 {
		return ""
	}
	return ": " + strings.Join(why, ", ")
}

func (l *life) setApproved() {
	a := &l.candidate.Approval
	votes := summaryOf(a) + " votes"
	switch {
	case isRecord(l.Change):
		l.set(v1alpha1.ConditionApproved, false, "VotesMissing", "nobody approved it beforehand; its review is what is owed")
	case l.preauthorised():
		l.set(v1alpha1.ConditionApproved, true, "NotRequired", "the gate let it in: it needed no vote")
	case a.Rejected != nil:
		l.set(v1alpha1.ConditionApproved, false, "Rejected", l.rejection())
	case a.Approved && a.Required == 0:
		l.set(v1alpha1.ConditionApproved, true, "NotRequired", l.whyNoVote())
	case a.Approved:
		l.set(v1alpha1.ConditionApproved, true, "Granted", votes)
	case a.Granted == 0 && slices.ContainsFunc(a.Votes, func(v v1alpha1.Vote) bool { return v.Ignored != "" && !VerifyDigest(&l.Change.Spec, v.Digest) }):
		l.set(v1alpha1.ConditionApproved, false, "VotesVoided", "the Change was edited after votes were cast; "+votes+" for its present digest, it lacks "+a.Missing+l.again()+l.unproven()+l.kept())
	default:
		l.set(v1alpha1.ConditionApproved, false, "VotesMissing", votes+"; it lacks "+a.Missing+l.again()+l.unproven()+l.kept())
	}
}

func (l *life) rejection() string {
	r := l.candidate.Approval.Rejected
	why := string(r.By) + " rejected this version"
	if r.Comment != "" {
		why += ": " + r.Comment
	}
	return why
}

func (l *life) whyNoVote() string {
	if l.candidate.Type == v1alpha1.ChangeStandard {
		return "pre-authorised by policy as standard change " + l.Change.Spec.StandardChange
	}
	return fmt.Sprintf("risk %s needs no vote", l.status.Risk.Level)
}

// unproven says why a Change of a ServiceAccount needs one vote more.
func (l *life) unproven() string {
	if l.Rules.SeparationOfDuties && isServiceAccount(l.candidate.Requester) && l.candidate.Approval.Required > 0 {
		return " (one vote more than usual: its requester is a ServiceAccount, which cannot prove that who asked and who approves are two people)"
	}
	return ""
}

// again says why a Change of low risk needs a vote.
func (l *life) again() string {
	if l.least() == 0 {
		return ""
	}
	return " (at least one, whatever the risk: this template was rolled back, or its Change failed, when it was in last)"
}

// kept says which groups must vote although no policy of now asks for them.
func (l *life) kept() string {
	groups := l.candidate.Approval.Kept
	switch len(groups) {
	case 0:
		return ""
	case 1:
		return "; " + brief(groups[0], maxShownName) + " was asked for when it was assessed, and a laxer ChangePolicy does not take that away"
	}
	return "; " + brief(list(groups), maxShownText) + " were asked for when it was assessed, and a laxer ChangePolicy does not take that away"
}

func (l *life) setConflictFree() {
	var why []string
	for i := range l.status.Conflicts {
		if c := &l.status.Conflicts[i]; c.Blocking {
			why = append(why, fmt.Sprintf("Change %s: %s", c.With.Name, c.Why))
		}
	}
	if len(why) > 0 {
		l.set(v1alpha1.ConditionConflictFree, false, "Conflict", strings.Join(why, "; "))
		return
	}
	l.set(v1alpha1.ConditionConflictFree, true, "NoConflict", "no other Change stands in its way")
}

func (l *life) setFrozen() {
	if f := l.Rules.freezeAt(l.candidate.Type, l.now); f != nil {
		l.set(v1alpha1.ConditionFrozen, true, "Freeze", fmt.Sprintf("freeze %s of ChangePolicy %s is on %s%s", f.Name, f.Policy, l.gate.until(f.To), because(f.Reason)))
		return
	}
	for i := range l.candidate.Targets {
		if s := budgetFreeze(l.Rules, l.Workloads[l.candidate.Targets[i].Key].ExhaustedBudgets, l.candidate.Remedies); s != "" {
			l.set(v1alpha1.ConditionFrozen, true, "ErrorBudgetExhausted", "the error budget of Service "+s+" is spent")
			return
		}
	}
	l.set(v1alpha1.ConditionFrozen, false, "NoFreeze", "no freeze is on")
}

func (l *life) setGateOpen() {
	name := v1alpha1.ConditionGateOpen
	switch {
	case l.candidate.Ended != NotEnded:
		l.set(name, false, string(l.candidate.Ended), l.candidate.EndedWhy)
	case l.open > 0 && len(l.blocked.causes) > 0:
		l.set(name, true, "Open", "for some of its targets; "+l.whyBlocked())
	case l.open > 0:
		l.set(name, true, "Open", "until "+l.Rules.show(l.candidate.Window.To))
	case l.pending() == 0:
		l.set(name, false, "Implemented", "all targets are in")
	case len(l.blocked.causes) > 0:
		l.set(name, false, string(l.blocked.causes[0].Type), l.whyBlocked())
	default:
		l.set(name, false, "NotApproved", "it has no window before it is approved")
	}
}

func (l *life) whyBlocked() string {
	var why []string
	for i := range l.blocked.causes {
		if m := l.blocked.causes[i].Message; !slices.Contains(why, m) {
			why = append(why, m)
		}
	}
	return strings.Join(why, "; ")
}

func (l *life) setImplemented() {
	name, in, all := v1alpha1.ConditionImplemented, len(l.status.Implementations), len(l.Change.Spec.Targets)
	count := fmt.Sprintf("%d of %s", all-l.pending(), plural(all, "target"))
	switch {
	case l.any(v1alpha1.RolloutFailed) || l.any(v1alpha1.RolloutRolledBack):
		l.set(name, false, "Failed", count+" in; a rollout failed or was rolled back")
	case in == 0:
		l.set(name, false, "NotStarted", "nothing went in")
	case l.pending() > 0 || l.any(v1alpha1.RolloutInProgress):
		l.set(name, false, "InProgress", count+" in")
	default:
		l.set(name, true, "Complete", count+" rolled out")
	}
}

func (l *life) setReviewed() {
	name := v1alpha1.ConditionReviewed
	switch {
	case l.Change.Spec.Review != nil:
		l.set(name, true, "Written", "outcome "+string(l.Change.Spec.Review.Outcome))
	case l.status.State == v1alpha1.ChangeReview:
		l.set(name, false, "Awaited", "a post-implementation review is owed")
	default:
		l.set(name, true, "NotRequired", "no review is owed")
	}
}

// setReviewOverdue is there while a review is owed. It is loud, and refuses nothing.
func (l *life) setReviewOverdue() {
	name, due := v1alpha1.ConditionReviewOverdue, l.reviewDue()
	switch {
	case due.IsZero():
	case l.reviewOverdue():
		l.set(name, true, "Overdue", "the post-implementation review was due "+l.Rules.show(due))
	default:
		l.set(name, false, "InTime", "the post-implementation review is due "+l.Rules.show(due))
	}
}
