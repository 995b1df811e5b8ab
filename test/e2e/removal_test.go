package e2e

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// removal: `make undeploy` on a cluster in use, and another installation on it.
func removal() {
	s := &shop{}

	BeforeAll(func(ctx SpecContext) {
		s.open(ctx, "last", v1alpha1.EnforcementEnforce)
		Expect(s.setImage(ctx, "alice", "2.4")).NotTo(Succeed())
		s.filed(ctx, "2.4")
	}, NodeTimeout(5*time.Minute))

	It("leaves nothing stuck", func(ctx SpecContext) {
		// In this order: the script takes the operator's Deployment away before the CRDs.
		env.operator(ctx, "stop")
		undeploy := env.command(ctx, "hack/undeploy.sh")
		out, err := undeploy.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		for _, kinds := range []string{
			"crd,clusterrole,clusterrolebinding,validatingwebhookconfiguration,validatingadmissionpolicy,validatingadmissionpolicybinding",
			"mutatingadmissionpolicy,mutatingadmissionpolicybinding,namespace",
		} {
			out, err := env.kubectl(ctx, admin, "get", kinds, "-o", "name")
			Expect(err).NotTo(HaveOccurred())
			for line := range strings.Lines(out) {
				Expect(line).NotTo(ContainSubstring("itil"))
			}
		}
	}, SpecTimeout(6*time.Minute))

	It("leaves the workloads running, and nobody in their way", func(ctx SpecContext) {
		s.rolledOut(ctx, "2.3")
		Expect(s.setImage(ctx, "alice", "2.4")).To(Succeed())
		s.rolledOut(ctx, "2.4")
		d := &appsv1.Deployment{}
		Expect(env.admin.Get(ctx, s.key("checkout"), d)).To(Succeed())
		Expect(d.Finalizers).To(BeEmpty())
	}, SpecTimeout(4*time.Minute))

	It("can be installed again", func(ctx SpecContext) {
		out, err := env.run(ctx, "up")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(env.admin.Create(ctx, builder.MakeService(s.namespace, "checkout").Tier(1).
			ClaimApp(v1alpha1.WorkloadDeployment, "checkout").Obj())).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(s.service(ctx, g).Status.Health).To(Equal(v1alpha1.HealthOperational))
			g.Expect(s.baselines(ctx, g)).To(Equal([]v1alpha1.BaselineSource{v1alpha1.BaselineAdopted}), "what went in meanwhile is adopted")
		}).WithTimeout(2 * time.Minute).Should(Succeed())
		_, err = env.kubectl(ctx, admin, "delete", "namespace", s.namespace, "--timeout=60s")
		Expect(err).NotTo(HaveOccurred())
	}, SpecTimeout(6*time.Minute))
}
