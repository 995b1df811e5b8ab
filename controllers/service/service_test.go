package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var start = builder.Epoch.Add(time.Hour)

// cluster is an inventory and a client that hold the same objects; writes of statuses reach both.
type cluster struct {
	t      *testing.T
	r      *Reconciler
	clock  *clocktesting.FakePassiveClock
	events *events.FakeRecorder
	writes int
	asked  []string
}

func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	c := &cluster{t: t, clock: clocktesting.NewFakePassiveClock(start), events: events.NewFakeRecorder(100)}
	kube := fake.NewClientBuilder().WithScheme(scheme.New()).WithStatusSubresource(&v1alpha1.Service{}).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, k client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				c.writes++
				return k.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	c.r = &Reconciler{Client: kube, Inventory: inventory.New(), Clock: c.clock, Recorder: c.events}
	c.r.enqueue = func(q ctrl.Request) { c.asked = append(c.asked, q.String()) }
	c.put(objects...)
	return c
}

func (c *cluster) put(objects ...client.Object) {
	c.t.Helper()
	for _, o := range objects {
		switch o.(type) {
		case *v1alpha1.Service, *v1alpha1.ServiceLevelAgreement, *corev1.ResourceQuota, *corev1.LimitRange,
			*autoscalingv2.HorizontalPodAutoscaler, *admissionregistrationv1.ValidatingWebhookConfiguration:
			stored := o.DeepCopyObject().(client.Object)
			if err := c.r.Client.Create(c.t.Context(), stored); err != nil {
				c.t.Fatal(err)
			}
			o.SetResourceVersion(stored.GetResourceVersion())
		}
		c.r.Inventory.Put(o)
	}
}

// reconcile a Service and all that it asks for, and return its status and after how long to look again.
func (c *cluster) reconcile(names ...string) (v1alpha1.ServiceStatus, time.Duration) {
	c.t.Helper()
	var status v1alpha1.ServiceStatus
	var again time.Duration
	for _, name := range names {
		result, err := c.r.Reconcile(c.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}})
		if err != nil {
			c.t.Fatal(err)
		}
		s := &v1alpha1.Service{}
		if err := c.r.Client.Get(c.t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, s); err != nil {
			c.t.Fatal(err)
		}
		c.r.Inventory.Put(s)
		status, again = s.Status, result.RequeueAfter
	}
	return status, again
}

func (c *cluster) after(d time.Duration) *cluster {
	c.clock.SetTime(c.clock.Now().Add(d))
	return c
}

func checkout(desired, ready int32) client.Object {
	return builder.MakeDeployment("shop", "checkout").Replicas(desired).Status(desired, desired, ready).Unstructured()
}

func named(name string) servicelevel.ServiceName {
	return servicelevel.ServiceName{Namespace: "shop", Name: name}
}

func condition(s v1alpha1.ServiceStatus, kind string) string {
	c := meta.FindStatusCondition(s.Conditions, kind)
	if c == nil {
		return "absent"
	}
	return string(c.Status) + "/" + c.Reason
}

