package e2e

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// death: the operator is killed in the middle of its work, and comes back.
func death() {
	s := &shop{}
	names := []string{"first", "second", "third"}
	var broken string // a namespace that the gate is not for

	BeforeAll(func(ctx SpecContext) {
		s.open(ctx, "death", v1alpha1.EnforcementEnforce)
		broken = env.namespace(ctx, "broken", nil)
		DeferCleanup(func(ctx SpecContext) { env.operator(ctx, "start") }, NodeTimeout(5*time.Minute))
	}, NodeTimeout(5*time.Minute))

	It("loses and doubles nothing", func(ctx SpecContext) {
		Expect(s.setImage(ctx, "alice", "2.4")).NotTo(Succeed())
		change := s.filed(ctx, "2.4")
		for _, name := range names {
			Expect(env.admin.Create(ctx, builder.MakeDeployment(broken, name).TemplateAnnotation(behaviour, "crashloop").Obj())).To(Succeed())
		}
		By("being killed as soon as it has written of one of them")
		Eventually(ctx, func(g Gomega) {
			g.Expect(incidentsOf(ctx, g, broken)).NotTo(BeEmpty())
		}).WithTimeout(2 * time.Minute).WithPolling(50 * time.Millisecond).Should(Succeed())
		env.kill(ctx)
		Expect(s.vote(ctx, "carol", change)).To(Succeed(), "votes are cast without it")
		Expect(s.vote(ctx, "dave", change)).To(Succeed())
		env.operator(ctx, "start")
		By("being killed again when it has caught up")
		Eventually(ctx, func(g Gomega) {
			g.Expect(incidentsOf(ctx, g, broken)).To(HaveLen(len(names)))
		}).WithTimeout(3 * time.Minute).Should(Succeed())
		env.kill(ctx)
		env.operator(ctx, "start")

		Eventually(ctx, func(g Gomega) {
			g.Expect(s.changesFor(ctx, g, "2.4")).To(HaveLen(1))
			g.Expect(s.changesFor(ctx, g, "2.4")[0].Status.State).To(Equal(v1alpha1.ChangeImplement))
		}).WithTimeout(2 * time.Minute).Should(Succeed())
		Eventually(ctx, s.setImage).WithArguments("alice", "2.4").Should(Succeed())
		s.rolledOut(ctx, "2.4")
		nothingDoubled := func(g Gomega) {
			incidents := incidentsOf(ctx, g, broken)
			g.Expect(incidents).To(HaveLen(len(names)))
			for _, name := range names {
				g.Expect(incidents[name]).To(HaveLen(1), name)
				g.Expect(incidents[name][0].Status.Reason).To(Equal(v1alpha1.SignalCrashLooping))
			}
			g.Expect(s.changesFor(ctx, g, "2.4")).To(HaveLen(1))
			s.item(ctx, g, "checkout")
		}
		Eventually(ctx, nothingDoubled).Should(Succeed())
		Consistently(ctx, nothingDoubled).WithTimeout(2 * stays).Should(Succeed())
		Eventually(ctx, func(g Gomega) {
			change := s.changesFor(ctx, g, "2.4")[0]
			g.Expect(change.Status.Implementations).To(HaveLen(1))
			g.Expect(change.Status.Implementations[0].By).To(Equal("alice"))
		}).Should(Succeed())
	}, SpecTimeout(5*time.Minute))

	It("resolves what ended while it was dead only after it has seen it well", func(ctx SpecContext) {
		env.kill(ctx)
		for _, name := range names {
			Expect(env.admin.Delete(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: broken, Name: name}})).To(Succeed())
		}
		env.operator(ctx, "start")
		Eventually(ctx, func(g Gomega) {
			incidents := incidentsOf(ctx, g, broken)
			for _, name := range names {
				g.Expect(incidents[name]).To(HaveLen(1))
				status := incidents[name][0].Status
				g.Expect(status.State).To(Equal(v1alpha1.IncidentResolved), name)
				g.Expect(status.Resolution).To(HaveValue(HaveField("Code", v1alpha1.ResolutionNoFault)), "its workload is gone")
			}
		}).WithTimeout(4 * time.Minute).WithPolling(time.Second).Should(Succeed())
	}, SpecTimeout(5*time.Minute))
}

