package incident

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/event"
)

// Rules of the life of incidents.
type Rules struct {
	// ReopenWindow is how long after its resolution the same failure reopens an incident. The detector keeps to it.
	ReopenWindow time.Duration
	// ClosingTime is how much of Closing must pass from resolution to closing.
	ClosingTime time.Duration
	Closing     BusinessTime
	// Retention is how long closed incidents are kept; 0 is for ever.
	Retention time.Duration
}

// DefaultRules are those of the documentation.
func DefaultRules() Rules {
	return Rules{
		ReopenWindow: time.Hour, ClosingTime: 3 * day, Closing: weekdays(), Retention: 90 * day,
	}
}

// ServiceFacts are what is known of the service that suffers.
type ServiceFacts struct {
	Namespace, Name string
	Tier            int32
	// Health without regard to maintenance.
	Health                v1alpha1.Health
	SupportGroup, Runbook string
}

// Facts are what decides about an incident besides itself.
type Facts struct {
	Rules Rules
	// Service that suffers; nil where there is none.
	Service *ServiceFacts
	// Agreements that promise something about it.
	Agreements []Agreement
	// HoldOver: the Change or Problem that it waits for is closed.
	HoldOver bool
	// FixApplied is the fix of the Problem that it names; nil: none was declared.
	FixApplied *FixApplied
	// ParentResolvedAt is when the incident that explains it was resolved; zero: it is open, or there is none.
	ParentResolvedAt time.Time
	// Baselines of the workload, the newest first.
	Baselines []v1alpha1.Baseline
	// AffectedServices, KnownError and Children are shown as they are.
	AffectedServices []v1alpha1.NamespacedReference
	KnownError       *v1alpha1.KnownError
	Children         int32
	// ChildrenDue is when their number may be written again, if that is all that changed; zero: now.
	ChildrenDue time.Time
	// ChildImpact and ChildUrgency are those of the child with the highest priority; empty: it has none.
	ChildImpact, ChildUrgency v1alpha1.Level
	// Caps say which limit a summary of what opens no incident of its own stands for.
	Caps string
}

// FixApplied is a fix outside a Change, as the decision of a Problem says.
type FixApplied struct {
	Problem, Reason string
	// At is when it was first seen to be declared.
	At time.Time
}

// Event is something to tell about an incident once its status is written.
type Event = event.Event

// Reasons of events.
const (
	EventOpened       = "IncidentOpened"
	EventAcknowledged = "Acknowledged"
	EventOnHold       = "OnHold"
	EventResumed      = "Resumed"
	EventResolved     = "Resolved"
	EventReopened     = "Reopened"
	EventClosed       = "Closed"
	EventDueSoon      = "DueSoon"
	EventBreached     = "Breached"
	EventMajor        = "MajorIncident"
	EventExplained    = "Explained"
	EventReleased     = "NoLongerExplained"
)

// Decision is what Evaluate concludes.
type Decision struct {
	// Status is that of the incident, with what the lifecycle decides in place of what it was.
	Status v1alpha1.IncidentStatus
	Events []Event
	// Next is when something changes without an event; zero: never.
	Next time.Time
	// ClosedNow: the record is closed by this decision, and is to be logged.
	ClosedNow bool
	// Recovered: it is resolved by this decision, since it has been well for long enough. Whether it is so still, as of now
	// and by what others than this record tell, is to be asked before that is written.
	Recovered bool
	// Expired: the record was kept long enough.
	Expired bool
}

// operator signs what it does itself in a timeline.
const operator = "itil-operator"

// IsOpen reports whether an Incident is neither resolved nor closed; of nil it is not.
func IsOpen(i *v1alpha1.Incident) bool {
	return i != nil && i.Status.State != v1alpha1.IncidentResolved && i.Status.State != v1alpha1.IncidentClosed
}

// Evaluate decides the state of an incident and all that follows from it. An incident of the detector is left alone
// until the detector has said what it saw.
func Evaluate(i *v1alpha1.Incident, facts Facts, now time.Time) Decision {
	e := &evaluation{incident: i, facts: facts, now: now}
	e.Status = *i.Status.DeepCopy()
	if i.Status.State == v1alpha1.IncidentClosed {
		e.keep()
		return e.Decision
	}
	if i.Spec.Source == v1alpha1.IncidentSourceDetector && i.Status.DetectedAt == nil {
		return e.Decision
	}
	e.Status.ObservedGeneration = i.Generation
	e.grade()
	e.advance()
	e.clocks()
	e.conditions()
	e.Status.AffectedServices = facts.AffectedServices
	e.Status.KnownError = facts.KnownError
	e.countChildren()
	e.Status.Summary = e.summary()
	e.Status.NextStep = e.nextStep()
	return e.Decision
}

