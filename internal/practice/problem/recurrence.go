// Package problem knows when failures recur often enough to ask for their cause, and what becomes of that question:
// the life of a Problem, its known error, and which problem is worth the most. It is pure.
package problem

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Rules are the settings of problem management.
type Rules struct {
	// RecurrenceCount failures of one fingerprint within RecurrenceWindow open a Problem.
	RecurrenceCount  int
	RecurrenceWindow time.Duration
	// VerifyFor is how long nothing may recur after a fix for it to count as one.
	VerifyFor time.Duration
	// CloseAfter a Problem was resolved it is closed.
	CloseAfter time.Duration
	// RankWindow is how far back downtime and incidents count for the ranking.
	RankWindow time.Duration
}

const day = 24 * time.Hour

// DefaultRules are those of the design.
var DefaultRules = Rules{
	RecurrenceCount: 3, RecurrenceWindow: 30 * day, VerifyFor: 7 * day, CloseAfter: 30 * day, RankWindow: 90 * day,
}

// Incident is what a Problem needs to know of an Incident of its fingerprint.
type Incident struct {
	Name string
	// StartedAt is when it failed; EndedAt when it was resolved, zero while it is open.
	StartedAt, EndedAt time.Time
	// Reopened is how often it failed again, and ReopenedAt when it last did.
	Reopened   int
	ReopenedAt time.Time
	Major      bool
	// Service that suffers.
	Service string
	// Workload and Reason that make up the fingerprint.
	Workload string
	Reason   v1alpha1.SignalReason
}

// IncidentOf reads an Incident.
func IncidentOf(i *v1alpha1.Incident) Incident {
	out := Incident{
		Name: i.Name, StartedAt: i.CreationTimestamp.Time, Reopened: int(i.Status.Reopened),
		Major: i.Spec.Major, Reason: i.Status.Reason,
	}
	if at := i.Status.StartedAt; at != nil {
		out.StartedAt = at.Time
	}
	if at := i.Status.ResolvedAt; at != nil {
		out.EndedAt = at.Time
	}
	if at := i.Status.ReopenedAt; at != nil {
		out.ReopenedAt = at.Time
	}
	if i.Spec.ServiceRef != nil {
		out.Service = string(i.Spec.ServiceRef.Name)
	}
	if i.Spec.WorkloadRef != nil {
		out.Workload = string(i.Spec.WorkloadRef.Name)
	}
	return out
}

// failuresSince counts failures from a time on: the incident's own, and each time it was opened again. Only the last
// reopening has a recorded time; of an incident that began before, one is known to count.
func (i Incident) failuresSince(from time.Time) int {
	switch {
	case !i.StartedAt.Before(from):
		return 1 + i.Reopened
	case i.Reopened > 0 && !i.ReopenedAt.Before(from):
		return 1
	default:
		return 0
	}
}

// lastFailure is when it last failed.
func (i Incident) lastFailure() time.Time {
	if i.ReopenedAt.After(i.StartedAt) {
		return i.ReopenedAt
	}
	return i.StartedAt
}

// Cause says why a Problem should be opened.
type Cause string

const (
	// NoCause: it should not.
	NoCause Cause = ""
	// Recurrence: it failed often enough.
	Recurrence Cause = "Recurrence"
	// MajorIncident: one of them was major.
	MajorIncident Cause = "MajorIncident"
)

// Recurs says whether the incidents of one fingerprint ask for a Problem, and how often it failed in the window.
// Failures up to since do not count: a Problem that has ended answered for them.
func Recurs(incidents []Incident, since time.Time, rules Rules, now time.Time) (Cause, int) {
	from := now.Add(-rules.RecurrenceWindow)
	if since.After(from) {
		from = since
	}
	count, major := 0, false
	for _, i := range incidents {
		count += i.failuresSince(from)
		major = major || i.Major && !i.EndedAt.IsZero() && i.EndedAt.After(from)
	}
	switch {
	case count >= rules.RecurrenceCount:
		return Recurrence, count
	case major:
		return MajorIncident, count
	default:
		return NoCause, count
	}
}

const (
	maxNamed  = 40
	hashShown = 5
)

// Name of the Problem of a fingerprint and episode. It says what fails, and is the same whoever makes it.
func Name(workload string, reason v1alpha1.SignalReason, fingerprint string, episode int) string {
	sum := sha256.Sum256([]byte(fingerprint + "\x00" + strconv.Itoa(episode)))
	if len(workload) > maxNamed {
		workload = strings.TrimRight(workload[:maxNamed], "-.")
	}
	parts := []string{workload, strings.ToLower(string(reason)), hex.EncodeToString(sum[:])[:hashShown]}
	return strings.Trim(strings.Join(parts, "-"), "-")
}

// Statement of a Problem that the operator opens.
func Statement(i Incident, cause Cause, count int, rules Rules) string {
	what := i.Workload + ": " + string(i.Reason)
	if cause == MajorIncident {
		return what + " after major Incident " + i.Name
	}
	return what + " again and again: " + strconv.Itoa(count) + " failures within " + strconv.Itoa(int(rules.RecurrenceWindow/day)) + " days"
}
