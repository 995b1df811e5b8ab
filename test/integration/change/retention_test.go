package change_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const day = 24 * time.Hour

// retire reconciles as the retention's controller does, and returns what it logged.
func (s *shop) retire(ctx SpecContext, name string) (lines []string, result ctrl.Result) {
	GinkgoHelper()
	var out bytes.Buffer
	result, err := s.retirer.Reconcile(log.IntoContext(ctx, zap.New(zap.WriteTo(&out))), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: s.namespace, Name: name}})
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(out.String()) {
		lines = append(lines, line)
	}
	return lines, result
}

func (s *shop) exists(ctx context.Context, name string) bool {
	GinkgoHelper()
	err := env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, &v1alpha1.Change{})
	Expect(client.IgnoreNotFound(err)).To(Succeed())
	return err == nil
}

// canceled is a Change that ended.
func (s *shop) canceled(ctx SpecContext, name string) {
	GinkgoHelper()
	s.create(ctx, builder.MakeChange(s.namespace, name).Target(v1alpha1.WorkloadDeployment, "checkout", v24).Obj())
	s.reconcile(ctx, name)
	s.edit(ctx, name, func(spec *v1alpha1.ChangeSpec) { spec.Cancel = true })
}

func (s *shop) later(d time.Duration) { s.clock.SetTime(s.clock.Now().Add(d)) }

// baselineFrom dates the newest baseline.
func (s *shop) baselineFrom(ctx SpecContext, d time.Duration) {
	GinkgoHelper()
	item := builder.ConfigurationItem(s.namespace, v1alpha1.WorkloadDeployment, "checkout")
	Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(item), item)).To(Succeed())
	from := metav1.NewTime(s.clock.Now().Add(d).Truncate(time.Second))
	item.Status.Baselines[0].From = from
	Expect(env.Admin().Status().Update(ctx, item)).To(Succeed())
	Eventually(func() bool { return s.inventory.Baselines(s.key())[0].From.Equal(&from) }).Should(BeTrue())
}

