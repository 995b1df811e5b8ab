package changes

import (
	"bytes"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

// full is a Change about which everything is known.
func full(c *v1alpha1.Change) {
	c.Spec.Summary = "Roll out checkout 2.4"
	c.Spec.Justification = "Rounds prices right.\nSee the incident."
	c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: "wrong-prices"}
	c.Spec.ExpectedDowntimeSeconds = 600
	c.Spec.Backout = &v1alpha1.Backout{Plan: "back to 2.3", Automatic: true}
	c.Spec.Targets = append(c.Spec.Targets, v1alpha1.ChangeTarget{
		Workload:     v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadCronJob, Name: "report"},
		Operations:   []v1alpha1.Operation{v1alpha1.OperationCreate},
		TemplateHash: "v1:5f3c9ab1000000000000000000000000000000000000000000000000000000aa",
	})
	c.Spec.Questionnaire = &v1alpha1.Questionnaire{Tested: v1alpha1.AnswerConfirmed, CustomerVisible: v1alpha1.AnswerNotConfirmed}
	c.Status.Digest = "v2:1111111111111111111111111111111111111111111111111111111111111111"
	c.Status.Risk.Factors = []v1alpha1.RiskFactor{
		{Name: "tier", Points: 30, Why: "tier 1"}, {Name: "dependents", Points: 12, Why: "2 hard dependents"}, {Name: "time", Points: 5, Why: "Friday evening"},
	}
	c.Status.Diff = []v1alpha1.FieldDiff{
		{Path: "deployment/checkout spec.containers[app].image", From: oldImage, To: newImage},
		{Path: "deployment/checkout spec.containers[app].env[MODE].value", From: "(hidden)", To: "(hidden)"},
		{Path: "deployment/checkout spec.hostNetwork", To: "true"},
	}
	c.Status.Conflicts = []v1alpha1.Conflict{
		{With: v1alpha1.NamespacedReference{Name: "checkout-2-3"}, Why: "it is implementing on the same workload until 20:00", Blocking: true},
		{With: v1alpha1.NamespacedReference{Namespace: "finance", Name: "ledger"}, Why: "overlaps on a hard dependency"},
	}
	voted("dave", "sre-leads")(c)
	voted("bot", "")(c)
	c.Status.Approvals.Votes[1].Ignored = "a ServiceAccount's vote does not count"
	c.Status.Approvals.Granted = 1
}

// course is what became of a Change that went wrong.
func course(c *v1alpha1.Change) {
	workload := c.Spec.Targets[0].Workload
	ago := func(minutes int) metav1.Time { return metav1.NewTime(now.Add(-time.Duration(minutes) * time.Minute)) }
	c.Status.State, c.Status.Outcome = v1alpha1.ChangeReview, v1alpha1.OutcomeUnsuccessful
	c.Status.Implementations = []v1alpha1.Implementation{
		{Workload: workload, At: ago(50), By: "alice", Rollout: v1alpha1.RolloutRolledBack},
		{Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadCronJob, Name: "report"}, At: ago(40), Rollout: v1alpha1.RolloutFailed},
	}
	c.Status.CausedIncidents = []v1alpha1.NamespacedReference{{Name: "checkout-7f3a9"}, {Namespace: "finance", Name: "ledger-1b2c3"}}
	c.Status.Backout = &v1alpha1.ChangeBackout{StartedAt: ago(30), Why: "Incident checkout-7f3a9 (P1) suspects it", Targets: []v1alpha1.ChangeBackoutTarget{
		{Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadCronJob, Name: "report"}, State: v1alpha1.ChangeBackoutNotPossible, Why: "Kubernetes keeps no revision of a CronJob"},
		{Workload: workload, To: "v1:0c2a0e61000000000000000000000000000000000000000000000000000000aa", State: v1alpha1.ChangeBackoutVerified},
	}}
	c.Status.ReviewDueAt = v1alpha1.Timestamp(now.Add(-time.Hour).Format(time.RFC3339))
	c.Status.NextStep = "Write the review."
}

func TestApproversPage(t *testing.T) {
	release := v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "autumn"}}
	release.Status.State = v1alpha1.ReleaseReady
	for name, c := range map[string]*v1alpha1.Change{
		"not assessed": awaiting("checkout-2-4", func(c *v1alpha1.Change) { c.Status = v1alpha1.ChangeStatus{} }),
		"full":         awaiting("checkout-2-4", full, window(14*time.Hour, 18*time.Hour), condition(v1alpha1.ConditionFrozen, "black-friday until 2026-11-30")),
		"scheduled":    awaiting("checkout-2-4", state(v1alpha1.ChangeScheduled), window(-time.Hour, time.Hour), func(c *v1alpha1.Change) { c.Status.NextStep = "Apply it.\nThen wait." }),
		"went wrong":   awaiting("checkout-2-4", window(-2*time.Hour, time.Hour), course, func(c *v1alpha1.Change) { c.Spec.Backout = &v1alpha1.Backout{Automatic: true} }),
		"reviewed": awaiting("checkout-2-4", window(-2*time.Hour, time.Hour), course, func(c *v1alpha1.Change) {
			c.Status.State, c.Status.ReviewDueAt, c.Status.NextStep = v1alpha1.ChangeClosed, "", ""
			c.Spec.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeUnsuccessful, Notes: "load tests first\nand then canaries"}
		}),
		"no way back": awaiting("checkout-2-4", func(c *v1alpha1.Change) {
			c.Spec.Backout = &v1alpha1.Backout{Automatic: true}
			condition(v1alpha1.ConditionBackoutPossible, "deployment/checkout: no proven template before")(c)
			c.Status.Conditions[0].Status = metav1.ConditionFalse
		}),
		"hostile": awaiting("checkout-2-4", func(c *v1alpha1.Change) {
			c.Spec.Summary = "harmless\x1b[2K\r\u202e"
			c.Spec.Justification = "a\n\x1b[1A\x1b[2Kb"
			c.Status.Diff = []v1alpha1.FieldDiff{{Path: "x\x1b[8m", To: "evil\x07"}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			var releases []v1alpha1.Release
			if name == "full" {
				releases = append(releases, release)
			}
			page := approversPage(c, releases, now, screen.Palette{})
			page.Text("Next", nextFor(c))
			golden.Compare(t, page.String())
		})
	}
	t.Run("coloured", func(t *testing.T) {
		golden.Compare(t, approversPage(awaiting("checkout-2-4", full), nil, now, screen.Palette{Colour: true}).String())
	})
}

