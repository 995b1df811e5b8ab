package incident

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/fakeclient"
)

// Monday, 09:00.
var t0 = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

var request = reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "shop", Name: "web-1"}}

type scene struct {
	*Reconciler
	t      *testing.T
	clock  *clocktesting.FakePassiveClock
	server client.Client
	told   *events.FakeRecorder
	// patch takes the place of status patches, where a test sets it.
	patch  func() error
	writes int
}

// newScene has one Incident that the detector opened at t0, about Deployment web of Service checkout.
func newScene(t *testing.T, objects ...client.Object) *scene {
	t.Helper()
	s := &scene{t: t, clock: clocktesting.NewFakePassiveClock(t0), told: events.NewFakeRecorder(100)}
	b := fake.NewClientBuilder().WithScheme(scheme.New()).WithObjects(append(objects, anIncident())...).
		WithStatusSubresource(&v1alpha1.Incident{}, &v1alpha1.Change{}, &v1alpha1.Problem{})
	if err := addIndexes(t.Context(), fakeclient.Indexer{ClientBuilder: b}); err != nil {
		t.Fatal(err)
	}
	s.server = b.Build()
	s.Reconciler = &Reconciler{
		Clock: s.clock, Recorder: s.told, Rules: practice.DefaultRules(), Inventory: inventory.New(),
		Client: interceptor.NewClient(s.server.(client.WithWatch), interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				s.writes++
				if s.patch != nil {
					return s.patch()
				}
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}),
	}
	for _, o := range objects {
		s.Inventory.Put(o)
	}
	return s
}

// indexer lets the fake client have the indexes of the cache.
func anIncident() *v1alpha1.Incident {
	at := metav1.NewTime(t0)
	return &v1alpha1.Incident{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "uid-1", Generation: 1, CreationTimestamp: at},
		Spec: v1alpha1.IncidentSpec{
			Title: "web: it fails", Source: v1alpha1.IncidentSourceDetector, WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "web"},
			ServiceRef: &v1alpha1.LocalReference{Name: "checkout"},
		},
		Status: v1alpha1.IncidentStatus{
			DetectedAt: &at, StartedAt: &at, Reason: v1alpha1.SignalOOMKilled, Fingerprint: "f",
			Signals: []v1alpha1.Signal{{Reason: v1alpha1.SignalOOMKilled, Container: "app", Since: at, LastSeen: at, Count: 2}},
		},
	}
}

func (s *scene) reconcile() reconcile.Result {
	s.t.Helper()
	result, err := s.Reconcile(s.t.Context(), request)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func (s *scene) live() *v1alpha1.Incident {
	s.t.Helper()
	i := &v1alpha1.Incident{}
	if err := s.server.Get(s.t.Context(), request.NamespacedName, i); err != nil {
		s.t.Fatal(err)
	}
	return i
}

// edit lets somebody write the Incident.
func (s *scene) edit(edit func(*v1alpha1.Incident)) {
	s.t.Helper()
	i := s.live()
	edit(i)
	status := i.Status
	if err := s.server.Update(s.t.Context(), i); err != nil {
		s.t.Fatal(err)
	}
	i.Status = status
	if err := s.server.Status().Update(s.t.Context(), i); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) events() []string {
	var out []string
	for len(s.told.Events) > 0 {
		out = append(out, strings.Join(strings.Fields(<-s.told.Events)[:2], " "))
	}
	return out
}

func checkout(tier int32, health v1alpha1.Health) *v1alpha1.Service {
	o := builder.MakeService("shop", "checkout").Tier(tier).Claim(v1alpha1.WorkloadDeployment, "web").Obj()
	o.Status.Health = health
	return o
}

func TestOneWriteAndItsEvents(t *testing.T) {
	s := newScene(t, checkout(1, v1alpha1.HealthOutage))
	s.reconcile()
	i := s.live()
	if i.Status.State != v1alpha1.IncidentNew || i.Status.Priority != v1alpha1.PriorityP1 || len(i.Status.AffectedServices) != 1 {
		t.Errorf("status %+v", i.Status)
	}
	if got := s.events(); len(got) != 1 || got[0] != "Warning IncidentOpened" {
		t.Errorf("events %v", got)
	}
	s.reconcile()
	if s.writes != 1 || len(s.events()) > 0 {
		t.Errorf("%d writes", s.writes)
	}
}

// TestFailsBesideWhatServes: a rollout that does not come in takes nothing from anybody, though its Service is out for another
// workload: one outage is one P1.
func TestFailsBesideWhatServes(t *testing.T) {
	kind := appsv1.SchemeGroupVersion.WithKind("Deployment")
	whole := builder.MakeDeployment("shop", "web").Replicas(2).Generation(1).RolledOut().Obj()
	short := builder.MakeDeployment("shop", "web").Replicas(2).Generation(1).Status(3, 1, 1).Obj()
	for name, test := range map[string]struct {
		workload *appsv1.Deployment
		reason   v1alpha1.SignalReason
		want     v1alpha1.Priority
	}{
		"beside all its pods":       {whole, v1alpha1.SignalImagePullFailed, v1alpha1.PriorityP3},
		"one pod is gone for it":    {short, v1alpha1.SignalImagePullFailed, v1alpha1.PriorityP1},
		"ready for a moment":        {whole, v1alpha1.SignalCrashLooping, v1alpha1.PriorityP1},
		"the workload is not known": {nil, v1alpha1.SignalImagePullFailed, v1alpha1.PriorityP1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, checkout(1, v1alpha1.HealthOutage))
			if test.workload != nil {
				s.Inventory.Put(builder.Unstructured(test.workload, kind))
			}
			s.edit(func(i *v1alpha1.Incident) { i.Status.Reason, i.Status.Signals[0].Reason = test.reason, test.reason })
			s.reconcile()
			if got := s.live().Status.Priority; got != test.want {
				t.Errorf("priority %s, want %s", got, test.want)
			}
		})
	}
}

