package who

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

// SaidSo defines the specs.
func SaidSo(c Cluster) {
	Context("votes", func() { votes(c) })
	Context("requesters and reporters", func() { requesters(c) })
	Context("what was asked for", func() { requests(c) })
	Context("what only the operator writes", func() { operatorsOwn(c) })
	Context("records", func() { records(c) })
	Context("the governance of a Service", func() { services(c) })
	if !c.Gated {
		Context("namespaces", func() { namespaces(c) })
	}
	Context("breaking the glass", func() { breakglass(c) })
	Context("Releases", func() { releases(c) })
}

func requests(c Cluster) {
	const policy = "itil-operator-requests"
	It("lets only the requester edit what an approval is about", func(ctx SpecContext) {
		namespace := c.namespace(nil, "alice", "bob", Operator)
		mine := object(namespace, "Change", "mine", strings.ReplaceAll(kinds[4].spec, "REQUESTER", "alice"))
		Expect(c.as("alice").Create(ctx, mine)).To(Succeed())
		for _, edit := range []string{
			`{"spec":{"summary":"other"}}`, `{"spec":{"type":"Standard","standardChange":"patch"}}`, `{"spec":{"justification":"x"}}`,
			`{"spec":{"targets":[{"workload":{"kind":"Deployment","name":"checkout"},"images":{"app":"evil:1"}}]}}`,
			`{"spec":{"window":{"start":"2026-01-01T00:00:00Z","end":"2027-01-01T00:00:00Z"}}}`, `{"spec":{"backout":{"automatic":true}}}`,
			`{"spec":{"expectedDowntimeSeconds":3600}}`, `{"spec":{"questionnaire":{"tested":"Confirmed"}}}`, `{"spec":{"incidentRef":{"name":"x"}}}`,
			`{"spec":{"problemRef":{"name":"x"}}}`,
		} {
			expectRefused(patch(ctx, c.as("bob"), mine, edit), policy, "only its requester, alice,")
			// Nor does the operator edit what a person declared.
			expectRefused(patch(ctx, c.as(Operator), mine, edit), policy, "only its requester, alice,")
		}
		Expect(patch(ctx, c.as("alice"), mine, `{"spec":{"summary":"better words"}}`)).To(Succeed())
		Expect(patch(ctx, c.as("bob"), mine, `{"spec":{"review":{"outcome":"Successful"}}}`)).To(Succeed())
		Expect(patch(ctx, c.as("bob"), mine, `{"spec":{"cancel":true}}`)).To(Succeed())
		Expect(patch(ctx, c.as("bob"), mine, `{"metadata":{"labels":{"team":"x"}}}`)).To(Succeed())
	})
	It("lets nobody edit what the operator wrote down of what was in already, not even whom it names", func(ctx SpecContext) {
		namespace := c.namespace(nil, "alice", "bob", Operator)
		const stays = "stays as the operator wrote it"
		for name, alter := range map[string]func(*unstructured.Unstructured){
			"needed-no-vote": func(u *unstructured.Unstructured) {
				u.SetLabels(map[string]string{"itil.dev/filed-for": "PreAuthorised"})
			},
			"glass": func(u *unstructured.Unstructured) {
				u.SetLabels(map[string]string{"itil.dev/filed-for": "BreakGlass"})
				Expect(unstructured.SetNestedField(u.Object, "Emergency", "spec", "type")).To(Succeed())
				Expect(unstructured.SetNestedField(u.Object, "BreakGlass", "spec", "recordOf")).To(Succeed())
			},
		} {
			written := changeOf(namespace, name, "alice")
			alter(written)
			Expect(c.as(Operator).Create(ctx, written)).To(Succeed())
			for _, edit := range []string{
				`{"spec":{"summary":"nothing to see"}}`, `{"spec":{"justification":"x"}}`,
				`{"spec":{"targets":[{"workload":{"kind":"Deployment","name":"other"},"images":{"app":"a:1"}}]}}`,
			} {
				expectRefused(patch(ctx, c.as("alice"), written, edit), policy, stays)
			}
			Expect(patch(ctx, c.as("bob"), written, `{"spec":{"review":{"outcome":"Successful"}}}`)).To(Succeed())
			Expect(patch(ctx, c.as("alice"), written, `{"metadata":{"labels":{"team":"x"}}}`)).To(Succeed())
		}
		denied := changeOf(namespace, "denied", "alice")
		denied.SetLabels(map[string]string{"itil.dev/filed-for": "Denied"})
		Expect(c.as(Operator).Create(ctx, denied)).To(Succeed())
		Expect(patch(ctx, c.as("alice"), denied, `{"spec":{"summary":"better words"}}`)).To(Succeed())
	})
	It("lets only the requester edit a Release, but for pausing and canceling it", func(ctx SpecContext) {
		namespace := c.namespace(nil, "alice", "bob")
		mine := object(namespace, "Release", "mine", strings.ReplaceAll(kinds[6].spec, "REQUESTER", "alice"))
		Expect(c.as("alice").Create(ctx, mine)).To(Succeed())
		evil := `{"spec":{"units":[{"name":"a","workload":{"kind":"Deployment","name":"a"},"images":{"app":"evil:1"}}]}}`
		expectRefused(patch(ctx, c.as("bob"), mine, evil), policy, "only its requester, alice,")
		Expect(patch(ctx, c.as("bob"), mine, `{"spec":{"paused":true}}`)).To(Succeed())
		Expect(patch(ctx, c.as("bob"), mine, `{"spec":{"cancel":true}}`)).To(Succeed())
	})
}

