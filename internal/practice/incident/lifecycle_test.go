package incident_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// ticket is an incident with its clock: it is evaluated whenever something is done to it, and when it asked to be.
type ticket struct {
	t     *testing.T
	i     v1alpha1.Incident
	facts incident.Facts
	now   time.Time
	next  time.Time
	told  []string
}

// aTicket is one that the detector opened at t0 about Deployment web, which fails since a minute.
func aTicket(t *testing.T) *ticket {
	t.Helper()
	k := emptyTicket(t)
	ref := incident.Reference(web)
	k.i.Spec.Source, k.i.Spec.WorkloadRef, k.i.Spec.Title = v1alpha1.IncidentSourceDetector, &ref, "web: it fails"
	d, _ := incident.Correlate(incident.Detected{}, found(oom(-minute)), subject(), t0)
	k.i.Status = d.Into(k.i.Status)
	k.evaluate()
	return k
}

func emptyTicket(t *testing.T) *ticket {
	t.Helper()
	k := &ticket{t: t, now: t0, facts: incident.Facts{Rules: incident.DefaultRules()}}
	k.i.ObjectMeta = metav1.ObjectMeta{Namespace: "shop", Name: "web-1", CreationTimestamp: metav1.NewTime(t0), Generation: 1}
	return k
}

func (k *ticket) evaluate() {
	k.t.Helper()
	d := incident.Evaluate(&k.i, k.facts, k.now)
	before := k.i.Status.State
	k.i.Status, k.next = d.Status, d.Next
	for _, e := range d.Events {
		k.told = append(k.told, e.Reason)
	}
	if err := permitted(before, k.i.Status.State, k.i.Spec); err != "" {
		k.t.Error(err)
	}
	again := incident.Evaluate(&k.i, k.facts, k.now)
	if diff := cmp.Diff(k.i.Status, again.Status, cmpopts.EquateEmpty()); diff != "" || len(again.Events) > 0 {
		k.t.Errorf("a second evaluation decides otherwise: %v %s", again.Events, diff)
	}
	if !d.Next.IsZero() && !d.Next.After(k.now) {
		k.t.Errorf("the next evaluation is at %s, now is %s", d.Next, k.now)
	}
}

// pass lets time pass, with the evaluations that were asked for.
func (k *ticket) pass(by time.Duration) *ticket {
	k.t.Helper()
	end := k.now.Add(by)
	for range 100 {
		if k.next.IsZero() || k.next.After(end) {
			k.now = end
			return k
		}
		k.now = k.next
		k.evaluate()
	}
	k.t.Fatal("it never comes to rest")
	return k
}

// do lets a person edit the spec.
func (k *ticket) do(edit func(*v1alpha1.IncidentSpec)) *ticket {
	k.t.Helper()
	edit(&k.i.Spec)
	k.i.Generation++
	k.evaluate()
	return k
}

// see lets the detector write what it sees.
func (k *ticket) see(r incident.Result) *ticket {
	k.t.Helper()
	s := subject()
	s.Resolved = k.i.Status.State == v1alpha1.IncidentResolved
	d, _ := incident.Correlate(incident.DetectedOf(&k.i.Status), r, s, k.now)
	k.i.Status = d.Into(k.i.Status)
	k.evaluate()
	return k
}

// seeWell lets the workload be well since now; the detector sees it half a minute later.
func (k *ticket) seeWell() *ticket {
	k.t.Helper()
	since := k.now
	k.pass(30 * second)
	return k.see(incident.Result{Well: incident.Wellness{Evident: true, Since: since}})
}

func (k *ticket) fail() *ticket {
	k.t.Helper()
	f := oom(0)
	f.Since, f.LastAt = k.now, k.now
	return k.see(found(f))
}

func (k *ticket) is(state v1alpha1.IncidentState) *ticket {
	k.t.Helper()
	if k.i.Status.State != state {
		k.t.Errorf("state %s, want %s", k.i.Status.State, state)
	}
	return k
}

func (k *ticket) code() v1alpha1.ResolutionCode {
	if k.i.Status.Resolution == nil {
		return ""
	}
	return k.i.Status.Resolution.Code
}

func (k *ticket) condition(kind string) (status metav1.ConditionStatus, reason string) {
	c := meta.FindStatusCondition(k.i.Status.Conditions, kind)
	if c == nil {
		return "", ""
	}
	return c.Status, c.Reason
}

