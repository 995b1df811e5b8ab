package who

import (
	"fmt"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
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

func vote(namespace, name, fields string) *unstructured.Unstructured {
	GinkgoHelper()
	return object(namespace, "ChangeApproval", name, "spec: {changeRef: {name: checkout}, decision: Approve, digest: \"v1:"+digest+"\", "+fields+"}")
}

func votes(c Cluster) {
	const policy = "itil-operator-approvals"
	var namespace string
	BeforeEach(func() {
		namespace = c.namespace(nil, "bob", "carol", Operator)
		c.allow(namespace, "carol", "changes", "approve")
	})

	It("lets an approver vote, for a group of hers", func(ctx SpecContext) {
		Expect(c.as("carol", "sre-leads").Create(ctx, vote(namespace, "plain", "approver: carol"))).To(Succeed())
		Expect(c.as("carol", "sre-leads").Create(ctx, vote(namespace, "group", "approver: carol, group: sre-leads"))).To(Succeed())
	})
	It("signs a vote that names nobody, where it can", func(ctx SpecContext) {
		unsigned := vote(namespace, "unsigned", "group: sre-leads")
		err := c.as("carol", "sre-leads").Create(ctx, unsigned)
		if !c.Stamps {
			Expect(err).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
			return
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(get(unsigned, "spec", "approver")).To(Equal("carol"))
		// As a typed client writes what it leaves out.
		empty := vote(namespace, "empty", "approver: \"\"")
		Expect(c.as("carol").Create(ctx, empty)).To(Succeed())
		Expect(get(empty, "spec", "approver")).To(Equal("carol"))
	})
	It("refuses a forged approver", func(ctx SpecContext) {
		expectRefused(c.as("carol", "sre-leads").Create(ctx, vote(namespace, "forged", "approver: dave")), policy, "you are authenticated as carol")
		expectRefused(c.as(Operator).Create(ctx, vote(namespace, "by-operator", "approver: carol")), policy, "you are authenticated as "+Operator)
	})
	It("refuses a forged group", func(ctx SpecContext) {
		expectRefused(c.as("carol", "sre").Create(ctx, vote(namespace, "group", "approver: carol, group: sre-leads")), policy, "none of your groups")
	})
	It("refuses the vote of who may not approve that Change", func(ctx SpecContext) {
		expectRefused(c.as("bob").Create(ctx, vote(namespace, "bob", "approver: bob")), policy, "needs the verb approve")
		elsewhere := c.namespace(nil, "carol")
		expectRefused(c.as("carol").Create(ctx, vote(elsewhere, "elsewhere", "approver: carol")), policy, "needs the verb approve")
		c.Env().Grant(GinkgoTB(), elsewhere, apiserver.User("carol"), withNames(apiserver.Allow("itil.dev", "changes", "approve"), "another"))
		expectRefused(c.as("carol").Create(ctx, vote(elsewhere, "another", "approver: carol")), policy, "needs the verb approve")
		c.Env().Grant(GinkgoTB(), elsewhere, apiserver.User("carol"), withNames(apiserver.Allow("itil.dev", "changes", "approve"), "checkout"))
		Expect(c.as("carol").Create(ctx, vote(elsewhere, "this-one", "approver: carol"))).To(Succeed())
	})
	It("refuses to be impersonated by who may not", func(ctx SpecContext) {
		config := c.Env().Config(GinkgoTB(), "bob")
		config.Impersonate = rest.ImpersonationConfig{UserName: "carol"}
		// A mapper that is filled already: the impostor may not even look at what the server serves.
		Expect(c.as("bob").Create(ctx, vote(namespace, "bob", "approver: bob"))).NotTo(Succeed())
		impostor, err := client.New(config, client.Options{Scheme: c.Env().Scheme(), Mapper: c.as("bob").RESTMapper()})
		Expect(err).NotTo(HaveOccurred())
		err = impostor.Create(ctx, vote(namespace, "impostor", "approver: carol"))
		Expect(err).To(MatchError(ContainSubstring("cannot impersonate")))
	})
	It("refuses to edit a vote, and leaves its labels alone", func(ctx SpecContext) {
		cast := vote(namespace, "cast", "approver: carol")
		Expect(c.as("carol").Create(ctx, cast)).To(Succeed())
		// The schema is asked first.
		for _, user := range []string{"carol", "bob", Operator} {
			Expect(patch(ctx, c.as(user), cast, `{"spec":{"decision":"Reject"}}`)).To(MatchError(ContainSubstring("a vote cannot be changed")))
		}
		Expect(patch(ctx, c.as("bob"), cast, `{"metadata":{"labels":{"seen":"true"}}}`)).To(Succeed())
		Expect(patch(ctx, c.as("bob"), cast, `{"spec":{"decision":"Approve"}}`)).To(Succeed())
	})
	It("refuses to delete a vote, one by one and all at once", func(ctx SpecContext) {
		cast := vote(namespace, "reject", "approver: carol")
		Expect(c.as("carol").Create(ctx, cast)).To(Succeed())
		expectRefused(c.as("carol").Delete(ctx, cast), "itil-operator-records", "vote again instead")
		all := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "itil.dev/v1alpha1", "kind": "ChangeApproval"}}
		expectRefused(c.as("bob").DeleteAllOf(ctx, all, client.InNamespace(namespace)), "itil-operator-records", "reject")
		c.allow(namespace, "dave", "changeapprovals", "delete")
		c.allow(namespace, "dave", "changeapprovals", "retire")
		Expect(c.as("dave").Delete(ctx, cast)).To(Succeed())
	})
}

