package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

var makers = []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod"}

var _ = Describe("The gate, for a user with the role edit", func() {
	Context("on the workload itself", func() {
		It("refuses a template that nobody agreed to, however it is sent", func(ctx SpecContext) {
			s := newScene(ctx)
			expectDenied(s.attempt(ctx, image(evilImage)),
				fmt.Sprintf("deployment %s/checkout is governed by Service checkout", s.namespace), "image app="+evilImage)
			pod := `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"` + evilImage + `"}]}}}}`
			expectDenied(s.eddie.Patch(ctx, s.checkout.DeepCopy(), client.RawPatch("application/strategic-merge-patch+json", []byte(pod))))
			expectDenied(s.eddie.Patch(ctx, s.checkout.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(pod))))
			replace := `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"` + evilImage + `"}]`
			expectDenied(s.eddie.Patch(ctx, s.checkout.DeepCopy(), client.RawPatch("application/json-patch+json", []byte(replace))))
			apply := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"checkout"},` + pod[1:]
			expectDenied(s.eddie.Patch(ctx, s.checkout.DeepCopy(), client.RawPatch("application/apply-patch+yaml", []byte(apply)), client.ForceOwnership, client.FieldOwner("eddie")))
			for name, e := range map[string]edit{
				"command": func(o client.Object) { _, p := template(o); p.Containers[0].Command = []string{"sh"} },
				"environment": func(o client.Object) {
					_, p := template(o)
					p.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "b"}}
				},
				"init container": func(o client.Object) {
					_, p := template(o)
					p.InitContainers = []corev1.Container{{Name: "evil", Image: evilImage}}
				},
				"sidecar": func(o client.Object) {
					_, p := template(o)
					p.Containers = append(p.Containers, corev1.Container{Name: "evil", Image: evilImage})
				},
				"host network": func(o client.Object) { _, p := template(o); p.HostNetwork = true },
				"annotation":   func(o client.Object) { m, _ := template(o); m.Annotations = map[string]string{"a": "b"} },
			} {
				By(name)
				expectDenied(s.attempt(ctx, e))
			}
		})
		It("passes a dry run with the refusal as a warning, and files nothing for it", func(ctx SpecContext) {
			s := newScene(ctx)
			before := len(operator.filings(s.namespace))
			var heard warnings
			config := env.Config(GinkgoTB(), "eddie", "developers")
			config.WarningHandlerWithContext = &heard
			eddie, err := client.New(config, client.Options{Scheme: env.Scheme()})
			Expect(err).NotTo(HaveOccurred())
			Expect(s.change(ctx, eddie, s.checkout, image(evilImage), client.DryRunAll)).To(Succeed())
			Expect(heard.texts).To(ContainElement(ContainSubstring("is governed by Service checkout")))
			Expect(operator.filings(s.namespace)).To(HaveLen(before))
			expectDenied(s.attempt(ctx, image(evilImage)))
			Expect(len(operator.filings(s.namespace))).To(BeNumerically(">", before))
			Expect(operator.filings(s.namespace)[before].Requester).To(Equal("eddie"))
		})
		It("refuses to delete it, one by one and all at once", func(ctx SpecContext) {
			s := newScene(ctx)
			expectDenied(s.eddie.Delete(ctx, s.checkout), "its deletion")
			expectDenied(s.eddie.DeleteAllOf(ctx, &appsv1.Deployment{}, client.InNamespace(s.namespace)), "its deletion")
			Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(s.checkout), s.checkout)).To(Succeed())
		})
		It("refuses to be relabelled out of its Service", func(ctx SpecContext) {
			s := newScene(ctx)
			expectDenied(s.attempt(ctx, func(o client.Object) { m, _ := template(o); delete(m.Labels, "team") }))
			expectDenied(s.attempt(ctx, func(o client.Object) {
				m, _ := template(o)
				m.Labels["team"] = "nobody"
				image(evilImage)(o)
			}))
		})
		It("refuses an owner, whose deletion would take it along", func(ctx SpecContext) {
			s := newScene(ctx)
			anchor := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "anchor", Namespace: s.namespace}}
			Expect(s.eddie.Create(ctx, anchor)).To(Succeed())
			expectDenied(s.attempt(ctx, func(o client.Object) {
				o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "anchor", UID: anchor.UID}})
			}), "its deletion")
		})
		It("refuses a second, laxer Service its effect", func(ctx SpecContext) {
			s := newScene(ctx)
			lax := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "a-lax-one", Namespace: s.namespace}}
			lax.Spec.Owner.Team, lax.Spec.ChangeControl = "eddie", &v1alpha1.ChangeControl{Enforcement: v1alpha1.EnforcementDisabled}
			lax.Spec.Workloads = []v1alpha1.WorkloadClaim{{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}}
			Expect(s.eddie.Create(ctx, lax)).To(Succeed())
			Eventually(func() int { return len(operator.inventory.Claimants(keyOf(s.checkout))) }).Should(Equal(2))
			expectDenied(s.attempt(ctx, image(evilImage)))
		})
		It("refuses a Service that is emptied, downgraded or deleted", func(ctx SpecContext) {
			s := newScene(ctx)
			service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: s.namespace}}
			for _, merge := range []string{
				`{"spec":{"workloads":[]}}`, `{"spec":{"changeControl":{"enforcement":"Disabled"}}}`, `{"spec":{"lifecycle":"Retired"}}`,
			} {
				err := s.eddie.Patch(ctx, service.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(merge)))
				Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"), merge)
			}
			Expect(s.eddie.Delete(ctx, service)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
			expectDenied(s.attempt(ctx, image(evilImage)))
		})
		It("shows no control characters", func(ctx SpecContext) {
			s := newScene(ctx)
			expectDenied(s.attempt(ctx, image("evil\x1b[2J\x1b]0;\u202e:1")))
			expectDenied(s.attempt(ctx, func(o client.Object) {
				image(evilImage)(o)
				o.SetAnnotations(map[string]string{v1alpha1.AnnotationChange: "x\x1b[31m\r\nApproved"})
			}))
		})
		It("is not impressed by a megabyte", func(ctx SpecContext) {
			s := newScene(ctx)
			expectDenied(s.attempt(ctx, func(o client.Object) {
				_, p := template(o)
				for i := range 5000 {
					p.Containers[0].Env = append(p.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprintf("E%d", i), Value: fmt.Sprintf("%0200d", i)})
				}
			}))
		})
	})

	Context("beside the workload", func() {
		It("refuses whatever would make pods that pass for its own", func(ctx SpecContext) {
			s := newScene(ctx)
			for _, kind := range makers {
				By(kind)
				expectDenied(s.eddie.Create(ctx, s.twin(kind, image(evilImage))))
				By(kind + " with a forged controller")
				expectDenied(s.eddie.Create(ctx, s.twin(kind, image(evilImage), ownedBy(s.checkout, "Deployment"))))
			}
		})
		It("lets in Pods and ReplicaSets that run exactly what was agreed", func(ctx SpecContext) {
			s := newScene(ctx)
			Expect(s.eddie.Create(ctx, s.twin("Pod"))).To(Succeed())
			Expect(s.eddie.Create(ctx, s.twin("ReplicaSet"))).To(Succeed())
		})
		It("leaves alone what passes for nobody's", func(ctx SpecContext) {
			s := newScene(ctx)
			for _, kind := range makers {
				other := s.twin(kind, image(evilImage), func(o client.Object) {
					m, _ := template(o)
					m.Labels = map[string]string{"app": "other"}
					relabel(o, m.Labels)
				})
				Expect(s.eddie.Create(ctx, other)).To(Succeed(), kind)
				Expect(s.eddie.Delete(ctx, other)).To(Succeed(), kind)
			}
		})
		It("refuses another image for the ReplicaSet of a paused Deployment, and for its Pods", func(ctx SpecContext) {
			s := newScene(ctx)
			Expect(s.attempt(ctx, func(o client.Object) { o.(*appsv1.Deployment).Spec.Paused = true })).To(Succeed())
			set := s.twin("ReplicaSet", ownedBy(s.checkout, "Deployment")).(*appsv1.ReplicaSet)
			Expect(env.Client(GinkgoTB(), deploymentController).Create(ctx, set)).To(Succeed())
			pod := s.twin("Pod", ownedBy(set, "ReplicaSet"))
			Expect(env.Client(GinkgoTB(), replicaSetController).Create(ctx, pod)).To(Succeed())
			expectDenied(s.change(ctx, s.eddie, set, image(evilImage)))
			expectDenied(s.change(ctx, s.eddie, pod, image(evilImage)))
			By("letting them be")
			Expect(s.change(ctx, s.eddie, set, func(o client.Object) { o.(*appsv1.ReplicaSet).Spec.Replicas = ptr.To[int32](3) })).To(Succeed())
		})
		It("does not take users who are named like controllers for controllers", func(ctx SpecContext) {
			s := newScene(ctx)
			for _, name := range []string{
				"system:serviceaccount:" + s.namespace + ":deployment-controller", "system:serviceaccount:kube-system:deployment-controller2",
				"kube-controller-manager", "System:kube-controller-manager",
			} {
				env.Bind(GinkgoTB(), s.namespace, apiserver.User(name), "system:aggregate-to-edit")
				expectDenied(s.change(ctx, env.Client(GinkgoTB(), name), s.checkout, image(evilImage)))
			}
		})
	})

	Context("with a template that is held", func() {
		It("refuses to unpause a Deployment that holds what nobody agreed to", func(ctx SpecContext) {
			s := newScene(ctx, func(_ string, d *appsv1.Deployment) []client.Object { d.Spec.Paused = true; return nil })
			Expect(s.attempt(ctx, func(o client.Object) { o.SetLabels(map[string]string{"a": "b"}) })).To(Succeed())
			// What is held came in some other way, for example while the glass was broken.
			operator.admitAnything(func() { Expect(s.change(ctx, env.Admin(), s.checkout, image(evilImage))).To(Succeed()) })
			expectDenied(s.attempt(ctx, func(o client.Object) { o.(*appsv1.Deployment).Spec.Paused = false }), evilImage)
		})
		It("refuses to release a StatefulSet's partition, a CronJob's suspension and its schedule", func(ctx SpecContext) {
			var set *appsv1.StatefulSet
			var nightly *batchv1.CronJob
			s := newScene(ctx, func(namespace string, d *appsv1.Deployment) []client.Object {
				pods := *d.Spec.Template.DeepCopy()
				pods.Labels = map[string]string{"app": "db"}
				set = &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: namespace}, Spec: appsv1.StatefulSetSpec{
					Selector: &metav1.LabelSelector{MatchLabels: pods.Labels}, Template: pods,
					UpdateStrategy: appsv1.StatefulSetUpdateStrategy{
						Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To[int32](3)},
					},
				}}
				once := *pods.DeepCopy()
				once.Spec.RestartPolicy = corev1.RestartPolicyNever
				nightly = &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "nightly", Namespace: namespace}, Spec: batchv1.CronJobSpec{
					Schedule: "0 0 31 2 *", Suspend: new(true), JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: once}},
				}}
				return []client.Object{set, nightly}
			})
			s.agree(ctx, set)
			s.agree(ctx, nightly)
			lift := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: s.namespace}}
			lift.Spec.Owner.Team = "data"
			lift.Spec.Workloads = []v1alpha1.WorkloadClaim{{Kind: v1alpha1.WorkloadStatefulSet, Name: "db"}, {Kind: v1alpha1.WorkloadCronJob, Name: "nightly"}}
			Expect(env.Admin().Create(ctx, lift)).To(Succeed())
			Eventually(func(g Gomega) {
				for _, o := range []client.Object{set, nightly} {
					g.Expect(operator.inventory.Claimants(keyOf(o))).NotTo(BeEmpty())
					g.Expect(operator.inventory.Baselines(keyOf(o))).NotTo(BeEmpty())
				}
			}).Should(Succeed())
			By("letting go what was agreed")
			Expect(s.change(ctx, s.eddie, set, func(o client.Object) { partition(o, 2) })).To(Succeed())
			By("holding another template")
			operator.admitAnything(func() {
				Expect(s.change(ctx, env.Admin(), set, image(evilImage))).To(Succeed())
				Expect(s.change(ctx, env.Admin(), nightly, image(evilImage))).To(Succeed())
			})
			expectDenied(s.change(ctx, s.eddie, set, func(o client.Object) { partition(o, 0) }), evilImage)
			expectDenied(s.change(ctx, s.eddie, nightly, func(o client.Object) { o.(*batchv1.CronJob).Spec.Suspend = new(false) }), evilImage)
			expectDenied(s.change(ctx, s.eddie, nightly, func(o client.Object) { o.(*batchv1.CronJob).Spec.Schedule = "* * * * *" }), evilImage)
		})
	})

	Context("with a Change", func() {
		const next = "registry.shop.example/checkout:2.4"
		It("goes in by the vote of another, and exactly as approved", func(ctx SpecContext) {
			s := newScene(ctx)
			filed := s.file(ctx, "checkout-2-4", "checkout", next)
			expectDenied(s.attempt(ctx, image(next)), "checkout-2-4")
			s.vote(ctx, "carol", filed, v1alpha1.DecisionApprove)
			expectDenied(s.attempt(ctx, image(evilImage)))
			expectDenied(s.attempt(ctx, func(o client.Object) {
				image(next)(o)
				_, p := template(o)
				p.Containers[0].Command = []string{"sh"}
			}))
			Eventually(func() error { return s.attempt(ctx, image(next)) }).Should(Succeed())
			Expect(operator.inventory.Admissions(keyOf(s.checkout))).To(ContainElement(And(
				HaveField("By", "eddie"), HaveField("Change", "checkout-2-4"), HaveField("Source", v1alpha1.BaselineChange))))
		})
		It("does not go in by a vote of the requester", func(ctx SpecContext) {
			s := newScene(ctx)
			s.vote(ctx, "eddie", s.file(ctx, "own", "checkout", next), v1alpha1.DecisionApprove)
			s.staysOut(ctx, next)
		})
		It("does not go in by a vote for an earlier digest", func(ctx SpecContext) {
			s := newScene(ctx)
			filed := s.file(ctx, "edited", "checkout", next)
			s.vote(ctx, "carol", filed, v1alpha1.DecisionApprove)
			Expect(s.eddie.Get(ctx, client.ObjectKeyFromObject(filed), filed)).To(Succeed())
			filed.Spec.Targets[0].Images["app"] = evilImage
			Expect(s.eddie.Update(ctx, filed)).To(Succeed())
			s.assess(ctx, filed)
			s.staysOut(ctx, evilImage)
			s.staysOut(ctx, next)
		})
		It("does not go in against a rejection", func(ctx SpecContext) {
			s := newScene(ctx)
			filed := s.file(ctx, "rejected", "checkout", next)
			s.vote(ctx, "dave", filed, v1alpha1.DecisionReject)
			s.vote(ctx, "carol", filed, v1alpha1.DecisionApprove)
			s.staysOut(ctx, next)
		})
		It("does not take wildcards, prefixes or another workload for this one", func(ctx SpecContext) {
			s := newScene(ctx)
			wild := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Name: "wild", Namespace: s.namespace}}
			wild.Spec.Summary = "everything"
			for _, name := range []v1alpha1.ObjectName{"*", "check*", ""} {
				wild.Spec.Targets = []v1alpha1.ChangeTarget{{
					Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: name}, Images: map[string]v1alpha1.Image{"app": evilImage},
				}}
				Expect(s.eddie.Create(ctx, wild.DeepCopy())).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
			}
			s.vote(ctx, "carol", s.file(ctx, "prefix", "check", evilImage), v1alpha1.DecisionApprove)
			s.vote(ctx, "carol", s.file(ctx, "other", "checkout2", evilImage), v1alpha1.DecisionApprove)
			s.staysOut(ctx, evilImage)
		})
		It("does not take a forged status for an approval", func(ctx SpecContext) {
			s := newScene(ctx)
			filed := s.file(ctx, "forged", "checkout", next)
			Expect(s.eddie.Get(ctx, client.ObjectKeyFromObject(filed), filed)).To(Succeed())
			filed.Status.State, filed.Status.Digest = v1alpha1.ChangeImplement, change.Digest(&filed.Spec)
			Expect(s.eddie.Status().Update(ctx, filed)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
			env.Grant(GinkgoTB(), s.namespace, apiserver.User("eddie"), apiserver.Allow("itil.dev", "changes/status", "update"))
			err := s.eddie.Status().Update(ctx, filed)
			Expect(err).To(MatchError(ContainSubstring("itil-operator-status")))
			s.staysOut(ctx, next)
		})
		It("survives a Change of a megabyte", func(ctx SpecContext) {
			s := newScene(ctx)
			huge := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Name: "huge", Namespace: s.namespace}}
			huge.Spec.Summary = "huge"
			for i := range 5000 {
				huge.Spec.Targets = append(huge.Spec.Targets, v1alpha1.ChangeTarget{
					Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(fmt.Sprintf("d%d", i))},
					Images:   map[string]v1alpha1.Image{"app": v1alpha1.Image(fmt.Sprintf("registry.example/%0150d:1", i))},
				})
			}
			Expect(s.eddie.Create(ctx, huge)).To(MatchError(ContainSubstring("spec.targets")))
			expectDenied(s.attempt(ctx, image(evilImage)))
		})
	})

	It("lets a rollback in at once", func(ctx SpecContext) {
		s := newScene(ctx)
		s.forcedIn(ctx, "registry.shop.example/checkout:2.4")
		Eventually(func() error { return s.attempt(ctx, image(agreedImage)) }).Should(Succeed())
		expectDenied(s.attempt(ctx, image(evilImage)))
	})
})

// staysOut: refused now, and when everything has reached the gate.
func (s *scene) staysOut(ctx context.Context, what string) {
	GinkgoHelper()
	Consistently(func(g Gomega) {
		g.Expect(s.attempt(ctx, image(what))).To(MatchError(ContainSubstring("denied the request")))
	}).WithTimeout(400 * time.Millisecond).Should(Succeed())
}

func partition(o client.Object, n int32) {
	o.(*appsv1.StatefulSet).Spec.UpdateStrategy.RollingUpdate.Partition = new(n)
}

// relabel gives a workload the selector for its pods' labels.
func relabel(o client.Object, labels map[string]string) {
	switch o := o.(type) {
	case *appsv1.Deployment:
		o.Spec.Selector.MatchLabels = labels
	case *appsv1.StatefulSet:
		o.Spec.Selector.MatchLabels = labels
	case *appsv1.DaemonSet:
		o.Spec.Selector.MatchLabels = labels
	case *appsv1.ReplicaSet:
		o.Spec.Selector.MatchLabels = labels
	case *corev1.ReplicationController:
		o.Spec.Selector = labels
	}
}

// warnings that a client was given.
type warnings struct{ texts []string }

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.texts = append(w.texts, text)
}

var _ rest.WarningHandlerWithContext = &warnings{}

// admitAnything takes the gate away while something is done that it would refuse.
func (r *replica) admitAnything(do func()) {
	GinkgoHelper()
	r.open.Store(true)
	defer r.open.Store(false)
	do()
}

var _ = Describe("What must pass", func() {
	It("is not asked about scale, status and metadata", func(ctx SpecContext) {
		s := newScene(ctx)
		s.unasked("replicas", func() error {
			return s.attempt(ctx, func(o client.Object) { o.(*appsv1.Deployment).Spec.Replicas = ptr.To[int32](5) })
		})
		s.unasked("the subresource scale", func() error {
			scale := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":2}}`))
			return s.eddie.SubResource("scale").Patch(ctx, s.checkout.DeepCopy(), scale)
		})
		s.unasked("labels, annotations and finalizers of the object", func() error {
			return s.attempt(ctx, func(o client.Object) {
				o.SetLabels(map[string]string{"a": "b"})
				o.SetAnnotations(map[string]string{"a": "b"})
				o.SetFinalizers([]string{"example.com/wait"})
			})
		})
		s.unasked("strategy and history", func() error {
			return s.attempt(ctx, func(o client.Object) {
				d := o.(*appsv1.Deployment)
				d.Spec.RevisionHistoryLimit, d.Spec.MinReadySeconds = ptr.To[int32](3), 7
				d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
			})
		})
		s.unasked("status", func() error {
			live := s.checkout.DeepCopy()
			if err := env.Admin().Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
				return err
			}
			live.Status.ObservedGeneration = 1
			return env.Client(GinkgoTB(), deploymentController).Status().Update(ctx, live)
		})
	})
	It("is not asked about a restart of images that are not pulled again, and asked about others", func(ctx SpecContext) {
		restart := func(at string) edit {
			return func(o client.Object) {
				m, _ := template(o)
				metav1.SetMetaDataAnnotation(m, v1alpha1.AnnotationRestartedAt, at)
			}
		}
		s := newScene(ctx)
		s.unasked("a restart", func() error { return s.attempt(ctx, restart("2026-11-20T10:00:00Z")) })
		s.unasked("another restart", func() error { return s.attempt(ctx, restart("2026-11-20T11:00:00Z")) })
		expectDenied(s.attempt(ctx, func(o client.Object) { restart("2026-11-20T12:00:00Z")(o); image(evilImage)(o) }))
		expectDenied(s.attempt(ctx, func(o client.Object) {
			restart("2026-11-20T12:00:00Z")(o)
			m, _ := template(o)
			m.Annotations["x"] = "y"
		}))
		pinned := newScene(ctx, func(_ string, d *appsv1.Deployment) []client.Object {
			d.Spec.Template.Spec.Containers[0].Image = "registry.example/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
			d.Spec.Template.Spec.Containers[0].ImagePullPolicy = corev1.PullAlways
			return nil
		})
		pinned.unasked("a restart of what is pinned", func() error { return pinned.attempt(ctx, restart("2026-11-20T10:00:00Z")) })
		pulled := newScene(ctx, func(_ string, d *appsv1.Deployment) []client.Object {
			d.Spec.Template.Spec.Containers[0].Image = "registry.example/a:latest"
			return nil
		})
		before := len(operator.questions(pulled.namespace))
		_ = pulled.attempt(ctx, restart("2026-11-20T10:00:00Z"))
		Expect(len(operator.questions(pulled.namespace))).To(BeNumerically(">", before))
	})
	It("is not asked about what the built-in controllers do, nor about what they will make again", func(ctx SpecContext) {
		s := newScene(ctx)
		set := s.twin("ReplicaSet", ownedBy(s.checkout, "Deployment"), image("registry.shop.example/checkout:9")).(*appsv1.ReplicaSet)
		pods := []client.Object{}
		s.unasked("a rollout", func() error {
			if err := env.Client(GinkgoTB(), deploymentController).Create(ctx, set); err != nil {
				return err
			}
			for i := range 3 {
				pod := s.twin("Pod", ownedBy(set, "ReplicaSet"), image("registry.shop.example/checkout:9"))
				pod.SetName(fmt.Sprintf("checkout-%d", i))
				pods = append(pods, pod)
				if err := env.Client(GinkgoTB(), replicaSetController).Create(ctx, pod); err != nil {
					return err
				}
			}
			return s.change(ctx, env.Client(GinkgoTB(), deploymentController), s.checkout, func(o client.Object) {
				metav1.SetMetaDataAnnotation(&o.(*appsv1.Deployment).ObjectMeta, "deployment.kubernetes.io/revision", "2")
			})
		})
		s.unasked("deletion of an owned Pod", func() error { return s.eddie.Delete(ctx, pods[0]) })
		s.unasked("eviction", func() error {
			return s.eddie.SubResource("eviction").Create(ctx, pods[1], &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pods[1].GetName(), Namespace: s.namespace}})
		})
		s.unasked("deletion of an owned ReplicaSet", func() error { return s.eddie.Delete(ctx, set) })
		s.unasked("garbage collection", func() error { return env.Client(GinkgoTB(), garbageCollector).Delete(ctx, pods[2]) })
		s.unasked("a Job of a CronJob", func() error {
			job := s.twin("Job", image("registry.shop.example/checkout:9"))
			if err := env.Client(GinkgoTB(), cronJobController).Create(ctx, job); err != nil {
				return err
			}
			return env.Client(GinkgoTB(), garbageCollector).Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground))
		})
	})
	It("is not asked about what is being deleted", func(ctx SpecContext) {
		s := newScene(ctx, func(_ string, d *appsv1.Deployment) []client.Object {
			d.Finalizers = []string{"example.com/wait"}
			return nil
		})
		operator.admitAnything(func() { Expect(env.Admin().Delete(ctx, s.checkout)).To(Succeed()) })
		s.unasked("a deletion of what is being deleted", func() error { return s.eddie.Delete(ctx, s.checkout) })
		s.unasked("a template that its controller will not roll out any more", func() error { return s.attempt(ctx, image(evilImage)) })
		s.unasked("the end of a deletion", func() error { return s.attempt(ctx, func(o client.Object) { o.SetFinalizers(nil) }) })
	})
	It("is not asked about other namespaces, nor about the operator's own", func(ctx SpecContext) {
		elsewhere := env.Namespace(GinkgoTB(), nil)
		free := (&scene{namespace: elsewhere, checkout: newScene(ctx).checkout}).twin("Pod", image(evilImage))
		Expect(env.Admin().Create(ctx, free)).To(Succeed())
		Expect(operator.questions(elsewhere)).To(BeEmpty())
	})
	It("breaks the glass without being asked, for people who may", func(ctx SpecContext) {
		s := newScene(ctx)
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("erin"), "system:aggregate-to-edit")
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("erin"), "itil-breakglass")
		glass := func(by string) edit {
			return func(o client.Object) {
				image(evilImage)(o)
				o.SetAnnotations(map[string]string{v1alpha1.AnnotationBreakGlass: "fire", v1alpha1.AnnotationBreakGlassBy: by})
			}
		}
		Expect(s.attempt(ctx, glass("eddie"))).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		erin := env.Client(GinkgoTB(), "erin")
		s.unasked("a broken glass", func() error { return s.change(ctx, erin, s.checkout, glass("erin")) })
		expectDenied(s.change(ctx, erin, s.checkout, image("registry.evil.example/other:1")))
		expectDenied(erin.Delete(ctx, s.checkout), "its deletion")
		By("but not for what no record could be made of")
		for _, kind := range []string{"Pod", "ReplicaSet", "ReplicationController"} {
			Expect(erin.Create(ctx, s.twin(kind, glass("erin")))).To(refused("o record can be made of a "+kind+" for which"), kind)
		}
	})
	It("goes on where the operator is gone, and nothing else does", Serial, func(ctx SpecContext) {
		s := newScene(ctx)
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("erin"), "system:aggregate-to-edit")
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("erin"), "itil-breakglass")
		s.vote(ctx, "carol", s.file(ctx, "approved", "checkout", "registry.shop.example/checkout:2.4"), v1alpha1.DecisionApprove)
		operator.down.Store(true)
		defer operator.down.Store(false)

		for _, e := range []edit{image(evilImage), image("registry.shop.example/checkout:2.4")} {
			err := s.attempt(ctx, e)
			Expect(err).To(MatchError(ContainSubstring(`failed calling webhook "enforce.gate.itil.dev"`)))
		}
		Expect(s.eddie.Create(ctx, s.twin("Pod"))).NotTo(Succeed())
		Expect(s.attempt(ctx, func(o client.Object) { o.(*appsv1.Deployment).Spec.Replicas = ptr.To[int32](4) })).To(Succeed())
		pod := s.twin("Pod", ownedBy(s.checkout, "ReplicaSet"))
		Expect(env.Client(GinkgoTB(), replicaSetController).Create(ctx, pod)).To(Succeed())
		Expect(s.eddie.Delete(ctx, pod)).To(Succeed())
		Expect(s.change(ctx, env.Client(GinkgoTB(), "erin"), s.checkout, func(o client.Object) {
			image("registry.shop.example/checkout:2.4.1")(o)
			o.SetAnnotations(map[string]string{v1alpha1.AnnotationBreakGlass: "operator is gone", v1alpha1.AnnotationBreakGlassBy: "erin"})
		})).To(Succeed())
		By("leaving other namespaces alone")
		elsewhere := env.Namespace(GinkgoTB(), nil)
		Expect(env.Admin().Create(ctx, (&scene{namespace: elsewhere, checkout: s.checkout}).twin("Pod"))).To(Succeed())
		By("deleting the namespace, for who may retire what is in it")
		env.Grant(GinkgoTB(), "", apiserver.User("dora"), apiserver.Allow("", "namespaces", "delete"))
		dora, gone := env.Client(GinkgoTB(), "dora"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
		Expect(dora.Delete(ctx, gone, client.DryRunAll)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("dora"), "itil-admin")
		Expect(dora.Delete(ctx, gone, client.DryRunAll)).To(Succeed())
	})
	It("is under Audit only asked, and goes in", func(ctx SpecContext) {
		namespace := env.Namespace(GinkgoTB(), nil)
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "lab", Namespace: namespace}}
		service.Spec.Owner.Team = "lab"
		service.Spec.Workloads = []v1alpha1.WorkloadClaim{{Selector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"app": "lab"}}}}
		Expect(env.Admin().Create(ctx, service)).To(Succeed())
		listed := func() gateconfig.Listed {
			configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
			Expect(env.Admin().Get(ctx, client.ObjectKey{Name: gateconfig.Name}, configuration)).To(Succeed())
			return gateconfig.Read(configuration).Of(namespace)
		}
		Eventually(listed).Should(Equal(gateconfig.ListedAudit))
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "lab-", Namespace: namespace, Labels: map[string]string{"app": "lab"}}}
		pod.Spec.Containers = []corev1.Container{{Name: "app", Image: evilImage}}
		Eventually(func(g Gomega) {
			g.Expect(env.Admin().Create(ctx, pod.DeepCopy())).To(Succeed())
			g.Expect(operator.questions(namespace)).NotTo(BeEmpty())
		}).Should(Succeed())
		By("also with the operator gone")
		operator.down.Store(true)
		defer operator.down.Store(false)
		Expect(env.Admin().Create(ctx, pod.DeepCopy())).To(Succeed())
		By("no longer, when nobody claims anything")
		operator.down.Store(false)
		Expect(env.Admin().Delete(ctx, service)).To(Succeed())
		Eventually(listed).Should(Equal(gateconfig.NotListed))
	})
})

