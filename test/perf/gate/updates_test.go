package gate_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrladmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// Names of the arms.
const (
	none     = "none"
	floor    = "floor"
	compare  = "compare"
	noop     = "noop"
	gate     = "gate"
	policies = "policies"
	// elsewhere has the policies and no webhook, as a namespace in which nothing is governed.
	elsewhere = "elsewhere"
)

// conditions of webhooks that are never called: what the API server takes for any, and for the one thing that the gate's
// must find out, whatever else they say.
var conditions = map[string]string{
	floor:   "request.operation == 'DELETE'",
	compare: "object.spec.template != oldObject.spec.template",
}

// patience is how often a write is tried until the API server does what it was told.
const patience = 5000

// mostClients write at once, each to a Deployment of its own, so that none waits for another's write.
const mostClients = 50

// arm is a namespace whose updates are measured: without a webhook, with one whose only match condition reads nothing and
// is false, with one whose only match condition compares the templates, with one that is called and does nothing, with the
// gate, with the gate and the admission policies, or with the policies alone.
type arm struct {
	name      string
	namespace string
	// called counts the requests that reached the webhook.
	called atomic.Int64
	taken  samples
}

// site is a real API server with the arms. The gate decides from the inventory of a large cluster.
type site struct {
	client client.Client
	arms   []*arm
	turn   int
}

func newSite(b *testing.B) *site {
	b.Helper()
	env := apiserver.Start(b, apiserver.WithSyncingEtcd())
	s := &site{client: env.Admin()}
	w := build(b, full)
	for _, name := range []string{none, floor, compare, noop, gate, policies, elsewhere} {
		a := &arm{name: name, namespace: env.Namespace(b, map[string]string{"arm": name, "env": "production"})}
		s.arms = append(s.arms, a)
		for i := range mostClients {
			if err := s.client.Create(b.Context(), workload(a.namespace, i, 1, imageNow)); err != nil {
				b.Fatal(err)
			}
		}
	}
	decides := &admission.Gate{Facts: w.inventory, Filer: nobody{}, Records: w.inventory, Clock: clocktesting.NewFakePassiveClock(now)}
	nothing := &ctrladmission.Webhook{Handler: ctrladmission.HandlerFunc(func(context.Context, ctrladmission.Request) ctrladmission.Response {
		return ctrladmission.Allowed("")
	})}
	for _, name := range []string{floor, compare, noop} {
		s.install(b, env, s.arm(name), nothing)
	}
	for _, name := range []string{gate, policies} {
		s.govern(b, w.inventory, s.arm(name).namespace)
		s.install(b, env, s.arm(name), decides.Webhook())
	}
	s.installPolicies(b, env)
	return s
}

// arm of that name.
func (s *site) arm(name string) *arm {
	return s.arms[slices.IndexFunc(s.arms, func(a *arm) bool { return a.name == name })]
}

// nobody files nothing.
type nobody struct{}

func (nobody) File(change.Filing) {}

// govern puts the Deployments of a namespace into the inventory, each with its baseline and a Change for the next image.
func (s *site) govern(b *testing.B, facts *inventory.Inventory, namespace string) {
	b.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"env": "production"}}}
	facts.Put(ns)
	w := &world{inventory: facts, templates: map[string]configuration.Template{}}
	service := builder.MakeService(namespace, "service-0").Tier(1).Obj()
	service.Spec.Workloads = []v1alpha1.WorkloadClaim{{
		Kind: v1alpha1.WorkloadDeployment, Selector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"service": "service-0"}},
	}}
	facts.Put(service)
	for i := range mostClients {
		d := builder.Unstructured(workload(namespace, i, 1, imageNow), appsv1.SchemeGroupVersion.WithKind("Deployment"))
		facts.Put(d)
		facts.Put(builder.ConfigurationItem(namespace, v1alpha1.WorkloadDeployment, d.GetName(), w.baselines(b, namespace, i, 1)...))
		c := builder.MakeChange(namespace, fmt.Sprintf("change-%d", i)).Target(v1alpha1.WorkloadDeployment, d.GetName(), imageNext).
			Window(now.Add(-time.Hour), now.Add(5*time.Hour)).Assessed(v1alpha1.RiskMedium).Obj()
		facts.Put(c)
		facts.Put(builder.ChangeApproval(c.Name+"-bob", c, v1alpha1.DecisionApprove, "bob"))
	}
}

