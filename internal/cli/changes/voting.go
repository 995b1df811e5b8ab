package changes

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// ask is a vote as the command line asks for it.
type ask struct {
	decision v1alpha1.Decision
	comment  string
	// group to vote for; with groupGiven and empty: for none.
	group      string
	groupGiven bool
	// digest that the user read; empty: whatever there is now.
	digest string
}

// vote is what comes of an ask.
type vote struct {
	spec v1alpha1.ChangeApprovalSpec
	// cast: the user voted so already, and nothing is to be done.
	cast bool
	// remarks are what the user should know before confirming.
	remarks []string
}

// prepare makes the vote, or says why there can be none.
func prepare(c *v1alpha1.Change, me session.Identity, a ask) (vote, error) {
	if err := votable(c, a); err != nil {
		return vote{}, err
	}
	v := vote{spec: v1alpha1.ChangeApprovalSpec{
		ChangeRef: v1alpha1.LocalReference{Name: v1alpha1.ObjectName(c.Name)},
		Digest:    c.Status.Digest,
		Decision:  a.decision,
		Approver:  v1alpha1.UserName(me.Name),
		Comment:   a.comment,
	}}
	if earlier := voteOf(c, me.Name); earlier != nil && earlier.Decision == a.decision && !a.groupGiven {
		v.cast = true
		return v, nil
	}
	if err := undecided(c, a.decision); err != nil {
		return vote{}, err
	}
	group, remarks, err := chooseGroup(c, me, a)
	if err != nil {
		return vote{}, err
	}
	v.spec.Group, v.remarks = v1alpha1.GroupName(group), remarks
	if a.decision == v1alpha1.DecisionApprove && string(c.Spec.Requester) == me.Name {
		v.remarks = append(v.remarks, "you requested this Change yourself: where duties are separated, which is the default, your vote does not count")
	}
	return v, nil
}

// votable reports why a Change cannot be voted on in its present version; nil where it can.
func votable(c *v1alpha1.Change, a ask) error {
	if err := ended(c); err != nil {
		return err
	}
	ref := refOf(c)
	switch {
	case c.Status.Digest == "":
		return exit.New(exit.WrongState, "Change %s has no digest to vote on yet: the operator has not assessed it", ref).
			WithNext("try again in a moment; if it stays so, see whether the operator runs: kubectl get pods -n itil-system")
	case !assessed(c):
		return exit.New(exit.WrongState, "Change %s was edited, and the operator has not assessed the new version yet", ref).
			WithNext("try again in a moment, and read the new version first")
	case a.digest != "" && a.digest != c.Status.Digest:
		return exit.New(exit.WrongState, "Change %s is not what you read: its digest is %s now, and --digest says %s", ref, c.Status.Digest, screen.Line(a.digest)).
			WithNext("read it again: kubectl itil %s %s without --digest shows the present version", verbOf(a.decision), ref)
	default:
		return nil
	}
}

// assessed reports whether the digest is about the spec that is shown. A digest of a version that this plugin does not
// know is taken for the operator's word on the generation that it observed.
func assessed(c *v1alpha1.Change) bool {
	version, _, _ := strings.Cut(c.Status.Digest, ":")
	known, _, _ := strings.Cut(change.Digest(&c.Spec), ":")
	if version == known {
		return change.VerifyDigest(&c.Spec, c.Status.Digest)
	}
	return c.Status.ObservedGeneration == c.Generation
}

// ended reports a Change on which nothing can be decided any more.
func ended(c *v1alpha1.Change) error {
	ref := refOf(c)
	if c.Spec.Cancel {
		return exit.New(exit.WrongState, "Change %s is canceled", ref).WithNext("file another one: kubectl itil change new")
	}
	switch c.Status.State {
	case v1alpha1.ChangeCanceled:
		return exit.New(exit.WrongState, "Change %s is canceled", ref).WithNext("file another one: kubectl itil change new")
	case v1alpha1.ChangeClosed, v1alpha1.ChangeReview:
		return exit.New(exit.WrongState, "Change %s has ended (state %s%s)", ref, c.Status.State, outcomeOf(c)).
			WithNext("file another one: kubectl itil change new")
	case v1alpha1.ChangeRejected:
		return exit.New(exit.WrongState, "Change %s is rejected%s", ref, rejectionOf(c)).
			WithNext("its requester may edit it, which makes a new version to vote on, or file another one")
	case v1alpha1.ChangeAssess, v1alpha1.ChangeAuthorize, v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement:
	}
	return nil
}