func assign(s *v1alpha1.IncidentSpec) { s.Assignee = "alice" }

func hold(reason v1alpha1.HoldReason) func(*v1alpha1.IncidentSpec) {
	return func(s *v1alpha1.IncidentSpec) {
		s.Hold = &v1alpha1.Hold{Reason: reason, Comment: "which basket?"}
		s.Reporter = "bob"
	}
}

func resume(s *v1alpha1.IncidentSpec) { s.Hold = nil }

func resolve(code v1alpha1.ResolutionCode, notes string) func(*v1alpha1.IncidentSpec) {
	return func(s *v1alpha1.IncidentSpec) { s.Resolution = &v1alpha1.Resolution{Code: code, Notes: notes} }
}

func TestLife(t *testing.T) {
	t.Run("acknowledged, held, taken up, recovered, closed", func(t *testing.T) {
		k := aTicket(t).is("New")
		k.pass(minute).do(assign).is("InProgress")
		k.pass(minute).do(hold(v1alpha1.HoldAwaitingVendor)).is("OnHold")
		k.pass(minute).do(resume).is("InProgress")
		k.pass(minute).seeWell().is("InProgress")
		k.pass(89 * second).is("InProgress")
		k.pass(second).is("Resolved")
		if got, want := k.i.Status.ResolvedAt.Time, t0.Add(4*minute); !got.Equal(want) {
			t.Errorf("restored at %s, want %s", got, want)
		}
		k.pass(72*hour - 3*minute).is("Resolved")
		k.pass(2 * minute).is("Closed")
		want := []string{"IncidentOpened", "Acknowledged", "OnHold", "Resumed", "Resolved", "Closed"}
		if diff := cmp.Diff(want, k.told); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a relapse in the hold-down", func(t *testing.T) {
		k := aTicket(t).seeWell()
		k.pass(minute).fail().is("New")
		k.pass(hour).is("New")
		k.seeWell().pass(2 * minute).is("Resolved")
		if k.i.Status.Reopened != 0 {
			t.Error("it counts as reopened")
		}
	})
	t.Run("what is gone has waited already, what is well must outlast its back-off", func(t *testing.T) {
		k := aTicket(t)
		k.i.Status.RecoveryHoldSeconds = 330
		k.seeWell().pass(2 * minute).is("New")
		k.pass(4 * minute).is("Resolved")
		k = aTicket(t)
		k.i.Status.RecoveryHoldSeconds = 330
		k.see(incident.Result{Gone: true}).is("Resolved")
		if r := k.i.Status.Resolution; r == nil || r.Code != v1alpha1.ResolutionNoFault {
			t.Errorf("resolution %v, want NoFault", r)
		}
	})
	t.Run("a relapse after it was resolved", func(t *testing.T) {
		k := aTicket(t).seeWell().pass(2 * minute).is("Resolved")
		k.pass(10 * minute).fail().is("InProgress")
		if k.i.Status.Reopened != 1 || k.i.Status.ResolvedAt != nil {
			t.Errorf("reopened %d, resolved at %v", k.i.Status.Reopened, k.i.Status.ResolvedAt)
		}
		k.pass(minute).seeWell().pass(2 * minute).is("Resolved")
	})
	t.Run("resolved by a person while it fails", func(t *testing.T) {
		k := aTicket(t).do(resolve(v1alpha1.ResolutionUserGuidance, "")).is("New")
		if _, reason := k.condition(v1alpha1.ConditionRecovered); reason != "SignalsActive" {
			t.Errorf("reason %s", reason)
		}
		c := meta.FindStatusCondition(k.i.Status.Conditions, v1alpha1.ConditionRecovered)
		if !strings.Contains(c.Message, "OOMKilled of container app") || !strings.Contains(c.Message, "Workaround") {
			t.Errorf("message %q", c.Message)
		}
		k.pass(minute).seeWell().is("Resolved")
	})
	t.Run("a symptom that a person accepts", func(t *testing.T) {
		k := aTicket(t).do(resolve(v1alpha1.ResolutionWorkaround, "")).is("New")
		k.do(resolve(v1alpha1.ResolutionWorkaround, "until Monday")).is("Resolved")
		again := oom(-minute)
		again.LastAt = at(hour)
		k.pass(hour).see(found(again)).is("Resolved")
		k.pass(71*hour + minute).is("Closed")
	})
	t.Run("a symptom that a person accepted, and another", func(t *testing.T) {
		k := aTicket(t).do(resolve(v1alpha1.ResolutionWorkaround, "until Monday")).is("Resolved")
		k.pass(10 * minute)
		k.see(found(oom(-minute), incident.Finding{Reason: "ConfigInvalid", Container: "app", Since: k.now, LastAt: k.now})).is("InProgress")
		k.pass(minute).do(resolve(v1alpha1.ResolutionWorkaround, "that as well")).is("Resolved")
	})
	t.Run("a resolution that a relapse disproves is not taken again", func(t *testing.T) {
		k := aTicket(t).seeWell().do(resolve(v1alpha1.ResolutionUserGuidance, "done")).is("Resolved")
		k.pass(5 * minute).fail().is("InProgress")
		k.pass(minute).seeWell().is("InProgress")
		k.pass(2 * minute).is("Resolved")
		if got, want := k.i.Status.ResolvedAt.Time, t0.Add(6*minute+30*second); !got.Equal(want) {
			t.Errorf("resolved at %s, want %s: when it recovered", got, want)
		}
	})
	t.Run("a clock that was set back opens nothing again", func(t *testing.T) {
		k := aTicket(t).seeWell().pass(2 * minute).is("Resolved")
		resolved, told := *k.i.Status.ResolvedAt, len(k.i.Status.Timeline)
		for _, by := range []time.Duration{-hour, hour - 3*minute, minute, minute} {
			k.pass(by).evaluate()
			k.is("Resolved")
		}
		if s := &k.i.Status; s.Reopened != 0 || !s.ResolvedAt.Equal(&resolved) || len(s.Timeline) != told {
			t.Errorf("reopened %d times, resolved at %s, want %s: %v", s.Reopened, s.ResolvedAt, resolved, s.Timeline)
		}
		k.fail().is("InProgress")
	})
	t.Run("reopened by a person", func(t *testing.T) {
		k := emptyTicket(t)
		k.i.Spec = v1alpha1.IncidentSpec{Title: "slow", Source: v1alpha1.IncidentSourceUser, Reporter: "bob", ServiceRef: &v1alpha1.LocalReference{Name: "shop"}}
		k.evaluate()
		k.is("New").do(assign).do(resolve(v1alpha1.ResolutionUserGuidance, "")).is("Resolved")
		k.pass(minute).do(func(s *v1alpha1.IncidentSpec) { s.Resolution = nil }).is("InProgress")
		if _, reason := k.condition(v1alpha1.ConditionRecovered); reason != "NoSignals" {
			t.Errorf("reason %s", reason)
		}
	})
	t.Run("closed at once, for good", func(t *testing.T) {
		k := aTicket(t).seeWell().do(func(s *v1alpha1.IncidentSpec) {
			s.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionNoFault, Closed: true}
		}).is("Closed")
		k.pass(minute).do(func(s *v1alpha1.IncidentSpec) { s.Resolution = nil }).is("Closed")
		k.fail().is("Closed")
	})
	t.Run("a major incident waits for a person", func(t *testing.T) {
		k := aTicket(t).do(func(s *v1alpha1.IncidentSpec) { s.Major = true })
		if want := []string{"IncidentOpened", "MajorIncident"}; !slices.Equal(k.told, want) || k.last() != "declared a major incident ()" {
			t.Errorf("events %v, want %v; told %q", k.told, want, k.last())
		}
		k.seeWell().pass(240 * hour).is("Resolved")
		if n := len(k.i.Status.Timeline); n != 3 {
			t.Errorf("%d entries, want that it was opened, declared and resolved", n)
		}
		if !strings.Contains(k.i.Status.NextStep, "kubectl itil incident close shop/web-1") {
			t.Errorf("next step: %s", k.i.Status.NextStep)
		}
		k.do(func(s *v1alpha1.IncidentSpec) {
			s.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionSelfRecovered, Closed: true}
		}).is("Closed")
	})
	t.Run("what it waits for has come", func(t *testing.T) {
		k := aTicket(t).do(hold(v1alpha1.HoldAwaitingChange)).is("OnHold")
		k.facts.HoldOver = true
		k.evaluate()
		k.is("InProgress")
	})
	t.Run("resolved on a Friday", func(t *testing.T) {
		k := aTicket(t).pass(4*24*hour + 6*hour).seeWell().pass(2 * minute).is("Resolved") // Friday, 15:00
		k.pass(4*24*hour + 23*hour + 57*minute).is("Resolved")
		k.pass(minute).is("Closed") // Wednesday, 15:00
	})
	t.Run("kept for 90 days", func(t *testing.T) {
		k := aTicket(t).seeWell().pass(2 * minute).pass(5 * 24 * hour).is("Closed")
		end := k.i.Status.ClosedAt.Add(90 * 24 * hour)
		if d := incident.Evaluate(&k.i, k.facts, k.now); d.Expired || !d.Next.Equal(end) {
			t.Errorf("expired %t, next %s", d.Expired, d.Next)
		}
		if d := incident.Evaluate(&k.i, k.facts, end); !d.Expired {
			t.Error("it is kept for ever")
		}
	})
	t.Run("a child is resolved with its parent", func(t *testing.T) {
		k := emptyTicket(t)
		k.i.Spec = v1alpha1.IncidentSpec{Title: "slow", Source: v1alpha1.IncidentSourceUser, Reporter: "bob", ParentRef: &v1alpha1.NamespacedReference{Name: "node-1"}}
		k.evaluate()
		k.facts.ParentResolvedAt = k.now.Add(time.Second)
		k.evaluate()
		k.is("Resolved")
		child := aTicket(t)
		child.facts.ParentResolvedAt = child.now.Add(time.Second)
		child.evaluate()
		child.is("New")
	})
	t.Run("nothing is decided before the detector has said what it saw", func(t *testing.T) {
		k := emptyTicket(t)
		k.i.Spec.Source = v1alpha1.IncidentSourceDetector
		k.evaluate()
		k.is("")
	})
	t.Run("a record whose failure was over before it was told", func(t *testing.T) {
		k := emptyTicket(t)
		ref := incident.Reference(web)
		k.i.Spec.Source, k.i.Spec.WorkloadRef = v1alpha1.IncidentSourceDetector, &ref
		k.see(incident.Result{Well: incident.Wellness{Evident: true, Since: t0}}).is("New")
		k.pass(2 * minute).is("Resolved")
	})
	t.Run("a Job's failure is resolved by hand", func(t *testing.T) {
		k := aTicket(t)
		k.i.Spec.WorkloadRef = &v1alpha1.AnyWorkloadReference{Kind: "Job", Name: "report"}
		k.i.Status.Signals = []v1alpha1.Signal{{Reason: v1alpha1.SignalJobFailed, Since: stamped(0)}}
		k.do(resolve(v1alpha1.ResolutionNoFault, "was a test")).is("Resolved")
	})
}

