package incidents_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// shop is a namespace with Deployments that tests make fail.
type shop struct {
	namespace string
	clock     *clocktesting.FakePassiveClock
}

func newShop() *shop {
	GinkgoHelper()
	return &shop{namespace: env.Namespace(GinkgoTB(), nil), clock: clocktesting.NewFakePassiveClock(time.Now().Truncate(time.Second))}
}

// deployment makes or updates one with so many replicas, of which so many are ready.
func (s *shop) deployment(ctx context.Context, name string, replicas, ready int32) {
	GinkgoHelper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
	if err := admin().Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
		d = builder.MakeDeployment(s.namespace, name).Replicas(replicas).Obj()
		d.UID, d.ResourceVersion, d.Generation = "", "", 0
		Expect(admin().Create(ctx, d)).To(Succeed())
	}
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: ready, AvailableReplicas: ready,
		Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable", Message: fmt.Sprintf("ReplicaSet %q is there.", name+"-5d4f"),
		}},
	}
	Expect(admin().Status().Update(ctx, d)).To(Succeed())
}

// pod makes or updates the nth pod of a Deployment: it crashes, or runs since now.
func (s *shop) pod(ctx context.Context, deployment string, n int, crashes bool) {
	GinkgoHelper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: fmt.Sprintf("%s-5d4f-%d", deployment, n)}}
	if err := admin().Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
		yes := true
		p.Labels = map[string]string{"app": deployment, incident.LabelTemplateHash: "5d4f"}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-5d4f", UID: types.UID("set-" + deployment), Controller: &yes}}
		p.Spec = corev1.PodSpec{NodeName: "node1", Containers: []corev1.Container{{Name: "app", Image: "app"}}}
		Expect(admin().Create(ctx, p)).To(Succeed())
	}
	now := metav1.NewTime(s.clock.Now())
	before := metav1.NewTime(s.clock.Now().Add(-time.Minute))
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &before, Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
	}, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "app", Ready: true, RestartCount: 4, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error", StartedAt: before, FinishedAt: before}},
	}}}
	if crashes {
		p.Status.Conditions[0].Status = corev1.ConditionFalse
		p.Status.ContainerStatuses[0].Ready = false
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	}
	Expect(admin().Status().Update(ctx, p)).To(Succeed())
}

func (s *shop) incident(ctx context.Context, g Gomega, deployment string) *v1alpha1.Incident {
	i := &v1alpha1.Incident{}
	key := configuration.Key{Group: "apps", Kind: "Deployment", Namespace: s.namespace, Name: deployment}
	g.Expect(admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: incident.Name(key, 1)}, i)).To(Succeed())
	return i
}

// becomes waits until something is so of the Incident.
func (s *shop) becomes(ctx context.Context, deployment string, matchers ...OmegaMatcher) {
	GinkgoHelper()
	Eventually(func(g Gomega) { g.Expect(s.incident(ctx, g, deployment)).To(And(matchers...)) }).WithContext(ctx).Should(Succeed())
}

// edit lets a person write the Incident, also while the operator does.
func (s *shop) edit(ctx context.Context, deployment, patch string) {
	GinkgoHelper()
	i := s.incident(ctx, Default, deployment)
	Expect(admin().Patch(ctx, i, client.RawPatch("application/merge-patch+json", []byte(patch)))).To(Succeed())
}

func state(s v1alpha1.IncidentState) OmegaMatcher { return HaveField("Status.State", s) }

