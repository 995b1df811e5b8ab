package release

import (
	"slices"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// deploy brings in one phase after the other.
func (d *decider) deploy() {
	d.status.State = v1alpha1.ReleaseDeploying
	at := d.current()
	if at < 0 {
		at = 0
		d.beginPhase(0)
	}
	p := &d.status.Phases[at]
	d.observe(p)
	if f := d.failure(at); f != nil {
		d.fail(p, f)
		return
	}
	if p.State != v1alpha1.ReleasePhaseDone && !d.run(at) {
		return
	}
	if at+1 == len(d.plan.phases) {
		d.status.DeployedAt, d.status.Phase = timePtr(d.now), ""
		d.support()
		return
	}
	d.next = ""
	d.between(at)
}

// current is the place of the phase that runs, or ran last; -1: none did.
func (d *decider) current() int {
	return slices.IndexFunc(d.status.Phases, func(p v1alpha1.ReleasePhaseStatus) bool { return string(p.Name) == d.status.Phase })
}

// between goes on to the next phase, where nothing holds it.
func (d *decider) between(at int) {
	next := d.plan.phases[at+1].name
	switch {
	case d.spec.Paused:
		d.progress = progress{false, "Paused", "it is paused before phase " + next}
		d.next = "Go on with phase " + next + ": kubectl patch rel " + d.Release.Name + " -n " + d.Release.Namespace + " --type merge -p '{\"spec\":{\"paused\":false}}'"
	case !d.gateOpen():
	default:
		d.beginPhase(at + 1)
	}
}

// beginPhase makes it the turn of a phase's units. They are written when this is known.
func (d *decider) beginPhase(at int) {
	p := &d.status.Phases[at]
	p.State, p.StartedAt, p.ObservedAt, p.Message = v1alpha1.ReleasePhaseDeploying, timePtr(d.now), timePtr(d.now), ""
	d.status.Phase = string(p.Name)
	for _, i := range d.plan.phases[at].units {
		d.status.Units[i].State = v1alpha1.ReleaseUnitDeploying
	}
	d.rememberAgain(at)
	d.progress = progress{true, "Deploying", "phase " + string(p.Name) + " begins"}
	d.next = "Nothing: it goes on by itself."
	d.wake.add(d.now.Add(time.Millisecond))
}

// rememberAgain: what a unit of a later phase runs may have become another template since the Release began.
func (d *decider) rememberAgain(at int) {
	for _, i := range d.plan.phases[at].units {
		s, w := &d.status.Units[i], d.workload(i)
		if w != nil && !d.runs(i, w) || s.Previous == nil {
			d.rememberUnit(i)
		}
	}
}

// run carries a phase on and says whether it is done.
func (d *decider) run(at int) bool {
	p := &d.status.Phases[at]
	d.progress = progress{true, "Deploying", "phase " + string(p.Name)}
	d.next = "Nothing: it goes on by itself."
	waits, rolled := d.rollOut(at)
	if len(waits) > 0 || !rolled {
		p.State, p.SoakingSince, p.SoakedSeconds = v1alpha1.ReleasePhaseDeploying, nil, 0
		p.Message = said(maxMessage, "%s", strings.Join(waits, "; "))
		d.progress.message += ": " + p.Message
		d.timeout(at)
		return false
	}
	return d.soak(at)
}

// rollOut asks for what of the phase is not in yet, and says what it waits for.
func (d *decider) rollOut(at int) (waits []string, rolled bool) {
	rolled = true
	if manager := d.managed(); manager != "" {
		d.progress = progress{false, "ManagedByGitOps", manager}
		d.next = "Take the images of its units out of the GitOps controller's source, or cancel this Release and make one with strategy Observe."
		return []string{manager}, false
	}
	for _, i := range d.plan.phases[at].units {
		s, w := &d.status.Units[i], d.workload(i)
		if w == nil { // which fails the phase
			return []string{"there is no " + nameOf(s.Workload)}, false
		}
		if s.Released == nil {
			if why := d.bringIn(i, w); why != "" {
				waits = append(waits, why)
			}
			rolled = false
			continue
		}
		if d.follow(i, w) {
			continue
		}
		rolled = false
		why := d.waiting(i, w)
		s.State, s.Message = v1alpha1.ReleaseUnitDeploying, said(maxUnitMessage, "%s", why)
		waits = append(waits, why)
	}
	return waits, rolled
}

// bringIn asks for the images of a unit, or waits for who sets them.
func (d *decider) bringIn(i int, w *configuration.Workload) string {
	s := &d.status.Units[i]
	name := nameOf(s.Workload)
	s.State = v1alpha1.ReleaseUnitDeploying
	if !d.runs(i, w) {
		d.rememberUnit(i) // it may have become another template while it waited
	}
	if d.spec.Strategy == v1alpha1.ReleaseObserve {
		if !d.runs(i, w) {
			d.next = "Let whoever sets the images do it: " + name + " shall run " + imagesOf(d.spec.Units[i].Images) + ". The gate lets it in now."
			return "waits for " + imagesOf(d.spec.Units[i].Images) + " on " + name
		}
		s.Released = &v1alpha1.ReleaseTemplate{
			TemplateHash: w.Template.Hash, WorkloadUID: string(w.UID), Generation: w.Generation, At: timePtr(d.now),
		}
		return ""
	}
	if !d.gateOpen() && !d.runs(i, w) {
		return d.progress.message
	}
	if from := phaseNamed(d.status.Phases, s.Phase).StartedAt.Add(coverageKnown); d.now.Before(from) {
		d.wake.add(from)
		return name + " is to be set"
	}
	d.ask(Write{
		Kind: ApplyImages, Unit: string(s.Name), Workload: s.Workload, UID: w.UID, Images: stringsOf(d.spec.Units[i].Images),
		From: previousHash(s), Again: strings.HasPrefix(s.Message, refusedPrefix),
	})
	if strings.HasPrefix(s.Message, refusedPrefix) {
		d.progress = progress{false, "Denied", name + ": " + s.Message}
		d.next = "See what refused it: " + s.Message
		return name + ": " + s.Message
	}
	return ""
}

func previousHash(s *v1alpha1.ReleaseUnitStatus) string {
	if s.Previous == nil {
		return ""
	}
	return s.Previous.TemplateHash
}

// follow says whether a unit that was written runs the release completely. A template that became another one, with the
// released images in it, is followed; the soak begins anew.
func (d *decider) follow(i int, w *configuration.Workload) bool {
	s := &d.status.Units[i]
	if w.Generation < s.Released.Generation && string(w.UID) == s.Released.WorkloadUID {
		return false // older than our write
	}
	if w.Template.Hash != s.Released.TemplateHash || string(w.UID) != s.Released.WorkloadUID {
		s.Released = &v1alpha1.ReleaseTemplate{
			TemplateHash: w.Template.Hash, WorkloadUID: string(w.UID), Generation: w.Generation, At: timePtr(d.now),
		}
		return false
	}
	return d.complete(w, s.Released)
}

// complete says whether a workload runs a template at the generation that brought it in: its controller has seen it,
// all pods run it, none an older one, and all are ready. Of a CronJob, that no run of it failed; it has no pods to
// replace.
func (d *decider) complete(w *configuration.Workload, t *v1alpha1.ReleaseTemplate) bool {
	if w.ObservedGeneration < t.Generation || w.Generation < t.Generation {
		return false
	}
	switch w.Key.Kind {
	case configuration.KindCronJob:
		return !w.Hold.Suspended && (w.Ready > 0 || t.At == nil || w.LastScheduled.Before(t.At.Time))
	case configuration.KindJob:
		return !w.CompletedAt.IsZero()
	}
	return w.RolledOut()
}

// waiting says what a unit that is not complete waits for.
func (d *decider) waiting(i int, w *configuration.Workload) string {
	name := nameOf(d.status.Units[i].Workload)
	if why := held(w); why != "" {
		return why
	}
	if w.Desired == 0 && w.Key.Kind != configuration.KindJob {
		return name + " has no replicas: nothing runs that could be watched; scale it up"
	}
	counts := name + " has " + itoa(w.Updated) + " of " + itoa(w.Desired) + " pods updated, " + itoa(w.Ready) + " ready"
	if old := w.Current - w.Updated; old > 0 {
		counts += ", " + itoa(old) + " old"
	}
	p := d.plan.phases[d.current()]
	if p.timeout == 0 && w.ProgressDeadlineSeconds == 0 {
		counts += "; it has no progress deadline and the phase no timeout: it would wait for ever"
	}
	return counts
}

// timeout wakes up when the phase's time is over.
func (d *decider) timeout(at int) {
	if end := d.timeoutAt(at); !end.IsZero() {
		d.wake.add(end)
	}
}

// timeoutAt is when the phase has failed; zero: it has no timeout, or has not begun. Time in which nobody looked does
// not count: what went well then could not be seen to.
func (d *decider) timeoutAt(at int) time.Time {
	p := &d.status.Phases[at]
	if d.plan.phases[at].timeout == 0 || p.StartedAt == nil || p.DoneAt != nil {
		return time.Time{}
	}
	return p.StartedAt.Add(d.plan.phases[at].timeout + lasting(p.UnobservedSeconds))
}

// failure is what stops the release; nil: nothing does.
func (d *decider) failure(at int) *v1alpha1.ReleaseFailure {
	if s := d.grave(); s != nil {
		return d.failed(v1alpha1.ReleaseFailureIncident, "", "Incident %s/%s (%s) suspects its Change", s.Namespace, s.Name, s.Priority)
	}
	for _, b := range d.Burns {
		if d.since(b.Since) {
			return d.failed(v1alpha1.ReleaseFailureBurn, "", "Service %s: %s", b.Service, b.Why)
		}
	}
	for i := range d.status.Units {
		if f := d.unitFailure(i); f != nil {
			return f
		}
	}
	if f := d.changeEnded(); f != nil {
		return f
	}
	if end := d.timeoutAt(at); !end.IsZero() && !d.now.Before(end) && !d.soaked(at) {
		return d.failed(v1alpha1.ReleaseFailureTimeout, "", "phase %s was not done after %s: %s",
			d.plan.phases[at].name, show(d.plan.phases[at].timeout), orNothing(d.status.Phases[at].Message))
	}
	return nil
}

func orNothing(message string) string {
	if message == "" {
		return "its units had not soaked"
	}
	return message
}

func (d *decider) failed(reason v1alpha1.ReleaseFailureReason, unit, format string, args ...any) *v1alpha1.ReleaseFailure {
	return &v1alpha1.ReleaseFailure{Phase: d.status.Phase, Unit: unit, Reason: reason, Message: said(maxMessage, format, args...), At: *timePtr(d.now)}
}

// grave is an Incident of priority P1 or P2 that began after the Release and suspects its Change; nil: none does.
func (d *decider) grave() *Suspicion {
	for i := range d.Suspicions {
		s := &d.Suspicions[i]
		if d.since(s.At) && (s.Priority == v1alpha1.PriorityP1 || s.Priority == v1alpha1.PriorityP2) {
			return s
		}
	}
	return nil
}

// unitFailure is what is wrong with a unit whose phase has begun.
func (d *decider) unitFailure(i int) *v1alpha1.ReleaseFailure {
	s, w := &d.status.Units[i], d.workload(i)
	name := nameOf(s.Workload)
	switch {
	case !d.begun(i):
		return nil
	case w == nil:
		return d.failed(v1alpha1.ReleaseFailureGone, string(s.Name), "%s does not exist any more", name)
	case s.Released == nil:
		return nil
	case string(w.UID) == s.Released.WorkloadUID && w.Generation < s.Released.Generation:
		return nil // older than our write
	case !d.runs(i, w):
		return d.failed(v1alpha1.ReleaseFailureReplaced, string(s.Name), "somebody set %s to %s in the place of %s",
			name, imagesOf(w.Template.Images), imagesOf(d.spec.Units[i].Images))
	case s.Phase != d.status.Phase:
		return nil
	case !w.FailedAt.IsZero():
		return d.failed(v1alpha1.ReleaseFailureProgress, string(s.Name), "%s failed", name)
	case stuck(w) && w.ObservedGeneration >= s.Released.Generation:
		return d.failed(v1alpha1.ReleaseFailureProgress, string(s.Name), "%s made no progress for %s: %s",
			name, show(lasting(w.ProgressDeadlineSeconds)), w.Conditions["Progressing"].Message)
	}
	return nil
}

func stuck(w *configuration.Workload) bool {
	c := w.Conditions["Progressing"]
	return w.Key.Kind == configuration.KindDeployment && c.Status == "False" && c.Reason == "ProgressDeadlineExceeded"
}

// begun says whether the phase of a unit has begun.
func (d *decider) begun(i int) bool {
	p := phaseNamed(d.status.Phases, d.status.Units[i].Phase)
	return p != nil && p.StartedAt != nil
}

// changeEnded says whether the Change broke something, which takes the release back, or ended though it was still
// needed: that was a person's decision, or its window's, and broke nothing. What a review says is a person's decision too.
func (d *decider) changeEnded() *v1alpha1.ReleaseFailure {
	ended := func(format string, args ...any) *v1alpha1.ReleaseFailure {
		return d.failed(v1alpha1.ReleaseFailureChangeEnded, "", format, args...)
	}
	pending := slices.ContainsFunc(d.status.Units, func(u v1alpha1.ReleaseUnitStatus) bool { return u.Released == nil })
	if d.chg == nil {
		if !pending {
			return nil
		}
		return ended("its Change %s does not exist any more", ChangeOf(d.Release))
	}
	name, s := d.chg.Name, &d.chg.Status
	broke := s.Outcome == v1alpha1.OutcomeUnsuccessful || s.Outcome == v1alpha1.OutcomeRolledBack
	switch {
	case broke && d.chg.Spec.Review == nil:
		return d.failed(v1alpha1.ReleaseFailureChangeFailed, "", "its Change %s was found %s%s", name, s.Outcome, causedBy(d.chg))
	case broke:
		return ended("a review closed its Change %s as %s", name, s.Outcome)
	case !pending:
		return nil
	case s.Backout != nil:
		return ended("its Change %s is being undone", name)
	case d.chg.Spec.Cancel:
		return ended("its Change %s was canceled before all units were in", name)
	case over(d.chg):
		return ended("its Change %s has ended (%s %s) before all units were in", name, s.State, s.Outcome)
	}
	return nil
}

// causedBy names the Incidents that a Change is suspected of.
func causedBy(chg *v1alpha1.Change) string {
	var names []string
	for _, i := range chg.Status.CausedIncidents {
		names = append(names, string(i.Namespace)+"/"+string(i.Name))
	}
	if len(names) == 0 {
		return ""
	}
	return said(maxShown, ": suspected of Incident %s", list(names))
}