func TestStatus(t *testing.T) {
	gate := func(enforce, audit []string) client.Object {
		g := &admissionregistrationv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: gateconfig.Name},
			Webhooks:   []admissionregistrationv1.ValidatingWebhook{{Name: gateconfig.EnforceWebhook}, {Name: gateconfig.AuditWebhook}},
		}
		gateconfig.Write(g, gateconfig.Namespaces{Enforce: enforce, Audit: audit})
		return g
	}
	quota := func(cpu, used string) client.Object {
		return &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "quota"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceRequestsCPU: resource.MustParse(cpu)}},
			Status: corev1.ResourceQuotaStatus{
				Hard: corev1.ResourceList{corev1.ResourceRequestsCPU: resource.MustParse(cpu)},
				Used: corev1.ResourceList{corev1.ResourceRequestsCPU: resource.MustParse(used)},
			},
		}
	}
	claims := func() *builder.Service {
		return builder.MakeService("shop", "checkout").Claim("Deployment", "checkout")
	}
	needs := func(cpu v1alpha1.Quantity) client.Object {
		s := claims().Obj()
		s.Spec.Resources = &v1alpha1.RequiredResources{CPU: cpu}
		return s
	}
	tests := map[string]struct {
		objects []client.Object
		health  v1alpha1.Health
		ready   string
		// condition and how it is.
		kind, want string
		nextStep   string
	}{
		"all ready":                    {[]client.Object{claims().Obj(), checkout(3, 3)}, "Operational", "3/3", v1alpha1.ConditionHealthy, "True/Operational", ""},
		"fewer than desired":           {[]client.Object{claims().Obj(), checkout(3, 2)}, "Degraded", "2/3", v1alpha1.ConditionHealthy, "False/Degraded", ""},
		"below a share":                {[]client.Object{claims().MinimumReady("50%").Obj(), checkout(3, 1)}, "Outage", "1/3", v1alpha1.ConditionHealthy, "False/Outage", ""},
		"none ready":                   {[]client.Object{claims().Obj(), checkout(3, 0)}, "Outage", "0/3", v1alpha1.ConditionHealthy, "False/Outage", ""},
		"scaled to zero":               {[]client.Object{claims().Obj(), checkout(0, 0)}, "Outage", "0/0", v1alpha1.ConditionHealthy, "False/Outage", ""},
		"scaled to zero, as it may be": {[]client.Object{claims().ScaleToZero().Obj(), checkout(0, 0)}, "Operational", "0/0", v1alpha1.ConditionHealthy, "True/Operational", ""},
		"never observed":               {[]client.Object{claims().Obj(), builder.MakeDeployment("shop", "checkout").Unstructured()}, "Unknown", "0/1", v1alpha1.ConditionHealthy, "Unknown/Unknown", ""},
		"missing":                      {[]client.Object{claims().Obj()}, "Outage", "0/0", v1alpha1.ConditionHealthy, "False/Outage", "create Deployment checkout"},
		"matches nothing":              {[]client.Object{builder.MakeService("shop", "checkout").ClaimApp("", "checkout").Obj()}, "Unknown", "0/0", v1alpha1.ConditionHealthy, "Unknown/NoWorkloads", "nothing matches any kind with app=checkout"},
		"claims nothing":               {[]client.Object{builder.MakeService("shop", "checkout").Obj()}, "Unknown", "0/0", v1alpha1.ConditionHealthy, "Unknown/NoWorkloads", "spec.workloads"},
		"a dependency is missing":      {[]client.Object{claims().DependsOn("", "ledger", "Hard").Obj(), checkout(1, 1)}, "Operational", "1/1", v1alpha1.ConditionDependenciesHealthy, "Unknown/DependencyNotFound", ""},
		"no dependencies":              {[]client.Object{claims().Obj(), checkout(1, 1)}, "Operational", "1/1", v1alpha1.ConditionDependenciesHealthy, "True/NoDependencies", ""},
		"a hard dependency is out": {[]client.Object{
			claims().DependsOn("", "ledger", "Hard").Obj(), checkout(1, 1), builder.MakeService("shop", "ledger").Claim("Deployment", "gone").Obj(),
		}, "Outage", "1/1", v1alpha1.ConditionDependenciesHealthy, "False/DependencyDown", ""},
		"no capacity is declared":  {[]client.Object{claims().Obj(), checkout(1, 1)}, "Operational", "1/1", v1alpha1.ConditionCapacityMet, "Unknown/NotDeclared", ""},
		"no quota":                 {[]client.Object{needs("4"), checkout(1, 1)}, "Operational", "1/1", v1alpha1.ConditionCapacityMet, "True/Sufficient", ""},
		"a quota with room":        {[]client.Object{needs("4"), checkout(1, 1), quota("8", "4")}, "Operational", "1/1", v1alpha1.ConditionCapacityMet, "True/Sufficient", ""},
		"a quota without room":     {[]client.Object{needs("4"), checkout(1, 1), quota("8", "5")}, "Operational", "1/1", v1alpha1.ConditionCapacityMet, "False/Shortfall", ""},
		"an amount that is none":   {[]client.Object{needs("lots"), checkout(1, 1)}, "Operational", "1/1", v1alpha1.ConditionCapacityMet, "False/Shortfall", ""},
		"no gate":                  {[]client.Object{claims().Obj(), checkout(1, 1)}, "Operational", "1/1", v1alpha1.ConditionGoverned, "False/WebhookPending", ""},
		"not listed":               {[]client.Object{claims().Obj(), checkout(1, 1), gate(nil, []string{"other"})}, "Operational", "1/1", v1alpha1.ConditionGoverned, "False/WebhookPending", ""},
		"audited":                  {[]client.Object{claims().Obj(), checkout(1, 1), gate(nil, []string{"shop"})}, "Operational", "1/1", v1alpha1.ConditionGoverned, "True/Audited", ""},
		"warned":                   {[]client.Object{claims().Enforcement("Warn").Obj(), checkout(1, 1), gate(nil, []string{"shop"})}, "Operational", "1/1", v1alpha1.ConditionGoverned, "True/Warned", ""},
		"audited among enforced":   {[]client.Object{claims().Obj(), checkout(1, 1), gate([]string{"shop"}, nil)}, "Operational", "1/1", v1alpha1.ConditionGoverned, "True/Audited", ""},
		"enforced":                 {[]client.Object{claims().Enforcement("Enforce").Obj(), checkout(1, 1), gate([]string{"shop"}, nil)}, "Operational", "1/1", v1alpha1.ConditionGoverned, "True/Enforced", ""},
		"of a newer version":       {[]client.Object{claims().Enforcement("Strictly").Obj(), checkout(1, 1), gate([]string{"shop"}, nil)}, "Operational", "1/1", v1alpha1.ConditionGoverned, "True/Enforced", ""},
		"listed in the other list": {[]client.Object{claims().Enforcement("Enforce").Obj(), checkout(1, 1), gate(nil, []string{"shop"})}, "Operational", "1/1", v1alpha1.ConditionGoverned, "False/WebhookPending", ""},
		"disabled":                 {[]client.Object{claims().Enforcement("Disabled").Obj(), checkout(1, 1), gate([]string{"shop"}, nil)}, "Operational", "1/1", v1alpha1.ConditionGoverned, "False/Disabled", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, test.objects...)
			s, _ := c.reconcile("checkout")
			if s.Health != test.health || s.Ready != test.ready || condition(s, test.kind) != test.want {
				t.Errorf("health %s, ready %s, %s is %s; want %s, %s, %s\n%+v", s.Health, s.Ready, test.kind, condition(s, test.kind), test.health, test.ready, test.want, s.Conditions)
			}
			if !strings.Contains(s.NextStep, test.nextStep) || (s.NextStep == "") != (test.nextStep == "") {
				t.Errorf("next step %q, want one with %q", s.NextStep, test.nextStep)
			}
			if c.writes != 1 || len(c.events.Events) != 0 {
				t.Errorf("%d writes, %d events", c.writes, len(c.events.Events))
			}
			if again, _ := c.after(time.Hour).reconcile("checkout"); c.writes != 1 || !cmp.Equal(s, again) {
				t.Errorf("nothing changed, and it was written again: %s", cmp.Diff(s, again))
			}
		})
	}
}

