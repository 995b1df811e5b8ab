package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// resolution is what resolves the incident, when and by whom; nil where nothing does.
func (e *evaluation) resolution() (resolution *v1alpha1.Resolution, at time.Time, by string) {
	declared := e.incident.Spec.Resolution
	switch {
	case declared == nil:
	case e.disproved(declared):
		e.refused = disprovedText(declared)
	default:
		if e.refused = e.refusal(declared); e.refused == "" {
			return declared, e.now, string(e.incident.Spec.Assignee)
		}
	}
	if Active(e.Status.Signals) {
		return nil, time.Time{}, ""
	}
	if e.disputed() {
		return nil, time.Time{}, ""
	}
	if recovered := e.Status.RecoveredAt; recovered != nil {
		if end := recovered.Add(e.hold()); end.After(e.now) && !e.parentResolved() && !e.lasted() {
			e.wake(end)
			return nil, time.Time{}, ""
		}
		e.outlasted = true
		if declared != nil {
			return declared, recovered.Time, operator
		}
		automatic := e.automatic()
		return &automatic, recovered.Time, operator
	}
	if e.parentResolved() {
		return &v1alpha1.Resolution{
			Code: v1alpha1.ResolutionSelfRecovered, Notes: "resolved with the incident that explains it",
		}, e.now, operator
	}
	if fixed := e.fixed(); fixed != nil {
		return fixed, e.now, operator
	}
	return nil, time.Time{}, ""
}

// fixed is the resolution of an incident on hold for a Problem to which a fix was applied since. It stays resolved when
// another fix takes the place of that one: what fails anew is seen, or reported, anew.
func (e *evaluation) fixed() *v1alpha1.Resolution {
	s, hold := &e.Status, e.incident.Spec.Hold
	if hold == nil || hold.Reason != v1alpha1.HoldAwaitingProblem {
		return nil
	}
	if s.State == v1alpha1.IncidentResolved && s.Resolution != nil && s.Resolution.Code == v1alpha1.ResolutionKnownError && e.incident.Spec.Resolution == nil {
		return s.Resolution.DeepCopy()
	}
	f := e.facts.FixApplied
	if f == nil || !f.At.After(e.begun()) {
		return nil
	}
	notes := "a fix was applied to Problem " + f.Problem
	if f.Reason != "" {
		notes += ": " + f.Reason
	}
	return &v1alpha1.Resolution{Code: v1alpha1.ResolutionKnownError, Notes: notes}
}

// disputed reports whether a person says that it is not over, whatever the signals say.
func (e *evaluation) disputed() bool { return e.incident.Spec.Recovery == v1alpha1.RecoveryDisputed }

// parentResolved reports whether the incident that explains this one was resolved while this one was open: who opens one
// that follows up an old one has not resolved it by that.
func (e *evaluation) parentResolved() bool { return e.facts.ParentResolvedAt.After(e.begun()) }

// gone is the evidence that the fault ended without being repaired; nil where it did not.
func (e *evaluation) gone() *v1alpha1.Evidence {
	if ev := e.evidenceOf(EvidenceGone); ev != nil {
		return ev
	}
	return e.evidenceOf(EvidenceSwitched)
}

// evidenceOf is what was left at exactly the time of recovery for a reason.
func (e *evaluation) evidenceOf(reason string) *v1alpha1.Evidence {
	s := &e.Status
	for i := range s.Evidence {
		if ev := &s.Evidence[i]; ev.Reason == reason && ev.At.Equal(s.RecoveredAt) {
			return ev
		}
	}
	return nil
}

// disproved reports whether the declared resolution is the one after which it failed again. It does not resolve a
// second time; that the workload recovers still does.
func (e *evaluation) disproved(declared *v1alpha1.Resolution) bool {
	return e.Status.ReopenedAt != nil && e.Status.State != v1alpha1.IncidentResolved &&
		equality.Semantic.DeepEqual(declared, e.Status.Resolution)
}

func disprovedText(declared *v1alpha1.Resolution) string {
	return "resolution " + string(declared.Code) + " did not last: it failed again; declare another when it is repaired"
}

// refusal says why a person's resolution does not resolve; empty: it does. What shows still may be accepted by name
// (Workaround), be another's (Duplicate), or be a failure that lies in the past and cannot be taken back.
func (e *evaluation) refusal(declared *v1alpha1.Resolution) string {
	for _, s := range e.Status.Signals {
		if s.ClearedAt != nil || EndsByHand(e.incident, s.Reason) {
			continue
		}
		switch declared.Code {
		case v1alpha1.ResolutionWorkaround:
			if declared.Notes == "" {
				return "resolution Workaround needs notes while " + signalText(s) + " is still there: what is accepted, and until when"
			}
		case v1alpha1.ResolutionDuplicate:
		case v1alpha1.ResolutionFixedByChange, v1alpha1.ResolutionKnownError, v1alpha1.ResolutionSelfRecovered,
			v1alpha1.ResolutionRolledBack, v1alpha1.ResolutionUserGuidance, v1alpha1.ResolutionNoFault:
			return "resolution " + string(declared.Code) + " does not resolve it: " + signalText(s) +
				" is still there; repair it, or accept it with code Workaround and notes"
		default:
		}
	}
	return ""
}

// EndsByHand reports whether a signal is of a failure that lies in the past, so that a person may say how it ended while
// it shows.
func EndsByHand(i *v1alpha1.Incident, reason v1alpha1.SignalReason) bool {
	key, ok := KeyOf(i)
	return ok && liesInThePast(key, reason)
}

