package problem

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// operator signs what it does itself in a timeline.
const operator = "itil-operator"

const (
	maxTimeline = 50
	maxWhat     = 512
	maxNextStep = 1024
)

// Event is something to tell about a Problem once its status is written.
type Event struct {
	Warning bool
	// Reason is a word for machines, Action what was done, Note a sentence for people.
	Reason, Action, Note string
}

// Decision is what Evaluate concludes.
type Decision struct {
	Status v1alpha1.ProblemStatus
	Events []Event
	// Next is when something changes without an event; zero: never.
	Next time.Time
}

// Evaluate decides the status of a Problem, but for its rank, which is relative to the others'.
func Evaluate(in Input, now time.Time) Decision {
	s := Stand(in, now)
	before := in.Problem.Status.State
	d := Decision{Status: *in.Problem.Status.DeepCopy(), Next: s.Next}
	d.Status.ObservedGeneration = in.Problem.Generation
	d.Status.State = s.State
	d.Status.ResolvedAt, d.Status.ClosedAt = at(s.ResolvedAt), at(s.ClosedAt)
	d.Status.Incidents = Count(in.Incidents, in.Rules, now)
	d.Next = soonest(d.Next, expires(in.Incidents, in.Rules, now))
	if s.State != before {
		d.tell(in, s, before, now)
	}
	d.conditions(in, s, now)
	d.Status.NextStep = nextStep(in, s)
	return d
}

