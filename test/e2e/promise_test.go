package e2e

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// promise is a ServiceLevelAgreement over a Service whose one pod is out twice: once while the operator looks, once
// while it is dead when the outage ends. Contexts run between its parts, so that an outage has a length.
type promise struct {
	namespace string
	// down are the seconds for which the pod was not Ready, by its own condition.
	down time.Duration
	// since is when the outage that goes on began, by the pod.
	since time.Time
}

// exact is what whole seconds in the timestamps of two objects may differ by.
const exact = time.Second

func (p *promise) made() {
	It("agrees on a service level", func(ctx SpecContext) {
		p.namespace = env.namespace(ctx, "promise", nil)
		Expect(env.admin.Create(ctx, builder.MakeDeployment(p.namespace, "web").Replicas(1).Obj())).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			ready, _ := p.pod(ctx, g)
			g.Expect(ready).To(Equal(corev1.ConditionTrue))
		}).Should(Succeed())
		Expect(env.admin.Create(ctx, builder.MakeService(p.namespace, "web").Tier(2).Claim(v1alpha1.WorkloadDeployment, "web").Obj())).To(Succeed())
		Expect(env.admin.Create(ctx, &v1alpha1.ServiceLevelAgreement{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "gold"},
			Spec: v1alpha1.ServiceLevelAgreementSpec{
				Type: v1alpha1.AgreementSLA, ServiceRef: v1alpha1.LocalReference{Name: "web"}, Customer: "retail",
				Period:       v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, Days: 30},
				Availability: &v1alpha1.AvailabilityTarget{Target: "99.9"},
			},
		})).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			agreement := p.agreement(ctx, g)
			g.Expect(agreement.Status.Observed).NotTo(BeNil())
			g.Expect(agreement.Status.Observed.Health).To(Equal(v1alpha1.HealthOperational))
		}).WithTimeout(3 * time.Minute).Should(Succeed())
	}, SpecTimeout(5*time.Minute))

	It("sees an outage begin", p.breaks, SpecTimeout(4*time.Minute))
}

func (p *promise) kept() {
	It("finds in the agreement and in the metrics exactly the seconds of an outage that it saw", func(ctx SpecContext) {
		p.heal(ctx)
		p.expectDown(ctx, 1)
	}, SpecTimeout(6*time.Minute))
}

func (p *promise) keptByTheDead() {
	It("finds exactly the seconds of an outage whose end it did not live to see", func(ctx SpecContext) {
		p.breaks(ctx)
		env.kill(ctx)
		DeferCleanup(func(ctx SpecContext) { env.operator(ctx, "start") }, NodeTimeout(5*time.Minute))
		Consistently(ctx, func(g Gomega) {
			ready, _ := p.pod(ctx, g)
			g.Expect(ready).To(Equal(corev1.ConditionFalse))
		}).WithTimeout(2 * stays).Should(Succeed())
		p.heal(ctx)
		env.operator(ctx, "start")
		p.expectDown(ctx, 2)
	}, SpecTimeout(5*time.Minute))
}

// breaks makes the pod unready, and waits until the agreement says so.
func (p *promise) breaks(ctx SpecContext) {
	_, err := env.kubectl(ctx, admin, "-n", p.namespace, "annotate", "pods", "-l", "app=web", behaviour+"=notready")
	Expect(err).NotTo(HaveOccurred())
	Eventually(ctx, func(g Gomega) {
		var ready corev1.ConditionStatus
		ready, p.since = p.pod(ctx, g)
		g.Expect(ready).To(Equal(corev1.ConditionFalse))
		agreement := p.agreement(ctx, g)
		g.Expect(agreement.Status.CurrentPeriod).NotTo(BeNil())
		g.Expect(agreement.Status.CurrentPeriod.OpenOutageSince).NotTo(BeNil())
		g.Expect(agreement.Status.CurrentPeriod.OpenOutageSince.Time).To(BeTemporally("~", p.since, exact))
	}).Should(Succeed())
}

// heal makes the pod ready again, and adds how long it was not.
func (p *promise) heal(ctx context.Context) {
	_, err := env.kubectl(ctx, admin, "-n", p.namespace, "annotate", "pods", "-l", "app=web", behaviour+"-")
	Expect(err).NotTo(HaveOccurred())
	Eventually(ctx, func(g Gomega) {
		ready, since := p.pod(ctx, g)
		g.Expect(ready).To(Equal(corev1.ConditionTrue))
		p.down += since.Sub(p.since)
	}).Should(Succeed())
}

// expectDown waits until no outage is open, and compares. Both edges of an outage may be off by what is exact.
func (p *promise) expectDown(ctx context.Context, outages int) {
	tolerance := time.Duration(2*outages) * exact
	Eventually(ctx, func(g Gomega) {
		figures := p.agreement(ctx, g).Status.CurrentPeriod
		g.Expect(figures).NotTo(BeNil())
		g.Expect(figures.OpenOutageSince).To(BeNil())
		g.Expect(figures.Outages).To(BeEquivalentTo(outages))
		g.Expect(time.Duration(figures.DowntimeSeconds) * time.Second).To(BeNumerically("~", p.down, tolerance))
		g.Expect(figures.UnobservedSeconds).To(BeZero())
		g.Expect(metric(ctx, "itil_sla_downtime_seconds")).To(BeEquivalentTo(figures.DowntimeSeconds))
	}).WithTimeout(2 * time.Minute).WithPolling(time.Second).Should(Succeed())
}

func (p *promise) agreement(ctx context.Context, g Gomega) *v1alpha1.ServiceLevelAgreement {
	agreement := &v1alpha1.ServiceLevelAgreement{}
	g.Expect(env.admin.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: "gold"}, agreement)).To(Succeed())
	return agreement
}

// pod is whether the only pod is Ready, and since when.
func (p *promise) pod(ctx context.Context, g Gomega) (corev1.ConditionStatus, time.Time) {
	pods := &corev1.PodList{}
	g.Expect(env.admin.List(ctx, pods, client.InNamespace(p.namespace))).To(Succeed())
	g.Expect(pods.Items).To(HaveLen(1))
	for _, condition := range pods.Items[0].Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status, condition.LastTransitionTime.Time
		}
	}
	return corev1.ConditionUnknown, time.Time{}
}
