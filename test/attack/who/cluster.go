// Package who tries what the admission policies of config/policies must refuse, as the users who would try it, and what
// they must let through. Both suites run it: on an API server that stamps who asks (Kubernetes 1.36 and newer), and on
// one that cannot (1.30 to 1.35). No operator runs: all of this holds with it at zero replicas.
package who

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

// Operator is the user that the policies make their exceptions for.
const Operator = "system:serviceaccount:itil-system:itil-operator"

const (
	namespaceController = "system:serviceaccount:kube-system:namespace-controller"
	garbageCollector    = "system:serviceaccount:kube-system:generic-garbage-collector"
)

var everything = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// Cluster is an API server with the policies.
type Cluster struct {
	Env func() *apiserver.Env
	// Stamps: it serves MutatingAdmissionPolicy.
	Stamps bool
	// Gated: an operator keeps the gate's configuration, which is no longer the specs' to write.
	Gated bool
}

// namespace makes one in which everybody may do what the built-in role admin would let them do with our kinds, so that
// what is refused is refused by a policy and not by RBAC: status and configurationitems included.
func (c Cluster) namespace(labels map[string]string, users ...string) string {
	GinkgoHelper()
	env := c.Env()
	namespace := env.Namespace(GinkgoTB(), labels)
	for _, user := range users {
		env.Grant(GinkgoTB(), namespace, apiserver.User(user),
			apiserver.Allow("itil.dev", "*", everything...), apiserver.Allow("apps", "*", everything...), apiserver.Allow("", "*", everything...))
	}
	return namespace
}

func (c Cluster) allow(namespace, user, resource, verb string) {
	GinkgoHelper()
	c.Env().Grant(GinkgoTB(), namespace, apiserver.User(user), apiserver.Allow("itil.dev", resource, verb))
}

func (c Cluster) as(user string, groups ...string) client.Client {
	GinkgoHelper()
	return c.Env().Client(GinkgoTB(), user, groups...)
}

// object is one of our kinds with this name and these lines of YAML.
func object(namespace, kind, name, fields string) *unstructured.Unstructured {
	GinkgoHelper()
	text := fmt.Sprintf("apiVersion: itil.dev/v1alpha1\nkind: %s\nmetadata: {name: %s, namespace: %s}\n%s", kind, name, namespace, fields)
	if namespace == "" {
		text = fmt.Sprintf("apiVersion: itil.dev/v1alpha1\nkind: %s\nmetadata: {name: %s}\n%s", kind, name, fields)
	}
	parsed, err := apiserver.ParseManifests([]byte(text))
	Expect(err).NotTo(HaveOccurred())
	Expect(parsed).To(HaveLen(1))
	return parsed[0]
}

// set alters a field of a copy.
func set(o *unstructured.Unstructured, value any, path ...string) *unstructured.Unstructured {
	GinkgoHelper()
	altered := o.DeepCopy()
	Expect(unstructured.SetNestedField(altered.Object, value, path...)).To(Succeed())
	return altered
}

func get(o *unstructured.Unstructured, path ...string) string {
	GinkgoHelper()
	value, _, err := unstructured.NestedString(o.Object, path...)
	Expect(err).NotTo(HaveOccurred())
	return value
}

// patch is a JSON merge patch.
func patch(ctx context.Context, c client.Client, o *unstructured.Unstructured, merge string) error {
	return c.Patch(ctx, o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(merge)))
}

// expectRefused: 403 Forbidden by the policy, in words that no GitOps controller takes for a reason to delete and
// re-create.
func expectRefused(err error, policy, why string) {
	GinkgoHelper()
	Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
	Expect(err).To(MatchError(ContainSubstring("ValidatingAdmissionPolicy '" + policy + "'")))
	Expect(err).To(MatchError(ContainSubstring(why)))
	Expect(err).NotTo(MatchError(ContainSubstring("immutable")))
}

// kinds are all of ours, each with the least spec that the schema takes. REQUESTER stands for whoever creates it.
var kinds = []struct{ kind, resource, spec string }{
	{"Service", "services", "spec: {owner: {team: payments}}"},
	{"ServiceLevelAgreement", "servicelevelagreements", "spec: {serviceRef: {name: checkout}}"},
	{"Incident", "incidents", "spec: {title: it burns, serviceRef: {name: checkout}, reporter: \"REQUESTER\"}"},
	{"Problem", "problems", "spec: {statement: it burns again and again}"},
	{"Change", "changes", "spec: {summary: new version, requester: \"REQUESTER\", targets: [{workload: {kind: Deployment, name: checkout}, images: {app: \"a:1\"}}]}"},
	{"ChangeApproval", "changeapprovals", "spec: {changeRef: {name: c}, decision: Approve, approver: \"REQUESTER\", digest: \"v1:" + digest + "\"}"},
	{"Release", "releases", "spec: {version: \"1\", requester: \"REQUESTER\", units: [{name: a, workload: {kind: Deployment, name: a}, images: {app: \"a:1\"}}], phases: [{name: all, units: [\"*\"]}], change: {}}"},
	{"ConfigurationItem", "configurationitems", "spec: {workloadRef: {kind: Deployment, name: checkout}}"},
	{"ChangePolicy", "changepolicies", "spec: {namespaceSelector: {matchLabels: {env: nowhere}}}"},
	{"Calendar", "calendars", "spec: {weekly: [{days: [Mon], from: \"08:00\", to: \"18:00\"}]}"},
}

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func owned(o *unstructured.Unstructured, by *corev1.ConfigMap) *unstructured.Unstructured {
	altered := o.DeepCopy()
	_ = unstructured.SetNestedSlice(altered.Object, []any{map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "name": by.Name, "uid": string(by.UID),
	}}, "metadata", "ownerReferences")
	return altered
}

// withNames limits a rule to some names.
func withNames(rule rbacv1.PolicyRule, names ...string) rbacv1.PolicyRule {
	rule.ResourceNames = names
	return rule
}
