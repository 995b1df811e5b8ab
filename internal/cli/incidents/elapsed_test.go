package incidents

import (
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// TestElapsed: the reference values of the documentation.
func TestElapsed(t *testing.T) {
	hours := func(from, to string) *servicelevel.Calendar {
		c, errs := servicelevel.ParseCalendar(v1alpha1.CalendarSpec{TimeZone: "UTC", Weekly: []v1alpha1.WeeklyHours{{
			Days: []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri"}, From: v1alpha1.ClockTime(from), To: v1alpha1.ClockTime(to),
		}}})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		return &c
	}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC) }
	paused := func(seconds int64) func(*v1alpha1.Incident) {
		return clocks(nil, &v1alpha1.Clock{State: v1alpha1.ClockRunning, PausedSeconds: seconds})
	}
	for name, test := range map[string]struct {
		i           *v1alpha1.Incident
		from, until time.Time
		calendar    *servicelevel.Calendar
		want        string
	}{
		"opened at two in the afternoon, now nine of the next day": {incident("a"), at(23, 14, 0), at(24, 9, 0), hours("09:00", "17:00"), "19h, 3h agreed"},
		"over a weekend":   {incident("a"), at(27, 21, 0), at(30, 9, 30), hours("08:00", "17:00"), "2d12h, 90m agreed"},
		"with a pause":     {incident("a", paused(3600)), at(23, 10, 0), at(23, 15, 0), hours("09:00", "17:00"), "5h, 4h agreed"},
		"nothing promised": {incident("a"), at(23, 10, 0), at(23, 15, 0), nil, "5h"},
	} {
		if got := elapsed(test.i, test.from, test.until, test.calendar); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
