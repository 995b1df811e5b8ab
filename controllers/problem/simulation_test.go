package problem

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
	"github.com/itil-dev/itil-operator/internal/testing/fakeclient"
)

var t0 = time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// work is a request of one of the three controllers.
type work struct {
	controller string
	name       types.NamespacedName
}

// cluster is a namespace with the three controllers on it. It delivers each write to them as a watch would, through
// their own predicates and handlers, and in any order.
type cluster struct {
	t      *testing.T
	client client.Client
	clock  *clocktesting.FakePassiveClock
	rng    *rand.Rand

	reconciler *Reconciler
	opener     *opener
	ranker     *ranker

	seen   map[string]client.Object
	queue  map[work]bool
	wakeUp map[work]time.Time
	writes int
	made   int
}

// builderIndexer gives the fake client the indexes of the cache.
func newCluster(t *testing.T, seed uint64) *cluster {
	t.Helper()
	b := fake.NewClientBuilder().WithScheme(scheme.New()).
		WithStatusSubresource(&v1alpha1.Problem{}, &v1alpha1.Incident{}, &v1alpha1.Change{})
	if err := addIndexes(t.Context(), fakeclient.Indexer{ClientBuilder: b}); err != nil {
		t.Fatal(err)
	}
	c := &cluster{
		t: t, clock: clocktesting.NewFakePassiveClock(t0), rng: rand.New(rand.NewPCG(seed, 3)),
		seen: map[string]client.Object{}, queue: map[work]bool{}, wakeUp: map[work]time.Time{},
	}
	stored := b.Build()
	c.client = interceptor.NewClient(stored, interceptor.Funcs{
		Create: func(ctx context.Context, s client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			c.writes++
			o.SetCreationTimestamp(metav1.NewTime(c.clock.Now()))
			return s.Create(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, s client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			c.writes++
			return s.Delete(ctx, o, opts...)
		},
		SubResourcePatch: func(ctx context.Context, s client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			c.writes++
			return s.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	rules := practice.DefaultRules
	c.reconciler = &Reconciler{Client: c.client, Reader: c.client, Clock: c.clock, Recorder: quiet{}, Rules: rules}
	c.opener = &opener{Client: c.client, Reader: c.client, Clock: c.clock, Rules: rules}
	c.ranker = &ranker{Client: c.client}
	return c
}

type quiet struct{ events.EventRecorder }

func (quiet) Eventf(_, _ runtime.Object, _, _, _, _ string, _ ...any) {}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// objects are all records.
func (c *cluster) objects() map[string]client.Object {
	out := map[string]client.Object{}
	incidents, problems, changes := &v1alpha1.IncidentList{}, &v1alpha1.ProblemList{}, &v1alpha1.ChangeList{}
	for _, list := range []client.ObjectList{incidents, problems, changes} {
		c.must(c.client.List(c.t.Context(), list, client.InNamespace("shop")))
	}
	for i := range incidents.Items {
		out["incident/"+incidents.Items[i].Name] = &incidents.Items[i]
	}
	for i := range problems.Items {
		out["problem/"+problems.Items[i].Name] = &problems.Items[i]
	}
	for i := range changes.Items {
		out["change/"+changes.Items[i].Name] = &changes.Items[i]
	}
	return out
}

// deliver tells the controllers what was written since it was last asked.
func (c *cluster) deliver() {
	now := c.objects()
	for key, after := range now {
		if before := c.seen[key]; before == nil || before.GetResourceVersion() != after.GetResourceVersion() {
			c.tell(before, after)
		}
	}
	for key, before := range c.seen {
		if now[key] == nil {
			c.tell(before, nil)
		}
	}
	c.seen = now
}

func (c *cluster) tell(before, after client.Object) {
	ctx := c.t.Context()
	pass := func(p predicate.Predicate) bool {
		return before == nil || after == nil || p.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
	}
	for _, o := range []client.Object{before, after} {
		switch o := o.(type) {
		case *v1alpha1.Incident:
			if o != nil && pass(countsOtherwise()) {
				c.ask(c.reconciler.ofIncident(ctx, o), c.opener.ofIncident(ctx, o))
			}
		case *v1alpha1.Change:
			if o != nil {
				c.ask(c.reconciler.ofChange(ctx, o), nil)
			}
		case *v1alpha1.Problem:
			if o != nil && pass(linksOtherwise()) {
				c.ask(c.reconciler.ofProblem(ctx, o), c.opener.ofProblem(ctx, o))
			}
			if o != nil && pass(predicate.Funcs{UpdateFunc: weighsOtherwise}) {
				c.queue[work{controller: "rank"}] = true
			}
		}
	}
}

func (c *cluster) ask(requests []ctrl.Request, fingerprints []fingerprint) {
	for _, r := range requests {
		c.queue[work{"problem", r.NamespacedName}] = true
	}
	for _, f := range fingerprints {
		c.queue[work{"opener", types.NamespacedName{Namespace: f.Namespace, Name: f.Value}}] = true
	}
}

func (c *cluster) reconcile(w work) {
	var result ctrl.Result
	var err error
	switch w.controller {
	case "problem":
		result, err = c.reconciler.Reconcile(c.t.Context(), ctrl.Request{NamespacedName: w.name})
	case "opener":
		result, err = c.opener.Reconcile(c.t.Context(), fingerprint{Namespace: w.name.Namespace, Value: w.name.Name})
	case "rank":
		result, err = c.ranker.Reconcile(c.t.Context(), "shop")
	}
	c.must(err)
	delete(c.wakeUp, w)
	if result.RequeueAfter > 0 {
		c.wakeUp[w] = c.clock.Now().Add(result.RequeueAfter)
	}
}

// settle works until nothing is left to do.
func (c *cluster) settle() {
	c.t.Helper()
	for n := 0; ; n++ {
		c.deliver()
		if len(c.queue) == 0 {
			return
		}
		if n > 2000 {
			c.t.Fatalf("it does not come to rest: %v", c.queue)
		}
		left := make([]work, 0, len(c.queue))
		for w := range c.queue {
			left = append(left, w)
		}
		slices.SortFunc(left, func(a, b work) int {
			return slices.Compare([]string{a.controller, a.name.Name}, []string{b.controller, b.name.Name})
		})
		w := left[c.rng.IntN(len(left))]
		delete(c.queue, w)
		c.reconcile(w)
	}
}

// pass lets time pass, with each wake-up at its time.
func (c *cluster) pass(d time.Duration) {
	end := c.clock.Now().Add(d)
	for {
		next, at := work{}, time.Time{}
		for w, due := range c.wakeUp {
			if !due.After(end) && (at.IsZero() || due.Before(at)) {
				next, at = w, due
			}
		}
		if at.IsZero() {
			c.clock.SetTime(end)
			return
		}
		c.clock.SetTime(at)
		c.queue[next] = true
		c.settle()
	}
}

// settled checks that whoever looks at everything anew finds nothing to write, and what must hold between the records.
func (c *cluster) settled(seed uint64, step int) {
	c.t.Helper()
	before, writes := c.objects(), c.writes
	for key, o := range before {
		switch o := o.(type) {
		case *v1alpha1.Problem:
			c.reconcile(work{"problem", client.ObjectKeyFromObject(o)})
		case *v1alpha1.Incident:
			c.reconcile(work{"opener", types.NamespacedName{Namespace: "shop", Name: o.Status.Fingerprint}})
		}
		if c.writes != writes {
			after := c.objects()
			c.t.Fatalf("seed %d, step %d: a look at %s wrote, though nothing had happened (-before +after):\n%s", seed, step, key, cmp.Diff(before[key], after[key]))
		}
	}
	c.reconcile(work{controller: "rank"})
	if c.writes != writes {
		c.t.Fatalf("seed %d, step %d: the ranking was not up to date", seed, step)
	}
	open := map[string][]string{}
	for _, o := range before {
		if p, ok := o.(*v1alpha1.Problem); ok && practice.IsOpen(p) && p.Labels[v1alpha1.LabelManagedBy] != "" {
			open[p.Spec.Fingerprint] = append(open[p.Spec.Fingerprint], p.Name)
		}
	}
	for f, names := range open {
		if len(names) > 1 {
			c.t.Fatalf("seed %d, step %d: the operator has opened %v for %s", seed, step, names, f)
		}
	}
	c.counted(seed, step, before)
	c.linked(seed, step, before)
}

// linked checks that a Problem shows each Change that either names the other, and of others only those whose records
// are gone.
func (c *cluster) linked(seed uint64, step int, all map[string]client.Object) {
	c.t.Helper()
	for _, o := range all {
		p, ok := o.(*v1alpha1.Problem)
		if !ok {
			continue
		}
		want := map[string]bool{}
		for _, ref := range p.Spec.ChangeRefs {
			want[string(ref.Name)] = true
		}
		for _, o := range all {
			if chg, ok := o.(*v1alpha1.Change); ok && chg.Spec.ProblemRef != nil && string(chg.Spec.ProblemRef.Name) == p.Name {
				want[chg.Name] = true
			}
		}
		for _, shown := range p.Status.Changes {
			if exists := all["change/"+string(shown.Name)] != nil; exists && !want[string(shown.Name)] {
				c.t.Fatalf("seed %d, step %d: Problem %s shows Change %s, and neither names the other", seed, step, p.Name, shown.Name)
			}
			delete(want, string(shown.Name))
		}
		if len(want) > 0 {
			c.t.Fatalf("seed %d, step %d: Problem %s does not show the Changes %v", seed, step, p.Name, want)
		}
	}
}

// counted compares how often each Problem counts an Incident with a slow and obvious answer: at most one Problem of those
// that are not about the same does, and an Incident that names one is counted by the one that this leads to.
func (c *cluster) counted(seed uint64, step int, all map[string]client.Object) {
	c.t.Helper()
	lookup := func(name string) *v1alpha1.Problem {
		p, _ := all["problem/"+name].(*v1alpha1.Problem)
		return p
	}
	want := map[string]int32{}
	for _, o := range all {
		i, ok := o.(*v1alpha1.Incident)
		if !ok {
			continue
		}
		homes := map[string]bool{}
		if ref := i.Spec.ProblemRef; ref != nil && lookup(string(ref.Name)) != nil {
			home, _ := practice.Home(lookup(string(ref.Name)), lookup)
			homes[home.Name] = true
		}
		for _, o := range all {
			p, ok := o.(*v1alpha1.Problem)
			if ok && p.Spec.Fingerprint == i.Status.Fingerprint {
				if ref := i.Spec.ProblemRef; ref != nil && lookup(string(ref.Name)) != nil {
					continue
				}
				home, _ := practice.Home(p, lookup)
				homes[home.Name] = true
			}
		}
		for home := range homes {
			want[home] += 1 + i.Status.Reopened
		}
	}
	for _, o := range all {
		if p, ok := o.(*v1alpha1.Problem); ok && (p.Status.Incidents == nil || p.Status.Incidents.Total != want[p.Name]) {
			c.t.Fatalf("seed %d, step %d: Problem %s counts %+v, want %d", seed, step, p.Name, p.Status.Incidents, want[p.Name])
		}
	}
}

// TestRecordsInAnyOrder lets people, failures, Changes and retention do what they like to the records of a namespace,
// deletions and edits included, and looks at the end of each step whether all is as if it had been looked at anew.
func TestRecordsInAnyOrder(t *testing.T) {
	for seed := range uint64(6) {
		c := newCluster(t, seed)
		for step := range 60 {
			c.act()
			c.settle()
			c.settled(seed, step)
			if c.rng.IntN(3) == 0 {
				c.pass(time.Duration(c.rng.IntN(int(6*day/time.Second))) * time.Second)
				c.settled(seed, step)
			}
		}
	}
}

// act does one thing at random.
func (c *cluster) act() {
	incident := pick[*v1alpha1.Incident](c)
	problem := pick[*v1alpha1.Problem](c)
	change := pick[*v1alpha1.Change](c)
	switch n := c.rng.IntN(30); {
	case n < 4 || incident == nil && n < 10:
		c.fail()
	case n < 6:
		c.endOrReopen(incident)
	case n < 9:
		c.link(incident)
	case n == 9:
		c.must(c.client.Delete(c.t.Context(), incident))
	case n < 12:
		c.propose()
	case n < 17 && problem != nil:
		c.declare(problem)
	case n < 20 && problem != nil:
		c.must(c.client.Delete(c.t.Context(), problem))
	case n == 20 && problem != nil:
		problem.Status = v1alpha1.ProblemStatus{}
		c.must(c.client.Status().Update(c.t.Context(), problem))
	case n == 21, n > 26:
		c.change(problem)
	case problem != nil && n == 24:
		problem.Spec.ChangeRefs = nil
		problem.Generation++
		c.must(c.client.Update(c.t.Context(), problem))
	case change != nil && n == 25:
		change.Spec.ProblemRef = nil
		c.must(c.client.Update(c.t.Context(), change))
	case change != nil && (n == 22 || n == 26):
		at := metav1.NewTime(c.clock.Now())
		change.Status.State, change.Status.ClosedAt = v1alpha1.ChangeClosed, &at
		change.Status.Outcome = []v1alpha1.Outcome{v1alpha1.OutcomeSuccessful, v1alpha1.OutcomeRolledBack}[c.rng.IntN(2)]
		c.must(c.client.Status().Update(c.t.Context(), change))
	case change != nil && n == 23:
		c.must(c.client.Delete(c.t.Context(), change))
	}
}

func pick[T client.Object](c *cluster) (none T) {
	all := c.objects()
	var names []string
	for name, o := range all {
		if _, ok := o.(T); ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return none
	}
	slices.Sort(names)
	o, _ := all[names[c.rng.IntN(len(names))]].(T)
	return o
}

// known are names of Problems: those that there are, and one that is not.
func (c *cluster) name() string {
	if p := pick[*v1alpha1.Problem](c); p != nil && c.rng.IntN(6) > 0 {
		return p.Name
	}
	return "nobody"
}

func (c *cluster) fail() {
	c.made++
	at := metav1.NewTime(c.clock.Now())
	i := &v1alpha1.Incident{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("i%d", c.made)},
		Spec: v1alpha1.IncidentSpec{
			Title: "it fails", Source: v1alpha1.IncidentSourceDetector, Major: c.rng.IntN(10) == 0,
			WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "checkout"},
		},
	}
	c.must(c.client.Create(c.t.Context(), i))
	i.Status.Fingerprint, i.Status.Reason = fmt.Sprintf("f%d", c.rng.IntN(3)), v1alpha1.SignalOOMKilled
	i.Status.StartedAt, i.Status.State, i.Status.Impact = &at, v1alpha1.IncidentNew, v1alpha1.LevelHigh
	i.Status.Signals = []v1alpha1.Signal{{Reason: v1alpha1.SignalOOMKilled, Since: at, LastSeen: at, Count: 1}}
	c.must(c.client.Status().Update(c.t.Context(), i))
}

func (c *cluster) endOrReopen(i *v1alpha1.Incident) {
	at := metav1.NewTime(c.clock.Now())
	if i.Status.ResolvedAt == nil {
		i.Status.ResolvedAt, i.Status.State = &at, v1alpha1.IncidentResolved
		i.Status.Signals[0].ClearedAt = &at
	} else {
		i.Status.ResolvedAt, i.Status.State, i.Status.ReopenedAt = nil, v1alpha1.IncidentInProgress, &at
		i.Status.Signals[0].ClearedAt = nil
		i.Status.Reopened++
	}
	c.must(c.client.Status().Update(c.t.Context(), i))
}

func (c *cluster) link(i *v1alpha1.Incident) {
	i.Spec.ProblemRef = nil
	if c.rng.IntN(3) > 0 {
		i.Spec.ProblemRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(c.name())}
	}
	c.must(c.client.Update(c.t.Context(), i))
}

func (c *cluster) propose() {
	c.made++
	p := &v1alpha1.Problem{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("p%d", c.made)},
		Spec:       v1alpha1.ProblemSpec{Statement: "somebody thinks so"},
	}
	if c.rng.IntN(2) == 0 {
		p.Spec.Fingerprint = fmt.Sprintf("f%d", c.rng.IntN(3))
	}
	c.must(c.client.Create(c.t.Context(), p))
}