// zeroReplicas: the operator does not run, and the API server alone decides.
func zeroReplicas() {
	s, doomed := &shop{}, &shop{}
	const free = "free"

	BeforeAll(func(ctx SpecContext) {
		s.open(ctx, "alone", v1alpha1.EnforcementEnforce)
		doomed.open(ctx, "doomed", v1alpha1.EnforcementEnforce)
		env.namespace(ctx, free, nil)
		env.operator(ctx, "stop")
		DeferCleanup(func(ctx SpecContext) { env.operator(ctx, "start") }, NodeTimeout(5*time.Minute))
	}, NodeTimeout(6*time.Minute))

	It("keeps an uncovered template out", func(ctx SpecContext) {
		Expect(s.setImage(ctx, "alice", "2.4")).To(MatchError(ContainSubstring("failed calling webhook")))
	})

	It("lets scaling, status, restarts and rollouts go on", func(ctx SpecContext) {
		for _, args := range [][]string{
			{"scale", "deployment/checkout", "--replicas=3"},
			{"annotate", "deployment/checkout", "note=harmless"},
			{"rollout", "restart", "deployment/checkout"},
			{"rollout", "status", "deployment/checkout", "--timeout=60s"},
		} {
			_, err := env.kubectl(ctx, "alice", append([]string{"-n", s.namespace}, args...)...)
			Expect(err).NotTo(HaveOccurred())
		}
		pods := &corev1.PodList{}
		Expect(env.admin.List(ctx, pods, client.InNamespace(s.namespace))).To(Succeed())
		Expect(env.as("alice").Delete(ctx, &pods.Items[0])).To(Succeed(), "a pod that is replaced")
		s.rolledOut(ctx, "2.3")
	}, SpecTimeout(5*time.Minute))

	It("leaves ungoverned namespaces alone", func(ctx SpecContext) {
		alice := env.as("alice")
		d := builder.MakeDeployment(free, "web").Obj()
		Expect(alice.Create(ctx, d)).To(Succeed())
		before := client.MergeFrom(d.DeepCopy())
		d.Spec.Template.Spec.Containers[0].Image = "registry.shop.example/web:2"
		Expect(alice.Patch(ctx, d, before)).To(Succeed())
		Expect(alice.Delete(ctx, d)).To(Succeed())
	})

	It("refuses forged votes all the same", func(ctx SpecContext) {
		change := builder.MakeChange(s.namespace, "by-hand").Target(v1alpha1.WorkloadDeployment, "checkout", image("2.4")).Obj()
		change.Status = v1alpha1.ChangeStatus{}
		Expect(env.as("alice").Create(ctx, change)).To(Succeed())
		change.Status.Digest = "v1:" + fmt.Sprintf("%064d", 1)
		Expect(s.vote(ctx, "alice", change)).NotTo(Succeed())
		Expect(s.vote(ctx, "carol", change, func(a *v1alpha1.ChangeApproval) { a.Spec.Approver = "dave" })).NotTo(Succeed())
	})

	breakGlass := func(ctx context.Context, user string) error {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"itil.dev/break-glass":"checkout is down","itil.dev/break-glass-by":%q}},`+
			`"spec":{"template":{"spec":{"containers":[{"name":"app","image":%q}]}}}}`, user, image("2.3.1"))
		_, err := env.kubectl(ctx, user, "-n", s.namespace, "patch", "deployment", "checkout", "-p", patch)
		return err
	}

	It("lets the glass be broken by who may, and by nobody else", func(ctx SpecContext) {
		Expect(breakGlass(ctx, "alice")).NotTo(Succeed())
		Expect(breakGlass(ctx, "erin")).To(Succeed())
		s.rolledOut(ctx, "2.3.1")
	}, SpecTimeout(4*time.Minute))

	It("lets a governed namespace be deleted by who may, and by nobody else", func(ctx SpecContext) {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: doomed.namespace}}
		Expect(env.as("alice").Delete(ctx, namespace.DeepCopy())).NotTo(Succeed())
		Expect(env.admin.Delete(ctx, namespace)).To(Succeed())
		Eventually(ctx, func() error { return env.admin.Get(ctx, client.ObjectKeyFromObject(namespace), namespace) }).
			WithTimeout(2 * time.Minute).Should(MatchError(ContainSubstring("not found")))
	}, SpecTimeout(5*time.Minute))

	It("records the broken glass on its return", func(ctx SpecContext) {
		env.operator(ctx, "start")
		Eventually(ctx, func(g Gomega) {
			baseline := s.item(ctx, g, "checkout").Status.Baselines[0]
			g.Expect(baseline.Source).To(Equal(v1alpha1.BaselineBreakGlass))
			g.Expect(baseline.Images).To(HaveKeyWithValue("app", image("2.3.1")))
			g.Expect(baseline.By).To(Equal("erin"))
			changes := &v1alpha1.ChangeList{}
			g.Expect(env.admin.List(ctx, changes, client.InNamespace(s.namespace))).To(Succeed())
			emergencies := slices.DeleteFunc(changes.Items, func(c v1alpha1.Change) bool { return c.Spec.Type != v1alpha1.ChangeEmergency })
			g.Expect(emergencies).To(HaveLen(1))
			g.Expect(emergencies[0].Spec.Targets[0].TemplateHash).To(BeEquivalentTo(baseline.TemplateHash))
			g.Expect(emergencies[0].Status.State).To(Equal(v1alpha1.ChangeReview))
			g.Expect(apimeta.IsStatusConditionTrue(emergencies[0].Status.Conditions, v1alpha1.ConditionReviewed)).To(BeFalse())
		}).WithTimeout(3 * time.Minute).Should(Succeed())
	}, SpecTimeout(6*time.Minute))

	It("gates as before", func(ctx SpecContext) {
		Expect(s.setImage(ctx, "alice", "2.4")).To(MatchError(ContainSubstring("no approved Change covers")))
	})
}
