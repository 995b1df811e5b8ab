package change

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const maxImplementations = 100

// implementations returns what of a Change went in: what is recorded, brought up to date by the workloads and their
// baselines.
func (l *life) implementations() []v1alpha1.Implementation {
	out := slices.Clone(l.before.Implementations)
	for i := range l.Change.Spec.Targets {
		t := &l.Change.Spec.Targets[i]
		fact, known := l.Workloads[KeyOf(l.Change.Namespace, t.Workload)]
		if !known {
			continue
		}
		if at := l.broughtIn(t.Workload, fact.Baselines); at >= 0 {
			out = l.follow(out, t, &fact, at)
			continue
		}
		if l.deleted(t, &fact) {
			out = appendNew(out, &v1alpha1.Implementation{
				Workload: t.Workload, Operation: v1alpha1.OperationDelete, At: *ptrTime(l.now),
				Rollout: v1alpha1.RolloutComplete, RolledOutAt: ptrTime(l.now),
			})
		}
	}
	return out
}

// broughtIn returns the baseline that tells of this Change; -1: none.
func (l *life) broughtIn(w v1alpha1.WorkloadReference, baselines []v1alpha1.Baseline) int {
	if !isRecord(l.Change) {
		return newestOf(l.Change.Name, baselines)
	}
	key := KeyOf(l.Change.Namespace, w)
	return slices.IndexFunc(baselines, func(b v1alpha1.Baseline) bool {
		return recordName(key, &b) == l.Change.Name
	})
}

// preauthorised says whether the gate let it in as needing no vote.
func (l *life) preauthorised() bool {
	for i := range l.Change.Spec.Targets {
		w := l.Change.Spec.Targets[i].Workload
		baselines := l.Workloads[KeyOf(l.Change.Namespace, w)].Baselines
		if at := newestOf(l.Change.Name, baselines); at >= 0 && baselines[at].Source == v1alpha1.BaselinePreAuthorised {
			return true
		}
	}
	return false
}

// newestOf returns the newest baseline that a Change let in; -1: none. A rollback names the Change that it undid.
func newestOf(change string, baselines []v1alpha1.Baseline) int {
	return slices.IndexFunc(baselines, func(b v1alpha1.Baseline) bool {
		switch b.Source {
		case v1alpha1.BaselineChange, v1alpha1.BaselinePreAuthorised, v1alpha1.BaselineBreakGlass, v1alpha1.BaselineUnauthorized:
			return b.Change == change
		case v1alpha1.BaselineAdopted, v1alpha1.BaselineRollback, v1alpha1.BaselineAudited:
		}
		return false
	})
}

// follow records the baseline that the Change let in, and how far it is rolled out.
func (l *life) follow(out []v1alpha1.Implementation, t *v1alpha1.ChangeTarget, fact *WorkloadFact, at int) []v1alpha1.Implementation {
	b := &fact.Baselines[at]
	i := slices.IndexFunc(out, func(x v1alpha1.Implementation) bool {
		return x.Workload == t.Workload && x.TemplateHash == b.TemplateHash
	})
	if i < 0 {
		out = appendNew(out, &v1alpha1.Implementation{
			Workload: t.Workload, Operation: operationThatWent(t, len(fact.Baselines), at), TemplateHash: b.TemplateHash, By: b.By, At: b.From,
			Rollout: v1alpha1.RolloutInProgress,
		})
		i = len(out) - 1
	}
	im := &out[i]
	if im.By == "" {
		im.By = b.By
	}
	state := l.rollout(im, fact, at)
	if state != im.Rollout {
		im.Rollout = state
		im.RolledOutAt = nil
		if state != v1alpha1.RolloutInProgress {
			im.RolledOutAt = ptrTime(l.now)
		}
	}
	if state == v1alpha1.RolloutComplete || state == v1alpha1.RolloutRolledBack {
		im.Progress = nil
	}
	return out
}

func operationThatWent(t *v1alpha1.ChangeTarget, baselines, at int) v1alpha1.Operation {
	if at == baselines-1 && slices.Contains(operationsOf(t), v1alpha1.OperationCreate) {
		return v1alpha1.OperationCreate
	}
	return v1alpha1.OperationTemplate
}

// rollout says how far a template is rolled out that came in by the baseline at a place.
func (l *life) rollout(im *v1alpha1.Implementation, fact *WorkloadFact, at int) v1alpha1.RolloutState {
	b := &fact.Baselines[at]
	switch {
	case configuration.Undone(fact.Baselines, at):
		return v1alpha1.RolloutRolledBack
	case at > 0 && im.Rollout == v1alpha1.RolloutInProgress && !b.Proven:
		// Another template went in before this one was rolled out: it will not be any more.
		return v1alpha1.RolloutFailed
	case at > 0:
		return orComplete(im.Rollout)
	case fact.Workload == nil:
		return im.Rollout
	case rolledOut(fact, at):
		return v1alpha1.RolloutComplete
	case im.Rollout == v1alpha1.RolloutComplete:
		return v1alpha1.RolloutComplete
	case im.Rollout == v1alpha1.RolloutFailed && !fact.Workload.Template.IsBaseline(*b, l.Rules.IgnoredAnnotationPrefixes):
		return v1alpha1.RolloutFailed // what the workload says is of another template by now, of which no baseline tells yet
	case im.Rollout == v1alpha1.RolloutFailed && fact.Workload.Key.Kind == configuration.KindCronJob:
		return v1alpha1.RolloutFailed // until a run succeeds: that the next one has begun says nothing yet
	case failedToRollOut(fact, at), l.stalled(im, fact.Workload):
		return v1alpha1.RolloutFailed
	}
	return v1alpha1.RolloutInProgress
}

