package release_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
	changepractice "github.com/itil-dev/itil-operator/internal/practice/change"
)

var _ = Describe("A Release", func() {
	It("raises its Change and brings its units in phase by phase", func(ctx SpecContext) {
		s := open(ctx)
		s.create(ctx, s.version2())
		s.settle(ctx, true)

		chg := &v1alpha1.Change{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "shop-2"}, chg)).To(Succeed())
		Expect(chg.Spec.Requester).To(Equal(v1alpha1.UserName("alice")))
		Expect(chg.Spec.Targets).To(HaveLen(2))
		Expect(chg.Spec.Targets[1].Images).To(Equal(map[string]v1alpha1.Image{"app": "worker:2"}))
		r := s.release(ctx, "shop-2")
		Expect(r.Status.State).To(Equal(v1alpha1.ReleaseDeploying), r.Status.NextStep)
		Expect(r.Status.Phase).To(Equal("pilot"))
		Expect(meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionBackoutPossible)).To(BeTrue())
		By("giving every replica of the gate the time to know of the phase")
		Expect(s.image(ctx, "worker")).To(Equal("worker:1"))
		s.pass(ctx, 3*time.Second)
		Expect(s.image(ctx, "worker")).To(Equal("worker:2"))
		Expect(s.image(ctx, "checkout")).To(Equal("checkout:1"))
		Expect(s.owner(ctx, "worker")).To(ContainElement("itil-operator-release"))

		s.pass(ctx, 119*time.Second)
		Expect(s.release(ctx, "shop-2").Status.Phase).To(Equal("pilot"))
		s.pass(ctx, 2*time.Second)
		Expect(s.release(ctx, "shop-2").Status.Phase).To(Equal("full"))
		s.pass(ctx, 3*time.Second)
		Expect(s.image(ctx, "checkout")).To(Equal("checkout:2"))
		s.pass(ctx, time.Minute)
		r = s.release(ctx, "shop-2")
		Expect(r.Status.State).To(Equal(v1alpha1.ReleaseEarlyLifeSupport))
		Expect(r.Status.Progress).To(Equal("2/2"))
		Expect(r.Status.Phases[0].Message).To(ContainSubstring("Service checkout has no ServiceLevelAgreement"))
		s.pass(ctx, time.Hour)
		Expect(s.release(ctx, "shop-2").Status.State).To(Equal(v1alpha1.ReleaseCompleted))

		By("writing nothing any more")
		before := s.versions(ctx)
		s.pass(ctx, 24*time.Hour)
		after := s.versions(ctx)
		Expect(after[:1]).To(Equal(before[:1]))
	})

	It("is taken back whole when its pilot breaks", func(ctx SpecContext) {
		s := open(ctx)
		s.broken = "worker:2"
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		s.pass(ctx, 3*time.Second)
		r := s.release(ctx, "shop-2")
		Expect(r.Status.Failure).NotTo(BeNil())
		Expect(r.Status.Failure.Reason).To(Equal(v1alpha1.ReleaseFailureProgress))
		Expect(r.Status.Backout).NotTo(BeNil())
		By("ending the coverage of its Change before anything goes back")
		Expect(s.image(ctx, "worker")).To(Equal("worker:2"))
		Expect(s.gate(ctx, "worker", "worker:2b")).NotTo(Equal(changepractice.Covered))
		s.pass(ctx, 3*time.Second)
		Expect(s.image(ctx, "worker")).To(Equal("worker:1"))
		r = s.release(ctx, "shop-2")
		Expect(r.Status.State).To(Equal(v1alpha1.ReleaseRolledBack), "%+v", r.Status)
		Expect(s.image(ctx, "checkout")).To(Equal("checkout:1"))
		chg := &v1alpha1.Change{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "shop-2"}, chg)).To(Succeed())
		Expect(chg.Status.Outcome).To(Equal(v1alpha1.OutcomeRolledBack))
	})

	It("goes back when its Change is found unsuccessful, whatever the reason", func(ctx SpecContext) {
		s := open(ctx)
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		s.pass(ctx, 3*time.Second)
		s.pass(ctx, 10*time.Second)
		Expect(s.image(ctx, "worker")).To(Equal("worker:2"))
		s.conclude(ctx, v1alpha1.OutcomeUnsuccessful)
		s.settle(ctx, true)
		r := s.release(ctx, "shop-2")
		Expect(r.Status.Failure).NotTo(BeNil())
		Expect(r.Status.Failure.Reason).To(Equal(v1alpha1.ReleaseFailureChangeFailed))
		s.pass(ctx, 3*time.Second)
		Expect(s.image(ctx, "worker")).To(Equal("worker:1"))
		Expect(s.release(ctx, "shop-2").Status.State).To(Equal(v1alpha1.ReleaseRolledBack))
	})

	It("stays as it is when its Change is canceled, and says what is in", func(ctx SpecContext) {
		s := open(ctx)
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		s.pass(ctx, 3*time.Second)
		s.pass(ctx, 10*time.Second)
		chg := &v1alpha1.Change{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "shop-2"}, chg)).To(Succeed())
		chg.Spec.Cancel = true
		Expect(env.Admin().Update(ctx, chg)).To(Succeed())
		s.settle(ctx, true)
		s.pass(ctx, time.Minute)
		r := s.release(ctx, "shop-2")
		Expect(r.Status.State).To(Equal(v1alpha1.ReleaseFailed))
		Expect(r.Status.Failure.Reason).To(Equal(v1alpha1.ReleaseFailureChangeEnded))
		Expect(s.image(ctx, "worker")).To(Equal("worker:2"))
		Expect(r.Status.NextStep).To(And(
			ContainSubstring("What is in stays: deployment/worker; not in: deployment/checkout."),
			ContainSubstring("kubectl rollout undo deployment/worker -n "+s.namespace)))
	})

	It("lets in, with Observe, only the units of the phase that runs", func(ctx SpecContext) {
		s := open(ctx)
		s.create(ctx, s.version2(func(r *v1alpha1.Release) { r.Spec.Strategy = v1alpha1.ReleaseObserve }))
		s.settle(ctx, true)
		s.known(ctx)
		Expect(s.gate(ctx, "worker", "worker:2")).To(Equal(changepractice.Covered))
		Expect(s.gate(ctx, "checkout", "checkout:2")).NotTo(Equal(changepractice.Covered))
		s.setImage(ctx, "worker", "worker:2")
		s.pass(ctx, time.Second)
		s.pass(ctx, 2*time.Minute)
		Expect(s.release(ctx, "shop-2").Status.Phase).To(Equal("full"))
		s.known(ctx)
		Expect(s.gate(ctx, "checkout", "checkout:2")).To(Equal(changepractice.Covered))
	})

	It("does not take images from a reconciling manager, and says to use Observe", func(ctx SpecContext) {
		s := open(ctx)
		d := s.deployment(ctx, "worker")
		d.Spec.Template.Spec.Containers[0].Image = "worker:1a"
		Expect(env.Admin().Update(ctx, d, client.FieldOwner("kustomize-controller"))).To(Succeed())
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		r := s.release(ctx, "shop-2")
		Expect(r.Status.State).To(Equal(v1alpha1.ReleasePlanning))
		c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionManagedByGitOps)
		Expect(c).NotTo(BeNil())
		Expect(c.Status).To(Equal(metav1.ConditionTrue))
		Expect(c.Message).To(ContainSubstring("kustomize-controller"))
		Expect(r.Status.NextStep).To(ContainSubstring("Observe"))
		Expect(s.image(ctx, "worker")).To(Equal("worker:1a"))
	})

	It("says that it cannot go back where a GitOps controller would undo that, and no gate keeps it out", func(ctx SpecContext) {
		s := open(ctx)
		service := &v1alpha1.Service{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "checkout"}, service)).To(Succeed())
		service.Spec.ChangeControl = &v1alpha1.ChangeControl{Enforcement: v1alpha1.EnforcementAudit}
		Expect(env.Admin().Update(ctx, service)).To(Succeed())
		d := s.deployment(ctx, "worker")
		d.Spec.Template.Spec.Containers[0].Image = "worker:1a"
		Expect(env.Admin().Update(ctx, d, client.FieldOwner("kustomize-controller"))).To(Succeed())
		s.unapproved = true
		s.create(ctx, s.version2(func(r *v1alpha1.Release) { r.Spec.Strategy = v1alpha1.ReleaseObserve }))
		Eventually(func(g Gomega) {
			s.settle(ctx, true)
			c := meta.FindStatusCondition(s.release(ctx, "shop-2").Status.Conditions, v1alpha1.ConditionBackoutPossible)
			g.Expect(c).NotTo(BeNil())
			g.Expect(c.Reason).To(Equal("NotEnforced"))
			g.Expect(c.Message).To(ContainSubstring("kustomize-controller sets the images of deployment/worker"))
		}).WithTimeout(time.Minute).Should(Succeed())
	})

	It("takes for reconciling managers those that it was told of", func(ctx SpecContext) {
		s := open(ctx)
		s.managers = fieldmanager.Reconciling{"our-deployer"}
		s.live()
		for name, manager := range map[string]string{"worker": "our-deployer", "checkout": "kustomize-controller"} {
			d := s.deployment(ctx, name)
			d.Spec.Template.Spec.Containers[0].Image = name + ":1a"
			Expect(env.Admin().Update(ctx, d, client.FieldOwner(manager))).To(Succeed())
		}
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		c := meta.FindStatusCondition(s.release(ctx, "shop-2").Status.Conditions, v1alpha1.ConditionManagedByGitOps)
		Expect(c).NotTo(BeNil())
		Expect(c.Status).To(Equal(metav1.ConditionTrue))
		Expect(c.Message).To(And(ContainSubstring("our-deployer"), Not(ContainSubstring("kustomize-controller"))))
	})

	It("waits for another Release of the same workload, and says for which", func(ctx SpecContext) {
		s := open(ctx)
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		s.create(ctx, s.version2(func(r *v1alpha1.Release) {
			r.Name = "shop-3"
			r.Spec.Units = r.Spec.Units[1:]
			r.Spec.Units[0].Images = map[string]v1alpha1.Image{"app": "worker:3"}
			r.Spec.Phases = []v1alpha1.ReleasePhase{{Name: "all", Units: []string{"*"}}}
		}))
		s.pass(ctx, 3*time.Second)
		r := s.release(ctx, "shop-3")
		Expect(r.Status.StartedAt).To(BeNil())
		for range 4 {
			s.pass(ctx, 2*time.Minute)
		}
		Expect(s.release(ctx, "shop-2").Status.State).To(Equal(v1alpha1.ReleaseEarlyLifeSupport))
		for range 3 {
			s.pass(ctx, time.Minute)
		}
		Expect(s.release(ctx, "shop-3").Status.StartedAt).NotTo(BeNil(), s.release(ctx, "shop-3").Status.NextStep)
	})

	It("does not count the time in which the API server was not heard", func(ctx SpecContext) {
		s := open(ctx)
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		s.pass(ctx, 3*time.Second)
		s.pass(ctx, time.Minute)
		seen := s.clock.Now()
		s.blind = true
		s.pass(ctx, 10*time.Minute)
		Expect(s.release(ctx, "shop-2").Status.Phases[0].State).To(Equal(v1alpha1.ReleasePhaseSoaking))
		s.blind = false
		s.releases.Observe(seen, s.clock.Now())
		s.settle(ctx, true)
		p := s.release(ctx, "shop-2").Status.Phases[0]
		Expect(p.State).To(Equal(v1alpha1.ReleasePhaseSoaking), "it has soaked for a minute of two")
		Expect(p.UnobservedSeconds).To(Equal(int32(600)))
		s.pass(ctx, 58*time.Second)
		Expect(s.release(ctx, "shop-2").Status.Phases[0].State).To(Equal(v1alpha1.ReleasePhaseSoaking))
		s.pass(ctx, 3*time.Second)
		Expect(s.release(ctx, "shop-2").Status.Phases[0].State).To(Equal(v1alpha1.ReleasePhaseDone))
	})

	It("says on what little a phase was decided", func(ctx SpecContext) {
		s := open(ctx)
		s.undetected = map[string]string{"worker": "the operator detects only what Services claim"}
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		s.pass(ctx, 3*time.Second)
		s.pass(ctx, 2*time.Minute)
		Expect(s.release(ctx, "shop-2").Status.Phases[0].Message).To(And(
			ContainSubstring("no Incident of Deployment worker would be opened: the operator detects only what Services claim"),
			ContainSubstring("Service checkout has no ServiceLevelAgreement")))
	})

	It("writes its name on the Incidents of its Services", func(ctx SpecContext) {
		s := open(ctx)
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		r := s.release(ctx, "shop-2")
		r.Status.StartedAt = &metav1.Time{Time: time.Now().Add(-time.Minute)} // Incidents are created by the API server's clock
		Expect(env.Admin().Status().Update(ctx, r)).To(Succeed())
		incident := &v1alpha1.Incident{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "slow"},
			Spec:       v1alpha1.IncidentSpec{Title: "slow", Source: v1alpha1.IncidentSourceUser, Reporter: "bob", ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}},
		}
		s.create(ctx, incident)
		s.settle(ctx, true)
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(incident), incident)).To(Succeed())
		Expect(incident.Labels).To(HaveKeyWithValue(v1alpha1.AnnotationRelease, "shop-2"))
	})

	It("raises another Change when it is edited before it began", func(ctx SpecContext) {
		s := open(ctx)
		s.create(ctx, s.version2(func(r *v1alpha1.Release) { r.Spec.Paused = true }))
		s.settle(ctx, true)
		s.edit(ctx, "shop-2", func(spec *v1alpha1.ReleaseSpec) {
			spec.Units[0].Images = map[string]v1alpha1.Image{"app": "checkout:2.1"}
		})
		s.settle(ctx, true)
		old, next := &v1alpha1.Change{}, &v1alpha1.Change{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "shop-2"}, old)).To(Succeed())
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "shop-2-2"}, next)).To(Succeed())
		Expect(old.Spec.Cancel).To(BeTrue())
		Expect(next.Spec.Targets[0].Images).To(HaveKeyWithValue("app", v1alpha1.Image("checkout:2.1")))
		Expect(s.release(ctx, "shop-2").Status.ChangeRef.Name).To(Equal(v1alpha1.ObjectName("shop-2-2")))
	})

	// The model of internal/practice/release is killed everywhere in many courses of events; here it is one, with all
	// that an API server adds.
	It("ends the same wherever the operator is killed", func(ctx SpecContext) {
		run := func(killAfter int) (*shop, []string) {
			s := open(ctx)
			s.killAfter, s.broken = killAfter, "checkout:2"
			s.create(ctx, s.version2(func(r *v1alpha1.Release) { r.Spec.Phases[0].Soak = "10s" }))
			s.settle(ctx, true)
			for n := 0; n < 12 && s.release(ctx, "shop-2").Status.EndedAt == nil; n++ {
				s.pass(ctx, 11*time.Second)
			}
			r := s.release(ctx, "shop-2")
			return s, []string{string(r.Status.State), s.image(ctx, "worker"), s.image(ctx, "checkout"), r.Status.Progress}
		}
		undisturbed, want := run(0)
		Expect(want[0]).To(Equal(string(v1alpha1.ReleaseRolledBack)))
		for kill := 1; kill <= undisturbed.writes; kill++ {
			_, got := run(kill)
			Expect(got).To(Equal(want), "killed after write %d of %d", kill, undisturbed.writes)
		}
	})
})
