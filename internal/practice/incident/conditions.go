package incident

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// conditions sets each of them from what was decided.
func (e *evaluation) conditions() {
	e.setAcknowledged()
	e.setPaused()
	e.setBreached(v1alpha1.ConditionResponseBreached, func(c *v1alpha1.IncidentClocks) *v1alpha1.Clock { return c.Response })
	e.setBreached(v1alpha1.ConditionResolutionBreached, func(c *v1alpha1.IncidentClocks) *v1alpha1.Clock { return c.Resolution })
	e.setMajor()
	e.setRecovered()
	e.setExplained()
	e.setCapReached()
}

func (e *evaluation) set(kind string, is bool, reason, message string) {
	const maxConditionMessage = 1024
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&e.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: clip(message, maxConditionMessage),
		LastTransitionTime: *e.at(e.now), ObservedGeneration: e.incident.Generation,
	})
}

func (e *evaluation) setAcknowledged() {
	if e.Status.AcknowledgedAt != nil {
		e.set(v1alpha1.ConditionAcknowledged, true, "Acknowledged", "a person took notice")
		return
	}
	e.set(v1alpha1.ConditionAcknowledged, false, "Awaited", "nobody is assigned, and nobody acknowledged it")
}

func (e *evaluation) setPaused() {
	if e.paused() {
		e.set(v1alpha1.ConditionPaused, true, string(v1alpha1.HoldAwaitingCaller),
			"the resolution clock stands still while the reporter is asked")
		return
	}
	e.set(v1alpha1.ConditionPaused, false, "Running", "")
}

// setBreached: where nothing was promised, nothing can be breached, and there is no condition.
func (e *evaluation) setBreached(kind string, of func(*v1alpha1.IncidentClocks) *v1alpha1.Clock) {
	var clock *v1alpha1.Clock
	if e.Status.Clocks != nil {
		clock = of(e.Status.Clocks)
	}
	if clock == nil {
		meta.RemoveStatusCondition(&e.Status.Conditions, kind)
		return
	}
	if clock.State == v1alpha1.ClockBreached {
		e.set(kind, true, "Breached", fmt.Sprintf("was due at %s by agreement %s", stamp(clock.DueAt.Time), e.Status.Clocks.Agreement))
		return
	}
	e.set(kind, false, string(clock.State), "")
}

// majorDeclared is the reason of the condition Major once a person has said so.
const majorDeclared = "Declared"

func (e *evaluation) setMajor() {
	switch {
	case e.incident.Spec.Major:
		if c := meta.FindStatusCondition(e.Status.Conditions, v1alpha1.ConditionMajor); c == nil || c.Reason != majorDeclared {
			e.tell("declared a major incident", "")
			e.event(Event{Warning: true, Reason: EventMajor, Action: "Declare", Note: fmt.Sprintf("a major incident: %s, %s", e.incident.Spec.Title, e.Status.Priority)})
		}
		e.set(v1alpha1.ConditionMajor, true, majorDeclared, "everybody must know; it is closed by hand only")
	case e.proposesMajor():
		e.set(v1alpha1.ConditionMajor, true, "Proposed", "P1 on a service of tier 1: declare it with spec.major")
	default:
		e.set(v1alpha1.ConditionMajor, false, "NotMajor", "")
	}
}

func (e *evaluation) proposesMajor() bool {
	return e.Status.Priority == v1alpha1.PriorityP1 && e.facts.Service != nil && e.facts.Service.Tier == 1
}

func (e *evaluation) setRecovered() {
	const kind = v1alpha1.ConditionRecovered
	s := &e.Status
	switch {
	case len(s.Signals) == 0 && s.RecoveredAt == nil:
		e.set(kind, false, "NoSignals", "no signal tells; its resolution is for a person to declare")
	case Active(s.Signals):
		message := "still there: " + activeText(s.Signals)
		if e.refused != "" {
			message = e.refused
		}
		e.set(kind, false, "SignalsActive", message)
	case s.ResolvedAt == nil && e.disputed():
		e.set(kind, false, "Disputed", "a person says that it is not over (spec.recovery): declare how it ended")
	case s.ResolvedAt == nil && s.RecoveredAt != nil:
		end := s.RecoveredAt.Add(e.hold())
		e.set(kind, false, "HoldDown", "well since "+stamp(s.RecoveredAt.Time)+", believed at "+stamp(end))
	default:
		e.set(kind, true, "Recovered", "all signals are clear")
	}
}

// setExplained names the incident that explains this one, and tells of it when that changes.
func (e *evaluation) setExplained() {
	const kind = v1alpha1.ConditionExplained
	before := meta.FindStatusCondition(e.Status.Conditions, kind)
	ref := e.parent()
	if ref == nil {
		if before != nil {
			meta.RemoveStatusCondition(&e.Status.Conditions, kind)
			e.tell("stands on its own again, no longer "+before.Message, operator)
			e.event(Event{Warning: true, Reason: EventReleased, Action: "Release", Note: "no longer " + before.Message})
		}
		return
	}
	message := "explained by Incident " + refText(*ref, e.incident.Namespace)
	if before == nil || before.Message != message {
		e.tell(message, operator)
		e.event(Event{Reason: EventExplained, Action: "Adopt", Note: message})
	}
	e.set(kind, true, "Parent", message)
}

// parent is the incident that explains this one; what a person declared wins, but that it explains itself.
func (e *evaluation) parent() *v1alpha1.NamespacedReference {
	i := e.incident
	if ref := i.Spec.ParentRef; ref != nil && refText(*ref, i.Namespace) != i.Namespace+"/"+i.Name {
		return ref
	}
	return e.Status.ParentRef
}

func refText(ref v1alpha1.NamespacedReference, namespace string) string {
	return string(cmp.Or(ref.Namespace, v1alpha1.NamespaceName(namespace))) + "/" + string(ref.Name)
}

// setCapReached: the record that counts what caps keep back says so for as long as there is any.
func (e *evaluation) setCapReached() {
	key, about := KeyOf(e.incident)
	if !about || key != OverflowKey() {
		return
	}
	n := e.Status.Workloads
	if n == 0 {
		e.set(v1alpha1.ConditionCapReached, false, "RoomAgain", "nothing is kept back")
		return
	}
	e.set(v1alpha1.ConditionCapReached, true, "CapReached", fmt.Sprintf(
		"%d workloads fail without an Incident of their own: %s; each opens when another one is resolved", n,
		cmp.Or(e.facts.Caps, "as many are open as may be")))
}

func activeText(signals []v1alpha1.Signal) string {
	const shown = 3
	var texts []string
	for _, s := range signals {
		if s.ClearedAt == nil && len(texts) < shown {
			texts = append(texts, signalText(s))
		}
	}
	return strings.Join(texts, ", ")
}
