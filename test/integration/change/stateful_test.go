package change_test

import (
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const (
	ledger13 = "registry.shop.example/ledger:1.3.0"
	ledger14 = "registry.shop.example/ledger:1.4.0"
)

// stateful is StatefulSet ledger of the shop, with what its controller would write.
type stateful struct {
	*shop
	key configuration.Key
}

func (s *shop) stateful(ctx SpecContext) *stateful {
	GinkgoHelper()
	l := &stateful{s, configuration.Key{Group: "apps", Kind: "StatefulSet", Namespace: s.namespace, Name: "ledger"}}
	s.create(ctx, builder.MakeService(s.namespace, "ledger").Tier(2).ClaimApp(v1alpha1.WorkloadStatefulSet, "ledger").Enforcement(v1alpha1.EnforcementEnforce).Obj())
	set, replicas := builder.StatefulSet(s.namespace, "ledger"), int32(3)
	set.Spec.Replicas = &replicas
	set.Spec.Template.Spec.Containers[0].Image = ledger13
	s.create(ctx, set)
	return l
}

func (l *stateful) live(ctx SpecContext) *appsv1.StatefulSet {
	GinkgoHelper()
	return read(ctx, l.shop, "ledger", &appsv1.StatefulSet{})
}

// counts are reported by its controller, which keeps a revision of its template.
func (l *stateful) counts(ctx SpecContext, updated, ready int32) {
	GinkgoHelper()
	set := l.live(ctx)
	set.Status = appsv1.StatefulSetStatus{ObservedGeneration: set.Generation, Replicas: 3, CurrentReplicas: 3 - updated, UpdatedReplicas: updated, ReadyReplicas: ready, AvailableReplicas: ready}
	Expect(env.Admin().Status().Update(ctx, set)).To(Succeed())
	Eventually(func(g Gomega) {
		w, exists := l.inventory.Workload(l.key)
		g.Expect(exists).To(BeTrue())
		g.Expect([]int32{w.Updated, w.Ready, int32(w.ObservedGeneration)}).To(Equal([]int32{updated, ready, int32(set.Generation)}))
	}).Should(Succeed())
}

func (l *stateful) revision(ctx SpecContext, number int64) {
	GinkgoHelper()
	set := l.live(ctx)
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&set.Spec.Template)
	Expect(err).NotTo(HaveOccurred())
	raw["$patch"] = "replace"
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"template": raw}})
	Expect(err).NotTo(HaveOccurred())
	l.create(ctx, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: l.namespace, Name: fmt.Sprintf("ledger-%d", number), Labels: set.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{builder.Controller(appsv1.SchemeGroupVersion.WithKind("StatefulSet"), set.Name, set.UID)},
		},
		Data: runtime.RawExtension{Raw: data}, Revision: number,
	})
}

// runs makes its present template the newest baseline.
func (l *stateful) runs(ctx SpecContext, source v1alpha1.BaselineSource, changeName string) {
	GinkgoHelper()
	image := l.live(ctx).Spec.Template.Spec.Containers[0].Image
	container := l.live(ctx).Spec.Template.Spec.Containers[0].Name
	var w *configuration.Workload
	Eventually(func() string {
		found, exists := l.inventory.Workload(l.key)
		if !exists {
			return ""
		}
		w = found
		return w.Template.Images[container]
	}).Should(Equal(image))
	item := builder.ConfigurationItem(l.namespace, v1alpha1.WorkloadStatefulSet, "ledger")
	if err := env.Admin().Get(ctx, client.ObjectKeyFromObject(item), item); err != nil {
		l.create(ctx, item)
	}
	item.Status.Baselines = append([]v1alpha1.Baseline{{
		TemplateHash: w.Template.Hash, ImagelessHash: w.Template.ImagelessHash, Images: w.Template.Images, Generation: w.Generation,
		Source: source, Change: changeName, From: metav1.NewTime(l.clock.Now().Truncate(time.Second)), Proven: changeName == "",
	}}, item.Status.Baselines...)
	Expect(env.Admin().Status().Update(ctx, item)).To(Succeed())
	Eventually(func() int { return len(l.inventory.Baselines(l.key)) }).Should(Equal(len(item.Status.Baselines)))
}

var _ = Describe("a Change of a StatefulSet with automatic backout", func() {
	It("goes back when its rollout makes no progress, and not before", func(ctx SpecContext) {
		s := open(ctx)
		l := s.stateful(ctx)
		l.counts(ctx, 3, 3)
		l.revision(ctx, 1)
		l.runs(ctx, v1alpha1.BaselineAdopted, "")
		container := l.live(ctx).Spec.Template.Spec.Containers[0].Name

		const name = "ledger-1-4"
		c := builder.MakeChange(s.namespace, name).Target(v1alpha1.WorkloadStatefulSet, "ledger", ledger14).Obj()
		c.Spec.Targets[0].Images = map[string]v1alpha1.Image{container: ledger14}
		c.Spec.Backout = &v1alpha1.Backout{Automatic: true}
		s.create(ctx, c)
		s.reconcile(ctx, name)
		s.vote(ctx, "carol", name, "carol", v1alpha1.DecisionApprove)
		set := l.live(ctx)
		set.Spec.Template.Spec.Containers[0].Image = ledger14
		Expect(env.Admin().Update(ctx, set)).To(Succeed())
		l.runs(ctx, v1alpha1.BaselineChange, name)
		l.revision(ctx, 2)

		step := func(after time.Duration) *v1alpha1.Change {
			GinkgoHelper()
			s.clock.SetTime(s.clock.Now().Add(after))
			return s.reconcile(ctx, name)
		}
		l.counts(ctx, 0, 3)
		Expect(step(0).Status.Implementations[0].Rollout).To(Equal(v1alpha1.RolloutInProgress))
		l.counts(ctx, 1, 2)
		c = step(9 * time.Minute)
		Expect(c.Status.Implementations[0].Progress.Updated).To(Equal(int32(1)))
		Expect(s.requeued).To(BeNumerically("~", 10*time.Minute, time.Second), "nothing tells that a StatefulSet stands still")
		Expect(step(9 * time.Minute).Status.Backout).To(BeNil())

		c = step(time.Minute)
		Expect(c.Status.Implementations[0].Rollout).To(Equal(v1alpha1.RolloutFailed))
		Expect(c.Status.Backout).NotTo(BeNil())
		Expect(c.Status.Backout.Reason).To(Equal(v1alpha1.ChangeBackoutRolloutFailed))
		Expect(l.live(ctx).Spec.Template.Spec.Containers[0].Image).To(Equal(ledger14), "coverage ends before the first write")
		c = step(3 * time.Second)
		Expect(l.live(ctx).Spec.Template.Spec.Containers[0].Image).To(Equal(ledger13))
		Expect(c.Status.Outcome).To(Equal(v1alpha1.OutcomeRolledBack))
	})
})
