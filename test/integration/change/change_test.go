package change_test

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func at(t time.Time) v1alpha1.Timestamp { return v1alpha1.Timestamp(t.UTC().Format(time.RFC3339)) }

var _ = Describe("a Change", func() {
	It("goes from its assessment to its outcome", func(ctx SpecContext) {
		s := open(ctx)
		begin := s.clock.Now()
		c := s.ask(ctx, func(spec *v1alpha1.ChangeSpec) {
			spec.Window = &v1alpha1.Window{Start: at(begin.Add(time.Hour)), End: at(begin.Add(3 * time.Hour))}
		})
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
		Expect(c.Status.Risk.Level).To(Equal(v1alpha1.RiskMedium))
		Expect(c.Status.Approvals.Summary).To(Equal("0/1"))
		Expect(c.Status.Diff).To(Equal([]v1alpha1.FieldDiff{{Path: "deployment/checkout: spec.containers[app].image", From: v23, To: v24}}))
		Expect(s.gate(v24).Verdict).To(Equal(practice.Denied))
		Expect(s.requeued).To(Equal(time.Hour))

		By("not counting the requester's own vote")
		c = s.vote(ctx, "own", "checkout-2-4", "alice", v1alpha1.DecisionApprove)
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
		Expect(s.stateOfVote(ctx, "own")).To(Equal(v1alpha1.VoteVoid))

		By("being approved by the command of its nextStep")
		approval := approvalIn(c.Status.NextStep)
		approval.Spec.Approver = "carol"
		approval.Name = "carol"
		s.create(ctx, approval)
		c = s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeScheduled), c.Status.NextStep)
		Expect(s.stateOfVote(ctx, "carol")).To(Equal(v1alpha1.VoteCounted))
		Expect(s.gate(v24).Verdict).To(Equal(practice.Denied))
		Expect(s.requeued).To(Equal(time.Hour))

		By("opening the gate with its window")
		s.clock.SetTime(begin.Add(time.Hour))
		c = s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeImplement))
		Expect(meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionGateOpen)).To(BeTrue())
		d := s.gate(v24)
		Expect(d.Verdict).To(Equal(practice.Covered))
		Expect(d.Change).To(Equal("checkout-2-4"))
		Expect(s.gate(v25).Verdict).To(Equal(practice.Denied))

		By("following the rollout")
		s.deploy(ctx, v24)
		s.baseline(ctx, v24, v1alpha1.BaselineChange, "checkout-2-4", "alice")
		c = s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.Implementations).To(HaveLen(1))
		Expect(c.Status.Implementations[0].Rollout).To(Equal(v1alpha1.RolloutInProgress))
		Expect(c.Status.Implementations[0].By).To(Equal("alice"))
		s.rolledOut(ctx)
		c = s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeImplement))
		Expect(c.Status.Implementations[0].Rollout).To(Equal(v1alpha1.RolloutComplete))
		Expect(s.requeued).To(Equal(time.Hour))

		By("refusing edits of what it is about from then on")
		c.Spec.Summary = "something else"
		Expect(env.Admin().Update(ctx, c)).To(MatchError(ContainSubstring("this Change is being implemented")))

		s.clock.SetTime(begin.Add(2 * time.Hour))
		c = s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeClosed))
		Expect(c.Status.Outcome).To(Equal(v1alpha1.OutcomeSuccessful))
		Expect(s.told()).To(ContainElements(
			ContainSubstring("VotesNeeded"), ContainSubstring("Void"), ContainSubstring("Scheduled"), ContainSubstring("GateOpen"),
			ContainSubstring("WentIn"), ContainSubstring("Closed"), ContainSubstring("Outcome"),
		))
	})

	It("loses its votes when it is edited, visibly", func(ctx SpecContext) {
		s := open(ctx)
		s.ask(ctx, nil)
		c := s.vote(ctx, "carol", "checkout-2-4", "carol", v1alpha1.DecisionApprove)
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeImplement))
		Expect(s.gate(v24).Verdict).To(Equal(practice.Covered))
		approved := c.Status.Digest

		c = s.edit(ctx, "checkout-2-4", func(spec *v1alpha1.ChangeSpec) { spec.Targets[0].Images["app"] = v25 })
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
		Expect(c.Status.Digest).NotTo(Equal(approved))
		Expect(meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionApproved).Reason).To(Equal("VotesVoided"))
		Expect(s.stateOfVote(ctx, "carol")).To(Equal(v1alpha1.VoteVoid))
		Expect(s.gate(v24).Verdict).To(Equal(practice.Denied))
		Expect(s.gate(v25).Verdict).To(Equal(practice.Denied))
		Expect(s.told()).To(ContainElement(ContainSubstring("Edited")))

		c = s.vote(ctx, "carol-again", "checkout-2-4", "carol", v1alpha1.DecisionApprove)
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeImplement))
		Expect(s.gate(v25).Verdict).To(Equal(practice.Covered))
		Expect(s.gate(v24).Verdict).To(Equal(practice.Denied))
	})

	It("stays rejected though the vote is deleted", func(ctx SpecContext) {
		s := open(ctx)
		s.ask(ctx, nil)
		s.vote(ctx, "carol", "checkout-2-4", "carol", v1alpha1.DecisionApprove)
		c := s.vote(ctx, "dave", "checkout-2-4", "dave", v1alpha1.DecisionReject)
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeRejected))
		Expect(s.gate(v24).Verdict).To(Equal(practice.Denied))

		vote := &v1alpha1.ChangeApproval{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "dave"}, vote)).To(Succeed())
		Expect(env.Admin().Delete(ctx, vote)).To(Succeed())
		c = s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeRejected))
		Expect(c.Status.RejectedDigests).To(HaveLen(1))
		Expect(s.gate(v24).Verdict).To(Equal(practice.Denied))

		By("being another version after an edit")
		c = s.edit(ctx, "checkout-2-4", func(spec *v1alpha1.ChangeSpec) { spec.Justification = "the customer insists" })
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
	})

	It("may go in for a day after its approval where it has no window", func(ctx SpecContext) {
		s := open(ctx)
		c := s.ask(ctx, nil)
		Expect(c.Status.Window).To(BeNil())
		c = s.vote(ctx, "carol", "checkout-2-4", "carol", v1alpha1.DecisionApprove)
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeImplement))
		start, end := mustParse(c.Status.Window.Start), mustParse(c.Status.Window.End)
		Expect(end.Sub(start)).To(Equal(24 * time.Hour))
		Expect(start).To(BeTemporally("~", s.clock.Now(), 6*time.Minute))
		Expect(s.requeued).To(Equal(end.Sub(s.clock.Now())))

		s.clock.SetTime(end)
		c = s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeClosed))
		Expect(c.Status.Outcome).To(Equal(v1alpha1.OutcomeNotImplemented))
		Expect(s.gate(v24).Verdict).To(Equal(practice.Denied))
	})

	It("to make a workload has the risk of whoever may claim it", func(ctx SpecContext) {
		s := open(ctx)
		c := s.ask(ctx, func(spec *v1alpha1.ChangeSpec) {
			spec.Targets[0].Workload.Name = "worker"
			spec.Targets[0].Operations = []v1alpha1.Operation{v1alpha1.OperationCreate}
		})
		var names []string
		for _, f := range c.Status.Risk.Factors {
			names = append(names, f.Name)
		}
		Expect(names).To(ContainElements("Tier", "Operation"))
		Expect(c.Status.Risk.Level).To(Equal(v1alpha1.RiskHigh))
	})

	It("is loud when its review is overdue, and nothing else", func(ctx SpecContext) {
		s := open(ctx)
		s.deploy(ctx, v24)
		s.baseline(ctx, v24, v1alpha1.BaselineBreakGlass, "", "mallory")
		_, err := s.records.Reconcile(ctx, s.key())
		Expect(err).NotTo(HaveOccurred())
		name := s.all(ctx)[0].Name
		c := s.reconcile(ctx, name)
		Expect(meta.IsStatusConditionFalse(c.Status.Conditions, v1alpha1.ConditionReviewOverdue)).To(BeTrue())
		due := mustParse(c.Status.ReviewDueAt)
		Expect(due.Sub(s.clock.Now())).To(Equal(72 * time.Hour))
		Expect(s.requeued).To(Equal(72 * time.Hour))
		s.clock.SetTime(due)
		c = s.reconcile(ctx, name)
		Expect(meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReviewOverdue)).To(BeTrue())
		Expect(c.Status.NextStep).To(HavePrefix("Overdue since "))
		Expect(s.told()).To(ContainElement(ContainSubstring("ReviewOverdue")))
		s.clock.SetTime(due.Add(time.Hour))
		s.reconcile(ctx, name)
		Expect(s.told()).NotTo(ContainElement(ContainSubstring("ReviewOverdue")), "once")
		c = s.edit(ctx, name, func(spec *v1alpha1.ChangeSpec) { spec.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeSuccessful} })
		Expect(c.Status.ReviewDueAt).To(BeEmpty())
		Expect(meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReviewOverdue)).To(BeNil())
	})

	It("is undone by a rollback, and covers nothing any more", func(ctx SpecContext) {
		s := open(ctx)
		s.ask(ctx, nil)
		s.vote(ctx, "carol", "checkout-2-4", "carol", v1alpha1.DecisionApprove)
		s.deploy(ctx, v24)
		s.baseline(ctx, v24, v1alpha1.BaselineChange, "checkout-2-4", "alice")
		s.reconcile(ctx, "checkout-2-4")
		d := s.gate(v23)
		Expect(d.Verdict).To(Equal(practice.Rollback))
		Expect(d.Change).To(Equal("checkout-2-4"))
		s.deploy(ctx, v23)
		s.baseline(ctx, v23, v1alpha1.BaselineRollback, "checkout-2-4", "alice")
		Expect(s.gate(v24).Verdict).To(Equal(practice.Denied), "before the Change's own status tells of it")
		c := s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeReview))
		Expect(c.Status.Outcome).To(Equal(v1alpha1.OutcomeRolledBack))
		Expect(s.gate(v24).Verdict).To(Equal(practice.Denied))

		c = s.edit(ctx, "checkout-2-4", func(spec *v1alpha1.ChangeSpec) {
			spec.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeRolledBack, Notes: "the cache had no bound"}
		})
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeClosed))
		Expect(c.Status.NextStep).To(ContainSubstring("Problem"))
	})

	It("is Unsuccessful when a grave Incident suspects it", func(ctx SpecContext) {
		s := open(ctx)
		s.goesIn(ctx)
		Expect(s.reconcile(ctx, "checkout-2-4").Status.Outcome).To(BeEmpty())
		incident := s.suspects(ctx, "checkout-down", "checkout-2-4", v1alpha1.ConfidenceHigh)
		var c *v1alpha1.Change
		Eventually(func() v1alpha1.Outcome { c = s.reconcile(ctx, "checkout-2-4"); return c.Status.Outcome }).Should(Equal(v1alpha1.OutcomeUnsuccessful))
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeReview))
		Expect(c.Status.CausedIncidents).To(HaveLen(1))

		By("the Incident suspecting another Change")
		incident.Status.SuspectedChange.Name = "checkout-2-5"
		Expect(env.Admin().Status().Update(ctx, incident)).To(Succeed())
		Eventually(func() []v1alpha1.NamespacedReference {
			c = s.reconcile(ctx, "checkout-2-4")
			return c.Status.CausedIncidents
		}).Should(BeEmpty())
		Expect(c.Status.Outcome).To(BeEmpty(), "it is watched again")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeImplement))
	})

	It("keeps what it caused when the Incident is deleted", func(ctx SpecContext) {
		s := open(ctx)
		s.goesIn(ctx)
		incident := s.suspects(ctx, "checkout-slow", "checkout-2-4", v1alpha1.ConfidenceLow)
		caused := func() []v1alpha1.NamespacedReference { return s.reconcile(ctx, "checkout-2-4").Status.CausedIncidents }
		Eventually(caused).Should(HaveLen(1))
		Expect(env.Admin().Delete(ctx, incident)).To(Succeed())
		Eventually(func() error {
			return s.cluster.GetClient().Get(ctx, client.ObjectKeyFromObject(incident), &v1alpha1.Incident{})
		}).ShouldNot(Succeed())
		Expect(caused()).To(HaveLen(1))
		Expect(s.reconcile(ctx, "checkout-2-4").Status.Outcome).To(Equal(v1alpha1.OutcomeUnsuccessful))
	})
})