// install puts what answers behind the webhook of config/webhook/gate.yaml, with its rules and match conditions, for the
// namespace of an arm, and waits until the API server calls it.
func (s *site) install(b *testing.B, env *apiserver.Env, a *arm, webhook http.Handler) {
	b.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.called.Add(1)
		webhook.ServeHTTP(w, r)
	}))
	b.Cleanup(server.Close)
	config := env.Gate(b)
	if a.name != policies { // one of them has the gate's own configuration for a parameter
		config.Name += "-" + a.name
	}
	config.Webhooks = config.Webhooks[:1]
	config.Webhooks[0].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"arm": a.name}}
	config.Webhooks[0].ClientConfig = admissionregistrationv1.WebhookClientConfig{
		URL:      new(server.URL + admission.Path),
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	condition, neverCalled := conditions[a.name]
	if neverCalled {
		config.Webhooks[0].MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "only", Expression: condition}}
	}
	if err := env.Admin().Create(b.Context(), config); err != nil {
		b.Fatal(err)
	}
	if neverCalled {
		return
	}
	for n := 0; a.called.Load() == 0; n++ {
		if n == patience {
			b.Fatalf("the API server does not call the webhook of arm %s", a.name)
		}
		if err := s.write(b.Context(), a, 0, template(n)); err != nil {
			b.Fatal(err)
		}
	}
}

// installPolicies puts the admission policies in force where their arms are: all of config/policies and config/stamping, as
// on Kubernetes 1.36.
func (s *site) installPolicies(b *testing.B, env *apiserver.Env) {
	b.Helper()
	where := map[string]any{"namespaceSelector": map[string]any{"matchExpressions": []any{
		map[string]any{"key": "arm", "operator": "In", "values": []any{policies, elsewhere}},
	}}}
	for _, folder := range []string{"policies", "stamping"} {
		root, err := apiserver.Root()
		if err != nil {
			b.Fatal(err)
		}
		read, err := apiserver.ReadManifests(filepath.Join(root, "config", folder))
		if err != nil {
			b.Fatal(err)
		}
		for _, object := range read {
			if strings.HasSuffix(object.GetKind(), "Binding") {
				if err := unstructured.SetNestedMap(object.Object, where, "spec", "matchResources"); err != nil {
					b.Fatal(err)
				}
			}
			if err := env.Admin().Create(b.Context(), object); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, name := range []string{policies, elsewhere} {
		s.awaitPolicies(b, s.arm(name))
	}
}

// awaitPolicies returns when those of config/policies and config/stamping refuse and take off what they must in an arm, and
// let the rest be: one whose parameters are not read yet refuses everything.
func (s *site) awaitPolicies(b *testing.B, a *arm) {
	b.Helper()
	const forged = `{"metadata":{"annotations":{"itil.dev/break-glass":%s,"itil.dev/break-glass-by":"nobody"}},"spec":{"template":{"spec":{"hostname":"x"}}}}`
	var refused, takenOff, rest error
	for range patience {
		var d *appsv1.Deployment
		refused = s.write(b.Context(), a, 0, fmt.Appendf(nil, forged, "null"), client.DryRunAll)
		d, takenOff = s.patch(b.Context(), a, 0, fmt.Appendf(nil, forged, `"fire"`), client.DryRunAll)
		rest = s.write(b.Context(), a, 0, aside(0), client.DryRunAll)
		if apierrors.IsForbidden(refused) && strings.Contains(refused.Error(), "changes only together with the reason") &&
			takenOff == nil && d.Annotations[v1alpha1.AnnotationBreakGlassBy] == "" && rest == nil {
			return
		}
	}
	b.Fatalf("the policies do not come into force in arm %s: %v, %v, %v", a.name, refused, takenOff, rest)
}

// template is a patch of the pod template that goes to and fro between the agreed image and the one that a Change allows.
func template(n int) []byte {
	image := imageNow
	if n%2 == 0 {
		image = imageNext
	}
	return fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":%q}]}}}}`, image)
}

// aside is a patch that is not about the template.
func aside(n int) []byte {
	return fmt.Appendf(nil, `{"metadata":{"annotations":{"n":"%d"}},"spec":{"replicas":%d}}`, n, n%2)
}

func (s *site) write(ctx context.Context, a *arm, worker int, patch []byte, options ...client.PatchOption) error {
	_, err := s.patch(ctx, a, worker, patch, options...)
	return err
}

// patch is write that returns what the API server made of it.
func (s *site) patch(ctx context.Context, a *arm, worker int, patch []byte, options ...client.PatchOption) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: fmt.Sprintf("workload-%d", worker)}}
	return d, s.client.Patch(ctx, d, client.RawPatch(types.StrategicMergePatchType, patch), options...)
}

