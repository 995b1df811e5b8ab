package release

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Decide says what the status of a Release is and which one write comes next. It is a function of its arguments; from
// the status before it takes what cannot be computed again: what ran before, what was written and when, how long a phase
// has soaked. Whoever carries it out writes the status first, where it differs, and does the write only while the status
// at the API server is this one; then it may be stopped anywhere, and whoever goes on comes to the same end.
func Decide(in *Input, now time.Time) Decision {
	d := newDecider(in, now)
	switch {
	case d.before.EndedAt != nil:
		return Decision{Status: d.before}
	case in.Release.Spec.Cancel:
		d.cancel()
	case d.status.Backout != nil:
		d.takeBack()
	case d.status.StartedAt == nil:
		d.prepare()
	case d.status.DeployedAt == nil:
		d.deploy()
	default:
		d.support()
	}
	d.carry()
	d.finish()
	return Decision{
		Status: d.status, Write: d.write, Begins: d.begins, Wake: d.wake.at,
		Events: eventsOf(&d.before, &d.status),
	}
}

// decider is a decision while it is made.
type decider struct {
	*Input
	spec   *v1alpha1.ReleaseSpec
	now    time.Time
	plan   plan
	before v1alpha1.ReleaseStatus
	status v1alpha1.ReleaseStatus
	// chg is the Change that it goes in under; nil: there is none.
	chg    *v1alpha1.Change
	write  *Write
	begins bool
	wake   wake
	// progress is what the condition Progressing says where nothing says otherwise.
	progress progress
	next     string
}

// progress is a reason of the condition Progressing; True while on is.
type progress struct {
	on              bool
	reason, message string
}

func newDecider(in *Input, now time.Time) *decider {
	d := &decider{
		Input: in, spec: &in.Release.Spec, now: now, plan: planOf(&in.Release.Spec),
		before: in.Release.Status, wake: wake{now: now},
	}
	in.Release.Status.DeepCopyInto(&d.status)
	d.status.ObservedGeneration = in.Release.Generation
	d.status.NextStep, d.status.WaitingFor = "", nil
	d.chg = d.change()
	d.arrange()
	d.sound()
	d.record()
	return d
}

// change that it goes in under: of those that it raised, the newest that is as it would raise it now.
func (d *decider) change() *v1alpha1.Change {
	if d.spec.ChangeRef != nil || d.status.StartedAt != nil {
		name := ChangeOf(d.Release)
		if i := slices.IndexFunc(d.Changes, func(c *v1alpha1.Change) bool { return c.Name == name }); i >= 0 {
			return d.Changes[i]
		}
		return nil
	}
	if i := slices.IndexFunc(d.Changes, func(c *v1alpha1.Change) bool { return isWanted(d.Release, c) }); i >= 0 {
		return d.Changes[i]
	}
	return nil
}

// arrange gives every unit and phase of spec an entry in the status, in the order of spec, and keeps what is recorded.
func (d *decider) arrange() {
	units := make([]v1alpha1.ReleaseUnitStatus, 0, len(d.spec.Units))
	for i := range d.spec.Units {
		u := &d.spec.Units[i]
		entry := v1alpha1.ReleaseUnitStatus{State: v1alpha1.ReleaseUnitWaiting}
		old := slices.IndexFunc(d.status.Units, func(s v1alpha1.ReleaseUnitStatus) bool {
			return s.Name == u.Name && s.Workload == u.Workload
		})
		if old >= 0 {
			entry = d.status.Units[old]
		}
		entry.Name, entry.Workload, entry.Phase = u.Name, u.Workload, d.plan.phaseOf(i)
		units = append(units, entry)
	}
	d.status.Units = units
	phases := make([]v1alpha1.ReleasePhaseStatus, 0, len(d.plan.phases))
	for i := range d.plan.phases {
		p := &d.plan.phases[i]
		entry := v1alpha1.ReleasePhaseStatus{State: v1alpha1.ReleasePhaseWaiting}
		if old := phaseNamed(d.status.Phases, p.name); old != nil {
			entry = *old
		}
		entry.Name, entry.SoakSeconds = v1alpha1.ContainerName(p.name), secondsOf(p.soak)
		phases = append(phases, entry)
	}
	d.status.Phases = phases
}

// record takes down what came of the last write.
func (d *decider) record() {
	if d.Done == nil {
		return
	}
	for i := range d.status.Units {
		u := &d.status.Units[i]
		if string(u.Name) != d.Done.Unit {
			continue
		}
		u.Message = ""
		switch {
		case d.Done.Lost != "":
			u.State, u.Message = v1alpha1.ReleaseUnitFailed, said(maxUnitMessage, "%s", d.Done.Lost)
		case d.Done.Denied != "":
			u.Message = said(maxUnitMessage, "%s%s", refusedPrefix, d.Done.Denied)
		case d.Done.Template == nil:
		case d.Done.Kind == ApplyImages:
			u.Released = d.Done.Template.DeepCopy()
		case d.Done.Kind == RestoreTemplate:
			u.Restored = d.Done.Template.DeepCopy()
		}
	}
}

// refusedPrefix begins the message of a unit that could not be written. It stays until the write succeeds.
const refusedPrefix = "refused: "

// unit is a unit as it is.
func (d *decider) unit(i int) Unit { return d.Units[string(d.spec.Units[i].Name)] }

// workload of a unit; nil: it does not exist.
func (d *decider) workload(i int) *configuration.Workload {
	w := d.unit(i).Workload
	if w == nil || w.Deleting {
		return nil
	}
	return w
}

