package attack

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

// Where the policy wants no vote for an Emergency, the Incident alone stands between a team and its image.
var _ = Describe("An Emergency Change over an Incident that its requester alone has seen", func() {
	const next = "registry.shop.example/checkout:2.4"
	var s *scene
	BeforeEach(func(ctx SpecContext) {
		s = newScene(ctx)
		policy := &v1alpha1.ChangePolicy{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Name: "of-" + s.namespace}, policy)).To(Succeed())
		policy.Spec.Emergency = &v1alpha1.EmergencyRule{}
		Expect(env.Admin().Update(ctx, policy)).To(Succeed())
		Eventually(func() *change.Quorum { return operator.inventory.Rules(s.namespace).Parts[0].Emergency }).ShouldNot(BeNil())
	})
	// known waits until the gate knows of an Incident, and of all that came before it.
	known := func(ctx SpecContext, incident *v1alpha1.Incident) {
		GinkgoHelper()
		Eventually(ctx, func() []string {
			return operator.inventory.OpenIncidents(servicelevel.ServiceName{Namespace: s.namespace, Name: "checkout"})
		}).Should(ContainElement(incident.Name))
	}
	// emergency is a Change of eddie's over an Incident, as its controller would assess it.
	emergency := func(ctx SpecContext, incident *v1alpha1.Incident) *v1alpha1.Change {
		GinkgoHelper()
		known(ctx, incident)
		c := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Name: "over-" + incident.Name, Namespace: s.namespace}}
		c.Spec.Type, c.Spec.Summary = v1alpha1.ChangeEmergency, "Stop the bleeding"
		c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(incident.Name)}
		c.Spec.Window = &v1alpha1.Window{
			Start: v1alpha1.Timestamp(time.Now().Add(-time.Hour).Format(time.RFC3339)), End: v1alpha1.Timestamp(time.Now().Add(time.Hour).Format(time.RFC3339)),
		}
		c.Spec.Targets = []v1alpha1.ChangeTarget{{
			Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}, Images: map[string]v1alpha1.Image{"app": next},
		}}
		Expect(s.eddie.Create(ctx, c)).To(Succeed())
		s.assess(ctx, c)
		Eventually(func() bool {
			filed, ok := operator.inventory.Change(client.ObjectKeyFromObject(c))
			return ok && filed.Object.Status.Risk != nil
		}).Should(BeTrue())
		return c
	}
	incident := func(name string, alter func(*v1alpha1.Incident)) *v1alpha1.Incident {
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace}}
		i.Spec.Title, i.Spec.Source, i.Spec.ServiceRef = "checkout is down", v1alpha1.IncidentSourceUser, &v1alpha1.LocalReference{Name: "checkout"}
		if alter != nil {
			alter(i)
		}
		return i
	}

	It("does not go in, however that is dressed up, and goes in where another has seen it", func(ctx SpecContext) {
		parent := incident("parent", nil)
		dressed := []*v1alpha1.Incident{
			incident("plain", nil),
			incident("alert", func(i *v1alpha1.Incident) { i.Spec.Source = v1alpha1.IncidentSourceAlert }),
			incident("assigned", func(i *v1alpha1.Incident) { i.Spec.Assignee, i.Spec.Acknowledged = "carol", true }),
			parent,
		}
		for _, i := range dressed {
			Expect(s.eddie.Create(ctx, i)).To(Succeed())
		}
		By("it having a child, which is the requester's own too")
		// As the Incidents' controller counts them. What is known of the child is known later.
		Expect(operator.client.Get(ctx, client.ObjectKeyFromObject(parent), parent)).To(Succeed())
		parent.Status.Children = 1
		Expect(operator.client.Status().Update(ctx, parent)).To(Succeed())
		child := incident("child", func(i *v1alpha1.Incident) {
			i.Spec.ParentRef = &v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(s.namespace), Name: "parent"}
		})
		Expect(s.eddie.Create(ctx, child)).To(Succeed())
		known(ctx, child)
		By("a ServiceAccount of the namespace having reported it, which who edits there may act as")
		account := "system:serviceaccount:" + s.namespace + ":ci"
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(account), "itil-editor")
		byAccount := incident("account", nil)
		Expect(env.Client(GinkgoTB(), account).Create(ctx, byAccount)).To(Succeed())
		for _, i := range append(dressed, child, byAccount) {
			emergency(ctx, i)
			expectDenied(s.attempt(ctx, image(next)))
		}

		By("a colleague having reported it")
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("erin"), "itil-editor")
		seen := incident("seen", nil)
		Expect(env.Client(GinkgoTB(), "erin").Create(ctx, seen)).To(Succeed())
		emergency(ctx, seen)
		Eventually(func() error { return s.attempt(ctx, image(next)) }).Should(Succeed())
	})
})
