package incident_test

import (
	"slices"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

func businessHours(t *testing.T, from, to string) servicelevel.Calendar {
	t.Helper()
	c, errs := servicelevel.ParseCalendar(v1alpha1.CalendarSpec{TimeZone: "UTC", Weekly: []v1alpha1.WeeklyHours{{
		Days: []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri"}, From: v1alpha1.ClockTime(from), To: v1alpha1.ClockTime(to),
	}}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return c
}

// gold promises, for P3, a response in half an hour and a resolution in four.
func gold(calendar incident.BusinessTime) incident.Agreement {
	times := func(p2, p3 time.Duration) map[v1alpha1.Priority]time.Duration {
		return map[v1alpha1.Priority]time.Duration{"P2": p2, "P3": p3}
	}
	return incident.Agreement{Name: "gold", Time: calendar, Response: times(10*minute, 30*minute), Resolution: times(hour, 4*hour)}
}

func clocked(t *testing.T, calendar incident.BusinessTime) *ticket {
	t.Helper()
	k := aTicket(t)
	k.facts.Service = &incident.ServiceFacts{Name: "checkout", Tier: 2, Health: v1alpha1.HealthDegraded}
	k.facts.Agreements = []incident.Agreement{gold(calendar)}
	k.evaluate()
	return k
}

func TestClocks(t *testing.T) {
	expect := func(t *testing.T, c *v1alpha1.Clock, state v1alpha1.ClockState, due time.Duration) {
		t.Helper()
		if c == nil || c.State != state {
			t.Fatalf("clock %+v, want %s", c, state)
		}
		if due != 0 && (c.DueAt == nil || !c.DueAt.Time.Equal(at(due))) {
			t.Errorf("due at %v, want %s", c.DueAt, at(due))
		}
	}
	t.Run("warns at three quarters and breaches at its end", func(t *testing.T) {
		k := clocked(t, servicelevel.Always())
		k.pass(22*minute + 29*second)
		expect(t, response(k), v1alpha1.ClockRunning, 30*minute)
		k.pass(second)
		expect(t, response(k), v1alpha1.ClockWarning, 30*minute)
		k.pass(7*minute + 29*second)
		expect(t, response(k), v1alpha1.ClockWarning, 30*minute)
		k.pass(second)
		expect(t, response(k), v1alpha1.ClockBreached, 30*minute)
		if status, _ := k.condition(v1alpha1.ConditionResponseBreached); status != "True" {
			t.Error("no condition tells")
		}
		k.do(assign)
		expect(t, response(k), v1alpha1.ClockBreached, 30*minute)
		expect(t, resolution(k), v1alpha1.ClockRunning, 4*hour)
		if !slices.Contains(k.told, "DueSoon") || !slices.Contains(k.told, "Breached") {
			t.Errorf("told %v", k.told)
		}
	})
	t.Run("stops at a person's notice", func(t *testing.T) {
		k := clocked(t, servicelevel.Always()).pass(29 * minute).do(func(s *v1alpha1.IncidentSpec) { s.Acknowledged = true })
		expect(t, response(k), v1alpha1.ClockMet, 30*minute)
		k.pass(hour)
		expect(t, response(k), v1alpha1.ClockMet, 30*minute)
	})
	t.Run("stands still while the reporter is asked, and for nothing else", func(t *testing.T) {
		k := clocked(t, servicelevel.Always()).pass(hour).do(hold(v1alpha1.HoldAwaitingVendor)).pass(hour)
		expect(t, resolution(k), v1alpha1.ClockRunning, 4*hour)
		k.do(hold(v1alpha1.HoldAwaitingCaller)).pass(10 * hour)
		expect(t, resolution(k), v1alpha1.ClockPaused, 0)
		k.do(resume)
		expect(t, resolution(k), v1alpha1.ClockRunning, 14*hour)
		if paused := resolution(k).PausedSeconds; paused != 36000 {
			t.Errorf("paused for %d s", paused)
		}
	})
	t.Run("counts agreed service time", func(t *testing.T) {
		k := clocked(t, businessHours(t, "09:00", "17:00")).pass(5 * hour).do(hold(v1alpha1.HoldAwaitingCaller)) // 14:00
		k.pass(19 * hour).do(resume)                                                                             // 09:00 the next day
		if paused := resolution(k).PausedSeconds; paused != 3*3600 {
			t.Errorf("from 14:00 to 09:00 the next day: %d s", paused)
		}
	})
	t.Run("is not judged until a recovery is believed", func(t *testing.T) {
		k := clocked(t, servicelevel.Always()).do(assign).pass(4*hour - minute).seeWell().pass(minute)
		expect(t, resolution(k), v1alpha1.ClockWarning, 4*hour)
		k.pass(minute).is("Resolved")
		expect(t, resolution(k), v1alpha1.ClockMet, 4*hour)
	})
	t.Run("a recovery that is not one costs its time", func(t *testing.T) {
		k := clocked(t, servicelevel.Always()).do(assign).pass(4*hour - minute).seeWell().pass(minute).fail()
		expect(t, resolution(k), v1alpha1.ClockBreached, 4*hour)
	})
	t.Run("goes on after a relapse, less the time it was resolved", func(t *testing.T) {
		k := clocked(t, servicelevel.Always()).do(assign).pass(hour).seeWell().pass(2 * minute).is("Resolved")
		k.pass(28*minute - 30*second).fail().is("InProgress")
		expect(t, resolution(k), v1alpha1.ClockRunning, 4*hour+30*minute)
	})
	t.Run("a raised priority counts from the start, with the pauses it had", func(t *testing.T) {
		k := clocked(t, servicelevel.Always()).do(assign).pass(10 * minute).do(hold(v1alpha1.HoldAwaitingCaller)).pass(30 * minute).do(resume)
		k.do(func(s *v1alpha1.IncidentSpec) { s.Impact = "High" })
		expect(t, resolution(k), v1alpha1.ClockRunning, 90*minute)
	})
	t.Run("P5 has none", func(t *testing.T) {
		k := clocked(t, servicelevel.Always()).do(func(s *v1alpha1.IncidentSpec) { s.Impact, s.Urgency = "Low", "Low" })
		if k.i.Status.Clocks != nil || k.i.Status.DueAt != "" {
			t.Errorf("clocks %v", k.i.Status.Clocks)
		}
		if status, _ := k.condition(v1alpha1.ConditionResponseBreached); status != "" {
			t.Error("a condition tells of a clock that there is not")
		}
	})
	t.Run("a child runs no response clock", func(t *testing.T) {
		k := clocked(t, servicelevel.Always()).do(func(s *v1alpha1.IncidentSpec) { s.ParentRef = &v1alpha1.NamespacedReference{Name: "node"} })
		if response(k).State != v1alpha1.ClockPaused || resolution(k).State != v1alpha1.ClockRunning {
			t.Errorf("clocks %v", k.i.Status.Clocks)
		}
	})
	t.Run("one that is said to explain itself does", func(t *testing.T) {
		k := clocked(t, servicelevel.Always())
		k.do(func(s *v1alpha1.IncidentSpec) {
			s.ParentRef = &v1alpha1.NamespacedReference{Name: v1alpha1.ObjectName(k.i.Name)}
		})
		if response(k).State != v1alpha1.ClockRunning {
			t.Errorf("clocks %v", k.i.Status.Clocks)
		}
	})
	t.Run("the strictest agreement counts", func(t *testing.T) {
		k := clocked(t, servicelevel.Always())
		strict := gold(servicelevel.Always())
		strict.Name, strict.Resolution = "platinum", map[v1alpha1.Priority]time.Duration{"P3": 2 * hour}
		never := gold(servicelevel.Calendar{})
		never.Name = "never"
		k.facts.Agreements = append(k.facts.Agreements, never, strict)
		k.evaluate()
		if got := k.i.Status.Clocks.Agreement; got != "platinum" {
			t.Errorf("agreement %s", got)
		}
		k.facts.Agreements = []incident.Agreement{never}
		k.pass(1000 * hour)
		k.evaluate()
		expect(t, resolution(k), v1alpha1.ClockRunning, 0)
	})
	t.Run("what stands for others has none", func(t *testing.T) {
		k := clocked(t, servicelevel.Always())
		ref := incident.Reference(incident.BacklogKey("shop"))
		k.i.Spec.WorkloadRef = &ref
		k.evaluate()
		if k.i.Status.Clocks != nil {
			t.Error("it has clocks")
		}
	})
}

// TestReferenceValues are those of the documentation, which other tools give for the same questions.
func TestReferenceValues(t *testing.T) {
	for name, test := range map[string]struct {
		from, to             string
		begin, end           time.Time
		business, actualTime time.Duration
	}{
		"opened at 14:00, now 09:00 the next day": {
			"09:00", "17:00", time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC), time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), 3 * hour, 19 * hour,
		},
		"Friday 21:00 to Monday 09:30": {
			"08:00", "17:00", time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC), time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC), 90 * minute, 60*hour + 30*minute,
		},
	} {
		if got := businessHours(t, test.from, test.to).Between(test.begin, test.end); got != test.business {
			t.Errorf("%s: %s", name, got)
		}
		if got := servicelevel.Always().Between(test.begin, test.end); got != test.actualTime {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestDueText: nothing is due by a clock that was stopped, were it too late.
func TestDueText(t *testing.T) {
	k := clocked(t, businessHours(t, "08:00", "18:00"))
	response, resolution := k.i.Status.Clocks.Response.DueAt, k.i.Status.Clocks.Resolution.DueAt
	if got, want := k.i.Status.DueAt, response.UTC().Format(time.RFC3339); got != want {
		t.Errorf("due %q, want the response %q", got, want)
	}
	k.pass(response.Sub(k.now) + minute).do(assign)
	if got, want := k.i.Status.DueAt, resolution.UTC().Format(time.RFC3339); got != want {
		t.Errorf("acknowledged too late: due %q, want the resolution %q", got, want)
	}
	k.pass(resolution.Sub(k.now) + minute)
	if got, want := k.i.Status.DueAt, resolution.UTC().Format(time.RFC3339); got != want {
		t.Errorf("overdue: due %q, want %q", got, want)
	}
	k.seeWell().pass(2 * minute).is("Resolved")
	if k.i.Status.DueAt != "" {
		t.Errorf("resolved, and due %q", k.i.Status.DueAt)
	}
}
