// Package problem knows when failures recur often enough to ask for their cause, and what becomes of that question:
// the life of a Problem, its known error, and which problem is worth the most. It is pure.
package problem

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
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
	// Retention is how long closed Problems are kept; 0 is for ever.
	Retention time.Duration
}

const day = 24 * time.Hour

// DefaultRules are those of the design.
var DefaultRules = Rules{
	RecurrenceCount: 3, RecurrenceWindow: 30 * day, VerifyFor: 7 * day, CloseAfter: 30 * day, RankWindow: 90 * day,
	Retention: 90 * day,
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
	// Outage: its impact is High, so that the service was down.
	Outage bool
	// Failing: it is open, and what failed fails still.
	Failing bool
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
		Outage: cmp.Or(i.Spec.Impact, i.Status.Impact) == v1alpha1.LevelHigh,
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
	out.Failing = out.EndedAt.IsZero() && slices.ContainsFunc(i.Status.Signals, func(s v1alpha1.Signal) bool { return s.ClearedAt == nil })
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

// Opening is what a fingerprint asks for.
type Opening struct {
	// Cause to open a Problem; empty: none.
	Cause Cause
	// Count of failures that ask for it.
	Count int
	// Episode of the Problem to open.
	Episode int
}

// Opens says whether the incidents of one fingerprint ask for a Problem, beside those that there are. One that is open
// answers for them, also one that another duplicates; so does one that is closed, for those until then; and an accepted
// risk until its review, for all but a major Incident.
func Opens(problems []v1alpha1.Problem, lookup Lookup, incidents []Incident, rules Rules, now time.Time) Opening {
	out := Opening{Episode: 1}
	answered, accepted, open := time.Time{}, false, false
	for i := range problems {
		p := &problems[i]
		home, _ := Home(p, lookup)
		open = open || IsOpen(home)
		if n, err := strconv.Atoi(p.Labels[v1alpha1.LabelEpisode]); err == nil {
			out.Episode = max(out.Episode, n+1)
		}
		for _, q := range []*v1alpha1.Problem{p, home} {
			if at := timeOf(q.Status.ClosedAt); at.After(answered) {
				answered = at
			}
		}
		review, _ := reviewOf(home)
		accepted = accepted || isAcceptedRisk(home) && review.After(now)
	}
	if open || len(incidents) == 0 {
		return out
	}
	out.Cause, out.Count = Recurs(incidents, answered, rules, now)
	if accepted {
		rules.RecurrenceCount = math.MaxInt
		out.Cause, out.Count = Recurs(incidents, answered, rules, now)
	}
	return out
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
