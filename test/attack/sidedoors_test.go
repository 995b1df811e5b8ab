package attack

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

// What is not refused is told, with the name of who did it.
var _ = Describe("Side doors", func() {
	var s *scene
	var pod *corev1.Pod
	BeforeEach(func(ctx SpecContext) {
		s = newScene(ctx)
		env.Grant(GinkgoTB(), s.namespace, apiserver.User("eddie"),
			apiserver.Allow("", "pods/ephemeralcontainers", "patch", "update"), apiserver.Allow("", "pods/resize", "patch", "update"))
		pod = s.twin("Pod", ownedBy(s.checkout, "ReplicaSet"), func(o client.Object) {
			_, p := template(o)
			p.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m")}
		}).(*corev1.Pod)
		Expect(env.Client(GinkgoTB(), replicaSetController).Create(ctx, pod)).To(Succeed())
	})
	// told asks again, since the API server may learn of the namespace later than that it is gated.
	told := func(what v1alpha1.SideDoorKind, detail string, do func() error) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			g.Expect(do()).To(Succeed())
			g.Expect(operator.doors(s.namespace)).To(ContainElement(And(
				HaveField("What", what), HaveField("By", "eddie"), HaveField("Detail", ContainSubstring(detail)),
				HaveField("Workloads", ContainElement(keyOf(s.checkout))))))
		}).Should(Succeed())
	}

	It("tells of an ephemeral container", func(ctx SpecContext) {
		n := 0
		told(v1alpha1.SideDoorEphemeralContainer, evilImage, func() error {
			n++
			live := &corev1.Pod{}
			if err := env.Admin().Get(ctx, client.ObjectKeyFromObject(pod), live); err != nil {
				return err
			}
			live.Spec.EphemeralContainers = append(live.Spec.EphemeralContainers, corev1.EphemeralContainer{
				EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug-" + string(rune('a'+n)), Image: evilImage, ImagePullPolicy: corev1.PullIfNotPresent,
					TerminationMessagePolicy: corev1.TerminationMessageReadFile},
			})
			return s.eddie.SubResource("ephemeralcontainers").Update(ctx, live)
		})
	})
	It("tells of a resize", func(ctx SpecContext) {
		n := int64(0)
		told(v1alpha1.SideDoorResize, "resources of container app", func() error {
			n++
			live := &corev1.Pod{}
			if err := env.Admin().Get(ctx, client.ObjectKeyFromObject(pod), live); err != nil {
				return err
			}
			live.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(100*n, resource.DecimalSI)}
			return s.eddie.SubResource("resize").Update(ctx, live)
		})
	})
	It("tells of a running Pod that is relabelled to pass for one of a governed workload's, which is not refused", func(ctx SpecContext) {
		n := 0
		told(v1alpha1.SideDoorRelabel, evilImage, func() error {
			n++
			stray := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "stray-", Namespace: s.namespace, Labels: map[string]string{"app": "other"}}}
			stray.Spec.Containers = []corev1.Container{{Name: "app", Image: evilImage}}
			if err := s.eddie.Create(ctx, stray); err != nil {
				return err
			}
			return s.eddie.Patch(ctx, stray, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"app":"checkout"}}}`)))
		})
		By("saying nothing of other labels, nor of what the controllers do")
		before := len(operator.doors(s.namespace))
		label := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"seen":"true"}}}`))
		Expect(s.eddie.Patch(ctx, pod.DeepCopy(), label)).To(Succeed())
		Expect(operator.doors(s.namespace)).To(HaveLen(before))
	})
	It("tells of a Pod that was given its image while its labels were off", func(ctx SpecContext) {
		strategic := func(patch string) client.Patch {
			return client.RawPatch("application/strategic-merge-patch+json", []byte(patch))
		}
		told(v1alpha1.SideDoorRelabel, evilImage, func() error {
			own := s.twin("Pod", func(o client.Object) { o.SetName(""); o.SetGenerateName("own-") })
			if err := s.eddie.Create(ctx, own); err != nil {
				return err
			}
			expectDenied(s.eddie.Patch(ctx, own.DeepCopyObject().(client.Object), strategic(`{"spec":{"containers":[{"name":"app","image":"`+evilImage+`"}]}}`)))
			off := `{"metadata":{"labels":{"app":null}},"spec":{"containers":[{"name":"app","image":"` + evilImage + `"}]}}`
			if err := s.eddie.Patch(ctx, own, strategic(off)); err != nil {
				return err
			}
			return s.eddie.Patch(ctx, own, strategic(`{"metadata":{"labels":{"app":"checkout"}}}`))
		})
	})
	It("tells of what a relabelled Pod of the agreed image mounts, or was given while it was nobody's", func(ctx SpecContext) {
		own := func(besides func(*corev1.PodSpec)) (*corev1.Pod, error) {
			stray := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "stray-", Namespace: s.namespace, Labels: map[string]string{"app": "other"}}}
			stray.Spec.Containers = []corev1.Container{{Name: "app", Image: agreedImage}}
			besides(&stray.Spec)
			return stray, s.eddie.Create(ctx, stray)
		}
		label := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"app":"checkout"}}}`))
		told(v1alpha1.SideDoorRelabel, "runs volumes[tools]="+evilImage, func() error {
			stray, err := own(func(p *corev1.PodSpec) {
				p.Volumes = []corev1.Volume{{Name: "tools", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: evilImage}}}}
				p.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "tools", MountPath: "/tools"}}
				p.Containers[0].Command = []string{"/tools/miner"}
			})
			if err != nil {
				return err
			}
			return s.eddie.Patch(ctx, stray, label)
		})
		told(v1alpha1.SideDoorRelabel, "runs debug="+evilImage, func() error {
			stray, err := own(func(*corev1.PodSpec) {})
			if err != nil {
				return err
			}
			stray.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: "debug", Image: evilImage, ImagePullPolicy: corev1.PullIfNotPresent, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			}}}
			if err := s.eddie.SubResource("ephemeralcontainers").Update(ctx, stray); err != nil {
				return err
			}
			return s.eddie.Patch(ctx, stray, label)
		})
	})
	It("cannot bring in a relabelled Pod under AllWorkloads: it is refused when it is made", func(ctx SpecContext) {
		policy := &v1alpha1.ChangePolicy{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Name: "of-" + s.namespace}, policy)).To(Succeed())
		policy.Spec.Scope = v1alpha1.ScopeAllWorkloads
		Expect(env.Admin().Update(ctx, policy)).To(Succeed())
		stray := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "stray-", Namespace: s.namespace, Labels: map[string]string{"app": "other"}}}
		stray.Spec.Containers = []corev1.Container{{Name: "app", Image: evilImage}}
		Eventually(func() error { return s.eddie.Create(ctx, stray.DeepCopy()) }).Should(MatchError(ContainSubstring("denied the request")))
		expectDenied(s.eddie.Create(ctx, stray.DeepCopy()))
	})
	It("stand open where the operator is gone, as webhooks that refuse nothing must", Serial, func(ctx SpecContext) {
		operator.down.Store(true)
		defer operator.down.Store(false)
		live := &corev1.Pod{}
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(pod), live)).To(Succeed())
		live.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
		Expect(s.eddie.SubResource("resize").Update(ctx, live)).To(Succeed())
	})
})
