// Package cli_test runs kubectl itil as users with real certificates and real RBAC against a real API server, with the
// admission policies in force and the gate's own handler behind its webhook. What the operator's other controllers
// would write, the specs write as the operator.
package cli_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/cli"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

const operatorName = "system:serviceaccount:itil-system:itil-operator"

var (
	env *apiserver.Env
	// operator is a client of the operator, who alone may write status.
	operator client.Client
	// facts are what the gate decides from.
	facts *inventory.Inventory
	// folder holds kubeconfigs, caches and manifests.
	folder string
)

func TestCLI(t *testing.T) { suite.Run(t, "kubectl itil") }

var _ = BeforeSuite(func(ctx SpecContext) {
	env = apiserver.Start(GinkgoTB(), apiserver.WithPolicies())
	env.Apply(GinkgoTB(), "config/rbac/user_roles.yaml")
	env.Bind(GinkgoTB(), "", apiserver.User(operatorName), "cluster-admin")
	operator = env.Client(GinkgoTB(), operatorName)
	folder = GinkgoT().TempDir()
	startGate(ctx)
})

// gated is the label of the namespaces that the gate is asked about.
const gated = "gated"

// startGate runs the inventory and the gate, and installs config/webhook/gate.yaml for the namespaces with a label.
func startGate(ctx SpecContext) {
	GinkgoHelper()
	facts = inventory.New()
	informers, err := cache.New(env.Config(GinkgoTB(), operatorName), cache.Options{Scheme: env.Scheme(), ByObject: inventory.CacheByObject()})
	Expect(err).NotTo(HaveOccurred())
	Expect(facts.Register(ctx, informers)).To(Succeed())
	running, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- informers.Start(running) }()
	DeferCleanup(func() {
		stop()
		Expect(<-done).NotTo(HaveOccurred())
	})
	Expect(facts.WaitForSync(ctx)).To(BeTrue())

	gate := &admission.Gate{Facts: facts, Filer: noFiler{}, Records: facts, Clock: clock.RealClock{}}
	server := httptest.NewTLSServer(gate.Webhook())
	DeferCleanup(server.Close)
	configuration := env.Gate(GinkgoTB())
	configuration.Webhooks = configuration.Webhooks[:1]
	configuration.Webhooks[0].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{gated: "true"}}
	configuration.Webhooks[0].ClientConfig = admissionregistrationv1.WebhookClientConfig{
		URL:      new(server.URL + admission.Path),
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	Expect(env.Admin().Create(ctx, configuration)).To(Succeed())
}

// noFiler files nothing: what a denial would file is another suite's.
type noFiler struct{}

func (noFiler) File(change.Filing) {}

// person is a user with a kubeconfig.
type person struct {
	name       string
	kubeconfig string
}

// somebody is a user with these groups, and the roles of ours that are bound to the name in a namespace.
func somebody(namespace, name string, groups []string, roles ...string) person {
	GinkgoHelper()
	for _, role := range roles {
		env.Bind(GinkgoTB(), namespace, apiserver.User(name), role)
	}
	path := filepath.Join(folder, strings.Join(append([]string{name}, groups...), "+")+".kubeconfig")
	if _, err := os.Stat(path); err != nil {
		Expect(os.WriteFile(path, env.Kubeconfig(GinkgoTB(), name, groups...), 0o600)).To(Succeed())
	}
	return person{name: name, kubeconfig: path}
}

// result is what became of a command.
type result struct {
	code        exit.Code
	out, errOut string
}

// runs is kubectl itil as that person, in a namespace.
func (p person) runs(ctx context.Context, namespace string, arguments ...string) result {
	return p.runsWith(ctx, "", namespace, arguments...)
}

// runsWith runs it with a text on its standard input, which is no terminal.
func (p person) runsWith(ctx context.Context, in, namespace string, arguments ...string) result {
	return p.runsAt(ctx, time.Now, in, namespace, arguments...)
}

// runsAt runs it by another clock.
func (p person) runsAt(ctx context.Context, now func() time.Time, in, namespace string, arguments ...string) result {
	var out, errOut bytes.Buffer
	code := cli.Run(ctx, cli.Environment{
		IOStreams: genericiooptions.IOStreams{In: strings.NewReader(in), Out: &out, ErrOut: &errOut},
		Now:       now, Version: "test",
	}, append([]string{"--kubeconfig", p.kubeconfig, "--cache-dir", filepath.Join(folder, "cache"), "--namespace", namespace}, arguments...))
	return result{code: code, out: out.String(), errOut: errOut.String()}
}

// expect asserts the exit code, and that both streams together hold these words.
func (r result) expect(code exit.Code, words ...string) result {
	GinkgoHelper()
	all := r.out + r.errOut
	Expect(r.code).To(Equal(code), all)
	for _, word := range words {
		Expect(all).To(ContainSubstring(word))
	}
	return r
}

// record writes an object and its status as the operator.
func record(ctx context.Context, object client.Object) {
	GinkgoHelper()
	status, ok := object.DeepCopyObject().(client.Object)
	Expect(ok).To(BeTrue())
	object.SetUID("")
	object.SetResourceVersion("")
	object.SetGeneration(0)
	Expect(operator.Create(ctx, object)).To(Succeed())
	status.SetUID(object.GetUID())
	status.SetResourceVersion(object.GetResourceVersion())
	Expect(operator.Status().Update(ctx, status)).To(Succeed())
	Expect(operator.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
}

// manifests writes a file.
func manifests(text string) string {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "manifests.yaml")
	Expect(os.WriteFile(path, []byte(text), 0o600)).To(Succeed())
	return path
}