func outcomeOf(c *v1alpha1.Change) string {
	if c.Status.Outcome == "" {
		return ""
	}
	return ", outcome " + string(c.Status.Outcome)
}

func rejectionOf(c *v1alpha1.Change) string {
	for _, r := range c.Status.RejectedDigests {
		if r.Digest != c.Status.Digest {
			continue
		}
		if r.Comment == "" {
			return " by " + screen.Line(string(r.By))
		}
		return " by " + screen.Line(string(r.By)) + `: "` + screen.Line(r.Comment) + `"`
	}
	return ""
}

// undecided reports an approval of what has all votes already. A rejection is possible until the Change has ended.
func undecided(c *v1alpha1.Change, d v1alpha1.Decision) error {
	if d != v1alpha1.DecisionApprove || !meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionApproved) {
		return nil
	}
	needed := "it has all votes that it needs"
	if a := c.Status.Approvals; a == nil || a.Required == 0 {
		needed = "it needs no votes"
	}
	return exit.New(exit.WrongState, "Change %s is approved already (state %s): %s", refOf(c), c.Status.State, needed).
		WithNext("nothing to do; to stop it: kubectl itil reject %s -m REASON", refOf(c))
}

// voteOf is the user's vote that counts for the present version; nil where there is none.
func voteOf(c *v1alpha1.Change, user string) *v1alpha1.Vote {
	if c.Status.Approvals == nil {
		return nil
	}
	for i := range c.Status.Approvals.Votes {
		v := &c.Status.Approvals.Votes[i]
		if string(v.Approver) == user && v.Ignored == "" && v.Digest == c.Status.Digest {
			return v
		}
	}
	return nil
}

// chooseGroup picks the group that the vote is for: one of the user's, of which the Change still needs a vote.
func chooseGroup(c *v1alpha1.Change, me session.Identity, a ask) (group string, remarks []string, err error) {
	needed := votersOf(c)
	if a.groupGiven {
		return givenGroup(c, me, a.group, needed)
	}
	if len(needed) == 0 {
		return "", nil, nil
	}
	mine := slices.DeleteFunc(slices.Clone(needed), func(g string) bool { return !me.In(g) })
	if len(mine) == 0 {
		return "", nil, exit.New(exit.NotPermitted, "votes on Change %s must come from %s, and you (%s) belong to %s",
			refOf(c), screen.Or(needed), me.Name, ownGroups(me)).
			WithNext("ask a member of %s to run: kubectl itil %s %s", screen.Or(needed), verbOf(a.decision), refOf(c))
	}
	missing := slices.DeleteFunc(slices.Clone(mine), func(g string) bool { return hasVoteFor(c, g) })
	chosen := append(missing, mine...)[0]
	others := slices.DeleteFunc(slices.Clone(mine), func(g string) bool { return g == chosen })
	if len(others) > 0 {
		remarks = append(remarks, "you vote for "+chosen+"; --group picks another of yours: "+screen.Or(others))
	}
	return chosen, remarks, nil
}

func givenGroup(c *v1alpha1.Change, me session.Identity, group string, needed []string) (string, []string, error) {
	switch {
	case group != "" && !me.In(group):
		return "", nil, exit.New(exit.NotPermitted, "you (%s) do not belong to group %s, but to %s", me.Name, screen.Line(group), ownGroups(me)).
			WithNext("leave --group out to vote for the group that Change %s needs", refOf(c))
	case len(needed) > 0 && !slices.Contains(needed, group):
		return group, []string{"votes must come from " + screen.Or(needed) + ": this one may not count"}, nil
	default:
		return group, nil, nil
	}
}

func votersOf(c *v1alpha1.Change) []string {
	if c.Status.Approvals == nil {
		return nil
	}
	return c.Status.Approvals.From
}

func hasVoteFor(c *v1alpha1.Change, group string) bool {
	return slices.ContainsFunc(c.Status.Approvals.Votes, func(v v1alpha1.Vote) bool {
		return v.Group == group && v.Ignored == "" && v.Decision == v1alpha1.DecisionApprove
	})
}

// ownGroups are the user's groups but for those that Kubernetes gives to everybody.
func ownGroups(me session.Identity) string {
	own := slices.DeleteFunc(slices.Clone(me.Groups), func(g string) bool { return strings.HasPrefix(g, "system:") })
	if len(own) == 0 {
		return "no group"
	}
	return screen.And(own)
}

func verbOf(d v1alpha1.Decision) string {
	if d == v1alpha1.DecisionReject {
		return "reject"
	}
	return "approve"
}

func refOf(c *v1alpha1.Change) string { return c.Namespace + "/" + c.Name }
