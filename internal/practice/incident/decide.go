package incident

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Records are the incidents that there are of a workload, as far as the next look is concerned.
type Records struct {
	// Current is to be brought up to date; nil where there is none.
	Current *v1alpha1.Incident
	// Last is the newest, where it is over.
	Last *v1alpha1.Incident
}

// Choose finds the newest of a workload's incidents, by episode, and whether it takes what fails now, if anything does. One
// that is open comes before all that are not: an episode is a label, and whoever alters that by hand must not hide it, so
// that another is opened beside it. One that was resolved does as long as what was accepted shows, and for what began within the reopen window: whenever
// that is seen, and however long a loop of which its last crash was a part pauses.
func Choose(incidents []*v1alpha1.Incident, rules Rules, findings []Finding, now time.Time) Records {
	var newest *v1alpha1.Incident
	for _, i := range incidents {
		if newest == nil || goesBefore(i, newest) {
			newest = i
		}
	}
	switch {
	case newest == nil:
		return Records{}
	case newest.Status.State == v1alpha1.IncidentClosed:
		return Records{Last: newest}
	case newest.Status.State == v1alpha1.IncidentResolved && !shows(newest) &&
		newest.Status.ResolvedAt != nil && !reopens(newest, rules, findings, now):
		return Records{Last: newest}
	default:
		return Records{Current: newest}
	}
}

func goesBefore(a, b *v1alpha1.Incident) bool {
	if over := isOver(a); over != isOver(b) {
		return !over
	}
	if x, y := Episode(a.Labels), Episode(b.Labels); x != y {
		return x > y
	}
	if closed := a.Status.State == v1alpha1.IncidentClosed; closed != (b.Status.State == v1alpha1.IncidentClosed) {
		return !closed
	}
	return a.CreationTimestamp.After(b.CreationTimestamp.Time)
}

// isOver: it is closed, or was resolved and nothing of it shows any more.
func isOver(i *v1alpha1.Incident) bool {
	return i.Status.State == v1alpha1.IncidentClosed || i.Status.State == v1alpha1.IncidentResolved && !shows(i)
}

// shows reports whether something of a resolved incident still goes on, or was accepted. What lies in the past was dealt with.
func shows(i *v1alpha1.Incident) bool {
	return slices.ContainsFunc(i.Status.Signals, func(s v1alpha1.Signal) bool {
		return s.ClearedAt == nil && (codeOf(i) == v1alpha1.ResolutionWorkaround || s.Reason == v1alpha1.SignalAlertFiring || !EndsByHand(i, s.Reason))
	})
}

// reopens reports whether what fails, or would fail now, belongs to an incident that was resolved.
func reopens(i *v1alpha1.Incident, rules Rules, findings []Finding, now time.Time) bool {
	end := i.Status.ResolvedAt.Add(rules.ReopenWindow)
	if !end.Before(now) {
		return true
	}
	return !end.Before(beganAt(findings, now)) && Fresh(findings, endOf(i, now), codeOf(i), now)
}

// beganAt is when the first of what fails began; now where nothing does.
func beganAt(findings []Finding, now time.Time) time.Time {
	began := now
	for i := range findings {
		if findings[i].Since.Before(began) {
			began = findings[i].Since
		}
	}
	return began
}

// Verb is what a detector has to do.
type Verb int

const (
	// Nothing is to be done until Action.Next.
	Nothing Verb = iota
	// Open a new incident.
	Open
	// Update the current one.
	Update
)

// Action is what a detector has to do after a look.
type Action struct {
	Verb     Verb
	Detected Detected
	// Next is when to look again; zero: never.
	Next time.Time
}

// Decide says what a look means for the incidents of a workload.
func Decide(records Records, r Result, s Subject, now time.Time) Action {
	if records.Current == nil {
		if s.SwitchedOff || len(r.Findings) == 0 {
			return Action{Next: r.NextLook}
		}
		if last := records.Last; last != nil && !Fresh(r.Findings, endOf(last, now), codeOf(last), now) {
			return Action{Next: r.NextLook}
		}
		detected, next := Correlate(Detected{}, r, s, now)
		return Action{Verb: Open, Detected: detected, Next: next}
	}
	current := records.Current
	s.Resolved, s.Reopened = current.Status.State == v1alpha1.IncidentResolved, current.Status.Reopened
	s.Accepted = codeOf(current) == v1alpha1.ResolutionWorkaround
	s.Self = v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(current.Namespace), Name: v1alpha1.ObjectName(current.Name)}
	before := DetectedOf(&current.Status)
	after, next := Correlate(withFirstWord(current, before, now), r, s, now)
	worth, due := WorthWriting(before, after, s.Resolved, now)
	if !worth {
		return Action{Next: soonerOf(next, due)}
	}
	return Action{Verb: Update, Detected: after, Next: next}
}

func soonerOf(a, b time.Time) time.Time {
	if b.IsZero() {
		return a
	}
	return sooner(a, b)
}

// worstClock is how much later than now a record's times may be: a clock was set back, or another machine's is ahead.
const worstClock = day

// endOf is when an incident ended; of one whose record does not say, when it was opened. A time that cannot be is none:
// a record that somebody edited must not hide failures for ever.
func endOf(i *v1alpha1.Incident, now time.Time) time.Time {
	for _, at := range []*metav1.Time{i.Status.ResolvedAt, i.Status.ClosedAt, &i.CreationTimestamp} {
		if at != nil && !at.After(now.Add(worstClock)) {
			return at.Time
		}
	}
	return time.Time{}
}

func codeOf(i *v1alpha1.Incident) v1alpha1.ResolutionCode {
	if i.Status.Resolution == nil {
		return ""
	}
	return i.Status.Resolution.Code
}