func requesters(c Cluster) {
	const policy = "itil-operator-requesters"
	change := func(namespace, name, requester string) *unstructured.Unstructured {
		return object(namespace, "Change", name, strings.ReplaceAll(
			"spec: {summary: x, requester: \"R\", targets: [{workload: {kind: Deployment, name: checkout}, images: {app: \"a:1\"}}]}", "R", requester))
	}
	release := func(namespace, name, requester string) *unstructured.Unstructured {
		return object(namespace, "Release", name, strings.ReplaceAll(kinds[6].spec, "REQUESTER", requester))
	}
	incident := func(namespace, name, fields string) *unstructured.Unstructured {
		return object(namespace, "Incident", name, "spec: {title: it burns, serviceRef: {name: checkout}, "+fields+"}")
	}
	var namespace string
	BeforeEach(func() {
		namespace = c.namespace(nil, "alice", "bob", Operator, "system:serviceaccount:shop:itil-operator")
	})

	It("takes the authenticated user for the requester", func(ctx SpecContext) {
		for name, forged := range map[string]*unstructured.Unstructured{
			"change": change(namespace, "forged", "bob"), "release": release(namespace, "forged", "bob"),
		} {
			err := c.as("alice").Create(ctx, forged)
			if c.Stamps {
				Expect(err).NotTo(HaveOccurred(), name)
				Expect(get(forged, "spec", "requester")).To(Equal("alice"), name)
			} else {
				expectRefused(err, policy, "you are alice")
			}
		}
		Expect(c.as("alice").Create(ctx, change(namespace, "honest", "alice"))).To(Succeed())
		Expect(c.as("alice").Create(ctx, release(namespace, "honest", "alice"))).To(Succeed())
	})
	It("fills the requester in, where it can", func(ctx SpecContext) {
		silent := change(namespace, "silent", "")
		unstructured.RemoveNestedField(silent.Object, "spec", "requester")
		err := c.as("alice").Create(ctx, silent)
		if c.Stamps {
			Expect(err).NotTo(HaveOccurred())
			Expect(get(silent, "spec", "requester")).To(Equal("alice"))
		} else {
			Expect(err).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
		}
	})
	It("keeps the requester on every update", func(ctx SpecContext) {
		mine := change(namespace, "mine", "alice")
		Expect(c.as("alice").Create(ctx, mine)).To(Succeed())
		for _, user := range []string{"alice", "bob", Operator} {
			err := patch(ctx, c.as(user), mine, `{"spec":{"requester":"bob"}}`)
			if c.Stamps {
				Expect(err).NotTo(HaveOccurred())
			} else {
				Expect(err).To(MatchError(ContainSubstring("requester cannot be changed")))
			}
		}
		Expect(c.as("alice").Get(ctx, client.ObjectKeyFromObject(mine), mine)).To(Succeed())
		Expect(get(mine, "spec", "requester")).To(Equal("alice"))
		Expect(mine.GetGeneration()).To(BeEquivalentTo(1))
	})
	It("lets the operator, and nobody who looks like it, file for another", func(ctx SpecContext) {
		filed := change(namespace, "filed", "alice")
		Expect(c.as(Operator).Create(ctx, filed)).To(Succeed())
		Expect(get(filed, "spec", "requester")).To(Equal("alice"))
		const lookalike = "system:serviceaccount:shop:itil-operator"
		forged := change(namespace, "lookalike", "alice")
		err := c.as(lookalike).Create(ctx, forged)
		if c.Stamps {
			Expect(err).NotTo(HaveOccurred())
			Expect(get(forged, "spec", "requester")).To(Equal(lookalike))
		} else {
			expectRefused(err, policy, "you are "+lookalike)
		}
	})
	It("does not let the operator raise a Release for another", func(ctx SpecContext) {
		raised := release(namespace, "raised", "alice")
		err := c.as(Operator).Create(ctx, raised)
		if c.Stamps {
			Expect(err).NotTo(HaveOccurred())
			Expect(get(raised, "spec", "requester")).To(Equal(Operator))
		} else {
			expectRefused(err, policy, "you are "+Operator)
		}
	})
	It("takes the authenticated user for the reporter of an Incident", func(ctx SpecContext) {
		for _, source := range []string{"User", "Alert"} {
			forged := incident(namespace, "forged-"+strings.ToLower(source), "source: "+source+", reporter: bob")
			err := c.as("alice").Create(ctx, forged)
			if c.Stamps {
				Expect(err).NotTo(HaveOccurred())
				Expect(get(forged, "spec", "reporter")).To(Equal("alice"))
			} else {
				expectRefused(err, policy, "you are alice")
			}
		}
	})
	It("refuses an Incident that claims to be detected", func(ctx SpecContext) {
		expectRefused(c.as("alice").Create(ctx, incident(namespace, "forged", "source: Detector, reporter: alice")), policy, "source Detector")
	})
	It("lets the operator open Incidents without a reporter, which nobody becomes later", func(ctx SpecContext) {
		detected := incident(namespace, "detected", "source: Detector")
		Expect(c.as(Operator).Create(ctx, detected)).To(Succeed())
		Expect(get(detected, "spec", "reporter")).To(BeEmpty())
		err := patch(ctx, c.as("alice"), detected, `{"spec":{"reporter":"alice"}}`)
		if !c.Stamps {
			expectRefused(err, policy, "stays what it was")
		} else {
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(c.as("alice").Get(ctx, client.ObjectKeyFromObject(detected), detected)).To(Succeed())
		Expect(get(detected, "spec", "reporter")).To(BeEmpty())
		Expect(patch(ctx, c.as("alice"), detected, `{"spec":{"assignee":"alice"}}`)).To(Succeed())
	})
	It("refuses a Change that claims to record what went in", func(ctx SpecContext) {
		record := func(name, requester string) *unstructured.Unstructured {
			return set(set(change(namespace, name, requester), "Emergency", "spec", "type"), "BreakGlass", "spec", "recordOf")
		}
		expectRefused(c.as("alice").Create(ctx, record("forged", "alice")), policy, "spec.recordOf is how the operator records")
		Expect(c.as(Operator).Create(ctx, record("recorded", "alice"))).To(Succeed())
	})
	It("takes nonsense for what it is", func(ctx SpecContext) {
		Expect(c.as("alice").Create(ctx, object(namespace, "Change", "empty", ""))).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
		Expect(c.as("alice").Create(ctx, object(namespace, "ChangeApproval", "empty", ""))).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
	})
	It("applies the same manifest again and again without an effect", func(ctx SpecContext) {
		manifest := change(namespace, "applied", "alice")
		for range 3 {
			Expect(c.as("alice").Apply(ctx, client.ApplyConfigurationFromUnstructured(manifest.DeepCopy()), apiserver.FieldOwner, client.ForceOwnership)).To(Succeed())
		}
		Expect(c.as("bob").Apply(ctx, client.ApplyConfigurationFromUnstructured(manifest.DeepCopy()), client.FieldOwner("bob"), client.ForceOwnership)).To(Succeed())
		if c.Stamps {
			unstructured.RemoveNestedField(manifest.Object, "spec", "requester")
			Expect(c.as("alice").Apply(ctx, client.ApplyConfigurationFromUnstructured(manifest.DeepCopy()), apiserver.FieldOwner, client.ForceOwnership)).To(Succeed())
		}
		live := manifest.DeepCopy()
		Expect(c.as("alice").Get(ctx, client.ObjectKeyFromObject(manifest), live)).To(Succeed())
		Expect(live.GetGeneration()).To(BeEquivalentTo(1))
		Expect(get(live, "spec", "requester")).To(Equal("alice"))
	})
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

func services(c Cluster) {
	const policy = "itil-operator-services"
	const spec = `spec:
  owner: {team: payments}
  tier: 2
  changeControl: {enforcement: Warn}
  workloads:
  - {kind: Deployment, selector: {matchLabels: {app: checkout}}}
  - {kind: StatefulSet, name: checkout-db, minimumReady: "50%"}`
	lessens := map[string]string{
		`{"spec":{"changeControl":{"enforcement":"Audit"}}}`:                   "a weaker spec.changeControl.enforcement",
		`{"spec":{"changeControl":{"enforcement":"Disabled"}}}`:                "a weaker spec.changeControl.enforcement",
		`{"spec":{"changeControl":null}}`:                                      "a weaker spec.changeControl.enforcement",
		`{"spec":{"tier":3}}`:                                                  "a higher spec.tier",
		`{"spec":{"tier":null}}`:                                               "a higher spec.tier",
		`{"spec":{"lifecycle":"Retired"}}`:                                     "spec.lifecycle Retired",
		`{"spec":{"workloads":[]}}`:                                            "giving up or narrowing a claim",
		`{"spec":{"workloads":null}}`:                                          "giving up or narrowing a claim",
		`{"spec":{"workloads":[{"kind":"StatefulSet","name":"checkout-db"}]}}`: "giving up or narrowing a claim",
		`{"spec":{"workloads":[{"kind":"StatefulSet","name":"checkout-db"},{"kind":"Deployment","selector":{"matchLabels":{"app":"checkout","x":"y"}}}]}}`: "giving up or narrowing a claim",
		`{"spec":{"workloads":[{"kind":"StatefulSet","name":"checkout-db"},{"kind":"DaemonSet","selector":{"matchLabels":{"app":"checkout"}}}]}}`:          "giving up or narrowing a claim",
	}
	permitted := []string{
		`{"spec":{"description":"takes payment"}}`, `{"spec":{"tier":1}}`, `{"spec":{"changeControl":{"enforcement":"Enforce"}}}`,
		`{"spec":{"workloads":[{"selector":{"matchLabels":{"app":"checkout"}}},{"kind":"StatefulSet","name":"checkout-db"},{"kind":"Job","name":"x"}]}}`,
		`{"metadata":{"labels":{"a":"b"}}}`, `{"spec":{"lifecycle":"Pipeline"}}`,
	}
	under := func(ctx SpecContext, labels map[string]string, alter func(*v1alpha1.ChangePolicySpec)) (string, *unstructured.Unstructured) {
		GinkgoHelper()
		namespace := c.namespace(labels, "alice")
		selected := builder.MakeChangePolicy("of-" + namespace).Spec(func(s *v1alpha1.ChangePolicySpec) {
			s.NamespaceSelector = v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"kubernetes.io/metadata.name": v1alpha1.LabelValue(namespace)}}
			if alter != nil {
				alter(s)
			}
		}).Obj()
		selected.ResourceVersion, selected.UID = "", ""
		Expect(c.Env().Admin().Create(ctx, selected)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(c.Env().Admin().Delete(ctx, selected)).To(Succeed()) })
		o := object(namespace, "Service", "checkout", spec)
		Expect(c.as("alice").Create(ctx, o)).To(Succeed())
		return namespace, o
	}
	// The API server learns of a policy through a watch.
	seen := func(ctx SpecContext, o *unstructured.Unstructured) {
		GinkgoHelper()
		Eventually(func() error { return c.as("alice").Delete(ctx, o, client.DryRunAll) }).Should(MatchError(apierrors.IsForbidden, "IsForbidden"))
	}

	It("is its team's own affair where no ChangePolicy is", func(ctx SpecContext) {
		namespace := c.namespace(nil, "alice")
		o := object(namespace, "Service", "checkout", spec)
		Expect(c.as("alice").Create(ctx, o)).To(Succeed())
		for edit := range lessens {
			Expect(c.as("alice").Patch(ctx, o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(edit)), client.DryRunAll)).To(Succeed(), edit)
		}
		Expect(c.as("alice").Delete(ctx, o)).To(Succeed())
	})
	It("is not lessened without the verb retire under a ChangePolicy", func(ctx SpecContext) {
		namespace, o := under(ctx, nil, nil)
		seen(ctx, o)
		for edit, why := range lessens {
			err := patch(ctx, c.as("alice"), o, edit)
			expectRefused(err, policy, why)
			Expect(err).To(MatchError(ContainSubstring("Service "+namespace+"/checkout is under ChangePolicy of-"+namespace)), edit)
		}
		expectRefused(c.as("alice").Delete(ctx, o), policy, "deleting it")
		expectRefused(c.as("alice").DeleteAllOf(ctx, o.DeepCopy(), client.InNamespace(namespace)), policy, "deleting it")
		for _, edit := range permitted {
			Expect(c.as("alice").Patch(ctx, o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(edit)), client.DryRunAll)).To(Succeed(), edit)
		}
		c.allow(namespace, "alice", "services", "retire")
		for edit := range lessens {
			Expect(c.as("alice").Patch(ctx, o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(edit)), client.DryRunAll)).To(Succeed(), edit)
		}
		Expect(c.as("alice").Delete(ctx, o)).To(Succeed())
	})
	It("inherits what it does not say", func(ctx SpecContext) {
		_, o := under(ctx, nil, func(s *v1alpha1.ChangePolicySpec) { s.Enforcement = v1alpha1.EnforcementEnforce })
		seen(ctx, o)
		// Warn under a floor of Enforce: saying nothing is more, not less; going back is less.
		Expect(patch(ctx, c.as("alice"), o, `{"spec":{"changeControl":null}}`)).To(Succeed())
		expectRefused(patch(ctx, c.as("alice"), o, `{"spec":{"changeControl":{"enforcement":"Warn"}}}`), policy, "a weaker spec.changeControl.enforcement")
	})
	selectors := map[string]struct {
		selector string
		covers   bool
	}{
		"by label":           {"env=production", true},
		"by another value":   {"env=test", false},
		"by another label":   {"stage=production", false},
		"In":                 {"env In production lab", true},
		"In others":          {"env In test lab", false},
		"Exists":             {"env Exists", true},
		"Exists not":         {"stage Exists", false},
		"NotIn":              {"env Exists, zone NotIn b", true},
		"NotIn this":         {"env Exists, zone NotIn a", false},
		"NotIn without it":   {"env Exists, stage NotIn a", true},
		"DoesNotExist":       {"env Exists, stage DoesNotExist", true},
		"DoesNotExist there": {"env Exists, zone DoesNotExist", false},
	}
	specs := 0
	for name, matching := range selectors {
		It("is under a ChangePolicy that selects "+name, func(ctx SpecContext) {
			// Labels of its own: the API server may not have heard yet that another spec's policy is gone.
			specs++
			suffix := fmt.Sprintf("-%d", specs)
			labels := map[string]string{"env" + suffix: "production", "zone" + suffix: "a"}
			_, o := under(ctx, labels, func(s *v1alpha1.ChangePolicySpec) { s.NamespaceSelector = selector(matching.selector, suffix) })
			if matching.covers {
				seen(ctx, o)
				return
			}
			// When the server knows a later policy, it knows this one.
			_, later := under(ctx, nil, nil)
			seen(ctx, later)
			Expect(c.as("alice").Delete(ctx, o, client.DryRunAll)).To(Succeed())
		})
	}
}

