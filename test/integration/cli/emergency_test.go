package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

// dead is the label of the namespaces whose gate nobody answers for.
const dead = "dead"

// killedGate installs the gate for the namespaces with that label, at an address where nobody listens: the operator is
// down.
func killedGate(ctx context.Context) {
	GinkgoHelper()
	config := env.Gate(GinkgoTB())
	config.Name = "gate-of-a-dead-operator"
	config.Webhooks = config.Webhooks[:1]
	config.Webhooks[0].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{dead: "true"}}
	config.Webhooks[0].ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: new("https://127.0.0.1:1/gate")}
	Expect(env.Admin().Create(ctx, config)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(env.Admin().Delete(ctx, config)).To(Succeed()) })
}

var _ = Describe("An emergency", func() {
	var erin, dana person
	var namespace string

	// people of a namespace: erin may break the glass, dana may deploy and file.
	people := func() {
		GinkgoHelper()
		editor := []string{"itil-viewer", "itil-editor", "system:aggregate-to-edit", "system:aggregate-to-view"}
		dana = somebody(namespace, "dana", []string{"developers"}, editor...)
		erin = somebody(namespace, "erin", nil, append(editor, "itil-breakglass")...)
	}
	live := func(ctx context.Context) *appsv1.Deployment {
		GinkgoHelper()
		d := &appsv1.Deployment{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: "checkout"}, d)).To(Succeed())
		return d
	}
	runs := func(ctx context.Context) string {
		GinkgoHelper()
		return live(ctx).Spec.Template.Spec.Containers[0].Image
	}
	create := func(ctx context.Context) {
		GinkgoHelper()
		Expect(env.Admin().Create(ctx, yamlObject(deployment(namespace, oldImage, withEnv)))).To(Succeed())
	}

	When("the operator is dead", func() {
		BeforeEach(func(ctx SpecContext) {
			namespace = env.Namespace(GinkgoTB(), nil)
			people()
			create(ctx)
			killedGate(ctx)
			ns := &corev1.Namespace{}
			Expect(env.Admin().Get(ctx, client.ObjectKey{Name: namespace}, ns)).To(Succeed())
			ns.Labels[dead] = "true"
			Expect(env.Admin().Update(ctx, ns)).To(Succeed())
			Eventually(func(g Gomega) {
				refused := dana.runs(ctx, namespace, "why", "deployment/checkout", "app="+newImage)
				g.Expect(refused.code).To(Equal(exit.WouldBeDenied), refused.out+refused.errOut)
			}).WithContext(ctx).Should(Succeed())
		})

		It("still breaks the glass, for who may", func(ctx SpecContext) {
			dana.runs(ctx, namespace, "why", "deployment/checkout", "app="+newImage).
				expect(exit.WouldBeDenied, "the gate does not answer", "kubectl itil emergency")
			dana.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "down", "--yes").
				expect(exit.NotPermitted, "you (dana) may not break the glass", "itil-breakglass", "bring the operator back")
			Expect(runs(ctx)).To(Equal(oldImage))

			erin.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "down", "--yes", "--wait", "0s").
				expect(exit.OK, "the gate does not answer", "erin broke the glass on Deployment "+namespace+"/checkout", "as soon as the operator sees it")
			d := live(ctx)
			Expect(d.Spec.Template.Spec.Containers[0].Image).To(Equal(newImage))
			Expect(d.Spec.Template.Spec.Containers[0].Env).NotTo(BeEmpty(), "nothing else is altered")
			Expect(d.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationBreakGlass, "down"))
			Expect(d.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationBreakGlassBy, "erin"))
		})

		It("brings back what ran before", func(ctx SpecContext) {
			// What the Deployment controller would have kept.
			old := live(ctx)
			kept := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: "checkout-1", Annotations: map[string]string{"deployment.kubernetes.io/revision": "1"},
				Labels:          map[string]string{"app": "checkout"},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(old, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
			}}
			kept.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout", "pod-template-hash": "1"}}
			kept.Spec.Template = *old.Spec.Template.DeepCopy()
			kept.Spec.Template.Labels["pod-template-hash"] = "1"
			const controller = "system:serviceaccount:kube-system:deployment-controller"
			env.Bind(GinkgoTB(), namespace, apiserver.User(controller), "cluster-admin")
			Expect(env.Client(GinkgoTB(), controller).Create(ctx, kept)).To(Succeed())
			erin.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "down", "--yes", "--wait", "0s").expect(exit.OK)

			erin.runs(ctx, namespace, "emergency", "deployment/checkout", "--undo", "--reason", "worse", "--dry-run").
				expect(exit.OK, "app="+oldImage+" (now "+newImage+")", "Not done: --dry-run.")
			Expect(runs(ctx)).To(Equal(newImage))
			erin.runs(ctx, namespace, "emergency", "deployment/checkout", "--undo", "--reason", "worse", "--yes", "--wait", "0s").expect(exit.OK)
			Expect(configuration.ParseTemplate("Deployment", rawTemplate(live(ctx)))).To(Equal(configuration.ParseTemplate("Deployment", rawTemplate(old))))
		})

		It("breaks the glass with manifests, and signs each time anew", func(ctx SpecContext) {
			for _, image := range []string{newImage, newImage + ".1"} {
				erin.runs(ctx, namespace, "emergency", "-f", manifests(deployment(namespace, image, withEnv)), "-m", "down", "--yes", "--wait", "0s", "-o", "name").
					expect(exit.OK, "deployment.apps/checkout")
				Expect(runs(ctx)).To(Equal(image))
			}
			Expect(live(ctx).Annotations[v1alpha1.AnnotationBreakGlass]).To(HavePrefix("down (again, "))
		})

		It("is for people", func(ctx SpecContext) {
			robot := "system:serviceaccount:" + namespace + ":deployer"
			for _, role := range []string{"itil-viewer", "itil-breakglass", "system:aggregate-to-edit", "system:aggregate-to-view"} {
				env.Bind(GinkgoTB(), namespace, apiserver.User(robot), role)
			}
			path := filepath.Join(GinkgoT().TempDir(), "robot.kubeconfig")
			Expect(os.WriteFile(path, env.Kubeconfig(GinkgoTB(), robot), 0o600)).To(Succeed())
			person{name: robot, kubeconfig: path}.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "down", "--yes").
				expect(exit.NotPermitted, "breaking the glass is for people", "kubectl itil change new")
			Expect(runs(ctx)).To(Equal(oldImage))
		})
	})

	When("the gate answers", func() {
		BeforeEach(func(ctx SpecContext) {
			namespace = env.Namespace(GinkgoTB(), map[string]string{gated: "true"})
			people()
			create(ctx)
			governedBy(ctx, namespace)
		})

		It("asks it first, and breaks the glass only if need be", func(ctx SpecContext) {
			erin.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "down").
				expect(exit.NotConfirmed, "refuses it, so the glass must be broken", "no approved Change covers", "stays in Review", "add --yes")
			dana.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "down", "--yes").
				expect(exit.NotPermitted, "--incident NAME files an Emergency Change")
			Expect(runs(ctx)).To(Equal(oldImage))
			erin.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+oldImage, "--reason", "down", "--yes").
				expect(exit.OK, "runs this already", "Nothing to do")

			By("breaking it")
			recorded := make(chan struct{})
			go func() {
				defer GinkgoRecover()
				defer close(recorded)
				Eventually(func(g Gomega) { g.Expect(runs(ctx)).To(Equal(newImage)) }).WithContext(ctx).Should(Succeed())
				c := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "checkout-record"}}
				c.Spec.Type, c.Spec.RecordOf, c.Spec.Requester, c.Spec.Summary = v1alpha1.ChangeEmergency, v1alpha1.RecordOfBreakGlass, "erin", "Record"
				c.Spec.Targets = []v1alpha1.ChangeTarget{{
					Workload:   v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
					Operations: []v1alpha1.Operation{v1alpha1.OperationTemplate}, TemplateHash: v1alpha1.TemplateHash(hashOf(ctx, namespace).Hash),
				}}
				Expect(operator.Create(ctx, c)).To(Succeed())
			}()
			erin.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "down", "--yes", "--wait", "30s").
				expect(exit.OK, "erin broke the glass", "recorded as Change "+namespace+"/checkout-record", "kubectl itil change review "+namespace+"/checkout-record")
			<-recorded

			By("going back, which needs no glass")
			Eventually(func(g Gomega) {
				g.Expect(facts.Baselines(keyOf(namespace))).NotTo(BeEmpty())
				shown := erin.runs(ctx, namespace, "emergency", "-f", manifests(deployment(namespace, oldImage, withEnv)), "--reason", "worse", "--dry-run")
				g.Expect(shown.out).To(ContainSubstring("lets this in as it is"), shown.out+shown.errOut)
			}).WithContext(ctx).Should(Succeed())
			erin.runs(ctx, namespace, "emergency", "-f", manifests(deployment(namespace, oldImage, withEnv)), "--reason", "worse", "--yes").
				expect(exit.OK, "is deployed; nothing is owed")
			Expect(runs(ctx)).To(Equal(oldImage))
		})

		It("asks for votes by an Emergency Change", func(ctx SpecContext) {
			incident := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "down"}}
			incident.Spec.Title, incident.Spec.Source, incident.Spec.Reporter = "checkout is down", v1alpha1.IncidentSourceUser, "dana"
			incident.Spec.ServiceRef = &v1alpha1.LocalReference{Name: "checkout"}
			Expect(env.Client(GinkgoTB(), "dana", "developers").Create(ctx, incident)).To(Succeed())
			dana.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "2.4 fixes it", "--incident", "down", "--wait", "0s").
				expect(exit.OK, "You raised Incident "+namespace+"/down yourself", "filed by dana", "have it approved: kubectl itil approve")
			list := &v1alpha1.ChangeList{}
			Expect(operator.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
			Expect(list.Items).To(HaveLen(1))
			c := list.Items[0]
			Expect(c.Spec.Type).To(Equal(v1alpha1.ChangeEmergency))
			Expect(c.Spec.IncidentRef).To(Equal(&v1alpha1.LocalReference{Name: "down"}))
			Expect(c.Spec.Justification).To(Equal("2.4 fixes it"))
			Expect(runs(ctx)).To(Equal(oldImage))

			incident.Status.State = v1alpha1.IncidentClosed
			Expect(operator.Status().Update(ctx, incident)).To(Succeed())
			dana.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "x", "--incident", "down").
				expect(exit.WrongState, "is closed", "kubectl itil incident open")
			dana.runs(ctx, namespace, "emergency", "deployment/checkout", "app="+newImage, "--reason", "x", "--incident", "none").expect(exit.NotFound)
		})

		It("says beforehand what the gate goes by, to who may read it", func(ctx SpecContext) {
			oscar := somebody("", "oscar", nil, "itil-viewer")
			for _, role := range []string{"system:aggregate-to-view", "itil-viewer"} {
				env.Bind(GinkgoTB(), namespace, apiserver.User("oscar"), role)
			}
			oscar.runs(ctx, namespace, "why", "deployment/checkout").expect(exit.OK, "Governed by   Service checkout (tier 1)",
				"Enforcement   Enforce: what no approved Change covers is refused", "Who votes", "Medium     1 vote", "Adopted")
			dana.runs(ctx, namespace, "why", "deployment/checkout").expect(exit.OK, "Claimed by    Service checkout (tier 1)",
				"you may not read ChangePolicies and Calendars")
			oscar.runs(ctx, namespace, "changes", "--calendar").expect(exit.OK, "times are in UTC", "no change window and no freeze", "No Changes")
			dana.runs(ctx, namespace, "changes", "--calendar").expect(exit.OK, "you may not read ChangePolicies and Calendars")
			oscar.runs(ctx, namespace, "changes", "--state", "Done").expect(exit.Usage, "--state must be one of")
			oscar.runs(ctx, namespace, "changes", "--calendar", "--zone", "Middle/Earth").expect(exit.Usage, "Middle/Earth")
			oscar.runs(ctx, namespace, "changes", "--mine", "--service", "checkout", "--until", "7d", "-o", "json").expect(exit.OK, `"items": []`)
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "stray", Labels: map[string]string{"app": "checkout"}}}
			pod.Spec.Containers = []corev1.Container{{Name: "app", Image: oldImage}}
			Expect(env.Admin().Create(ctx, pod)).To(Succeed())
			oscar.runs(ctx, namespace, "why", "pod/stray").expect(exit.OK, "Service checkout (tier 1) through deployment/checkout", "no Change can name a Pod")
			oscar.runs(ctx, namespace, "why", "configmap/kube-root-ca.crt").expect(exit.NotFound)
			asked := oscar.runs(ctx, namespace, "why", "deployment/checkout", "-o", "json").expect(exit.OK)
			var said struct {
				Items []struct {
					Enforcement string
					Complete    bool
				}
			}
			Expect(json.Unmarshal([]byte(asked.out), &said)).To(Succeed())
			Expect(said.Items).To(HaveLen(1))
			Expect(said.Items[0].Enforcement).To(Equal("Enforce"))
			Expect(said.Items[0].Complete).To(BeTrue())
			dana.runs(ctx, namespace, "why", "deployment/checkout", "app="+newImage, "-o", "yaml").expect(exit.WouldBeDenied, "verdict: Refused")
			dana.runs(ctx, namespace, "why", "deployment/checkout", "-o", "wide").expect(exit.Usage, "json or yaml")
		})

		It("says what is wrong with a command line", func(ctx SpecContext) {
			for _, c := range []struct {
				arguments []string
				code      exit.Code
				words     string
			}{
				{[]string{"deployment/checkout", "app=x"}, exit.Usage, "--reason TEXT"},
				{[]string{"--reason", "x"}, exit.Usage, "one of the two"},
				{[]string{"deployment/checkout", "--reason", "x"}, exit.Usage, "add CONTAINER=IMAGE, or --undo"},
				{[]string{"deployment/checkout", "app=x", "--undo", "--reason", "x"}, exit.Usage, "no images"},
				{[]string{"deployment/checkout", "--undo", "--incident", "x", "--reason", "x"}, exit.Usage, "needs no Change"},
				{[]string{"deployment/checkout", "--undo", "--reason", "x"}, exit.WrongState, "no earlier revision"},
				{[]string{"deployment/nothing", "app=x", "--reason", "x"}, exit.NotFound, "not found"},
			} {
				erin.runs(ctx, namespace, append([]string{"emergency"}, c.arguments...)...).expect(c.code, c.words)
			}
		})
	})
})

