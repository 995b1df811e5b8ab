package apiserver

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// probe and mutatingProbe are policies that answer to objects of one name, which are only ever created as a dry run. The
// API server takes policies over in the order in which they were written, so when these are in force, those that were
// applied before are as well.
const probe = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: test-probe}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps], resourceNames: [policy-probe]}
  validations:
  - {expression: "false", message: "in force", reason: Forbidden}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: test-probe}
spec: {policyName: test-probe, validationActions: [Deny]}
`

const mutatingProbe = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: test-probe}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps], resourceNames: [mutating-probe]}
    - {apiGroups: [itil.dev], apiVersions: [v1alpha1], operations: [CREATE], resources: ["*"], resourceNames: [mutating-probe]}
  matchConditions:
  - {name: plain, expression: "request.kind.kind == 'ConfigMap' || has(object.spec)"}
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: '[JSONPatch{op: "add", path: "/metadata/labels", value: {"probe": "in-force"}}]'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: test-probe}
spec: {policyName: test-probe}
`

func (e *Env) applyPolicies(ctx context.Context, mutating bool) error {
	beside := "unstamped"
	if mutating {
		beside = "stamping"
	}
	for _, folder := range []string{"policies", beside} {
		objects, err := ReadManifests(filepath.Join(e.root, "config", folder))
		if err != nil {
			return err
		}
		if len(objects) == 0 {
			return fmt.Errorf("config/%s has no manifests", folder)
		}
		for _, object := range objects {
			if err := e.apply(ctx, object); err != nil {
				return err
			}
		}
	}
	return e.awaitPolicies(ctx, mutating)
}

// awaitPolicies returns when every policy and binding written so far is in force.
func (e *Env) awaitPolicies(ctx context.Context, mutating bool) error {
	if err := e.applyText(ctx, probe); err != nil {
		return err
	}
	err := eventually(ctx, func(ctx context.Context) (bool, error) {
		_, err := e.dryRunConfigMap(ctx, "policy-probe")
		// Before it has read the policies, the server refuses as well, with another message.
		if apierrors.IsForbidden(err) {
			return strings.Contains(err.Error(), "in force"), nil
		}
		return false, err
	})
	if err != nil || !mutating {
		return err
	}
	if err := e.applyText(ctx, mutatingProbe); err != nil {
		return err
	}
	err = eventually(ctx, func(ctx context.Context) (bool, error) {
		made, err := e.dryRunConfigMap(ctx, "mutating-probe")
		return made.Labels["probe"] != "", err
	})
	if err != nil {
		return err
	}
	return eventually(ctx, e.canMutateOurKinds)
}

// canMutateOurKinds reports whether the API server has the schema of each of our kinds at hand for mutating policies. It
// looks for those of new CRDs every five seconds, and until then refuses a request that such a policy matches with 503.
// Anything else, such as that an empty spec is invalid, comes after the mutation.
func (e *Env) canMutateOurKinds(ctx context.Context) (bool, error) {
	for _, crd := range e.environment.CRDs {
		object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
		object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(crd.Spec.Names.Kind))
		object.SetName("mutating-probe")
		if crd.Spec.Scope == apiextensionsv1.NamespaceScoped {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		err := e.admin.Create(ctx, object, client.DryRunAll)
		switch {
		case apierrors.IsServiceUnavailable(err):
			return false, nil
		case err == nil, apierrors.IsInvalid(err), apierrors.IsForbidden(err):
		default:
			return false, err
		}
	}
	return true, nil
}

func (e *Env) applyText(ctx context.Context, text string) error {
	objects, err := ParseManifests([]byte(text))
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := e.apply(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func (e *Env) dryRunConfigMap(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}}
	err := e.admin.Create(ctx, configMap, client.DryRunAll)
	return configMap, err
}
