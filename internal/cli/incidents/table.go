package incidents

import (
	"cmp"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
)

// due is the next thing that must be done by a time.
type due struct {
	// what is "response" or "resolution"; empty where nothing is due.
	what  string
	at    time.Time
	state v1alpha1.ClockState
}

// nextDue is the clock that ends first, of those that still run. A clock that was stopped late stays breached for
// ever; nothing is due by it any more.
func nextDue(i *v1alpha1.Incident) due {
	clocks := i.Status.Clocks
	if clocks == nil || i.Status.ResolvedAt != nil {
		return due{}
	}
	next := due{}
	if i.Status.AcknowledgedAt == nil {
		next = sooner(next, "response", clocks.Response)
	}
	return sooner(next, "resolution", clocks.Resolution)
}

func sooner(next due, what string, c *v1alpha1.Clock) due {
	if c == nil || c.DueAt == nil {
		return next
	}
	switch c.State {
	case v1alpha1.ClockRunning, v1alpha1.ClockWarning, v1alpha1.ClockBreached:
	case v1alpha1.ClockPaused, v1alpha1.ClockMet:
		return next
	}
	if next.what == "" || c.DueAt.Time.Before(next.at) {
		return due{what: what, at: c.DueAt.Time, state: c.State}
	}
	return next
}

// isPaused reports whether the resolution clock stands still.
func isPaused(i *v1alpha1.Incident) bool {
	return i.Status.Clocks != nil && i.Status.Clocks.Resolution != nil && i.Status.Clocks.Resolution.State == v1alpha1.ClockPaused
}

// isOver reports whether nobody has to work on an incident any more.
func isOver(i *v1alpha1.Incident) bool {
	switch i.Status.State {
	case v1alpha1.IncidentResolved, v1alpha1.IncidentClosed:
		return true
	case v1alpha1.IncidentNew, v1alpha1.IncidentInProgress, v1alpha1.IncidentOnHold:
	}
	return false
}

// byDue orders incidents by what is due next; those without a clock come after, by priority and then the oldest first.
func byDue(a, b *v1alpha1.Incident) int {
	x, y := nextDue(a), nextDue(b)
	if (x.what == "") != (y.what == "") {
		if x.what == "" {
			return 1
		}
		return -1
	}
	return cmp.Or(
		x.at.Compare(y.at),
		cmp.Compare(priorityRank(a), priorityRank(b)),
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}

// priorityRank puts what has no priority yet after all others.
func priorityRank(i *v1alpha1.Incident) string { return cmp.Or(string(i.Status.Priority), "P9") }

func stateOf(i *v1alpha1.Incident) v1alpha1.IncidentState {
	return cmp.Or(i.Status.State, v1alpha1.IncidentNew)
}

// stateText tells also of one that was opened again: it is in progress though nobody may work on it yet.
func stateText(i *v1alpha1.Incident) string {
	if i.Status.Reopened > 0 && !isOver(i) {
		return string(stateOf(i)) + " reopened"
	}
	return string(stateOf(i))
}

func newTable(c screen.Columns) *screen.Table {
	return c.Table(
		[]string{"NAME", "PRIORITY", "STATE", "SERVICE", "WORKLOAD", "REASON", "ASSIGNEE", "DUE", "AGE"},
		[]string{"ELAPSED", "SUSPECTED-CHANGE", "KNOWN-ERROR", "SUMMARY"},
	)
}

// row of a table; elapsed is asked for where it is wide.
func row(i *v1alpha1.Incident, now time.Time, c screen.Columns, elapsed func(*v1alpha1.Incident) string) []screen.Cell {
	return c.Row(i.Namespace, []screen.Cell{
		screen.Text(i.Name),
		screen.Styled(priorityStyle(i), majorMark(i)),
		screen.Styled(stateStyle(i), stateText(i)),
		screen.Text(serviceOf(i)),
		screen.Text(workloadOf(i)),
		screen.Text(string(i.Status.Reason)),
		screen.Text(string(i.Spec.Assignee)),
		dueCell(i, now),
		screen.Text(screen.Age(now, i.CreationTimestamp.Time)),
	}, func() []screen.Cell {
		return []screen.Cell{
			screen.Text(elapsed(i)), screen.Text(suspectOf(i)), screen.Text(knownErrorOf(i)), screen.Text(cmp.Or(i.Status.Summary, i.Spec.Title)),
		}
	})
}

func majorMark(i *v1alpha1.Incident) string {
	if i.Spec.Major {
		return string(i.Status.Priority) + " major"
	}
	return string(i.Status.Priority)
}

func priorityStyle(i *v1alpha1.Incident) screen.Style {
	if isOver(i) {
		return screen.Faint
	}
	switch i.Status.Priority {
	case v1alpha1.PriorityP1:
		return screen.Bad
	case v1alpha1.PriorityP2:
		return screen.Warn
	case v1alpha1.PriorityP3, v1alpha1.PriorityP4, v1alpha1.PriorityP5:
	}
	return screen.Plain
}

func stateStyle(i *v1alpha1.Incident) screen.Style {
	switch stateOf(i) {
	case v1alpha1.IncidentNew:
		return screen.Warn
	case v1alpha1.IncidentResolved:
		return screen.Good
	case v1alpha1.IncidentClosed:
		return screen.Faint
	case v1alpha1.IncidentInProgress, v1alpha1.IncidentOnHold:
	}
	return screen.Plain
}

func serviceOf(i *v1alpha1.Incident) string {
	if i.Spec.ServiceRef == nil {
		return ""
	}
	return string(i.Spec.ServiceRef.Name)
}

func workloadOf(i *v1alpha1.Incident) string {
	if i.Spec.WorkloadRef == nil {
		return ""
	}
	return strings.ToLower(i.Spec.WorkloadRef.Kind) + "/" + string(i.Spec.WorkloadRef.Name)
}

func dueCell(i *v1alpha1.Incident, now time.Time) screen.Cell {
	next := nextDue(i)
	switch {
	case next.what == "" && isPaused(i) && !isOver(i):
		return screen.Styled(screen.Faint, "paused")
	case next.what == "":
		return screen.Cell{}
	case !now.Before(next.at):
		return screen.Styled(screen.Bad, next.what+" overdue "+screen.Age(now, next.at))
	case next.state == v1alpha1.ClockWarning:
		return screen.Styled(screen.Warn, next.what+" "+screen.Ago(now, next.at))
	default:
		return screen.Text(next.what + " " + screen.Ago(now, next.at))
	}
}

func suspectOf(i *v1alpha1.Incident) string {
	s := i.Status.SuspectedChange
	if s == nil {
		return ""
	}
	return cmp.Or(s.Name, "a change without a record") + " (" + strings.ToLower(string(s.Confidence)) + ")"
}

func knownErrorOf(i *v1alpha1.Incident) string {
	if i.Status.KnownError == nil {
		return ""
	}
	return string(i.Status.KnownError.Problem)
}
