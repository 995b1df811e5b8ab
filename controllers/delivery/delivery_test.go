package delivery

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/fakeclient"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func at(d time.Duration) *metav1.Time {
	out := metav1.NewTime(t0.Add(d))
	return &out
}

type scene struct {
	*Reconciler

	t        *testing.T
	clock    *clocktesting.FakePassiveClock
	releases *releases
	writes   int
}

// newScene has Service shop/checkout with Deployment checkout, and two Changes: one that went in, one that was rolled back
// under Release shop-2-5 and was recovered from when its Incident was resolved.
func newScene(t *testing.T) *scene {
	t.Helper()
	service := builder.MakeService("shop", "checkout").Obj()
	service.Spec.Workloads = []v1alpha1.WorkloadClaim{{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}}
	change := func(name string, created time.Duration, rollout v1alpha1.RolloutState) *v1alpha1.Change {
		c := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: *at(created)}}
		c.Status.Implementations = []v1alpha1.Implementation{{
			Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
			At:       *at(created + time.Hour), Rollout: rollout, RolledOutAt: at(created + 2*time.Hour),
		}}
		return c
	}
	broken := change("shop-2-5", -2*day, v1alpha1.RolloutRolledBack)
	broken.Status.CausedIncidents = []v1alpha1.NamespacedReference{{Namespace: "shop", Name: "oom"}, {Namespace: "shop", Name: "gone"}}
	oom := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "oom"}}
	oom.Status.StartedAt, oom.Status.ResolvedAt = at(-2*day+90*time.Minute), at(-2*day+3*time.Hour)
	oom.Status.SuspectedChange = &v1alpha1.SuspectedChange{Name: "shop-2-5"}
	rel := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-2-5"}}
	rel.Spec.ServiceRefs = []v1alpha1.LocalReference{{Name: "checkout"}, {Name: "nobody"}}
	rel.Status.ChangeRef = &v1alpha1.LocalReference{Name: "shop-2-5"}
	good := change("shop-2-4", -80*day, v1alpha1.RolloutComplete)
	objects := []client.Object{service, good, broken, oom, rel}
	b := fake.NewClientBuilder().WithScheme(scheme.New()).WithObjects(objects...).WithStatusSubresource(&v1alpha1.Service{}, &v1alpha1.Release{})
	if err := addIndexes(t.Context(), fakeclient.Indexer{ClientBuilder: b}); err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, clock: clocktesting.NewFakePassiveClock(t0)}
	counting := interceptor.NewClient(b.Build(), interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			s.writes++
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	inv := inventory.New()
	deployment := builder.MakeDeployment("shop", "checkout").Obj()
	deployment.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(deployment)
	if err != nil {
		t.Fatal(err)
	}
	inv.Put(service)
	inv.Put(&unstructured.Unstructured{Object: raw})
	s.Reconciler = &Reconciler{Client: counting, Inventory: inv, Clock: s.clock}
	s.releases = &releases{Reconciler: s.Reconciler}
	if n := len(inv.Members(servicelevel.ServiceName{Namespace: "shop", Name: "checkout"})); n != 1 {
		t.Fatalf("the service has %d workloads", n)
	}
	return s
}

var checkout = ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "shop", Name: "checkout"}}

func (s *scene) measure(request ctrl.Request, r interface {
	Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error)
}) ctrl.Result {
	s.t.Helper()
	result, err := r.Reconcile(s.t.Context(), request)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func TestFiguresOfAServiceAndARelease(t *testing.T) {
	s := newScene(t)
	int64p := func(n int64) *int64 { return &n }
	result := s.measure(checkout, s.Reconciler)
	service := &v1alpha1.Service{}
	if err := s.Client.Get(t.Context(), checkout.NamespacedName, service); err != nil {
		t.Fatal(err)
	}
	want := &v1alpha1.DeliveryFigures{
		WindowDays: 90, Deployments: 2, DeploymentsPerWeek: "0.16", LeadTimeSeconds: int64p(7200), LeadTimes: 1,
		Failed: 1, ChangeFailurePercent: "50.0", RecoverySeconds: int64p(5400), Recoveries: 1, ReworkPercent: "0.0", LastDeployedAt: at(-2*day + time.Hour),
	}
	if diff := cmp.Diff(want, service.Status.Delivery); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	if due := 10*day + time.Hour; result.RequeueAfter != due {
		t.Errorf("looks again after %s, want %s", result.RequeueAfter, due)
	}
	release := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "shop", Name: "shop-2-5"}}
	s.measure(release, s.releases)
	rel := &v1alpha1.Release{}
	if err := s.Client.Get(t.Context(), release.NamespacedName, rel); err != nil {
		t.Fatal(err)
	}
	wantRelease := &v1alpha1.ReleaseDelivery{
		Result: v1alpha1.DeliveryFailed, RecoverySeconds: int64p(5400), Services: []v1alpha1.ServiceDelivery{{Name: "checkout", Figures: *want}},
	}
	if diff := cmp.Diff(wantRelease, rel.Status.Delivery); diff != "" {
		t.Errorf("figures of the release (-want +got):\n%s", diff)
	}
	// Nothing happened: nothing is written.
	s.writes = 0
	s.clock.SetTime(t0.Add(5 * day))
	s.measure(checkout, s.Reconciler)
	s.measure(release, s.releases)
	if s.writes != 0 {
		t.Errorf("%d writes though nothing happened", s.writes)
	}
	s.clock.SetTime(t0.Add(result.RequeueAfter))
	s.measure(checkout, s.Reconciler)
	if s.writes != 1 {
		t.Errorf("%d writes when a deployment left the window", s.writes)
	}
}