// TestStaleCache: a decision about an older version is not written, and tells nothing.
func TestStaleCache(t *testing.T) {
	s := newScene(t)
	s.patch = func() error {
		return apierrors.NewConflict(schema.GroupResource{Resource: "incidents"}, "web-1", errors.New("it was written"))
	}
	if result := s.reconcile(); result.RequeueAfter <= 0 {
		t.Error("a conflict of which no event tells is never tried again")
	}
	if got := s.events(); len(got) > 0 {
		t.Errorf("events %v", got)
	}
	s.patch = func() error { return errors.New("the API server is away") }
	if _, err := s.Reconcile(t.Context(), request); err == nil {
		t.Error("the failure is lost")
	}
	s.patch = nil
	s.reconcile()
	if got := s.events(); len(got) != 1 {
		t.Errorf("events %v", got)
	}
}

func agreement(name string, edit func(*v1alpha1.ServiceLevelAgreement)) *v1alpha1.ServiceLevelAgreement {
	a := &v1alpha1.ServiceLevelAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: v1alpha1.ServiceLevelAgreementSpec{
		ServiceRef: v1alpha1.LocalReference{Name: "checkout"},
		Response:   &v1alpha1.PriorityTimes{P1: "15m"}, Resolution: &v1alpha1.PriorityTimes{P1: "4h"},
	}}
	if edit != nil {
		edit(a)
	}
	return a
}

func TestAgreements(t *testing.T) {
	for name, test := range map[string]struct {
		objects []client.Object
		want    string
	}{
		"none":                    {nil, ""},
		"one":                     {[]client.Object{agreement("gold", nil)}, "gold 2026-11-23T13:00:00Z"},
		"of another":              {[]client.Object{agreement("gold", func(a *v1alpha1.ServiceLevelAgreement) { a.Spec.ServiceRef.Name = "other" })}, ""},
		"within the organisation": {[]client.Object{agreement("ola", func(a *v1alpha1.ServiceLevelAgreement) { a.Spec.Type = v1alpha1.AgreementOLA })}, ""},
		"not yet in force":        {[]client.Object{agreement("gold", func(a *v1alpha1.ServiceLevelAgreement) { a.Spec.ValidFrom = "2027-01-01T00:00:00Z" })}, ""},
		"in the hours of a calendar": {[]client.Object{
			agreement("gold", func(a *v1alpha1.ServiceLevelAgreement) { a.Spec.CalendarRef = &v1alpha1.LocalReference{Name: "hours"} }),
			&v1alpha1.Calendar{ObjectMeta: metav1.ObjectMeta{Name: "hours", UID: "c"}, Spec: v1alpha1.CalendarSpec{TimeZone: "UTC", Weekly: []v1alpha1.WeeklyHours{{
				Days: []v1alpha1.Weekday{"Mon", "Tue"}, From: "10:00", To: "12:00",
			}}}},
		}, "gold 2026-11-24T12:00:00Z"},
		"with a calendar that there is not": {[]client.Object{agreement("gold", func(a *v1alpha1.ServiceLevelAgreement) { a.Spec.CalendarRef = &v1alpha1.LocalReference{Name: "hours"} })}, "gold 2026-11-23T13:00:00Z"},
		"two":                               {[]client.Object{agreement("gold", nil), agreement("platinum", func(a *v1alpha1.ServiceLevelAgreement) { a.Spec.Resolution.P1 = "1h" })}, "platinum 2026-11-23T10:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, append(test.objects, checkout(1, v1alpha1.HealthOutage))...)
			result := s.reconcile()
			got := ""
			if c := s.live().Status.Clocks; c != nil {
				got = string(c.Agreement) + " " + c.Resolution.DueAt.UTC().Format(time.RFC3339)
				if result.RequeueAfter <= 0 {
					t.Error("nothing wakes it")
				}
			}
			if got != test.want {
				t.Errorf("clocks %q, want %q", got, test.want)
			}
		})
	}
}