type evaluation struct {
	Decision
	incident *v1alpha1.Incident
	facts    Facts
	now      time.Time
	// refused says why a person's resolution is not one.
	refused string
	// outlasted: what resolves it is that it has been well for long enough.
	outlasted bool
}

func (e *evaluation) wake(t time.Time) {
	if t.After(e.now) {
		e.Next = sooner(e.Next, t)
	}
}

func (e *evaluation) at(t time.Time) *metav1.Time {
	out := metav1.NewTime(t.Truncate(time.Second).UTC())
	return &out
}

// keep is all there is to do about a closed record.
func (e *evaluation) keep() {
	if e.facts.Rules.Retention <= 0 || e.Status.ClosedAt == nil {
		return
	}
	end := e.Status.ClosedAt.Add(e.facts.Rules.Retention)
	e.Expired = !end.After(e.now)
	e.wake(end)
}

// grade computes impact, urgency and priority; what a person declared wins. The impact of a failure is the greatest
// that it had: a crash loop is well between its crashes.
func (e *evaluation) grade() {
	impact, urgency := v1alpha1.LevelLow, v1alpha1.LevelLow
	if s := e.facts.Service; s != nil {
		impact, urgency = impactOf(s.Health), urgencyOf(s.Tier)
	}
	if e.Status.State != "" {
		impact = greater(e.Status.Impact, impact)
	}
	// What explains others is as pressing as the most pressing of them.
	because := ""
	if f := e.facts; f.ChildImpact != "" && PriorityOf(f.ChildImpact, f.ChildUrgency) < PriorityOf(impact, urgency) {
		impact, urgency, because = f.ChildImpact, f.ChildUrgency, ", as of an Incident that it explains"
	}
	e.Status.Impact, e.Status.Urgency = impact, urgency
	if e.incident.Spec.Impact != "" {
		impact = e.incident.Spec.Impact
	}
	if e.incident.Spec.Urgency != "" {
		urgency = e.incident.Spec.Urgency
	}
	before := e.Status.Priority
	e.Status.Priority = PriorityOf(impact, urgency)
	if before != "" && before != e.Status.Priority && (because != "" || !e.settles()) {
		e.tell(fmt.Sprintf("priority %s, was %s (impact %s, urgency %s%s)", e.Status.Priority, before, impact, urgency, because), operator)
	}
}

// settles reports whether it was opened just now, and nothing happened since: the health of its service, by which it is
// graded, is written moments after what fails is seen. The first priority that a reader knows is then the first one.
func (e *evaluation) settles() bool {
	const settling = 10 * time.Second
	declared := e.incident.Spec.Impact != "" || e.incident.Spec.Urgency != ""
	return !declared && len(e.Status.Timeline) == 1 && e.now.Sub(e.Status.Timeline[0].At.Time) < settling
}

// countChildren writes a number that alone changed only now and then: a node may take hundreds with it.
func (e *evaluation) countChildren() {
	f := e.facts
	if e.Status.Children == f.Children {
		return
	}
	if e.Status.Children > 0 && f.Children > 0 && f.ChildrenDue.After(e.now) {
		e.wake(f.ChildrenDue)
		return
	}
	e.Status.Children = f.Children
}

// advance decides the state.
func (e *evaluation) advance() {
	before := e.Status.State
	if before == "" {
		e.opened()
	}
	e.acknowledge()
	resolution, at, by := e.resolution()
	failedAnew := before == v1alpha1.IncidentResolved && e.failsAnew()
	switch {
	case before == v1alpha1.IncidentResolved && (resolution == nil || failedAnew):
		e.reopen(failedAnew || Active(e.Status.Signals) && !e.disputed())
	case resolution != nil:
		e.resolve(before, *resolution, at, by)
	default:
		e.work(before)
	}
}

func (e *evaluation) opened() {
	e.Status.State = v1alpha1.IncidentNew
	by := operator
	if e.incident.Spec.Reporter != "" {
		by = string(e.incident.Spec.Reporter)
	}
	e.tell("opened: "+e.incident.Spec.Title, by)
	e.event(Event{
		Warning: true, Reason: EventOpened, Action: "Open",
		Note: fmt.Sprintf("%s, %s", e.incident.Spec.Title, e.Status.Priority),
	})
}

