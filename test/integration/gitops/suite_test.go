// Package gitops sends the requests that Argo CD and Flux send, in their order, as their ServiceAccounts, to a real API
// server with the whole operator behind its webhooks: a bundle that nobody agreed to waits, leaves no damage and comes in
// by itself once it is approved.
package gitops

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/operate"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

const (
	agreedImage = "registry.shop.example/checkout:2.3"
	nextImage   = "registry.shop.example/checkout:2.4"
)

var env *apiserver.Env

func TestMain(m *testing.M) { suite.Main(m) }

func TestGitOps(t *testing.T) { suite.Run(t, "GitOps") }

var _ = BeforeSuite(func() {
	env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies())
	env.Apply(GinkgoTB(), "config/rbac/user_roles.yaml")
	operate.Operator(GinkgoTB(), env, clock.RealClock{}, nil)
})

// shop is a namespace under Enforce in which a GitOps controller has deployed checkout 2.3, which was agreed to.
type shop struct {
	namespace string
}

// rules alter the policy of the namespace.
type rules func(*v1alpha1.ChangePolicySpec)

func open(ctx SpecContext, alter ...rules) *shop {
	GinkgoHelper()
	s := &shop{namespace: env.Namespace(GinkgoTB(), nil)}
	for _, name := range []string{fluxName, argoName, helmName} {
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(name), "cluster-admin")
	}
	checkout := &appsv1.Deployment{}
	Expect(env.Scheme().Convert(deployment(s.namespace, agreedImage), checkout, nil)).To(Succeed())
	Expect(env.Admin().Create(ctx, checkout)).To(Succeed())

	policy := &v1alpha1.ChangePolicy{ObjectMeta: metav1.ObjectMeta{Name: "of-" + s.namespace}}
	policy.Spec.NamespaceSelector.MatchLabels = map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(s.namespace)}
	policy.Spec.Enforcement = v1alpha1.EnforcementEnforce
	for _, risk := range []v1alpha1.RiskLevel{v1alpha1.RiskLow, v1alpha1.RiskMedium, v1alpha1.RiskHigh} {
		policy.Spec.Approvals = append(policy.Spec.Approvals, v1alpha1.ApprovalRule{Risk: risk, Required: 1})
	}
	for _, f := range alter {
		f(&policy.Spec)
	}
	Expect(env.Admin().Create(ctx, policy)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(env.Admin().Delete(ctx, policy)).To(Succeed()) })

	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: s.namespace}}
	service.Spec.Owner.Team = "payments"
	service.Spec.Workloads = []v1alpha1.WorkloadClaim{{
		Kind: v1alpha1.WorkloadDeployment, Selector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"app": "checkout"}},
	}}
	Expect(env.Admin().Create(ctx, service)).To(Succeed())
	s.awaitGate(ctx)
	return s
}

// awaitGate waits until the API server asks the gate and what runs is adopted.
func (s *shop) awaitGate(ctx context.Context) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		g.Expect(env.Admin().Get(ctx, client.ObjectKey{Name: gateconfig.Name}, configuration)).To(Succeed())
		g.Expect(gateconfig.Read(configuration).Of(s.namespace)).To(Equal(gateconfig.ListedEnforce))
		g.Expect(s.item(ctx).Status.Baselines).NotTo(BeEmpty())
		// A deletion as a dry run leaves no trace, and has a warning where the gate was asked.
		var heard warnings
		probe := connect(env.AdminConfig(), &heard)
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: s.namespace}}
		g.Expect(probe.Delete(ctx, d, client.DryRunAll)).To(Succeed())
		g.Expect(heard.all()).To(ContainElement(ContainSubstring("is governed by Service checkout")))
	}).Should(Succeed())
}

func (s *shop) item(ctx context.Context) *v1alpha1.ConfigurationItem {
	item := &v1alpha1.ConfigurationItem{}
	if err := env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "deployment-checkout"}, item); err != nil {
		return &v1alpha1.ConfigurationItem{}
	}
	return item
}

func (s *shop) live(ctx context.Context) *appsv1.Deployment {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "checkout"}, d)).To(Succeed())
	return d
}

func (s *shop) runs(ctx context.Context) string {
	return s.live(ctx).Spec.Template.Spec.Containers[0].Image
}

func (s *shop) changes(ctx context.Context) []v1alpha1.Change {
	GinkgoHelper()
	list := &v1alpha1.ChangeList{}
	Expect(env.Admin().List(ctx, list, client.InNamespace(s.namespace))).To(Succeed())
	return list.Items
}

// approve a Change by as many votes as it needs.
func (s *shop) approve(ctx context.Context, name string) *v1alpha1.Change {
	GinkgoHelper()
	c := &v1alpha1.Change{}
	Eventually(func(g Gomega) {
		g.Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, c)).To(Succeed())
		g.Expect(c.Status.Digest).NotTo(BeEmpty())
		g.Expect(c.Status.Approvals).NotTo(BeNil())
		g.Expect(c.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
	}).Should(Succeed())
	voters := []string{"carol", "dave", "erin"}
	Expect(int(c.Status.Approvals.Required)).To(BeNumerically("<=", len(voters)))
	for _, voter := range voters[:c.Status.Approvals.Required] {
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(voter), "itil-approver")
		vote := &v1alpha1.ChangeApproval{ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-", Namespace: s.namespace}}
		vote.Spec.ChangeRef.Name, vote.Spec.Decision, vote.Spec.Digest = v1alpha1.ObjectName(name), v1alpha1.DecisionApprove, c.Status.Digest
		Expect(env.Client(GinkgoTB(), voter).Create(ctx, vote)).To(Succeed())
	}
	Eventually(func(g Gomega) {
		g.Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, c)).To(Succeed())
		g.Expect(c.Status.State).To(BeElementOf(v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement))
	}).Should(Succeed())
	return c
}
