package change

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// maxVotes is how many votes a status shows: the newest.
const maxVotes = 50

// serviceAccountPrefix begins the user names of ServiceAccounts.
const serviceAccountPrefix = "system:serviceaccount:"

// clause demands so many votes, each from one of the groups where there are any. All clauses of a quorum must be
// satisfied.
type clause struct {
	Quorum
	// policy that demands it; empty: the defaults, or what was demanded when the Change was filed.
	policy string
}

func (c *clause) accepts(group string) bool {
	return len(c.Groups) == 0 || slices.Contains(c.Groups, group)
}

// ballot is what votes on a Change are counted by.
type ballot struct {
	// clauses of the policies; those that demand no vote are among them, since who may reject is in them too.
	clauses   []clause
	requester string
	// separation of duties: the requester's own vote does not count.
	separation bool
	// accounts are the ServiceAccounts whose votes count.
	accounts []string
	// minimum of votes, whatever the clauses demand: what was demanded when the Change was assessed with its present
	// digest, since a quorum is the stricter of the policy then and now.
	minimum int32
	// about says whether a digest is about the present spec.
	about func(digest string) bool
	// since is when the Change was created: an earlier vote was cast on another Change of its name.
	since time.Time
}

// clausesFor returns the votes that a change of this type and risk needs. Emergency changes have a rule of their own
// where the policy has one. A pre-authorised change needs no vote by the policies that pre-authorise it, as
// preauthorised says.
func (r *Rules) clausesFor(t v1alpha1.ChangeType, level v1alpha1.RiskLevel, preauthorised func(*Part) bool) []clause {
	clauses := make([]clause, 0, len(r.Parts)+1)
	for i := range r.Parts {
		p := &r.Parts[i]
		c := clause{policy: p.Policy}
		switch {
		case t == v1alpha1.ChangeEmergency && p.Emergency != nil:
			c.Quorum = *p.Emergency
		case preauthorised != nil && preauthorised(p):
		default:
			c.Quorum = p.byRisk(level)
		}
		clauses = append(clauses, c)
	}
	return clauses
}

// byRisk returns the votes that a risk needs; an unknown one counts as High.
func (p *Part) byRisk(level v1alpha1.RiskLevel) Quorum {
	switch level {
	case v1alpha1.RiskLow:
		return p.Low
	case v1alpha1.RiskMedium:
		return p.Medium
	case v1alpha1.RiskHigh:
	}
	return p.High
}

// votesNeeded is how many votes clauses come to: the greatest demand.
func votesNeeded(clauses []clause) int32 {
	var n int32
	for i := range clauses {
		n = max(n, clauses[i].Required)
	}
	return n
}

// unprovenSeparation adds a vote to each clause that demands any: a Change that a ServiceAccount asked for (GitOps)
// cannot prove that who asked and who approves are two people.
func unprovenSeparation(clauses []clause) {
	for i := range clauses {
		if clauses[i].Required > 0 {
			clauses[i].Required++
		}
	}
}

// groupDemands are the clauses that ask for votes from groups, without those that another implies, as a status holds them.
func groupDemands(clauses []clause) []v1alpha1.GroupDemand {
	var out []v1alpha1.GroupDemand
	for i := range clauses {
		c := lack{clauses[i].Required, clauses[i].Groups}
		if c.votes <= 0 || len(c.groups) == 0 {
			continue
		}
		implied := false
		for j := range clauses {
			other := lack{clauses[j].Required, clauses[j].Groups}
			implied = implied || j != i && c.within(&other) && (j < i || !other.within(&c))
		}
		if !implied {
			out = append(out, v1alpha1.GroupDemand{Required: c.votes, Groups: c.groups[:min(len(c.groups), maxDemandedGroups)]})
		}
	}
	return out[:min(len(out), maxDemands)]
}

const (
	maxDemands        = 20
	maxDemandedGroups = 10
)

