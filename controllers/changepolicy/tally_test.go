package changepolicy

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/fakeclient"
)

var checkout = configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "checkout"}

// cluster is an API server of which writes can be counted, and made to fail.
type cluster struct {
	client.Client
	clock  *clocktesting.FakePassiveClock
	writes int
	fail   error
	// before a write arrives, something else may happen.
	before func()
}

func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	c := &cluster{clock: clocktesting.NewFakePassiveClock(now)}
	b := fake.NewClientBuilder().WithScheme(scheme.New()).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.ChangePolicy{}, &v1alpha1.Change{})
	if err := addIndexes(t.Context(), fakeclient.Indexer{ClientBuilder: b}); err != nil {
		t.Fatal(err)
	}
	c.Client = b.WithInterceptorFuncs(interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, k client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if f := c.before; f != nil {
				c.before = nil
				f()
			}
			if c.fail != nil {
				return c.fail
			}
			c.writes++
			return k.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	}).Build()
	return c
}

func (c *cluster) policy(t *testing.T) *v1alpha1.ChangePolicy {
	t.Helper()
	p := &v1alpha1.ChangePolicy{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: "production"}, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (c *cluster) count(t *testing.T) int32 {
	t.Helper()
	if w := c.policy(t).Status.WouldDeny; w != nil {
		return w.Count
	}
	return 0
}

func refuse(t *Tally, times int) {
	for range times {
		t.WouldDeny([]string{"production"}, checkout, []practice.Cause{{Type: practice.CauseNoChange}}, t.Clock.Now())
	}
}

func pushed(t *testing.T, tally *Tally) time.Duration {
	t.Helper()
	result, err := tally.Reconcile(t.Context(), requestFor("production"))
	if err != nil {
		t.Fatal(err)
	}
	return result.RequeueAfter
}

// Writes are as many as minutes in which something was refused, not as requests; none where nothing was.
func TestTallyWritesOnceAMinute(t *testing.T) {
	c := newCluster(t, builder.MakeChangePolicy("production").Obj())
	var asked int
	tally := &Tally{Client: c, Clock: c.clock}
	if err := tally.follow(t.Context(), func(ctrl.Request) { asked++ }); err != nil {
		t.Fatal(err)
	}
	refuse(tally, 500)
	if pushed(t, tally); asked != 1 || c.writes != 1 || c.count(t) != 500 {
		t.Fatalf("asked %d times, %d writes, %d counted", asked, c.writes, c.count(t))
	}
	refuse(tally, 100)
	c.clock.SetTime(now.Add(20 * time.Second))
	if again := pushed(t, tally); again != 40*time.Second || c.writes != 1 {
		t.Fatalf("looks again after %s, %d writes", again, c.writes)
	}
	c.clock.SetTime(now.Add(time.Minute))
	if pushed(t, tally); c.writes != 2 || c.count(t) != 600 {
		t.Fatalf("%d writes, %d counted", c.writes, c.count(t))
	}
	c.clock.SetTime(now.Add(time.Hour))
	if pushed(t, tally); c.writes != 2 || len(tally.written) != 0 {
		t.Errorf("%d writes without news; remembers %v", c.writes, tally.written)
	}
}

// What other replicas write at the same time, and what fails, is neither lost nor doubled.
func TestTallyLosesNothing(t *testing.T) {
	c := newCluster(t, builder.MakeChangePolicy("production").Obj())
	a, b := &Tally{Client: c, Clock: c.clock}, &Tally{Client: c, Clock: c.clock}
	refuse(a, 3)
	refuse(b, 4)
	c.before = func() {
		pushed(t, b)
		refuse(a, 1)
	}
	if again := pushed(t, a); again != afterConflict || c.count(t) != 4 {
		t.Fatalf("looks again after %s, %d counted: wrote over the other's", again, c.count(t))
	}
	if pushed(t, a); c.count(t) != 8 {
		t.Fatalf("%d counted", c.count(t))
	}

	c.clock.SetTime(now.Add(time.Hour))
	refuse(a, 2)
	c.fail = errors.New("away")
	if _, err := a.Reconcile(t.Context(), requestFor("production")); !errors.Is(err, c.fail) {
		t.Fatalf("error %v", err)
	}
	c.fail = nil
	if pushed(t, a); c.count(t) != 10 {
		t.Fatalf("%d counted after the API server was away", c.count(t))
	}
	c.clock.SetTime(now.Add(2 * time.Hour))
	refuse(a, 1)
	c.fail = apierrors.NewNotFound(schema.GroupResource{}, "production")
	if again := pushed(t, a); again != 0 || len(a.pending) != 0 {
		t.Errorf("a policy that is gone is counted for: %v", a.pending)
	}
}

func TestTallyWritesWhenItStops(t *testing.T) {
	c := newCluster(t, builder.MakeChangePolicy("production").Obj())
	tally := &Tally{Client: c, Clock: c.clock}
	refuse(tally, 1)
	pushed(t, tally)
	refuse(tally, 6)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := (atTheEnd{tally}).Start(ctx); err != nil || c.count(t) != 7 {
		t.Errorf("%d counted, error %v", c.count(t), err)
	}
}

func TestTallyIsBounded(t *testing.T) {
	tally := &Tally{Clock: clocktesting.NewFakePassiveClock(now)}
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			for i := range maxTallied {
				tally.WouldDeny([]string{string(rune('a'+n)) + string(rune('0'+i))}, checkout, nil, now)
			}
		})
	}
	group.Wait()
	if len(tally.pending) != maxTallied {
		t.Errorf("counts for %d policies", len(tally.pending))
	}
}