func TestAutomaticCodes(t *testing.T) {
	baselines := []v1alpha1.Baseline{
		{TemplateHash: "v1:e", Source: v1alpha1.BaselineAudited, From: stamped(2 * minute)},
		{TemplateHash: "v1:c", Change: "web-3", Source: v1alpha1.BaselineChange, From: stamped(minute)},
		{TemplateHash: "v1:e", Source: v1alpha1.BaselineAudited, From: stamped(-hour)},
		{TemplateHash: "v1:a", Source: v1alpha1.BaselineChange, From: stamped(-2 * minute)},
		{TemplateHash: "v1:b", Source: v1alpha1.BaselineAdopted, From: stamped(-100 * hour)},
	}
	for name, test := range map[string]struct {
		failed, recovered string
		result            incident.Result
		off               bool
		want              v1alpha1.ResolutionCode
	}{
		"the same template":    {"v1:a", "v1:a", well(0), false, v1alpha1.ResolutionSelfRecovered},
		"a new template":       {"v1:a", "v1:c", well(0), false, v1alpha1.ResolutionFixedByChange},
		"one without a record": {"v1:a", "v1:d", well(0), false, v1alpha1.ResolutionFixedByChange},
		"one that ran before":  {"v1:a", "v1:b", well(0), false, v1alpha1.ResolutionRolledBack},
		"an undo by hand":      {"v1:a", "v1:e", well(0), false, v1alpha1.ResolutionRolledBack},
		"an undo of what is not governed": {
			"v1:a", "v1:d", incident.Result{Well: incident.Wellness{Evident: true, Since: t0, TemplateSince: incident.SecondOf(at(-hour))}}, false, v1alpha1.ResolutionRolledBack,
		},
		"a fix of what is not governed": {
			"v1:a", "v1:d", incident.Result{Well: incident.Wellness{Evident: true, Since: t0, TemplateSince: incident.SecondOf(t0)}}, false, v1alpha1.ResolutionFixedByChange,
		},
		"deleted":      {"v1:a", "", incident.Result{Gone: true}, false, v1alpha1.ResolutionNoFault},
		"switched off": {"v1:a", "v1:a", incident.Result{}, true, v1alpha1.ResolutionNoFault},
		"no template":  {"", "", well(0), false, v1alpha1.ResolutionSelfRecovered},
	} {
		t.Run(name, func(t *testing.T) {
			s := subject()
			s.TemplateHash = test.failed
			d, _ := incident.Correlate(incident.Detected{}, found(oom(-minute)), s, t0)
			s.TemplateHash, s.SwitchedOff = test.recovered, test.off
			d, _ = incident.Correlate(d, test.result, s, at(minute))
			k := aTicket(t)
			k.facts.Baselines = baselines
			k.now = at(minute)
			k.i.Status = d.Into(k.i.Status)
			k.evaluate()
			k.pass(5 * minute).is("Resolved")
			if k.code() != test.want {
				t.Errorf("code %s, want %s", k.code(), test.want)
			}
		})
	}
}

