package attack

import (
	"context"
	"path"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

// What somebody tries who has read every policy: to be taken for somebody else, or for something else.
var _ = Describe("Somebody with the role edit who knows what the gate looks at", func() {
	// stranger makes pods that are nobody's, of an image that nobody agreed to.
	stranger := func(s *scene, kind string, alter ...edit) client.Object {
		own := map[string]string{"x": "y"}
		return s.twin(kind, append([]edit{image(evilImage), func(o client.Object) {
			m, _ := template(o)
			m.Labels = own
			relabel(o, own)
		}}, alter...)...)
	}
	passForCheckout := func(o client.Object) {
		m, _ := template(o)
		m.Labels = map[string]string{"x": "y", "app": "checkout", "team": "payments"}
	}

	It("cannot have what is nobody's take the labels of what is governed", func(ctx SpecContext) {
		s := newScene(ctx)
		for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "CronJob"} {
			o := stranger(s, kind)
			Expect(s.eddie.Create(ctx, o)).To(Succeed(), kind)
			expectDenied(s.change(ctx, s.eddie, o, passForCheckout), evilImage)
			By(kind + ", by an image alone later")
			expectDenied(s.change(ctx, s.eddie, o, func(o client.Object) { passForCheckout(o); image("registry.evil.example/other:1")(o) }))
			Expect(s.eddie.Delete(ctx, o)).To(Succeed())
		}
		By("a Job, whose labels may change while it is suspended")
		job := stranger(s, "Job", func(o client.Object) { o.(*batchv1.Job).Spec.Suspend = new(true) })
		Expect(s.eddie.Create(ctx, job)).To(Succeed())
		err := s.change(ctx, s.eddie, job, func(o client.Object) {
			m, _ := template(o)
			m.Labels["app"], m.Labels["team"] = "checkout", "payments"
		})
		expectDenied(err, evilImage)
	})
	It("cannot have what is nobody's take the labels that controllers put on the pods of a Job", func(ctx SpecContext) {
		var migrate *batchv1.Job
		s := newScene(ctx, func(namespace string, d *appsv1.Deployment) []client.Object {
			pods := *d.Spec.Template.DeepCopy()
			pods.Labels, pods.Spec.RestartPolicy = map[string]string{"job": "migrate"}, corev1.RestartPolicyNever
			migrate = &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "migrate", Namespace: namespace}, Spec: batchv1.JobSpec{Template: pods}}
			return []client.Object{migrate}
		})
		s.agree(ctx, migrate)
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "migration", Namespace: s.namespace}}
		service.Spec.Owner.Team = "payments"
		service.Spec.Workloads = []v1alpha1.WorkloadClaim{{Kind: v1alpha1.WorkloadJob, Name: "migrate"}}
		Expect(env.Admin().Create(ctx, service)).To(Succeed())
		// By these the Job's controller adopts pods that have no other.
		passForRun := func(o client.Object) {
			m, _ := template(o)
			m.Labels = map[string]string{"x": "y", batchv1.ControllerUidLabel: string(migrate.UID), batchv1.JobNameLabel: "migrate"}
		}
		Eventually(func() int { return len(operator.inventory.Claimants(keyOf(migrate))) }).Should(Equal(1))
		for _, kind := range []string{"Deployment", "ReplicaSet", "ReplicationController"} {
			made := stranger(s, kind, passForRun)
			expectDenied(s.eddie.Create(ctx, made), evilImage)
			o := stranger(s, kind)
			Expect(s.eddie.Create(ctx, o)).To(Succeed(), kind)
			expectDenied(s.change(ctx, s.eddie, o, passForRun), evilImage)
		}
	})
	It("cannot let go a Job that was there before, suspended", func(ctx SpecContext) {
		var asleep *batchv1.Job
		s := newScene(ctx, func(namespace string, d *appsv1.Deployment) []client.Object {
			pods := *d.Spec.Template.DeepCopy()
			pods.Spec.RestartPolicy, pods.Spec.Containers[0].Image = corev1.RestartPolicyNever, evilImage
			asleep = &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "asleep", Namespace: namespace}, Spec: batchv1.JobSpec{Suspend: new(true), Template: pods}}
			return []client.Object{asleep}
		})
		awake := func(o client.Object) { o.(*batchv1.Job).Spec.Suspend = new(false) }
		expectDenied(s.change(ctx, s.eddie, asleep, awake), evilImage)
		expectDenied(s.change(ctx, s.eddie, asleep, func(o client.Object) {
			awake(o)
			_, p := template(o)
			p.NodeSelector = map[string]string{"here": "there"}
		}), evilImage)
	})
	It("is not taken for another by a field manager, a generated name or the mark of a static Pod", func(ctx SpecContext) {
		s := newScene(ctx)
		apply := []byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"checkout"},"spec":{"template":{"spec":{"containers":[{"name":"app","image":"` + evilImage + `"}]}}}}`)
		for _, manager := range []string{"itil-operator", "kube-controller-manager", "deployment-controller", "before-first-apply"} {
			expectDenied(s.eddie.Patch(ctx, s.checkout.DeepCopy(), client.RawPatch(types.ApplyPatchType, apply), client.ForceOwnership, client.FieldOwner(manager)))
		}
		By("creating by an apply, which is a patch")
		for kind, spec := range map[string]string{
			"v1/Pod":             `{"containers":[{"name":"app","image":"` + evilImage + `"}]}`,
			"apps/v1/Deployment": `{"selector":{"matchLabels":{"app":"checkout"}},"template":{"metadata":{"labels":{"app":"checkout"}},"spec":{"containers":[{"name":"app","image":"` + evilImage + `"}]}}}`,
		} {
			version, name := path.Dir(kind), path.Base(kind)
			made := s.twin(name, image(evilImage))
			body := `{"apiVersion":"` + version + `","kind":"` + name + `","metadata":{"name":"` + made.GetName() + `","labels":{"app":"checkout"}},"spec":` + spec + `}`
			expectDenied(s.eddie.Patch(ctx, made, client.RawPatch(types.ApplyPatchType, []byte(body)), client.FieldOwner("eddie")))
		}
		for _, kind := range makers {
			expectDenied(s.eddie.Create(ctx, s.twin(kind, image(evilImage), func(o client.Object) {
				o.SetName("")
				o.SetGenerateName("checkout-")
			})))
		}
		expectDenied(s.eddie.Create(ctx, s.twin("Pod", image(evilImage), func(o client.Object) {
			o.SetAnnotations(map[string]string{corev1.MirrorPodAnnotationKey: "0123456789abcdef", "kubernetes.io/config.source": "file"})
			_, p := template(o)
			p.NodeName = "node-1"
		})))
		expectDenied(s.eddie.Create(ctx, s.twin("Pod", image(evilImage), func(o client.Object) {
			_, p := template(o)
			p.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/later"}}
		})))
	})
	It("cannot have an autoscaler wake an earlier ReplicaSet", func(ctx SpecContext) {
		s := newScene(ctx)
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(autoscaler), "cluster-admin")
		earlier := s.twin("ReplicaSet", image(evilImage), replicas(0), ownedBy(s.checkout, "Deployment"))
		Expect(env.Client(GinkgoTB(), deploymentController).Create(ctx, earlier)).To(Succeed())
		hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "wake", Namespace: s.namespace}}
		hpa.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: earlier.GetName()}
		hpa.Spec.MaxReplicas = 3
		Expect(s.eddie.Create(ctx, hpa)).To(Succeed())
		scale := func(ctx context.Context) error {
			up := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":1}}`))
			return env.Client(GinkgoTB(), autoscaler).SubResource("scale").Patch(ctx, earlier.DeepCopyObject().(client.Object), up, client.DryRunAll)
		}
		Eventually(scale).WithContext(ctx).Should(refused("set spec.replicas of"))
	})
	It("may write nothing that controllers and the API server go by", func(ctx SpecContext) {
		s := newScene(ctx)
		for group, resources := range map[string][]string{
			"apps":                         {"controllerrevisions", "deployments/status", "replicasets/status", "statefulsets/status", "daemonsets/status"},
			"batch":                        {"jobs/status", "cronjobs/status"},
			"":                             {"pods/binding", "pods/status", "bindings", "namespaces", "namespaces/finalize", "nodes", "limitranges", "resourcequotas"},
			"admissionregistration.k8s.io": {"validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"},
			"rbac.authorization.k8s.io":    {"roles", "rolebindings"},
			"apiextensions.k8s.io":         {"customresourcedefinitions"},
		} {
			for _, resource := range resources {
				for _, verb := range []string{"create", "update", "patch", "delete"} {
					review := &authorizationv1.SelfSubjectAccessReview{}
					review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{Namespace: s.namespace, Group: group, Resource: resource, Verb: verb}
					Expect(s.eddie.Create(ctx, review)).To(Succeed())
					Expect(review.Status.Allowed).To(BeFalse(), "%s %s", verb, resource)
				}
			}
		}
	})
})