func TestOldDaysDropOut(t *testing.T) {
	c := newCluster(t, builder.MakeChangePolicy("production").Spec(func(s *v1alpha1.ChangePolicySpec) { s.Enforcement = v1alpha1.EnforcementAudit }).
		Obj())
	tally := &Tally{Client: c, Clock: c.clock}
	r := &Reconciler{Client: c, Clock: c.clock}
	refuse(tally, 3)
	pushed(t, tally)
	reconcile := func() time.Duration {
		t.Helper()
		result, err := r.Reconcile(t.Context(), requestFor("production"))
		if err != nil {
			t.Fatal(err)
		}
		return result.RequeueAfter
	}
	again := reconcile()
	if end := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC); !now.Add(again).Equal(end) {
		t.Fatalf("looks again at %s, want %s", now.Add(again), end)
	}
	if step := c.policy(t).Status.NextStep; step == "" || c.count(t) != 3 {
		t.Errorf("%d counted, next step %q", c.count(t), step)
	}
	writes := c.writes
	if reconcile(); c.writes != writes {
		t.Error("nothing changed, and it was written again")
	}
	c.clock.SetTime(now.Add(again))
	if reconcile(); c.policy(t).Status.WouldDeny != nil || c.policy(t).Status.NextStep == "" {
		t.Errorf("status %+v", c.policy(t).Status)
	}
}

func TestStandardChangeIsSuspended(t *testing.T) {
	policy := builder.MakeChangePolicy("production").Spec(func(s *v1alpha1.ChangePolicySpec) {
		s.NamespaceSelector = v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": "production"}}
		s.StandardChanges = []v1alpha1.StandardChange{{Name: "patch", SuspendAfterFailures: 2}}
	}).Obj()
	policy.Generation = 1
	inScope := namespaces("production", "test")
	inScope[0].Name, inScope[1].Name = "shop", "elsewhere"
	objects := []client.Object{policy, &inScope[0], &inScope[1]}
	for name, outcome := range map[string]v1alpha1.Outcome{"a": v1alpha1.OutcomeRolledBack, "b": v1alpha1.OutcomeUnsuccessful} {
		for _, namespace := range []string{"shop", "elsewhere"} {
			chg := builder.MakeChange(namespace, name).Obj()
			chg.Spec.StandardChange, chg.Status.Outcome = "patch", outcome
			chg.Status.Implementations = []v1alpha1.Implementation{{At: metav1.NewTime(now)}}
			objects = append(objects, chg)
		}
	}
	c := newCluster(t, objects...)
	recorder := events.NewFakeRecorder(10)
	r := &Reconciler{Client: c, Clock: c.clock, Recorder: recorder}
	for range 2 {
		if _, err := r.Reconcile(t.Context(), requestFor("production")); err != nil {
			t.Fatal(err)
		}
	}
	got := c.policy(t).Status
	if s := got.StandardChanges; len(s) != 1 || s[0].Used != 2 || s[0].Failed != 2 || !s[0].Suspended {
		t.Errorf("standard changes %+v", s)
	}
	if got.NextStep == "" || c.writes != 1 || len(recorder.Events) != 1 {
		t.Errorf("next step %q, %d writes, %d events", got.NextStep, c.writes, len(recorder.Events))
	}
}
