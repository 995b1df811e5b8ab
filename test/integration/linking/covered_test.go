package linking_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var _ = Describe("A ChangePolicy over all workloads", func() {
	It("knows since when it is enforced: what is made past the gate is no adoption, also when the gate is gone", func(ctx SpecContext) {
		namespace := env.Namespace(GinkgoTB(), nil)
		policy := builder.MakeChangePolicy("over-" + namespace).AllWorkloads().Enforcement(v1alpha1.EnforcementEnforce).
			Spec(func(s *v1alpha1.ChangePolicySpec) {
				s.NamespaceSelector.MatchLabels = map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(namespace)}
			}).Obj()
		created(ctx, policy)
		DeferCleanup(func(ctx SpecContext) { Expect(env.Admin().Delete(ctx, policy)).To(Succeed()) })
		gate := listing(namespace)
		created(ctx, gate)
		DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(env.Admin().Delete(ctx, gate))).To(Succeed()) })

		source := func(name string) func(Gomega) []v1alpha1.BaselineSource {
			return func(g Gomega) (sources []v1alpha1.BaselineSource) {
				for _, b := range itemOf(ctx, namespace, "deployment-"+name)(g).Baselines {
					sources = append(sources, b.Source)
				}
				return sources
			}
		}
		made := func(name string) { created(ctx, builder.MakeDeployment(namespace, name).Obj()) }

		By("adopting what is there before anybody knows since when")
		made("before")
		r := run(options{leader: true, grace: time.Second})
		Eventually(source("before")).Should(Equal([]v1alpha1.BaselineSource{v1alpha1.BaselineAdopted}))
		r.end()

		By("having been in force for an hour")
		r = run(options{leader: true, grace: time.Second, policies: clocktesting.NewFakePassiveClock(time.Now().Add(-time.Hour))})
		Eventually(func(g Gomega) []v1alpha1.EnforcedNamespace {
			live := &v1alpha1.ChangePolicy{}
			g.Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(policy), live)).To(Succeed())
			return live.Status.EnforcedIn
		}).Should(ConsistOf(HaveField("Namespace", v1alpha1.NamespaceName(namespace))))
		made("past")
		Eventually(source("past")).Should(Equal([]v1alpha1.BaselineSource{v1alpha1.BaselineUnauthorized}))

		By("the gate's configuration being deleted while nobody runs")
		r.end()
		Expect(env.Admin().Delete(ctx, gate)).To(Succeed())
		made("without")
		run(options{leader: true, grace: time.Second})
		Eventually(source("without")).Should(Equal([]v1alpha1.BaselineSource{v1alpha1.BaselineUnauthorized}))
		Expect(source("before")(Default)).To(Equal([]v1alpha1.BaselineSource{v1alpha1.BaselineAdopted}))
	})
})

// listing is the gate's configuration, which lists a namespace for Enforce, and of which the API server asks nothing.
func listing(namespace string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	GinkgoHelper()
	gate := env.Gate(GinkgoTB())
	for i := range gate.Webhooks {
		for j := range gate.Webhooks[i].Rules {
			gate.Webhooks[i].Rules[j].APIGroups = []string{"nobody.example"}
		}
	}
	gateconfig.Write(gate, gateconfig.Namespaces{Enforce: []string{namespace}})
	return gate
}
