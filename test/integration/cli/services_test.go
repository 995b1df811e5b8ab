package cli_test

import (
	"context"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var _ = Describe("Services", func() {
	It("shows what depends on what, as far as the user may see", func(ctx SpecContext) {
		shop, finance, secret := env.Namespace(GinkgoTB(), nil), env.Namespace(GinkgoTB(), nil), env.Namespace(GinkgoTB(), nil)
		healthy := func(ctx context.Context, s *builder.Service, health v1alpha1.Health) {
			GinkgoHelper()
			service := s.Obj()
			service.Status.Health, service.Status.Ready, service.Status.OpenIncidents = health, "2/3", 1
			record(ctx, service)
		}
		healthy(ctx, builder.MakeService(shop, "storefront").DependsOn("", "checkout", v1alpha1.DependencyHard).DependsOn("", "search", v1alpha1.DependencySoft), v1alpha1.HealthDegraded)
		healthy(ctx, builder.MakeService(shop, "checkout").DependsOn(finance, "ledger", v1alpha1.DependencyHard).DependsOn(secret, "vault", v1alpha1.DependencyHard).DependsOn("", "gone", v1alpha1.DependencyHard), v1alpha1.HealthDegraded)
		healthy(ctx, builder.MakeService(shop, "search"), v1alpha1.HealthOperational)
		healthy(ctx, builder.MakeService(finance, "ledger"), v1alpha1.HealthOutage)
		healthy(ctx, builder.MakeService(secret, "vault"), v1alpha1.HealthOperational)
		agreement := &v1alpha1.ServiceLevelAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "gold"}}
		agreement.Spec = v1alpha1.ServiceLevelAgreementSpec{
			Type: "SLA", ServiceRef: v1alpha1.LocalReference{Name: "checkout"}, Availability: &v1alpha1.AvailabilityTarget{Target: "99.9"},
		}
		now := metav1.NewTime(builder.Epoch)
		agreement.Status.CurrentPeriod = &v1alpha1.PeriodFigures{Start: now, End: now, AsOf: now, ErrorBudgetRemaining: "71.2"}
		record(ctx, agreement)

		victor := somebody(shop, "victor", nil, "itil-viewer")
		somebody(finance, "victor", nil, "itil-viewer")
		tree := victor.runs(ctx, shop, "services").expect(exit.OK, "71.2%")
		Expect(tree.out).To(MatchRegexp(`(?s)^SERVICE.*
storefront +Degraded +2/3 +1 .*
├─ checkout +Degraded .*
│  ├─ ` + finance + `/ledger +Outage .*
│  ├─ ` + secret + `/vault \(not readable\) .*
│  └─ gone \(not found\) .*
└─ search \(soft\) +Operational `))
		below := victor.runs(ctx, shop, "services", "checkout").expect(exit.OK)
		Expect(below.out).NotTo(ContainSubstring("storefront"))
		victor.runs(ctx, shop, "services", finance+"/ledger", "-o", "name").expect(exit.Usage, "leave one of them out")
		Expect(victor.runs(ctx, shop, "services", "-o", "name").out).To(Equal("service.itil.dev/checkout\nservice.itil.dev/search\nservice.itil.dev/storefront\n"))
		victor.runs(ctx, shop, "services", "nothing").expect(exit.NotFound, "there is no Service")
		victor.runs(ctx, shop, "services", "-A").expect(exit.NotPermitted, "look at one namespace")
	})
})

var _ = Describe("The plugin itself", func() {
	It("says its version and the cluster's", func(ctx SpecContext) {
		p := somebody("", "victor", nil)
		p.runs(ctx, "default", "version").expect(exit.OK, "Plugin: test", "Kubernetes: v1.", "its API is served")
		p.runs(ctx, "default", "version", "-o", "yaml").expect(exit.OK, "served: true")
	})

	It("says what is wrong with the connection", func(ctx SpecContext) {
		person{kubeconfig: filepath.Join(folder, "none")}.runs(ctx, "default", "changes").expect(exit.Failed, "cannot use the kubeconfig", "kubectl config view")
		person{kubeconfig: somebody("", "victor", nil).kubeconfig}.runs(ctx, "default", "changes", "--server", "https://127.0.0.1:1").
			expect(exit.Failed, "refused", "the cluster does not answer")
	})

	It("completes what is there", func(ctx SpecContext) {
		namespace := env.Namespace(GinkgoTB(), nil)
		victor := somebody(namespace, "victor", nil, "itil-viewer")
		record(ctx, builder.MakeService(namespace, "checkout").Obj())
		Expect(victor.runs(ctx, namespace, "__complete", "incidents", "--service", "ch").out).To(HavePrefix("checkout\n"))
		Expect(victor.runs(ctx, "default", "__complete", "services", namespace+"/").out).To(HavePrefix(namespace + "/checkout\n"))
		Expect(victor.runs(ctx, namespace, "__complete", "change", "new", "--pin", "").out).To(HavePrefix("auto\n"))
		victor.runs(ctx, namespace, "completion", "kubectl").expect(exit.OK, "kubectl-itil __complete")
		victor.runs(ctx, namespace, "completion", "bash").expect(exit.OK, "bash completion")
	})
})
