package change

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// settleBackout is how long after its coverage ended a change is undone: every replica of the gate knows of it by
	// then, so that nobody can put the bad template in again.
	settleBackout = 3 * time.Second
	// retryBackout is how soon what the gate refused is tried again, and giveUpBackout when no more: a replica may not
	// know yet that the template that comes back is an earlier one.
	retryBackout  = 5 * time.Second
	giveUpBackout = time.Minute
	// readyAgainWithin is how long a workload may take to be ready again with what was restored.
	readyAgainWithin = 10 * time.Minute
	maxBackoutWhy    = 512
)

// Goal is the template that a workload goes back to where a change of it is undone.
type Goal struct {
	Key configuration.Key
	// From is the hash of the change's own template; empty while it is not in.
	From string
	// Baseline that comes back; nil where none may.
	Baseline *v1alpha1.Baseline
	// Reason, of condition BackoutPossible, and Why none may come back, in words.
	Reason, Why string
}

// RevisionFact says whether Kubernetes still keeps the whole of the template that a workload would go back to.
type RevisionFact struct {
	// Hash of that template.
	Hash string
	// Kept, and else Why not, in words.
	Kept bool
	Why  string
	// Manager is the reconciling field manager (of a GitOps controller) of the workload's template; empty for none.
	Manager string
}

// Restoration is an earlier template to be put back.
type Restoration struct {
	Key configuration.Key
	// From is the hash of what is undone, To of what comes back.
	From, To string
	// IgnoredAnnotationPrefixes of templates, by which hashes are compared.
	IgnoredAnnotationPrefixes []string
}

// Is says whether a template is that of a hash of the restoration.
func (r *Restoration) Is(t *configuration.Template, hash string) bool {
	return t.Is(hash, r.IgnoredAnnotationPrefixes)
}

// Restored is what became of a Restoration.
type Restored struct {
	// State that it has come to; Pending where it is to be tried again.
	State v1alpha1.ChangeBackoutState
	// Why, in words, where it did not go well.
	Why string
}

// Goals are the templates to which the targets of a Change would go back: those that it brought in and that run, and
// while it may go in, those that it may alter. They are asked for where the backout is automatic only.
func (s *Subject) Goals() []Goal {
	if !automatic(s.Change) || s.Change.Status.Backout != nil || s.Change.Status.ClosedAt != nil || s.Change.Status.Outcome != "" {
		return nil
	}
	if s.Rules == nil {
		s.Rules = defaultRules
	}
	var out []Goal
	for i := range s.Change.Spec.Targets {
		t := &s.Change.Spec.Targets[i]
		key := KeyOf(s.Change.Namespace, t.Workload)
		fact, known := s.Workloads[key]
		if !known || !slices.Contains(operationsOf(t), v1alpha1.OperationTemplate) {
			continue
		}
		if at := newestOf(s.Change.Name, fact.Baselines); at <= 0 {
			out = append(out, s.goal(key, &fact, at == 0))
		}
	}
	return out
}

// Restoration is what would bring a workload to a goal that has a baseline.
func (s *Subject) Restoration(g *Goal) *Restoration {
	r := &Restoration{Key: g.Key, From: g.From, To: g.Baseline.TemplateHash}
	if s.Rules != nil {
		r.IgnoredAnnotationPrefixes = s.Rules.IgnoredAnnotationPrefixes
	}
	return r
}

// automatic says whether the operator is to undo a change that fails.
func automatic(chg *v1alpha1.Change) bool {
	return chg.Spec.Backout != nil && chg.Spec.Backout.Automatic && !isRecord(chg)
}

