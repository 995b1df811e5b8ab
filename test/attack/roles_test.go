package attack

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

var _ = Describe("The roles for people", func() {
	It("let who edits a namespace neither approve, break the glass, retire, vote nor write what the operator keeps", func(ctx SpecContext) {
		s := newScene(ctx)
		may := func(verb, resource string) bool {
			GinkgoHelper()
			review := &authorizationv1.SelfSubjectAccessReview{}
			review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{Namespace: s.namespace, Group: "itil.dev", Resource: resource, Verb: verb}
			Expect(s.eddie.Create(ctx, review)).To(Succeed())
			return review.Status.Allowed
		}
		Expect(may("create", "changes")).To(BeTrue())
		for verb, resources := range map[string][]string{
			"approve": {"changes"}, "breakglass": {"changes"}, "create": {"changeapprovals", "configurationitems", "changepolicies", "calendars"},
			"retire":           {"services", "changes", "changeapprovals", "incidents", "problems"},
			"update":           {"changes/status", "services/status", "configurationitems", "changeapprovals", "changepolicies"},
			"delete":           {"changeapprovals", "configurationitems", "changepolicies", "calendars"},
			"deletecollection": {"changes", "services"},
		} {
			for _, resource := range resources {
				Expect(may(verb, resource)).To(BeFalse(), "%s %s", verb, resource)
			}
		}
	})
	It("let everybody read the policies where the platform team wants it so, and nobody more than read", func(ctx SpecContext) {
		s := newScene(ctx)
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("devon"), "itil-viewer")
		devon := env.Client(GinkgoTB(), "devon", "system:authenticated")
		policy := &v1alpha1.ChangePolicy{}
		key := client.ObjectKey{Name: "of-" + s.namespace}
		Expect(devon.List(ctx, &v1alpha1.ChangeList{}, client.InNamespace(s.namespace))).To(Succeed())
		Expect(devon.Get(ctx, key, policy)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))

		env.Apply(GinkgoTB(), "config/policy-viewers/binding.yaml")
		Eventually(func() error { return devon.Get(ctx, key, policy) }).Should(Succeed())
		Expect(devon.List(ctx, &v1alpha1.CalendarList{})).To(Succeed())
		policy.Spec.Enforcement = v1alpha1.EnforcementAudit
		Expect(devon.Update(ctx, policy)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		Expect(devon.List(ctx, &v1alpha1.ChangeList{}, client.InNamespace("default"))).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
	})
})