func TestWakesExactly(t *testing.T) {
	s := newScene(t, checkout(1, v1alpha1.HealthOutage), agreement("gold", nil))
	for _, wait := range []time.Duration{11*time.Minute + 15*time.Second, 3*time.Minute + 45*time.Second, 2*time.Hour + 45*time.Minute, time.Hour} {
		if got := s.reconcile().RequeueAfter; got != wait {
			t.Fatalf("at %s it waits %s, want %s", s.clock.Now().Sub(t0), got, wait)
		}
		s.clock.SetTime(s.clock.Now().Add(wait))
	}
	if got := s.reconcile().RequeueAfter; got != 0 {
		t.Errorf("after all is breached it waits %s", got)
	}
	if got := s.live().Status.Clocks; got.Response.State != v1alpha1.ClockBreached || got.Resolution.State != v1alpha1.ClockBreached {
		t.Errorf("clocks %+v", got)
	}
}

func TestHoldIsOver(t *testing.T) {
	change := func(state v1alpha1.ChangeState) *v1alpha1.Change {
		return &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-2"}, Status: v1alpha1.ChangeStatus{State: state}}
	}
	problem := func(state v1alpha1.ProblemState) *v1alpha1.Problem {
		return &v1alpha1.Problem{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "leak"}, Status: v1alpha1.ProblemStatus{State: state}}
	}
	for name, test := range map[string]struct {
		reason  v1alpha1.HoldReason
		objects []client.Object
		want    v1alpha1.IncidentState
	}{
		"a Change that is implemented":     {v1alpha1.HoldAwaitingChange, []client.Object{change(v1alpha1.ChangeImplement)}, v1alpha1.IncidentOnHold},
		"a Change that is closed":          {v1alpha1.HoldAwaitingChange, []client.Object{change(v1alpha1.ChangeClosed)}, v1alpha1.IncidentInProgress},
		"a Change that nobody filed":       {v1alpha1.HoldAwaitingChange, nil, v1alpha1.IncidentOnHold},
		"a Problem that is being analysed": {v1alpha1.HoldAwaitingProblem, []client.Object{problem(v1alpha1.ProblemRootCauseAnalysis)}, v1alpha1.IncidentOnHold},
		"a Problem that is resolved":       {v1alpha1.HoldAwaitingProblem, []client.Object{problem(v1alpha1.ProblemResolved)}, v1alpha1.IncidentInProgress},
		"a vendor":                         {v1alpha1.HoldAwaitingVendor, nil, v1alpha1.IncidentOnHold},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, test.objects...)
			s.edit(func(i *v1alpha1.Incident) {
				i.Spec.Hold = &v1alpha1.Hold{Reason: test.reason}
				i.Spec.ChangeRefs = []v1alpha1.LocalReference{{Name: "web-2"}}
				i.Spec.ProblemRef = &v1alpha1.LocalReference{Name: "leak"}
			})
			s.reconcile()
			if got := s.live().Status.State; got != test.want {
				t.Errorf("state %s, want %s", got, test.want)
			}
		})
	}
}

func TestKnownError(t *testing.T) {
	s := newScene(t, &v1alpha1.Problem{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "leak"}, Spec: v1alpha1.ProblemSpec{Fingerprint: "f", Workaround: "restart it"},
	})
	s.reconcile()
	i := s.live()
	if k := i.Status.KnownError; k == nil || k.Problem != "leak" || !strings.Contains(i.Status.NextStep, "restart it") {
		t.Errorf("known error %v, next step %q", k, i.Status.NextStep)
	}
}

