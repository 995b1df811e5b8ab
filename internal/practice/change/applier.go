package change

import (
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// separated says whether the duties around a Change that the operator filed are separate, seen from who applies it.
//
// Its requester is whom the webhook heard the API server name, and by default an API server does not identify itself to
// webhooks: whoever reaches the operator's port can have a Change filed in another's name, and vote for it. But nobody
// can bring anything in past the API server, so who applies is certain. Hence the vote of who applies does not count,
// and who applies what was filed for another person needs one vote more. See docs/adr/0008.
func (g *gate) separated(c *Candidate, r *Request, rep *report) bool {
	if !c.FiledByOperator || !g.rules.SeparationOfDuties || r.User.Name == "" || c.Approval.Required == 0 || !c.Approval.Approved {
		return true
	}
	granted, required := int32(0), c.Approval.Required
	var own *v1alpha1.Vote
	for i := range c.Approval.Votes {
		switch v := &c.Approval.Votes[i]; {
		case v.Decision != v1alpha1.DecisionApprove || v.Ignored != "":
		case string(v.Approver) == r.User.Name:
			own = v
		default:
			granted++
		}
	}
	// A ServiceAccount's Change has that vote more already.
	another := c.Requester != r.User.Name && !strings.HasPrefix(c.Requester, serviceAccountPrefix)
	if another {
		required++
	}
	switch {
	case granted >= required && (own == nil || c.spokenFor(own)):
		return true
	case rep == nil:
		return false
	case own != nil:
		return rep.fail(CauseNotApproved, c.Name, "", "the vote of who applies it does not count, since it was filed by the operator: it needs the vote of another")
	default:
		return rep.fail(CauseNotApproved, c.Name, "",
			"it was filed for %s, and who applies it is another: it needs one vote more", brief(plain(c.Requester), maxShownName))
	}
}

// spokenFor says whether another vote that counts is for the group of this one.
func (c *Candidate) spokenFor(own *v1alpha1.Vote) bool {
	for i := range c.Approval.Votes {
		v := &c.Approval.Votes[i]
		if v.Approver != own.Approver && v.Group == own.Group && v.Decision == v1alpha1.DecisionApprove && v.Ignored == "" {
			return true
		}
	}
	return own.Group == ""
}