func operatorsOwn(c Cluster) {
	var namespace string
	var anchor *corev1.ConfigMap
	BeforeEach(func(ctx SpecContext) {
		namespace = c.namespace(nil, "mallory", Operator, garbageCollector)
		for _, user := range []string{"mallory", Operator, garbageCollector} {
			c.Env().Grant(GinkgoTB(), "", apiserver.User(user), apiserver.Allow("itil.dev", "changepolicies", everything...),
				apiserver.Allow("itil.dev", "calendars", everything...), apiserver.Allow("itil.dev", "*/status", everything...))
		}
		c.allow(namespace, Operator, "changes", "approve")
		c.allow(namespace, "mallory", "changes", "approve")
		anchor = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "anchor", Namespace: namespace}}
		Expect(c.Env().Admin().Create(ctx, anchor)).To(Succeed())
	})

	for _, k := range kinds {
		It("keeps status and owners of a "+k.kind+" for the operator", func(ctx SpecContext) {
			place, user := namespace, "mallory"
			if k.kind == "ChangePolicy" || k.kind == "Calendar" {
				place = ""
			}
			if k.kind == "ConfigurationItem" {
				user = Operator
			}
			o := object(place, k.kind, "o-"+namespace, strings.ReplaceAll(k.spec, "REQUESTER", user))
			forged := owned(o, anchor)
			forged.SetName("forged-" + namespace)
			if user == "mallory" {
				expectRefused(c.as("mallory").Create(ctx, forged), "itil-operator-owners", "ownerReferences")
			}
			Expect(c.as(user).Create(ctx, o)).To(Succeed())

			refused := "itil-operator-owners"
			if k.kind == "ConfigurationItem" {
				refused = "itil-operator-" // whichever is asked first
			}
			reference := `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"anchor","uid":"` + string(anchor.UID) + `"}]}}`
			err := patch(ctx, c.as("mallory"), o, reference)
			Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
			Expect(err).To(MatchError(ContainSubstring(refused)))
			Expect(patch(ctx, c.as(Operator), o, reference)).To(Succeed())
			err = patch(ctx, c.as("mallory"), o, `{"metadata":{"ownerReferences":null}}`)
			Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
			Expect(patch(ctx, c.as(garbageCollector), o, `{"metadata":{"ownerReferences":null}}`)).To(Succeed())

			status := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"observedGeneration":7}}`))
			expectRefused(c.as("mallory").Status().Patch(ctx, o.DeepCopy(), status), "itil-operator-status", "nobody else writes it")
			if k.kind != "ChangePolicy" { // whose status has required fields
				Expect(c.as(Operator).Status().Patch(ctx, o.DeepCopy(), status)).To(Succeed())
			}
		})
	}
	It("ignores a status that comes with the object", func(ctx SpecContext) {
		o := object(namespace, "Change", "approved", strings.ReplaceAll(kinds[4].spec, "REQUESTER", "mallory")+"\nstatus: {state: Implement}")
		Expect(c.as("mallory").Create(ctx, o)).To(Succeed())
		Expect(get(o, "status", "state")).To(BeEmpty())
	})
	It("keeps ConfigurationItems for the operator", func(ctx SpecContext) {
		item := object(namespace, "ConfigurationItem", "item", kinds[7].spec)
		expectRefused(c.as("mallory").Create(ctx, item.DeepCopy()), "itil-operator-configurationitems", "written by the operator alone")
		Expect(c.as(Operator).Create(ctx, item)).To(Succeed())
		expectRefused(patch(ctx, c.as("mallory"), item, `{"metadata":{"labels":{"a":"b"}}}`), "itil-operator-configurationitems", "written by the operator alone")
		expectRefused(c.as("mallory").Delete(ctx, item), "itil-operator-configurationitems", "written by the operator alone")
		expectRefused(c.Env().Admin().Delete(ctx, item), "itil-operator-configurationitems", "written by the operator alone")
		Expect(c.as(garbageCollector).Delete(ctx, item)).To(Succeed())
	})
}

func records(c Cluster) {
	const policy = "itil-operator-records"
	for _, k := range []struct{ kind, resource, spec, instead string }{
		{"Change", "changes", kinds[4].spec, "cancel it instead"},
		{"Incident", "incidents", kinds[2].spec, "resolve it instead"},
		{"Problem", "problems", kinds[3].spec, "decide it instead"},
	} {
		It("keeps a "+k.kind, func(ctx SpecContext) {
			namespace := c.namespace(nil, "alice", Operator, namespaceController, garbageCollector)
			create := func() *unstructured.Unstructured {
				o := object(namespace, k.kind, "kept", strings.ReplaceAll(k.spec, "REQUESTER", "alice"))
				Expect(c.as("alice").Create(ctx, o)).To(Succeed())
				return o
			}
			o := create()
			expectRefused(c.as("alice").Delete(ctx, o), policy, k.instead)
			expectRefused(c.as("alice").DeleteAllOf(ctx, o.DeepCopy(), client.InNamespace(namespace)), policy, "kept")
			for _, user := range []string{Operator, namespaceController, garbageCollector} {
				Expect(c.as(user).Delete(ctx, o)).To(Succeed(), user)
				o = create()
			}
			Expect(c.as(namespaceController).DeleteAllOf(ctx, o.DeepCopy(), client.InNamespace(namespace))).To(Succeed())
			o = create()
			c.allow(namespace, "alice", k.resource, "retire")
			Expect(c.as("alice").Delete(ctx, o)).To(Succeed())
		})
	}
}

func namespaces(c Cluster) {
	It("with workloads under Enforce are deleted by holders of retire only", Serial, func(ctx SpecContext) {
		env := c.Env()
		enforced, audited, other := c.namespace(nil), c.namespace(nil), c.namespace(nil)
		env.Grant(GinkgoTB(), "", apiserver.User("dora"), apiserver.Allow("", "namespaces", "delete"))
		installed := c.Env().Gate(GinkgoTB())
		gateconfig.Write(installed, gateconfig.Namespaces{Enforce: []string{enforced}, Audit: []string{audited}})
		remove := func(name string) error {
			return env.Client(GinkgoTB(), "dora").Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, client.DryRunAll)
		}

		// Without the gate nothing is governed.
		Expect(remove(enforced)).To(Succeed())
		Expect(env.Admin().Create(ctx, installed)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(env.Admin().Delete(ctx, installed)).To(Succeed()) })
		Eventually(func() error { return remove(enforced) }).Should(MatchError(apierrors.IsForbidden, "IsForbidden"))
		expectRefused(remove(enforced), "itil-operator-namespaces", "namespace "+enforced+" has workloads under change control")
		Expect(remove(audited)).To(Succeed())
		Expect(remove(other)).To(Succeed())
		c.allow(enforced, "dora", "services", "retire")
		Expect(remove(enforced)).To(Succeed())
	})
}

func releases(c Cluster) {
	const policy = "itil-operator-releases"
	It("need the right to update what they set", func(ctx SpecContext) {
		namespace := c.Env().Namespace(GinkgoTB(), nil)
		c.Env().Grant(GinkgoTB(), namespace, apiserver.User("rita"), apiserver.Allow("itil.dev", "releases", everything...))
		release := func(name, kind, strategy string) *unstructured.Unstructured {
			spec := strings.NewReplacer("REQUESTER", "rita", "kind: Deployment", "kind: "+kind, "version: ", "strategy: "+strategy+", version: ").Replace(kinds[6].spec)
			return object(namespace, "Release", name, spec)
		}
		groups := map[string]string{"Deployment": "apps", "StatefulSet": "apps", "DaemonSet": "apps", "CronJob": "batch", "Job": "batch"}
		for kind, group := range groups {
			name := strings.ToLower(kind)
			needed := "the images of " + kind + "s, or takes them back, needs the verb update"
			expectRefused(c.as("rita").Create(ctx, release(name, kind, "Apply")), policy, needed)
			expectRefused(c.as("rita").Create(ctx, release(name, kind, "Observe")), policy, needed)
			observing := release(name+"-observe", kind, "Observe, backout: Manual")
			Expect(c.as("rita").Create(ctx, observing)).To(Succeed())
			expectRefused(patch(ctx, c.as("rita"), observing, `{"spec":{"strategy":"Apply"}}`), policy, needed)
			expectRefused(patch(ctx, c.as("rita"), observing, `{"spec":{"backout":"Automatic"}}`), policy, needed)
			c.Env().Grant(GinkgoTB(), namespace, apiserver.User("rita"), apiserver.Allow(group, name+"s", "update"))
			Expect(c.as("rita").Create(ctx, release(name, kind, "Apply"))).To(Succeed())
		}
	})
}
