package change_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/change"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func (s *shop) deployment(ctx SpecContext) *appsv1.Deployment {
	GinkgoHelper()
	return read(ctx, s, "checkout", &appsv1.Deployment{})
}

// revision keeps the present template, as the Deployment's controller does.
func (s *shop) revision(ctx SpecContext, name, number string) {
	GinkgoHelper()
	d := s.deployment(ctx)
	rs := builder.ReplicaSet(s.namespace, name)
	rs.Spec.Template = d.Spec.Template
	rs.Spec.Template.Labels = map[string]string{"app": "checkout", "pod-template-hash": name}
	rs.Spec.Selector = &metav1.LabelSelector{MatchLabels: rs.Spec.Template.Labels}
	rs.Labels = rs.Spec.Template.Labels
	rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": number}
	rs.OwnerReferences = []metav1.OwnerReference{builder.Controller(appsv1.SchemeGroupVersion.WithKind("Deployment"), d.Name, d.UID)}
	s.create(ctx, rs)
}

// stuck reports that the rollout makes no progress.
func (s *shop) stuck(ctx SpecContext) {
	GinkgoHelper()
	d := s.deployment(ctx)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 3, UpdatedReplicas: 1, ReadyReplicas: 2, AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentProgressing, Status: "False", Reason: "ProgressDeadlineExceeded"},
	}}
	Expect(env.Admin().Status().Update(ctx, d)).To(Succeed())
	Eventually(func() bool {
		w, exists := s.inventory.Workload(s.key())
		return exists && w.Conditions["Progressing"].Status == "False"
	}).Should(BeTrue())
}

// failing is a Change with automatic backout whose rollout makes no progress.
func (s *shop) failing(ctx SpecContext) {
	GinkgoHelper()
	s.revision(ctx, "checkout-1", "1")
	s.ask(ctx, func(spec *v1alpha1.ChangeSpec) { spec.Backout = &v1alpha1.Backout{Automatic: true} })
	s.vote(ctx, "carol", "checkout-2-4", "carol", v1alpha1.DecisionApprove)
	s.deploy(ctx, v24)
	s.revision(ctx, "checkout-2", "2")
	s.baseline(ctx, v24, v1alpha1.BaselineChange, "checkout-2-4", "alice")
	s.stuck(ctx)
}

// mortal is a client that dies after so many writes: the write is done, and nobody hears of it.
type mortal struct {
	left   int
	writes []string
}

var errDied = errors.New("died")

func (m *mortal) wrote(what string, err error) error {
	if err != nil {
		return err
	}
	m.writes = append(m.writes, what)
	if m.left--; m.left == 0 {
		return errDied
	}
	return nil
}

func (m *mortal) client(c client.WithWatch) client.Client {
	return interceptor.NewClient(c, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch, opts ...client.PatchOption) error {
			return m.wrote(fmt.Sprintf("%T", obj), c.Patch(ctx, obj, p, opts...))
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return m.wrote(fmt.Sprintf("%T/%s", obj, sub), c.SubResource(sub).Patch(ctx, obj, p, opts...))
		},
	})
}

// backOut reconciles until nothing is left to do, with an operator that dies after so many writes and is started again.
func (s *shop) backOut(ctx SpecContext, diesAfter int) (c *v1alpha1.Change, templates int) {
	GinkgoHelper()
	key := client.ObjectKey{Namespace: s.namespace, Name: "checkout-2-4"}
	m := &mortal{left: diesAfter}
	reader := s.cluster.GetClient()
	start := func() {
		writer := m.client(env.Admin())
		s.changes = &change.Reconciler{
			Client: split{reader, writer}, Inventory: s.inventory, Clock: s.clock, Recorder: s.recorder,
			Restorer: &backout.Restorer{Reader: env.Admin(), Client: writer},
		}
	}
	start()
	live := &v1alpha1.Change{}
	quiet := 0
	for range 40 {
		live.Namespace, live.Name = key.Namespace, key.Name
		s.known(ctx, live)
		before := len(m.writes)
		result, err := s.changes.Reconcile(ctx, ctrl.Request{NamespacedName: key})
		switch {
		case errors.Is(err, errDied):
			start()
		default:
			Expect(err).NotTo(HaveOccurred())
		}
		if result.RequeueAfter > 0 && result.RequeueAfter < time.Minute {
			s.clock.SetTime(s.clock.Now().Add(result.RequeueAfter))
		}
		if quiet++; len(m.writes) > before {
			quiet = 0
		}
		if quiet == 3 {
			break
		}
	}
	Expect(env.Admin().Get(ctx, key, live)).To(Succeed())
	for _, w := range m.writes {
		if w == "*unstructured.Unstructured" {
			templates++
		}
	}
	return live, templates
}