// goal finds the newest earlier template that the gate lets back in: by the same rule, so that what is promised is what
// goes.
func (s *Subject) goal(key configuration.Key, fact *WorkloadFact, in bool) Goal {
	g := Goal{Key: key, Reason: "NoEarlierTemplate", Why: "it has no earlier template"}
	baselines := fact.Baselines
	if in {
		g.From = baselines[0].TemplateHash
	} else {
		baselines = append([]v1alpha1.Baseline{{}}, baselines...)
	}
	w := &World{Baselines: baselines, FailedChanges: fact.FailedChanges}
	seen := map[string]bool{baselines[0].TemplateHash: true}
	for i := 1; i < len(baselines); i++ {
		b := &baselines[i]
		if b.Source == v1alpha1.BaselineUnauthorized || seen[b.TemplateHash] {
			continue
		}
		seen[b.TemplateHash] = true
		if mayReturn(i, b, w, s.Rules, nil) {
			g.Baseline, g.Reason, g.Why = b, "", ""
			return g
		}
		if len(seen) == 2 { // The nearest is what a reader has in mind.
			rep := &report{}
			mayReturn(i, b, w, s.Rules, rep)
			g.Reason, g.Why = "NotProven", rep.causes[0].Message
			if s.Rules.Rollback != v1alpha1.RollbackAllow {
				g.Reason = "PolicyForbids"
			}
		}
	}
	return g
}

// backOut decides whether the change is to be undone, and follows its undoing. It ends the coverage; what is written
// back is decided by a later evaluation, of a status that says so.
func (l *life) backOut() {
	if b := l.before.Backout; b != nil {
		l.status.Backout = b.DeepCopy()
		l.followBackout()
		return
	}
	reason, why := l.whyBackOut()
	if reason == "" {
		return
	}
	b := &v1alpha1.ChangeBackout{StartedAt: *ptrTime(l.now), Reason: reason, Why: brief(plain(why), maxBackoutWhy)}
	goals := l.Goals()
	slices.SortStableFunc(goals, func(x, y Goal) int { return l.inSince(y.Key).Compare(l.inSince(x.Key)) })
	for i := range goals {
		if g := &goals[i]; g.From != "" {
			b.Targets = append(b.Targets, l.backoutTarget(g))
		}
	}
	b.Targets = append(b.Targets, l.noTemplateBefore(b.Targets)...)
	l.status.Backout = b
	l.wake.add(b.StartedAt.Add(settleBackout))
	l.prepare()
}

// noTemplateBefore are the workloads that the change made, or took away: nothing brings back what was there before. A person
// must know of them, since else all of it would seem to be back.
func (l *life) noTemplateBefore(others []v1alpha1.ChangeBackoutTarget) []v1alpha1.ChangeBackoutTarget {
	var out []v1alpha1.ChangeBackoutTarget
	for i := range l.status.Implementations {
		im := &l.status.Implementations[i]
		fact := l.Workloads[KeyOf(l.Change.Namespace, im.Workload)]
		why := ""
		switch {
		case im.Operation == v1alpha1.OperationCreate && newestOf(l.Change.Name, fact.Baselines) == 0 && fact.Workload != nil:
			why = "the change made it"
		case im.Operation == v1alpha1.OperationDelete && fact.Workload == nil:
			why = "the change deleted it"
		}
		if why == "" || slices.ContainsFunc(others, func(t v1alpha1.ChangeBackoutTarget) bool { return t.Workload == im.Workload }) {
			continue
		}
		out = append(out, v1alpha1.ChangeBackoutTarget{
			Workload: im.Workload, From: im.TemplateHash, State: v1alpha1.ChangeBackoutNotPossible, Since: *ptrTime(l.now), Why: why,
		})
	}
	return out
}

func (l *life) backoutTarget(g *Goal) v1alpha1.ChangeBackoutTarget {
	t := v1alpha1.ChangeBackoutTarget{
		Workload: ReferenceTo(g.Key), From: g.From, State: v1alpha1.ChangeBackoutPending, Since: *ptrTime(l.now),
	}
	if _, why := l.cannotGoBack(g); why != "" {
		t.State, t.Why = v1alpha1.ChangeBackoutNotPossible, brief(plain(why), maxBackoutWhy)
		return t
	}
	t.To = g.Baseline.TemplateHash
	return t
}

// cannotGoBack says why a workload cannot go back; empty: it can, as far as is known.
func (l *life) cannotGoBack(g *Goal) (reason, why string) {
	fact := l.Workloads[g.Key]
	kept, looked := l.Revisions[g.Key]
	looked = looked && g.Baseline != nil && kept.Hash == g.Baseline.TemplateHash
	switch {
	case g.Baseline == nil:
		return g.Reason, g.Why
	case looked && !kept.Kept:
		return "NoRevisions", kept.Why
	case looked && kept.Manager != "" && fact.Enforcement != v1alpha1.EnforcementEnforce:
		return "ManagedByGitOps", "its template is managed by " + kept.Manager + ", which would put the change back at once since the gate does not enforce here; revert it at its source"
	}
	return "", ""
}

