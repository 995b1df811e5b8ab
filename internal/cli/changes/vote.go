package changes

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// defaultVoteWait is how long a voter waits to be told whether the vote counts.
const defaultVoteWait = 5 * time.Second

// voter casts votes: it is all that approve and reject share.
type voter struct {
	factory *session.Factory
	output  *output.Flags
	ask     ask
	yes     bool
	wait    time.Duration
}

func newVoter(f *session.Factory, d v1alpha1.Decision) *voter {
	return &voter{factory: f, output: output.ForWrite(f.Scheme), ask: ask{decision: d}, wait: defaultVoteWait}
}

// command completes a command by what approve and reject share.
func (v *voter) command(cmd *cobra.Command) *cobra.Command {
	cmd.Args = args.Exactly("NAME (or NAMESPACE/NAME)")
	cmd.ValidArgsFunction = complete.Names(v.factory, newChangeList, isOpenChange)
	flags := cmd.Flags()
	flags.StringVarP(&v.ask.comment, "message", "m", "", "Comment for the record.")
	flags.StringVar(&v.ask.group, "group", "", "The group that you vote for. Default: the first of yours of which the Change needs a vote. Empty: for none.")
	flags.StringVar(&v.ask.digest, "digest", "", "Vote on exactly this version, and not if the Change was edited since you read it.")
	flags.BoolVarP(&v.yes, "yes", "y", false, "Do not ask for confirmation.")
	flags.DurationVar(&v.wait, "wait", v.wait, "How long to wait to be told whether the vote counts; 0s: not at all.")
	v.output.AddTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		v.ask.groupGiven = cmd.Flags().Changed("group")
		if err := v.output.Check(); err != nil {
			return err
		}
		return v.run(cmd.Context(), names[0])
	}
	return cmd
}

func (v *voter) run(ctx context.Context, name string) error {
	s, err := v.factory.Connect()
	if err != nil {
		return err
	}
	ref, err := s.Ref(name)
	if err != nil {
		return err
	}
	me, err := s.WhoAmI(ctx)
	if err != nil {
		return err
	}
	c := &v1alpha1.Change{}
	if err := s.Read(ctx, ref, c, "Change", "changes"); err != nil {
		return err
	}
	if err := v.permitted(ctx, s, me, c); err != nil {
		return err
	}
	plan, err := prepare(c, me, v.ask)
	if err != nil {
		return err
	}
	if plan.cast {
		s.Screen.Notef("You (%s) did %s this version of Change %s already; nothing to do.", me.Name, verbOf(v.ask.decision), refOf(c))
		return nil
	}
	releases, err := releasesOf(ctx, s, c)
	if err != nil {
		return err
	}
	if err := v.confirm(s, c, releases, plan); err != nil {
		return err
	}
	return v.cast(ctx, s, c, plan)
}

// permitted asks the API server whether the user may vote, before anybody reads a page for nothing.
func (v *voter) permitted(ctx context.Context, s *session.Session, me session.Identity, c *v1alpha1.Change) error {
	for _, right := range []struct{ verb, resource, name string }{
		{v1alpha1.VerbApprove, "changes", c.Name},
		{"create", "changeapprovals", ""},
	} {
		allowed, err := s.May(ctx, right.verb, right.resource, c.Namespace, right.name)
		if err != nil {
			return err
		}
		if !allowed {
			return exit.New(exit.NotPermitted, "you (%s) may not vote on Change %s: it needs the verb %s on %s.itil.dev in namespace %s",
				me.Name, refOf(c), right.verb, right.resource, c.Namespace).
				WithNext("ask an administrator for: kubectl create rolebinding itil-approver-%s -n %s --clusterrole=itil-approver --user=%s",
					c.Name, c.Namespace, me.Name)
		}
	}
	return nil
}

// confirm shows what is voted on, and asks.
func (v *voter) confirm(s *session.Session, c *v1alpha1.Change, releases []v1alpha1.Release, plan vote) error {
	page := approversPage(c, releases, s.Now(), s.Screen.Palette)
	to := s.Screen.Out
	if !v.output.ForPeople() {
		to = s.Screen.ErrOut
	}
	if _, err := page.WriteTo(to); err != nil {
		return err
	}
	for _, remark := range plan.remarks {
		s.Screen.Notef("%s %s", s.Screen.Palette.Paint(screen.Warn, "Note:"), screen.Line(remark))
	}
	if v.yes {
		return nil
	}
	voteFor := ""
	if plan.spec.Group != "" {
		voteFor = " for " + screen.Line(string(plan.spec.Group))
	}
	question := fmt.Sprintf("\n%s Change %s, version %s, as %s%s?", v.ask.decision, refOf(c), screen.Short(plan.spec.Digest), screen.Line(string(plan.spec.Approver)), voteFor)
	return s.Screen.Confirm(question, fmt.Sprintf("to vote without being asked: kubectl itil %s %s --yes --digest %s", verbOf(v.ask.decision), refOf(c), c.Status.Digest))
}

// cast creates the ChangeApproval, and says what came of it.
func (v *voter) cast(ctx context.Context, s *session.Session, c *v1alpha1.Change, plan vote) error {
	approval := &v1alpha1.ChangeApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, GenerateName: c.Name + "-"},
		Spec:       plan.spec,
	}
	if err := s.Create(ctx, approval); err != nil {
		return session.Refused(err, "voting on Change "+refOf(c))
	}
	if counted, ok := session.Await(ctx, s, &v1alpha1.ChangeApprovalList{}, approval, v.wait, hasState); ok {
		approval = counted
	}
	if !v.output.ForPeople() {
		return v.output.Object(s.Screen.Out, approval)
	}
	if err := s.Screen.Printf("%s\n", votedLine(c, approval)); err != nil {
		return err
	}
	if approval.Status.State == v1alpha1.VoteVoid {
		return exit.New(exit.WrongState, "the vote does not count: %s", screen.Line(whyVoid(approval))).WithNext("%s", approval.Status.NextStep)
	}
	return nil
}

func votedLine(c *v1alpha1.Change, approval *v1alpha1.ChangeApproval) string {
	done := map[v1alpha1.Decision]string{v1alpha1.DecisionApprove: "approved", v1alpha1.DecisionReject: "rejected"}[approval.Spec.Decision]
	line := fmt.Sprintf("%s %s Change %s (vote %s)", screen.Line(string(approval.Spec.Approver)), done, refOf(c), approval.Name)
	switch approval.Status.State {
	case v1alpha1.VoteCounted:
		return line + "; it counts"
	case v1alpha1.VoteVoid, v1alpha1.VoteSuperseded:
		return line
	default:
		return line + "; whether it counts: kubectl get chga -n " + c.Namespace + " " + approval.Name
	}
}

func hasState(approval *v1alpha1.ChangeApproval) bool { return approval.Status.State != "" }

func whyVoid(approval *v1alpha1.ChangeApproval) string {
	if counted := meta.FindStatusCondition(approval.Status.Conditions, v1alpha1.ConditionCounted); counted != nil {
		return counted.Message
	}
	return "the operator does not say why"
}

func newChangeList() client.ObjectList { return &v1alpha1.ChangeList{} }

func isOpenChange(object client.Object) bool {
	c, ok := object.(*v1alpha1.Change)
	return ok && !isEnded(c)
}
