package apiserver

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// probe is a pair of policies that answer to one ConfigMap, which is only ever created as a dry run. The API
// server takes policies over in the order in which they were written, so when these two are in force, those that
// were applied before are as well.
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
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: '[JSONPatch{op: "add", path: "/data", value: {"probe": "in force"}}]'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: test-probe}
spec: {policyName: test-probe}
`

func (e *Env) applyPolicies(ctx context.Context, mutating bool) error {
	folders := []string{"policies"}
	if mutating {
		folders = append(folders, "stamping")
	}
	for _, folder := range folders {
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
	return eventually(ctx, func(ctx context.Context) (bool, error) {
		made, err := e.dryRunConfigMap(ctx, "mutating-probe")
		return made.Data["probe"] != "", err
	})
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