// runs says whether a unit runs the images of the release.
func (d *decider) runs(i int, w *configuration.Workload) bool {
	for container, image := range d.spec.Units[i].Images {
		if w.Template.Images[container] != string(image) {
			return false
		}
	}
	return true
}

// ask for a write; of several the most urgent is done, and of those the first.
func (d *decider) ask(w Write) {
	if d.write == nil || w.urgency() < d.write.urgency() {
		d.write = &w
	}
}

// urgency orders writes: the least is the most urgent. What was refused before is tried again when nothing else is to be
// done, so that it does not keep the other units waiting.
func (w *Write) urgency() int {
	switch {
	case w.Kind == CarryIncident:
		return 3
	case w.Again:
		return 2
	case w.Kind == DeleteBroken:
		return 1
	}
	return 0
}

// end records the last state.
func (d *decider) end(state v1alpha1.ReleaseState) {
	d.status.State, d.status.EndedAt = state, timePtr(d.now)
}

// cancel stops it and leaves what is. A Change that it raised is withdrawn with it, and first: a Release that has ended
// asks for nothing any more.
func (d *decider) cancel() {
	if d.chg != nil && RaisedFor(d.Release, d.chg) && !d.chg.Spec.Cancel && !over(d.chg) && d.status.DeployedAt == nil {
		d.ask(Write{Kind: CancelChange, Change: d.chg})
		d.progress = progress{false, "Canceled", "its Change " + d.chg.Name + " is being withdrawn"}
		return
	}
	d.end(v1alpha1.ReleaseCanceled)
	d.progress = progress{false, "Canceled", "it was canceled"}
	if in := d.standing(); d.status.StartedAt != nil && len(in) > 0 {
		d.next = d.stays(in)
	}
}

// over says whether a Change has ended, or only waits for its review.
func over(chg *v1alpha1.Change) bool {
	switch chg.Status.State {
	case v1alpha1.ChangeReview, v1alpha1.ChangeClosed, v1alpha1.ChangeCanceled:
		return true
	case v1alpha1.ChangeAssess, v1alpha1.ChangeAuthorize, v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement, v1alpha1.ChangeRejected:
	}
	return chg.Status.Outcome != "" || chg.Spec.Cancel
}

// carry writes its name on the Incidents that came while it was deployed or supported.
func (d *decider) carry() {
	if d.status.StartedAt != nil && d.status.EndedAt == nil && len(d.Carry) > 0 {
		d.ask(Write{Kind: CarryIncident, Incident: d.Carry[0]})
	}
}

// support is early life support: it ends when its time is over and no Incident that suspects the Change is open.
func (d *decider) support() {
	d.status.State, d.status.Phase = v1alpha1.ReleaseEarlyLifeSupport, ""
	until := d.status.DeployedAt.Add(d.plan.support)
	if d.chg != nil && d.chg.Status.Outcome == v1alpha1.OutcomeRolledBack {
		d.undone(until)
		return
	}
	d.progress = progress{false, "Completed", "all its units are in; early life support until " + until.UTC().Format(time.RFC3339)}
	if d.now.Before(until) {
		d.wake.add(until)
		d.next = "Nothing: early life support ends at " + until.UTC().Format(time.RFC3339) + "."
		if s := d.openSuspicion(); s != nil {
			d.next = "Resolve Incident " + s.Namespace + "/" + s.Name + ", which suspects this release."
		}
		return
	}
	if s := d.openSuspicion(); s != nil {
		d.progress.message = "all its units are in; early life support goes on until Incident " + s.Name + ", which suspects its Change, is resolved"
		d.next = "Resolve Incident " + s.Namespace + "/" + s.Name + ": early life support ends with it."
		return
	}
	d.end(v1alpha1.ReleaseCompleted)
}

// undone: somebody rolled back what was in. It is RolledBack when all of it runs what it had before; that is theirs to
// do, and they have until early life support would end.
func (d *decider) undone(until time.Time) {
	left := slices.DeleteFunc(d.in(), d.returned)
	what := "its Change " + d.chg.Name + " was rolled back during early life support"
	if len(left) == 0 {
		d.end(v1alpha1.ReleaseRolledBack)
		d.progress = progress{false, "RolledBack", what}
		return
	}
	var names []string
	for _, i := range left {
		names = append(names, nameOf(d.status.Units[i].Workload))
	}
	d.progress = progress{false, "PartlyRolledBack", what + ", but not all of it: " + list(names) + " does not run what it had before"}
	d.next = "Take the rest back too: " + d.undo(left) + "."
	d.wake.add(until)
	if !d.now.Before(until) {
		d.end(v1alpha1.ReleaseFailed)
	}
}

// openSuspicion is an open Incident that suspects the Change since the Release began; nil: none does.
func (d *decider) openSuspicion() *Suspicion {
	for i := range d.Suspicions {
		if s := &d.Suspicions[i]; s.Open && d.since(s.At) {
			return s
		}
	}
	return nil
}

// since says whether something began after the Release did.
func (d *decider) since(at time.Time) bool {
	return d.status.StartedAt != nil && !at.Before(d.status.StartedAt.Time)
}

// wake keeps the soonest of the times at which to look again.
type wake struct{ now, at time.Time }

func (w *wake) add(t time.Time) {
	if t.After(w.now) && (w.at.IsZero() || t.Before(w.at)) {
		w.at = t
	}
}

func condition(list []metav1.Condition, name string) *metav1.Condition {
	for i := range list {
		if list[i].Type == name {
			return &list[i]
		}
	}
	return nil
}
