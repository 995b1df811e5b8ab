package sla_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/sla"
)

// begin is in the middle of a month of 30 days.
var begin = time.Date(2026, 9, 15, 8, 0, 0, 0, time.UTC)

var _ = Describe("a ServiceLevelAgreement", Ordered, func() {
	var (
		namespace string
		now       *clocktesting.FakePassiveClock
		stop      func()
	)
	// start runs the controller as a new process would: with no memory.
	start := func() {
		GinkgoHelper()
		skipNames := true
		mgr, err := ctrl.NewManager(env.AdminConfig(), ctrl.Options{
			Scheme: env.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
			Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
			Controller: config.Controller{SkipNameValidation: &skipNames},
		})
		Expect(err).NotTo(HaveOccurred())
		running, cancel := context.WithCancel(context.Background())
		Expect((&sla.Reconciler{Client: mgr.GetClient(), Clock: now}).SetupWithManager(running, mgr)).To(Succeed())
		done := make(chan error, 1)
		go func() { done <- mgr.Start(running) }()
		stop = func() {
			cancel()
			Eventually(done).Should(Receive(BeNil()))
		}
	}
	agreement := func(g Gomega, ctx context.Context) *v1alpha1.ServiceLevelAgreement {
		a := &v1alpha1.ServiceLevelAgreement{}
		g.Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: "gold"}, a)).To(Succeed())
		return a
	}
	eventually := func(ctx context.Context, matches func(Gomega, *v1alpha1.ServiceLevelAgreementStatus)) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			s := &agreement(g, ctx).Status
			g.Expect(s.CurrentPeriod).NotTo(BeNil())
			matches(g, s)
		}).Should(Succeed())
	}
	// health is told as the Service's own controller does.
	health := func(ctx context.Context, health v1alpha1.Health, since, at time.Time) {
		GinkgoHelper()
		now.SetTime(at)
		s := &v1alpha1.Service{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: "checkout"}, s)).To(Succeed())
		after := s.DeepCopy()
		from := metav1.NewTime(since)
		after.Status.Health, after.Status.HealthSince = health, &from
		Expect(env.Admin().Status().Patch(ctx, after, client.MergeFrom(s))).To(Succeed())
	}
	// gauges of the agreement, those with more labels as name{value}.
	gauges := func() map[string]float64 {
		GinkgoHelper()
		families, err := metrics.Registry.Gather()
		Expect(err).NotTo(HaveOccurred())
		values := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name, ours := f.GetName(), false
				for _, l := range m.GetLabel() {
					switch l.GetName() {
					case "namespace":
						ours = l.GetValue() == namespace
					case "service", "sla":
					default:
						name += "{" + l.GetValue() + "}"
					}
				}
				if ours {
					values[name] = m.GetGauge().GetValue()
				}
			}
		}
		return values
	}

	BeforeAll(func(ctx SpecContext) {
		namespace = env.Namespace(GinkgoTB(), nil)
		now = clocktesting.NewFakePassiveClock(begin)
		Expect(env.Admin().Create(ctx, &v1alpha1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "checkout"},
			Spec:       v1alpha1.ServiceSpec{Owner: v1alpha1.Contact{Team: "payments"}},
		})).To(Succeed())
		health(ctx, v1alpha1.HealthOperational, time.Date(2026, 8, 31, 0, 0, 0, 0, time.UTC), begin)
		Expect(env.Admin().Create(ctx, &v1alpha1.ServiceLevelAgreement{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gold"},
			Spec: v1alpha1.ServiceLevelAgreementSpec{
				ServiceRef: v1alpha1.LocalReference{Name: "checkout"}, ValidFrom: "2026-09-01T00:00:00Z",
				Availability: &v1alpha1.AvailabilityTarget{Target: "99.9"}, Credits: []v1alpha1.Credit{{Below: "99.9", Percent: 10}},
			},
		})).To(Succeed())
		start()
		DeferCleanup(func() { stop() })
	})

	It("is met by a service that was up all the time", func(ctx SpecContext) {
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.Compliance).To(Equal(v1alpha1.ComplianceMet))
			g.Expect(s.CurrentPeriod.AgreedSeconds).To(BeEquivalentTo(14*86400 + 8*3600))
			g.Expect(s.CurrentPeriod.Availability).To(Equal("100"))
			g.Expect(s.CurrentPeriod.ErrorBudgetRemaining).To(Equal("100.0"))
		})
	})

	It("counts an outage to the second, from its beginning to its end in truth", func(ctx SpecContext) {
		health(ctx, v1alpha1.HealthOutage, begin.Add(time.Hour), begin.Add(time.Hour))
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.CurrentPeriod.OpenOutageSince).NotTo(BeNil())
			g.Expect(s.CurrentPeriod.OpenOutageSince.Time).To(BeTemporally("==", begin.Add(time.Hour)))
		})
		now.SetTime(begin.Add(time.Hour + 100*time.Second))
		Eventually(gauges).Should(And( // the operator reads what it wrote from its cache, a moment later
			HaveKeyWithValue("itil_sla_downtime_seconds", 100.0),
			HaveKeyWithValue("itil_sla_objective_ratio", 0.999),
			HaveKeyWithValue("itil_sla_error_budget_seconds", 2592.0),
			HaveKeyWithValue("itil_sla_error_budget_remaining_seconds", 2492.0),
			HaveKeyWithValue("itil_sla_mtrs_seconds", 100.0),
			HaveKeyWithValue("itil_sla_compliance{Met}", 1.0),
			HaveKeyWithValue("itil_sla_burn_rate{1h}", BeNumerically("~", 100/3600./0.001, 1e-9)),
			HaveKeyWithValue("itil_sla_burn_rate{5m}", BeNumerically("~", 100/300./0.001, 1e-9)),
			HaveKeyWithValue("itil_sla_burn_rate_threshold{1h}{5m}", BeNumerically("~", 14.4, 1e-9)),
			HaveKeyWithValue("itil_sla_burn_rate_threshold{6h}{30m}", BeNumerically("~", 6, 1e-9)),
			HaveKeyWithValue("itil_sla_burn_rate_threshold{3d}{6h}", BeNumerically("~", 1, 1e-9)),
		))

		health(ctx, v1alpha1.HealthOperational, begin.Add(time.Hour+321*time.Second), begin.Add(time.Hour+381*time.Second))
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.CurrentPeriod.OpenOutageSince).To(BeNil())
			g.Expect(s.CurrentPeriod.DowntimeSeconds).To(BeEquivalentTo(321))
			g.Expect(s.CurrentPeriod.Outages).To(BeEquivalentTo(1))
			// 321 of 1,242,381 s, and of a budget of 2592 s.
			g.Expect(s.CurrentPeriod.Availability).To(Equal("99.9741"))
			g.Expect(s.CurrentPeriod.ErrorBudgetRemaining).To(Equal("87.6"))
			g.Expect(s.CurrentPeriod.MTRSSeconds).To(HaveValue(BeEquivalentTo(321)))
			// More than 2 % of the budget within an hour.
			g.Expect(s.Compliance).To(Equal(v1alpha1.ComplianceAtRisk))
		})
		Eventually(gauges).Should(And( // the operator reads what it wrote from its cache, a moment later
			HaveKeyWithValue("itil_sla_availability_ratio", BeNumerically("~", 1-321/1_242_381., 1e-12)),
			HaveKeyWithValue("itil_sla_error_budget_remaining_ratio", BeNumerically("~", 1-321/2592., 1e-12)),
		))
	})

	It("is not written while nothing happens", func(ctx SpecContext) {
		calm := begin.Add(8 * time.Hour)
		now.SetTime(calm)
		touch(ctx, namespace, 50)
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.Compliance).To(Equal(v1alpha1.ComplianceMet))
		})
		before := agreement(Default, ctx).ResourceVersion
		for n := range 5 {
			now.SetTime(calm.Add(time.Duration(1+n) * time.Hour))
			touch(ctx, namespace, n)
		}
		stop()
		start()
		after := agreement(Default, ctx)
		Consistently(func(g Gomega) {
			current := agreement(g, ctx)
			g.Expect(current.ResourceVersion).To(Equal(after.ResourceVersion))
			g.Expect(current.Status.CurrentPeriod.AsOf.Time).To(BeTemporally("==", calm))
		}, 2*time.Second).Should(Succeed())
		Expect(after.ResourceVersion).NotTo(Equal(before), "the test itself wrote labels")
	})

	It("loses nothing of an outage during which it was not running", func(ctx SpecContext) {
		out := begin.Add(24 * time.Hour)
		health(ctx, v1alpha1.HealthOutage, out, out)
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.CurrentPeriod.OpenOutageSince).NotTo(BeNil())
		})
		stop()
		now.SetTime(out.Add(10 * time.Minute))
		start()
		health(ctx, v1alpha1.HealthOperational, out.Add(679*time.Second), out.Add(800*time.Second))
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.CurrentPeriod.OpenOutageSince).To(BeNil())
			g.Expect(s.CurrentPeriod.DowntimeSeconds).To(BeEquivalentTo(1000))
			g.Expect(s.CurrentPeriod.UnobservedSeconds).To(BeZero())
			g.Expect(s.CurrentPeriod.Outages).To(BeEquivalentTo(2))
		})
	})

	It("counts what a person declared, once", func(ctx SpecContext) {
		at := begin.Add(48 * time.Hour)
		now.SetTime(at.Add(time.Hour))
		i := &v1alpha1.Incident{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "nobody-can-pay"},
			Spec: v1alpha1.IncidentSpec{
				Title: "Nobody can pay", Source: v1alpha1.IncidentSourceUser, Reporter: "erin", Impact: v1alpha1.LevelHigh,
				ServiceRef: &v1alpha1.LocalReference{Name: "checkout"},
			},
		}
		Expect(env.Admin().Create(ctx, i)).To(Succeed())
		from, to := metav1.NewTime(at), metav1.NewTime(at.Add(592*time.Second))
		i.Status.State, i.Status.StartedAt, i.Status.DetectedAt, i.Status.ResolvedAt = v1alpha1.IncidentResolved, &from, &from, &to
		i.Status.Clocks = &v1alpha1.IncidentClocks{Agreement: "gold", Response: &v1alpha1.Clock{State: v1alpha1.ClockMet}}
		Expect(env.Admin().Status().Update(ctx, i)).To(Succeed())
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.CurrentPeriod.DowntimeSeconds).To(BeEquivalentTo(1592))
			g.Expect(s.Incidents.ResponseMet).To(BeEquivalentTo(1))
		})
	})

	It("keeps the figures of a period that has ended, and begins anew", func(ctx SpecContext) {
		// 1592 s so far: with these 1001 s it is one second more than the 2592 s of the budget.
		out := time.Date(2026, 9, 30, 12, 0, 0, 0, time.UTC)
		health(ctx, v1alpha1.HealthOutage, out, out)
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.CurrentPeriod.OpenOutageSince).NotTo(BeNil())
		})
		health(ctx, v1alpha1.HealthOperational, out.Add(1001*time.Second), out.Add(1100*time.Second))
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.Compliance).To(Equal(v1alpha1.ComplianceBreached))
			g.Expect(s.Conditions).To(ContainElement(And(
				HaveField("Type", v1alpha1.ConditionBudgetExhausted), HaveField("Status", metav1.ConditionTrue))))
		})
		now.SetTime(time.Date(2026, 10, 1, 0, 0, 1, 0, time.UTC))
		touch(ctx, namespace, 99) // as the wake-up does whose time the test does not wait for
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.Compliance).To(Equal(v1alpha1.ComplianceMet))
			g.Expect(s.Interruptions).To(HaveLen(1), "what the burn rate of three days may still ask for")
			g.Expect(s.History).To(HaveLen(1))
			g.Expect(s.History[0].DowntimeSeconds).To(BeEquivalentTo(2593))
			g.Expect(s.History[0].AgreedSeconds).To(BeEquivalentTo(30 * 86400))
			g.Expect(s.History[0].CreditPercent).To(BeEquivalentTo(10))
		})
	})

	It("goes on by what was agreed when the period began", func(ctx SpecContext) {
		a := agreement(Default, ctx)
		edited := a.DeepCopy()
		edited.Spec.Availability.Target = "50"
		edited.Spec.Credits = nil
		Expect(env.Admin().Patch(ctx, edited, client.MergeFrom(a))).To(Succeed())
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.ObservedGeneration).To(Equal(edited.Generation))
			g.Expect(s.CurrentPeriod.Target).To(BeEquivalentTo("99.9"))
			g.Expect(s.Terms.Credits).To(HaveLen(1))
		})
	})

	It("does not become an agreement about another service", func(ctx SpecContext) {
		a := agreement(Default, ctx)
		edited := a.DeepCopy()
		edited.Spec.ServiceRef.Name = "ledger"
		Expect(env.Admin().Patch(ctx, edited, client.MergeFrom(a))).To(MatchError(ContainSubstring(
			"serviceRef cannot be changed, since what was recorded is of that service; create another agreement")))
	})

	It("tells an SLA that what it rests on promises less", func(ctx SpecContext) {
		underpinned := func(status metav1.ConditionStatus, says string) {
			GinkgoHelper()
			eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
				g.Expect(s.Conditions).To(ContainElement(And(
					HaveField("Type", v1alpha1.ConditionUnderpinned), HaveField("Status", status), HaveField("Message", ContainSubstring(says)))))
			})
		}
		ola := &v1alpha1.ServiceLevelAgreement{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "internal"},
			Spec: v1alpha1.ServiceLevelAgreementSpec{
				Type: v1alpha1.AgreementOLA, ServiceRef: v1alpha1.LocalReference{Name: "checkout"},
				Availability: &v1alpha1.AvailabilityTarget{Target: "49.9"},
			},
		}
		Expect(env.Admin().Create(ctx, ola)).To(Succeed())
		underpinned(metav1.ConditionFalse, "OLA "+namespace+"/internal promises an availability of 49.9 %, less than 50 %")
		better := ola.DeepCopy()
		better.Spec.Availability.Target = "99.99"
		Expect(env.Admin().Patch(ctx, better, client.MergeFrom(ola))).To(Succeed())
		underpinned(metav1.ConditionTrue, "promise as much")
	})

	It("counts what several changes of a Service's health say at once", func(ctx SpecContext) {
		before := agreement(Default, ctx).Status.CurrentPeriod.DowntimeSeconds
		at := func(s int) metav1.Time { return metav1.NewTime(time.Date(2026, 10, 1, 12, 0, s, 0, time.UTC)) }
		now.SetTime(at(600).Time)
		service := &v1alpha1.Service{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: "checkout"}, service)).To(Succeed())
		after := service.DeepCopy()
		after.Status.Health, after.Status.HealthSince = v1alpha1.HealthOperational, new(at(247))
		after.Status.Transitions = []v1alpha1.HealthTransition{
			{Health: v1alpha1.HealthOperational, At: *service.Status.HealthSince}, {Health: v1alpha1.HealthOutage, At: at(5)},
			{Health: v1alpha1.HealthUnknown, At: at(42)}, {Health: v1alpha1.HealthOutage, At: at(52)}, {Health: v1alpha1.HealthOperational, At: at(247)},
		}
		Expect(env.Admin().Status().Patch(ctx, after, client.MergeFrom(service))).To(Succeed())
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.CurrentPeriod.DowntimeSeconds - before).To(BeEquivalentTo(232))
			g.Expect(s.CurrentPeriod.UnobservedSeconds).To(BeEquivalentTo(10))
		})
		// The next specs tell the health alone.
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: "checkout"}, service)).To(Succeed())
		bare := service.DeepCopy()
		bare.Status.Transitions = nil
		Expect(env.Admin().Status().Patch(ctx, bare, client.MergeFrom(service))).To(Succeed())
	})

	It("says which field cannot be understood, and loses nothing meanwhile", func(ctx SpecContext) {
		edit := func(zone v1alpha1.TimeZone) {
			GinkgoHelper()
			a := agreement(Default, ctx)
			after := a.DeepCopy()
			after.Spec.Period.TimeZone = zone
			Expect(env.Admin().Patch(ctx, after, client.MergeFrom(a))).To(Succeed())
		}
		edit("Europe/Bonn")
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.Compliance).To(Equal(v1alpha1.ComplianceUnknown))
			g.Expect(s.Conditions).To(ContainElement(And(
				HaveField("Type", v1alpha1.ConditionDataAvailable), HaveField("Reason", "Invalid"),
				HaveField("Message", ContainSubstring(`spec.period.timeZone "Europe/Bonn"`)))))
		})
		out := time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC)
		health(ctx, v1alpha1.HealthOutage, out, out)
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.Observed.Health).To(Equal(v1alpha1.HealthOutage))
		})
		health(ctx, v1alpha1.HealthOperational, out.Add(5*time.Second), out.Add(65*time.Second))
		edit("UTC")
		eventually(ctx, func(g Gomega, s *v1alpha1.ServiceLevelAgreementStatus) {
			g.Expect(s.Compliance).To(Equal(v1alpha1.ComplianceAtRisk))
			g.Expect(s.CurrentPeriod.DowntimeSeconds).To(BeEquivalentTo(232 + 5))
		})
	})
})

// touch causes an event that brings nothing new.
func touch(ctx context.Context, namespace string, n int) {
	GinkgoHelper()
	a := &v1alpha1.ServiceLevelAgreement{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: "gold"}, a)).To(Succeed())
	after := a.DeepCopy()
	after.Labels = map[string]string{"touched": string(rune('a' + n%26))}
	Expect(env.Admin().Patch(ctx, after, client.MergeFrom(a))).To(Succeed())
}
