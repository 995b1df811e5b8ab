package cli_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const oldImage = "registry.shop.example/checkout:2.3"

// deployment is a manifest of the Deployment checkout.
func deployment(namespace, image, more string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout, namespace: %s}
spec:
  selector: {matchLabels: {app: checkout}}
  template:
    metadata: {labels: {app: checkout}}
    spec:
      containers:
      - name: app
        image: %s
%s`, namespace, image, more)
}

const withEnv = `        env: [{name: MODE, value: sale}]
`

// yamlObject reads one manifest.
func yamlObject(text string) *unstructured.Unstructured {
	GinkgoHelper()
	objects, err := apiserver.ParseManifests([]byte(text))
	Expect(err).NotTo(HaveOccurred())
	Expect(objects).To(HaveLen(1))
	return objects[0]
}

// hashOf is the template hash of the Deployment checkout as it is stored.
func hashOf(ctx context.Context, namespace string) configuration.Template {
	GinkgoHelper()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: "checkout"}, live)).To(Succeed())
	return configuration.ParseTemplate("Deployment", configuration.RawTemplate(live.Object))
}

// hashOfFresh is the hash that a manifest's template has where nothing was there before.
func hashOfFresh(ctx SpecContext, image, more string) string {
	GinkgoHelper()
	elsewhere := env.Namespace(GinkgoTB(), nil)
	Expect(env.Admin().Create(ctx, yamlObject(deployment(elsewhere, image, more)))).To(Succeed())
	return hashOf(ctx, elsewhere).Hash
}

var _ = Describe("Filing a Change, and asking the gate", func() {
	var (
		namespace string
		dana      person
	)

	BeforeEach(func() {
		namespace = env.Namespace(GinkgoTB(), map[string]string{gated: "true"})
		dana = somebody(namespace, "dana", []string{"developers"}, "itil-viewer", "itil-editor", "system:aggregate-to-edit", "system:aggregate-to-view")
	})

	filed := func(ctx context.Context) []v1alpha1.Change {
		GinkgoHelper()
		list := &v1alpha1.ChangeList{}
		Expect(operator.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		return list.Items
	}
	only := func(ctx context.Context) *v1alpha1.Change {
		GinkgoHelper()
		changes := filed(ctx)
		Expect(changes).To(HaveLen(1))
		return &changes[0]
	}

	// agree records what runs as the agreed baseline.
	agree := func(ctx context.Context) {
		GinkgoHelper()
		template := hashOf(ctx, namespace)
		item := &v1alpha1.ConfigurationItem{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: configuration.ItemName("Deployment", "checkout")}}
		item.Spec.WorkloadRef = v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}
		item.Status.Baselines = []v1alpha1.Baseline{{
			TemplateHash: template.Hash, ImagelessHash: template.ImagelessHash, Images: template.Images,
			Generation: 1, Source: v1alpha1.BaselineAdopted, Proven: true, From: metav1.NewTime(time.Now().Add(-time.Hour)),
		}}
		record(ctx, item)
	}
	// running is the Deployment, as it was created by whatever means.
	running := func(ctx context.Context, alter ...func(*unstructured.Unstructured)) {
		GinkgoHelper()
		object := yamlObject(deployment(namespace, oldImage, withEnv))
		for _, f := range alter {
			f(object)
		}
		Expect(env.Admin().Create(ctx, object)).To(Succeed())
		agree(ctx)
	}
	// governed puts it under Enforce, by a tier of low risk, and waits until the gate knows.
	governed := func(ctx context.Context) {
		GinkgoHelper()
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: namespace}}
		service.Spec.Owner.Team = "payments"
		service.Spec.Tier = 1
		service.Spec.ChangeControl = &v1alpha1.ChangeControl{Enforcement: v1alpha1.EnforcementEnforce}
		service.Spec.Workloads = []v1alpha1.WorkloadClaim{{
			Kind: v1alpha1.WorkloadDeployment, Selector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"app": "checkout"}},
		}}
		policy := &v1alpha1.ChangePolicy{ObjectMeta: metav1.ObjectMeta{Name: "of-" + namespace}}
		policy.Spec.NamespaceSelector.MatchLabels = map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(namespace)}
		for _, risk := range []v1alpha1.RiskLevel{v1alpha1.RiskLow, v1alpha1.RiskMedium, v1alpha1.RiskHigh} {
			policy.Spec.Approvals = append(policy.Spec.Approvals, v1alpha1.ApprovalRule{Risk: risk, Required: 1})
		}
		Expect(env.Admin().Create(ctx, policy)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(env.Admin().Delete(ctx, policy)).To(Succeed()) })
		Expect(env.Admin().Create(ctx, service)).To(Succeed())
		Eventually(func(g Gomega) {
			key := configuration.Key{Group: "apps", Kind: "Deployment", Namespace: namespace, Name: "checkout"}
			g.Expect(facts.Governance(key, map[string]string{"app": "checkout"}).Enforcement).To(Equal(v1alpha1.EnforcementEnforce))
			g.Expect(facts.Baselines(key)).NotTo(BeEmpty())
		}).WithContext(ctx).Should(Succeed())
	}

	It("takes a deployment from the refusal to the rollout", func(ctx SpecContext) {
		running(ctx)
		governed(ctx)
		manifest := manifests(deployment(namespace, newImage, withEnv))

		By("asking why")
		dana.runs(ctx, namespace, "why", "deployment/checkout").expect(exit.OK, "Deployment "+namespace+"/checkout",
			"Service checkout (tier 1)", "Adopted", "(runs)", "app="+oldImage, "none is open for it")
		dana.runs(ctx, namespace, "why", "-f", manifest).expect(exit.WouldBeDenied, "would refuse it",
			"deployment "+namespace+"/checkout is governed by Service checkout (tier 1): no approved Change covers", "kubectl itil change new")
		dana.runs(ctx, namespace, "why", "deploy/checkout", "app="+newImage).expect(exit.WouldBeDenied)
		dana.runs(ctx, namespace, "why", "deploy/checkout", "--delete").expect(exit.WouldBeDenied, "its deletion")

		By("filing the Change")
		dana.runs(ctx, namespace, "change", "new", "-f", manifest, "--wait", "0s", "-m", "rounding").expect(exit.OK,
			"filed by dana", "image of app is "+newImage, "is safer", "kubectl itil approve "+namespace+"/checkout-")
		c := only(ctx)
		Expect(c.Name).To(HavePrefix("checkout-"))
		Expect(c.Spec.Requester).To(Equal(v1alpha1.UserName("dana")))
		Expect(c.Spec.Summary).To(Equal("Deployment checkout: app from " + oldImage + " to " + newImage))
		Expect(c.Spec.Justification).To(Equal("rounding"))
		Expect(c.Spec.Targets).To(Equal([]v1alpha1.ChangeTarget{{
			Workload:   v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
			Operations: []v1alpha1.Operation{v1alpha1.OperationTemplate}, Images: map[string]v1alpha1.Image{"app": newImage},
		}}))

		By("filing it once")
		dana.runs(ctx, namespace, "change", "new", "deployment/checkout", "app="+newImage).expect(exit.OK, "asks for exactly this already")
		only(ctx)

		By("approving it")
		c.Status.State, c.Status.Digest = v1alpha1.ChangeAuthorize, change.Digest(&c.Spec)
		c.Status.Risk = &v1alpha1.Risk{Level: v1alpha1.RiskLow}
		c.Status.Approvals = &v1alpha1.Approvals{Required: 1, Summary: "0/1"}
		Expect(operator.Status().Update(ctx, c)).To(Succeed())
		dana.runs(ctx, namespace, "why", "-f", manifest).expect(exit.WouldBeDenied, c.Name+", Authorize", "1 vote missing")
		somebody(namespace, "erin", nil, "itil-approver").runs(ctx, namespace, "approve", c.Name, "--yes", "--wait", "0s").expect(exit.OK)
		Expect(operator.Get(ctx, client.ObjectKeyFromObject(c), c)).To(Succeed())
		c.Status.State = v1alpha1.ChangeImplement
		c.Status.Approvals = &v1alpha1.Approvals{Required: 1, Granted: 1, Summary: "1/1"}
		c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionApproved, Status: metav1.ConditionTrue, Reason: "Granted", LastTransitionTime: metav1.Now()}}
		Expect(operator.Status().Update(ctx, c)).To(Succeed())

		By("being let in")
		Eventually(func(g Gomega) {
			asked := dana.runs(ctx, namespace, "why", "-f", manifest)
			g.Expect(asked.code).To(Equal(exit.OK), asked.out+asked.errOut)
			g.Expect(asked.out).To(ContainSubstring("would let it in: Change " + namespace + "/" + c.Name + " covers it"))
		}).WithContext(ctx).Should(Succeed())
		dana.runs(ctx, namespace, "why", "deployment/checkout", "app="+newImage+".1").
			expect(exit.WouldBeDenied, "it allows app="+newImage+", and this is "+newImage+".1")
		live := &appsv1.Deployment{}
		member := env.Client(GinkgoTB(), "dana", "developers")
		Expect(member.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "checkout"}, live)).To(Succeed())
		live.Spec.Template.Spec.Containers[0].Image = newImage
		Expect(member.Update(ctx, live)).To(Succeed())
	})

	DescribeTable("pins exactly what the manifest will make, however it is sent", func(ctx SpecContext, create func(ctx context.Context)) {
		create(ctx)
		agree(ctx)
		// The manifest no longer has the environment variable.
		dana.runs(ctx, namespace, "change", "new", "-f", manifests(deployment(namespace, newImage, "")), "--wait", "0s").
			expect(exit.OK, "exactly template v1:")
		target := only(ctx).Spec.Targets[0]
		Expect(string(target.TemplateHash)).To(Equal(hashOfFresh(ctx, newImage, "")))
		Expect(target.Images).To(Equal(map[string]v1alpha1.Image{"app": newImage}))
	},
		Entry("by kubectl apply", func(ctx context.Context) {
			object := yamlObject(deployment(namespace, oldImage, withEnv))
			applied, err := object.MarshalJSON()
			Expect(err).NotTo(HaveOccurred())
			object.SetAnnotations(map[string]string{corev1.LastAppliedConfigAnnotation: string(applied)})
			Expect(env.Admin().Create(ctx, object)).To(Succeed())
		}),
		Entry("by server-side apply of a GitOps controller", func(ctx context.Context) {
			object := yamlObject(deployment(namespace, oldImage, withEnv))
			Expect(env.Admin().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kustomize-controller"))).To(Succeed())
		}),
		Entry("by Helm", func(ctx context.Context) {
			object := yamlObject(deployment(namespace, oldImage, withEnv))
			object.SetAnnotations(map[string]string{"meta.helm.sh/release-name": "checkout"})
			Expect(env.Admin().Create(ctx, object)).To(Succeed())
		}),
	)

	It("keeps what others set, as kubectl apply does", func(ctx SpecContext) {
		running(ctx, func(object *unstructured.Unstructured) {
			object.SetAnnotations(map[string]string{corev1.LastAppliedConfigAnnotation: `{"apiVersion":"apps/v1","kind":"Deployment"}`})
		})
		dana.runs(ctx, namespace, "change", "new", "-f", manifests(deployment(namespace, newImage, "")), "--wait", "0s").expect(exit.OK)
		target := only(ctx).Spec.Targets[0]
		Expect(target.TemplateHash).To(BeEmpty(), "the environment variable stays, so nothing but the image changes")
		Expect(target.Images).To(Equal(map[string]v1alpha1.Image{"app": newImage}))
	})

	It("pins what is new, and what goes away", func(ctx SpecContext) {
		manifest := manifests(deployment(namespace, newImage, "") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n")
		dana.runs(ctx, namespace, "change", "new", "-f", manifest, "--wait", "0s", "--name", "create").
			expect(exit.OK, "left out: ConfigMap settings", "Deployment checkout: create it", "needs no Change as things are")
		running(ctx)
		dana.runs(ctx, namespace, "change", "new", "--delete", "deployment/checkout", "--wait", "0s", "--name", "delete").
			expect(exit.OK, "Deployment checkout: delete it")
		changes := filed(ctx)
		Expect(changes).To(HaveLen(2))
		Expect(changes[0].Spec.Targets[0].Operations).To(Equal([]v1alpha1.Operation{v1alpha1.OperationCreate}))
		Expect(string(changes[0].Spec.Targets[0].TemplateHash)).To(Equal(hashOfFresh(ctx, newImage, "")))
		Expect(changes[1].Spec.Targets[0].Operations).To(Equal([]v1alpha1.Operation{v1alpha1.OperationDelete}))
		Expect(changes[1].Spec.Summary).To(Equal("Delete Deployment checkout"))
	})

	It("asks for nothing where nothing would change", func(ctx SpecContext) {
		running(ctx)
		dana.runs(ctx, namespace, "change", "new", "-f", manifests(deployment(namespace, oldImage, withEnv))).
			expect(exit.OK, "would stay as it is", "Nothing to ask for in namespace "+namespace)
		Expect(filed(ctx)).To(BeEmpty())
	})

	It("pins as it is told to, and only shows on request", func(ctx SpecContext) {
		running(ctx)
		manifest := manifests(deployment(namespace, newImage, ""))
		dana.runs(ctx, namespace, "change", "new", "-f", manifest, "--field-manager", "kubectl", "--dry-run", "-o", "jsonpath={.spec.targets[0].images.app}").
			expect(exit.OK, newImage)
		dana.runs(ctx, namespace, "change", "new", "-f", manifests(deployment(namespace, newImage, "        args: [--fast]\n")), "--pin", "images").
			expect(exit.Usage, "more than images would change", "--pin template")
		dana.runs(ctx, namespace, "change", "new", "deployment/checkout", "app="+newImage, "--pin", "template", "--dry-run").
			expect(exit.OK, "exactly template v1:", "not filed: --dry-run")
		Expect(filed(ctx)).To(BeEmpty())
	})

	It("writes down what it is told", func(ctx SpecContext) {
		running(ctx)
		dana.runs(ctx, namespace, "change", "new", "deployment/checkout", "app="+newImage, "--wait", "0s", "--name", "checkout-2-4",
			"--summary", "Checkout 2.4", "--window", "2199-11-23T08:00:00+01:00/4h", "--backout-plan", "back to 2.3", "--expected-downtime", "10m",
			"--tested", "yes", "--customer-visible", "no", "--problem", "rounding").expect(exit.OK)
		Expect(only(ctx).Spec).To(Equal(v1alpha1.ChangeSpec{
			Type: v1alpha1.ChangeNormal, Summary: "Checkout 2.4", Requester: "dana",
			Targets: []v1alpha1.ChangeTarget{{
				Workload:   v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
				Operations: []v1alpha1.Operation{v1alpha1.OperationTemplate}, Images: map[string]v1alpha1.Image{"app": newImage},
			}},
			Window:  &v1alpha1.Window{Start: "2199-11-23T08:00:00+01:00", End: "2199-11-23T12:00:00+01:00"},
			Backout: &v1alpha1.Backout{Plan: "back to 2.3"}, ExpectedDowntimeSeconds: 600,
			Questionnaire: &v1alpha1.Questionnaire{Tested: v1alpha1.AnswerConfirmed, CustomerVisible: v1alpha1.AnswerNotConfirmed},
			ProblemRef:    &v1alpha1.LocalReference{Name: "rounding"},
		}))
		dana.runs(ctx, namespace, "change", "new", "deployment/checkout", "app="+newImage, "--wait", "0s", "--name", "checkout-2-4").
			expect(exit.WrongState, "already exists")
	})

	It("waits to be told the risk and the votes", func(ctx SpecContext) {
		running(ctx)
		done := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(done)
			Eventually(func(g Gomega) {
				changes := filed(ctx)
				g.Expect(changes).To(HaveLen(1))
				c := &changes[0]
				c.Status.State, c.Status.Digest = v1alpha1.ChangeAuthorize, change.Digest(&c.Spec)
				c.Status.Risk = &v1alpha1.Risk{Level: v1alpha1.RiskMedium, Score: 30}
				c.Status.Approvals = &v1alpha1.Approvals{Required: 1, Summary: "0/1", From: []string{"sre"}}
				g.Expect(operator.Status().Update(ctx, c)).To(Succeed())
			}).WithContext(ctx).Should(Succeed())
		}()
		dana.runs(ctx, namespace, "change", "new", "deployment/checkout", "app="+newImage, "--wait", "30s").
			expect(exit.OK, "Medium (30 of 100)", "0 of 1, from sre", "1 more vote needed")
		<-done
	})

	It("says what is wrong with a command line, and what is lacking", func(ctx SpecContext) {
		running(ctx)
		for _, c := range []struct {
			arguments []string
			code      exit.Code
			words     string
		}{
			{[]string{"change", "new"}, exit.Usage, "nothing to file a Change for"},
			{[]string{"change", "new", "deployment/checkout"}, exit.Usage, "is given no image"},
			{[]string{"change", "new", "deployment/checkout", "web=x"}, exit.Usage, "has no container web"},
			{[]string{"change", "new", "deployment/checkout", "app"}, exit.Usage, "is not CONTAINER=IMAGE"},
			{[]string{"change", "new", "checkout", "app=x"}, exit.Usage, "give KIND/NAME"},
			{[]string{"change", "new", "deployment/nothing", "app=x"}, exit.NotFound, "not found"},
			{[]string{"change", "new", "gadget/checkout", "app=x"}, exit.Usage, "gadget"},
			{[]string{"change", "new", "configmap/kube-root-ca.crt", "app=x"}, exit.NotFound, "not found"},
			{[]string{"change", "new", "deployment/checkout", "app=x", "--type", "Emergency"}, exit.Usage, "needs --incident"},
			{[]string{"change", "new", "deployment/checkout", "app=x", "--window", "tomorrow"}, exit.Usage, "START/END"},
			{[]string{"change", "new", "-f", "/does/not/exist.yaml"}, exit.Failed, "does not exist"},
			{[]string{"change", "new", "-f", manifests("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")}, exit.Usage, "hold no Deployment"},
			{[]string{"why"}, exit.Usage, "one of the two"},
			{[]string{"change", "nwe"}, exit.Usage, "did you mean: kubectl itil change new"},
		} {
			dana.runs(ctx, namespace, c.arguments...).expect(c.code, c.words)
		}
		victor := somebody(namespace, "victor", nil, "itil-viewer", "system:aggregate-to-view")
		victor.runs(ctx, namespace, "why", "deployment/checkout").expect(exit.OK, "Adopted")
		victor.runs(ctx, namespace, "why", "deployment/checkout", "app=x").expect(exit.NotPermitted, "server-side dry run", "same rights as the real thing")
		Expect(filed(ctx)).To(BeEmpty())
	})

	It("files for who may ask and not deploy", func(ctx SpecContext) {
		running(ctx)
		grace := somebody(namespace, "grace", nil, "itil-viewer", "itil-editor", "system:aggregate-to-view")
		grace.runs(ctx, namespace, "change", "new", "deployment/checkout", "app="+newImage, "--wait", "0s").
			expect(exit.OK, "You may not deploy Deployment "+namespace+"/checkout yourself", "image of app is "+newImage)
		Expect(only(ctx).Spec.Targets[0].TemplateHash).To(BeEmpty())
		Expect(only(ctx).Spec.Requester).To(Equal(v1alpha1.UserName("grace")))
		grace.runs(ctx, namespace, "change", "new", "deployment/checkout", "app=x", "--pin", "template").expect(exit.NotPermitted, "server-side dry run")
		grace.runs(ctx, namespace, "change", "new", "-f", manifests(deployment(namespace, newImage, ""))).expect(exit.NotPermitted, "same rights as the real thing")
	})

	It("knows whose fields a manifest takes away", func(ctx SpecContext) {
		running(ctx)
		patch := []byte(`{"spec":{"replicas":3}}`)
		live := yamlObject(deployment(namespace, oldImage, withEnv))
		Expect(env.Admin().Patch(ctx, live, client.RawPatch(types.MergePatchType, patch))).To(Succeed())
		// Nobody applied it: as kubectl apply, nothing goes away that the manifest does not have.
		dana.runs(ctx, namespace, "why", "-f", manifests(deployment(namespace, oldImage, ""))).
			expect(exit.OK, "the pod template stays as it is")
	})
})