// demanded are clauses again.
func demanded(demands []v1alpha1.GroupDemand) []clause {
	out := make([]clause, 0, len(demands))
	for i := range demands {
		out = append(out, clause{Quorum: Quorum{Required: demands[i].Required, Groups: demands[i].Groups}})
	}
	return out
}

// isServiceAccount says whether a user name is a ServiceAccount's.
func isServiceAccount(user string) bool { return strings.HasPrefix(user, serviceAccountPrefix) }

// count counts the votes, and says of each ChangeApproval, by name, whether it does. The result does not depend on
// their order.
func (b *ballot) count(approvals []*v1alpha1.ChangeApproval) (out Approval, statuses map[string]VoteStatus) {
	sorted := slices.SortedFunc(slices.Values(approvals), func(x, y *v1alpha1.ChangeApproval) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
	})
	out = Approval{Required: max(votesNeeded(b.clauses), b.minimum), From: b.groups()}
	newest := map[string]int{}
	var ignored []string
	for _, a := range sorted {
		why := b.ignores(&a.Spec, a.CreationTimestamp.Time)
		if why == "" && a.Spec.Decision == v1alpha1.DecisionReject && out.Rejected == nil {
			out.Rejected = &v1alpha1.RejectedDigest{
				Digest: a.Spec.Digest, By: a.Spec.Approver, At: a.CreationTimestamp, Comment: a.Spec.Comment,
			}
		}
		if why == "" {
			if earlier, voted := newest[string(a.Spec.Approver)]; voted {
				ignored[earlier] = supersededVote
			}
			newest[string(a.Spec.Approver)] = len(ignored)
		}
		ignored = append(ignored, why)
	}
	b.tally(&out, sorted, ignored)
	statuses = make(map[string]VoteStatus, len(sorted))
	for i, a := range sorted {
		statuses[a.Name] = voteStatus(ignored[i])
		out.Votes = append(out.Votes, v1alpha1.Vote{
			Approver: a.Spec.Approver, Group: string(a.Spec.Group), Decision: a.Spec.Decision, Digest: a.Spec.Digest,
			At: a.CreationTimestamp, Ignored: ignored[i],
		})
	}
	if n := len(out.Votes); n > maxVotes {
		out.Votes = out.Votes[n-maxVotes:]
	}
	return out, statuses
}

const supersededVote = "its approver voted again"

// ignores says why a vote does not count; empty: it does.
func (b *ballot) ignores(v *v1alpha1.ChangeApprovalSpec, at time.Time) string {
	approver := string(v.Approver)
	switch {
	case !b.about(v.Digest):
		return fmt.Sprintf("it is about another version of the Change (digest %s)", shortDigest(v.Digest))
	case at.Before(b.since) && v.Decision != v1alpha1.DecisionReject:
		return "it is older than this Change, and so was cast on an earlier one of this name"
	case b.separation && approver == b.requester:
		return "the requester's own vote does not count (separation of duties)"
	case isServiceAccount(approver) && !slices.Contains(b.accounts, approver):
		return "a ServiceAccount's vote does not count unless the ChangePolicy lists it in serviceAccountApprovers"
	case v.Decision != v1alpha1.DecisionApprove && v.Decision != v1alpha1.DecisionReject:
		return "its decision is neither Approve nor Reject"
	}
	for i := range b.clauses {
		if b.clauses[i].accepts(string(v.Group)) {
			return ""
		}
	}
	if len(b.clauses) == 0 {
		return ""
	}
	return brief("it is not cast for one of the groups that the ChangePolicy names: "+list(groupsOf(b.clauses)), maxIgnored)
}

const maxIgnored = 256