func TestWhatAServiceRunsOn(t *testing.T) {
	c := newCluster(t,
		builder.MakeService("shop", "checkout").ClaimApp("", "checkout").Claim("Deployment", "checkout").Claim("CronJob", "tidy").Obj(),
		builder.MakeService("shop", "front").DependsOn("", "checkout", "Hard").DependsOn("", "checkout", "Soft").Obj(),
		builder.MakeService("pay", "bank").DependsOn("shop", "checkout", "Soft").Obj(),
		builder.MakeDeployment("shop", "checkout").Image("app", "x:1").Replicas(3).RolledOut().Unstructured(),
		builder.Unstructured(builder.CronJob("shop", "tidy"), builder.GroupVersionKind("CronJob")),
		builder.MakeChange("shop", "open").Target("Deployment", "checkout", "x:2").Target("CronJob", "tidy", "x:2").Obj(),
		builder.MakeChange("shop", "canceled").Target("Deployment", "checkout", "x:2").Alter(func(c *v1alpha1.Change) { c.Spec.Cancel = true }).Obj(),
		&v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "i"}, Spec: v1alpha1.IncidentSpec{ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}}},
	)
	got, _ := c.reconcile("checkout")
	since := metav1.NewTime(start)
	want := v1alpha1.ServiceStatus{
		ObservedGeneration: 1, Health: v1alpha1.HealthOperational, HealthSince: &since, Ready: "4/4", WorkloadCount: 2,
		Workloads: []v1alpha1.ServiceWorkload{
			{Kind: "CronJob", Name: "tidy", Ready: 1, Desired: 1, Images: map[string]string{"app": "registry.shop.example/tidy:1.0"}, ConfigurationItem: "cronjob-tidy"},
			{Kind: "Deployment", Name: "checkout", Ready: 3, Desired: 3, Images: map[string]string{"app": "x:1"}, ConfigurationItem: "deployment-checkout"},
		},
		Dependents:    []v1alpha1.NamespacedReference{{Namespace: "pay", Name: "bank"}, {Namespace: "shop", Name: "front"}},
		Transitions:   []v1alpha1.HealthTransition{{Health: v1alpha1.HealthOperational, At: metav1.NewTime(start)}},
		OpenIncidents: 1, OpenChanges: 1, NextStep: "see its open Incidents: kubectl get inc -n shop", Conditions: got.Conditions,
	}
	for n := range got.Conditions {
		if c := got.Conditions[n]; c.ObservedGeneration != 1 || c.LastTransitionTime.IsZero() || c.Message == "" {
			t.Errorf("condition %+v", c)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An outage ends when it has been well for a minute, and is dated to the beginning of that minute.
func TestOutageEnds(t *testing.T) {
	c := newCluster(t, builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 2))
	c.reconcile("checkout")

	c.after(time.Minute).put(checkout(2, 0))
	down, again := c.reconcile("checkout")
	if down.Health != v1alpha1.HealthOutage || !down.HealthSince.Time.Equal(start.Add(time.Minute)) || again != 0 {
		t.Fatalf("health %s since %s, again after %s", down.Health, down.HealthSince, again)
	}
	// A crash loop: Ready for some seconds between two crashes.
	for range 5 {
		c.after(20 * time.Second).put(checkout(2, 2))
		if _, again = c.reconcile("checkout"); again != time.Minute {
			t.Fatalf("looks again after %s, want a minute", again)
		}
		c.after(10 * time.Second).put(checkout(2, 0))
		c.reconcile("checkout")
	}
	if c.writes > 12 {
		t.Errorf("%d writes", c.writes)
	}
	c.after(time.Minute).put(checkout(2, 2))
	well := c.clock.Now()
	if s, _ := c.reconcile("checkout"); s.Health != v1alpha1.HealthOutage || !s.HealthSince.Equal(down.HealthSince) {
		t.Errorf("health %s since %s", s.Health, s.HealthSince)
	}
	if s, _ := c.after(59 * time.Second).reconcile("checkout"); s.Health != v1alpha1.HealthOutage {
		t.Errorf("after 59 s: %s", s.Health)
	}
	s, again := c.after(time.Second).reconcile("checkout")
	if s.Health != v1alpha1.HealthOperational || !s.HealthSince.Time.Equal(well) || again != 0 {
		t.Errorf("health %s since %s, want Operational since %s; again after %s", s.Health, s.HealthSince, well, again)
	}
	var told []string
	for len(c.events.Events) > 0 {
		told = append(told, strings.Join(strings.Fields(<-c.events.Events)[:4], " "))
	}
	if diff := cmp.Diff([]string{"Warning HealthChanged Outage, was", "Normal HealthChanged Operational, was"}, told); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A new leader knows from the status that it was out, and waits for a minute again.
func TestOutageEndsUnderANewLeader(t *testing.T) {
	s := builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj()
	s.Status.Health, s.Status.HealthSince = v1alpha1.HealthOutage, &metav1.Time{Time: builder.Epoch}
	c := newCluster(t, s, checkout(2, 2))
	if got, again := c.reconcile("checkout"); got.Health != v1alpha1.HealthOutage || again != time.Minute {
		t.Errorf("health %s, again after %s", got.Health, again)
	}
	if got, _ := c.after(time.Minute).reconcile("checkout"); got.Health != v1alpha1.HealthOperational || !got.HealthSince.Time.Equal(start) {
		t.Errorf("health %s since %s", got.Health, got.HealthSince)
	}
}

// Of two leaders at once, one sees later that it is well: it takes back nothing of what the other has told.
func TestOutageEndsUnderAnotherLeader(t *testing.T) {
	c := newCluster(t, builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 0))
	c.reconcile("checkout")
	late := *c
	late.r = &Reconciler{Client: c.r.Client, Inventory: c.r.Inventory, Clock: c.clock, Recorder: c.events}
	late.r.enqueue = c.r.enqueue
	late.after(time.Second).reconcile("checkout")

	c.after(time.Minute).put(checkout(2, 2))
	well := c.clock.Now()
	c.reconcile("checkout")
	late.after(2 * time.Second).reconcile("checkout")
	over, _ := c.after(58 * time.Second).reconcile("checkout")
	if over.Health != v1alpha1.HealthOperational || !over.HealthSince.Time.Equal(well) {
		t.Fatalf("health %s since %s, want Operational since %s", over.Health, over.HealthSince, well)
	}
	c.writes = 0
	got, again := late.reconcile("checkout")
	if diff := cmp.Diff(over, got); diff != "" || again != 0 || c.writes > 0 {
		t.Errorf("again after %s (-want +got):\n%s", again, diff)
	}
	// The next outage is an outage to both.
	c.after(time.Minute).put(checkout(2, 0))
	if got, _ = late.reconcile("checkout"); got.Health != v1alpha1.HealthOutage || !got.HealthSince.Time.Equal(c.clock.Now()) {
		t.Errorf("health %s since %s", got.Health, got.HealthSince)
	}
}

// Of two leaders at once, one sees later that it is out: it takes back nothing of what the other has told.
func TestOutageBeginsUnderAnotherLeader(t *testing.T) {
	c := newCluster(t, builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 2))
	c.reconcile("checkout")
	late := *c
	late.r = &Reconciler{Client: c.r.Client, Inventory: inventory.New(), Clock: c.clock, Recorder: c.events}
	late.r.Inventory.Put(checkout(2, 2))
	late.r.Inventory.Put(c.r.Inventory.ServiceObject(named("checkout")))
	late.reconcile("checkout")

	c.after(time.Minute).put(checkout(2, 0))
	down, _ := c.reconcile("checkout")
	late.r.Inventory.Put(c.r.Inventory.ServiceObject(named("checkout")))
	got, _ := late.after(time.Second).reconcile("checkout")
	if diff := cmp.Diff(told(down), told(got)); diff != "" || got.Health != v1alpha1.HealthOutage {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// It ends as any other.
	c.r.Inventory.Put(late.r.Inventory.ServiceObject(named("checkout")))
	late.put(checkout(2, 0))
	got, _ = late.reconcile("checkout")
	if diff := cmp.Diff(told(down), told(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Of two leaders at once, one still sees the outage whose end the other has told: what it sees is behind, or it is an outage
// of its own, which is told when that has lasted.
func TestOutageEndsElsewhereUnseen(t *testing.T) {
	for name, test := range map[string]struct {
		// then is what the late one sees in the end; nil: the same.
		then client.Object
		want func(over, contradicts time.Time) (v1alpha1.Health, time.Time)
	}{
		"it was behind": {checkout(2, 2), func(over, _ time.Time) (v1alpha1.Health, time.Time) { return v1alpha1.HealthOperational, over }},
		"it was not":    {nil, func(_, contradicts time.Time) (v1alpha1.Health, time.Time) { return v1alpha1.HealthOutage, contradicts }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 0))
			c.reconcile("checkout")
			late := *c
			late.r = &Reconciler{Client: c.r.Client, Inventory: inventory.New(), Clock: c.clock, Recorder: c.events}
			late.r.Inventory.Put(checkout(2, 0))
			late.r.Inventory.Put(c.r.Inventory.ServiceObject(named("checkout")))
			late.reconcile("checkout")

			c.after(time.Minute).put(checkout(2, 2))
			well := c.clock.Now()
			c.reconcile("checkout")
			over, _ := c.after(time.Minute).reconcile("checkout")
			if over.Health != v1alpha1.HealthOperational {
				t.Fatalf("health %s", over.Health)
			}
			contradicts := c.clock.Now()
			late.r.Inventory.Put(c.r.Inventory.ServiceObject(named("checkout")))
			got, again := late.reconcile("checkout")
			if diff := cmp.Diff(told(over), told(got)); diff != "" || again != DefaultRecoveryHold {
				t.Fatalf("again after %s (-want +got):\n%s", again, diff)
			}
			if got, again = late.after(time.Second).reconcile("checkout"); got.Health != v1alpha1.HealthOperational || again != DefaultRecoveryHold-time.Second {
				t.Fatalf("health %s, again after %s", got.Health, again)
			}
			if test.then != nil {
				late.r.Inventory.Put(test.then)
			}
			got, _ = late.after(DefaultRecoveryHold).reconcile("checkout")
			health, since := test.want(well, contradicts)
			if got.Health != health || !got.HealthSince.Time.Equal(since) {
				t.Errorf("health %s since %s, want %s since %s", got.Health, got.HealthSince, health, since)
			}
		})
	}
}

// Of two leaders at once, one cannot write what it has found before the other has told of what followed: it alters nothing of
// that when it can.
func TestWhatCouldNotBeWrittenIsOutdated(t *testing.T) {
	c := newCluster(t, builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 0))
	c.reconcile("checkout")
	late := *c
	late.r = &Reconciler{Client: c.r.Client, Inventory: c.r.Inventory, Clock: c.clock, Recorder: c.events}
	late.reconcile("checkout")
	c.after(time.Minute).put(checkout(2, 2))
	c.reconcile("checkout")
	late.reconcile("checkout")

	away := errors.New("it is away")
	late.r.Client = interceptor.NewClient(c.r.Client.(client.WithWatch), interceptor.Funcs{
		SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			return away
		},
	})
	c.after(time.Minute)
	if _, err := late.r.Reconcile(t.Context(), request(named("checkout"))); !errors.Is(err, away) {
		t.Fatal(err)
	}
	late.r.Client = c.r.Client
	c.reconcile("checkout")
	c.after(time.Minute).put(checkout(2, 0))
	want, _ := c.reconcile("checkout")
	got, _ := late.after(time.Minute).reconcile("checkout")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An edit of a workload does not make its health unknown for the moment until its controller has seen it.