func TestWhoIsAskedAbout(t *testing.T) {
	s := newScene(t)
	c := &v1alpha1.Change{}
	if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "shop-2-5"}, c); err != nil {
		t.Fatal(err)
	}
	i := &v1alpha1.Incident{}
	if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "oom"}, i); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]ctrl.Request{"a Change": s.ofChange(t.Context(), c), "an Incident": s.ofIncident(t.Context(), i)} {
		if diff := cmp.Diff([]ctrl.Request{checkout}, got); diff != "" {
			t.Errorf("%s asks for (-want +got):\n%s", name, diff)
		}
	}
	release := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "shop", Name: "shop-2-5"}}
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"}}
	for name, got := range map[string][]ctrl.Request{
		"a Change": s.releases.ofChange(t.Context(), c), "an Incident": s.releases.ofIncident(t.Context(), i), "a Service": s.releases.ofService(t.Context(), service),
	} {
		if diff := cmp.Diff([]ctrl.Request{release}, got); diff != "" {
			t.Errorf("%s asks for Releases (-want +got):\n%s", name, diff)
		}
	}
	other := c.DeepCopy()
	other.Status.Conditions = []metav1.Condition{{Type: "Frozen"}}
	if deploysOtherwise().Update(event.UpdateEvent{ObjectOld: c, ObjectNew: other}) {
		t.Error("a condition of a Change is measured anew")
	}
	other.Status.Outcome = v1alpha1.OutcomeUnsuccessful
	other.Status.Implementations[0].Rollout = v1alpha1.RolloutComplete
	if !deploysOtherwise().Update(event.UpdateEvent{ObjectOld: c, ObjectNew: other}) {
		t.Error("another outcome of a Change is not measured")
	}
}

// Where as many Changes are kept as may be, the figures say from when on they are whole, until that is out of the window.
func TestASampleThatWasCut(t *testing.T) {
	for name, c := range map[string]struct {
		limit int
		at    time.Duration
		want  *metav1.Time
	}{
		"all are kept":        {limit: 0},
		"fewer than are kept": {limit: 3},
		"as many as are kept": {limit: 2, want: at(-80 * day)},
		"more than are kept":  {limit: 1, want: at(-2 * day)},
		"long enough ago":     {limit: 2, at: 10 * day},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.ChangesPerWorkload = c.limit
			s.clock.SetTime(t0.Add(c.at))
			for name, ended := range map[string]time.Duration{"shop-2-4": -80 * day, "shop-2-5": -2 * day} {
				chg := &v1alpha1.Change{}
				if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, chg); err != nil {
					t.Fatal(err)
				}
				chg.Spec.Targets = []v1alpha1.ChangeTarget{{Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}}}
				chg.Status.State, chg.Status.ClosedAt = v1alpha1.ChangeClosed, at(ended)
				if err := s.Client.Update(t.Context(), chg); err != nil {
					t.Fatal(err)
				}
			}
			s.measure(checkout, s.Reconciler)
			service := &v1alpha1.Service{}
			if err := s.Client.Get(t.Context(), checkout.NamespacedName, service); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, service.Status.Delivery.IncompleteBefore); diff != "" {
				t.Errorf("incomplete before (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	s := newScene(t)
	s.measure(checkout, s.Reconciler)
	out := make(chan prometheus.Metric, 20)
	(&Collector{Reader: s.Client}).Collect(out)
	if len(out) != 7 {
		t.Errorf("%d metrics, want 7", len(out))
	}
}

// A Release may have ended before its Service's status has what it did there.
func TestAReleaseDoesNotWaitForTheStatusOfItsServices(t *testing.T) {
	s := newScene(t)
	release := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "shop", Name: "shop-2-5"}}
	rel := &v1alpha1.Release{}
	if err := s.Client.Get(t.Context(), release.NamespacedName, rel); err != nil {
		t.Fatal(err)
	}
	rel.Status.State = v1alpha1.ReleaseRolledBack
	if err := s.Client.Status().Update(t.Context(), rel); err != nil {
		t.Fatal(err)
	}
	s.measure(release, s.releases)
	if err := s.Client.Get(t.Context(), release.NamespacedName, rel); err != nil {
		t.Fatal(err)
	}
	if d := rel.Status.Delivery; d == nil || len(d.Services) != 1 || d.Services[0].Figures.Failed != 1 {
		t.Errorf("the figures of the Release are %+v", d)
	}
}

// What was patched onto a Service that the cache had not yet as it is must be looked at once more.
func TestAnOwnWriteIsLookedAt(t *testing.T) {
	before := &v1alpha1.Service{}
	before.Status.Delivery = &v1alpha1.DeliveryFigures{Deployments: 1}
	after := before.DeepCopy()
	if membersOrFiguresChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}) {
		t.Error("a Service with the same figures is measured anew")
	}
	after.Status.Delivery.Deployments = 2
	if !membersOrFiguresChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}) {
		t.Error("other figures are not looked at")
	}
}