// acknowledge records when a person first took notice.
func (e *evaluation) acknowledge() {
	spec := &e.incident.Spec
	if e.Status.AcknowledgedAt != nil || spec.Assignee == "" && !spec.Acknowledged {
		return
	}
	e.Status.AcknowledgedAt = e.at(e.now)
	if spec.Assignee != "" {
		e.tell("assigned to "+string(spec.Assignee), string(spec.Assignee))
	} else {
		e.tell("acknowledged", "")
	}
	e.event(Event{Reason: EventAcknowledged, Action: "Acknowledge", Note: "a person took notice"})
}

// lasted reports whether it was resolved by just this recovery, which had lasted then: that is recorded, and a clock that was
// set back since does not undo it.
func (e *evaluation) lasted() bool {
	s := &e.Status
	return s.State == v1alpha1.IncidentResolved && s.ResolvedAt != nil && s.ResolvedAt.Equal(s.RecoveredAt)
}

// begun is when it began, or was last opened again.
func (e *evaluation) begun() time.Time {
	began := e.started()
	if e.Status.ReopenedAt != nil {
		began = later(began, e.Status.ReopenedAt.Time)
	}
	return began
}

// hold is how long signals must stay clear. What is gone cannot crash again, and was gone for the time in which it could
// have been re-created before it counted as that.
func (e *evaluation) hold() time.Duration {
	hold := time.Duration(e.Status.RecoveryHoldSeconds) * time.Second
	switch ev := e.gone(); {
	case ev == nil && e.anotherTemplate():
		// It has not failed by that one, however often it did before.
		return min(hold, maxRecoveryHold)
	case ev == nil:
		return hold
	case ev.Reason == EvidenceGone:
		return 0
	default:
		return min(hold, minRecoveryHold)
	}
}

// anotherTemplate reports whether it recovered with a template that did not fail.
func (e *evaluation) anotherTemplate() bool {
	s := &e.Status
	return s.FailedTemplateHash != "" && s.RecoveredTemplateHash != "" && s.FailedTemplateHash != s.RecoveredTemplateHash
}

func signalText(s v1alpha1.Signal) string {
	if s.Alert != "" {
		return string(s.Reason) + " of alert " + s.Alert
	}
	if s.Container == "" {
		return string(s.Reason)
	}
	return string(s.Reason) + " of container " + s.Container
}

// work decides between the open states. What a person has begun stays begun.
func (e *evaluation) work(before v1alpha1.IncidentState) {
	s, hold := &e.Status, e.incident.Spec.Hold
	switch {
	case hold != nil && !e.facts.HoldOver:
		if before != v1alpha1.IncidentOnHold {
			text := holdText(&e.incident.Spec)
			e.tell("on hold: "+text, string(cmp.Or(hold.By, e.incident.Spec.Assignee)))
			e.event(Event{Reason: EventOnHold, Action: "Hold", Note: text})
		}
		s.State = v1alpha1.IncidentOnHold
	case before == v1alpha1.IncidentOnHold:
		s.State = v1alpha1.IncidentInProgress
		if hold != nil {
			e.tell("taken up again: what it waited for is done", operator)
		} else {
			e.tell("taken up again", string(e.incident.Spec.Assignee))
		}
		e.event(Event{Reason: EventResumed, Action: "Resume", Note: "no longer on hold"})
	case before == v1alpha1.IncidentInProgress, s.AcknowledgedAt != nil, hold != nil:
		s.State = v1alpha1.IncidentInProgress
	default:
		s.State = v1alpha1.IncidentNew
	}
}

// holdText says what is waited for, as far as that is said.
func holdText(spec *v1alpha1.IncidentSpec) string {
	text := []string{string(spec.Hold.Reason)}
	switch spec.Hold.Reason {
	case v1alpha1.HoldAwaitingChange:
		for _, ref := range spec.ChangeRefs {
			text = append(text, string(ref.Name))
		}
	case v1alpha1.HoldAwaitingProblem:
		if spec.ProblemRef != nil {
			text = append(text, string(spec.ProblemRef.Name))
		}
	case v1alpha1.HoldAwaitingCaller, v1alpha1.HoldAwaitingVendor:
	}
	return strings.Join(text, " ") + strings.TrimSuffix(": "+spec.Hold.Comment, ": ")
}

// started is when the operator, or the person, reported the incident.
func (e *evaluation) started() time.Time {
	if e.Status.DetectedAt != nil {
		return e.Status.DetectedAt.Time
	}
	return e.incident.CreationTimestamp.Time
}

// maxNote is what the API server takes as the note of an event, in bytes.
const maxNote = 1024

func (e *evaluation) event(event Event) {
	event.Note = clip(event.Note, maxNote)
	for len(event.Note) > maxNote {
		_, size := utf8.DecodeLastRuneInString(event.Note)
		event.Note = event.Note[:len(event.Note)-size]
	}
	e.Events = append(e.Events, event)
}