// split reads here and writes there.
type split struct {
	client.Client
	writer client.Client
}

func (s split) Patch(ctx context.Context, obj client.Object, p client.Patch, opts ...client.PatchOption) error {
	return s.writer.Patch(ctx, obj, p, opts...)
}

func (s split) Status() client.SubResourceWriter { return s.writer.Status() }

var _ = Describe("a Change with automatic backout", func() {
	DescribeTable("goes back once, whenever the operator dies", func(ctx SpecContext, diesAfter int) {
		s := open(ctx)
		s.failing(ctx)
		c, templates := s.backOut(ctx, diesAfter)
		Expect(templates).To(Equal(1))
		Expect(s.deployment(ctx).Spec.Template.Spec.Containers[0].Image).To(Equal(v23))
		Expect(c.Status.Outcome).To(Equal(v1alpha1.OutcomeRolledBack), c.Status.NextStep)
		Expect(c.Status.State).To(Equal(v1alpha1.ChangeReview))
		Expect(c.Status.Backout.Targets).To(HaveLen(1))
		Expect(c.Status.Backout.Targets[0].State).To(Equal(v1alpha1.ChangeBackoutRestored))

		By("being ready with what it had before")
		s.baseline(ctx, v23, v1alpha1.BaselineRollback, "checkout-2-4", "system:serviceaccount:itil-system:itil-operator")
		s.rolledOut(ctx)
		c, templates = s.backOut(ctx, 0)
		Expect(templates).To(BeZero())
		Expect(c.Status.Backout.Targets[0].State).To(Equal(v1alpha1.ChangeBackoutVerified))
		Expect(c.Status.Implementations[0].Rollout).To(Equal(v1alpha1.RolloutRolledBack))

		By("leaving alone what somebody puts in afterwards")
		s.deploy(ctx, v24)
		s.baseline(ctx, v24, v1alpha1.BaselineUnauthorized, "", "argocd-controller")
		s.stuck(ctx)
		_, templates = s.backOut(ctx, 0)
		Expect(templates).To(BeZero())
	},
		Entry("never", 0), Entry("after the 1st write", 1), Entry("after the 2nd", 2), Entry("after the 3rd", 3),
		Entry("after the 4th", 4), Entry("after the 5th", 5),
	)

	It("covers nothing any more before the first write", func(ctx SpecContext) {
		s := open(ctx)
		s.failing(ctx)
		Expect(s.gate(v24).Verdict).To(Equal(practice.Unchanged))
		c := s.reconcile(ctx, "checkout-2-4")
		Expect(c.Status.Backout.Targets[0].State).To(Equal(v1alpha1.ChangeBackoutPending))
		Expect(s.deployment(ctx).Spec.Template.Spec.Containers[0].Image).To(Equal(v24))
		Expect(s.requeued).To(BeNumerically("~", 3*time.Second, time.Second))
		known, _ := s.inventory.Change(client.ObjectKeyFromObject(c))
		Expect(known.Candidate.Ended).To(Equal(practice.EndedBackedOut))
	})

	It("says early that nothing is kept to go back to", func(ctx SpecContext) {
		s := open(ctx)
		c := s.ask(ctx, func(spec *v1alpha1.ChangeSpec) { spec.Backout = &v1alpha1.Backout{Automatic: true} })
		found := false
		for _, condition := range c.Status.Conditions {
			if condition.Type == v1alpha1.ConditionBackoutPossible {
				found = true
				Expect(condition.Status).To(Equal(metav1.ConditionFalse))
				Expect(condition.Reason).To(Equal("NoRevisions"))
			}
		}
		Expect(found).To(BeTrue())
	})
})