func TestChangesTable(t *testing.T) {
	long := awaiting("frozen", state(v1alpha1.ChangeScheduled), window(time.Hour, 5*time.Hour),
		condition(v1alpha1.ConditionApproved, ""), condition(v1alpha1.ConditionFrozen, "black-friday, from 2026-11-20 to 2026-11-30, since customers buy then"))
	items := []v1alpha1.Change{
		*long,
		*awaiting("open", state(v1alpha1.ChangeImplement), window(-time.Hour, time.Hour), condition(v1alpha1.ConditionApproved, "")),
		*awaiting("rolling", state(v1alpha1.ChangeImplement), window(-time.Hour, time.Hour), condition(v1alpha1.ConditionApproved, ""), func(c *v1alpha1.Change) {
			c.Status.Implementations = []v1alpha1.Implementation{{
				Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}, Rollout: v1alpha1.RolloutInProgress,
			}}
		}),
		*awaiting("waiting"),
		*awaiting("conflict", condition(v1alpha1.ConditionApproved, ""), func(c *v1alpha1.Change) {
			c.Status.Conflicts = []v1alpha1.Conflict{{With: v1alpha1.NamespacedReference{Name: "open"}, Why: "same workload", Blocking: true}}
		}),
		*awaiting("new", func(c *v1alpha1.Change) { c.Status = v1alpha1.ChangeStatus{} }),
		*awaiting("odd", state(v1alpha1.ChangeAssess), func(c *v1alpha1.Change) { c.Status.NextStep = "Mend the Change: the window cannot be read." }),
		*awaiting("review", state(v1alpha1.ChangeReview), condition(v1alpha1.ConditionApproved, "")),
		*awaiting("closed", state(v1alpha1.ChangeClosed), func(c *v1alpha1.Change) { c.Status.Outcome = v1alpha1.OutcomeSuccessful }),
	}
	for name, wide := range map[string]bool{"narrow": false, "wide": true} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := changesTable(items, now, screen.Columns{Namespace: wide, Wide: wide}).Write(&out, screen.Palette{}); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, out.String())
		})
	}
}

func TestByWindow(t *testing.T) {
	older := awaiting("older", func(c *v1alpha1.Change) { c.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour * 50)) })
	ordered := []*v1alpha1.Change{
		awaiting("declared", func(c *v1alpha1.Change) {
			c.Spec.Window = &v1alpha1.Window{Start: "2026-11-22T19:00:00+01:00", End: "2026-11-22T20:00:00+01:00"}
		}),
		awaiting("soon", window(time.Hour, 2*time.Hour)),
		awaiting("later", window(2*time.Hour, 3*time.Hour)),
		older,
		awaiting("a"),
		awaiting("b"),
		awaiting("c", func(c *v1alpha1.Change) { c.Spec.Window = &v1alpha1.Window{Start: "nonsense", End: "x"} }),
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := byWindow(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%s to %s: %d", a.Name, b.Name, got)
			}
		}
	}
}

// TestWhoVotesIsToldWhatThereIsNoRoomFor: and which groups must vote, also where no policy of now asks for them.
func TestWhoVotesIsToldWhatThereIsNoRoomFor(t *testing.T) {
	c := awaiting("checkout-2-4", full, func(c *v1alpha1.Change) {
		c.Status.Diff = append(c.Status.Diff, v1alpha1.FieldDiff{Path: "deployment/checkout: …", To: "71 more differences"})
		c.Status.Approvals.From = []string{"security", "sre-leads"}
		condition(v1alpha1.ConditionApproved, "1/2 votes; it lacks 1 vote from security; security was asked for when it was assessed")(c)
		c.Status.Conditions[len(c.Status.Conditions)-1].Status = metav1.ConditionFalse
	})
	a := &answer{trial: &trial{}, changes: []considered{{targeted: targeted{change: c}}}}
	why := &screen.Page{}
	a.writeChanges(why)
	for name, page := range map[string]string{"show": approversPage(c, nil, now, screen.Palette{}).String(), "why": why.String()} {
		for _, want := range []string{"NOT ALL IS SHOWN: 71 more differences", "it lacks 1 vote from security; security was asked for when it was assessed"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, page)
			}
		}
	}
}

func TestWhatIsNextWhereVotesAreNotMissing(t *testing.T) {
	c := &v1alpha1.Change{}
	c.Namespace, c.Name = "shop", "stop"
	c.Status.State, c.Status.Approvals = v1alpha1.ChangeAuthorize, &v1alpha1.Approvals{Required: 1}
	c.Status.NextStep = "Not approved: it lacks an Incident that is open."
	if got, want := nextFor(c), "vote: kubectl itil approve shop/stop, or kubectl itil reject shop/stop -m REASON"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.Status.Approvals.Granted = 1
	if got := nextFor(c); got != c.Status.NextStep {
		t.Errorf("got %q, want the operator's next step", got)
	}
}
