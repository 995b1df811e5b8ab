package change

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func needing(required int32, groups ...v1alpha1.GroupName) func(*v1alpha1.ChangePolicySpec) {
	return func(p *v1alpha1.ChangePolicySpec) {
		p.Approvals = []v1alpha1.ApprovalRule{{Risk: v1alpha1.RiskMedium, Required: required, Groups: groups}}
	}
}

func TestApproval(t *testing.T) {
	c := changeOf("c")
	robot := "system:serviceaccount:ci:bot"
	fromFlux := changeOf("c", func(c *v1alpha1.Change) { c.Spec.Requester = "system:serviceaccount:flux:apply" })
	demanding := changeOf("c", func(c *v1alpha1.Change) { c.Status.Approvals = &v1alpha1.Approvals{Required: 2} })
	type granted struct {
		Approved          bool
		At                int
		Required, Granted int32
		Missing           string
		Rejected          string
	}
	for name, test := range map[string]struct {
		change   *v1alpha1.Change
		policies []*v1alpha1.ChangePolicy
		votes    []*v1alpha1.ChangeApproval
		want     granted
	}{
		"no vote":             {want: granted{Required: 1, Missing: "1 vote"}},
		"a vote":              {votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2)}, want: granted{Approved: true, At: 2, Required: 1, Granted: 1}},
		"the requester's own": {votes: []*v1alpha1.ChangeApproval{vote(c, "alice", 2)}, want: granted{Required: 1, Missing: "1 vote"}},
		"the requester's own, where it counts": {
			policies: []*v1alpha1.ChangePolicy{policy("p", func(p *v1alpha1.ChangePolicySpec) { p.SeparationOfDuties = new(bool) })},
			votes:    []*v1alpha1.ChangeApproval{vote(c, "alice", 2)}, want: granted{Approved: true, At: 2, Required: 1, Granted: 1},
		},
		"the requester's own, where one of two policies minds": {
			policies: []*v1alpha1.ChangePolicy{policy("p", func(p *v1alpha1.ChangePolicySpec) { p.SeparationOfDuties = new(bool) }), policy("q")},
			votes:    []*v1alpha1.ChangeApproval{vote(c, "alice", 2)}, want: granted{Required: 1, Missing: "1 vote"},
		},
		"a robot's": {votes: []*v1alpha1.ChangeApproval{vote(c, robot, 2)}, want: granted{Required: 1, Missing: "1 vote"}},
		"a listed robot's": {
			policies: []*v1alpha1.ChangePolicy{policy("p", func(p *v1alpha1.ChangePolicySpec) {
				p.ServiceAccountApprovers = []v1alpha1.UserName{v1alpha1.UserName(robot)}
			})},
			votes: []*v1alpha1.ChangeApproval{vote(c, robot, 2)}, want: granted{Approved: true, At: 2, Required: 1, Granted: 1},
		},
		"a robot that one of two policies lists": {
			policies: []*v1alpha1.ChangePolicy{policy("q"), policy("p", func(p *v1alpha1.ChangePolicySpec) {
				p.ServiceAccountApprovers = []v1alpha1.UserName{v1alpha1.UserName(robot)}
			})},
			votes: []*v1alpha1.ChangeApproval{vote(c, robot, 2)}, want: granted{Required: 1, Missing: "1 vote"},
		},
		"on another version":      {votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2, onDigest(hashOf("x")))}, want: granted{Required: 1, Missing: "1 vote"}},
		"older than the Change":   {votes: []*v1alpha1.ChangeApproval{vote(c, "bob", -2)}, want: granted{Required: 1, Missing: "1 vote"}},
		"one person twice":        {policies: []*v1alpha1.ChangePolicy{policy("p", needing(2))}, votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2), vote(c, "bob", 3)}, want: granted{Required: 2, Granted: 1, Missing: "1 vote"}},
		"two people":              {policies: []*v1alpha1.ChangePolicy{policy("p", needing(2))}, votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 5), vote(c, "carol", 3)}, want: granted{Approved: true, At: 5, Required: 2, Granted: 2}},
		"of the wrong group":      {policies: []*v1alpha1.ChangePolicy{policy("p", needing(1, "sre"))}, votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2, forGroup("dev"))}, want: granted{Required: 1, Missing: "1 vote from sre"}},
		"of one of the groups":    {policies: []*v1alpha1.ChangePolicy{policy("p", needing(1, "sre", "dev"))}, votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2, forGroup("dev"))}, want: granted{Approved: true, At: 2, Required: 1, Granted: 1}},
		"two policies, one group": {policies: []*v1alpha1.ChangePolicy{policy("p", needing(2, "sre")), policy("q", needing(1, "dev"))}, votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2, forGroup("sre")), vote(c, "carol", 2, forGroup("sre"))}, want: granted{Required: 2, Granted: 1, Missing: "1 vote from dev"}},
		"two policies, both":      {policies: []*v1alpha1.ChangePolicy{policy("p", needing(1, "sre")), policy("q", needing(1, "dev"))}, votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2, forGroup("sre")), vote(c, "carol", 4, forGroup("dev"))}, want: granted{Approved: true, At: 4, Required: 1, Granted: 1}},
		"one rejects":             {votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2), vote(c, "carol", 3, reject)}, want: granted{Required: 1, Granted: 1, Rejected: "carol"}},
		"one rejects, and repents": {
			votes: []*v1alpha1.ChangeApproval{vote(c, "carol", 3, reject), vote(c, "carol", 4)}, want: granted{Required: 1, Granted: 1, Rejected: "carol"},
		},
		"a stranger rejects":         {policies: []*v1alpha1.ChangePolicy{policy("p", needing(1, "sre"))}, votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2, forGroup("sre")), vote(c, "mallory", 3, reject)}, want: granted{Approved: true, At: 2, Required: 1, Granted: 1}},
		"an old rejection counts":    {votes: []*v1alpha1.ChangeApproval{vote(c, "carol", -3, reject)}, want: granted{Required: 1, Missing: "1 vote", Rejected: "carol"}},
		"GitOps needs one more":      {change: fromFlux, votes: []*v1alpha1.ChangeApproval{vote(fromFlux, "bob", 2)}, want: granted{Required: 2, Granted: 1, Missing: "1 vote"}},
		"as many as when filed":      {change: demanding, votes: []*v1alpha1.ChangeApproval{vote(demanding, "bob", 2)}, want: granted{Required: 2, Granted: 1, Missing: "1 vote"}},
		"none needed, not yet found": {policies: []*v1alpha1.ChangePolicy{policy("p", needing(0))}, want: granted{Approved: true, At: -1000}},
		"an impossible demand":       {policies: []*v1alpha1.ChangePolicy{policy("p", needing(-1))}, votes: []*v1alpha1.ChangeApproval{vote(c, "bob", 2)}, want: granted{Required: 10, Granted: 1, Missing: "9 votes"}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.change == nil {
				test.change = c
			}
			a := Prepare(Agreed{Change: test.change, Approvals: test.votes, Rules: Merge(test.policies, nil)}).Approval
			got := granted{Approved: a.Approved, Required: a.Required, Granted: a.Granted, Missing: a.Missing}
			if a.Approved {
				got.At = int(a.At.Sub(monday).Hours())
				if a.At.IsZero() {
					got.At = -1000
				}
			}
			if a.Rejected != nil {
				got.Rejected = string(a.Rejected.By)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("approval (-want +got):\n%s\nvotes %+v", diff, a.Votes)
			}
		})
	}
}

