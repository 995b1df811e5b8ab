package servicelevel

import (
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// maxInterruptions is the API's bound for the record of an agreement.
const maxInterruptions = 200

// endless is the end of what goes on: after every time that an agreement can name.
var endless = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Interruption is a time in which a service was not up, or not known to be. One that goes on has no End.
type Interruption struct {
	Interval

	Type v1alpha1.InterruptionType
}

// Account is what is kept of a service's past: an agreement's sums follow from it. The zero value knows nothing.
type Account struct {
	// Health that was last counted; empty: none was.
	Health v1alpha1.Health
	// Since when it is so.
	Since time.Time
	// From is since when the interruptions are complete. What was before is unobserved.
	From time.Time
	// Interruptions in order; none overlaps another, and only the last may go on. Else the service was up.
	Interruptions []Interruption
}

// Observation is how a service is, as its status tells.
type Observation struct {
	Health v1alpha1.Health
	// Since when; the zero time where nothing tells: since it was looked at.
	Since time.Time
	// Seen is until when the account's health is known to have lasted; the zero time: only when it began.
	Seen time.Time
}

// Observe folds an observation into the account, and returns the account that follows. Times are cut to seconds.
//
// A health that did not change lasted all the time, however long nobody looked. One that changed lasted until the
// other began. Where the same health began anew, it is not known what was between.
func (a Account) Observe(o Observation, now time.Time) Account {
	if o.Health == "" {
		o.Health = v1alpha1.HealthUnknown
	}
	if o.Since.IsZero() {
		if a.Health == o.Health {
			return a
		}
		o.Since = now
	}
	since := earlier(o.Since, now).Truncate(time.Second)
	before := a
	switch {
	case a.Health == "":
		a.From = since
	case a.Health == o.Health && !since.After(a.Since):
		return a
	default:
		since = later(since, a.Since)
	}
	a.Health, a.Since = o.Health, since
	a.Interruptions = slices.Clone(a.Interruptions)
	if seen := later(before.Since, o.Seen).Truncate(time.Second); before.Health == o.Health && seen.Before(since) {
		a.turn(v1alpha1.InterruptionUnobserved, seen)
	}
	a.turn(interruptionOf(o.Health), since)
	a.bound()
	return a
}

// interruptionOf a health; none while the service is up. Degraded is not downtime.
func interruptionOf(health v1alpha1.Health) v1alpha1.InterruptionType {
	switch health {
	case v1alpha1.HealthOperational, v1alpha1.HealthDegraded:
		return ""
	case v1alpha1.HealthOutage:
		return v1alpha1.InterruptionOutage
	case v1alpha1.HealthMaintenance:
		return v1alpha1.InterruptionMaintenance
	case v1alpha1.HealthUnknown:
	}
	return v1alpha1.InterruptionUnobserved
}

// turn ends what goes on at a time, and lets another kind begin; none: the service is up.
func (a *Account) turn(kind v1alpha1.InterruptionType, at time.Time) {
	a.Interruptions = slices.DeleteFunc(a.Interruptions, func(i Interruption) bool { return !i.Start.Before(at) })
	last := len(a.Interruptions) - 1
	if last >= 0 && (a.Interruptions[last].End.IsZero() || a.Interruptions[last].End.After(at)) {
		a.Interruptions[last].End = at
	}
	switch {
	case kind == "":
	case last >= 0 && a.Interruptions[last].Type == kind && a.Interruptions[last].End.Equal(at):
		a.Interruptions[last].End = time.Time{}
	default:
		a.Interruptions = append(a.Interruptions, Interruption{Interval: Interval{Start: at}, Type: kind})
	}
}

// bound joins those that are nearest to one another until the API can hold them. Of two kinds, it is not known which.
func (a *Account) bound() {
	for len(a.Interruptions) > maxInterruptions {
		list, nearest := a.Interruptions, 0
		gap := func(n int) time.Duration { return list[n+1].Start.Sub(list[n].End) }
		for n := range len(list) - 1 {
			if gap(n) < gap(nearest) {
				nearest = n
			}
		}
		joined := Interruption{Interval: Interval{Start: list[nearest].Start, End: list[nearest+1].End}, Type: list[nearest].Type}
		if joined.Type != list[nearest+1].Type {
			joined.Type = v1alpha1.InterruptionUnobserved
		}
		a.Interruptions = slices.Replace(list, nearest, nearest+2, joined)
	}
}

// since forgets what ended by a time: the account is complete from then on only.
func (a Account) since(start time.Time) Account {
	if a.Health == "" || !a.From.Before(start) {
		return a
	}
	a.From = start
	a.Interruptions = slices.DeleteFunc(slices.Clone(a.Interruptions), func(i Interruption) bool {
		return !i.End.IsZero() && !i.End.After(start)
	})
	return a
}

// of are the interruptions of a type, those that go on being endless, and what was before the record.
func (a Account) of(kind v1alpha1.InterruptionType) []Interval {
	var found []Interval
	if kind == v1alpha1.InterruptionUnobserved {
		from := a.From
		if a.Health == "" {
			from = endless
		}
		found = append(found, Interval{End: from})
	}
	for _, i := range a.Interruptions {
		if i.Type == kind {
			found = append(found, i.orEndless())
		}
	}
	return found
}

func (i Interval) orEndless() Interval {
	if i.End.IsZero() {
		i.End = endless
	}
	return i
}
