// Package settle measures how soon what withdraws an approval holds: from the answer of the API server to a cancel, a
// Reject or a freeze until no replica of the gate lets the Change in any more.
package settle

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.uber.org/goleak"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	webhook "sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const (
	// bound is what the operator promises: after it, coverage has ended everywhere (a backout writes no earlier).
	bound = 2 * time.Second
	// patience is how long a measurement goes on, to tell how much too late something was.
	patience = 15 * time.Second
	// rounds of each.
	rounds   = 10
	replicas = 2

	agreed = "registry.shop.example/checkout:2.3"
	asked  = "registry.shop.example/checkout:2.4"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replica is the gate of one replica: with memory, watches and connections of its own.
type replica struct {
	*admission.Gate
	facts *inventory.Inventory
}

type noFiler struct{}

func (noFiler) File(change.Filing) {}

func start(t *testing.T, env *apiserver.Env) *replica {
	t.Helper()
	r := &replica{facts: inventory.New()}
	informers, err := cache.New(env.AdminConfig(), cache.Options{Scheme: env.Scheme(), ByObject: inventory.CacheByObject()})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	if err := r.facts.Register(running, informers); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- informers.Start(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if !r.facts.WaitForSync(t.Context()) {
		t.Fatal("the inventory did not sync")
	}
	r.Gate = &admission.Gate{Facts: r.facts, Filer: noFiler{}, Records: r.facts, Clock: clock.RealClock{}}
	return r
}

// shop is a namespace under Enforce whose Deployment runs what is agreed, and two replicas that know it.
type shop struct {
	*testing.T
	env       *apiserver.Env
	namespace string
	gates     [replicas]*replica
	request   webhook.Request
}

func open(t *testing.T) *shop {
	t.Helper()
	env := apiserver.Start(t)
	s := &shop{T: t, env: env, namespace: env.Namespace(t, map[string]string{"env": "production"})}
	for i := range s.gates {
		s.gates[i] = start(t, env)
	}
	policy := builder.MakeChangePolicy("production").Enforcement(v1alpha1.EnforcementEnforce).Obj()
	s.create(policy)
	s.create(builder.MakeService(s.namespace, "checkout").Tier(1).ClaimApp(v1alpha1.WorkloadDeployment, "checkout").Obj())
	before := builder.MakeDeployment(s.namespace, "checkout").Image("app", agreed).Obj()
	s.create(before)
	after := before.DeepCopy()
	after.Spec.Template.Spec.Containers[0].Image = asked
	s.request = webhook.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "settle", Operation: admissionv1.Update, Namespace: s.namespace, Name: "checkout", DryRun: new(false),
		Kind:     metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
		UserInfo: authenticationv1.UserInfo{Username: "alice"},
		Object:   raw(t, after), OldObject: raw(t, before),
	}}
	key := configuration.Key{Group: "apps", Kind: "Deployment", Namespace: s.namespace, Name: "checkout"}
	g := NewWithT(t)
	for i := range s.gates {
		g.Eventually(func() bool { _, known := s.gates[i].facts.Workload(key); return known }).WithTimeout(patience).Should(BeTrue())
	}
	w, _ := s.gates[0].facts.Workload(key)
	item := builder.ConfigurationItem(s.namespace, v1alpha1.WorkloadDeployment, "checkout")
	s.create(item)
	item.Status.Baselines = []v1alpha1.Baseline{{
		TemplateHash: w.Template.Hash, ImagelessHash: w.Template.ImagelessHash, Images: w.Template.Images, Generation: w.Generation,
		Source: v1alpha1.BaselineAdopted, Proven: true, From: metav1.NewTime(clock.RealClock{}.Now().Truncate(time.Second)),
	}}
	g.Expect(env.Admin().Status().Update(t.Context(), item)).To(Succeed())
	return s
}

func raw(t *testing.T, object any) runtime.RawExtension {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: data}
}

func (s *shop) create(object client.Object) {
	s.Helper()
	object.SetResourceVersion("")
	object.SetUID("")
	object.SetGeneration(0)
	object.SetCreationTimestamp(metav1.Time{})
	if err := s.env.Admin().Create(s.Context(), object); err != nil {
		s.Fatal(err)
	}
}

