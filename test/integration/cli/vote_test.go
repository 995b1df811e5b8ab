package cli_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const newImage = "registry.shop.example/checkout:2.4"

var _ = Describe("Voting", func() {
	var (
		namespace string
		carol     person
	)

	BeforeEach(func() {
		namespace = env.Namespace(GinkgoTB(), nil)
		carol = somebody(namespace, "carol", []string{"sre-leads", "developers"}, "itil-approver")
	})

	// awaitingVotes is a Change that alice asked for and that waits for two votes from sre-leads.
	awaitingVotes := func(ctx context.Context, name string, alter ...func(*v1alpha1.Change)) *v1alpha1.Change {
		GinkgoHelper()
		c := builder.MakeChange(namespace, name).Requester("alice").
			Target(v1alpha1.WorkloadDeployment, "checkout", newImage).
			Assessed(v1alpha1.RiskHigh).
			Alter(func(c *v1alpha1.Change) {
				c.Status.State = v1alpha1.ChangeAuthorize
				c.Status.Risk.Score = 62
				c.Status.Risk.Factors = []v1alpha1.RiskFactor{{Name: "tier", Points: 30, Why: "tier 1"}}
				c.Status.Approvals = &v1alpha1.Approvals{Required: 2, Summary: "0/2", From: []string{"sre-leads"}}
				c.Status.Diff = []v1alpha1.FieldDiff{{Path: "deployment/checkout spec.containers[app].image", From: "registry.shop.example/checkout:2.3", To: newImage}}
				for _, f := range alter {
					f(c)
				}
			}).Obj()
		record(ctx, c)
		return c
	}
	votes := func(ctx context.Context) []v1alpha1.ChangeApproval {
		GinkgoHelper()
		list := &v1alpha1.ChangeApprovalList{}
		Expect(operator.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		return list.Items
	}

	It("approves what it has shown, as whom the API server knows, for the group that is needed", func(ctx SpecContext) {
		c := awaitingVotes(ctx, "checkout-2-4")
		carol.runs(ctx, namespace, "approve", "checkout-2-4", "--yes", "--wait", "0s", "-m", "tested").expect(exit.OK,
			"Change "+namespace+"/checkout-2-4", "Requested by", "alice", "High (62 of 100)", "tier 1",
			"- registry.shop.example/checkout:2.3", "+ "+newImage, "0 of 2, from sre-leads", "carol approved Change "+namespace+"/checkout-2-4")
		cast := votes(ctx)
		Expect(cast).To(HaveLen(1))
		Expect(cast[0].Name).To(HavePrefix("checkout-2-4-"))
		Expect(cast[0].Spec).To(Equal(v1alpha1.ChangeApprovalSpec{
			ChangeRef: v1alpha1.LocalReference{Name: "checkout-2-4"}, Digest: c.Status.Digest,
			Decision: v1alpha1.DecisionApprove, Approver: "carol", Group: "sre-leads", Comment: "tested",
		}))
	})

	It("rejects, and takes NAMESPACE/NAME and what -o name prints", func(ctx SpecContext) {
		awaitingVotes(ctx, "one")
		awaitingVotes(ctx, "two")
		carol.runs(ctx, namespace, "reject", "change.itil.dev/one", "--yes", "--wait", "0s").expect(exit.OK, "carol rejected")
		carol.runs(ctx, namespace, "reject", namespace+"/two", "--yes", "--wait", "0s", "-o", "jsonpath={.spec.decision}").expect(exit.OK, "Reject")
		Expect(votes(ctx)).To(HaveLen(2))
		carol.runs(ctx, namespace, "reject", "elsewhere/two", "--yes").expect(exit.Usage, "leave one of them out")
	})

	It("tells whether the vote counts", func(ctx SpecContext) {
		awaitingVotes(ctx, "checkout-2-4")
		answer := func(state v1alpha1.VoteState, why string) (done chan struct{}) {
			done = make(chan struct{})
			before := len(votes(ctx))
			go func() {
				defer GinkgoRecover()
				defer close(done)
				Eventually(func(g Gomega) {
					cast := votes(ctx)
					g.Expect(cast).To(HaveLen(before + 1))
					for i := range cast {
						if cast[i].Status.State != "" {
							continue
						}
						cast[i].Status.State = state
						meta.SetStatusCondition(&cast[i].Status.Conditions, metav1.Condition{
							Type: v1alpha1.ConditionCounted, Status: metav1.ConditionFalse, Reason: "Void", Message: why,
						})
						g.Expect(operator.Status().Update(ctx, &cast[i])).To(Succeed())
					}
				}).WithContext(ctx).Should(Succeed())
			}()
			return done
		}
		done := answer(v1alpha1.VoteCounted, "it counts")
		carol.runs(ctx, namespace, "approve", "checkout-2-4", "--yes", "--wait", "30s").expect(exit.OK, "; it counts")
		<-done
		done = answer(v1alpha1.VoteVoid, "a ServiceAccount's vote does not count")
		carol.runs(ctx, namespace, "reject", "checkout-2-4", "--yes", "--wait", "30s").
			expect(exit.WrongState, "the vote does not count: a ServiceAccount's vote does not count")
		<-done
	})

	It("votes once, however often it is told to", func(ctx SpecContext) {
		awaitingVotes(ctx, "checkout-2-4", func(c *v1alpha1.Change) {
			c.Status.Approvals.Granted = 1
			c.Status.Approvals.Votes = []v1alpha1.Vote{{
				Approver: "carol", Group: "sre-leads", Decision: v1alpha1.DecisionApprove, Digest: c.Status.Digest, At: metav1.NewTime(builder.Epoch),
			}}
		})
		carol.runs(ctx, namespace, "approve", "checkout-2-4", "--yes").expect(exit.OK, "already; nothing to do")
		Expect(votes(ctx)).To(BeEmpty())
	})

	It("does not vote without a yes", func(ctx SpecContext) {
		c := awaitingVotes(ctx, "checkout-2-4")
		carol.runsWith(ctx, "y\n", namespace, "approve", "checkout-2-4").
			expect(exit.NotConfirmed, "no terminal to ask on", "--yes --digest "+c.Status.Digest)
		Expect(votes(ctx)).To(BeEmpty())
	})

	It("says what a user lacks", func(ctx SpecContext) {
		awaitingVotes(ctx, "checkout-2-4")
		viewer := somebody(namespace, "victor", []string{"sre-leads"}, "itil-viewer")
		viewer.runs(ctx, namespace, "approve", "checkout-2-4", "--yes").
			expect(exit.NotPermitted, "you (victor) may not vote", "verb approve on changes.itil.dev", "--clusterrole=itil-approver --user=victor")

		By("not letting in who may approve another Change only")
		env.Grant(GinkgoTB(), namespace, apiserver.User("otto"),
			apiserver.Allow("itil.dev", "changes", "get"), apiserver.Allow("itil.dev", "changeapprovals", "create"))
		somebody(namespace, "otto", nil).runs(ctx, namespace, "approve", "checkout-2-4", "--yes").expect(exit.NotPermitted, "may not vote")

		By("naming the groups")
		dave := somebody(namespace, "dave", []string{"developers"}, "itil-approver")
		dave.runs(ctx, namespace, "approve", "checkout-2-4", "--yes").
			expect(exit.NotPermitted, "must come from sre-leads", "you (dave) belong to developers", "ask a member of sre-leads")
		dave.runs(ctx, namespace, "approve", "checkout-2-4", "--yes", "--group", "sre-leads").
			expect(exit.NotPermitted, "you (dave) do not belong to group sre-leads, but to developers")
		Expect(votes(ctx)).To(BeEmpty())

		By("leaving nothing to who may not even read")
		nobody := somebody(namespace, "nobody", nil)
		nobody.runs(ctx, namespace, "approve", "checkout-2-4", "--yes").expect(exit.NotPermitted, "may not read Change", "itil-viewer")
		nobody.runs(ctx, namespace, "approve", "checkout-2-4", "--yes", "--as", "carol").expect(exit.NotPermitted, "cannot impersonate")
	})

	It("lets a group be picked, and none", func(ctx SpecContext) {
		awaitingVotes(ctx, "checkout-2-4")
		carol.runs(ctx, namespace, "approve", "checkout-2-4", "--yes", "--wait", "0s", "--group", "developers").
			expect(exit.OK, "this one may not count")
		carol.runs(ctx, namespace, "approve", "checkout-2-4", "--yes", "--wait", "0s", "--group", "").expect(exit.OK)
		var groups []v1alpha1.GroupName
		for _, v := range votes(ctx) {
			groups = append(groups, v.Spec.Group)
		}
		Expect(groups).To(ConsistOf(v1alpha1.GroupName("developers"), v1alpha1.GroupName("")))
	})

	DescribeTable("refuses what cannot be voted on", func(ctx SpecContext, alter func(*v1alpha1.Change), words ...string) {
		awaitingVotes(ctx, "checkout-2-4", alter)
		carol.runs(ctx, namespace, "approve", "checkout-2-4", "--yes").expect(exit.WrongState, words...)
		Expect(votes(ctx)).To(BeEmpty())
	},
		Entry("no digest yet", func(c *v1alpha1.Change) { c.Status.Digest = "" }, "has no digest to vote on yet", "itil-system"),
		Entry("edited since it was assessed", func(c *v1alpha1.Change) { c.Spec.Justification = "another" }, "was edited", "read the new version"),
		Entry("canceled", func(c *v1alpha1.Change) { c.Spec.Cancel = true }, "is canceled", "change new"),
		Entry("rejected", func(c *v1alpha1.Change) {
			c.Status.State = v1alpha1.ChangeRejected
			c.Status.RejectedDigests = []v1alpha1.RejectedDigest{{Digest: c.Status.Digest, By: "dave", At: metav1.NewTime(builder.Epoch), Comment: "not on Friday"}}
		}, `is rejected by dave: "not on Friday"`),
		Entry("approved", func(c *v1alpha1.Change) {
			c.Status.State = v1alpha1.ChangeScheduled
			c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionApproved, Status: metav1.ConditionTrue, Reason: "Granted", LastTransitionTime: metav1.NewTime(builder.Epoch)}}
		}, "is approved already (state Scheduled): it has all votes", "kubectl itil reject"),
		Entry("ended", func(c *v1alpha1.Change) {
			c.Status.State, c.Status.Outcome = v1alpha1.ChangeClosed, v1alpha1.OutcomeSuccessful
		}, "has ended (state Closed, outcome Successful)"),
	)

	It("votes on the version that was read, and on no other", func(ctx SpecContext) {
		c := awaitingVotes(ctx, "checkout-2-4")
		stale := "v1:" + c.Status.Digest[4:] + "0"
		carol.runs(ctx, namespace, "approve", "checkout-2-4", "--yes", "--digest", stale).
			expect(exit.WrongState, "is not what you read", c.Status.Digest)
		carol.runs(ctx, namespace, "approve", "checkout-2-4", "--yes", "--wait", "0s", "--digest", c.Status.Digest).expect(exit.OK)
	})

	It("finds no Change where there is none", func(ctx SpecContext) {
		carol.runs(ctx, namespace, "approve", "nothing", "--yes").
			expect(exit.NotFound, "there is no Change "+namespace+"/nothing", "kubectl get changes.itil.dev -n "+namespace)
	})

	It("lists what waits, and what waits for me", func(ctx SpecContext) {
		awaitingVotes(ctx, "second")
		awaitingVotes(ctx, "first", func(c *v1alpha1.Change) {
			c.Status.State = v1alpha1.ChangeScheduled
			c.Status.Window = &v1alpha1.EffectiveWindow{Start: "2199-11-23T08:00:00Z", End: "2199-11-23T12:00:00Z"}
			c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionApproved, Status: metav1.ConditionTrue, Reason: "Granted", LastTransitionTime: metav1.NewTime(builder.Epoch)}}
		})
		awaitingVotes(ctx, "over", func(c *v1alpha1.Change) { c.Status.State = v1alpha1.ChangeClosed })
		table := carol.runs(ctx, namespace, "changes").expect(exit.OK, "WAITS-FOR", "2199-11-23 08:00 UTC", "2 votes missing, from sre-leads")
		Expect(table.out).To(MatchRegexp(`(?s)first.*second`))
		Expect(table.out).NotTo(ContainSubstring("over"))
		Expect(carol.runs(ctx, namespace, "changes", "-o", "name").out).To(Equal("change.itil.dev/first\nchange.itil.dev/second\n"))
		Expect(carol.runs(ctx, namespace, "changes", "--to-approve", "-o", "name").out).To(Equal("change.itil.dev/second\n"))
		Expect(carol.runs(ctx, namespace, "changes", "--all", "-o", "jsonpath={.items[*].metadata.name}").out).To(Equal("first over second"))
		carol.runs(ctx, namespace, "changes", "-o", "yaml").expect(exit.OK, "kind: ChangeList", "kind: Change\n")
		carol.runs(ctx, namespace, "changes", "-A").expect(exit.NotPermitted, "look at one namespace")
		carol.runs(ctx, namespace, "changes", "-o", "nonsense").expect(exit.Usage, "nonsense", "wide")
		completed := carol.runs(ctx, namespace, "__complete", "approve", "f")
		Expect(completed.out).To(HavePrefix("first\n"))
	})

	It("cancels and reviews", func(ctx SpecContext) {
		alice := somebody(namespace, "alice", nil, "itil-viewer", "itil-editor")
		awaitingVotes(ctx, "one")
		alice.runs(ctx, namespace, "change", "cancel", "one").expect(exit.OK, "change.itil.dev/one canceled")
		alice.runs(ctx, namespace, "change", "cancel", "one").expect(exit.OK, "canceled already")
		c := &v1alpha1.Change{}
		Expect(operator.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "one"}, c)).To(Succeed())
		Expect(c.Spec.Cancel).To(BeTrue())

		awaitingVotes(ctx, "two", func(c *v1alpha1.Change) { c.Status.State = v1alpha1.ChangeReview })
		alice.runs(ctx, namespace, "change", "cancel", "two").expect(exit.WrongState, "awaits its review")
		alice.runs(ctx, namespace, "change", "review", "two", "--outcome", "Fine").expect(exit.Usage, "SuccessfulWithIssues")
		alice.runs(ctx, namespace, "change", "review", "two", "--outcome", "Unsuccessful", "-m", "broke").expect(exit.OK, "reviewed")
		alice.runs(ctx, namespace, "change", "review", "two", "--outcome", "Successful").expect(exit.OK, "reviewed")
		Expect(operator.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "two"}, c)).To(Succeed())
		Expect(c.Spec.Review).To(Equal(&v1alpha1.Review{Outcome: v1alpha1.OutcomeSuccessful}))
		carol.runs(ctx, namespace, "change", "cancel", "two").expect(exit.WrongState)
		awaitingVotes(ctx, "three")
		carol.runs(ctx, namespace, "change", "cancel", "three").expect(exit.NotPermitted, "cannot patch resource")
	})
})
