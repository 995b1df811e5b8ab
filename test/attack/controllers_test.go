package attack

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

// The built-in controllers are exempt: what somebody has them do must be refused where it is asked for.
var _ = Describe("An application team that has a controller act for it", func() {
	const annotation, refusal = "deprecated.deployment.rollback.to", "use kubectl rollout undo"
	rollBackTo := func(revision string) edit {
		return func(o client.Object) { o.SetAnnotations(map[string]string{annotation: revision}) }
	}

	resume := func(o client.Object) { o.(*appsv1.Deployment).Spec.Paused = false }

	It("cannot have the deployment controller bring an earlier template back", func(ctx SpecContext) {
		s := newScene(ctx)
		expectDenied(s.attempt(ctx, rollBackTo("1")), refusal)
		expectDenied(s.attempt(ctx, func(o client.Object) { rollBackTo("0")(o); o.(*appsv1.Deployment).Spec.Paused = true }), refusal)
		expectDenied(s.eddie.Create(ctx, s.twin("Deployment", rollBackTo("1"))), refusal)
		expectDenied(s.attempt(ctx, func(o client.Object) {
			m, _ := template(o)
			m.Annotations = map[string]string{v1alpha1.AnnotationRestartedAt: "2026-11-23T10:00:00Z"}
			rollBackTo("1")(o)
		}), refusal)
		By("on what nobody claims, of which an earlier template may have any labels")
		free := s.twin("Deployment", func(o client.Object) {
			m, _ := template(o)
			m.Labels = map[string]string{"app": "free"}
			relabel(o, m.Labels)
		})
		Expect(s.eddie.Create(ctx, free)).To(Succeed())
		expectDenied(s.change(ctx, s.eddie, free, rollBackTo("1")), refusal)
		By("beside what somebody agreed to")
		const next = "registry.shop.example/checkout:2.4"
		s.vote(ctx, "carol", s.file(ctx, "approved", "checkout", next), v1alpha1.DecisionApprove)
		Eventually(func() error { return s.attempt(ctx, image(next), client.DryRunAll) }).Should(Succeed())
		expectDenied(s.attempt(ctx, func(o client.Object) { image(next)(o); rollBackTo("1")(o) }), refusal)
		By("passing a dry run, which brings nothing back")
		Expect(s.attempt(ctx, rollBackTo("1"), client.DryRunAll)).To(Succeed())
		By("the template that comes back being none that the gate is asked about")
		controller := env.Client(GinkgoTB(), deploymentController)
		s.unasked("the controller's rollback", func() error { return s.change(ctx, controller, s.checkout, image(evilImage)) })
	})
	It("cannot have it wait for that, on a paused Deployment that was there before", func(ctx SpecContext) {
		s := newScene(ctx, func(_ string, d *appsv1.Deployment) []client.Object {
			d.Annotations, d.Spec.Paused = map[string]string{annotation: "1"}, true
			return nil
		})
		expectDenied(s.attempt(ctx, resume), refusal)
		By("leaving alone what goes on, and who takes it off")
		s.unasked("a label", func() error {
			return s.attempt(ctx, func(o client.Object) { o.SetLabels(map[string]string{"a": "b"}) })
		})
		Expect(s.attempt(ctx, func(o client.Object) { o.SetAnnotations(map[string]string{v1alpha1.AnnotationChange: "x"}); resume(o) })).To(Succeed())
	})
	It("cannot while the operator is gone, nor by breaking the glass", Serial, func(ctx SpecContext) {
		s := newScene(ctx)
		for _, role := range []string{"system:aggregate-to-edit", "itil-breakglass"} {
			env.Bind(GinkgoTB(), s.namespace, apiserver.User("erin"), role)
		}
		erin := env.Client(GinkgoTB(), "erin")
		broken := func(o client.Object) {
			o.SetAnnotations(map[string]string{annotation: "1", v1alpha1.AnnotationBreakGlass: "fire", v1alpha1.AnnotationBreakGlassBy: "erin"})
		}
		operator.down.Store(true)
		defer operator.down.Store(false)
		Expect(s.attempt(ctx, rollBackTo("1"))).To(MatchError(ContainSubstring(`failed calling webhook "enforce.gate.itil.dev"`)))
		Expect(s.change(ctx, erin, s.checkout, broken)).To(refused("bring another one back: take it off"))
		s.unasked("another annotation", func() error {
			return s.attempt(ctx, func(o client.Object) { o.SetAnnotations(map[string]string{"deprecated.deployment.rollback": "1"}) })
		})
		operator.down.Store(false)
		Expect(s.change(ctx, erin, s.checkout, broken)).To(refused("bring another one back: take it off"))
	})
})