// selector reads "key=value" or "key Operator values, key Operator values"; keys get the suffix.
func selector(text, suffix string) v1alpha1.LabelSelector {
	s := v1alpha1.LabelSelector{}
	for part := range strings.SplitSeq(text, ", ") {
		if key, value, found := strings.Cut(part, "="); found {
			s.MatchLabels = map[string]v1alpha1.LabelValue{key + suffix: v1alpha1.LabelValue(value)}
			continue
		}
		fields := strings.Fields(part)
		e := v1alpha1.LabelSelectorRequirement{Key: fields[0] + suffix, Operator: v1alpha1.LabelSelectorOperator(fields[1])}
		for _, value := range fields[2:] {
			e.Values = append(e.Values, v1alpha1.LabelValue(value))
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}

func namespaces(c Cluster) {
	It("with workloads under Enforce are deleted by holders of retire only", Serial, func(ctx SpecContext) {
		env := c.Env()
		enforced, audited, other := c.namespace(nil), c.namespace(nil), c.namespace(nil)
		env.Grant(GinkgoTB(), "", apiserver.User("dora"), apiserver.Allow("", "namespaces", "delete"))
		installed := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		root, err := apiserver.Root()
		Expect(err).NotTo(HaveOccurred())
		read, err := apiserver.ReadManifests(filepath.Join(root, "config", "webhook", "gate.yaml"))
		Expect(err).NotTo(HaveOccurred())
		Expect(env.Scheme().Convert(read[0], installed, nil)).To(Succeed())
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

func breakglass(c Cluster) {
	const policy = "itil-operator-breakglass"
	const flux = "system:serviceaccount:flux-system:flux"
	const copier = "system:serviceaccount:kube-system:deployment-controller"
	sign := func(reason, by string) func(metav1.Object) {
		return func(o metav1.Object) {
			annotations := map[string]string{}
			for key, value := range map[string]string{v1alpha1.AnnotationBreakGlass: reason, v1alpha1.AnnotationBreakGlassBy: by} {
				if value != "" {
					annotations[key] = value
				}
			}
			o.SetAnnotations(annotations)
		}
	}
	var namespace string
	create := func(ctx SpecContext, user string, alter func(metav1.Object)) (*appsv1.Deployment, error) {
		GinkgoHelper()
		deployment := builder.MakeDeployment(namespace, "checkout").Obj()
		deployment = &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: namespace}, Spec: deployment.Spec}
		alter(deployment)
		return deployment, c.as(user).Create(ctx, deployment)
	}
	BeforeEach(func() {
		namespace = c.namespace(nil, "alice", "erin", flux, copier, Operator)
		c.allow(namespace, "erin", "changes", "breakglass")
		c.allow(namespace, flux, "changes", "breakglass")
	})

	It("is signed by who does it", func(ctx SpecContext) {
		_, err := create(ctx, "erin", sign("fire", ""))
		expectRefused(err, policy, "set the annotation itil.dev/break-glass-by to erin")
		_, err = create(ctx, "erin", sign("fire", "alice"))
		expectRefused(err, policy, "set the annotation itil.dev/break-glass-by to erin")
		_, err = create(ctx, "erin", sign("", "erin"))
		expectRefused(err, policy, "changes only together with the reason")
		_, err = create(ctx, "erin", sign("fire", "erin"))
		Expect(err).NotTo(HaveOccurred())
	})
	It("is for people who hold the verb", func(ctx SpecContext) {
		_, err := create(ctx, "alice", sign("fire", "alice"))
		expectRefused(err, policy, "needs the verb breakglass")
		_, err = create(ctx, flux, sign("fire", flux))
		expectRefused(err, policy, "for people")
	})
	It("leaves what was signed as it is", func(ctx SpecContext) {
		deployment, err := create(ctx, "erin", sign("fire", "erin"))
		Expect(err).NotTo(HaveOccurred())
		apply := func(user string, alter func(metav1.Object)) error {
			altered := deployment.DeepCopy()
			alter(altered)
			return c.as(user).Update(ctx, altered, client.DryRunAll)
		}
		expectRefused(apply("alice", sign("fire", "alice")), policy, "changes only together with the reason")
		expectRefused(apply("alice", sign("fire", "")), policy, "remove both annotations, or neither")
		expectRefused(apply("alice", sign("flood", "erin")), policy, "set the annotation itil.dev/break-glass-by to alice")
		expectRefused(apply("alice", sign("flood", "alice")), policy, "needs the verb breakglass")
		Expect(apply("alice", func(o metav1.Object) { o.SetLabels(map[string]string{"a": "b"}) })).To(Succeed())
		Expect(apply("alice", sign("", ""))).To(Succeed())
		Expect(apply("erin", sign("flood", "erin"))).To(Succeed())
	})
	It("is not in the way of a rollback that brings another's reason back", func(ctx SpecContext) {
		deployment, err := create(ctx, "erin", sign("fire", "erin"))
		Expect(err).NotTo(HaveOccurred())
		// As kubectl rollout undo does it: template and annotations of an earlier ReplicaSet.
		undo := func(user, reason, by string) (*appsv1.Deployment, error) {
			altered := deployment.DeepCopy()
			altered.Spec.Template.Annotations = map[string]string{"from": reason}
			sign(reason, by)(altered)
			return altered, c.as(user).Update(ctx, altered, client.DryRunAll)
		}
		altered, err := undo("alice", "flood", "erin")
		if c.Stamps {
			Expect(err).NotTo(HaveOccurred())
			Expect(altered.Annotations).To(BeEmpty())
		} else {
			expectRefused(err, policy, "set the annotation itil.dev/break-glass-by to alice")
		}
		By("keeping what is true, and refusing what is not signed")
		altered, err = undo("erin", "flood", "erin")
		Expect(err).NotTo(HaveOccurred())
		Expect(altered.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationBreakGlass, "flood"))
		_, err = undo("alice", "flood", "")
		expectRefused(err, policy, "set the annotation itil.dev/break-glass-by to alice")
		_, err = undo("alice", "flood", "alice")
		expectRefused(err, policy, "needs the verb breakglass")
	})
	It("is not said to be undone by anybody but the operator", func(ctx SpecContext) {
		if !c.Stamps {
			return // where nothing stamps, the mark is anybody's (docs/security.md)
		}
		deployment, err := create(ctx, "alice", func(metav1.Object) {})
		Expect(err).NotTo(HaveOccurred())
		mark := func(user, value string) string {
			GinkgoHelper()
			altered := deployment.DeepCopy()
			altered.Annotations = map[string]string{"itil.dev/backout": value, "other": "x"}
			Expect(c.as(user).Update(ctx, altered)).To(Succeed())
			Expect(altered.Annotations).To(HaveKeyWithValue("other", "x"))
			deployment = altered
			return altered.Annotations["itil.dev/backout"]
		}
		Expect(mark("alice", "forged/1")).To(BeEmpty())
		Expect(mark(Operator, "true/1")).To(Equal("true/1"))
		Expect(mark("alice", "forged/2")).To(Equal("true/1"))
		Expect(mark("alice", "")).To(BeEmpty())
	})
	It("is copied by the deployment controller", func(ctx SpecContext) {
		template := builder.MakeDeployment(namespace, "checkout").Obj()
		set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "checkout-1", Namespace: namespace}}
		set.Spec.Selector, set.Spec.Template = template.Spec.Selector, template.Spec.Template
		sign("fire", "erin")(set)
		Expect(c.as(copier).Create(ctx, set)).To(Succeed())
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