// inSince is when the change's template went into a workload.
func (l *life) inSince(key configuration.Key) time.Time {
	for i := range l.status.Implementations {
		if im := &l.status.Implementations[i]; im.Workload == ReferenceTo(key) {
			return im.At.Time
		}
	}
	return time.Time{}
}

// whyBackOut says why the change is to be undone now; empty: it is not. A change that has ended, or was withdrawn, is
// a person's to undo, and one that goes in by a Release is the Release's.
func (l *life) whyBackOut() (reason v1alpha1.ChangeBackoutReason, why string) {
	if !automatic(l.Change) || len(l.Releases) > 0 || l.before.Outcome != "" || l.Change.Spec.Cancel {
		return "", ""
	}
	runs := false
	for i := range l.status.Implementations {
		im := &l.status.Implementations[i]
		fact := l.Workloads[KeyOf(l.Change.Namespace, im.Workload)]
		if im.Operation != v1alpha1.OperationTemplate || newestOf(l.Change.Name, fact.Baselines) != 0 {
			continue
		}
		runs = true
		if im.Rollout == v1alpha1.RolloutFailed {
			return v1alpha1.ChangeBackoutRolloutFailed, "the rollout of " + nameOf(KeyOf(l.Change.Namespace, im.Workload)) + " makes no progress"
		}
	}
	for _, s := range l.Suspicions {
		if runs && s.Open && s.Confidence == v1alpha1.ConfidenceHigh && s.grave() {
			return v1alpha1.ChangeBackoutIncidentSuspected, fmt.Sprintf("Incident %s (%s) suspects it with confidence High", s.Name, s.Priority)
		}
	}
	return "", ""
}

// followBackout brings the targets up to date, and says which are to be restored now.
func (l *life) followBackout() {
	b := l.status.Backout
	settled := !l.now.Before(b.StartedAt.Add(settleBackout))
	l.wake.add(b.StartedAt.Add(settleBackout))
	for i := range b.Targets {
		t := &b.Targets[i]
		key := KeyOf(l.Change.Namespace, t.Workload)
		switch t.State {
		case v1alpha1.ChangeBackoutPending:
			l.restoring(t, key, settled)
		case v1alpha1.ChangeBackoutRestored:
			l.verifying(t, key)
		case v1alpha1.ChangeBackoutVerified, v1alpha1.ChangeBackoutNotPossible, v1alpha1.ChangeBackoutSuperseded, v1alpha1.ChangeBackoutFailed:
		}
	}
}

func (l *life) restoring(t *v1alpha1.ChangeBackoutTarget, key configuration.Key, settled bool) {
	result, tried := l.Restored[key]
	late := l.now.Sub(l.status.Backout.StartedAt.Time) >= giveUpBackout
	switch {
	case tried && result.State == v1alpha1.ChangeBackoutPending && late:
		l.became(t, v1alpha1.ChangeBackoutFailed, result.Why)
	case tried && result.State == v1alpha1.ChangeBackoutPending:
		t.Why = brief(plain(result.Why), maxBackoutWhy)
		l.wake.add(l.now.Add(retryBackout))
	case tried:
		l.became(t, result.State, result.Why)
	case settled:
		l.restore = append(l.restore, l.restoration(t, key))
	}
	if t.State == v1alpha1.ChangeBackoutRestored {
		l.verifying(t, key)
	}
}

func (l *life) restoration(t *v1alpha1.ChangeBackoutTarget, key configuration.Key) Restoration {
	return Restoration{Key: key, From: t.From, To: t.To, IgnoredAnnotationPrefixes: l.Rules.IgnoredAnnotationPrefixes}
}