var _ = Describe("a denial", func() {
	It("files one Change for fifty tries", func(ctx SpecContext) {
		s := open(ctx)
		var name string
		for range 50 {
			d := s.gate(v24)
			Expect(d.Verdict).To(Equal(practice.Denied))
			name = d.Change
			if d.File != nil {
				s.filer.File(*d.File)
			}
		}
		Eventually(func() int { return len(s.all(ctx)) }).Should(Equal(1))
		c := s.reconcile(ctx, name)
		Expect(c.Spec.Requester).To(BeEquivalentTo("alice"))
		Expect(c.Spec.Targets[0].Images).To(HaveKeyWithValue("app", v1alpha1.Image(v24)))
		Expect(c.Spec.Targets[0].TemplateHash).NotTo(BeEmpty())
		Expect(c.Labels).To(HaveKeyWithValue(v1alpha1.LabelWorkloadKind, "Deployment"))
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
		Expect(s.gate(v24).File).To(BeNil(), "it exists")
		Consistently(func() int { return len(s.all(ctx)) }, time.Second).Should(Equal(1))

		By("letting the next try in once it is approved")
		c = s.vote(ctx, "carol", name, "carol", v1alpha1.DecisionApprove)
		for i := int32(1); i < c.Status.Approvals.Required; i++ {
			c = s.vote(ctx, fmt.Sprintf("voter-%d", i), name, fmt.Sprintf("voter-%d", i), v1alpha1.DecisionApprove)
		}
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeImplement), c.Status.NextStep)
		Expect(s.gate(v24).Verdict).To(Equal(practice.Covered))
	})

	It("supersedes what was filed before for the workload", func(ctx SpecContext) {
		s := open(ctx)
		first := s.gate(v24)
		s.filer.File(*first.File)
		Eventually(func() int { return len(s.all(ctx)) }).Should(Equal(1))
		s.reconcile(ctx, first.Change)
		second := s.gate(v25)
		Expect(second.Change).NotTo(Equal(first.Change))
		s.filer.File(*second.File)
		Eventually(func() int { return len(s.all(ctx)) }).Should(Equal(2))
		Eventually(func() v1alpha1.ChangeState { return s.reconcile(ctx, first.Change).Status.State }).Should(Equal(v1alpha1.ChangeCanceled))
		Expect(s.told()).To(ContainElement(ContainSubstring("Change " + second.Change + " took its place")))

		By("filing the first again, as its next episode")
		Eventually(func() string { return s.gate(v24).Change }).Should(Equal(first.Change + "-2"))
	})

	It("asks nobody any more for what somebody could not wait for", func(ctx SpecContext) {
		s := open(ctx)
		d := s.gate(v24)
		s.filer.File(*d.File)
		Eventually(func() int { return len(s.all(ctx)) }).Should(Equal(1))
		Expect(s.reconcile(ctx, d.Change).Status.State).To(Equal(v1alpha1.ChangeAuthorize))
		s.deploy(ctx, v24)
		s.baseline(ctx, v24, v1alpha1.BaselineBreakGlass, "", "erin")
		_, err := s.records.Reconcile(ctx, s.key())
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() v1alpha1.ChangeState { return s.reconcile(ctx, d.Change).Status.State }).Should(Equal(v1alpha1.ChangeCanceled))
		by := ""
		for _, c := range s.all(ctx) {
			if c.Name == d.Change {
				by = c.Annotations[practice.AnnotationSupersededBy]
			}
		}
		record := s.reconcile(ctx, by)
		Expect(record.Spec.RecordOf).To(Equal(v1alpha1.RecordOfBreakGlass))
		Expect(record.Status.State).To(Equal(v1alpha1.ChangeReview))
	})

	It("files nothing again that was rejected", func(ctx SpecContext) {
		s := open(ctx)
		d := s.gate(v24)
		s.filer.File(*d.File)
		Eventually(func() int { return len(s.all(ctx)) }).Should(Equal(1))
		s.reconcile(ctx, d.Change)
		s.vote(ctx, "dave", d.Change, "dave", v1alpha1.DecisionReject)
		again := s.gate(v24)
		Expect(again.File).To(BeNil())
		Expect(again.Change).To(Equal(d.Change))
	})

	It("takes the next name where another Change has the one that it wants", func(ctx SpecContext) {
		s := open(ctx)
		d := s.gate(v24)
		other := builder.MakeChange(s.namespace, d.Change).Target(v1alpha1.WorkloadDeployment, "something-else", v24).Obj()
		s.create(ctx, other)
		s.filer.File(*d.File) // decided before the other one was seen
		Eventually(func() int { return len(s.all(ctx)) }).Should(Equal(2))
		Expect(s.all(ctx)[1].Name).To(Equal(d.Change + "-2"))
	})
})

