package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// normalLife is what Kubernetes does all day long, and nobody wants to be paged for.
func normalLife() {
	var namespace string
	const name = "web"

	kubectl := func(ctx context.Context, args ...string) {
		_, err := env.kubectl(ctx, admin, append([]string{"-n", namespace}, args...)...)
		ExpectWithOffset(1, err).NotTo(HaveOccurred())
	}
	ready := func(ctx context.Context) {
		Eventually(ctx, func(g Gomega) {
			d := &appsv1.Deployment{}
			g.Expect(env.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, d)).To(Succeed())
			g.Expect(d.Status.ObservedGeneration).To(Equal(d.Generation))
			g.Expect(d.Status.UpdatedReplicas).To(Equal(*d.Spec.Replicas))
			g.Expect(d.Status.ReadyReplicas).To(Equal(*d.Spec.Replicas))
			g.Expect(d.Status.Replicas).To(Equal(*d.Spec.Replicas))
		}).WithTimeout(2 * time.Minute).Should(Succeed())
	}

	BeforeAll(func(ctx SpecContext) {
		namespace = env.namespace(ctx, "life", nil)
		Expect(env.admin.Create(ctx, builder.MakeDeployment(namespace, name).Replicas(6).Obj())).To(Succeed())
		ready(ctx) // or the Service would first be out for a minute
		Expect(env.admin.Create(ctx, builder.MakeService(namespace, name).Tier(1).Claim(v1alpha1.WorkloadDeployment, name).Obj())).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("rolls out, back and again", func(ctx SpecContext) {
		kubectl(ctx, "set", "image", "deployment/"+name, "app=registry.shop.example/web:1.1")
		ready(ctx)
		kubectl(ctx, "rollout", "undo", "deployment/"+name)
		ready(ctx)
		kubectl(ctx, "rollout", "restart", "deployment/"+name)
		ready(ctx)
	}, SpecTimeout(5*time.Minute))

	It("is scaled down and up", func(ctx SpecContext) {
		kubectl(ctx, "scale", "deployment/"+name, "--replicas=1")
		ready(ctx)
		kubectl(ctx, "scale", "deployment/"+name, "--replicas=6")
		ready(ctx)
	}, SpecTimeout(5*time.Minute))

	It("is moved by a drain", func(ctx SpecContext) {
		pods := &corev1.PodList{}
		Expect(env.admin.List(ctx, pods, client.InNamespace(namespace))).To(Succeed())
		node := pods.Items[0].Spec.NodeName
		DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "uncordon", node) }, NodeTimeout(2*time.Minute))
		kubectl(ctx, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")
		ready(ctx)
	}, SpecTimeout(5*time.Minute))

	It("loses a pod, and a container once", func(ctx SpecContext) {
		pods := &corev1.PodList{}
		Expect(env.admin.List(ctx, pods, client.InNamespace(namespace))).To(Succeed())
		Expect(env.admin.Delete(ctx, &pods.Items[0])).To(Succeed())
		crashing := client.ObjectKeyFromObject(&pods.Items[1])
		kubectl(ctx, "annotate", "pod", crashing.Name, behaviour+"=crashloop")
		restarts := func(g Gomega) int32 {
			pod := &corev1.Pod{}
			g.Expect(env.admin.Get(ctx, crashing, pod)).To(Succeed())
			g.Expect(pod.Status.ContainerStatuses).To(HaveLen(1))
			return pod.Status.ContainerStatuses[0].RestartCount
		}
		Eventually(ctx, restarts).WithPolling(100 * time.Millisecond).Should(BeNumerically(">=", 1))
		// Three restarts would be a loop; kubectl takes seconds on a slow machine.
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: crashing.Namespace, Name: crashing.Name}}
		Expect(env.admin.Patch(ctx, pod, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null}}}`, behaviour)))).To(Succeed())
		ready(ctx)
		Expect(restarts(Default)).To(BeNumerically("<=", 2))
	}, SpecTimeout(5*time.Minute))

	It("runs a Job", func(ctx SpecContext) {
		Expect(env.admin.Create(ctx, failingJob(namespace, "report", ""))).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			job := &batchv1.Job{}
			g.Expect(env.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "report"}, job)).To(Succeed())
			g.Expect(job.Status.Succeeded).To(BeEquivalentTo(1))
		}).Should(Succeed())
	}, SpecTimeout(4*time.Minute))

	It("opens no Incident for any of it", func(ctx SpecContext) {
		Consistently(ctx, func(g Gomega) {
			g.Expect(incidentsOf(ctx, g, namespace)).To(BeEmpty())
		}).WithTimeout(2 * stays).Should(Succeed())
		Eventually(ctx, func(g Gomega) {
			service := &v1alpha1.Service{}
			g.Expect(env.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, service)).To(Succeed())
			g.Expect(service.Status.Health).To(Equal(v1alpha1.HealthOperational))
			g.Expect(service.Status.Ready).To(Equal("6/6"))
		}).Should(Succeed())
	}, SpecTimeout(4*time.Minute))
}
