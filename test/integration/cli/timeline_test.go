package cli_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

var _ = Describe("The timeline", func() {
	It("tells what happened to a Service, and what may not be read", func(ctx SpecContext) {
		namespace := env.Namespace(GinkgoTB(), nil)
		sam := somebody(namespace, "sam", []string{"sre"}, "itil-viewer")
		began := metav1.NewTime(time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC))
		s := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "checkout"}}
		s.Spec.Owner.Team = "payments"
		s.Status.Health, s.Status.HealthSince = v1alpha1.HealthOutage, &began
		s.Status.Workloads = []v1alpha1.ServiceWorkload{{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}}
		record(ctx, s)
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "oom"}}
		i.Spec = v1alpha1.IncidentSpec{
			Title: "it is OOMKilled", Source: v1alpha1.IncidentSourceDetector,
			WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "checkout"},
		}
		i.Status.Timeline = []v1alpha1.TimelineEntry{{At: metav1.NewTime(began.Add(time.Minute)), What: "opened: it is OOMKilled", By: "itil-operator"}}
		record(ctx, i)

		told := sam.runs(ctx, namespace, "timeline", "checkout").expect(exit.OK)
		Expect(told.out).To(Equal("TIME                   OBJECT             WHO             WHAT\n" +
			"2026-11-20 09:00:00Z   service/checkout   itil-operator   health Outage\n" +
			"2026-11-20 09:01:00Z   incident/oom       itil-operator   opened: it is OOMKilled\n"))
		told = sam.runs(ctx, namespace, "timeline", "deploy/checkout", "--since", "2026-11-20T09:00:30Z", "-o", "yaml").expect(exit.OK)
		Expect(told.out).To(MatchYAML("entries: [{at: \"2026-11-20T09:01:00Z\", object: incident/oom, what: \"opened: it is OOMKilled\", by: itil-operator}]"))
		sam.runs(ctx, namespace, "timeline", "report/nothing").expect(exit.Usage)
		sam.runs(ctx, namespace, "timeline", "deploy/report").expect(exit.OK, "Nothing is remembered of deploy/report")
		sam.runs(ctx, namespace, "timeline", "deploy/report", "-o", "json").expect(exit.OK, `"entries": []`)
		sam.runs(ctx, namespace, "timeline", "chekout").expect(exit.NotFound, "there is no Service")
		sam.runs(ctx, namespace, "timeline", "checkout", "--since", "yesterday").expect(exit.Usage, "is no length")
		sam.runs(ctx, namespace, "timeline", "checkout", "-o", "wide").expect(exit.Usage, "json or yaml")
		somebody(namespace, "stranger", nil).runs(ctx, namespace, "timeline", "deploy/checkout").expect(exit.NotPermitted, "you may read nothing")
	})

	It("tells what comes from other namespaces, as far as one may read it", func(ctx SpecContext) {
		namespace, needed, nodes := env.Namespace(GinkgoTB(), nil), env.Namespace(GinkgoTB(), nil), env.Namespace(GinkgoTB(), nil)
		began := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "checkout"}}
		service.Spec.Owner.Team = "payments"
		service.Spec.DependsOn = []v1alpha1.Dependency{{Name: "ledger", Namespace: v1alpha1.NamespaceName(needed), Strength: v1alpha1.DependencyHard}}
		record(ctx, service)
		incident := func(namespace, name string, minute int, alter func(*v1alpha1.Incident)) {
			GinkgoHelper()
			i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
			i.Spec = v1alpha1.IncidentSpec{
				Title: name, Source: v1alpha1.IncidentSourceDetector, WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "other"},
			}
			at := metav1.NewTime(began.Add(time.Duration(minute) * time.Minute))
			i.Status.Timeline = []v1alpha1.TimelineEntry{{At: at, What: "opened: " + name, By: "itil-operator"}}
			alter(i)
			record(ctx, i)
		}
		affects := func(i *v1alpha1.Incident) {
			i.Status.AffectedServices = []v1alpha1.NamespacedReference{{Namespace: v1alpha1.NamespaceName(namespace), Name: "checkout"}}
		}
		nothing := func(*v1alpha1.Incident) {}
		incident(nodes, "node-is-lost", 0, nothing)
		incident(nodes, "another-node", 0, nothing)
		incident(namespace, "no-pods", 1, func(i *v1alpha1.Incident) {
			affects(i)
			i.Status.ParentRef = &v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(nodes), Name: "node-is-lost"}
		})
		incident(needed, "ledger-is-out", 2, affects)
		incident(needed, "stock-is-out", 2, nothing)

		sam := somebody(namespace, "sam", []string{"sre"}, "itil-viewer")
		told := sam.runs(ctx, namespace, "timeline", "checkout").expect(exit.OK, "You may not read Incidents in namespace", needed, nodes, "opened: no-pods")
		Expect(told.out).NotTo(ContainSubstring("ledger-is-out"))
		for _, other := range []string{needed, nodes} {
			somebody(other, "sam", []string{"sre"}, "itil-viewer")
		}
		Eventually(func(g Gomega) {
			told := sam.runs(ctx, namespace, "timeline", "checkout")
			g.Expect(told.errOut).To(BeEmpty())
			g.Expect(told.out).To(MatchRegexp(`(?s)^TIME [^\n]*\n[^\n]*incident/` + nodes + `/node-is-lost [^\n]*\n[^\n]*incident/no-pods [^\n]*\n[^\n]*incident/` + needed + `/ledger-is-out [^\n]*\n$`))
		}).Should(Succeed())
	})
})