// liesInThePast reports whether a signal tells of something that happened, and not of something that goes on.
func liesInThePast(key configuration.Key, reason v1alpha1.SignalReason) bool {
	switch reason {
	case v1alpha1.SignalJobFailed, v1alpha1.SignalScheduleMissed, v1alpha1.SignalAlertFiring:
		return true
	case v1alpha1.SignalPodFailed, v1alpha1.SignalPodRejected, v1alpha1.SignalEvicted:
		return key.Kind == KindPod
	case v1alpha1.SignalOOMKilled:
		return key.Kind == "Job" || key.Kind == "CronJob"
	default:
		return false
	}
}

// automatic is the code of an incident that recovered.
func (e *evaluation) automatic() v1alpha1.Resolution {
	s := &e.Status
	if ev := e.gone(); ev != nil {
		return v1alpha1.Resolution{Code: v1alpha1.ResolutionNoFault, Notes: ev.Object + ": " + ev.Message}
	}
	r := v1alpha1.Resolution{Code: v1alpha1.ResolutionSelfRecovered, Notes: "it recovered with the same template"}
	if !e.anotherTemplate() {
		if s.FailedTemplateHash == "" || s.RecoveredTemplateHash == "" {
			r.Notes = "it recovered"
		}
		return r
	}
	if e.rolledBack() {
		return v1alpha1.Resolution{Code: v1alpha1.ResolutionRolledBack, Notes: "it recovered with a template that ran before"}
	}
	r = v1alpha1.Resolution{Code: v1alpha1.ResolutionFixedByChange, Notes: "it recovered with a new template"}
	for _, b := range e.facts.Baselines {
		if b.TemplateHash == s.RecoveredTemplateHash && b.Change != "" {
			r.Notes += ", of Change " + b.Change
			break
		}
	}
	return r
}

// rolledBack reports whether the template by which it recovered ran before it failed: by its baselines, of which an undo
// adds another, or where it is not governed, by what was seen of it and its pods.
func (e *evaluation) rolledBack() bool {
	s := &e.Status
	if e.evidenceOf(EvidenceReturned) != nil {
		return true
	}
	return slices.ContainsFunc(e.facts.Baselines, func(b v1alpha1.Baseline) bool {
		return b.TemplateHash == s.RecoveredTemplateHash &&
			(b.Source == v1alpha1.BaselineRollback || s.StartedAt != nil && b.From.Before(s.StartedAt))
	})
}

// failsAnew reports whether something failed after the resolution that was not there before.
func (e *evaluation) failsAnew() bool {
	for _, s := range e.Status.Signals {
		if s.ClearedAt == nil && e.Status.ResolvedAt != nil && s.Since.After(e.Status.ResolvedAt.Time) {
			return true
		}
	}
	return false
}

func (e *evaluation) reopen(failed bool) {
	s := &e.Status
	e.resumeClocks(s.ResolvedAt)
	s.State = v1alpha1.IncidentInProgress
	// What is declared still is disproved, and is remembered as such.
	s.Resolution, e.refused = nil, ""
	if declared := e.incident.Spec.Resolution; declared != nil {
		s.Resolution, e.refused = declared.DeepCopy(), disprovedText(declared)
	}
	s.Reopened++
	s.ReopenedAt, s.ResolvedAt = e.at(e.now), nil
	what, by := "reopened by a person", ""
	if failed {
		what, by = "reopened, it fails again: "+clip(e.summary(), maxTimelineText/2)+knownText(e.facts.KnownError), operator
	}
	e.tell(what, by)
	e.event(Event{Warning: true, Reason: EventReopened, Action: "Reopen", Note: what})
	if e.incident.Spec.Hold != nil && !e.facts.HoldOver {
		s.State = v1alpha1.IncidentOnHold
	}
}

// knownText names the Problem of which a failure is known, and what helps.
func knownText(k *v1alpha1.KnownError) string {
	if k == nil {
		return ""
	}
	return "; known error " + string(k.Problem) + strings.TrimSuffix(", workaround: "+k.Workaround, ", workaround: ")
}

func (e *evaluation) resolve(before v1alpha1.IncidentState, r v1alpha1.Resolution, at time.Time, by string) {
	s := &e.Status
	at = later(at, e.started())
	if s.ResolvedAt == nil {
		// A status that says Resolved and not since when was not written by the operator.
		s.ResolvedAt = e.at(at)
	}
	if before != v1alpha1.IncidentResolved {
		s.State, s.ResolvedAt = v1alpha1.IncidentResolved, e.at(at)
		e.Recovered = e.outlasted
		e.tell(strings.TrimSuffix(fmt.Sprintf("resolved: %s. %s", r.Code, r.Notes), ". "), by)
		e.event(Event{Reason: EventResolved, Action: "Resolve", Note: strings.TrimSuffix(fmt.Sprintf("%s: %s", r.Code, r.Notes), ": ")})
	}
	// What resolved it is a recorded fact, unless a person says otherwise.
	if before != v1alpha1.IncidentResolved || s.Resolution == nil || e.incident.Spec.Resolution != nil {
		s.Resolution = &v1alpha1.Resolution{Code: r.Code, Notes: r.Notes, Closed: r.Closed}
	}
	closing := e.facts.Rules.Closing.Add(s.ResolvedAt.Time, e.facts.Rules.ClosingTime)
	switch {
	case r.Closed, !e.incident.Spec.Major && !closing.IsZero() && !closing.After(e.now):
		s.State, s.ClosedAt = v1alpha1.IncidentClosed, e.at(e.now)
		e.ClosedNow = true
		e.keep()
		e.tell("closed", by)
		e.event(Event{Reason: EventClosed, Action: "Close", Note: "closed"})
	case !e.incident.Spec.Major:
		e.wake(closing)
	}
}
