package incident

import (
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// BusinessTime counts the time that was agreed; a servicelevel.Calendar does.
type BusinessTime interface {
	// Add is when so much of it will have passed since start; the zero time is never.
	Add(start time.Time, d time.Duration) time.Time
	// Between is how much of it passes between two times; none where end is not after start.
	Between(start, end time.Time) time.Duration
}

const day = 24 * time.Hour

// weekdays are all hours of Monday to Friday in UTC.
func weekdays() BusinessTime {
	calendar, errs := servicelevel.ParseCalendar(v1alpha1.CalendarSpec{
		TimeZone: "UTC",
		Weekly: []v1alpha1.WeeklyHours{{
			Days: []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri"}, From: "00:00", To: "24:00",
		}},
	})
	if len(errs) > 0 {
		// Unreachable as long as the calendar above is one, which a test says.
		return servicelevel.Always()
	}
	return calendar
}
