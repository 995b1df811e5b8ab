package problem_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/problem"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

var begin = time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

var _ = Describe("a Problem", Ordered, func() {
	var (
		namespace string
		now       *clocktesting.FakePassiveClock
	)
	incident := func(ctx context.Context, name, fingerprint string, started time.Time, lasted time.Duration) *v1alpha1.Incident {
		GinkgoHelper()
		i := &v1alpha1.Incident{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec: v1alpha1.IncidentSpec{
				Title: "checkout: container app is OOMKilled", Source: v1alpha1.IncidentSourceDetector,
				ServiceRef:  &v1alpha1.LocalReference{Name: "checkout"},
				WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "checkout"},
			},
		}
		Expect(env.Admin().Create(ctx, i)).To(Succeed())
		start, end := metav1.NewTime(started), metav1.NewTime(started.Add(lasted))
		i.Status.Reason, i.Status.Fingerprint = v1alpha1.SignalOOMKilled, fingerprint
		i.Status.Impact = v1alpha1.LevelHigh
		i.Status.State, i.Status.StartedAt, i.Status.ResolvedAt = v1alpha1.IncidentResolved, &start, &end
		Expect(env.Admin().Status().Update(ctx, i)).To(Succeed())
		return i
	}
	problems := func(ctx context.Context) []v1alpha1.Problem {
		GinkgoHelper()
		list := &v1alpha1.ProblemList{}
		Expect(env.Admin().List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		return list.Items
	}
	only := func(g Gomega, ctx context.Context) *v1alpha1.Problem {
		list := &v1alpha1.ProblemList{}
		g.Expect(env.Admin().List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		g.Expect(list.Items).To(HaveLen(1))
		return &list.Items[0]
	}
	declare := func(ctx context.Context, f func(*v1alpha1.ProblemSpec)) {
		GinkgoHelper()
		before := problems(ctx)[0].DeepCopy()
		after := before.DeepCopy()
		f(&after.Spec)
		Expect(env.Admin().Patch(ctx, after, client.MergeFrom(before))).To(Succeed())
	}
	state := func(ctx context.Context, want v1alpha1.ProblemState) *v1alpha1.Problem {
		GinkgoHelper()
		var p *v1alpha1.Problem
		Eventually(func(g Gomega) {
			p = only(g, ctx)
			g.Expect(p.Status.State).To(Equal(want))
		}).Should(Succeed())
		return p
	}

	BeforeAll(func(ctx SpecContext) {
		namespace = env.Namespace(GinkgoTB(), nil)
		now = clocktesting.NewFakePassiveClock(begin)
		skipNames := true
		mgr, err := ctrl.NewManager(env.AdminConfig(), ctrl.Options{
			Scheme: env.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
			Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
			Controller: config.Controller{SkipNameValidation: &skipNames},
		})
		Expect(err).NotTo(HaveOccurred())
		r := &problem.Reconciler{
			Client: mgr.GetClient(), Clock: now, Recorder: mgr.GetEventRecorder("problem"), Rules: practice.DefaultRules,
		}
		running, stop := context.WithCancel(context.Background())
		Expect(r.SetupWithManager(running, mgr)).To(Succeed())
		done := make(chan error, 1)
		go func() { done <- mgr.Start(running) }()
		DeferCleanup(func() {
			stop()
			Eventually(done).Should(Receive(BeNil()))
		})
	})

	It("is opened by the third failure, once", func(ctx SpecContext) {
		incident(ctx, "checkout-1", "f1", begin.Add(-3*day), time.Hour)
		incident(ctx, "checkout-2", "f1", begin.Add(-2*day), time.Hour)
		incident(ctx, "other", "f2", begin.Add(-2*day), time.Hour)
		Consistently(func() []v1alpha1.Problem { return problems(ctx) }, 2*time.Second).Should(BeEmpty())
		incident(ctx, "checkout-3", "f1", begin.Add(-day), 30*time.Minute)
		p := state(ctx, v1alpha1.ProblemNew)
		Expect(p.Spec.Statement).To(Equal("checkout: OOMKilled again and again: 3 failures within 30 days"))
		Expect(p.Name).To(HavePrefix("checkout-oomkilled-"))
		Expect(p.Status.NextStep).To(ContainSubstring("kubectl itil problem confirm " + namespace + "/" + p.Name))
		Eventually(func(g Gomega) {
			p := only(g, ctx)
			g.Expect(p.Status.Incidents.Total).To(BeEquivalentTo(3))
			g.Expect(p.Status.Incidents.DowntimeSeconds).To(BeEquivalentTo(9000))
			g.Expect(p.Status.Rank).To(BeEquivalentTo(1))
		}).Should(Succeed())
	})

	It("follows what people declare", func(ctx SpecContext) {
		declare(ctx, func(s *v1alpha1.ProblemSpec) { s.Owner = "bob" })
		state(ctx, v1alpha1.ProblemAssess)
		declare(ctx, func(s *v1alpha1.ProblemSpec) { s.Confirmed = true })
		state(ctx, v1alpha1.ProblemRootCauseAnalysis)
		declare(ctx, func(s *v1alpha1.ProblemSpec) {
			s.RootCause, s.Workaround = "a cache without a bound", "restart it"
			s.ChangeRefs = []v1alpha1.LocalReference{{Name: "bound"}}
		})
		Eventually(func(g Gomega) {
			g.Expect(only(g, ctx).Status.Conditions).To(ContainElement(And(
				HaveField("Type", v1alpha1.ConditionKnownError), HaveField("Status", metav1.ConditionTrue))))
		}).Should(Succeed())
		state(ctx, v1alpha1.ProblemRootCauseAnalysis) // the Change does not exist yet
	})

	It("is fixed by its Change, and resolved when nothing recurs", func(ctx SpecContext) {
		c := &v1alpha1.Change{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bound"},
			Spec: v1alpha1.ChangeSpec{
				Summary: "bound the cache", Requester: "bob",
				Targets: []v1alpha1.ChangeTarget{{
					Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
					Images:   map[string]v1alpha1.Image{"app": "registry.shop.example/checkout:2.4"},
				}},
			},
		}
		Expect(env.Admin().Create(ctx, c)).To(Succeed())
		state(ctx, v1alpha1.ProblemFixInProgress)
		closed := metav1.NewTime(begin)
		c.Status.State, c.Status.Outcome, c.Status.ClosedAt = v1alpha1.ChangeClosed, v1alpha1.OutcomeSuccessful, &closed
		Expect(env.Admin().Status().Update(ctx, c)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(only(g, ctx).Status.Conditions).To(ContainElement(And(
				HaveField("Type", v1alpha1.ConditionFixDeployed), HaveField("Status", metav1.ConditionTrue))))
		}).Should(Succeed())
		state(ctx, v1alpha1.ProblemFixInProgress)

		now.SetTime(begin.Add(7*day + time.Minute))
		touch(ctx, &problems(ctx)[0])
		p := state(ctx, v1alpha1.ProblemResolved)
		Expect(p.Status.ResolvedAt.Time).To(BeTemporally("==", begin.Add(7*day)))
	})

	It("says so when it recurs after the fix, and opens no second one", func(ctx SpecContext) {
		now.SetTime(begin.Add(9 * day))
		incident(ctx, "checkout-4", "f1", begin.Add(8*day), time.Hour)
		p := state(ctx, v1alpha1.ProblemFixInProgress)
		Expect(p.Status.Conditions).To(ContainElement(And(
			HaveField("Type", v1alpha1.ConditionRecurring), HaveField("Status", metav1.ConditionTrue))))
		Expect(p.Status.NextStep).To(ContainSubstring("did not hold"))
	})

	It("is closed by a decision; later failures open the next one", func(ctx SpecContext) {
		declare(ctx, func(s *v1alpha1.ProblemSpec) {
			s.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionNotReproducible, Reason: "never again in tests"}
		})
		state(ctx, v1alpha1.ProblemClosed)
		for i := range 3 {
			at := begin.Add(10*day + time.Duration(i)*time.Hour)
			now.SetTime(at.Add(time.Hour))
			incident(ctx, fmt.Sprintf("checkout-%d", 5+i), "f1", at, time.Minute)
		}
		Eventually(func() []v1alpha1.Problem { return problems(ctx) }).Should(HaveLen(2))
		Consistently(func() []v1alpha1.Problem { return problems(ctx) }, time.Second).Should(HaveLen(2))
	})

	It("is opened again when somebody deletes it: what failed has failed", func(ctx SpecContext) {
		open := func() *v1alpha1.Problem {
			for _, p := range problems(ctx) {
				if p.Status.State != v1alpha1.ProblemClosed {
					return &p
				}
			}
			return nil
		}
		second := open()
		Expect(env.Admin().Delete(ctx, second)).To(Succeed())
		Eventually(open).Should(And(Not(BeNil()), HaveField("UID", Not(Equal(second.UID))), HaveField("Name", second.Name)))
	})

	It("is not opened under a name that another has", func(ctx SpecContext) {
		taken := &v1alpha1.Problem{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: practice.Name("checkout", v1alpha1.SignalOOMKilled, "f7", 1)},
			Spec:       v1alpha1.ProblemSpec{Statement: "something else"},
		}
		Expect(env.Admin().Create(ctx, taken)).To(Succeed())
		for i := range 3 {
			incident(ctx, fmt.Sprintf("taken-%d", i), "f7", now.Now().Add(-time.Duration(3-i)*time.Hour), time.Minute)
		}
		Eventually(func() []v1alpha1.Problem { return problems(ctx) }).Should(ContainElement(And(
			HaveField("Spec.Fingerprint", "f7"), HaveField("Name", practice.Name("checkout", v1alpha1.SignalOOMKilled, "f7", 2)))))
	})

	It("is opened after a major Incident, when that is resolved", func(ctx SpecContext) {
		about := func() []v1alpha1.Problem {
			return slices.DeleteFunc(problems(ctx), func(p v1alpha1.Problem) bool { return p.Spec.Fingerprint != "f8" })
		}
		i := incident(ctx, "major", "f8", now.Now().Add(-time.Hour), time.Minute)
		Consistently(about, time.Second).Should(BeEmpty())
		before := i.DeepCopy()
		i.Spec.Major = true
		Expect(env.Admin().Patch(ctx, i, client.MergeFrom(before))).To(Succeed())
		Eventually(about).Should(ConsistOf(HaveField("Spec.Statement", "checkout: OOMKilled after major Incident major")))
	})

	It("says of a second one about the same failures that somebody opens which is the older", func(ctx SpecContext) {
		opens := func(name string) *v1alpha1.Problem {
			GinkgoHelper()
			p := &v1alpha1.Problem{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.ProblemSpec{Statement: name, Fingerprint: "f9"},
			}
			Expect(env.Admin().Create(ctx, p)).To(Succeed())
			return p
		}
		steps := func(name string) func() (string, error) {
			return func() (string, error) {
				p := &v1alpha1.Problem{}
				err := env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, p)
				return p.Status.NextStep, err
			}
		}
		first := opens("a-first")
		opens("b-second")
		Eventually(steps("b-second")).Should(And(ContainSubstring("Problem a-first is about the same failures and older"), ContainSubstring("--of a-first")))
		Eventually(steps("a-first")).Should(ContainSubstring("kubectl itil problem confirm"))
		for i := range 3 {
			incident(ctx, fmt.Sprintf("second-%d", i), "f9", now.Now().Add(-time.Duration(3-i)*time.Hour), time.Minute)
		}
		Consistently(func() int {
			return len(slices.DeleteFunc(problems(ctx), func(p v1alpha1.Problem) bool { return p.Spec.Fingerprint != "f9" }))
		}, time.Second).Should(Equal(2), "the operator opens none beside them")
		Expect(env.Admin().Delete(ctx, first)).To(Succeed())
		Eventually(steps("b-second")).Should(ContainSubstring("kubectl itil problem confirm"))
	})

	It("no longer shows a Change that is taken away, and keeps what a Change came to whose record is gone", func(ctx SpecContext) {
		p := &v1alpha1.Problem{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "changes"},
			Spec: v1alpha1.ProblemSpec{
				Statement: "leaks", Owner: "bob", Confirmed: true, RootCause: "a cache without a bound",
				ChangeRefs: []v1alpha1.LocalReference{{Name: "kept"}, {Name: "taken"}},
			},
		}
		Expect(env.Admin().Create(ctx, p)).To(Succeed())
		closed := metav1.NewTime(now.Now())
		for name, outcome := range map[string]v1alpha1.Outcome{"kept": v1alpha1.OutcomeSuccessful, "taken": v1alpha1.OutcomeRolledBack} {
			c := &v1alpha1.Change{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
				Spec: v1alpha1.ChangeSpec{
					Summary: "bound the cache", Requester: "bob",
					Targets: []v1alpha1.ChangeTarget{{
						Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
						Images:   map[string]v1alpha1.Image{"app": "registry.shop.example/checkout:2.4"},
					}},
				},
			}
			Expect(env.Admin().Create(ctx, c)).To(Succeed())
			c.Status.State, c.Status.Outcome, c.Status.ClosedAt = v1alpha1.ChangeClosed, outcome, &closed
			Expect(env.Admin().Status().Update(ctx, c)).To(Succeed())
		}
		shown := func() map[string]v1alpha1.ProblemChangeState {
			GinkgoHelper()
			live := &v1alpha1.Problem{}
			Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(p), live)).To(Succeed())
			all := map[string]v1alpha1.ProblemChangeState{}
			for _, c := range live.Status.Changes {
				all[string(c.Name)] = c.State
			}
			return all
		}
		Eventually(shown).Should(Equal(map[string]v1alpha1.ProblemChangeState{"kept": v1alpha1.ProblemChangeSucceeded, "taken": v1alpha1.ProblemChangeFailed}))
		before := p.DeepCopy()
		p.Spec.ChangeRefs = p.Spec.ChangeRefs[:1]
		Expect(env.Admin().Patch(ctx, p, client.MergeFrom(before))).To(Succeed())
		only := map[string]v1alpha1.ProblemChangeState{"kept": v1alpha1.ProblemChangeSucceeded}
		Eventually(shown).Should(Equal(only))
		Expect(env.Admin().Delete(ctx, &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kept"}})).To(Succeed())
		Consistently(shown, time.Second).Should(Equal(only))
	})

	It("moves its Incidents to the Problem that it duplicates, and back when that one is deleted", func(ctx SpecContext) {
		for i, name := range []string{"original", "copy"} {
			Expect(env.Admin().Create(ctx, &v1alpha1.Problem{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
				Spec:       v1alpha1.ProblemSpec{Statement: name, Fingerprint: fmt.Sprintf("f%d", 20+i)},
			})).To(Succeed())
		}
		incident(ctx, "of-the-copy", "f21", now.Now().Add(-2*time.Hour), time.Minute)
		get := func(name string) *v1alpha1.Problem {
			p := &v1alpha1.Problem{}
			Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, p)).To(Succeed())
			return p
		}
		total := func(name string) func() int32 {
			return func() int32 {
				if i := get(name).Status.Incidents; i != nil {
					return i.Total
				}
				return -1
			}
		}
		Eventually(total("copy")).Should(BeEquivalentTo(1))
		before := get("copy")
		after := before.DeepCopy()
		after.Spec.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionDuplicate, DuplicateOf: &v1alpha1.LocalReference{Name: "original"}}
		Expect(env.Admin().Patch(ctx, after, client.MergeFrom(before))).To(Succeed())
		Eventually(total("original")).Should(BeEquivalentTo(1))
		Eventually(total("copy")).Should(BeEquivalentTo(0))
		Expect(get("copy").Status.State).To(Equal(v1alpha1.ProblemClosed))
		incident(ctx, "of-the-copy-2", "f21", now.Now().Add(-time.Hour), time.Minute)
		Eventually(total("original")).Should(BeEquivalentTo(2))
		Expect(env.Admin().Delete(ctx, get("original"))).To(Succeed())
		Eventually(total("copy")).Should(BeEquivalentTo(2))
	})
})

// touch causes an event, as the wake-up does whose time the test does not wait for.
func touch(ctx context.Context, p *v1alpha1.Problem) {
	GinkgoHelper()
	after := p.DeepCopy()
	after.Spec.Statement += "."
	Expect(env.Admin().Patch(ctx, after, client.MergeFrom(p))).To(Succeed())
}