func TestEditsDoNotFlicker(t *testing.T) {
	c := newCluster(t, builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 2))
	c.reconcile("checkout")
	c.put(builder.MakeDeployment("shop", "checkout").Replicas(2).RolledOut().Generation(2).Unstructured())
	s, again := c.reconcile("checkout")
	if s.Health != v1alpha1.HealthOperational || again != lagHold || c.writes != 1 {
		t.Errorf("health %s, again after %s, %d writes", s.Health, again, c.writes)
	}
	if s, _ = c.after(lagHold).reconcile("checkout"); s.Health != v1alpha1.HealthUnknown {
		t.Errorf("its controller does not see it for %s: %s", lagHold, s.Health)
	}
	c.put(builder.MakeDeployment("shop", "checkout").Generation(2).Replicas(2).RolledOut().Unstructured())
	if s, _ = c.reconcile("checkout"); s.Health != v1alpha1.HealthOperational {
		t.Errorf("health %s", s.Health)
	}
}

func TestPlannedDowntime(t *testing.T) {
	in := metav1.NewTime(start.Add(-time.Minute))
	chg := builder.MakeChange("shop", "c").Target("Deployment", "checkout", "x:2").Alter(func(c *v1alpha1.Change) {
		c.Spec.ExpectedDowntimeSeconds = 300
		c.Status.Implementations = []v1alpha1.Implementation{{
			Workload: c.Spec.Targets[0].Workload, Operation: v1alpha1.OperationTemplate, At: in, Rollout: v1alpha1.RolloutInProgress,
		}}
	}).Approved(start.Add(-time.Hour)).Obj()
	chg.Spec.Window = nil
	c := newCluster(t, builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 0), chg)
	s, again := c.reconcile("checkout")
	if s.Health != v1alpha1.HealthMaintenance || again != 4*time.Minute {
		t.Fatalf("health %s, again after %s: %+v", s.Health, again, s.Conditions)
	}
	if s, _ = c.after(5 * time.Minute).reconcile("checkout"); s.Health != v1alpha1.HealthOutage || !s.HealthSince.Time.Equal(start.Add(4*time.Minute)) {
		t.Errorf("after the declared downtime: %s since %s", s.Health, s.HealthSince)
	}
	// What was approved when the template was in already excuses nothing.
	late := chg.DeepCopy()
	late.Status.Implementations[0].At = metav1.NewTime(start.Add(-2 * time.Hour))
	late.Spec.ExpectedDowntimeSeconds = 86400
	c = newCluster(t, builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 0), late)
	if s, _ = c.reconcile("checkout"); s.Health != v1alpha1.HealthOutage {
		t.Errorf("approved afterwards: %s", s.Health)
	}
}

