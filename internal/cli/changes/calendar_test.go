package changes

import (
	"testing"
	"time"
	_ "time/tzdata" // the zones of these tests, wherever they run

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

// planOf is a calendar of two namespaces under one policy and one under none.
func planOf(t *testing.T, zone string, changes ...*v1alpha1.Change) *plan {
	t.Helper()
	hours, problems := change.Hours(v1alpha1.CalendarSpec{
		TimeZone: "Europe/Berlin", Weekly: []v1alpha1.WeeklyHours{{Days: []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri"}, From: "08:00", To: "18:00"}},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	policy := builder.MakeChangePolicy("production").Spec(func(p *v1alpha1.ChangePolicySpec) {
		p.ChangeWindow = &v1alpha1.ChangeWindow{CalendarRef: v1alpha1.LocalReference{Name: "office"}}
		p.FreezeOnExhaustedErrorBudget = true
		p.Freezes = []v1alpha1.Freeze{
			{Name: "christmas", From: "2026-12-20T00:00:00Z", To: "2027-01-02T00:00:00Z"},
			{Name: "far", From: "2027-06-20T00:00:00Z", To: "2027-07-02T00:00:00Z"},
			{Name: "inventory", From: "2026-11-22T12:00:00Z", To: "2026-11-23T12:00:00Z", Reason: "books\x1b are closed"},
			{Name: "past", From: "2026-01-22T12:00:00Z", To: "2026-01-23T12:00:00Z"},
		}
	}).Obj()
	rules := change.Merge([]*v1alpha1.ChangePolicy{policy}, map[string]change.Calendar{"office": hours})
	p := &plan{
		rules: map[string]*change.Rules{"shop": rules, "finance": rules, "sandbox": change.Merge(nil, nil)},
		spent: []string{"sandbox/toy", "shop/checkout"}, now: now,
	}
	p.zone = p.commonZone()
	if zone != "" {
		var err error
		if p.zone, err = time.LoadLocation(zone); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range changes {
		p.changes = append(p.changes, *c)
	}
	return p
}

func TestCalendar(t *testing.T) {
	approved := condition(v1alpha1.ConditionApproved, "")
	week := []*v1alpha1.Change{
		awaiting("late", state(v1alpha1.ChangeImplement), approved, window(-30*time.Hour, -2*time.Hour)),
		awaiting("running", state(v1alpha1.ChangeImplement), approved, window(-time.Hour, 3*time.Hour), func(c *v1alpha1.Change) {
			c.Status.Implementations = []v1alpha1.Implementation{{Workload: c.Spec.Targets[0].Workload, Rollout: v1alpha1.RolloutInProgress}}
		}),
		awaiting("tonight", state(v1alpha1.ChangeScheduled), approved, window(4*time.Hour, 8*time.Hour), condition(v1alpha1.ConditionFrozen, "inventory until 2026-11-23")),
		awaiting("monday", state(v1alpha1.ChangeScheduled), approved, window(14*time.Hour, 20*time.Hour)),
		awaiting("beside", state(v1alpha1.ChangeScheduled), approved, window(14*time.Hour, 40*time.Hour), func(c *v1alpha1.Change) {
			c.Status.Conflicts = []v1alpha1.Conflict{{With: v1alpha1.NamespacedReference{Name: "monday"}, Why: "it was approved earlier and goes first", Blocking: true}}
		}),
		awaiting("waiting"),
		awaiting("new", func(c *v1alpha1.Change) { c.Status = v1alpha1.ChangeStatus{} }),
	}
	for name, p := range map[string]*plan{
		"in its zone": planOf(t, "", week...),
		"in New York": planOf(t, "America/New_York", week...),
		"nothing":     planOf(t, ""),
	} {
		t.Run(name, func(t *testing.T) {
			golden.Compare(t, p.page(name != "nothing", screen.Palette{}).String())
		})
	}
	t.Run("coloured", func(t *testing.T) {
		golden.Compare(t, planOf(t, "", week...).page(false, screen.Palette{Colour: true}).String())
	})
	t.Run("without policies", func(t *testing.T) {
		p := &plan{changes: []v1alpha1.Change{*awaiting("monday", state(v1alpha1.ChangeScheduled), approved, window(14*time.Hour, 20*time.Hour))},
			unread: []string{kindPolicies, kindCalendars}, zone: time.UTC, now: now}
		golden.Compare(t, p.page(false, screen.Palette{}).String())
	})
}

func TestFilter(t *testing.T) {
	item := builder.ConfigurationItem("shop", v1alpha1.WorkloadDeployment, "checkout")
	item.Status.Services = []v1alpha1.LocalReference{{Name: "checkout"}}
	known := map[string]items{"shop": {item.Spec.WorkloadRef: item}}
	tomorrow := awaiting("tomorrow", state(v1alpha1.ChangeScheduled), window(14*time.Hour, 20*time.Hour))
	closed := awaiting("closed", state(v1alpha1.ChangeClosed), window(-100*time.Hour, -90*time.Hour), func(c *v1alpha1.Change) {
		at := metav1.NewTime(now.Add(-95 * time.Hour))
		c.Status.ClosedAt = &at
	})
	for name, test := range map[string]struct {
		filter filter
		change *v1alpha1.Change
		want   bool
	}{
		"everything":                  {filter{}, awaiting("a"), true},
		"a state":                     {filter{states: []string{"authorize", "Review"}}, awaiting("a"), true},
		"another state":               {filter{states: []string{"Review"}}, awaiting("a"), false},
		"not seen yet counts as new":  {filter{states: []string{"Assess"}}, awaiting("a", func(c *v1alpha1.Change) { c.Status.State = "" }), true},
		"mine":                        {filter{mine: true}, awaiting("a"), true},
		"not mine":                    {filter{mine: true}, awaiting("a", func(c *v1alpha1.Change) { c.Spec.Requester = "bob" }), false},
		"of a Service":                {filter{service: "checkout"}, awaiting("a"), true},
		"of another Service":          {filter{service: "cart"}, awaiting("a"), false},
		"elsewhere":                   {filter{service: "checkout"}, awaiting("a", func(c *v1alpha1.Change) { c.Namespace = "other" }), false},
		"tomorrow, from tomorrow on":  {filter{since: "2026-11-23"}, tomorrow, true},
		"tomorrow, on that day":       {filter{since: "2026-11-23", until: "2026-11-23"}, tomorrow, true},
		"tomorrow, from the next day": {filter{since: "2026-11-24"}, tomorrow, false},
		"tomorrow, until today":       {filter{until: "2026-11-22"}, tomorrow, false},
		"tomorrow, within a day":      {filter{until: "1d"}, tomorrow, true},
		"tomorrow, within 14 hours":   {filter{until: "14h"}, tomorrow, false},
		"without a window":            {filter{since: "2027-01-01"}, awaiting("a"), true},
		"closed, of the last week":    {filter{since: "7d"}, closed, true},
		"closed, since its end":       {filter{since: "2026-11-18T19:00:00Z"}, closed, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.filter.check(&cobra.Command{}, now, time.UTC); err != nil {
				t.Fatal(err)
			}
			if got := test.filter.keeps(test.change, session.Identity{Name: "alice"}, known); got != test.want {
				t.Errorf("%t, want %t", got, test.want)
			}
		})
	}
	for name, f := range map[string]filter{
		"no state":       {states: []string{"Done"}},
		"no time":        {since: "tomorrow"},
		"negative":       {until: "-4h"},
		"negative days":  {until: "-4d"},
		"for ever":       {until: "99999d"},
		"the wrong ways": {since: "2026-11-24", until: "2026-11-20"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := f.check(&cobra.Command{Use: "changes"}, now, time.UTC); exit.CodeOf(err) != exit.Usage {
				t.Errorf("error %v", err)
			}
		})
	}
}