var _ = Describe("The life of an Incident", func() {
	It("follows people, the clock and the workload", func(ctx SpecContext) {
		s := newShop()
		service := builder.MakeService(s.namespace, "checkout").Tier(2).Claim(v1alpha1.WorkloadDeployment, "web").Obj()
		service.UID, service.ResourceVersion, service.Generation = "", "", 0
		Expect(admin().Create(ctx, service)).To(Succeed())
		service.Status.Health = v1alpha1.HealthOutage
		Expect(admin().Status().Update(ctx, service)).To(Succeed())
		Expect(admin().Create(ctx, &v1alpha1.ServiceLevelAgreement{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "gold"},
			Spec: v1alpha1.ServiceLevelAgreementSpec{
				ServiceRef: v1alpha1.LocalReference{Name: "checkout"},
				Response:   &v1alpha1.PriorityTimes{P2: "1h"}, Resolution: &v1alpha1.PriorityTimes{P2: "8h"},
			},
		})).To(Succeed())
		start(s.namespace, s.clock)

		By("opening it with its priority and its clocks")
		s.deployment(ctx, "web", 1, 0)
		s.pod(ctx, "web", 0, true)
		due := metav1.NewTime(s.clock.Now().Add(8 * time.Hour))
		s.becomes(ctx, "web", state(v1alpha1.IncidentNew), HaveField("Status.Priority", v1alpha1.PriorityP2),
			HaveField("Status.Clocks.Resolution.DueAt.Time", BeTemporally("==", due.Time)),
			HaveField("Status.NextStep", ContainSubstring("kubectl -n "+s.namespace)))

		By("refusing a resolution while it fails")
		s.edit(ctx, "web", `{"spec":{"resolution":{"code":"NoFault"}}}`)
		s.becomes(ctx, "web", state(v1alpha1.IncidentNew), HaveField("Status.Conditions", ContainElement(And(
			HaveField("Type", v1alpha1.ConditionRecovered), HaveField("Message", ContainSubstring("NoFault does not resolve it"))))))
		s.edit(ctx, "web", `{"spec":{"resolution":null}}`)

		By("following an assignee and a hold")
		s.edit(ctx, "web", `{"spec":{"assignee":"alice"}}`)
		s.becomes(ctx, "web", state(v1alpha1.IncidentInProgress), HaveField("Status.Clocks.Response.State", v1alpha1.ClockMet))
		s.edit(ctx, "web", `{"spec":{"hold":{"reason":"AwaitingVendor"}}}`)
		s.becomes(ctx, "web", state(v1alpha1.IncidentOnHold))
		s.edit(ctx, "web", `{"spec":{"hold":null}}`)
		s.becomes(ctx, "web", state(v1alpha1.IncidentInProgress))

		By("resolving it when it stays well")
		s.pod(ctx, "web", 0, false)
		s.deployment(ctx, "web", 1, 1)
		// Since when it runs counts from the look that first saw it: time must go on after that one too.
		Eventually(func(g Gomega) {
			s.clock.SetTime(s.clock.Now().Add(time.Minute))
			s.nudge(ctx)
			g.Expect(s.incident(ctx, g, "web")).To(HaveField("Status.RecoveredAt", Not(BeNil())))
		}).WithContext(ctx).WithPolling(200 * time.Millisecond).Should(Succeed())
		s.clock.SetTime(s.clock.Now().Add(4 * time.Minute))
		s.edit(ctx, "web", `{"metadata":{"labels":{"test/touched":"1"}}}`)
		s.becomes(ctx, "web", state(v1alpha1.IncidentResolved), HaveField("Status.Resolution.Code", v1alpha1.ResolutionSelfRecovered))

		By("opening it again when it fails again")
		s.clock.SetTime(s.clock.Now().Add(4 * time.Minute))
		s.deployment(ctx, "web", 1, 0)
		s.pod(ctx, "web", 0, true)
		s.becomes(ctx, "web", state(v1alpha1.IncidentInProgress), HaveField("Status.Reopened", int32(1)))
	})

	It("takes at most three writes in a storm", func(ctx SpecContext) {
		s := newShop()
		const workloads, pods = 40, 4
		for n := range workloads {
			s.deployment(ctx, fmt.Sprint("w", n), pods, 0)
		}
		start(s.namespace, s.clock)
		seen, err := env.Admin().Watch(ctx, &v1alpha1.IncidentList{}, client.InNamespace(s.namespace))
		Expect(err).NotTo(HaveOccurred())
		defer seen.Stop()
		for n := range pods {
			for w := range workloads {
				s.pod(ctx, fmt.Sprint("w", w), n, true)
			}
		}
		versions, signals := map[string]int{}, map[string]int32{}
		Eventually(func() int {
			for {
				select {
				case e := <-seen.ResultChan():
					if i, ok := e.Object.(*v1alpha1.Incident); ok && e.Type != watch.Bookmark {
						versions[i.Name]++
						if i.Status.State != "" {
							signals[i.Name] = i.Status.Signals[0].AffectedPods
						}
					}
				default:
					return len(signals)
				}
			}
		}).Should(Equal(workloads))
		for name, n := range versions {
			Expect(n).To(BeNumerically("<=", 3), name)
		}
	}, SpecTimeout(2*time.Minute))
})

// nudge makes the detector look at all Deployments: its timers run by the real clock.
func (s *shop) nudge(ctx context.Context) {
	GinkgoHelper()
	list := &appsv1.DeploymentList{}
	Expect(admin().List(ctx, list, client.InNamespace(s.namespace))).To(Succeed())
	for i := range list.Items {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"test/touched":"%d"}}}`, s.clock.Now().Unix())
		Expect(admin().Patch(ctx, &list.Items[i], client.RawPatch("application/merge-patch+json", []byte(patch)))).To(Succeed())
	}
}
