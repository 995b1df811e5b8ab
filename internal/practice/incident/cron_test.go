package incident_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests' zones, wherever they run

	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

func TestScheduleNext(t *testing.T) {
	const layout = "2006-01-02 15:04 MST"
	for name, test := range map[string]struct{ schedule, zone, after, want string }{
		"every hour":                          {"0 * * * *", "", "2026-11-23 09:00 UTC", "2026-11-23 10:00 UTC"},
		"a word":                              {"@hourly", "", "2026-11-23 09:30 UTC", "2026-11-23 10:00 UTC"},
		"a delay":                             {"@every 90m", "", "2026-11-23 09:30 UTC", "2026-11-23 11:00 UTC"},
		"a step":                              {"*/15 * * * *", "", "2026-11-23 09:31 UTC", "2026-11-23 09:45 UTC"},
		"a range with a step":                 {"10-40/15 9 * * *", "", "2026-11-23 09:26 UTC", "2026-11-23 09:40 UTC"},
		"a list":                              {"5,50 * * * *", "", "2026-11-23 09:10 UTC", "2026-11-23 09:50 UTC"},
		"a weekday by name":                   {"0 6 * * mon-wed", "", "2026-11-25 06:00 UTC", "2026-11-30 06:00 UTC"},
		"either kind of day":                  {"0 6 13 * fri", "", "2026-11-13 06:00 UTC", "2026-11-20 06:00 UTC"},
		"both kinds of days, one with a star": {"0 6 */1 * fri", "", "2026-11-13 06:00 UTC", "2026-11-20 06:00 UTC"},
		"a month by name":                     {"0 0 1 feb *", "", "2026-11-23 09:00 UTC", "2027-02-01 00:00 UTC"},
		"29 February":                         {"0 0 29 2 *", "", "2026-11-23 09:00 UTC", "2028-02-29 00:00 UTC"},
		"never":                               {"0 0 30 2 *", "", "2026-11-23 09:00 UTC", ""},
		"in a zone":                           {"0 9 * * *", "Asia/Kolkata", "2026-11-23 03:00 UTC", "2026-11-23 03:30 UTC"},
		"in a zone named in the schedule":     {"TZ=Asia/Kolkata 0 9 * * *", "", "2026-11-23 03:00 UTC", "2026-11-23 03:30 UTC"},
		"a time that is skipped in spring":    {"30 2 * * *", "Europe/Berlin", "2026-03-28 03:00 UTC", "2026-03-30 00:30 UTC"},
		"a time that comes twice in autumn":   {"30 2 * * *", "Europe/Berlin", "2026-10-25 00:30 UTC", "2026-10-25 01:30 UTC"},
		"midnight where it is skipped":        {"0 12 * * sun", "America/Santiago", "2026-08-31 00:00 UTC", "2026-09-06 15:00 UTC"},
		"the day that a zone skipped":         {"0 0 30 12 *", "Pacific/Apia", "2011-12-01 00:00 UTC", "2012-12-29 10:00 UTC"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := incident.ParseSchedule(test.schedule, test.zone)
			if err != nil {
				t.Fatal(err)
			}
			from, err := time.Parse(layout, test.after)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if next, ok := s.Next(from); ok {
				got = next.UTC().Format(layout)
			}
			if got != test.want {
				t.Errorf("after %s: %s, want %s", test.after, got, test.want)
			}
		})
	}
}

func TestScheduleRefused(t *testing.T) {
	for _, schedule := range []string{
		"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "5-2 * * * *",
		"*/0 * * * *", "*/x * * * *", "@often", "@every", "@every 1ms", "@every never", "a * * * *", "-1 * * * *",
	} {
		if _, err := incident.ParseSchedule(schedule, ""); err == nil {
			t.Errorf("%q is taken for a schedule", schedule)
		}
	}
	if _, err := incident.ParseSchedule("* * * * *", "Mars/Olympus"); err == nil {
		t.Error("a zone that does not exist is one")
	}
}

// FuzzSchedule: whatever is read as a schedule has a next time that is later, at a full minute that it names.
func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{"0 * * * *", "*/7 1-5 1,15 * mon", "30 2 * * *", "@every 90s", "0 0 29 2 *", "? ? ? ? ?"} {
		f.Add(seed, "Europe/Berlin", int64(1774746000))
	}
	f.Fuzz(func(t *testing.T, schedule, zone string, unix int64) {
		s, err := incident.ParseSchedule(schedule, zone)
		if err != nil || unix < 0 || unix > 4e9 {
			return
		}
		from := time.Unix(unix, 0).UTC()
		next, ok := s.Next(from)
		if !ok {
			return
		}
		if !next.After(from) {
			t.Errorf("%q after %s: %s", schedule, from, next)
		}
		if again, _ := s.Next(next.Add(-time.Second)); !again.Equal(next) && !strings.Contains(schedule, "@every") {
			t.Errorf("%q: %s, but a second before it %s", schedule, next, again)
		}
	})
}
