package attack

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

// kubectl rollout undo copies the annotations of an earlier ReplicaSet, and with them whoever broke the glass for it.
// Where MutatingAdmissionPolicy is served they are taken off; elsewhere the gate judges them, as it does here.
var _ = Describe("Broken glass under another's name, where nothing stamps", Serial, func() {
	const next = "registry.shop.example/checkout:2.4"
	copied := func(what, by string) edit {
		return func(o client.Object) {
			image(what)(o)
			o.SetAnnotations(map[string]string{v1alpha1.AnnotationBreakGlass: "orders are lost", v1alpha1.AnnotationBreakGlassBy: by})
		}
	}
	var s *scene
	BeforeEach(func(ctx SpecContext) {
		s = newScene(ctx)
		env.Apply(GinkgoTB(), "config/unstamped")
		DeferCleanup(func(ctx SpecContext) {
			Expect(env.Admin().Delete(ctx, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "itil-operator-copied-breakglass"}})).To(Succeed())
			Expect(env.Admin().Delete(ctx, &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "itil-operator-copied-breakglass"}})).To(Succeed())
		})
		// What there is of it on Kubernetes 1.30 to 1.35: nothing.
		binding := &admissionregistrationv1.MutatingAdmissionPolicyBinding{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Name: "itil-operator-copies"}, binding)).To(Succeed())
		Expect(env.Admin().Delete(ctx, binding)).To(Succeed())
		stays := func(g Gomega, ctx context.Context) bool {
			live := s.checkout.DeepCopy()
			g.Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
			image("registry.shop.example/checkout:tried")(live)
			live.Annotations = map[string]string{v1alpha1.AnnotationBreakGlass: "is it taken off?", v1alpha1.AnnotationBreakGlassBy: "zoe"}
			g.Expect(env.Admin().Update(ctx, live, client.DryRunAll)).To(Succeed())
			return len(live.Annotations) > 0
		}
		Eventually(stays).WithContext(ctx).Should(BeTrue())
		DeferCleanup(func(ctx SpecContext) {
			Expect(env.Admin().Create(ctx, &admissionregistrationv1.MutatingAdmissionPolicyBinding{
				ObjectMeta: metav1.ObjectMeta{Name: binding.Name}, Spec: binding.Spec,
			})).To(Succeed())
			Eventually(stays).WithContext(ctx).Should(BeFalse())
		})
	})

	It("comes back with a rollback, which is recorded under the name of who asked for it", func(ctx SpecContext) {
		s.forcedIn(ctx, next)
		Eventually(func() error { return s.attempt(ctx, copied(agreedImage, "zoe")) }).Should(Succeed())
		Expect(operator.inventory.Admissions(keyOf(s.checkout))).To(ContainElement(And(
			HaveField("By", "eddie"), HaveField("Source", v1alpha1.BaselineRollback))))
	})
	It("comes with nothing else, whoever sends it", func(ctx SpecContext) {
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("erin"), "system:aggregate-to-edit")
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("erin"), "itil-breakglass")
		erin := env.Client(GinkgoTB(), "erin")
		expectDenied(s.attempt(ctx, copied(evilImage, "zoe")), "glass is broken under the name of zoe")
		expectDenied(s.change(ctx, erin, s.checkout, copied(evilImage, "zoe")), "glass is broken under the name of zoe")
		By("beside an approved Change")
		s.vote(ctx, "carol", s.file(ctx, "approved", "checkout", next), v1alpha1.DecisionApprove)
		Eventually(func() error { return s.attempt(ctx, image(next), client.DryRunAll) }).Should(Succeed())
		expectDenied(s.attempt(ctx, copied(next, "zoe")), "glass is broken under the name of zoe")
		By("on what nobody claims")
		free := s.twin("Deployment", func(o client.Object) {
			m, _ := template(o)
			m.Labels = map[string]string{"app": "free"}
			relabel(o, m.Labels)
		}).(*appsv1.Deployment)
		Expect(s.eddie.Create(ctx, free)).To(Succeed())
		expectDenied(s.change(ctx, s.eddie, free, copied(evilImage, "zoe")), "stays as it is")
		By("letting in what is signed by who sends it")
		s.unasked("a broken glass", func() error { return s.change(ctx, erin, s.checkout, copied(evilImage, "erin")) })
	})
})
