// Package release knows how a version of several workloads comes in: in phases, each watched before the next, under one
// Change; and how it goes back. It is pure.
//
// Decide answers what the Release controller asks: what is the status of this Release, and which one write comes next?
// Fact answers what the gate asks: the turn of which units is it?
package release

import (
	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// RaisedBy is the Release that raised a Change, as the Change says; empty: none did. It can only take rights from a
// Change, so whoever may write the annotation harms but their own; that it is not taken off is an admission policy's care.
func RaisedBy(chg *v1alpha1.Change) string { return chg.Annotations[v1alpha1.AnnotationRelease] }

// ChangeOf is the name of the Change that a Release goes in under; empty while it has raised none.
func ChangeOf(r *v1alpha1.Release) string {
	switch {
	case r.Spec.ChangeRef != nil:
		return string(r.Spec.ChangeRef.Name)
	case r.Status.ChangeRef != nil:
		return string(r.Status.ChangeRef.Name)
	}
	return ""
}

// Keys are the workloads of a Release's units, in the order of spec.
func Keys(r *v1alpha1.Release) []configuration.Key {
	out := make([]configuration.Key, 0, len(r.Spec.Units))
	for i := range r.Spec.Units {
		out = append(out, change.KeyOf(r.Namespace, r.Spec.Units[i].Workload))
	}
	return out
}

// Fact is what the gate needs to know of a Release, and whether it limits its Change at all: one that ended before it
// began leaves the Change that it referred to as it was.
func Fact(r *v1alpha1.Release) (fact change.ReleaseFact, limits bool) {
	s := &r.Status
	if s.EndedAt != nil && s.StartedAt == nil && r.Spec.ChangeRef != nil {
		return change.ReleaseFact{}, false
	}
	fact = change.ReleaseFact{Name: r.Name, Units: Keys(r), Why: whyClosed(r)}
	if fact.Why != "" {
		return fact, true
	}
	for i := range s.Units {
		if u := &s.Units[i]; u.Phase == s.Phase {
			fact.Open = append(fact.Open, change.KeyOf(r.Namespace, u.Workload))
		}
	}
	fact.Why = "its phase " + s.Phase + " runs, which does not bring this workload in"
	return fact, true
}

// whyClosed says why no unit may go in; empty: those of the phase that runs may.
func whyClosed(r *v1alpha1.Release) string {
	s := &r.Status
	switch {
	case s.EndedAt != nil:
		return "it has ended (" + string(s.State) + "); what goes in now needs another Change"
	case s.Backout != nil:
		return "it is being taken back; going forward again needs another Change"
	case s.Failure != nil:
		return "it has stopped (" + string(s.Failure.Reason) + ")"
	case r.Spec.Cancel:
		return "it was canceled"
	case s.DeployedAt != nil:
		return "all its units are in; what goes in now needs another Change"
	case s.StartedAt == nil:
		return "it has not begun"
	}
	p := phaseNamed(s.Phases, s.Phase)
	if p == nil || p.State != v1alpha1.ReleasePhaseDeploying && p.State != v1alpha1.ReleasePhaseSoaking {
		return "none of its phases runs at the moment"
	}
	return ""
}

func phaseNamed(phases []v1alpha1.ReleasePhaseStatus, name string) *v1alpha1.ReleasePhaseStatus {
	for i := range phases {
		if string(phases[i].Name) == name {
			return &phases[i]
		}
	}
	return nil
}