func orComplete(s v1alpha1.RolloutState) v1alpha1.RolloutState {
	if s == v1alpha1.RolloutInProgress {
		return v1alpha1.RolloutComplete
	}
	return s
}

func rolledOut(fact *WorkloadFact, at int) bool {
	w := fact.Workload
	if !w.Template.IsBaseline(fact.Baselines[at], nil) {
		return false
	}
	if w.Key.Kind == configuration.KindCronJob {
		succeeded, _ := fact.runs(at)
		return !succeeded.IsZero()
	}
	return w.RolledOut()
}

// runs says how the runs of a CronJob went that had the template of a baseline.
func (f *WorkloadFact) runs(at int) (succeeded, failed time.Time) {
	return configuration.Runs(f.Workload, f.Runs, &f.Baselines[at], f.Baselines[at+1:])
}

// failedToRollOut says whether a workload says itself that the template of a baseline does not come up. A CronJob's does
// not where a run failed that had the template; a later run that succeeds makes up for it.
func failedToRollOut(fact *WorkloadFact, at int) bool {
	w := fact.Workload
	switch w.Key.Kind {
	case configuration.KindDeployment:
		c := w.Conditions["Progressing"]
		return c.Status == "False" && c.Reason == "ProgressDeadlineExceeded"
	case configuration.KindCronJob:
		_, failed := fact.runs(at)
		return !failed.IsZero() && w.Template.IsBaseline(fact.Baselines[at], nil)
	}
	return !w.FailedAt.IsZero()
}

// deleted says whether a target that may be deleted is gone, after the Change could have gone in: the gate needs no status of
// a leader that was not there when the last vote was cast.
func (l *life) deleted(t *v1alpha1.ChangeTarget, fact *WorkloadFact) bool {
	recorded := slices.ContainsFunc(l.before.Implementations, func(i v1alpha1.Implementation) bool {
		return i.Workload == t.Workload && i.Operation == v1alpha1.OperationDelete
	})
	return !recorded && fact.Workload == nil && len(fact.Baselines) > 0 && slices.Contains(operationsOf(t), v1alpha1.OperationDelete) &&
		(l.before.State == v1alpha1.ChangeImplement || l.begunUnseen())
}

// begunUnseen says whether it is approved and its window has begun, whatever its status says yet.
func (l *life) begunUnseen() bool {
	c := Prepare(l.Agreed)
	return c.Ended == NotEnded && c.Approval.Approved && !c.Window.From.IsZero() && !c.Window.From.After(l.now)
}

func appendNew(list []v1alpha1.Implementation, im *v1alpha1.Implementation) []v1alpha1.Implementation {
	if len(list) >= maxImplementations {
		list = list[1:]
	}
	return append(list, *im)
}

// conclude finds the outcome, once there is one: it is recorded and amended only by what came to light later.
func (l *life) conclude() {
	switch {
	case l.status.Outcome == "":
		l.status.Outcome = l.outcome()
		if l.lifted && l.status.Outcome == "" && l.before.State == v1alpha1.ChangeClosed {
			l.status.Outcome = v1alpha1.OutcomeSuccessful // which it was before it was suspected
		}
	case !l.reviewed():
		l.amend()
	}
}

// amend lets later suspicion and a later rollback alter the outcome of what ended well.
func (l *life) amend() {
	s := &l.status
	if s.Outcome == v1alpha1.OutcomeNotImplemented || isRecord(l.Change) {
		return
	}
	switch {
	case l.any(v1alpha1.RolloutRolledBack):
		s.Outcome = v1alpha1.OutcomeRolledBack
	case s.Outcome != v1alpha1.OutcomeSuccessful && s.Outcome != v1alpha1.OutcomeSuccessfulWithIssues:
	case l.suspectedOf(true):
		s.Outcome = v1alpha1.OutcomeUnsuccessful
	case l.suspectedOf(false):
		s.Outcome = v1alpha1.OutcomeSuccessfulWithIssues
	}
}

