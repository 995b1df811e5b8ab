//go:build !fleetset

package configuration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// The table is one place; Kubernetes has to be told of a kind in others, which are generated from markers or written by
// hand. docs/adr/0011 lists them for whoever adds one.
func TestEveryPlaceNamesEveryKind(t *testing.T) {
	for _, k := range ClaimableKinds() {
		for _, place := range placesWithout(t, k) {
			t.Error(place)
		}
	}
	fleets := named{kind{group: "fleet.example.com", version: "v1", template: []string{"spec", "workload", "template"}}, "FleetSet"}
	want := []string{
		"api/v1alpha1/common_types.go: WorkloadKind has no FleetSet (and then: make generate manifests)",
		"config/webhook/gate.yaml: no rule of webhook enforce.gate.itil.dev is about fleetsets",
		"config/webhook/gate.yaml: webhook enforce.gate.itil.dev does not look at object.spec.workload.template",
		"config/webhook/gate.yaml: no rule of webhook audit.gate.itil.dev is about fleetsets",
		"config/webhook/gate.yaml: webhook audit.gate.itil.dev does not look at object.spec.workload.template",
		"config/policies/breakglass.yaml: no rule is about fleetsets",
		"config/policies/releases.yaml: it does not name FleetSet",
		"config/policies/releases.yaml: no check of the right to update fleetsets",
		"internal/inventory/register.go: no +kubebuilder:rbac marker to get, list and watch fleetsets",
		"controllers/release/controller.go: no +kubebuilder:rbac marker to patch fleetsets",
	}
	if diff := cmp.Diff(want, placesWithout(t, fleets)); diff != "" {
		t.Errorf("a kind that no place names (-want +got):\n%s", diff)
	}
}

// placesWithout are the places that do not name a kind, with what is missing.
func placesWithout(t *testing.T, k Kind) []string {
	t.Helper()
	var missing []string
	add := func(format string, args ...any) { missing = append(missing, fmt.Sprintf(format, args...)) }
	resource := strings.ToLower(k.Name()) + "s"

	if !slices.Contains(enumOf(t, "itil.dev_releases.yaml"), k.Name()) {
		add("api/v1alpha1/common_types.go: WorkloadKind has no %s (and then: make generate manifests)", k.Name())
	}
	gate := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	read(t, gate, "config", "webhook", "gate.yaml")
	for _, w := range gate.Webhooks[:2] {
		if !slices.ContainsFunc(w.Rules, func(r admissionregistrationv1.RuleWithOperations) bool { return covers(r.Rule, k, resource) }) {
			add("config/webhook/gate.yaml: no rule of webhook %s is about %s", w.Name, resource)
		}
		path := "object." + strings.Join(k.TemplatePath(), ".") + " !="
		if !slices.ContainsFunc(w.MatchConditions, func(c admissionregistrationv1.MatchCondition) bool { return strings.Contains(c.Expression, path) }) {
			add("config/webhook/gate.yaml: webhook %s does not look at %s", w.Name, strings.TrimSuffix(path, " !="))
		}
	}
	glass := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	read(t, glass, "config", "policies", "breakglass.yaml")
	if !slices.ContainsFunc(glass.Spec.MatchConstraints.ResourceRules, func(r admissionregistrationv1.NamedRuleWithOperations) bool { return covers(r.Rule, k, resource) }) {
		add("config/policies/breakglass.yaml: no rule is about %s", resource)
	}
	releases := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	read(t, releases, "config", "policies", "releases.yaml")
	var checks string
	for _, v := range releases.Spec.Validations {
		checks += v.Expression + "\n"
	}
	if !strings.Contains(strings.SplitN(checks, "\n", 2)[0], "'"+k.Name()+"'") {
		add("config/policies/releases.yaml: it does not name %s", k.Name())
	}
	if !strings.Contains(checks, "group('"+k.Group()+"').resource('"+resource+"').namespace(request.namespace).check('update')") {
		add("config/policies/releases.yaml: no check of the right to update %s", resource)
	}
	if !may(t, k, resource, "get", "list", "watch") {
		add("internal/inventory/register.go: no +kubebuilder:rbac marker to get, list and watch %s", resource)
	}
	// The template of a Job cannot be changed.
	if k.Name() != KindJob && !may(t, k, resource, "patch") {
		add("controllers/release/controller.go: no +kubebuilder:rbac marker to patch %s", resource)
	}
	return missing
}

func covers(r admissionregistrationv1.Rule, k Kind, resource string) bool {
	return slices.Contains(r.APIGroups, k.Group()) && slices.Contains(r.APIVersions, k.Version()) && slices.Contains(r.Resources, resource)
}

// may says whether the operator's role has the verbs.
func may(t *testing.T, k Kind, resource string, verbs ...string) bool {
	t.Helper()
	role := &rbacv1.ClusterRole{}
	read(t, role, "config", "rbac", "role.yaml")
	return !slices.ContainsFunc(verbs, func(verb string) bool {
		return !slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.APIGroups, k.Group()) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb)
		})
	})
}

// enumOf are the values of the first enum of a CRD that has Deployment in it.
func enumOf(t *testing.T, crd string) []string {
	t.Helper()
	_, after, found := strings.Cut(string(shipped(t, "config", "crd", "bases", crd)), "- Deployment\n")
	if !found {
		t.Fatalf("%s has no enum of workload kinds", crd)
	}
	values := []string{KindDeployment}
	for line := range strings.Lines(after) {
		value, is := strings.CutPrefix(strings.TrimSpace(line), "- ")
		if !is {
			break
		}
		values = append(values, value)
	}
	return values
}

// read the first document of a manifest.
func read(t *testing.T, into any, path ...string) {
	t.Helper()
	data := strings.TrimPrefix(string(shipped(t, path...)), "---\n")
	first, _, _ := strings.Cut(data, "\n---\n")
	if err := yaml.Unmarshal([]byte(first), into); err != nil {
		t.Fatalf("%s: %v", filepath.Join(path...), err)
	}
}

func shipped(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"..", "..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
