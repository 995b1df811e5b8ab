package screen

import (
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// Age is how long ago something was, as kubectl's AGE column shows it.
func Age(now, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return duration.HumanDuration(max(now.Sub(at), 0))
}

// Ago is "3h ago", "in 3h" or "now"; empty for the zero time.
func Ago(now, at time.Time) string {
	switch d := now.Sub(at); {
	case at.IsZero():
		return ""
	case d >= time.Second:
		return duration.HumanDuration(d) + " ago"
	case d <= -time.Second:
		return "in " + duration.HumanDuration(-d)
	default:
		return "now"
	}
}

// Moment is a time to the minute with its zone, in the zone that it came with: the one that whoever wrote it thinks in.
func Moment(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	if _, offset := at.Zone(); offset == 0 {
		return at.UTC().Format("2006-01-02 15:04 MST")
	}
	return at.Format("2006-01-02 15:04 -07:00")
}