// round lets clients write to an arm, each n times, and takes down how long each write took.
func (s *site) round(b *testing.B, a *arm, clients, n int, patch func(int) []byte) {
	b.Helper()
	taken := make([]samples, clients)
	failures := make([]error, clients)
	var all sync.WaitGroup
	for worker := range clients {
		all.Go(func() {
			for i := range n {
				body := patch(s.turn*n + i)
				begin := time.Now()
				if err := s.write(b.Context(), a, worker, body); err != nil {
					failures[worker] = err
					return
				}
				taken[worker] = append(taken[worker], time.Since(begin))
			}
		})
	}
	all.Wait()
	for worker := range clients {
		if failures[worker] != nil {
			b.Fatalf("arm %s: %v", a.name, failures[worker])
		}
		a.taken = append(a.taken, taken[worker]...)
	}
}

// measure lets the arms that are named take turns, in another order each time, so that whatever else the machine does
// falls on all.
func (s *site) measure(b *testing.B, names []string, rounds, clients, n int, patch func(int) []byte) {
	b.Helper()
	const warmUp = 2
	var arms []*arm
	for _, name := range names {
		arms = append(arms, s.arm(name))
	}
	for r := range rounds + warmUp {
		if r == warmUp {
			for _, a := range arms {
				a.taken = nil
				a.called.Store(0)
			}
		}
		s.turn++
		for i := range arms {
			s.round(b, arms[(r+i)%len(arms)], clients, n, patch)
		}
	}
}

// percentile of the samples, in milliseconds.
func (s samples) percentile(p int) float64 {
	slices.Sort(s)
	return s[min(len(s)*p/100, len(s)-1)].Seconds() * 1000
}

// BenchmarkUpdates measures updates of Deployments on a real API server whose etcd syncs: in a namespace without a
// webhook, in those whose webhook has nothing to do but to be matched, in one with a webhook that does nothing, and in one
// with the gate, which knows a large cluster.
func BenchmarkUpdates(b *testing.B) {
	limits := readThresholds(b)
	s := newSite(b)
	p := func(arm string, percentile int) float64 { return s.arm(arm).taken.percentile(percentile) }
	report := func(b *testing.B) {
		b.Helper()
		for _, arm := range []string{none, gate} {
			b.ReportMetric(p(arm, 50), arm+"-p50-ms")
			b.ReportMetric(p(arm, 99), arm+"-p99-ms")
		}
		b.ReportMetric(p(gate, 50)/p(none, 50), "p50/none")
		b.ReportMetric(p(gate, 99)/p(none, 99), "p99/none")
	}
	b.Run("NotTheTemplate", func(b *testing.B) {
		for b.Loop() {
			s.measure(b, []string{none, floor, compare, gate, policies, elsewhere}, 1200, 1, 1, aside)
		}
		report(b)
		more := func(arm string) float64 { return p(arm, 50) - p(none, 50) }
		ratio, added := p(gate, 50)/p(none, 50), more(gate)
		for _, arm := range []string{floor, compare, gate, policies, elsewhere} {
			b.ReportMetric(more(arm), arm+"-added-ms")
			b.Logf("%s: %.2f ms more than the %.2f ms without a webhook", arm, more(arm), p(none, 50))
		}
		called := s.arm(gate).called.Load()
		b.ReportMetric(float64(called), "calls")
		if called > 0 {
			b.Errorf("the gate was called %d times for updates that are not about the template", called)
		}
		if ratio > limits.NotTheTemplate && added > limits.NotTheTemplateMilliseconds {
			b.Errorf("an update that is not about the template takes %.3f times as long, %.2f ms more (%.2f ms with a match condition that reads nothing, %.2f ms with one that compares the templates); the thresholds are %.2f and %.2f ms",
				ratio, added, more(floor), more(compare), limits.NotTheTemplate, limits.NotTheTemplateMilliseconds)
		}
	})
	for _, c := range []struct{ clients, rounds, n int }{{1, 900, 1}, {mostClients, 48, 4}} {
		b.Run(fmt.Sprintf("Template/clients=%d", c.clients), func(b *testing.B) {
			for b.Loop() {
				s.measure(b, []string{none, noop, gate}, c.rounds, c.clients, c.n, template)
			}
			report(b)
			p50, p99, toNoop := p(gate, 50)/p(none, 50), p(gate, 99)/p(none, 99), p(gate, 50)/p(noop, 50)
			b.ReportMetric(toNoop, "p50/noop")
			if want, called := int64(c.rounds*c.clients*c.n), s.arm(gate).called.Load(); called < want {
				b.Errorf("the gate was called %d times for %d updates of the template", called, want)
			}
			if p50 > limits.TemplateP50 || p99 > limits.TemplateP99 || toNoop > limits.TemplateToNoop {
				b.Errorf("a template update takes %.2f times as long (p99 %.2f), and %.2f times as long as with a webhook that does nothing; the thresholds are %.2f, %.2f and %.2f",
					p50, p99, toNoop, limits.TemplateP50, limits.TemplateP99, limits.TemplateToNoop)
			}
		})
	}
}