var _ = Describe("a Change that ended", func() {
	It("is logged and deleted after its retention time, with its votes", func(ctx SpecContext) {
		s := open(ctx)
		s.ask(ctx, nil)
		s.vote(ctx, "carol", "checkout-2-4", "carol", v1alpha1.DecisionApprove)
		lines, _ := s.retire(ctx, "checkout-2-4")
		Expect(lines).To(BeEmpty(), "it has not ended")
		s.later(2 * day)
		c := s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeClosed))
		_, result := s.retire(ctx, "checkout-2-4")
		Expect(result.RequeueAfter).To(Equal(90 * day))
		Expect(s.exists(ctx, "checkout-2-4")).To(BeTrue())

		s.later(90 * day)
		lines, result = s.retire(ctx, "checkout-2-4")
		Expect(result.RequeueAfter).To(BeZero())
		Expect(s.exists(ctx, "checkout-2-4")).To(BeFalse())
		Expect(lines).To(HaveLen(1))
		var line struct {
			Record struct {
				Name   string
				Spec   v1alpha1.ChangeSpec
				Status v1alpha1.ChangeStatus
			}
		}
		Expect(json.Unmarshal([]byte(lines[0]), &line)).To(Succeed())
		Expect(line.Record.Name).To(Equal("checkout-2-4"))
		Expect(line.Record.Status.Outcome).To(Equal(v1alpha1.OutcomeNotImplemented))
		Expect(line.Record.Spec.Requester).NotTo(BeEmpty())
		votes := &v1alpha1.ChangeApprovalList{}
		Expect(env.Admin().List(ctx, votes, client.InNamespace(s.namespace))).To(Succeed())
		Expect(votes.Items).To(BeEmpty())
		Expect(s.gate(v23).Verdict).To(Equal(practice.Unchanged))
	})

	It("is kept while a baseline came in by it, and what is proven stays proven", func(ctx SpecContext) {
		s := open(ctx)
		s.goesIn(ctx)
		s.reconcile(ctx, "checkout-2-4")
		s.later(2 * time.Hour)
		Expect(s.reconcile(ctx, "checkout-2-4").Status.State).To(Equal(v1alpha1.ChangeClosed))
		s.later(100 * day)
		lines, result := s.retire(ctx, "checkout-2-4")
		Expect(lines).To(BeEmpty())
		Expect(result.RequeueAfter).To(Equal(day))
		Expect(s.exists(ctx, "checkout-2-4")).To(BeTrue())
	})

	DescribeTable("is kept while something refers to it", func(ctx SpecContext, referrer func(s *shop) client.Object) {
		s := open(ctx)
		s.canceled(ctx, "checkout-2-4")
		obj := referrer(s)
		s.create(ctx, obj)
		Eventually(func() error { return s.cluster.GetClient().Get(ctx, client.ObjectKeyFromObject(obj), obj) }).Should(Succeed())
		s.later(100 * day)
		_, result := s.retire(ctx, "checkout-2-4")
		Expect(result.RequeueAfter).To(Equal(day))
		Expect(s.exists(ctx, "checkout-2-4")).To(BeTrue())
		Expect(env.Admin().Delete(ctx, obj)).To(Succeed())
		Eventually(func() error { return s.cluster.GetClient().Get(ctx, client.ObjectKeyFromObject(obj), obj) }).ShouldNot(Succeed())
		s.retire(ctx, "checkout-2-4")
		Expect(s.exists(ctx, "checkout-2-4")).To(BeFalse())
	},
		Entry("an Incident", func(s *shop) client.Object {
			i := &v1alpha1.Incident{Spec: v1alpha1.IncidentSpec{
				Title: "checkout is down", Source: v1alpha1.IncidentSourceDetector, ServiceRef: &v1alpha1.LocalReference{Name: "checkout"},
				ChangeRefs: []v1alpha1.LocalReference{{Name: "checkout-2-4"}},
			}}
			i.Namespace, i.Name = s.namespace, "down"
			return i
		}),
		Entry("a Problem", func(s *shop) client.Object {
			p := &v1alpha1.Problem{Spec: v1alpha1.ProblemSpec{
				Statement: "checkout goes down", ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}, ChangeRefs: []v1alpha1.LocalReference{{Name: "checkout-2-4"}},
			}}
			p.Namespace, p.Name = s.namespace, "down"
			return p
		}),
		Entry("a Release", func(s *shop) client.Object {
			r := &v1alpha1.Release{Spec: v1alpha1.ReleaseSpec{
				Version: "1", Requester: "alice", ServiceRefs: []v1alpha1.LocalReference{{Name: "checkout"}}, ChangeRef: &v1alpha1.LocalReference{Name: "checkout-2-4"},
				Units: []v1alpha1.ReleaseUnit{{
					Name: "checkout", Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}, Images: map[string]v1alpha1.Image{"app": v24},
				}},
				Phases: []v1alpha1.ReleasePhase{{Name: "full", Units: []string{"*"}}},
			}}
			r.Namespace, r.Name = s.namespace, "shop-1"
			return r
		}),
	)

	It("goes early where there are more of its workload than are kept", func(ctx SpecContext) {
		s := open(ctx)
		s.retirer.Retention.PerWorkload = 2
		for i := range 4 {
			s.canceled(ctx, fmt.Sprintf("c%d", i))
			s.later(time.Minute)
		}
		s.retire(ctx, "c3")
		for i, want := range []bool{false, false, true, true} {
			Expect(s.exists(ctx, fmt.Sprintf("c%d", i))).To(Equal(want), "c%d", i)
		}
	})

	It("is not filed again for having been deleted", func(ctx SpecContext) {
		s := open(ctx)
		d := s.gate(v24)
		s.filer.File(*d.File)
		Eventually(func() int { return len(s.all(ctx)) }).Should(Equal(1))
		s.reconcile(ctx, d.Change)
		s.vote(ctx, "dave", d.Change, "dave", v1alpha1.DecisionReject)
		s.baselineFrom(ctx, -time.Hour)
		s.later(100 * day)
		s.retire(ctx, d.Change)
		Expect(s.exists(ctx, d.Change)).To(BeTrue(), "a retry would have it filed again")
		Expect(s.gate(v24).File).To(BeNil())

		By("going once something else went in")
		s.baselineFrom(ctx, 0)
		s.retire(ctx, d.Change)
		Expect(s.exists(ctx, d.Change)).To(BeFalse())
	})
})
