package gateconfig_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
)

func shipped(t *testing.T) *admissionregistrationv1.ValidatingWebhookConfiguration {
	t.Helper()
	content, err := os.ReadFile("../../../config/webhook/gate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := yaml.UnmarshalStrict(content, config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestShippedConfigurationNamesNobody(t *testing.T) {
	config := shipped(t)
	if config.Name != gateconfig.Name || len(config.Webhooks) != 3 {
		t.Fatalf("the shipped configuration is %s with %d webhooks", config.Name, len(config.Webhooks))
	}
	if got := gateconfig.Read(config); !got.Equal(gateconfig.Namespaces{}) {
		t.Errorf("the shipped configuration lists %v", got)
	}
	if gateconfig.Write(config, gateconfig.Namespaces{}) {
		t.Error("writing empty lists alters the shipped configuration")
	}
	enforce, audit := config.Webhooks[0], config.Webhooks[1]
	if doors := config.Webhooks[2]; doors.Name != gateconfig.SideDoorsWebhook || *doors.FailurePolicy != admissionregistrationv1.Ignore {
		t.Errorf("webhook %s, which refuses nothing, must fail open", doors.Name)
	}
	written := config.DeepCopy()
	if !gateconfig.Write(written, gateconfig.Namespaces{Enforce: []string{"b"}, Audit: []string{"a"}}) {
		t.Error("nothing was written")
	}
	if got := written.Webhooks[2].NamespaceSelector.MatchExpressions[0].Values; !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("webhook %s lists %v, want both lists", gateconfig.SideDoorsWebhook, got)
	}
	if *enforce.FailurePolicy != admissionregistrationv1.Fail || *audit.FailurePolicy != admissionregistrationv1.Ignore {
		t.Error("Enforce must fail closed and Audit open")
	}
	// All else is alike: the same requests reach the same handler.
	audit.Name, audit.FailurePolicy = enforce.Name, enforce.FailurePolicy
	if diff := cmp.Diff(enforce, audit); diff != "" {
		t.Errorf("the webhooks differ in more than name and failurePolicy:\n%s", diff)
	}
}

func TestWriteThenRead(t *testing.T) {
	want := gateconfig.Namespaces{Enforce: []string{"pay", "shop"}, Audit: []string{"lab"}}
	config := shipped(t)
	if !gateconfig.Write(config, want) {
		t.Error("writing other lists is reported as no change")
	}
	if gateconfig.Write(config, want) {
		t.Error("writing the same lists again is reported as a change")
	}
	if diff := cmp.Diff(want, gateconfig.Read(config)); diff != "" {
		t.Errorf("read something else than was written (-want +got):\n%s", diff)
	}
	for namespace, listed := range map[string]gateconfig.Listed{
		"shop": gateconfig.ListedEnforce, "lab": gateconfig.ListedAudit, "kube-system": gateconfig.NotListed, "": gateconfig.NotListed,
	} {
		if got := want.Of(namespace); got != listed {
			t.Errorf("namespace %q is listed %q, want %q", namespace, got, listed)
		}
	}
	if !gateconfig.Write(config, gateconfig.Namespaces{}) {
		t.Error("emptying the lists is reported as no change")
	}
	if values := config.Webhooks[0].NamespaceSelector.MatchExpressions[0].Values; len(values) != 1 || values[0] != gateconfig.Placeholder {
		t.Errorf("an empty list is written as %q, want the placeholder", values)
	}
}

func TestOtherSelectorsAreReplaced(t *testing.T) {
	for name, selector := range map[string]*metav1.LabelSelector{
		"none":          nil,
		"matches all":   {},
		"by labels":     {MatchLabels: map[string]string{"kubernetes.io/metadata.name": "shop"}},
		"another label": {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: metav1.LabelSelectorOpIn, Values: []string{"shop"}}}},
		"not in":        {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"shop"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			config := shipped(t)
			config.Webhooks[0].NamespaceSelector = selector
			if got := gateconfig.Read(config); len(got.Enforce) > 0 {
				t.Errorf("read %v from it", got.Enforce)
			}
			if !gateconfig.Write(config, gateconfig.Namespaces{}) {
				t.Error("it was left as it is")
			}
		})
	}
}

// Admission policies share no variables, so each that is about governed namespaces says for itself which these are. All
// must read the list as it is written here.
func TestPoliciesReadTheListAsItIsWritten(t *testing.T) {
	const enforced = `params.?webhooks.orValue([]).exists(w, w.name == '` + gateconfig.EnforceWebhook + `' &&
  w.?namespaceSelector.?matchExpressions.orValue([]).exists(e,
    e.key == '` + corev1.LabelMetadataName + `' && e.operator == 'In' && request.namespace in e.?values.orValue([])))`
	policies := shippedPolicies(t)
	var read []string
	for name, p := range policies {
		if p.Spec.ParamKind == nil || p.Spec.ParamKind.Kind != "ValidatingWebhookConfiguration" {
			continue
		}
		read = append(read, name)
		at := slices.IndexFunc(p.Spec.Variables, func(v admissionregistrationv1.Variable) bool { return v.Name == "enforced" })
		if at < 0 {
			t.Errorf("policy %s has the gate's configuration for a parameter, and no variable enforced", name)
			continue
		}
		// A Namespace is in none: it is one.
		got := strings.ReplaceAll(p.Spec.Variables[at].Expression, "oldObject.metadata.name", "request.namespace")
		if diff := cmp.Diff(strings.Fields(enforced), strings.Fields(got)); diff != "" {
			t.Errorf("policy %s reads the list otherwise (-want +got):\n%s", name, diff)
		}
	}
	slices.Sort(read)
	want := []string{"itil-operator-copied-breakglass", "itil-operator-namespaces", "itil-operator-replicasets"}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("policies that read the list (-want +got):\n%s", diff)
	}
}

// shippedPolicies are the admission policies of all parts of the installation, by name.
func shippedPolicies(t *testing.T) map[string]*admissionregistrationv1.ValidatingAdmissionPolicy {
	t.Helper()
	out := map[string]*admissionregistrationv1.ValidatingAdmissionPolicy{}
	err := filepath.WalkDir("../../../config", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for document := range strings.SplitSeq(string(content), "\n---\n") {
			p := &admissionregistrationv1.ValidatingAdmissionPolicy{}
			// Much of what is there is something else, and not every file is an object.
			if err := yaml.Unmarshal([]byte(document), p); err == nil && p.Kind == "ValidatingAdmissionPolicy" {
				out[p.Name] = p
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