func TestFamily(t *testing.T) {
	parent := anIncident()
	parent.Name, parent.UID = "node-1", "uid-2"
	parent.Status.State = v1alpha1.IncidentResolved
	end := metav1.NewTime(t0.Add(time.Minute))
	parent.Status.ResolvedAt = &end
	s := newScene(t, parent)
	s.edit(func(i *v1alpha1.Incident) {
		i.Spec.ParentRef = &v1alpha1.NamespacedReference{Name: "node-1"}
		i.Spec.Source, i.Status.Signals = v1alpha1.IncidentSourceUser, nil
	})
	s.reconcile()
	if got := s.live().Status.State; got != v1alpha1.IncidentResolved {
		t.Errorf("a child without signals is %s", got)
	}
	if got := s.family(t.Context(), parent); len(got) != 1 || got[0] != request {
		t.Errorf("the parent's events wake %v", got)
	}
	facts, err := s.gather(t.Context(), anotherName(parent, "node-1"))
	if err != nil || facts.Children != 0 {
		t.Errorf("a closed or resolved parent has %d children, error %v", facts.Children, err)
	}
}

// TestChildrenAreCountedEverMoreRarely: a node that takes another workload with it every ten seconds, for a day, is some
// fifty writes of its Incident, and not 8,640.
func TestChildrenAreCountedEverMoreRarely(t *testing.T) {
	i, c, writes := anIncident(), &counted{}, 0
	last := t0.Add(-time.Hour)
	for now := t0; now.Before(t0.Add(24 * time.Hour)); now = now.Add(10 * time.Second) {
		if c.due(i.UID).After(now) {
			continue
		}
		if now.Sub(last) < time.Minute {
			t.Fatalf("written at %s and at %s", last, now)
		}
		c.written(i, now)
		writes, last = writes+1, now
	}
	if writes < 20 || writes > 70 {
		t.Errorf("%d writes in a day", writes)
	}
}

func anotherName(i *v1alpha1.Incident, name string) *v1alpha1.Incident {
	out := i.DeepCopy()
	out.Name, out.Status.State = name, v1alpha1.IncidentClosed
	return out
}

func TestAffectedServices(t *testing.T) {
	shop := builder.MakeService("front", "shop").DependsOn("shop", "checkout", v1alpha1.DependencyHard).Obj()
	portal := builder.MakeService("front", "portal").DependsOn("front", "shop", v1alpha1.DependencyHard).Obj()
	search := builder.MakeService("front", "search").DependsOn("shop", "checkout", v1alpha1.DependencySoft).Obj()
	s := newScene(t, checkout(2, v1alpha1.HealthOutage), shop, portal, search)
	s.reconcile()
	var got []string
	for _, a := range s.live().Status.AffectedServices {
		got = append(got, string(a.Namespace)+"/"+string(a.Name))
	}
	if strings.Join(got, " ") != "shop/checkout front/shop front/portal" {
		t.Errorf("affected are %v", got)
	}
	if wakes := s.ofService(t.Context(), checkout(1, "")); len(wakes) != 0 {
		t.Errorf("an Incident that the inventory does not know is woken: %v", wakes)
	}
	s.Inventory.Put(s.live())
	for _, service := range []client.Object{checkout(1, ""), portal} {
		if wakes := s.ofService(t.Context(), service); len(wakes) != 1 || wakes[0] != request {
			t.Errorf("%s wakes %v", service.GetName(), wakes)
		}
	}
}

func TestClosingAndRetention(t *testing.T) {
	s := newScene(t)
	recovered := metav1.NewTime(t0)
	s.edit(func(i *v1alpha1.Incident) {
		i.Status.Signals[0].ClearedAt, i.Status.RecoveredAt, i.Status.RecoveryHoldSeconds = &recovered, &recovered, 120
	})
	end := t0
	for range 10 {
		wait := s.reconcile().RequeueAfter
		if wait == 0 {
			break
		}
		end = s.clock.Now().Add(wait)
		s.clock.SetTime(end)
	}
	i := &v1alpha1.Incident{}
	if err := s.server.Get(t.Context(), request.NamespacedName, i); !apierrors.IsNotFound(err) {
		t.Fatalf("it is kept: %s, error %v", i.Status.State, err)
	}
	if want := t0.Add((3 + 90) * 24 * time.Hour); !end.Equal(want) {
		t.Errorf("deleted at %s, want %s", end, want)
	}
}