var _ = Describe("a baseline", func() {
	DescribeTable("owes a record of what went in without a Change", func(ctx SpecContext, source v1alpha1.BaselineSource, of v1alpha1.RecordOf) {
		s := open(ctx)
		s.deploy(ctx, v24)
		s.baseline(ctx, v24, source, "", "mallory")
		for range 3 {
			_, err := s.records.Reconcile(ctx, s.key())
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(s.all(ctx)).To(HaveLen(1))
		c := s.reconcile(ctx, s.all(ctx)[0].Name)
		Expect(c.Spec.RecordOf).To(Equal(of))
		Expect(c.Spec.Requester).To(BeEquivalentTo("mallory"))
		wrote := ""
		for _, entry := range s.deployment(ctx).ManagedFields {
			if entry.Subresource == "" {
				wrote = fmt.Sprintf("Field manager %s wrote the template last, at %s", entry.Manager, entry.Time.UTC().Format(time.RFC3339))
			}
		}
		Expect(c.Spec.Justification).To(ContainSubstring(wrote))
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeReview))
		Expect(c.Status.Implementations).To(HaveLen(1))
		Expect(c.Status.NextStep).To(ContainSubstring("Write the review"))
		s.vote(ctx, "carol", c.Name, "carol", v1alpha1.DecisionApprove)
		Expect(s.gate(v24).Verdict).NotTo(Equal(practice.Covered))
		c = s.edit(ctx, c.Name, func(spec *v1alpha1.ChangeSpec) { spec.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeSuccessful} })
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeClosed))
	},
		Entry("by breaking the glass", v1alpha1.BaselineBreakGlass, v1alpha1.RecordOfBreakGlass),
		Entry("past the gate", v1alpha1.BaselineUnauthorized, v1alpha1.RecordOfUnauthorized),
	)

	It("owes none in a namespace that is deleted", func(ctx SpecContext) {
		s := open(ctx)
		s.deploy(ctx, v24)
		s.baseline(ctx, v24, v1alpha1.BaselineBreakGlass, "", "erin")
		Expect(env.Admin().Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})).To(Succeed())
		_, err := s.records.Reconcile(ctx, s.key())
		Expect(err).NotTo(HaveOccurred())
		Expect(s.all(ctx)).To(BeEmpty())
	})

	It("has the Change of what was pre-authorised made again where it was lost", func(ctx SpecContext) {
		s := open(ctx)
		s.deploy(ctx, v24)
		s.baseline(ctx, v24, v1alpha1.BaselinePreAuthorised, "checkout-12345678", "alice")
		result, err := s.records.Reconcile(ctx, s.key())
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeNumerically("~", time.Minute, 2*time.Second))
		Expect(s.all(ctx)).To(BeEmpty())
		s.clock.SetTime(s.clock.Now().Add(2 * time.Minute))
		_, err = s.records.Reconcile(ctx, s.key())
		Expect(err).NotTo(HaveOccurred())
		c := s.reconcile(ctx, "checkout-12345678")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeImplement))
		Expect(meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionApproved).Reason).To(Equal("NotRequired"))
		s.rolledOut(ctx)
		s.reconcile(ctx, c.Name)
		s.clock.SetTime(s.clock.Now().Add(time.Hour))
		c = s.reconcile(ctx, c.Name)
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeClosed))
		Expect(c.Status.Outcome).To(Equal(v1alpha1.OutcomeSuccessful))
	})
})

// approvalIn is the manifest in a next step.
func approvalIn(step string) *v1alpha1.ChangeApproval {
	GinkgoHelper()
	_, rest, found := strings.Cut(step, "kubectl create -f - <<EOF\n")
	Expect(found).To(BeTrue(), step)
	manifest, _, found := strings.Cut(rest, "\nEOF")
	Expect(found).To(BeTrue(), step)
	a := &v1alpha1.ChangeApproval{}
	Expect(yaml.UnmarshalStrict([]byte(manifest), a)).To(Succeed())
	return a
}

func mustParse(t v1alpha1.Timestamp) time.Time {
	GinkgoHelper()
	out, err := practice.ParseTime(t)
	Expect(err).NotTo(HaveOccurred())
	return out
}
