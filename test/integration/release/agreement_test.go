package release_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// agreement on Service checkout of three nines, which has been up for an hour.
func (s *shop) agreement(ctx SpecContext) {
	GinkgoHelper()
	a := &v1alpha1.ServiceLevelAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "gold"}}
	a.Spec.ServiceRef.Name = "checkout"
	a.Spec.Availability = &v1alpha1.AvailabilityTarget{Target: "99.9"}
	s.create(ctx, a)
	s.evaluate(ctx, v1alpha1.HealthOperational, s.clock.Now())
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
}

// outage of Service checkout for so long: the status of the agreement is what its controller would write.
func (s *shop) outage(ctx SpecContext, lasting time.Duration) *v1alpha1.ServiceLevelAgreement {
	GinkgoHelper()
	began := s.clock.Now()
	s.evaluate(ctx, v1alpha1.HealthOutage, began)
	s.clock.SetTime(began.Add(lasting))
	return s.evaluate(ctx, v1alpha1.HealthOutage, began)
}

func (s *shop) evaluate(ctx SpecContext, health v1alpha1.Health, since time.Time) *v1alpha1.ServiceLevelAgreement {
	GinkgoHelper()
	a, seen := &v1alpha1.ServiceLevelAgreement{}, &v1alpha1.ServiceLevelAgreement{}
	name := client.ObjectKey{Namespace: s.namespace, Name: "gold"}
	Expect(env.Admin().Get(ctx, name, a)).To(Succeed())
	facts := servicelevel.AgreementFacts{Agreement: a, Service: &servicelevel.Observation{Health: health, Since: since}}
	a.Status = servicelevel.EvaluateAgreement(facts, s.clock.Now()).Status
	Expect(env.Admin().Status().Update(ctx, a)).To(Succeed())
	Eventually(func(g Gomega) {
		g.Expect(s.cluster.GetClient().Get(ctx, name, seen)).To(Succeed())
		g.Expect(seen.ResourceVersion).To(Equal(a.ResourceVersion))
	}).Should(Succeed())
	return a
}

var _ = Describe("A Release of a Service with an agreement", func() {
	It("goes back when the error budget burns, and names the pair of windows", func(ctx SpecContext) {
		s := open(ctx)
		s.agreement(ctx)
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		s.pass(ctx, 3*time.Second)
		Expect(s.image(ctx, "worker")).To(Equal("worker:2"))

		a := s.outage(ctx, 5*time.Second)
		Expect(meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionAtRisk).Reason).NotTo(Equal(servicelevel.ReasonBurnRate), "that much the budget bears")
		s.settle(ctx, true)
		Expect(s.release(ctx, "shop-2").Status.Failure).To(BeNil())

		s.outage(ctx, time.Minute)
		s.settle(ctx, true)
		r := s.release(ctx, "shop-2")
		Expect(r.Status.Failure).NotTo(BeNil())
		Expect(r.Status.Failure.Reason).To(Equal(v1alpha1.ReleaseFailureBurn))
		Expect(r.Status.Failure.Message).To(And(ContainSubstring("ServiceLevelAgreement gold"), ContainSubstring("in the last 1h, and so in the last 5m")))
		Expect(r.Status.Phases[0].Message).To(Equal(r.Status.Failure.Message))
		s.pass(ctx, 3*time.Second)
		Expect(s.release(ctx, "shop-2").Status.State).To(Equal(v1alpha1.ReleaseRolledBack))
	})

	It("does not take the blame for what burnt before it began", func(ctx SpecContext) {
		s := open(ctx)
		s.agreement(ctx)
		s.outage(ctx, 2*time.Minute)
		s.evaluate(ctx, v1alpha1.HealthOperational, s.clock.Now())
		s.clock.SetTime(s.clock.Now().Add(time.Second))
		s.create(ctx, s.version2())
		s.settle(ctx, true)
		s.pass(ctx, 3*time.Second)
		s.pass(ctx, 2*time.Minute)
		r := s.release(ctx, "shop-2")
		Expect(r.Status.Failure).To(BeNil())
		Expect(r.Status.Phases[0].State).To(Equal(v1alpha1.ReleasePhaseDone))
		Expect(r.Status.Phases[0].Message).NotTo(ContainSubstring("ServiceLevelAgreement"))
	})
})