func keyOf(namespace string) configuration.Key {
	return configuration.Key{Group: "apps", Kind: "Deployment", Namespace: namespace, Name: "checkout"}
}

func rawTemplate(d *appsv1.Deployment) map[string]any {
	GinkgoHelper()
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	Expect(err).NotTo(HaveOccurred())
	return configuration.RawTemplate((&unstructured.Unstructured{Object: raw}).Object)
}

// governedBy puts the Deployment checkout under Enforce, with what runs as its agreed baseline, and waits until the gate
// knows.
func governedBy(ctx context.Context, namespace string) {
	GinkgoHelper()
	template := hashOf(ctx, namespace)
	item := &v1alpha1.ConfigurationItem{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: configuration.ItemName("Deployment", "checkout")}}
	item.Spec.WorkloadRef = v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}
	item.Status.Baselines = []v1alpha1.Baseline{{
		TemplateHash: template.Hash, ImagelessHash: template.ImagelessHash, Images: template.Images,
		Generation: 1, Source: v1alpha1.BaselineAdopted, Proven: true, From: metav1.NewTime(time.Now().Add(-time.Hour)),
	}}
	record(ctx, item)
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: namespace}}
	service.Spec.Owner.Team, service.Spec.Tier = "payments", 1
	service.Spec.ChangeControl = &v1alpha1.ChangeControl{Enforcement: v1alpha1.EnforcementEnforce}
	service.Spec.Workloads = []v1alpha1.WorkloadClaim{{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}}
	Expect(env.Admin().Create(ctx, service)).To(Succeed())
	Eventually(func(g Gomega) {
		g.Expect(facts.Governance(keyOf(namespace), map[string]string{"app": "checkout"}).Enforcement).To(Equal(v1alpha1.EnforcementEnforce))
		g.Expect(facts.Baselines(keyOf(namespace))).NotTo(BeEmpty())
	}).WithContext(ctx).Should(Succeed())
}