func TestPriority(t *testing.T) {
	levels := []v1alpha1.Level{v1alpha1.LevelHigh, v1alpha1.LevelMedium, v1alpha1.LevelLow}
	want := [3][3]v1alpha1.Priority{{"P1", "P2", "P3"}, {"P2", "P3", "P4"}, {"P3", "P4", "P5"}}
	for i, impact := range levels {
		for u, urgency := range levels {
			if got := incident.PriorityOf(impact, urgency); got != want[i][u] {
				t.Errorf("impact %s, urgency %s: %s", impact, urgency, got)
			}
		}
	}
	k := aTicket(t)
	if k.i.Status.Priority != v1alpha1.PriorityP5 {
		t.Errorf("without a service: %s", k.i.Status.Priority)
	}
	k.facts.Service = &incident.ServiceFacts{Name: "checkout", Tier: 1, Health: v1alpha1.HealthOutage}
	k.evaluate()
	if status, reason := k.condition(v1alpha1.ConditionMajor); k.i.Status.Priority != "P1" || status != "True" || reason != "Proposed" {
		t.Errorf("an outage of tier 1: %s, major %s %s", k.i.Status.Priority, status, reason)
	}
	k.facts.Service.Health = v1alpha1.HealthOperational
	k.evaluate()
	if k.i.Status.Priority != "P1" {
		t.Errorf("ready between two crashes: %s", k.i.Status.Priority)
	}
	k.do(func(s *v1alpha1.IncidentSpec) { s.Impact, s.Urgency = "Low", "Medium" })
	if k.i.Status.Priority != "P4" || k.i.Status.Impact != "High" {
		t.Errorf("as a person declares: %s, computed %s", k.i.Status.Priority, k.i.Status.Impact)
	}
}

