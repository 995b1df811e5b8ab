//go:build fleetset

// Package kinds proves that a kind of workload which no part of the operator was written for is governed, followed and
// released by an entry in the table of kinds alone: FleetSet, of a CustomResourceDefinition, with its pod template at
// spec.workload.template and counts of its own. It is built with the tag fleetset (make test-kinds).
package kinds

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/kube/servingcert"
	"github.com/itil-dev/itil-operator/internal/operator"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const (
	operatorName      = "system:serviceaccount:itil-system:itil-operator"
	operatorNamespace = "itil-system"
	certificateSecret = "itil-operator-webhook-cert"

	group    = "fleet.example.com"
	kind     = "FleetSet"
	resource = "fleetsets"
)

var env *apiserver.Env

func TestKinds(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "Kinds")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies())
	env.Apply(GinkgoTB(), "config/rbac/user_roles.yaml")
	env.Apply(GinkgoTB(), "test/integration/kinds/testdata")
	env.Bind(GinkgoTB(), "", apiserver.User(operatorName), "cluster-admin")
	admitKind(ctx)
	allowReleases(ctx)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}
	Expect(env.Admin().Create(ctx, namespace)).To(Succeed())
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: certificateSecret, Namespace: operatorNamespace}}
	Expect(env.Admin().Create(ctx, secret)).To(Succeed())
	port := freePort()
	installGate(ctx, port)
	startOperator(port)
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

// installGate is config/webhook/gate.yaml at an address of this machine, with a rule for the kind, and its path.
func installGate(ctx context.Context, port int) {
	GinkgoHelper()
	root, err := apiserver.Root()
	Expect(err).NotTo(HaveOccurred())
	read, err := apiserver.ReadManifests(filepath.Join(root, "config", "webhook", "gate.yaml"))
	Expect(err).NotTo(HaveOccurred())
	gate := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	Expect(env.Scheme().Convert(read[0], gate, nil)).To(Succeed())
	const before = "request.resource.resource == 'cronjobs' ?"
	const after = "request.resource.resource == '" + resource + "' ? object.spec.workload.template != oldObject.spec.workload.template : " + before
	for i := range gate.Webhooks {
		w := &gate.Webhooks[i]
		w.ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: new("https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + admission.Path)}
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
	Expect(env.Admin().Create(ctx, gate)).To(Succeed())
}

func startOperator(port int) {
	GinkgoHelper()
	running, stop := context.WithCancel(context.Background())
	mgr, err := operator.New(running, env.Config(GinkgoTB(), operatorName), operator.Options{
		Namespace: operatorNamespace, Version: "test", ProbeAddress: "0", MetricsAddress: "0",
		WebhookHost: "127.0.0.1", WebhookPort: port, Certificates: servingcert.Self,
		CertificateNames: servingcert.Names{DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}},
		Detect:           detection.ScopeAll, Concurrency: 2,
	}, clock.RealClock{})
	Expect(err).NotTo(HaveOccurred())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(running) }()
	DeferCleanup(func() {
		stop()
		Eventually(done).Should(Receive(BeNil()))
	})
}

func freePort() int {
	GinkgoHelper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