var _ = Describe("The list of gated namespaces", func() {
	It("survives that somebody applies the manifest again", Serial, func(ctx SpecContext) {
		s := newScene(ctx)
		read := func() *admissionregistrationv1.ValidatingWebhookConfiguration {
			configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
			Expect(env.Admin().Get(ctx, client.ObjectKey{Name: gateconfig.Name}, configuration)).To(Succeed())
			return configuration
		}
		before := read()
		Expect(gateconfig.Read(before).Of(s.namespace)).To(Equal(gateconfig.ListedEnforce))
		reset := before.DeepCopy()
		gateconfig.Write(reset, gateconfig.Namespaces{})
		Expect(env.Admin().Update(ctx, reset)).To(Succeed())
		Eventually(func() gateconfig.Namespaces { return gateconfig.Read(read()) }).Should(Equal(gateconfig.Read(before)))
		after := read()
		Expect(after.Webhooks[0].ClientConfig).To(Equal(before.Webhooks[0].ClientConfig))
		By("writing nothing while nothing changes")
		version := after.ResourceVersion
		Expect(s.attempt(ctx, func(o client.Object) { o.SetLabels(map[string]string{"x": "y"}) })).To(Succeed())
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: s.namespace}}
		Expect(s.eddie.Patch(ctx, service, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"description":"x"}}`)))).To(Succeed())
		Consistently(func() string { return read().ResourceVersion }).WithTimeout(500 * time.Millisecond).Should(Equal(version))
	})
	It("is nobody's to edit who may not edit webhook configurations", func(ctx SpecContext) {
		s := newScene(ctx)
		patch := client.RawPatch("application/merge-patch+json", mustJSON(map[string]any{"webhooks": []any{}}))
		configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: gateconfig.Name}}
		Expect(s.eddie.Patch(ctx, configuration, patch)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		Expect(s.eddie.Delete(ctx, configuration)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
	})
})

func mustJSON(v any) []byte {
	GinkgoHelper()
	encoded, err := json.Marshal(v)
	Expect(err).NotTo(HaveOccurred())
	return encoded
}