func (c *cluster) declare(p *v1alpha1.Problem) {
	before := p.Spec.DeepCopy()
	s := &p.Spec
	switch c.rng.IntN(9) {
	case 0, 1:
		s.Owner, s.Confirmed = "bob", true
	case 2:
		s.RootCause, s.Workaround = "a cache", "restart"
	case 3, 4:
		s.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionDuplicate, DuplicateOf: &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(c.name())}}
	case 5:
		s.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionFixApplied, Reason: fmt.Sprint(c.made)}
	case 6:
		s.Decision = &v1alpha1.ProblemDecision{
			Type: v1alpha1.DecisionRiskAccepted, Reason: "rare", ReviewBy: v1alpha1.Timestamp(c.clock.Now().Add(10 * day).Format(time.RFC3339)),
		}
	case 7:
		s.Decision = nil
	case 8:
		s.Fingerprint = fmt.Sprintf("f%d", c.rng.IntN(3))
		// What the operator has opened is about what it was opened for.
		if p.Labels[v1alpha1.LabelManagedBy] != "" {
			s.Fingerprint = before.Fingerprint
		}
	}
	if !equality.Semantic.DeepEqual(before, s) {
		p.Generation++
		c.must(c.client.Update(c.t.Context(), p))
	}
}

func (c *cluster) change(p *v1alpha1.Problem) {
	c.made++
	change := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("c%d", c.made)}}
	if c.rng.IntN(2) == 0 {
		change.Spec.ProblemRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(c.name())}
	}
	c.must(c.client.Create(c.t.Context(), change))
	if p == nil || change.Spec.ProblemRef != nil {
		return
	}
	p.Spec.ChangeRefs = append(p.Spec.ChangeRefs, v1alpha1.LocalReference{Name: v1alpha1.ObjectName(change.Name)})
	p.Generation++
	c.must(c.client.Update(c.t.Context(), p))
}
