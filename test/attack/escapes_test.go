package attack

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const autoscaler = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

// What an application team found when it tried to get an image to run that nobody agreed to, without leaving a record.
var _ = Describe("An application team that looks for a way around the gate", func() {
	It("cannot scale up a ReplicaSet of an earlier template, nor one that was there before", func(ctx SpecContext) {
		var asleep *corev1.ReplicationController
		s := newScene(ctx, func(namespace string, d *appsv1.Deployment) []client.Object {
			asleep = &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "asleep", Namespace: namespace}}
			asleep.Spec = corev1.ReplicationControllerSpec{Replicas: new(int32), Selector: map[string]string{"app": "checkout"}, Template: d.Spec.Template.DeepCopy()}
			asleep.Spec.Template.Spec.Containers[0].Image = evilImage
			return []client.Object{asleep}
		})
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(autoscaler), "cluster-admin")
		earlier := s.twin("ReplicaSet", image(evilImage), replicas(0), ownedBy(s.checkout, "Deployment"))
		controller := env.Client(GinkgoTB(), deploymentController)
		Expect(controller.Create(ctx, earlier)).To(Succeed())

		By("in its spec, alone and with other things")
		expectDenied(s.change(ctx, s.eddie, earlier, replicas(2)), evilImage)
		expectDenied(s.change(ctx, s.eddie, asleep, replicas(2)), evilImage)
		expectDenied(s.change(ctx, s.eddie, earlier, func(o client.Object) {
			replicas(1)(o)
			o.SetLabels(map[string]string{"let": "go"})
		}))
		By("through the subresource scale, which does not show the template")
		up := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":2}}`))
		for _, o := range []client.Object{earlier, asleep} {
			Eventually(func() error {
				return s.eddie.SubResource("scale").Patch(ctx, o.DeepCopyObject().(client.Object), up, client.DryRunAll)
			}).Should(refused("set spec.replicas of"))
			Expect(s.eddie.SubResource("scale").Patch(ctx, o.DeepCopyObject().(client.Object), up)).To(refused("set spec.replicas of"))
		}
		By("with the Deployment paused, or its ReplicaSet taken from it")
		Expect(s.attempt(ctx, func(o client.Object) { o.(*appsv1.Deployment).Spec.Paused = true })).To(Succeed())
		Expect(s.change(ctx, s.eddie, earlier, func(o client.Object) { o.SetLabels(nil); o.SetOwnerReferences(nil) })).To(Succeed())
		expectDenied(s.change(ctx, s.eddie, earlier, replicas(1)))

		By("leaving alone who may, and what is agreed")
		Expect(s.change(ctx, controller, earlier, replicas(2))).To(Succeed())
		Expect(env.Client(GinkgoTB(), autoscaler).SubResource("scale").Patch(ctx, earlier.DeepCopyObject().(client.Object), client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":3}}`)))).To(Succeed())
		s.unasked("scaling down", func() error { return s.change(ctx, s.eddie, earlier, replicas(0)) })
		Expect(s.eddie.SubResource("scale").Patch(ctx, s.checkout.DeepCopy(), up)).To(Succeed())
		agreed := s.twin("ReplicaSet", replicas(0), func(o client.Object) { o.SetName("agreed") })
		Expect(s.eddie.Create(ctx, agreed)).To(Succeed())
		Expect(s.change(ctx, s.eddie, agreed, replicas(2))).To(Succeed())
	})
	It("cannot let go a Job that was there before without parallelism", func(ctx SpecContext) {
		var asleep *batchv1.Job
		s := newScene(ctx, func(namespace string, d *appsv1.Deployment) []client.Object {
			pods := *d.Spec.Template.DeepCopy()
			pods.Spec.RestartPolicy, pods.Spec.Containers[0].Image = corev1.RestartPolicyNever, evilImage
			asleep = &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "asleep", Namespace: namespace}, Spec: batchv1.JobSpec{Parallelism: new(int32), Template: pods}}
			return []client.Object{asleep}
		})
		expectDenied(s.change(ctx, s.eddie, asleep, func(o client.Object) { o.(*batchv1.Job).Spec.Parallelism = ptr.To[int32](1) }), evilImage)
		Expect(s.change(ctx, s.eddie, asleep, func(o client.Object) { o.(*batchv1.Job).Spec.BackoffLimit = ptr.To[int32](1) })).To(Succeed())
	})
	It("cannot mount another image into a Pod that runs what is agreed, nor have a restart pull it again", func(ctx SpecContext) {
		s := newScene(ctx)
		mounts := func(o client.Object) {
			_, p := template(o)
			p.Volumes = []corev1.Volume{{Name: "tools", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: evilImage, PullPolicy: corev1.PullAlways}}}}
			p.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "tools", MountPath: "/tools"}}
			p.Containers[0].Command = []string{"/tools/miner"}
		}
		Expect(s.eddie.Create(ctx, s.twin("Pod"))).To(Succeed())
		other := s.twin("Pod", mounts)
		other.SetName("other")
		expectDenied(s.eddie.Create(ctx, other), "volumes[tools]="+evilImage)
		expectDenied(s.attempt(ctx, mounts))
		for _, kind := range makers {
			expectDenied(s.eddie.Create(ctx, s.twin(kind, mounts, func(o client.Object) { o.SetName("mounts") })))
		}
		By("restarting what mounts an image by its tag")
		operator.admitAnything(func() { Expect(s.change(ctx, env.Admin(), s.checkout, mounts)).To(Succeed()) })
		before := len(operator.questions(s.namespace))
		_ = s.attempt(ctx, func(o client.Object) {
			m, _ := template(o)
			m.Annotations = map[string]string{v1alpha1.AnnotationRestartedAt: "2026-01-01T00:00:00Z"}
		})
		Expect(len(operator.questions(s.namespace))).To(BeNumerically(">", before), "the gate was not asked")
	})
	It("cannot have a Service of its own agree to Pods that pass for another's", func(ctx SpecContext) {
		var other *appsv1.Deployment
		s := newScene(ctx, func(_ string, d *appsv1.Deployment) []client.Object {
			other = d.DeepCopy()
			other.Name, other.Spec.Selector.MatchLabels = "other", map[string]string{"x": "y"}
			other.Spec.Template.Labels, other.Spec.Template.Spec.Containers[0].Image = map[string]string{"x": "y"}, evilImage
			return []client.Object{other}
		})
		s.agree(ctx, other)
		claim := func(name string) {
			lax := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace}}
			lax.Spec.Owner.Team = "eddie"
			lax.Spec.Workloads = []v1alpha1.WorkloadClaim{{Kind: v1alpha1.WorkloadDeployment, Name: "other"}}
			Expect(s.eddie.Create(ctx, lax)).To(Succeed())
			Eventually(func() bool {
				for _, c := range operator.inventory.Claimants(keyOf(other)) {
					if c.Service.Name.Name == name {
						return true
					}
				}
				return false
			}).Should(BeTrue())
		}
		claim("lax")
		cuckoo := func(name string, labels map[string]string) *corev1.Pod {
			return s.twin("Pod", image(evilImage), func(o client.Object) { o.SetName(name); o.SetLabels(labels) }).(*corev1.Pod)
		}
		Expect(s.eddie.Create(ctx, cuckoo("own", map[string]string{"x": "y"}))).To(Succeed())
		for _, labels := range []map[string]string{
			{"app": "checkout", "x": "y"}, {"app": "checkout", "team": "payments", "x": "y"}, {"app": "checkout", "team": "payments", "x": "y", "pod-template-hash": "a"},
		} {
			expectDenied(s.eddie.Create(ctx, cuckoo("cuckoo", labels)))
			both := s.twin("ReplicaSet", image(evilImage), func(o client.Object) {
				m, _ := template(o)
				m.Labels = labels
				relabel(o, labels)
			})
			expectDenied(s.eddie.Create(ctx, both))
		}
		By("nor have the same Service agree to it, for another of its workloads")
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: s.namespace}}
		Expect(s.eddie.Get(ctx, client.ObjectKeyFromObject(service), service)).To(Succeed())
		service.Spec.Workloads = append(service.Spec.Workloads, v1alpha1.WorkloadClaim{Kind: v1alpha1.WorkloadDeployment, Name: "other"})
		Expect(s.eddie.Update(ctx, service)).To(Succeed())
		Eventually(func() int { return len(operator.inventory.Claimants(keyOf(other))) }).Should(Equal(2))
		expectDenied(s.eddie.Create(ctx, cuckoo("cuckoo", map[string]string{"app": "checkout", "x": "y"})))
	})
	It("cannot pass a Job for a run of a CronJob, but can run what the CronJob would", func(ctx SpecContext) {
		var nightly *batchv1.CronJob
		s := newScene(ctx, func(namespace string, d *appsv1.Deployment) []client.Object {
			pods := *d.Spec.Template.DeepCopy()
			pods.Labels, pods.Spec.RestartPolicy = map[string]string{"app": "nightly"}, corev1.RestartPolicyNever
			nightly = &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "nightly", Namespace: namespace}, Spec: batchv1.CronJobSpec{
				Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: pods}},
			}}
			return []client.Object{nightly}
		})
		s.agree(ctx, nightly)
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "nightly", Namespace: s.namespace}}
		service.Spec.Owner.Team = "payments"
		service.Spec.Workloads = []v1alpha1.WorkloadClaim{{Kind: v1alpha1.WorkloadCronJob, Name: "nightly"}}
		Expect(env.Admin().Create(ctx, service)).To(Succeed())
		Eventually(func() int { return len(operator.inventory.Claimants(keyOf(nightly))) }).Should(Equal(1))
		Eventually(func() []v1alpha1.Baseline { return operator.inventory.Baselines(keyOf(nightly)) }).ShouldNot(BeEmpty())
		run := func(name string, alter ...edit) *batchv1.Job {
			// As kubectl create job --from makes it.
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace, Annotations: map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}}}
			job.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "nightly", UID: nightly.UID, Controller: new(true)}}
			nightly.Spec.JobTemplate.Spec.DeepCopyInto(&job.Spec)
			for _, e := range alter {
				e(job)
			}
			return job
		}
		expectDenied(s.eddie.Create(ctx, run("evil", image(evilImage))), "cronjob/nightly")
		Expect(s.eddie.Create(ctx, run("good"))).To(Succeed())
		By("under AllWorkloads as well, whoever claims the CronJob")
		policy := &v1alpha1.ChangePolicy{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Name: "of-" + s.namespace}, policy)).To(Succeed())
		policy.Spec.Scope = v1alpha1.ScopeAllWorkloads
		Expect(env.Admin().Update(ctx, policy)).To(Succeed())
		Expect(env.Admin().Delete(ctx, service)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(operator.inventory.Claimants(keyOf(nightly))).To(BeEmpty())
			g.Expect(operator.inventory.Rules(s.namespace).AllWorkloads).To(BeTrue())
		}).Should(Succeed())
		expectDenied(s.eddie.Create(ctx, run("worse", image(evilImage))))
		Expect(s.eddie.Create(ctx, run("better"))).To(Succeed())
	})
	It("cannot hide a template behind what means nothing", func(ctx SpecContext) {
		s := newScene(ctx)
		raw := func(kind, patch string) error {
			return s.eddie.Patch(ctx, s.checkout.DeepCopy(), client.RawPatch(types.PatchType("application/"+kind), []byte(patch)))
		}
		for what, patch := range map[string]string{
			"null and empty fields": `{"spec":{"template":{"spec":{"nodeSelector":{},"affinity":null,"tolerations":[],"hostNetwork":false,"securityContext":{}}}}}`,
			"unknown fields":        `{"spec":{"template":{"spec":{"bogus":{"image":"` + evilImage + `"}}}}}`,
			"defaults":              `{"spec":{"template":{"spec":{"dnsPolicy":"ClusterFirst","terminationGracePeriodSeconds":30,"schedulerName":"default-scheduler"}}}}`,
		} {
			Expect(raw("merge-patch+json", patch)).To(Succeed(), what)
		}
		live := &appsv1.Deployment{}
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(s.checkout), live)).To(Succeed())
		Expect(live.Spec.Template).To(Equal(s.checkout.Spec.Template))
		By("two containers of one name")
		for _, at := range []string{"0", "-"} {
			err := raw("json-patch+json", `[{"op":"add","path":"/spec/template/spec/containers/`+at+`","value":{"name":"app","image":"`+evilImage+`"}}]`)
			Expect(apierrors.IsInvalid(err) || apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		}
		By("an agreed tag beside another digest, and an image that begins alike")
		for _, evil := range []string{agreedImage + "@sha256:" + digits, agreedImage + "0", "docker.io/" + agreedImage, "Registry.shop.example/checkout:2.3"} {
			expectDenied(s.attempt(ctx, image(evil)))
		}
		By("the agreed image in a container of another name, and another in a sidecar that starts first")
		expectDenied(s.attempt(ctx, func(o client.Object) { _, p := template(o); p.Containers[0].Name = "application" }))
		expectDenied(s.attempt(ctx, func(o client.Object) {
			_, p := template(o)
			p.InitContainers = []corev1.Container{{Name: "first", Image: evilImage, RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
		}))
		expectDenied(s.attempt(ctx, func(o client.Object) {
			_, p := template(o)
			p.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: new("gpu")}}
		}))
	})
	It("cannot release what is held beside an annotation that the policy ignores", func(ctx SpecContext) {
		s := newScene(ctx, func(_ string, d *appsv1.Deployment) []client.Object { d.Spec.Paused = true; return nil })
		policy := &v1alpha1.ChangePolicy{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Name: "of-" + s.namespace}, policy)).To(Succeed())
		policy.Spec.IgnoredAnnotationPrefixes = []string{"checksum/"}
		Expect(env.Admin().Update(ctx, policy)).To(Succeed())
		note := func(value string) edit {
			return func(o client.Object) {
				m, _ := template(o)
				m.Annotations = map[string]string{"checksum/config": value}
			}
		}
		Eventually(func() error { return s.attempt(ctx, note("1")) }).Should(Succeed())
		operator.admitAnything(func() { Expect(s.change(ctx, env.Admin(), s.checkout, image(evilImage))).To(Succeed()) })
		Expect(s.attempt(ctx, note("2"))).To(Succeed())
		expectDenied(s.attempt(ctx, func(o client.Object) {
			note("3")(o)
			o.(*appsv1.Deployment).Spec.Paused = false
		}), evilImage)
	})
	It("is told that a tag may come to mean another image, and brings in none where the policy wants digests", func(ctx SpecContext) {
		const tagged, pinned = "registry.shop.example/checkout:2.4", "registry.shop.example/checkout@sha256:" + digits
		s := newScene(ctx)
		expectDenied(s.attempt(ctx, image(tagged)), "Better named by digest")
		Expect(s.attempt(ctx, image(pinned))).NotTo(MatchError(ContainSubstring("Better named by digest")))
		policy := &v1alpha1.ChangePolicy{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Name: "of-" + s.namespace}, policy)).To(Succeed())
		policy.Spec.Pin = v1alpha1.PinDigests
		Expect(env.Admin().Update(ctx, policy)).To(Succeed())
		Eventually(func() bool { return operator.inventory.Rules(s.namespace).Digests }).Should(BeTrue())
		s.vote(ctx, "carol", s.file(ctx, "tagged", "checkout", tagged), v1alpha1.DecisionApprove)
		s.staysOut(ctx, tagged)
		By("mounting one by its tag beside what is pinned")
		mounts := func(change, reference string) edit {
			return func(o client.Object) {
				image(pinned)(o)
				o.SetAnnotations(map[string]string{v1alpha1.AnnotationChange: change}) // others were approved, perhaps earlier
				_, p := template(o)
				p.Volumes = []corev1.Volume{{Name: "tools", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: reference}}}}
			}
		}
		for name, reference := range map[string]string{"by-tag": "registry.shop.example/tools:1", "by-digest": "registry.shop.example/tools@sha256:" + digits} {
			wanted := &appsv1.Deployment{}
			Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(s.checkout), wanted)).To(Succeed())
			mounts(name, reference)(wanted)
			Expect(env.Admin().Update(ctx, wanted, client.DryRunAll)).To(Succeed())
			c := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace}}
			c.Spec.Summary = "Mount " + reference
			c.Spec.Targets = []v1alpha1.ChangeTarget{{
				Workload:     v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
				TemplateHash: v1alpha1.TemplateHash(workloadOf(wanted).Template.Hash),
			}}
			Expect(s.eddie.Create(ctx, c)).To(Succeed())
			s.assess(ctx, c)
			s.vote(ctx, "carol", c, v1alpha1.DecisionApprove)
		}
		expectDenied(s.attempt(ctx, mounts("by-tag", "registry.shop.example/tools:1")), "volumes[tools]=registry.shop.example/tools:1 has none")
		Eventually(func() error { return s.attempt(ctx, mounts("by-digest", "registry.shop.example/tools@sha256:"+digits)) }).Should(Succeed())
	})
	It("cannot act as a controller, as the operator or as an approver, nor write what they keep", func(ctx SpecContext) {
		s := newScene(ctx)
		impersonating := func(name string) error { return s.asEddie(ctx, name) }
		for _, name := range []string{deploymentController, "system:kube-controller-manager", "system:serviceaccount:itil-system:itil-operator", "carol"} {
			Expect(impersonating(name)).To(MatchError(ContainSubstring("cannot impersonate")), name)
		}
		By("revisions, from which a StatefulSet's controller makes pods")
		revision := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "forged", Namespace: s.namespace}, Revision: 1}
		Expect(s.eddie.Create(ctx, revision)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		By("the labels by which a policy finds the namespace")
		label := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"attacked":null}}}`))
		Expect(s.eddie.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}, label)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
	})
	It("may act as a ServiceAccount of its namespace, and gains nothing", func(ctx SpecContext) {
		s := newScene(ctx)
		robot := "system:serviceaccount:" + s.namespace + ":robot"
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(robot), "system:aggregate-to-edit")
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(robot), "itil-approver")
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(robot), "itil-breakglass")
		expectDenied(s.asEddie(ctx, robot))
		By("voting as it for what eddie asks")
		const next = "registry.shop.example/checkout:2.4"
		filed := s.file(ctx, "by-robot", "checkout", next)
		s.vote(ctx, robot, filed, v1alpha1.DecisionApprove)
		s.staysOut(ctx, next)
		By("breaking the glass as it")
		err := s.change(ctx, env.Client(GinkgoTB(), robot), s.checkout, func(o client.Object) {
			image(evilImage)(o)
			o.SetAnnotations(map[string]string{v1alpha1.AnnotationBreakGlass: "fire", v1alpha1.AnnotationBreakGlassBy: robot})
		})
		Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
	})
})

const digits = "0000000000000000000000000000000000000000000000000000000000000000"

// asEddie tries another image as eddie who says to be another.
func (s *scene) asEddie(ctx context.Context, impersonated string) error {
	GinkgoHelper()
	config := env.Config(GinkgoTB(), "eddie", "developers")
	config.Impersonate.UserName = impersonated
	impostor, err := client.New(config, client.Options{Scheme: env.Scheme(), Mapper: s.eddie.RESTMapper()})
	Expect(err).NotTo(HaveOccurred())
	return s.change(ctx, impostor, s.checkout, image(evilImage))
}

func replicas(n int32) edit {
	return func(o client.Object) {
		switch o := o.(type) {
		case *appsv1.ReplicaSet:
			o.Spec.Replicas = &n
		case *corev1.ReplicationController:
			o.Spec.Replicas = &n
		default:
			Fail("not a kind that this scales")
		}
	}
}
