//go:build fleetset

// Package kinds proves that a kind of workload which no part of the operator was written for is governed, followed and
// released by an entry in the table of kinds alone: FleetSet, of a CustomResourceDefinition, with its pod template at
// spec.workload.template and counts of its own. It is built with the tag fleetset (make test-kinds).
package kinds

import (
	"context"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/operate"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

const (
	group    = "fleet.example.com"
	kind     = "FleetSet"
	resource = "fleetsets"
)

var env *apiserver.Env

func TestKinds(t *testing.T) { suite.Run(t, "Kinds") }

var _ = BeforeSuite(func(ctx SpecContext) {
	env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies())
	env.Apply(GinkgoTB(), "config/rbac/user_roles.yaml")
	env.Apply(GinkgoTB(), "test/integration/kinds/testdata")
	admitKind(ctx)
	allowReleases(ctx)
	operate.Operator(GinkgoTB(), env, clock.RealClock{}, watchKind)
})

// admitKind is the enum marker of WorkloadKind, in all our kinds.
func admitKind(ctx context.Context) {
	GinkgoHelper()
	list := &apiextensionsv1.CustomResourceDefinitionList{}
	Expect(env.Admin().List(ctx, list)).To(Succeed())
	for i := range list.Items {
		crd := &list.Items[i]
		if crd.Spec.Group != "itil.dev" {
			continue
		}
		for v := range crd.Spec.Versions {
			admitIn(crd.Spec.Versions[v].Schema.OpenAPIV3Schema)
		}
		Expect(env.Admin().Update(ctx, crd)).To(Succeed())
	}
}

func admitIn(schema *apiextensionsv1.JSONSchemaProps) {
	if slices.ContainsFunc(schema.Enum, func(v apiextensionsv1.JSON) bool { return string(v.Raw) == `"DaemonSet"` }) {
		schema.Enum = append(schema.Enum, apiextensionsv1.JSON{Raw: []byte(`"` + kind + `"`)})
	}
	for name, p := range schema.Properties {
		admitIn(&p)
		schema.Properties[name] = p
	}
	if schema.Items != nil {
		admitIn(schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		admitIn(schema.AdditionalProperties.Schema)
	}
}

// allowReleases is config/policies/releases.yaml with the kind and a check of it.
func allowReleases(ctx context.Context) {
	GinkgoHelper()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Name: "itil-operator-releases"}, policy)).To(Succeed())
	list := &policy.Spec.Validations
	(*list)[0].Expression = strings.Replace((*list)[0].Expression, "['Deployment',", "['"+kind+"', 'Deployment',", 1)
	forbidden := metav1.StatusReasonForbidden
	*list = append(*list, admissionregistrationv1.Validation{
		Expression: "!('" + kind + "' in variables.kinds) || authorizer.group('" + group + "').resource('" + resource +
			"').namespace(request.namespace).check('update').allowed()",
		Reason: &forbidden, Message: "a Release that sets the images of FleetSets needs the verb update on fleetsets in its namespace",
	})
	Expect(env.Admin().Update(ctx, policy)).To(Succeed())
}

// watchKind gives config/webhook/gate.yaml a rule for the kind, and its path.
func watchKind(gate *admissionregistrationv1.ValidatingWebhookConfiguration) {
	const before = "request.resource.resource == 'cronjobs' ?"
	const after = "request.resource.resource == '" + resource + "' ? object.spec.workload.template != oldObject.spec.workload.template : " + before
	for i := range gate.Webhooks {
		w := &gate.Webhooks[i]
		if i == 2 {
			continue // the side doors of pods
		}
		rule := *w.Rules[0].DeepCopy()
		rule.APIGroups, rule.Resources = []string{group}, []string{resource}
		w.Rules = append(w.Rules, rule)
		for n := range w.MatchConditions {
			c := &w.MatchConditions[n]
			c.Expression = strings.Replace(c.Expression, before, after, 1)
		}
	}
}
