package release

import (
	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// eventsOf are what is told about the difference between two statuses.
func eventsOf(before, after *v1alpha1.ReleaseStatus) []Event {
	var out []Event
	add := func(warning bool, reason, action, format string, args ...any) {
		out = append(out, Event{Warning: warning, Reason: reason, Action: action, Note: said(maxMessage, format, args...)})
	}
	if before.ChangeRef == nil && after.ChangeRef != nil {
		add(false, "ChangeRaised", "Plan", "goes in under Change %s", after.ChangeRef.Name)
	}
	for i := range after.Phases {
		p := &after.Phases[i]
		old := phaseNamed(before.Phases, string(p.Name))
		began := p.StartedAt != nil && (old == nil || old.StartedAt == nil)
		if began {
			add(false, "PhaseBegan", "Deploy", "phase %s begins", p.Name)
		}
		if p.State == v1alpha1.ReleasePhaseDone && (old == nil || old.State != p.State) {
			add(false, "PhaseDone", "Deploy", "phase %s is done: %s", p.Name, p.Message)
		}
	}
	if before.Failure == nil && after.Failure != nil {
		add(true, string(after.Failure.Reason), "Stop", "%s", after.Failure.Message)
	}
	if before.Backout == nil && after.Backout != nil {
		add(true, "BackoutBegan", "RollBack", "what is in goes back: %s", after.Failure.Message)
	}
	if before.WaitingFor == nil && after.WaitingFor != nil {
		add(false, "Waiting", "Wait", "Release %s is at work on a unit of it and goes first", after.WaitingFor.Name)
	}
	out = append(out, aboutConditions(before, after)...)
	if before.State != after.State {
		out = append(out, aboutState(after)...)
	}
	return out
}

func aboutState(after *v1alpha1.ReleaseStatus) []Event {
	var out []Event
	add := func(warning bool, reason, action, format string, args ...any) {
		out = append(out, Event{Warning: warning, Reason: reason, Action: action, Note: said(maxMessage, format, args...)})
	}
	switch after.State {
	case v1alpha1.ReleaseReady:
		add(false, "Ready", "Plan", "its Change is approved")
	case v1alpha1.ReleaseEarlyLifeSupport:
		add(false, "Deployed", "Support", "all units are in; early life support begins")
	case v1alpha1.ReleaseCompleted:
		add(false, "Completed", "Complete", "it has ended well")
	case v1alpha1.ReleaseRolledBack:
		add(true, "RolledBack", "RollBack", "it was taken back; all units run what they had before")
	case v1alpha1.ReleaseFailed:
		add(true, "Failed", "Stop", "%s", after.NextStep)
	case v1alpha1.ReleaseCanceled:
		add(false, "Canceled", "Cancel", "it was canceled")
	case v1alpha1.ReleasePlanning, v1alpha1.ReleaseDeploying:
	}
	return out
}

// aboutConditions are what a person should hear of though the state stays as it is.
func aboutConditions(before, after *v1alpha1.ReleaseStatus) []Event {
	var out []Event
	for _, name := range []string{v1alpha1.ConditionManagedByGitOps, v1alpha1.ConditionBackoutPossible, v1alpha1.ConditionProgressing} {
		was, is := condition(before.Conditions, name), condition(after.Conditions, name)
		if is == nil || was != nil && was.Reason == is.Reason {
			continue
		}
		switch is.Reason {
		case "Managed", "NotEnforced", "NoEarlierTemplate", "NotProven", "Invalid", "Denied", "Held":
			out = append(out, Event{Warning: true, Reason: is.Reason, Action: "Check", Note: is.Message})
		}
	}
	return out
}