// tally sets what is granted, since when, and what is missing.
func (b *ballot) tally(out *Approval, sorted []*v1alpha1.ChangeApproval, ignored []string) {
	demands := append(slices.Clone(b.clauses), clause{Quorum: Quorum{Required: b.minimum}})
	short := int32(0)
	var missing []lack
	for i := range demands {
		c := &demands[i]
		var granted int32
		for j, a := range sorted {
			if ignored[j] != "" || a.Spec.Decision != v1alpha1.DecisionApprove || !c.accepts(string(a.Spec.Group)) {
				continue
			}
			granted++
			if granted == c.Required && a.CreationTimestamp.After(out.At) {
				out.At = a.CreationTimestamp.Time
			}
		}
		if lacking := c.Required - granted; lacking > 0 {
			short = max(short, lacking)
			missing = append(missing, lack{lacking, c.Groups})
		}
	}
	out.Granted = out.Required - short
	out.Missing = lackWords(missing)
	out.Approved = short == 0 && out.Rejected == nil
	if !out.Approved {
		out.At = time.Time{}
	}
}

// lack is that so many votes are missing, from some groups; no groups: from anybody.
type lack struct {
	votes  int32
	groups []string
}

// within says whether who makes up for another lack makes up for this one as well.
func (a *lack) within(b *lack) bool {
	narrower := len(a.groups) == 0 || len(b.groups) > 0 && !slices.ContainsFunc(b.groups, func(g string) bool { return !slices.Contains(a.groups, g) })
	return a.votes <= b.votes && narrower
}

// lackWords says what is missing, each vote once: "2 votes, 1 of them from sre-leads".
func lackWords(missing []lack) string {
	slices.SortFunc(missing, func(a, b lack) int {
		return cmp.Or(cmp.Compare(len(a.groups), len(b.groups)), slices.Compare(a.groups, b.groups), cmp.Compare(b.votes, a.votes))
	})
	var kept []lack
	for i := range missing {
		implied := slices.ContainsFunc(kept, func(k lack) bool { return missing[i].within(&k) }) ||
			slices.ContainsFunc(missing[i+1:], func(m lack) bool { return missing[i].within(&m) })
		if !implied {
			kept = append(kept, missing[i])
		}
	}
	anybody := ""
	var words []string
	for i := range kept {
		switch k := &kept[i]; {
		case len(k.groups) == 0:
			anybody = plural(int(k.votes), "vote") + ", "
		case anybody != "":
			words = append(words, itoa(k.votes)+" of them"+fromGroups(k.groups))
		default:
			words = append(words, plural(int(k.votes), "vote")+fromGroups(k.groups))
		}
	}
	if len(words) == 0 {
		return strings.TrimSuffix(anybody, ", ")
	}
	return anybody + strings.Join(words, " and ")
}

// groups that votes must come from, by name; empty: any.
func (b *ballot) groups() []string {
	return groupsOf(slices.DeleteFunc(slices.Clone(b.clauses), func(c clause) bool { return c.Required == 0 }))
}

func groupsOf(clauses []clause) []string {
	var groups []string
	for i := range clauses {
		groups = append(groups, clauses[i].Groups...)
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

func fromGroups(groups []string) string {
	if len(groups) == 0 {
		return ""
	}
	return " from " + brief(plain(strings.Join(groups, " or ")), maxShownText)
}

// rejectionOf returns the recorded rejection of a digest. It stays though the ChangeApproval is deleted.
func rejectionOf(recorded []v1alpha1.RejectedDigest, about func(digest string) bool) *v1alpha1.RejectedDigest {
	for i := range recorded {
		if about(recorded[i].Digest) {
			return &recorded[i]
		}
	}
	return nil
}

// VoteStatus is the status of one ChangeApproval.
type VoteStatus struct {
	State v1alpha1.VoteState
	// Why it does not count, in words; empty where it does.
	Why string
}

func voteStatus(ignored string) VoteStatus {
	switch ignored {
	case "":
		return VoteStatus{State: v1alpha1.VoteCounted}
	case supersededVote:
		return VoteStatus{State: v1alpha1.VoteSuperseded, Why: ignored}
	default:
		return VoteStatus{State: v1alpha1.VoteVoid, Why: ignored}
	}
}
