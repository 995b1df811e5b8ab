package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// rules alters the ChangePolicy of a shop, which has the name of its namespace.
func (s *shop) rules(ctx context.Context, alter func(*v1alpha1.ChangePolicySpec)) {
	policy := &v1alpha1.ChangePolicy{}
	Expect(env.admin.Get(ctx, client.ObjectKey{Name: s.namespace}, policy)).To(Succeed())
	before := client.MergeFrom(policy.DeepCopy())
	alter(&policy.Spec)
	Expect(env.admin.Patch(ctx, policy, before)).To(Succeed())
}

func (s *shop) kubectl(ctx context.Context, user string, args ...string) (string, error) {
	return env.kubectl(ctx, user, append([]string{"-n", s.namespace}, args...)...)
}

// atNight: a freeze is on, no change hours are open, and whoever is on call has the rights of the role edit.
func atNight() {
	s := &shop{}
	var first *v1alpha1.Change
	var window v1alpha1.EffectiveWindow

	BeforeAll(func(ctx SpecContext) {
		s.open(ctx, "night", v1alpha1.EnforcementEnforce)
		s.rules(ctx, func(spec *v1alpha1.ChangePolicySpec) { spec.ProvenSeconds = 1 })
		Expect(s.setImage(ctx, "alice", "2.4")).NotTo(Succeed())
		first = s.filed(ctx, "2.4")
		s.approve(ctx, first, v1alpha1.ChangeImplement)
		Eventually(ctx, s.setImage).WithArguments("alice", "2.4").Should(Succeed())
		s.rolledOut(ctx, "2.4")
		Eventually(ctx, func(g Gomega) {
			for _, b := range s.item(ctx, g, "checkout").Status.Baselines {
				g.Expect(b.Proven).To(BeTrue(), "%s is proven", b.Images)
			}
			live := s.changesFor(ctx, g, "2.4")[0]
			g.Expect(live.Status.Implementations).To(HaveLen(1))
			window = *live.Status.Window
		}).Should(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("keeps a Change out by its freeze and its hours", func(ctx SpecContext) {
		now := time.Now()
		hours := &v1alpha1.Calendar{ObjectMeta: metav1.ObjectMeta{Name: "by-day"}}
		hours.Spec.TimeZone = "Europe/Berlin"
		day := now.AddDate(0, 0, 3).Weekday().String()[:3]
		hours.Spec.Weekly = []v1alpha1.WeeklyHours{{Days: []v1alpha1.Weekday{v1alpha1.Weekday(day)}, From: "10:00", To: "12:00"}}
		Expect(env.admin.Create(ctx, hours)).To(Succeed())
		s.rules(ctx, func(spec *v1alpha1.ChangePolicySpec) {
			spec.ChangeWindow = &v1alpha1.ChangeWindow{CalendarRef: v1alpha1.LocalReference{Name: "by-day"}}
			spec.Freezes = []v1alpha1.Freeze{{
				Name: "black-friday", Reason: "a third of the year's sales",
				From: v1alpha1.Timestamp(now.Add(-time.Hour).Format(time.RFC3339)), To: v1alpha1.Timestamp(now.Add(9 * 24 * time.Hour).Format(time.RFC3339)),
			}}
		})
		Eventually(ctx, func() error { return s.setImage(ctx, "alice", "2.5") }).Should(MatchError(And(
			ContainSubstring("was filed for you"), ContainSubstring("Next window: "))))
		Eventually(ctx, func() error { return s.setImage(ctx, "alice", "2.5") }).Should(MatchError(And(
			ContainSubstring("is for exactly this"), ContainSubstring("freeze black-friday of ChangePolicy night is on until"),
			ContainSubstring("the change window of ChangePolicy night (Calendar by-day) is closed"))))
	})

	It("lets a rollback in all the same, and records it on the baseline and on what it undoes", func(ctx SpecContext) {
		out, err := s.kubectl(ctx, "alice", "rollout", "undo", "deployment/checkout")
		Expect(err).NotTo(HaveOccurred())
		Expect(out).NotTo(ContainSubstring("Warning"))
		s.rolledOut(ctx, "2.3")
		Eventually(ctx, func(g Gomega) {
			baseline := s.item(ctx, g, "checkout").Status.Baselines[0]
			g.Expect(baseline.Source).To(Equal(v1alpha1.BaselineRollback))
			g.Expect(baseline.By).To(Equal("alice"))
			g.Expect(baseline.Change).To(Equal(first.Name))
			status := s.changesFor(ctx, g, "2.4")[0].Status
			g.Expect(status.State).To(Equal(v1alpha1.ChangeReview))
			g.Expect(status.Outcome).To(Equal(v1alpha1.OutcomeRolledBack))
			g.Expect(status.Implementations[0].Rollout).To(Equal(v1alpha1.RolloutRolledBack))
			g.Expect(status.NextStep).To(ContainSubstring("kubectl itil change review night/" + first.Name + " --outcome RolledBack"))
			g.Expect(status.ReviewDueAt).NotTo(BeEmpty())
			g.Expect(status.Window).To(HaveValue(Equal(window)), "in which it went in, whatever hours and freezes came later")
		}).Should(Succeed())
	})

	It("does not let forward again what was rolled back, and says once why and what to do", func(ctx SpecContext) {
		_, err := s.kubectl(ctx, "alice", "rollout", "undo", "deployment/checkout")
		Expect(err).To(MatchError(And(
			ContainSubstring("no approved Change covers image app="+image("2.4")),
			ContainSubstring("Change night/"+first.Name+"-2 was filed for you"),
			ContainSubstring("Approve: kubectl itil approve night/"+first.Name+"-2    Next window: "),
		)))
		for line := range strings.Lines(err.Error()) {
			if strings.HasPrefix(line, "Change "+first.Name+": ") {
				Expect(strings.Count(line, "rolled back")).To(Equal(1), line)
				Expect(line).NotTo(ContainSubstring("freeze"), "what has ended waits for nothing")
			}
		}
		s.rolledOut(ctx, "2.3")
	})

	It("tells who reviews broken glass what went in instead of what, and the reason", func(ctx SpecContext) {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"itil.dev/break-glass":"orders are lost","itil.dev/break-glass-by":"erin"}},`+
			`"spec":{"template":{"spec":{"containers":[{"name":"app","image":%q}]}}}}`, image("2.3.1"))
		_, err := s.kubectl(ctx, "erin", "patch", "deployment", "checkout", "-p", patch)
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, func(g Gomega) {
			records := s.changesFor(ctx, g, "2.3.1")
			g.Expect(records).To(HaveLen(1))
			g.Expect(records[0].Spec.RecordOf).To(Equal(v1alpha1.RecordOfBreakGlass))
			g.Expect(records[0].Spec.Requester).To(BeEquivalentTo("erin"))
			g.Expect(records[0].Spec.Justification).To(ContainSubstring("orders are lost"))
			g.Expect(records[0].Status.State).To(Equal(v1alpha1.ChangeReview))
			g.Expect(records[0].Status.Diff).To(ConsistOf(v1alpha1.FieldDiff{
				Path: "deployment/checkout: spec.containers[app].image", From: image("2.3"), To: image("2.3.1"),
			}))
		}).Should(Succeed())
	})
}

// fromAuditToEnforce is the walk of a platform team.
func fromAuditToEnforce() {
	s := &shop{}
	wouldDeny := func(ctx context.Context, g Gomega) *v1alpha1.WouldDeny {
		policy := &v1alpha1.ChangePolicy{}
		g.Expect(env.admin.Get(ctx, client.ObjectKey{Name: s.namespace}, policy)).To(Succeed())
		g.Expect(policy.Status.WouldDeny).NotTo(BeNil())
		return policy.Status.WouldDeny
	}
	deploy := func(ctx context.Context, tag string) (string, error) {
		return s.kubectl(ctx, "alice", "set", "image", "deployment/checkout", "app="+image(tag))
	}
	// counted waits until the policy tells of as many.
	counted := func(ctx context.Context, count int32) {
		GinkgoHelper()
		Eventually(ctx, func(g Gomega) {
			figures := wouldDeny(ctx, g)
			g.Expect(figures.Count).To(Equal(count))
			g.Expect(figures.Workloads).To(ConsistOf("Deployment/walk/checkout"))
			g.Expect(figures.Reasons).To(ContainElement(HaveField("Reason", "NoChange")))
		}).WithTimeout(2 * time.Minute).Should(Succeed())
	}

	BeforeAll(func(ctx SpecContext) { s.open(ctx, "walk", v1alpha1.EnforcementAudit) }, NodeTimeout(5*time.Minute))

	It("counts silently under Audit", func(ctx SpecContext) {
		out, err := deploy(ctx, "2.4")
		Expect(err).NotTo(HaveOccurred())
		Expect(out).NotTo(ContainSubstring("Warning"))
		counted(ctx, 1)
	}, SpecTimeout(5*time.Minute))

	It("says so under Warn, with what to do", func(ctx SpecContext) {
		s.rules(ctx, func(spec *v1alpha1.ChangePolicySpec) { spec.Enforcement = v1alpha1.EnforcementWarn })
		// A dry run is no deployment, and not counted.
		Eventually(ctx, func() (string, error) {
			return s.kubectl(ctx, "alice", "set", "image", "deployment/checkout", "app="+image("2.5"), "--dry-run=server")
		}).Should(ContainSubstring("no approved Change covers"))
		out, err := deploy(ctx, "2.5")
		Expect(err).NotTo(HaveOccurred())
		Expect(out).To(ContainSubstring("File a Change for it before enforcement is switched to Enforce"))
		counted(ctx, 2)
	}, SpecTimeout(5*time.Minute))

	It("refuses under Enforce, and has adopted what runs", func(ctx SpecContext) {
		s.rolledOut(ctx, "2.5")
		s.rules(ctx, func(spec *v1alpha1.ChangePolicySpec) { spec.Enforcement = v1alpha1.EnforcementEnforce })
		Eventually(ctx, func(g Gomega) {
			governed := apimeta.FindStatusCondition(s.service(ctx, g).Status.Conditions, v1alpha1.ConditionGoverned)
			g.Expect(governed).To(HaveValue(And(HaveField("Status", metav1.ConditionTrue), HaveField("Reason", "Enforced"))))
		}).Should(Succeed())
		// The API server goes by a webhook configuration a moment after it was written.
		Eventually(ctx, func() (string, error) {
			return s.kubectl(ctx, "alice", "set", "image", "deployment/checkout", "app="+image("2.6"), "--dry-run=server")
		}).Should(ContainSubstring("would be filed for you"))
		Eventually(ctx, func(g Gomega) {
			item := s.item(ctx, g, "checkout").Status
			g.Expect(item.Baselines[0].Source).To(Equal(v1alpha1.BaselineAudited))
			g.Expect(item.Baselines[0].Images).To(HaveKeyWithValue("app", image("2.5")))
			g.Expect(item.Drift).To(Equal(v1alpha1.DriftNone))
		}).Should(Succeed())
		_, err := deploy(ctx, "2.6")
		Expect(err).To(MatchError(ContainSubstring("no approved Change covers")))
		s.filed(ctx, "2.6")
		changes := &v1alpha1.ChangeList{}
		Expect(env.admin.List(ctx, changes, client.InNamespace(s.namespace))).To(Succeed())
		Expect(changes.Items).To(HaveLen(1), "nobody owes anything for what went in before")
		_, err = s.kubectl(ctx, "alice", "rollout", "restart", "deployment/checkout")
		Expect(err).NotTo(HaveOccurred())
		Expect(wouldDeny(ctx, Default).Count).To(Equal(int32(2)), "what was denied is not counted as what would be")
	}, SpecTimeout(5*time.Minute))
}
