package release

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// finish brings counts, conditions and the next step up to date.
func (d *decider) finish() {
	done := 0
	for i := range d.status.Units {
		s := &d.status.Units[i]
		s.Ready, s.Desired = 0, 0
		if w := d.workload(i); w != nil {
			s.Ready, s.Desired = w.Ready, w.Desired
		}
		if s.State == v1alpha1.ReleaseUnitDone {
			done++
		}
	}
	d.status.Progress = fmt.Sprintf("%d/%d", done, len(d.status.Units))
	if d.status.State == v1alpha1.ReleaseCompleted {
		d.next = ""
	}
	d.status.NextStep = said(maxMessage, "%s", d.next)
	d.setApproved()
	d.setProgressing()
	d.setStable()
	d.setManaged()
	d.setBackoutPossible()
	d.setRolledBack()
}

func (d *decider) set(name string, holds bool, reason, message string) {
	c := metav1.Condition{
		Type: name, Status: metav1.ConditionFalse, Reason: reason, Message: said(maxMessage, "%s", message),
		ObservedGeneration: d.Release.Generation, LastTransitionTime: *timePtr(d.now),
	}
	if holds {
		c.Status = metav1.ConditionTrue
	}
	at := slices.IndexFunc(d.status.Conditions, func(old metav1.Condition) bool { return old.Type == name })
	if at < 0 {
		d.status.Conditions = append(d.status.Conditions, c)
		return
	}
	if old := &d.status.Conditions[at]; old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	d.status.Conditions[at] = c
}

// setApproved repeats what the Change says.
func (d *decider) setApproved() {
	if d.chg == nil {
		d.set(v1alpha1.ConditionApproved, false, "NoChange", "there is no Change that it could go in under")
		return
	}
	c := condition(d.chg.Status.Conditions, v1alpha1.ConditionApproved)
	if c == nil || d.chg.Status.ObservedGeneration != d.chg.Generation {
		d.set(v1alpha1.ConditionApproved, false, "VotesMissing", "Change "+d.chg.Name+" is not assessed yet")
		return
	}
	d.set(v1alpha1.ConditionApproved, c.Status == metav1.ConditionTrue, c.Reason, "Change "+d.chg.Name+": "+c.Message)
}

func (d *decider) setProgressing() {
	p := d.progress
	if p.reason == "" {
		p = progress{false, "Completed", "all its units are in"}
	}
	if held := d.holds(); p.on && len(held) > 0 {
		p = progress{false, "Held", strings.Join(held, "; ")}
		d.status.NextStep = said(maxMessage, "Let go of what holds it back: %s", p.message)
	}
	if p.message == "" {
		p.message = p.reason
	}
	d.set(v1alpha1.ConditionProgressing, p.on, p.reason, p.message)
}

// holds names the units of the phase that runs and cannot finish, since somebody holds them back.
func (d *decider) holds() []string {
	var out []string
	for i := range d.status.Units {
		s := &d.status.Units[i]
		if w := d.workload(i); w != nil && s.Phase == d.status.Phase && s.State == v1alpha1.ReleaseUnitDeploying {
			if why := held(w); why != "" {
				out = append(out, why)
			}
		}
	}
	return out
}

func (d *decider) setStable() {
	name := v1alpha1.ConditionStable
	if d.status.StartedAt == nil {
		d.set(name, true, "NotDeployed", "nothing is in yet")
		return
	}
	if s := d.openSuspicion(); s != nil {
		d.set(name, false, "IncidentSuspected", fmt.Sprintf("Incident %s/%s (%s) suspects its Change", s.Namespace, s.Name, s.Priority))
		return
	}
	var why []string
	for i := range d.status.Units {
		s, w := &d.status.Units[i], d.workload(i)
		switch {
		case s.Released == nil:
		case w == nil:
			why = append(why, nameOf(s.Workload)+" does not exist")
		case w.Ready < w.Desired:
			why = append(why, fmt.Sprintf("%s has %d of %d pods ready", nameOf(s.Workload), w.Ready, w.Desired))
		}
	}
	if len(why) > 0 {
		d.set(name, false, "NotReady", strings.Join(why, "; "))
		return
	}
	d.set(name, true, "Stable", "all units that are in are ready, and no open Incident suspects its Change")
}

func (d *decider) setManaged() {
	if manager := d.managed(); manager != "" && d.status.EndedAt == nil {
		d.set(v1alpha1.ConditionManagedByGitOps, true, "Managed", manager+". "+adviceObserve)
		return
	}
	d.set(v1alpha1.ConditionManagedByGitOps, false, "NotManaged", "no reconciling field manager sets the images that this Release would set")
}

// setBackoutPossible says before it begins whether it could be taken back, and keeps that for the units that are in.
func (d *decider) setBackoutPossible() {
	name := v1alpha1.ConditionBackoutPossible
	if d.status.StartedAt != nil && condition(d.status.Conditions, name) != nil {
		return
	}
	var why []string
	reason := ""
	for i := range d.status.Units {
		if r, message := d.noWayBack(i); r != "" {
			reason, why = r, append(why, message)
		}
	}
	if len(why) > 0 {
		d.set(name, false, reason, strings.Join(why, "; ")+"; should the release fail, this stays as it is")
		return
	}
	d.set(name, true, "Possible", "all units can be brought back to the whole template that they run now")
}

func (d *decider) setRolledBack() {
	name, b := v1alpha1.ConditionRolledBack, d.status.Backout
	switch {
	case d.status.State == v1alpha1.ReleaseRolledBack:
		message := "its Change was rolled back"
		if b != nil {
			message = b.Message
		}
		d.set(name, true, "Verified", message)
	case b == nil:
		d.set(name, false, "NotNeeded", "nothing was taken back")
	case b.EndedAt != nil, d.status.EndedAt != nil:
		d.set(name, false, "Failed", b.Message)
	default:
		d.set(name, false, "InProgress", b.Message)
	}
}
