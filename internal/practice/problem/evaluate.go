package problem

import (
	"cmp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/event"
)

// operator signs what it does itself in a timeline.
const operator = "itil-operator"

const (
	maxTimeline = 50
	maxWhat     = 512
	maxNextStep = 1024
	maxMessage  = 8192
)

// Event is something to tell about a Problem once its status is written.
type Event = event.Event

// Decision is what Evaluate concludes.
type Decision struct {
	Status v1alpha1.ProblemStatus
	Events []Event
	// Next is when something changes without an event; zero: never.
	Next time.Time
	// ClosedNow: the record is closed by this decision, and is to be logged.
	ClosedNow bool
	// Expired: the record was kept long enough.
	Expired bool
}

// Evaluate decides the status of a Problem, but for its rank, which is relative to the others'.
func Evaluate(in Input, now time.Time) Decision {
	// The API keeps seconds; a fraction would decide anew what is no different once it is written.
	now = now.Truncate(time.Second)
	s := Stand(in, now)
	before := in.Problem.Status.State
	d := Decision{Status: *in.Problem.Status.DeepCopy(), Next: s.Next}
	d.Status.ObservedGeneration = in.Problem.Generation
	d.Status.State, d.Status.Changes, d.Status.Fix = s.State, s.Changes, s.Fix
	d.Status.ResolvedAt, d.Status.ClosedAt = at(s.ResolvedAt), at(s.ClosedAt)
	d.Status.DuplicateOf = in.Home
	d.Status.Incidents = Count(in.Incidents, in.Rules, now)
	if s.State != before {
		d.tell(in, s, before, now)
		d.ClosedNow = s.State == v1alpha1.ProblemClosed
	}
	d.conditions(in, s, now)
	d.Status.NextStep = clip(nextStep(in, s, now), maxNextStep)
	if s.State == v1alpha1.ProblemClosed {
		d.keep(in, s, now)
	}
	d.wake(expires(in.Incidents, in.Rules, now), now)
	return d
}

// wake asks to look again at a time that is to come.
func (d *Decision) wake(t, now time.Time) {
	if t.After(now) {
		d.Next = soonest(d.Next, t)
	}
}

// keep says how long a closed record is kept: as long as all others, but an accepted risk from its review on, and a
// duplicate while the one that has its incidents is open.
func (d *Decision) keep(in Input, s Standing, now time.Time) {
	if in.Rules.Retention <= 0 || in.HomeOpen {
		return
	}
	from := s.ClosedAt
	if review, accepted := reviewOf(in.Problem); accepted && review.After(from) {
		from = review
	}
	end := from.Add(in.Rules.Retention)
	d.Expired = !end.After(now)
	d.wake(end, now)
}

