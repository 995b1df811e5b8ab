package change

import (
	"strings"
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func TestSeparatedFromWhoApplies(t *testing.T) {
	const account = "system:serviceaccount:flux-system:kustomize-controller"
	votes := func(names ...v1alpha1.UserName) []v1alpha1.Vote {
		var out []v1alpha1.Vote
		for _, n := range names {
			out = append(out, v1alpha1.Vote{Approver: n, Decision: v1alpha1.DecisionApprove})
		}
		return out
	}
	grouped := func(votes ...string) []v1alpha1.Vote {
		var out []v1alpha1.Vote
		for _, text := range votes {
			name, group, _ := strings.Cut(text, "/")
			out = append(out, v1alpha1.Vote{Approver: v1alpha1.UserName(name), Group: group, Decision: v1alpha1.DecisionApprove})
		}
		return out
	}
	for name, test := range map[string]struct {
		requester, applier string
		votes              []v1alpha1.Vote
		required           int32
		byHand, together   bool
		want               bool
	}{
		"as it should be":                              {requester: "alice", applier: "alice", votes: votes("carol"), required: 1, want: true},
		"forged for alice by mallory, who votes":       {requester: "alice", applier: "mallory", votes: votes("mallory"), required: 1},
		"forged, and another voted too":                {requester: "alice", applier: "mallory", votes: votes("mallory", "carol"), required: 1},
		"forged, brought in by GitOps":                 {requester: "alice", applier: account, votes: votes("mallory"), required: 1},
		"another applies, with one vote more":          {requester: "alice", applier: "bob", votes: votes("carol", "dave"), required: 1, want: true},
		"a GitOps controller's own":                    {requester: account, applier: account, votes: votes("carol", "dave"), required: 2, want: true},
		"a GitOps controller's, applied by its voter":  {requester: account, applier: "carol", votes: votes("carol", "dave"), required: 2},
		"a GitOps controller's, applied by a person":   {requester: account, applier: "bob", votes: votes("carol", "dave"), required: 2, want: true},
		"a voter of the group applies":                 {requester: account, applier: "carol", votes: grouped("carol/sre", "dave/dev", "erin/dev"), required: 2},
		"another voted for that group":                 {requester: account, applier: "carol", votes: grouped("carol/sre", "dave/sre", "erin/dev"), required: 2, want: true},
		"no vote is needed":                            {requester: "alice", applier: "bob", want: true},
		"filed by hand: the API server says by whom":   {requester: "alice", applier: "mallory", votes: votes("mallory"), required: 1, byHand: true, want: true},
		"where the policy does not ask for separation": {requester: "alice", applier: "mallory", votes: votes("mallory"), required: 1, together: true, want: true},
		"afterwards, when nobody applies":              {requester: "alice", votes: votes("mallory"), required: 1, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Candidate{Name: "c", Requester: test.requester, FiledByOperator: !test.byHand}
			c.Approval = Approval{Approved: true, Required: test.required, Granted: test.required, Votes: test.votes}
			g := &gate{rules: &Rules{SeparationOfDuties: !test.together}}
			r := &Request{User: User{Name: test.applier}}
			if got := g.separated(c, r, nil); got != test.want {
				t.Errorf("separated %t, want %t", got, test.want)
			}
			rep := &report{}
			if got := g.separated(c, r, rep); got != test.want || (len(rep.causes) == 0) != test.want {
				t.Errorf("with reasons %t: %+v", got, rep.causes)
			}
		})
	}
}
