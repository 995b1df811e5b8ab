package changes

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func TestPrepare(t *testing.T) {
	carol := session.Identity{Name: "carol", Groups: []string{"developers", "sre-leads", "system:authenticated"}}
	approve := ask{decision: v1alpha1.DecisionApprove}
	reject := ask{decision: v1alpha1.DecisionReject}
	for name, test := range map[string]struct {
		change *v1alpha1.Change
		me     session.Identity
		ask    ask
		// code and message of a refusal; else group, cast and remark of the vote.
		code    exit.Code
		message string
		group   string
		cast    bool
		remark  string
	}{
		"the first group that is needed": {change: awaiting("a"), me: carol, ask: approve, group: "sre-leads", remark: "--group picks another of yours: developers"},
		"the group that has no vote yet": {
			change: awaiting("a", voted("dave", "sre-leads")), me: carol, ask: approve,
			group: "developers", remark: "--group picks another",
		},
		"all groups have one": {
			change: awaiting("a", voted("dave", "sre-leads"), voted("erin", "developers")),
			me:     carol, ask: approve, group: "sre-leads", remark: "--group picks another",
		},
		"no group is asked for": {
			change: awaiting("a", func(c *v1alpha1.Change) { c.Status.Approvals.From = nil }), me: carol, ask: approve,
		},
		"the votes are not known yet": {
			change: awaiting("a", func(c *v1alpha1.Change) { c.Status.Approvals = nil }), me: carol, ask: approve,
		},
		"a given group":         {change: awaiting("a"), me: carol, ask: ask{decision: v1alpha1.DecisionApprove, group: "developers", groupGiven: true}, group: "developers"},
		"a group of everybody":  {change: awaiting("a"), me: carol, ask: ask{decision: v1alpha1.DecisionApprove, group: "system:authenticated", groupGiven: true}, group: "system:authenticated", remark: "may not count"},
		"another's group":       {change: awaiting("a"), me: carol, ask: ask{decision: v1alpha1.DecisionApprove, group: "cab", groupGiven: true}, code: exit.NotPermitted, message: "do not belong to group cab, but to developers and sre-leads"},
		"a user of no group":    {change: awaiting("a"), me: session.Identity{Name: "dan", Groups: []string{"system:authenticated"}}, ask: approve, code: exit.NotPermitted, message: "must come from sre-leads or developers, and you (dan) belong to no group"},
		"one's own Change":      {change: awaiting("a"), me: session.Identity{Name: "alice", Groups: []string{"developers"}}, ask: approve, group: "developers", remark: "you requested this Change yourself"},
		"rejecting one's own":   {change: awaiting("a"), me: session.Identity{Name: "alice", Groups: []string{"developers"}}, ask: reject, group: "developers"},
		"voted so already":      {change: awaiting("a", voted("carol", "sre-leads")), me: carol, ask: approve, cast: true},
		"voted otherwise":       {change: awaiting("a", voted("carol", "sre-leads")), me: carol, ask: reject, group: "developers", remark: "--group"},
		"voted on another text": {change: awaiting("a", voted("carol", "sre-leads"), func(c *v1alpha1.Change) { c.Status.Approvals.Votes[0].Digest = "v1:old" }), me: carol, ask: approve, group: "developers", remark: "--group"},
		"voted, but void":       {change: awaiting("a", voted("carol", "sre-leads"), func(c *v1alpha1.Change) { c.Status.Approvals.Votes[0].Ignored = "no" }), me: carol, ask: approve, group: "sre-leads", remark: "--group"},
		"approved already": {
			change: awaiting("a", state(v1alpha1.ChangeScheduled), condition(v1alpha1.ConditionApproved, "")), me: carol, ask: approve,
			code: exit.WrongState, message: "is approved already (state Scheduled): it has all votes that it needs",
		},
		"needs no votes": {
			change: awaiting("a", state(v1alpha1.ChangeScheduled), condition(v1alpha1.ConditionApproved, ""), func(c *v1alpha1.Change) { c.Status.Approvals.Required = 0 }),
			me:     carol, ask: approve, code: exit.WrongState, message: "it needs no votes",
		},
		"rejecting what is approved": {
			change: awaiting("a", state(v1alpha1.ChangeImplement), condition(v1alpha1.ConditionApproved, "")), me: carol, ask: reject,
			group: "sre-leads", remark: "--group",
		},
		"a digest of a later version, observed": {
			change: awaiting("a", func(c *v1alpha1.Change) { c.Status.Digest = "v2:abc" }), me: carol, ask: approve, group: "sre-leads", remark: "--group",
		},
		"a digest of a later version, not observed": {
			change: awaiting("a", func(c *v1alpha1.Change) { c.Status.Digest, c.Status.ObservedGeneration = "v2:abc", 0 }), me: carol, ask: approve,
			code: exit.WrongState, message: "was edited",
		},
		"a digest that the operator did not make of this": {
			change: awaiting("a", func(c *v1alpha1.Change) { c.Spec.Targets[0].Images["app"] = "registry.evil.example/miner:1" }), me: carol, ask: approve,
			code: exit.WrongState, message: "was edited",
		},
		"in review": {change: awaiting("a", state(v1alpha1.ChangeReview)), me: carol, ask: reject, code: exit.WrongState, message: "has ended (state Review)"},
		"canceled":  {change: awaiting("a", state(v1alpha1.ChangeCanceled)), me: carol, ask: reject, code: exit.WrongState, message: "is canceled"},
		"rejected":  {change: awaiting("a", state(v1alpha1.ChangeRejected)), me: carol, ask: reject, code: exit.WrongState, message: "is rejected"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := prepare(test.change, test.me, test.ask)
			if got := exit.CodeOf(err); got != test.code {
				t.Fatalf("code %d (%v), want %d", got, err, test.code)
			}
			if err != nil {
				if !strings.Contains(err.Error(), test.message) {
					t.Errorf("message %q does not say %q", err, test.message)
				}
				if exit.NextOf(err) == "" {
					t.Errorf("no next step after %q", err)
				}
				return
			}
			if v.cast != test.cast {
				t.Fatalf("cast %t, want %t", v.cast, test.cast)
			}
			if v.cast {
				return
			}
			want := v1alpha1.ChangeApprovalSpec{
				ChangeRef: v1alpha1.LocalReference{Name: "a"}, Digest: test.change.Status.Digest, Decision: test.ask.decision,
				Approver: v1alpha1.UserName(test.me.Name), Group: v1alpha1.GroupName(test.group),
			}
			if diff := cmp.Diff(want, v.spec); diff != "" {
				t.Errorf("vote (-want +got):\n%s", diff)
			}
			remarks := strings.Join(v.remarks, "\n")
			if !strings.Contains(remarks, test.remark) || test.remark == "" && remarks != "" {
				t.Errorf("remarks %q, want %q", remarks, test.remark)
			}
		})
	}
}