// outcome of what has ended; empty: it has not.
func (l *life) outcome() v1alpha1.Outcome {
	began, pending := len(l.status.Implementations) > 0, l.pending()
	over := l.windowOver()
	switch {
	case isRecord(l.Change), !began && l.canceled(), !began && l.candidate.Ended == EndedRejected:
		return ""
	case l.backingOut():
		return ""
	case l.any(v1alpha1.RolloutRolledBack), l.backedOut():
		return v1alpha1.OutcomeRolledBack
	case l.status.Backout != nil, l.suspectedOf(true) && began:
		return v1alpha1.OutcomeUnsuccessful
	case !began && over:
		return v1alpha1.OutcomeNotImplemented
	case !began:
		return ""
	case l.any(v1alpha1.RolloutInProgress):
		return l.stuck()
	case pending > 0 && !over && !l.canceled():
		return ""
	case pending > 0 && !l.any(v1alpha1.RolloutFailed):
		return v1alpha1.OutcomePartial
	}
	return l.observed()
}

// windowOver says whether nothing more can go in. What was never approved ends with the window that it declared.
func (l *life) windowOver() bool {
	w := l.candidate.Window
	if w.IsZero() || w.To.IsZero() {
		return false
	}
	l.wake.add(w.To)
	return !l.now.Before(w.To)
}

// stuck gives up on rollouts that do not end long after the window. What became of them nobody knows if all of them are held back,
// wait for a run, have no pods, or are gone with their workload; and no other one failed.
func (l *life) stuck() v1alpha1.Outcome {
	last := l.candidate.Window.To
	unseen := true
	for i := range l.status.Implementations {
		im := &l.status.Implementations[i]
		if im.At.After(last) {
			last = im.At.Time
		}
		if w := l.Workloads[KeyOf(l.Change.Namespace, im.Workload)].Workload; w != nil && im.Rollout == v1alpha1.RolloutInProgress {
			unseen = unseen && (w.Hold.Held() || w.Key.Kind == configuration.KindCronJob || w.Desired == 0)
		}
	}
	end := last.Add(stuckAfter)
	l.wake.add(end)
	switch {
	case l.now.Before(end):
		return ""
	case unseen && l.superseded():
		return v1alpha1.OutcomeInconclusive
	}
	return v1alpha1.OutcomeUnsuccessful
}

// observed is the outcome of what is in, once it was watched long enough.
func (l *life) observed() v1alpha1.Outcome {
	end := l.watchedUntil()
	l.wake.add(end)
	switch {
	case l.now.Before(end):
		return ""
	case l.any(v1alpha1.RolloutFailed) && l.superseded():
		return v1alpha1.OutcomeInconclusive
	case l.any(v1alpha1.RolloutFailed):
		return v1alpha1.OutcomeUnsuccessful
	case l.suspectedOf(false):
		return v1alpha1.OutcomeSuccessfulWithIssues
	}
	return v1alpha1.OutcomeSuccessful
}

// watchedUntil is until when what is in is watched before it has an outcome.
func (l *life) watchedUntil() time.Time {
	var last time.Time
	for i := range l.status.Implementations {
		if at := l.status.Implementations[i].RolledOutAt; at != nil && at.After(last) {
			last = at.Time
		}
	}
	return last.Add(l.Rules.Observation)
}

// superseded says whether all rollouts that failed were still going on when another template went in: what would have
// become of them nobody knows.
func (l *life) superseded() bool {
	return !slices.ContainsFunc(l.status.Implementations, func(im v1alpha1.Implementation) bool {
		if im.Rollout != v1alpha1.RolloutFailed || im.RolledOutAt == nil {
			return false
		}
		baselines := l.Workloads[KeyOf(l.Change.Namespace, im.Workload)].Baselines
		at := l.broughtIn(im.Workload, baselines)
		return at < 0 || baselines[at].Until == nil || im.RolledOutAt.Before(baselines[at].Until)
	})
}

func (l *life) any(state v1alpha1.RolloutState) bool {
	return slices.ContainsFunc(l.status.Implementations, func(i v1alpha1.Implementation) bool { return i.Rollout == state })
}

// pending is how many targets nothing went into.
func (l *life) pending() int {
	n := 0
	for i := range l.Change.Spec.Targets {
		if !l.wentIn(l.Change.Spec.Targets[i].Workload) {
			n++
		}
	}
	return n
}

func (l *life) wentIn(w v1alpha1.WorkloadReference) bool {
	return slices.ContainsFunc(l.status.Implementations, func(i v1alpha1.Implementation) bool { return i.Workload == w })
}

// base is the baseline that a target is compared with: the one that is agreed to, and of what went in without a Change
// the one before it. Nil: there is none.
func (l *life) base(t *v1alpha1.ChangeTarget) *v1alpha1.Baseline {
	baselines := l.Workloads[KeyOf(l.Change.Namespace, t.Workload)].Baselines
	if isRecord(l.Change) {
		baselines = baselines[l.broughtIn(t.Workload, baselines)+1:]
	}
	return agreed(baselines)
}

// diffPath is a path within a workload's template, beginning with the workload.
func diffPath(w v1alpha1.WorkloadReference, path string) string {
	return strings.ToLower(string(w.Kind)) + "/" + string(w.Name) + ": " + path
}

// isImagePath says whether a path of a template is a container's image.
func isImagePath(path string) bool { return inContainer(path) == "image" }

func cutPrefix(s, prefix string) (string, bool) { return strings.CutPrefix(s, prefix) }

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func itoa(n int32) string { return strconv.Itoa(int(n)) }
