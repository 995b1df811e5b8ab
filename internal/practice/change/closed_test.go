package change

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestAClosedGateIsExplained: who asks, and who is asked to vote, learns what keeps out what needs votes: a change window, a
// freeze, a spent error budget, a Calendar that is not there. Votes do not open any of them.
func TestAClosedGateIsExplained(t *testing.T) {
	withCalendars := func(calendars map[string]Calendar, p ...*v1alpha1.ChangePolicy) func(*situation) {
		return given(func(w *World) { w.Rules = Merge(p, calendars) })
	}
	spent := given(func(w *World) {
		w.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", func(p *v1alpha1.ChangePolicySpec) { p.FreezeOnExhaustedErrorBudget = true })}, nil)
		w.ExhaustedBudgets = []string{"checkout"}
	})
	harmless := given(func(w *World) { w.Risk.Tier = 4 })
	name := "checkout-" + v24.Hash[3:11]
	for name, test := range map[string]struct {
		given  *situation
		causes []CauseType
		says   []string
		silent []string
		next   int // hour; -1: never
		retry  bool
		files  bool
	}{
		"hours": {
			situated(policies(policy("p", officeHours))), []CauseType{CauseNoChange, CauseOutsideWindow},
			[]string{"The change window of ChangePolicy p (Calendar office) is closed.", "it needs 1 approval", "Approve: kubectl itil approve shop/" + name},
			nil, 8, false, true,
		},
		"a freeze": {
			situated(policies(policy("p", frozen(0, 50)))), []CauseType{CauseNoChange, CauseFrozen},
			[]string{"Freeze black-friday of ChangePolicy p is on until 2026-11-25 02:00 UTC.", "Next window: 2026-11-25 02:00 UTC"}, nil, 50, false, true,
		},
		"an error budget": {
			situated(spent), []CauseType{CauseNoChange, CauseBudgetExhausted},
			[]string{"The error budget of Service checkout is spent; only a Change that refers to its open Incident or Problem goes in."}, nil, 2, false, true,
		},
		"a Calendar that does not exist": {
			situated(withCalendars(nil, policy("p", officeHours))), []CauseType{CauseNoChange, CauseOutsideWindow},
			[]string{"Calendar office, which does not exist", "kubectl describe chgpol p", "Approve: "}, []string{"Next window"}, -1, false, true,
		},
		"a Calendar that is invalid": {
			situated(withCalendars(map[string]Calendar{"office": nil}, policy("p", officeHours))), []CauseType{CauseNoChange, CauseOutsideWindow},
			[]string{"somebody mends Calendar office, which is invalid (kubectl describe cal office)"}, []string{"Next window"}, -1, false, true,
		},
		"a Calendar that does not exist, and it is agreed to": {
			situated(withCalendars(nil, policy("p", officeHours)), approved(approvedAtHour(1))), []CauseType{CauseOutsideWindow, CauseOutsideWindow},
			[]string{"no hours are open for it within two years; the change window of ChangePolicy p stays closed until somebody makes Calendar office"},
			[]string{"Next window"}, -1, false, false,
		},
		"tags, where digests are wanted": {
			situated(policies(policy("p", digestsWanted))), []CauseType{CauseNoChange, CauseNotPinned},
			[]string{"The ChangePolicy wants images by digest, and app=registry.shop.example/checkout:2.4.0 has none.", "Name the images by digest (image@sha256:...) and try again"},
			[]string{"kubectl itil approve", "was filed for you"}, 2, false, false,
		},
		"a freeze, where no vote is needed": {
			situated(policies(policy("p", frozen(0, 50))), harmless), []CauseType{CauseNoChange, CauseFrozen},
			[]string{"It needs no vote. Retry when the gate is open: kubectl itil why deployment/checkout -n shop    Next window: 2026-11-25 02:00 UTC"},
			[]string{"kubectl itil approve"}, 50, true, true,
		},
		"a freeze, where no vote is needed and a Change waits for one": {
			situated(policies(policy("p", frozen(0, 50))), harmless, knowing(changeOf("careful"))), []CauseType{CauseNotApproved, CauseFrozen, CauseFrozen},
			[]string{"It needs no vote."}, []string{"kubectl itil approve", "approvals"}, 50, true, false,
		},
		"a freeze that ends at night, for a standard change": {
			situated(policies(policy("p", frozen(0, 5), officeHours, standard(v1alpha1.StandardChange{Name: "any", Images: v1alpha1.ImageSameRepository, Tiers: []int32{1}})))),
			[]CauseType{CauseNoChange, CauseFrozen}, []string{"It needs no vote.", "Next window: 2026-11-23 05:00 UTC"}, []string{"Calendar office"}, 5, true, true,
		},
		"no Change is filed by policy": {
			situated(policies(policy("p", func(p *v1alpha1.ChangePolicySpec) { p.OnDenied = v1alpha1.OnDeniedDeny }))), []CauseType{CauseNoChange},
			[]string{"File a Change for it and have it approved, then retry: kubectl itil change new -f MANIFESTS -n shop"}, nil, 2, false, false,
		},
		"no Change is filed by policy, a deletion": {
			situated(policies(policy("p", func(p *v1alpha1.ChangePolicySpec) { p.OnDenied = v1alpha1.OnDeniedDeny })),
				asking(func(r *Request) { r.Operation, r.New = Delete, nil })), []CauseType{CauseNoChange},
			[]string{"kubectl itil change new --delete deployment/checkout -n shop"}, nil, 2, false, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.given.decide(2)
			var causes []CauseType
			for _, c := range d.Reasons {
				causes = append(causes, c.Type)
			}
			if diff := cmp.Diff(test.causes, causes); diff != "" || d.Verdict != Denied {
				t.Errorf("%s (-want +got):\n%s\n%v", d.Verdict, diff, d.Reasons)
			}
			if test.next < 0 && !d.Next.At.IsZero() || test.next >= 0 && !d.Next.At.Equal(hour(test.next)) {
				t.Errorf("next %s, want hour %d", d.Next.At, test.next)
			}
			if (d.Next.RetryAfter > 0) != test.retry || (d.File != nil) != test.files {
				t.Errorf("retry after %s, files %v", d.Next.RetryAfter, d.File)
			}
			text := Explain(&test.given.request, &test.given.world, &d).Message
			for _, want := range test.says {
				if !strings.Contains(text, want) {
					t.Errorf("lacks %q:\n%s", want, text)
				}
			}
			for _, no := range test.silent {
				if strings.Contains(text, no) {
					t.Errorf("says %q:\n%s", no, text)
				}
			}
		})
	}
}