func TestVoteStatuses(t *testing.T) {
	c := changeOf("c")
	votes := []*v1alpha1.ChangeApproval{vote(c, "bob", 1), vote(c, "bob", 2), vote(c, "alice", 1), vote(c, "carol", 1, onDigest(hashOf("x")))}
	got := map[string]v1alpha1.VoteState{}
	_, statuses := prepare(&Agreed{Change: c, Approvals: votes})
	for name, s := range statuses {
		got[name] = s.State
		if (s.Why == "") != (s.State == v1alpha1.VoteCounted) {
			t.Errorf("%s is %s because %q", name, s.State, s.Why)
		}
	}
	want := map[string]v1alpha1.VoteState{
		"c-bob-1": v1alpha1.VoteSuperseded, "c-bob-2": v1alpha1.VoteCounted, "c-alice-1": v1alpha1.VoteVoid, "c-carol-1": v1alpha1.VoteVoid,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

// A flood of votes hides none that counts, and the status shows a bounded number.
func TestManyVotes(t *testing.T) {
	c := changeOf("c")
	votes := []*v1alpha1.ChangeApproval{vote(c, "bob", 1)}
	for i := range 200 {
		votes = append(votes, vote(c, "mallory", 2+i, onDigest(hashOf("x"))))
	}
	a := Prepare(Agreed{Change: c, Approvals: votes}).Approval
	if !a.Approved || len(a.Votes) != maxVotes {
		t.Errorf("approved %v, %d votes shown", a.Approved, len(a.Votes))
	}
}
