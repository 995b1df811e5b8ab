package attack

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// The built-in controllers are exempt: what somebody has them do must be refused where it is asked for.
var _ = Describe("An application team that has a controller act for it", func() {
	const annotation, refusal = "deprecated.deployment.rollback.to", "use kubectl rollout undo"
	rollBackTo := func(revision string) edit {
		return func(o client.Object) { o.SetAnnotations(map[string]string{annotation: revision}) }
	}

	It("cannot have the deployment controller bring an earlier template back", func(ctx SpecContext) {
		s := newScene(ctx)
		Eventually(func() error { return s.attempt(ctx, rollBackTo("1"), client.DryRunAll) }).Should(refused(refusal))
		Expect(s.attempt(ctx, rollBackTo("1"))).To(refused(refusal))
		Expect(s.attempt(ctx, func(o client.Object) { rollBackTo("0")(o); o.(*appsv1.Deployment).Spec.Paused = true })).To(refused(refusal))
		Expect(s.eddie.Create(ctx, s.twin("Deployment", rollBackTo("1")))).To(refused(refusal))
		By("the template that comes back being none that the gate is asked about")
		controller := env.Client(GinkgoTB(), deploymentController)
		s.unasked("the controller's rollback", func() error { return s.change(ctx, controller, s.checkout, image(evilImage)) })
	})
	It("cannot have it wait for that, on a paused Deployment that was there before", func(ctx SpecContext) {
		s := newScene(ctx, func(_ string, d *appsv1.Deployment) []client.Object {
			d.Annotations, d.Spec.Paused = map[string]string{annotation: "1"}, true
			return nil
		})
		resume := func(o client.Object) { o.(*appsv1.Deployment).Spec.Paused = false }
		Eventually(func() error { return s.attempt(ctx, resume, client.DryRunAll) }).Should(refused(refusal))
		Expect(s.attempt(ctx, resume)).To(refused(refusal))
		By("leaving alone what goes on, and who takes it off")
		s.unasked("a label", func() error {
			return s.attempt(ctx, func(o client.Object) { o.SetLabels(map[string]string{"a": "b"}) })
		})
		Expect(s.attempt(ctx, func(o client.Object) { o.SetAnnotations(map[string]string{v1alpha1.AnnotationChange: "x"}); resume(o) })).To(Succeed())
	})
})