// TestWhoVotesIsToldWhatNoVoteMends: nobody is asked for a vote that changes nothing without being told so.
func TestWhoVotesIsToldWhatNoVoteMends(t *testing.T) {
	rules := func(calendars map[string]Calendar, options ...func(*v1alpha1.ChangePolicySpec)) func(*Subject) {
		return func(x *Subject) { x.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", options...)}, calendars) }
	}
	office := map[string]Calendar{"office": openFrom(8, 18)}
	for name, test := range map[string]struct {
		change []func(*v1alpha1.Change)
		with   func(*Subject)
		says   string
	}{
		"it may go in":                      {nil, rules(office, officeHours), ""},
		"its window is in the hours":        {[]func(*v1alpha1.Change){window(10, 30)}, rules(office, officeHours), ""},
		"its window is out of hours":        {[]func(*v1alpha1.Change){window(19, 30)}, rules(office, officeHours), "No hours are open within its window: edit spec.window before anybody votes."},
		"its window is in a freeze":         {[]func(*v1alpha1.Change){window(10, 12)}, rules(nil, frozen(5, 50)), "No hours are open within its window"},
		"the hours are over":                {nil, rules(map[string]Calendar{"office": openFrom(0, 1)}, officeHours), "No hours are open for it within two years."},
		"there is no such Calendar":         {nil, rules(nil, officeHours), "The change window of ChangePolicy p stays closed until somebody makes Calendar office"},
		"a Standard asks for no Calendar":   {[]func(*v1alpha1.Change){ofType(v1alpha1.ChangeStandard)}, rules(nil, officeHours), ""},
		"it names a tag, digests are asked": {nil, rules(nil, digestsWanted), "It cannot go in as it is: deployment/checkout: the ChangePolicy wants images by digest"},
	} {
		t.Run(name, func(t *testing.T) {
			s := told(t, test.change...).with(test.with).at(2).is(v1alpha1.ChangeAuthorize).nextStepHas(test.says, "kubectl itil approve shop/checkout-2-4")
			if warned := !strings.HasPrefix(s.last.Status.NextStep, "Lacks "); warned != (test.says != "") {
				t.Errorf("next step:\n%s", s.last.Status.NextStep)
			}
		})
	}
}

// TestTimesThatCannotBeToldAreNamed: the schema lets through times that no status can say in every zone.
func TestTimesThatCannotBeToldAreNamed(t *testing.T) {
	const far = "9999-12-31T23:59:59Z"
	told(t, func(c *v1alpha1.Change) { c.Spec.Window = &v1alpha1.Window{Start: stamp(1), End: far} }).is(v1alpha1.ChangeAssess).
		nextStepHas(`spec.window.end "` + far + `" is not between the years 1970 and 9998`)
	told(t, func(c *v1alpha1.Change) {
		c.Spec.Window = &v1alpha1.Window{Start: "2026-02-30T00:00:00Z", End: far}
	}).is(v1alpha1.ChangeAssess).nextStepHas(`spec.window.start "2026-02-30T00:00:00Z" is not an RFC 3339 time such as`)
	r := Merge([]*v1alpha1.ChangePolicy{policy("p", func(p *v1alpha1.ChangePolicySpec) {
		p.Freezes = []v1alpha1.Freeze{{Name: "for-ever", From: stamp(1), To: far}}
	})}, nil)
	want := []InvalidPart{{Policy: "p", Field: "spec.freezes[0].to", Message: `time "` + far + `" is not between the years 1970 and 9998; the freeze counts as endless`}}
	if diff := cmp.Diff(want, r.Invalid); diff != "" {
		t.Errorf("invalid (-want +got):\n%s", diff)
	}
}

// TestWindowsOfTwoZones: what two policies allow, each in its own zone, is what both do. The clocks of Berlin and New York are
// set forward on different Sundays, and where one is, an hour of a window is not there.
func TestWindowsOfTwoZones(t *testing.T) {
	calendar := func(zone v1alpha1.TimeZone, from, to v1alpha1.ClockTime, days ...v1alpha1.Weekday) Calendar {
		c, problems := Hours(v1alpha1.CalendarSpec{TimeZone: zone, Weekly: []v1alpha1.WeeklyHours{{Days: days, From: from, To: to}}})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return c
	}
	in := func(name v1alpha1.ObjectName) *v1alpha1.ChangePolicy {
		return policy(string(name), func(p *v1alpha1.ChangePolicySpec) {
			p.ChangeWindow = &v1alpha1.ChangeWindow{CalendarRef: v1alpha1.LocalReference{Name: name}}
		})
	}
	week := []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
	time0 := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for name, test := range map[string]struct {
		calendars map[string]Calendar
		from      string
		opens     string // empty: never
		closes    string
		shown     string
	}{
		"in winter, six hours apart": {
			map[string]Calendar{"berlin": calendar("Europe/Berlin", "08:00", "18:00", week...), "york": calendar("America/New_York", "08:00", "18:00", week...)},
			"2026-02-10T00:00:00Z", "2026-02-10T13:00:00Z", "2026-02-10T17:00:00Z", "2026-02-10 14:00 CET",
		},
		"in the weeks in which they are five hours apart": {
			map[string]Calendar{"berlin": calendar("Europe/Berlin", "08:00", "18:00", week...), "york": calendar("America/New_York", "08:00", "18:00", week...)},
			"2026-03-10T00:00:00Z", "2026-03-10T12:00:00Z", "2026-03-10T17:00:00Z", "2026-03-10 13:00 CET",
		},
		"they have no hour in common": {
			map[string]Calendar{"berlin": calendar("Europe/Berlin", "06:00", "08:00", week...), "york": calendar("America/New_York", "08:00", "18:00", week...)},
			"2026-02-10T00:00:00Z", "", "", "",
		},
		"across midnight, on the days on which both begin": {
			map[string]Calendar{"berlin": calendar("Europe/Berlin", "22:00", "04:00", "Fri"), "utc": calendar("UTC", "00:00", "24:00", "Sat")},
			"2026-02-10T00:00:00Z", "2026-02-14T00:00:00Z", "2026-02-14T03:00:00Z", "2026-02-14 01:00 CET",
		},
		"across midnight and the gap, an hour shorter": {
			map[string]Calendar{"berlin": calendar("Europe/Berlin", "22:00", "04:00", "Sat")},
			"2026-03-28T12:00:00Z", "2026-03-28T21:00:00Z", "2026-03-29T02:00:00Z", "2026-03-28 22:00 CET",
		},
		"a window in the gap is not there that night": {
			map[string]Calendar{"berlin": calendar("Europe/Berlin", "02:00", "03:00", "Sun", "Mon")},
			"2026-03-28T12:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T01:00:00Z", "2026-03-30 02:00 CEST",
		},
		"the hour that comes twice is open twice": {
			map[string]Calendar{"berlin": calendar("Europe/Berlin", "02:00", "03:00", "Sun")},
			"2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25 02:00 CEST",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var all []*v1alpha1.ChangePolicy
			for calendar := range test.calendars {
				all = append(all, in(v1alpha1.ObjectName(calendar)))
			}
			slices.Reverse(all)
			rules := Merge(all, test.calendars)
			opens, ok := rules.nextOpening(v1alpha1.ChangeNormal, time0(test.from))
			if ok != (test.opens != "") {
				t.Fatalf("opens at %s (%v)", opens, ok)
			}
			if !ok {
				if w := rules.firstOpenHours(v1alpha1.ChangeNormal, time0(test.from), openHours); !w.IsZero() {
					t.Errorf("a window %v that never opens", w)
				}
				return
			}
			if _, closes := rules.openAt(v1alpha1.ChangeNormal, opens); !opens.Equal(time0(test.opens)) || !closes.Equal(time0(test.closes)) || rules.show(opens) != test.shown {
				t.Errorf("open from %s (%s) until %s", opens, rules.show(opens), closes)
			}
		})
	}
}