func TestHealthSpreads(t *testing.T) {
	c := newCluster(t,
		builder.MakeService("shop", "front").DependsOn("", "checkout", "Hard").Obj(),
		builder.MakeService("shop", "reports").DependsOn("", "checkout", "Soft").Obj(),
		builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 2),
	)
	c.reconcile("front", "reports", "checkout")
	if c.writes != 3 || len(c.asked) != 0 {
		t.Fatalf("%d writes, asked for %v", c.writes, c.asked)
	}
	c.put(checkout(2, 0))
	c.reconcile("checkout")
	if diff := cmp.Diff([]string{"shop/front", "shop/reports"}, c.asked); diff != "" {
		t.Fatalf("asked for (-want +got):\n%s", diff)
	}
	front, _ := c.reconcile("front")
	reports, _ := c.reconcile("reports")
	if front.Health != v1alpha1.HealthOutage || reports.Health != v1alpha1.HealthDegraded {
		t.Errorf("front %s, reports %s", front.Health, reports.Health)
	}
	// Gone, and so unknown to those that depend on it.
	c.r.Inventory.Remove(c.r.Inventory.ServiceObject(named("checkout")))
	c.asked = nil
	if _, err := c.r.Reconcile(t.Context(), request(named("checkout"))); err != nil {
		t.Fatal(err)
	}
	if len(c.asked) != 2 {
		t.Errorf("asked for %v", c.asked)
	}
	if front, _ = c.reconcile("front"); condition(front, v1alpha1.ConditionDependenciesHealthy) != "Unknown/DependencyNotFound" {
		t.Errorf("front's dependencies: %s", condition(front, v1alpha1.ConditionDependenciesHealthy))
	}
}

func TestTwoServicesClaimOneWorkload(t *testing.T) {
	c := newCluster(t, checkout(1, 1),
		builder.MakeService("shop", "lax").Claim("Deployment", "checkout").Enforcement("Disabled").Obj(),
		builder.MakeService("shop", "strict").Claim("Deployment", "checkout").Enforcement("Enforce").Obj(),
	)
	lax, _ := c.reconcile("lax")
	strict, _ := c.reconcile("strict")
	message := func(s v1alpha1.ServiceStatus) string {
		return meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionGoverned).Message
	}
	if !strings.Contains(message(lax), "stricter Service strict") || !strings.Contains(message(strict), "Service lax claims some of them as well") {
		t.Errorf("lax says %q, strict says %q", message(lax), message(strict))
	}
}