// verifying waits until a workload is ready with what was restored. Until then its broken pods are in the way.
func (l *life) verifying(t *v1alpha1.ChangeBackoutTarget, key configuration.Key) {
	w := l.Workloads[key].Workload
	end := t.Since.Add(readyAgainWithin)
	is := func(hash string) bool { return w.Template.Is(hash, l.Rules.IgnoredAnnotationPrefixes) }
	switch {
	case w == nil:
		l.became(t, v1alpha1.ChangeBackoutSuperseded, "it does not exist any more")
	case is(t.To) && w.RolledOut():
		l.became(t, v1alpha1.ChangeBackoutVerified, "")
	case !l.now.Before(end) && is(t.To):
		l.became(t, v1alpha1.ChangeBackoutFailed, "it is not ready again although the earlier template is in")
	case !l.now.Before(end):
		l.became(t, v1alpha1.ChangeBackoutSuperseded, "somebody put in another template after it was restored")
	default:
		l.wake.add(end)
		l.sweep = append(l.sweep, l.restoration(t, key))
	}
}

func (l *life) became(t *v1alpha1.ChangeBackoutTarget, state v1alpha1.ChangeBackoutState, why string) {
	t.State, t.Since, t.Why = state, *ptrTime(l.now), brief(plain(why), maxBackoutWhy)
}

// backingOut says whether something is still to be written back.
func (l *life) backingOut() bool { return l.backoutHas(v1alpha1.ChangeBackoutPending) }

// backedOut says whether anything was brought back.
func (l *life) backedOut() bool {
	return l.backoutHas(v1alpha1.ChangeBackoutRestored) || l.backoutHas(v1alpha1.ChangeBackoutVerified)
}

func (l *life) backoutHas(state v1alpha1.ChangeBackoutState) bool {
	b := l.status.Backout
	return b != nil && slices.ContainsFunc(b.Targets, func(t v1alpha1.ChangeBackoutTarget) bool { return t.State == state })
}

// setBackoutPossible says early whether it could be undone by itself.
func (l *life) setBackoutPossible() {
	name := v1alpha1.ConditionBackoutPossible
	if !automatic(l.Change) || len(l.Releases) > 0 || l.candidate.Ended != NotEnded {
		return
	}
	var reason string
	var words []string
	unknown := false
	goals := l.Goals()
	for i := range goals {
		g := &goals[i]
		r, why := l.cannotGoBack(g)
		kept, looked := l.Revisions[g.Key]
		if why != "" {
			words = append(words, nameOf(g.Key)+": "+why)
			reason = r
		}
		unknown = unknown || g.Baseline != nil && (!looked || kept.Hash != g.Baseline.TemplateHash)
	}
	switch {
	case len(words) > 0:
		l.set(name, false, reason, strings.Join(words, "; ")+". If it fails, somebody must undo it by hand")
	case len(goals) == 0:
		l.set(name, false, "NoEarlierTemplate", "none of its targets has an earlier template. If it fails, somebody must undo it by hand")
	case unknown:
		l.set(name, false, "NotKnown", "what Kubernetes keeps of the earlier templates could not be read")
	default:
		l.set(name, true, "Possible", plural(len(goals), "workload")+" can go back to the whole template before"+l.managers(goals))
	}
}

// managers names who puts the workloads' templates in, where that is a GitOps controller: it will ask for the undone
// one again and again.
func (l *life) managers(goals []Goal) string {
	for i := range goals {
		if m := l.Revisions[goals[i].Key].Manager; m != "" {
			return " (managed by " + m + ": revert it at its source too)"
		}
	}
	return ""
}

// setRolledBack says how far the operator's own undoing is.
func (l *life) setRolledBack() {
	name, b := v1alpha1.ConditionRolledBack, l.status.Backout
	if b == nil {
		return
	}
	var bad []string
	for i := range b.Targets {
		t := &b.Targets[i]
		switch t.State {
		case v1alpha1.ChangeBackoutNotPossible, v1alpha1.ChangeBackoutSuperseded, v1alpha1.ChangeBackoutFailed:
			bad = append(bad, nameOf(KeyOf(l.Change.Namespace, t.Workload))+": "+t.Why)
		case v1alpha1.ChangeBackoutPending, v1alpha1.ChangeBackoutRestored, v1alpha1.ChangeBackoutVerified:
		}
	}
	switch {
	case l.backingOut() || l.backoutHas(v1alpha1.ChangeBackoutRestored):
		l.set(name, false, "InProgress", b.Why+"; it goes back to the templates before")
	case len(bad) > 0 || len(b.Targets) == 0:
		l.set(name, false, "Failed", "not all of it is back: "+strings.Join(append(bad, b.Why), "; "))
	default:
		l.set(name, true, "Verified", "all that went in is back to the template before, and ready")
	}
}