// approved is a Change that both replicas let in: assessed, with one vote that it needed.
func (s *shop) approved(name string) *v1alpha1.Change {
	s.Helper()
	g := NewWithT(s.T)
	c := builder.MakeChange(s.namespace, name).Target(v1alpha1.WorkloadDeployment, "checkout", asked).Requester("alice").Obj()
	c.Status = v1alpha1.ChangeStatus{}
	s.create(c)
	c.Status.Digest, c.Status.State = change.Digest(&c.Spec), v1alpha1.ChangeAuthorize
	c.Status.Risk = &v1alpha1.Risk{Level: v1alpha1.RiskMedium, Score: 30}
	c.Status.Approvals = &v1alpha1.Approvals{Required: 1, Summary: "0/1"}
	g.Expect(s.env.Admin().Status().Update(s.Context(), c)).To(Succeed())
	s.vote(c, v1alpha1.DecisionApprove)
	for i := range s.gates {
		g.Eventually(s.lets).WithArguments(i).WithTimeout(patience).WithPolling(10 * time.Millisecond).Should(BeTrue())
	}
	return c
}

func (s *shop) vote(c *v1alpha1.Change, decision v1alpha1.Decision) {
	s.Helper()
	s.create(&v1alpha1.ChangeApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: c.Name + "-"},
		Spec: v1alpha1.ChangeApprovalSpec{
			ChangeRef: v1alpha1.LocalReference{Name: v1alpha1.ObjectName(c.Name)}, Digest: c.Status.Digest, Decision: decision, Approver: "carol",
		},
	})
}

// lets says whether a replica lets the template in now.
func (s *shop) lets(replica int) bool { return s.gates[replica].Handle(s.Context(), s.request).Allowed }

// settles is how long it takes until no replica lets it in any more.
func (s *shop) settles() time.Duration {
	var machine clock.RealClock
	begin := machine.Now()
	ticks := machine.NewTicker(200 * time.Microsecond)
	defer ticks.Stop()
	for open := []int{0, 1}; ; <-ticks.C() {
		open = slices.DeleteFunc(open, func(replica int) bool { return !s.lets(replica) })
		if took := machine.Since(begin); len(open) == 0 || took > patience {
			return took
		}
	}
}

func (s *shop) patch(object client.Object, format string, args ...any) {
	s.Helper()
	if err := s.env.Admin().Patch(s.Context(), object, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, format, args...))); err != nil {
		s.Fatal(err)
	}
}

// TestAWithdrawalHolds: a cancel, a Reject or a freeze reaches every replica within 2 s. They are decided from what each
// watches, without a status that the leader would write first.
func TestAWithdrawalHolds(t *testing.T) {
	s := open(t)
	policy := &v1alpha1.ChangePolicy{ObjectMeta: metav1.ObjectMeta{Name: "production"}}
	now := clock.RealClock{}.Now()
	freeze := fmt.Sprintf(`{"spec":{"freezes":[{"name":"now","from":%q,"to":%q}]}}`, now.Add(-time.Hour).Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
	for _, withdrawal := range []struct {
		name     string
		withdraw func(c *v1alpha1.Change)
		undo     func()
	}{
		{"cancel", func(c *v1alpha1.Change) { s.patch(c, `{"spec":{"cancel":true}}`) }, func() {}},
		{"Reject", func(c *v1alpha1.Change) { s.vote(c, v1alpha1.DecisionReject) }, func() {}},
		{"freeze", func(*v1alpha1.Change) { s.patch(policy, "%s", freeze) }, func() { s.patch(policy, `{"spec":{"freezes":null}}`) }},
	} {
		var took []time.Duration
		for round := range rounds {
			c := s.approved(fmt.Sprintf("%s-%d", map[string]string{"cancel": "canceled", "Reject": "rejected", "freeze": "frozen"}[withdrawal.name], round))
			withdrawal.withdraw(c)
			took = append(took, s.settles())
			withdrawal.undo()
			if err := s.env.Admin().Delete(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(took)
		t.Logf("%-6s  %d replicas, %d rounds: median %s, worst %s", withdrawal.name, replicas, rounds, took[rounds/2].Round(10*time.Microsecond), took[rounds-1].Round(10*time.Microsecond))
		if worst := took[rounds-1]; worst > bound {
			t.Errorf("a %s holds everywhere after %s, want at most %s", withdrawal.name, worst, bound)
		}
	}
}