func at(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	out := metav1.NewTime(t.Truncate(time.Second).UTC())
	return &out
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// expires is when the next failure leaves the window that is counted.
func expires(incidents []Incident, rules Rules, now time.Time) time.Time {
	var next time.Time
	for _, i := range incidents {
		for _, failed := range []time.Time{i.StartedAt, i.ReopenedAt} {
			if end := failed.Add(rules.RecurrenceWindow + time.Second); end.After(now) && !failed.IsZero() {
				next = soonest(next, end)
			}
		}
	}
	return next
}

// tell puts a step into the timeline and the events.
func (d *Decision) tell(in Input, s Standing, before v1alpha1.ProblemState, now time.Time) {
	what := why(in, s)
	if before != "" {
		what = string(before) + " → " + string(s.State) + ": " + what
	}
	entry := v1alpha1.TimelineEntry{At: *at(now), What: clip(what, maxWhat), By: operator}
	d.Status.Timeline = append(d.Status.Timeline, entry)
	if extra := len(d.Status.Timeline) - maxTimeline; extra > 0 {
		// The beginning of the story stays.
		d.Status.Timeline = append(d.Status.Timeline[:1], d.Status.Timeline[1+extra:]...)
	}
	recurred := before == v1alpha1.ProblemResolved && s.State == v1alpha1.ProblemFixInProgress
	event := Event{Warning: recurred, Reason: "Problem" + string(s.State), Action: "Evaluate", Note: what}
	if recurred {
		event.Reason = "ProblemRecurred"
	}
	d.Events = append(d.Events, event)
}

func why(in Input, s Standing) string {
	spec := &in.Problem.Spec
	switch s.State {
	case v1alpha1.ProblemNew:
		return "nobody owns it yet"
	case v1alpha1.ProblemAssess:
		return string(spec.Owner) + " owns it"
	case v1alpha1.ProblemRootCauseAnalysis:
		return "confirmed; its cause, or a Change against it, is looked for"
	case v1alpha1.ProblemFixInProgress:
		if !s.RecurredAt.IsZero() {
			return "it failed again at " + stamp(s.RecurredAt) + ", after the fix of " + stamp(s.FixedAt)
		}
		if !s.FixedAt.IsZero() {
			return "the fix is in since " + stamp(s.FixedAt) + "; verified if nothing recurs until " + stamp(s.Next)
		}
		return "a Change is to fix it"
	case v1alpha1.ProblemResolved:
		return "fixed at " + stamp(s.FixedAt) + ", and it has not failed since"
	case v1alpha1.ProblemClosed:
		if spec.Decision != nil && spec.Decision.Type != v1alpha1.DecisionFixApplied {
			return "decided: " + string(spec.Decision.Type) + reasonOf(spec.Decision)
		}
		return "resolved long enough"
	}
	return ""
}

func reasonOf(d *v1alpha1.ProblemDecision) string {
	if d.Reason == "" {
		return ""
	}
	return " (" + d.Reason + ")"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Conditions of a Problem. Polarity: True is well, but for Recurring.
func (d *Decision) conditions(in Input, s Standing, now time.Time) {
	spec := &in.Problem.Spec
	set := func(kind string, is bool, yes, no, message string) {
		c := metav1.Condition{
			Type: kind, Status: metav1.ConditionFalse, Reason: no, Message: message,
			ObservedGeneration: in.Problem.Generation, LastTransitionTime: *at(now),
		}
		if is {
			c.Status, c.Reason = metav1.ConditionTrue, yes
		}
		meta.SetStatusCondition(&d.Status.Conditions, c)
	}
	set(v1alpha1.ConditionConfirmed, spec.Confirmed, "Confirmed", "NotConfirmed", "spec.confirmed says whether it is worth an analysis")
	known := spec.RootCause != "" || spec.Workaround != ""
	set(v1alpha1.ConditionKnownError, known, "Known", "Unknown", "a known error is a problem whose cause or workaround is known")
	set(v1alpha1.ConditionWorkaroundPublished, spec.Workaround != "", "Published", "None", "a workaround is shown on every Incident of the problem")
	set(v1alpha1.ConditionFixDeployed, !s.FixedAt.IsZero(), "Deployed", "NotDeployed", fixMessage(in))
	recurring, message := !s.RecurredAt.IsZero(), "it has not failed since a fix went in"
	if recurring {
		message = "it failed again at " + stamp(s.RecurredAt) + ", after the fix of " + stamp(s.FixedAt)
	}
	set(v1alpha1.ConditionRecurring, recurring, "FailedAgain", "NotSeen", message)
}

func fixMessage(in Input) string {
	if len(in.Changes) == 0 {
		return "no Change is to fix it"
	}
	parts := make([]string, 0, len(in.Changes))
	for _, c := range in.Changes {
		switch {
		case !c.Found:
			parts = append(parts, c.Name+" does not exist")
		case c.open():
			parts = append(parts, c.Name+" is open")
		default:
			parts = append(parts, c.Name+" ended "+string(c.Outcome))
		}
	}
	return "Changes: " + strings.Join(parts, ", ")
}

// nextStep says what a person should do, with the command.
func nextStep(in Input, s Standing) string {
	p := in.Problem
	patch := func(spec string) string {
		return fmt.Sprintf("kubectl -n %s patch problem %s --type=merge -p '{\"spec\":{%s}}'", p.Namespace, p.Name, spec)
	}
	switch s.State {
	case v1alpha1.ProblemNew:
		return "give it an owner: " + patch(`"owner":"<name>"`)
	case v1alpha1.ProblemAssess:
		return "confirm that it is worth an analysis: " + patch(`"confirmed":true`) + `, or close it with spec.decision`
	case v1alpha1.ProblemRootCauseAnalysis:
		if p.Spec.RootCause == "" {
			return "find the cause: " + patch(`"rootCause":"…","workaround":"…"`)
		}
		return "file a Change that fixes it, and name it: " + patch(`"changeRefs":[{"name":"<change>"}]`)
	case v1alpha1.ProblemFixInProgress:
		if !s.RecurredAt.IsZero() {
			return "the fix did not hold: name another Change in spec.changeRefs"
		}
		return ""
	case v1alpha1.ProblemResolved:
		return ""
	case v1alpha1.ProblemClosed:
		if d := p.Spec.Decision; d != nil && d.Type == v1alpha1.DecisionRiskAccepted {
			return "review the accepted risk by " + string(d.ReviewBy)
		}
	}
	return ""
}

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
