package admission

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// read the objects of a kind in the manifests that a pattern names.
func read[T any](t *testing.T, pattern, kind string) []T {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	var out []T
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(content), "\n---\n") {
			var typed metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(document), &typed); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if typed.Kind != kind {
				continue
			}
			var object T
			if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			out = append(out, object)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s: no %s", pattern, kind)
	}
	return out
}

// TestPoliciesRefuseAsTheGateDoes: on 409 and 422, and on words that say that a field cannot change, GitOps controllers delete
// and make again what they apply. A right that is asked for costs a third of what an expression may.
func TestPoliciesRefuseAsTheGateDoes(t *testing.T) {
	for _, p := range read[admissionregistrationv1.ValidatingAdmissionPolicy](t, "../../config/*/*.yaml", "ValidatingAdmissionPolicy") {
		t.Run(p.Name, func(t *testing.T) {
			if p.Spec.FailurePolicy == nil || *p.Spec.FailurePolicy != admissionregistrationv1.Fail {
				t.Error("it lets in what it cannot judge")
			}
			var expressions []string
			for _, v := range p.Spec.Validations {
				if v.Reason == nil || *v.Reason != metav1.StatusReasonForbidden {
					t.Errorf("%.60s…: its reason is %v, want Forbidden", v.Expression, v.Reason)
				}
				if v.Message == "" || strings.Contains(strings.ToLower(v.Message+v.MessageExpression), "immutable") {
					t.Errorf("%.60s…: its message is %q", v.Expression, v.Message)
				}
				expressions = append(expressions, v.Expression, v.MessageExpression)
			}
			for _, v := range p.Spec.Variables {
				expressions = append(expressions, v.Expression)
			}
			for _, c := range p.Spec.MatchConditions {
				expressions = append(expressions, c.Expression)
			}
			for _, e := range expressions {
				if n := strings.Count(e, "authorizer."); n > 1 {
					t.Errorf("%.60s…: it asks for %d rights, want one for each expression", e, n)
				}
			}
		})
	}
}

// TestNamespacesCanGo: whatever refuses to delete what is ours lets those do it by whom Kubernetes deletes a namespace and what
// nobody owns any more, and the operator.
func TestNamespacesCanGo(t *testing.T) {
	found := 0
	for _, p := range read[admissionregistrationv1.ValidatingAdmissionPolicy](t, "../../config/policies/*.yaml", "ValidatingAdmissionPolicy") {
		deletes := slices.ContainsFunc(p.Spec.MatchConstraints.ResourceRules, func(r admissionregistrationv1.NamedRuleWithOperations) bool {
			return slices.Contains(r.Operations, admissionregistrationv1.Delete) && slices.Contains(r.APIGroups, "itil.dev")
		})
		if !deletes {
			continue
		}
		found++
		content, err := yaml.Marshal(p.Spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{"itil-system:itil-operator", "kube-system:namespace-controller", "kube-system:generic-garbage-collector"} {
			if !strings.Contains(string(content), "system:serviceaccount:"+who) {
				t.Errorf("%s refuses deletions, and does not know %s", p.Name, who)
			}
		}
	}
	if found < 3 {
		t.Errorf("%d policies are about deletions: those of records, ConfigurationItems and Services are meant", found)
	}
}

// TestWhoAnswersAndUntilWhen: Enforce is closed while nobody answers, all else is open, and nobody waits for long.
func TestWhoAnswersAndUntilWhen(t *testing.T) {
	want := map[string]admissionregistrationv1.FailurePolicyType{
		"enforce.gate.itil.dev": admissionregistrationv1.Fail, "audit.gate.itil.dev": admissionregistrationv1.Ignore,
		"sidedoors.gate.itil.dev": admissionregistrationv1.Ignore,
	}
	config := read[admissionregistrationv1.ValidatingWebhookConfiguration](t, "../../config/webhook/gate.yaml", "ValidatingWebhookConfiguration")[0]
	for _, w := range config.Webhooks {
		if policy, known := want[w.Name]; !known || w.FailurePolicy == nil || *w.FailurePolicy != policy {
			t.Errorf("%s: failurePolicy %v, want %s", w.Name, w.FailurePolicy, policy)
		}
		if w.TimeoutSeconds == nil || *w.TimeoutSeconds != 3 {
			t.Errorf("%s: timeoutSeconds %v, want 3", w.Name, w.TimeoutSeconds)
		}
		if s := w.NamespaceSelector; s == nil || len(s.MatchExpressions) != 1 || s.MatchExpressions[0].Key != "kubernetes.io/metadata.name" ||
			len(s.MatchExpressions[0].Values) == 0 {
			t.Errorf("%s: it is not bound to namespaces by a label that nobody can change: %v", w.Name, s)
		}
		delete(want, w.Name)
	}
	if len(want) > 0 {
		t.Errorf("there is no %v", want)
	}
	deployment := read[appsv1.Deployment](t, "../../config/manager/deployment.yaml", "Deployment")[0]
	if n := deployment.Spec.Replicas; n == nil || *n != 3 || len(deployment.Spec.Template.Spec.TopologySpreadConstraints) == 0 {
		t.Errorf("%v replicas, spread by %v", n, deployment.Spec.Template.Spec.TopologySpreadConstraints)
	}
}
