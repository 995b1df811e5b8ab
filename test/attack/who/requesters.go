package who

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const requesting = "itil-operator-requesters"

func changeOf(namespace, name, requester string) *unstructured.Unstructured {
	GinkgoHelper()
	return object(namespace, "Change", name, strings.ReplaceAll(
		"spec: {summary: x, requester: \"R\", targets: [{workload: {kind: Deployment, name: checkout}, images: {app: \"a:1\"}}]}", "R", requester))
}

func releaseOf(namespace, name, requester string) *unstructured.Unstructured {
	GinkgoHelper()
	return object(namespace, "Release", name, strings.ReplaceAll(kinds[6].spec, "REQUESTER", requester))
}

func incident(namespace, name, fields string) *unstructured.Unstructured {
	GinkgoHelper()
	return object(namespace, "Incident", name, "spec: {title: it burns, serviceRef: {name: checkout}, "+fields+"}")
}

func requesters(c Cluster) {
	var namespace string
	BeforeEach(func() {
		namespace = c.namespace(nil, "alice", "bob", Operator, "system:serviceaccount:shop:itil-operator")
	})
	askInAnothersName(c, &namespace)
	askForAnother(c, &namespace)
	reportInAnothersName(c, &namespace)
	askInNonsense(c, &namespace)
}

func askInAnothersName(c Cluster, namespace *string) {
	It("takes the authenticated user for the requester", func(ctx SpecContext) {
		for name, forged := range map[string]*unstructured.Unstructured{
			"change": changeOf(*namespace, "forged", "bob"), "release": releaseOf(*namespace, "forged", "bob"),
		} {
			err := c.as("alice").Create(ctx, forged)
			if c.Stamps {
				Expect(err).NotTo(HaveOccurred(), name)
				Expect(get(forged, "spec", "requester")).To(Equal("alice"), name)
			} else {
				expectRefused(err, requesting, "you are alice")
			}
		}
		Expect(c.as("alice").Create(ctx, changeOf(*namespace, "honest", "alice"))).To(Succeed())
		Expect(c.as("alice").Create(ctx, releaseOf(*namespace, "honest", "alice"))).To(Succeed())
	})
	It("fills the requester in, where it can", func(ctx SpecContext) {
		silent := changeOf(*namespace, "silent", "")
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
		mine := changeOf(*namespace, "mine", "alice")
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
}

func askForAnother(c Cluster, namespace *string) {
	It("lets the operator, and nobody who looks like it, file for another", func(ctx SpecContext) {
		filed := changeOf(*namespace, "filed", "alice")
		Expect(c.as(Operator).Create(ctx, filed)).To(Succeed())
		Expect(get(filed, "spec", "requester")).To(Equal("alice"))
		const lookalike = "system:serviceaccount:shop:itil-operator"
		forged := changeOf(*namespace, "lookalike", "alice")
		err := c.as(lookalike).Create(ctx, forged)
		if c.Stamps {
			Expect(err).NotTo(HaveOccurred())
			Expect(get(forged, "spec", "requester")).To(Equal(lookalike))
		} else {
			expectRefused(err, requesting, "you are "+lookalike)
		}
	})
	It("does not let the operator raise a Release for another", func(ctx SpecContext) {
		raised := releaseOf(*namespace, "raised", "alice")
		err := c.as(Operator).Create(ctx, raised)
		if c.Stamps {
			Expect(err).NotTo(HaveOccurred())
			Expect(get(raised, "spec", "requester")).To(Equal(Operator))
		} else {
			expectRefused(err, requesting, "you are "+Operator)
		}
	})
}

func reportInAnothersName(c Cluster, namespace *string) {
	It("takes the authenticated user for the reporter of an Incident", func(ctx SpecContext) {
		for _, source := range []string{"User", "Alert"} {
			forged := incident(*namespace, "forged-"+strings.ToLower(source), "source: "+source+", reporter: bob")
			err := c.as("alice").Create(ctx, forged)
			if c.Stamps {
				Expect(err).NotTo(HaveOccurred())
				Expect(get(forged, "spec", "reporter")).To(Equal("alice"))
			} else {
				expectRefused(err, requesting, "you are alice")
			}
		}
	})
	It("refuses an Incident that claims to be detected", func(ctx SpecContext) {
		expectRefused(c.as("alice").Create(ctx, incident(*namespace, "forged", "source: Detector, reporter: alice")), requesting, "source Detector")
	})
	It("lets the operator open Incidents without a reporter, which nobody becomes later", func(ctx SpecContext) {
		detected := incident(*namespace, "detected", "source: Detector")
		Expect(c.as(Operator).Create(ctx, detected)).To(Succeed())
		Expect(get(detected, "spec", "reporter")).To(BeEmpty())
		err := patch(ctx, c.as("alice"), detected, `{"spec":{"reporter":"alice"}}`)
		if !c.Stamps {
			expectRefused(err, requesting, "stays what it was")
		} else {
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(c.as("alice").Get(ctx, client.ObjectKeyFromObject(detected), detected)).To(Succeed())
		Expect(get(detected, "spec", "reporter")).To(BeEmpty())
		Expect(patch(ctx, c.as("alice"), detected, `{"spec":{"assignee":"alice"}}`)).To(Succeed())
	})
	It("lets nobody put an Incident on hold in another's name", func(ctx SpecContext) {
		held := incident(*namespace, "held", "source: Detector")
		Expect(c.as(Operator).Create(ctx, held)).To(Succeed())
		expectRefused(patch(ctx, c.as("alice"), held, `{"spec":{"hold":{"reason":"AwaitingVendor","by":"bob"}}}`), requesting, "spec.hold.by is who")
		Expect(patch(ctx, c.as("alice"), held, `{"spec":{"hold":{"reason":"AwaitingVendor","by":"alice"}}}`)).To(Succeed())
		Expect(patch(ctx, c.as("bob"), held, `{"spec":{"hold":{"comment":"ticket 7"}}}`)).To(Succeed())
		expectRefused(patch(ctx, c.as("bob"), held, `{"spec":{"hold":{"by":"carol"}}}`), requesting, "spec.hold.by is who")
		Expect(patch(ctx, c.as("bob"), held, `{"spec":{"hold":null}}`)).To(Succeed())
		Expect(patch(ctx, c.as("bob"), held, `{"spec":{"hold":{"reason":"AwaitingVendor"}}}`)).To(Succeed())
		expectRefused(c.as("alice").Create(ctx, incident(*namespace, "forged", "reporter: alice, hold: {reason: AwaitingVendor, by: bob}")), requesting, "spec.hold.by is who")
	})
}

func askInNonsense(c Cluster, namespace *string) {
	It("refuses a Change that claims to record what went in", func(ctx SpecContext) {
		record := func(name, requester string) *unstructured.Unstructured {
			return set(set(changeOf(*namespace, name, requester), "Emergency", "spec", "type"), "BreakGlass", "spec", "recordOf")
		}
		expectRefused(c.as("alice").Create(ctx, record("forged", "alice")), requesting, "spec.recordOf is how the operator records")
		Expect(c.as(Operator).Create(ctx, record("recorded", "alice"))).To(Succeed())
	})
	It("takes nonsense for what it is", func(ctx SpecContext) {
		Expect(c.as("alice").Create(ctx, object(*namespace, "Change", "empty", ""))).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
		Expect(c.as("alice").Create(ctx, object(*namespace, "ChangeApproval", "empty", ""))).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
	})
	It("applies the same manifest again and again without an effect", func(ctx SpecContext) {
		manifest := changeOf(*namespace, "applied", "alice")
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