func TestNotesOfEventsAreBounded(t *testing.T) {
	k := aTicket(t).seeWell()
	k.i.Spec.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionNoFault, Notes: strings.Repeat("ß", 4096)}
	for _, e := range incident.Evaluate(&k.i, k.facts, k.now).Events {
		if len(e.Note) > 1024 || !utf8.ValidString(e.Note) {
			t.Errorf("a note of %d bytes", len(e.Note))
		}
	}
}

func TestTimelineIsBounded(t *testing.T) {
	k := aTicket(t)
	for range 100 {
		k.pass(minute).do(hold(v1alpha1.HoldAwaitingVendor)).pass(minute).do(resume)
	}
	timeline := k.i.Status.Timeline
	if len(timeline) != 50 || !strings.HasPrefix(timeline[0].What, "opened") || timeline[49].What != "taken up again" {
		t.Errorf("%d entries, first %q, last %q", len(timeline), timeline[0].What, timeline[len(timeline)-1].What)
	}
}

// last is the newest entry of the timeline, with who it is by.
func (k *ticket) last() string {
	e := k.i.Status.Timeline[len(k.i.Status.Timeline)-1]
	return e.What + " (" + e.By + ")"
}

func TestTimelineTellsWhoAndWhy(t *testing.T) {
	k := aTicket(t).pass(minute).do(assign)
	k.do(func(s *v1alpha1.IncidentSpec) {
		s.Hold = &v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingChange, Comment: "limit", By: "bob"}
		s.ChangeRefs = []v1alpha1.LocalReference{{Name: "web-2"}}
	})
	if got, want := k.last(), "on hold: AwaitingChange web-2: limit (bob)"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	k.facts.HoldOver = true
	k.evaluate()
	if got, want := k.last(), "taken up again: what it waited for is done (itil-operator)"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	k.facts.HoldOver = false
	k.do(resume).do(hold(v1alpha1.HoldAwaitingVendor))
	if got, want := k.last(), "on hold: AwaitingVendor: which basket? (alice)"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	k.do(resume).seeWell().pass(2 * minute).is("Resolved")
	k.facts.KnownError = &v1alpha1.KnownError{Problem: "leak", Workaround: "restart it"}
	k.pass(minute).fail()
	if got, want := k.last(), "; known error leak, workaround: restart it (itil-operator)"; !strings.HasPrefix(got, "reopened, it fails again: web: ") || !strings.HasSuffix(got, want) {
		t.Errorf("told %q, want it to end with %q", got, want)
	}
}

