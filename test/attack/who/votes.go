package who

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

func vote(namespace, name, fields string) *unstructured.Unstructured {
	GinkgoHelper()
	return object(namespace, "ChangeApproval", name, "spec: {changeRef: {name: checkout}, decision: Approve, digest: \"v1:"+digest+"\", "+fields+"}")
}

const approvals = "itil-operator-approvals"

func votes(c Cluster) {
	var namespace string
	BeforeEach(func() {
		namespace = c.namespace(nil, "bob", "carol", Operator)
		c.allow(namespace, "carol", "changes", "approve")
	})
	castAVote(c, &namespace)
	forgeAVote(c, &namespace)
	takeAVoteBack(c, &namespace)
}

func castAVote(c Cluster, namespace *string) {
	It("lets an approver vote, for a group of hers", func(ctx SpecContext) {
		Expect(c.as("carol", "sre-leads").Create(ctx, vote(*namespace, "plain", "approver: carol"))).To(Succeed())
		Expect(c.as("carol", "sre-leads").Create(ctx, vote(*namespace, "group", "approver: carol, group: sre-leads"))).To(Succeed())
	})
	It("signs a vote that names nobody, where it can", func(ctx SpecContext) {
		unsigned := vote(*namespace, "unsigned", "group: sre-leads")
		err := c.as("carol", "sre-leads").Create(ctx, unsigned)
		if !c.Stamps {
			Expect(err).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
			return
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(get(unsigned, "spec", "approver")).To(Equal("carol"))
		// As a typed client writes what it leaves out.
		empty := vote(*namespace, "empty", "approver: \"\"")
		Expect(c.as("carol").Create(ctx, empty)).To(Succeed())
		Expect(get(empty, "spec", "approver")).To(Equal("carol"))
	})
}

func forgeAVote(c Cluster, namespace *string) {
	It("refuses a forged approver", func(ctx SpecContext) {
		expectRefused(c.as("carol", "sre-leads").Create(ctx, vote(*namespace, "forged", "approver: dave")), approvals, "you are authenticated as carol")
		expectRefused(c.as(Operator).Create(ctx, vote(*namespace, "by-operator", "approver: carol")), approvals, "you are authenticated as "+Operator)
	})
	It("refuses a forged group", func(ctx SpecContext) {
		expectRefused(c.as("carol", "sre").Create(ctx, vote(*namespace, "group", "approver: carol, group: sre-leads")), approvals, "none of your groups")
	})
	It("refuses the vote of who may not approve that Change", func(ctx SpecContext) {
		expectRefused(c.as("bob").Create(ctx, vote(*namespace, "bob", "approver: bob")), approvals, "needs the verb approve")
		elsewhere := c.namespace(nil, "carol")
		expectRefused(c.as("carol").Create(ctx, vote(elsewhere, "elsewhere", "approver: carol")), approvals, "needs the verb approve")
		c.Env().Grant(GinkgoTB(), elsewhere, apiserver.User("carol"), withNames(apiserver.Allow("itil.dev", "changes", "approve"), "another"))
		expectRefused(c.as("carol").Create(ctx, vote(elsewhere, "another", "approver: carol")), approvals, "needs the verb approve")
		c.Env().Grant(GinkgoTB(), elsewhere, apiserver.User("carol"), withNames(apiserver.Allow("itil.dev", "changes", "approve"), "checkout"))
		Expect(c.as("carol").Create(ctx, vote(elsewhere, "this-one", "approver: carol"))).To(Succeed())
	})
	It("refuses to be impersonated by who may not", func(ctx SpecContext) {
		config := c.Env().Config(GinkgoTB(), "bob")
		config.Impersonate = rest.ImpersonationConfig{UserName: "carol"}
		// A mapper that is filled already: the impostor may not even look at what the server serves.
		Expect(c.as("bob").Create(ctx, vote(*namespace, "bob", "approver: bob"))).NotTo(Succeed())
		impostor, err := client.New(config, client.Options{Scheme: c.Env().Scheme(), Mapper: c.as("bob").RESTMapper()})
		Expect(err).NotTo(HaveOccurred())
		err = impostor.Create(ctx, vote(*namespace, "impostor", "approver: carol"))
		Expect(err).To(MatchError(ContainSubstring("cannot impersonate")))
	})
}

func takeAVoteBack(c Cluster, namespace *string) {
	It("refuses to edit a vote, and leaves its labels alone", func(ctx SpecContext) {
		cast := vote(*namespace, "cast", "approver: carol")
		Expect(c.as("carol").Create(ctx, cast)).To(Succeed())
		// The schema is asked first.
		for _, user := range []string{"carol", "bob", Operator} {
			Expect(patch(ctx, c.as(user), cast, `{"spec":{"decision":"Reject"}}`)).To(MatchError(ContainSubstring("a vote cannot be changed")))
		}
		Expect(patch(ctx, c.as("bob"), cast, `{"metadata":{"labels":{"seen":"true"}}}`)).To(Succeed())
		Expect(patch(ctx, c.as("bob"), cast, `{"spec":{"decision":"Approve"}}`)).To(Succeed())
	})
	It("refuses to delete a vote, one by one and all at once", func(ctx SpecContext) {
		cast := vote(*namespace, "reject", "approver: carol")
		Expect(c.as("carol").Create(ctx, cast)).To(Succeed())
		expectRefused(c.as("carol").Delete(ctx, cast), "itil-operator-records", "vote again instead")
		all := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "itil.dev/v1alpha1", "kind": "ChangeApproval"}}
		expectRefused(c.as("bob").DeleteAllOf(ctx, all, client.InNamespace(*namespace)), "itil-operator-records", "reject")
		c.allow(*namespace, "dave", "changeapprovals", "delete")
		c.allow(*namespace, "dave", "changeapprovals", "retire")
		Expect(c.as("dave").Delete(ctx, cast)).To(Succeed())
	})
}