// reviewOf is when an accepted risk is to be looked at again. A time that cannot be read is long past.
func reviewOf(p *v1alpha1.Problem) (at time.Time, accepted bool) {
	if d := p.Spec.Decision; d == nil || d.Type != v1alpha1.DecisionRiskAccepted {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, string(p.Spec.Decision.ReviewBy))
	if err != nil {
		return time.Time{}, true
	}
	return at, true
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

// expires is when the next failure, or downtime, leaves a window that is counted.
func expires(incidents []Incident, rules Rules, now time.Time) time.Time {
	var next time.Time
	leaves := func(t time.Time, window time.Duration) {
		if end := t.Add(window + time.Second); end.After(now) && !t.IsZero() {
			next = soonest(next, end)
		}
	}
	for _, i := range incidents {
		for _, failed := range []time.Time{i.StartedAt, i.ReopenedAt} {
			leaves(failed, rules.RecurrenceWindow)
			leaves(failed, rules.RankWindow)
		}
		leaves(i.EndedAt, rules.RankWindow)
	}
	return next
}

// tell puts a step into the timeline and the events.
func (d *Decision) tell(in Input, s Standing, before v1alpha1.ProblemState, now time.Time) {
	what := why(in, s)
	switch {
	case before == "" && s.State == v1alpha1.ProblemNew:
		what = "opened: " + in.Problem.Spec.Statement
	case before == "":
		what = "opened: " + in.Problem.Spec.Statement + "; " + string(s.State) + ": " + what
	case before != "":
		what = string(before) + " → " + string(s.State) + ": " + what
	}
	d.note(what, by(in, s), now)
	recurred := s.State == v1alpha1.ProblemFixInProgress && !s.RecurredAt.IsZero()
	event := Event{Warning: recurred, Reason: "Problem" + string(s.State), Action: "Evaluate", Note: what}
	if recurred {
		event.Reason = "ProblemRecurred"
	}
	d.event(event)
}

// by is who brought it there: people declare, the operator verifies.
func by(in Input, s Standing) string {
	switch s.State {
	case v1alpha1.ProblemAssess, v1alpha1.ProblemRootCauseAnalysis:
		return cmp.Or(string(in.Problem.Spec.Owner), operator)
	case v1alpha1.ProblemClosed:
		if in.Problem.Spec.Decision != nil {
			return cmp.Or(string(in.Problem.Spec.Owner), operator)
		}
	case v1alpha1.ProblemNew, v1alpha1.ProblemFixInProgress, v1alpha1.ProblemResolved:
	}
	return operator
}

func (d *Decision) note(what, by string, now time.Time) {
	d.Status.Timeline = append(d.Status.Timeline, v1alpha1.TimelineEntry{At: *at(now), What: clip(what, maxWhat), By: by})
	if extra := len(d.Status.Timeline) - maxTimeline; extra > 0 {
		// The beginning of the story stays.
		d.Status.Timeline = append(d.Status.Timeline[:1], d.Status.Timeline[1+extra:]...)
	}
}

// maxNote is what the API server takes as the note of an event, in bytes.
const maxNote = 1024

func (d *Decision) event(e Event) {
	e.Note = clip(e.Note, maxNote)
	d.Events = append(d.Events, e)
}

func why(in Input, s Standing) string {
	spec := &in.Problem.Spec
	switch s.State {
	case v1alpha1.ProblemNew:
		return "nobody owns it"
	case v1alpha1.ProblemAssess:
		return string(spec.Owner) + " owns it"
	case v1alpha1.ProblemRootCauseAnalysis:
		if failed := changesIn(s, v1alpha1.ProblemChangeFailed); failed != "" {
			return "no fix went in: " + failed + " did not succeed"
		}
		return "confirmed; its cause, or a Change against it, is looked for"
	case v1alpha1.ProblemFixInProgress:
		if !s.RecurredAt.IsZero() {
			return recurred(s)
		}
		if s.FixedAt.IsZero() {
			return "Change " + changesIn(s, v1alpha1.ProblemChangeOpen) + " is to fix it"
		}
		if s.Next.IsZero() {
			return "the fix is in since " + stamp(s.FixedAt) + ", and it fails still"
		}
		return "the fix is in since " + stamp(s.FixedAt) + "; verified if nothing recurs until " + stamp(s.Next)
	case v1alpha1.ProblemResolved:
		if declaresFix(spec) {
			return "a fix was applied" + reasonOf(spec.Decision)
		}
		return "fixed at " + stamp(s.FixedAt) + ", and it has not failed since"
	case v1alpha1.ProblemClosed:
		if !endedBy(in) {
			return "resolved long enough"
		}
		if in.Home != "" {
			return "decided: a duplicate of " + in.Home + ", to which its Incidents belong now" + reasonOf(spec.Decision)
		}
		return "decided: " + string(spec.Decision.Type) + reasonOf(spec.Decision)
	}
	return ""
}

func recurred(s Standing) string {
	return "it failed again at " + stamp(s.RecurredAt) + ", after the fix of " + stamp(s.FixedAt)
}

// changesIn names the Changes in a state.
func changesIn(s Standing, state v1alpha1.ProblemChangeState) string {
	var names []string
	for _, c := range s.Changes {
		if c.State == state {
			names = append(names, string(c.Name))
		}
	}
	return strings.Join(names, ", ")
}

func reasonOf(d *v1alpha1.ProblemDecision) string {
	if d.Reason == "" {
		return ""
	}
	return " (" + d.Reason + ")"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Conditions of a Problem. Polarity: True is well, but for Recurring and ReviewOverdue.
func (d *Decision) conditions(in Input, s Standing, now time.Time) {
	spec := &in.Problem.Spec
	set := func(kind string, is bool, yes, no, message string) (turned bool) {
		c := metav1.Condition{
			Type: kind, Status: metav1.ConditionFalse, Reason: no, Message: message,
			ObservedGeneration: in.Problem.Generation, LastTransitionTime: *at(now),
		}
		if is {
			c.Status, c.Reason = metav1.ConditionTrue, yes
		}
		was := meta.IsStatusConditionTrue(d.Status.Conditions, kind)
		meta.SetStatusCondition(&d.Status.Conditions, c)
		return is && !was
	}
	set(v1alpha1.ConditionConfirmed, spec.Confirmed, "Confirmed", "NotConfirmed", "spec.confirmed says whether it is worth an analysis")
	known := spec.RootCause != "" || spec.Workaround != ""
	if set(v1alpha1.ConditionKnownError, known, "Known", "Unknown", "a known error is a problem whose cause or workaround is known") {
		what := "known error: its cause is known"
		if spec.Workaround != "" {
			what = "known error: a workaround is published: " + oneLine(spec.Workaround)
		}
		d.note(what, cmp.Or(string(spec.Owner), operator), now)
		d.event(Event{Reason: "KnownError", Action: "Publish", Note: what})
	}
	set(v1alpha1.ConditionWorkaroundPublished, spec.Workaround != "", "Published", "None", "a workaround is shown on every Incident of the problem")
	d.review(in, s, set, now)
	if in.Problem.Status.State == v1alpha1.ProblemClosed {
		// What became of the fix was told when it was closed.
		return
	}
	deployed := set(v1alpha1.ConditionFixDeployed, !s.FixedAt.IsZero(), "Deployed", "NotDeployed", fixMessage(s))
	if deployed && s.State == v1alpha1.ProblemFixInProgress && in.Problem.Status.State == s.State && s.RecurredAt.IsZero() {
		// No step, and yet what all have waited for.
		d.note(why(in, s), operator, now)
		d.event(Event{Reason: v1alpha1.ConditionFixDeployed, Action: "Verify", Note: why(in, s)})
	}
	again, message := !s.RecurredAt.IsZero(), "it has not failed since a fix went in"
	if again {
		message = recurred(s)
	}
	set(v1alpha1.ConditionRecurring, again, "FailedAgain", "NotSeen", message)
}

// review says whether an accepted risk is overdue for its review. It is loud: what nobody looks at again was not
// accepted, it was forgotten.
func (d *Decision) review(in Input, s Standing, set func(kind string, is bool, yes, no, message string) bool, now time.Time) {
	review, accepted := reviewOf(in.Problem)
	accepted = accepted && s.State == v1alpha1.ProblemClosed
	overdue := accepted && !review.After(now)
	no, message := "NoRiskAccepted", "no risk was accepted"
	if accepted {
		no, message = "NotDue", "the accepted risk is to be reviewed by "+string(in.Problem.Spec.Decision.ReviewBy)
		d.wake(review, now)
	}
	if set(v1alpha1.ConditionReviewOverdue, overdue, "Overdue", no, message) {
		note := "the accepted risk was to be reviewed by " + string(in.Problem.Spec.Decision.ReviewBy) + ", and was not"
		d.note(note, operator, now)
		d.event(Event{Warning: true, Reason: v1alpha1.ConditionReviewOverdue, Action: "Review", Note: note})
	}
}

func fixMessage(s Standing) string {
	if s.Fix != nil {
		return clip("a fix was declared at "+stamp(s.Fix.At.Time)+": "+s.Fix.Reason, maxMessage)
	}
	if len(s.Changes) == 0 {
		return "no Change is to fix it"
	}
	parts := make([]string, 0, len(s.Changes))
	for _, c := range s.Changes {
		switch c.State {
		case v1alpha1.ProblemChangeMissing:
			parts = append(parts, string(c.Name)+" does not exist")
		case v1alpha1.ProblemChangeOpen:
			parts = append(parts, string(c.Name)+" is open")
		case v1alpha1.ProblemChangeSucceeded:
			parts = append(parts, string(c.Name)+" succeeded")
		case v1alpha1.ProblemChangeFailed:
			parts = append(parts, string(c.Name)+" did not succeed")
		}
	}
	return clip("Changes: "+strings.Join(parts, ", "), maxMessage)
}

// nextStep says what a person should do, with the command.
func nextStep(in Input, s Standing, now time.Time) string {
	p := in.Problem
	command := func(verb, flags string) string {
		return strings.TrimRight("kubectl itil problem "+verb+" "+p.Namespace+"/"+p.Name+" "+flags, " ")
	}
	switch {
	case in.Refused != "" && s.State != v1alpha1.ProblemClosed:
		return "decision Duplicate does not count: " + in.Refused + "; name another Problem: " + command("duplicate", "--of NAME")
	case in.Older != "" && s.State != v1alpha1.ProblemClosed:
		return "Problem " + in.Older + " is about the same failures and older; close one of them: " + command("duplicate", "--of "+in.Older)
	}
	switch s.State {
	case v1alpha1.ProblemNew:
		return "own it and say that it is worth an analysis: " + command("confirm", "")
	case v1alpha1.ProblemAssess:
		return "say that it is worth an analysis: " + command("confirm", "") + ", or that nothing was found: " + command("not-reproducible", "")
	case v1alpha1.ProblemRootCauseAnalysis:
		if p.Spec.RootCause == "" {
			return "find the cause, and say what helps until then: " + command("known-error", `--cause "…" --workaround "…"`)
		}
		if failed := changesIn(s, v1alpha1.ProblemChangeFailed); failed != "" {
			return "Change " + failed + " did not succeed; name another that fixes it: " + command("fix", "--change NAME")
		}
		return "name the Change that fixes it: " + command("fix", "--change NAME")
	case v1alpha1.ProblemFixInProgress:
		if !s.RecurredAt.IsZero() {
			return "the fix did not hold; name another: " + command("fix", "--change NAME")
		}
	case v1alpha1.ProblemResolved:
		for _, i := range in.Incidents {
			if i.Failing {
				return "Incident " + i.Name + " fails still: the fix that was declared does not hold"
			}
		}
	case v1alpha1.ProblemClosed:
		if review, accepted := reviewOf(p); accepted {
			when := "review the accepted risk by "
			if !review.After(now) {
				when = "review the accepted risk now, it was due by "
			}
			return when + string(p.Spec.Decision.ReviewBy) + ": " + command("accept-risk", `--until DATE --reason "…"`)
		}
	}
	return ""
}

// oneLine is a text of people in one line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
