package change

import (
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Hours makes the hours of a Calendar object. Where anything in it cannot be understood they are nil, and the errors
// say why, each naming its field.
func Hours(spec v1alpha1.CalendarSpec) (Calendar, []error) {
	c, problems := servicelevel.ParseCalendar(spec)
	if len(problems) > 0 {
		return nil, problems
	}
	zone, err := servicelevel.ParseTimeZone("spec.timeZone", spec.TimeZone)
	if err != nil {
		return nil, []error{err}
	}
	return hours{calendar: c, zone: zone}, nil
}

type hours struct {
	calendar servicelevel.Calendar
	zone     *time.Location
}

// Contains says whether it is open at t.
func (h hours) Contains(t time.Time) bool { return h.calendar.Contains(t) }

// At says whether it is open at t, and up to when it stays so.
func (h hours) At(t time.Time) (open bool, until time.Time) {
	if open = h.calendar.Contains(t); open {
		until, _ = h.calendar.NextClose(t)
	} else {
		until, _ = h.calendar.NextOpen(t)
	}
	return open, until
}

// Location is the time zone in which people read its hours.
func (h hours) Location() *time.Location { return h.zone }
