package cli_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

var _ = Describe("Agreements", func() {
	It("are shown with what was kept until now, and with the periods that are over", func(ctx SpecContext) {
		namespace := env.Namespace(GinkgoTB(), nil)
		sam := somebody(namespace, "sam", []string{"sre"}, "itil-viewer")
		sam.runs(ctx, namespace, "sla").expect(exit.OK, "No ServiceLevelAgreements in namespace "+namespace)

		since := metav1.NewTime(time.Now().Add(-10 * 24 * time.Hour).Truncate(time.Second))
		s := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "checkout"}}
		s.Spec.Owner.Team = "payments"
		s.Status.Health, s.Status.HealthSince = v1alpha1.HealthOperational, &since
		record(ctx, s)
		a := &v1alpha1.ServiceLevelAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gold"}}
		a.Spec.ServiceRef.Name = "checkout"
		a.Spec.Type = v1alpha1.AgreementSLA
		a.Spec.ValidFrom = v1alpha1.Timestamp(since.UTC().Format(time.RFC3339))
		a.Spec.Period = v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, TimeZone: "UTC", Days: 30}
		a.Spec.Availability = &v1alpha1.AvailabilityTarget{Target: "99"}
		outage := metav1.NewTime(since.Add(24 * time.Hour))
		up := metav1.NewTime(outage.Add(time.Hour))
		a.Status.Compliance = v1alpha1.ComplianceMet
		a.Status.Observed = &v1alpha1.ObservedHealth{Health: v1alpha1.HealthOperational, Since: up, RecordedFrom: since}
		a.Status.Interruptions = []v1alpha1.Interruption{{Type: v1alpha1.InterruptionOutage, From: outage, To: &up}}
		a.Status.History = []v1alpha1.PeriodFigures{{Start: since, End: up, AsOf: up, Target: "99", Availability: "99.5", CreditPercent: 10}}
		record(ctx, a)

		shown := sam.runs(ctx, namespace, "sla").expect(exit.OK, "gold", "checkout", "Met", "99 %", "60m")
		// One hour of ten days: 0.4166 %.
		Expect(shown.out).To(ContainSubstring("99.58"))
		Expect(shown.out).NotTo(ContainSubstring("*"))
		sam.runs(ctx, namespace, "sla", "gold", "-o", "name").expect(exit.OK, "servicelevelagreement.itil.dev/gold")
		sam.runs(ctx, namespace, "sla", "history", "gold").expect(exit.OK, "99.5 %", "10 %")
		sam.runs(ctx, namespace, "sla", "silver").expect(exit.NotFound, "there is no ServiceLevelAgreement")
		sam.runs(ctx, namespace, "sla", "gold", "-A").expect(exit.Usage, "not both")
	})
})