func TestCollector(t *testing.T) {
	s := newScene(t)
	s.reconcile()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&Collector{Reader: s.server})
	families, err := registry.Gather()
	if err != nil || len(families) != 2 {
		t.Fatalf("gathered %v, error %v", families, err)
	}
	var labels []string
	for _, label := range families[0].GetMetric()[0].GetLabel() {
		labels = append(labels, label.GetName()+"="+label.GetValue())
	}
	if got := strings.Join(labels, " "); got != "priority=P5 reason=OOMKilled state=New" || families[0].GetName() != "itil_incidents" {
		t.Errorf("%s %s", families[0].GetName(), got)
	}
	if got := families[0].GetMetric()[0].GetGauge().GetValue(); got != 1 {
		t.Errorf("%v incidents", got)
	}
}

func TestInvalidCalendarRunsAroundTheClock(t *testing.T) {
	var c calendars
	broken := &v1alpha1.Calendar{ObjectMeta: metav1.ObjectMeta{UID: "c", Generation: 1}, Spec: v1alpha1.CalendarSpec{TimeZone: "Mars/Olympus"}}
	if got := c.of(broken).Between(t0, t0.Add(time.Hour)); got != time.Hour {
		t.Errorf("an hour counts %s", got)
	}
	var _ practice.BusinessTime = servicelevel.Calendar{}
}

// TestARecoveryIsBelievedWhenItIsSo: a hold-down that is over is not enough where the workload fails by now.
func TestARecoveryIsBelievedWhenItIsSo(t *testing.T) {
	s := newScene(t)
	s.reconcile()
	s.edit(func(i *v1alpha1.Incident) {
		at := metav1.NewTime(t0.Add(time.Minute))
		i.Status.Signals[0].ClearedAt, i.Status.RecoveredAt, i.Status.RecoveryHoldSeconds = &at, &at, 120
	})
	well, away, asked := false, errors.New("the API server is away"), 0
	var err error
	s.StillWell = func(context.Context, *v1alpha1.Incident) (bool, error) {
		asked++
		return well, err
	}
	s.clock.SetTime(t0.Add(2 * time.Minute))
	s.reconcile()
	if asked > 0 {
		t.Error("asked before the hold-down is over")
	}
	s.clock.SetTime(t0.Add(3 * time.Minute))
	if again := s.reconcile(); again.RequeueAfter != patch.StaleRetry || s.live().Status.State == v1alpha1.IncidentResolved {
		t.Errorf("it fails, and is %s; the next look is in %s", s.live().Status.State, again.RequeueAfter)
	}
	err = away
	if _, got := s.Reconcile(t.Context(), request); !errors.Is(got, away) || s.live().Status.State == v1alpha1.IncidentResolved {
		t.Errorf("it is not known, and is %s; error %v", s.live().Status.State, got)
	}
	well, err = true, nil
	s.reconcile()
	if got := s.live().Status; got.State != v1alpha1.IncidentResolved || !got.ResolvedAt.Time.Equal(t0.Add(time.Minute)) {
		t.Errorf("it is well, and %s since %v", got.State, got.ResolvedAt)
	}
	asked = 0
	s.reconcile()
	if asked > 0 {
		t.Error("asked again of what is resolved")
	}
}

// TestARecoveryThatIsDoubtedIsAskedForEverMoreRarely, until it is believed, or is none any more.
func TestARecoveryThatIsDoubtedIsAskedForEverMoreRarely(t *testing.T) {
	s := newScene(t)
	s.reconcile()
	recovers := func() {
		s.edit(func(i *v1alpha1.Incident) {
			at := metav1.NewTime(t0.Add(time.Minute))
			i.Status.Signals[0].ClearedAt, i.Status.RecoveredAt, i.Status.RecoveryHoldSeconds = &at, &at, 120
		})
	}
	recovers()
	s.StillWell = func(context.Context, *v1alpha1.Incident) (bool, error) { return false, nil }
	s.clock.SetTime(t0.Add(3 * time.Minute))
	want := patch.StaleRetry
	for range 10 {
		if again := s.reconcile(); again.RequeueAfter != want {
			t.Fatalf("asked again in %s, want %s", again.RequeueAfter, want)
		}
		want = min(2*want, time.Minute)
	}
	s.edit(func(i *v1alpha1.Incident) { i.Status.Signals[0].ClearedAt, i.Status.RecoveredAt = nil, nil })
	s.reconcile()
	recovers()
	if again := s.reconcile(); again.RequeueAfter != patch.StaleRetry {
		t.Errorf("it failed in between: asked again in %s", again.RequeueAfter)
	}
	if err := s.server.Delete(t.Context(), s.live()); err != nil {
		t.Fatal(err)
	}
	s.reconcile()
	if n := len(s.doubted.waits); n > 0 {
		t.Errorf("%d are remembered that there are not", n)
	}
}