// TestSummaryOfWhatIsOver: of what is over, the summary says what failed last, as the reason does.
func TestSummaryOfWhatIsOver(t *testing.T) {
	k := aTicket(t).seeWell().pass(2 * minute).is("Resolved")
	k.pass(minute)
	k.see(found(incident.Finding{Reason: v1alpha1.SignalUnschedulable, Since: k.now, LastAt: k.now, Message: "0/3 nodes are available"})).is("InProgress")
	k.seeWell().pass(2 * minute).is("Resolved")
	if got, want := k.i.Status.Summary, "web: no node takes its pods: 0/3 nodes are available"; got != want {
		t.Errorf("summary %q, want %q; reason %s", got, want, k.i.Status.Reason)
	}
}

// TestFirstPriority: the health of its service is written moments after what fails is seen; that is no second fact.
func TestFirstPriority(t *testing.T) {
	worse := func(k *ticket) {
		k.facts.Service = &incident.ServiceFacts{Name: "shop", Tier: 1, Health: v1alpha1.HealthOutage}
		k.evaluate()
	}
	k := aTicket(t)
	worse(k.pass(second))
	if k.i.Status.Priority != v1alpha1.PriorityP1 || len(k.i.Status.Timeline) != 1 {
		t.Errorf("priority %s, told %q", k.i.Status.Priority, k.last())
	}
	k = aTicket(t)
	worse(k.pass(minute))
	if want := "priority P1, was P5 (impact High, urgency High) (itil-operator)"; k.last() != want {
		t.Errorf("a minute later told %q, want %q", k.last(), want)
	}
	k = aTicket(t)
	k.pass(second).do(func(s *v1alpha1.IncidentSpec) { s.Impact, s.Urgency = v1alpha1.LevelHigh, v1alpha1.LevelHigh })
	if want := "priority P1, was P5 (impact High, urgency High) (itil-operator)"; k.last() != want {
		t.Errorf("what a person declares is told as %q, want %q", k.last(), want)
	}
}

func TestNextStep(t *testing.T) {
	k := aTicket(t)
	k.i.Status.Signals[0].Pods = []string{"web-1-abcde"}
	k.facts.Service = &incident.ServiceFacts{Name: "checkout", Tier: 3, Runbook: "https://runbooks.example/checkout"}
	k.evaluate()
	for _, want := range []string{
		"kubectl itil incident assign shop/web-1",
		"kubectl -n shop logs web-1-abcde -c app --previous", "https://runbooks.example/checkout",
	} {
		if !strings.Contains(k.i.Status.NextStep, want) {
			t.Errorf("next step %q does not say %q", k.i.Status.NextStep, want)
		}
	}
	k.do(hold(v1alpha1.HoldAwaitingVendor))
	if want := "kubectl itil incident resume shop/web-1"; !strings.Contains(k.i.Status.NextStep, want) {
		t.Errorf("next step %q does not say %q", k.i.Status.NextStep, want)
	}
}
