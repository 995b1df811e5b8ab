package who

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const (
	breaking = "itil-operator-breakglass"
	copying  = "itil-operator-copied-breakglass"
)

const (
	flux   = "system:serviceaccount:flux-system:flux"
	copier = "system:serviceaccount:kube-system:deployment-controller"
)

// pane is glass to break: a namespace in which erin and flux hold the verb for it, of whom one is no person.
type pane struct {
	Cluster
	namespace string
}

func breakglass(c Cluster) {
	p := &pane{Cluster: c}
	BeforeEach(func() {
		p.namespace = c.namespace(nil, "alice", "erin", flux, copier, Operator)
		c.allow(p.namespace, "erin", "changes", "breakglass")
		c.allow(p.namespace, flux, "changes", "breakglass")
	})
	breakItInAnothersName(p)
	undoOverBrokenGlass(p)
	if !c.Gated {
		undoWhereNothingStamps(p)
	}
	forgeABackout(p)
}

// sign writes a reason and who broke the glass for it, where they are not empty, and nothing else.
func sign(reason, by string) func(metav1.Object) {
	return func(o metav1.Object) {
		annotations := map[string]string{}
		for key, value := range map[string]string{v1alpha1.AnnotationBreakGlass: reason, v1alpha1.AnnotationBreakGlassBy: by} {
			if value != "" {
				annotations[key] = value
			}
		}
		o.SetAnnotations(annotations)
	}
}

func (p *pane) create(ctx context.Context, user string, alter func(metav1.Object)) (*appsv1.Deployment, error) {
	GinkgoHelper()
	deployment := builder.MakeDeployment(p.namespace, "checkout").Obj()
	deployment = &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: p.namespace}, Spec: deployment.Spec}
	alter(deployment)
	return deployment, p.as(user).Create(ctx, deployment)
}

// undo is what kubectl rollout undo sends: template and annotations of an earlier ReplicaSet.
func (p *pane) undo(ctx context.Context, user string, deployment *appsv1.Deployment, reason, by string) (*appsv1.Deployment, error) {
	altered := deployment.DeepCopy()
	altered.Spec.Template.Spec.Containers[0].Image = "registry.shop.example/checkout:earlier"
	sign(reason, by)(altered)
	return altered, p.as(user).Update(ctx, altered, client.DryRunAll)
}

func breakItInAnothersName(p *pane) {
	It("is signed by who does it", func(ctx SpecContext) {
		_, err := p.create(ctx, "erin", sign("fire", ""))
		expectRefused(err, breaking, "set the annotation itil.dev/break-glass-by to erin")
		_, err = p.create(ctx, "erin", sign("fire", "alice"))
		expectRefused(err, breaking, "set the annotation itil.dev/break-glass-by to erin")
		_, err = p.create(ctx, "erin", sign("", "erin"))
		expectRefused(err, breaking, "changes only together with the reason")
		_, err = p.create(ctx, "erin", sign("fire", "erin"))
		Expect(err).NotTo(HaveOccurred())
	})
	It("is for people who hold the verb", func(ctx SpecContext) {
		_, err := p.create(ctx, "alice", sign("fire", "alice"))
		expectRefused(err, breaking, "needs the verb breakglass")
		_, err = p.create(ctx, flux, sign("fire", flux))
		expectRefused(err, breaking, "for people")
	})
	It("leaves what was signed as it is", func(ctx SpecContext) {
		deployment, err := p.create(ctx, "erin", sign("fire", "erin"))
		Expect(err).NotTo(HaveOccurred())
		apply := func(user string, alter func(metav1.Object)) error {
			altered := deployment.DeepCopy()
			alter(altered)
			return p.as(user).Update(ctx, altered, client.DryRunAll)
		}
		expectRefused(apply("alice", sign("fire", "alice")), breaking, "changes only together with the reason")
		expectRefused(apply("alice", sign("fire", "")), breaking, "remove both annotations, or neither")
		// Where the gate does not ask, two policies refuse it, and the API server tells of whichever it asked first.
		Expect(apply("alice", sign("flood", "erin"))).To(MatchError(MatchRegexp(
			"forbidden: ValidatingAdmissionPolicy '(%s|%s)'.*set the annotation itil.dev/break-glass-by to alice", breaking, copying)))
		expectRefused(apply("alice", sign("flood", "alice")), breaking, "needs the verb breakglass")
		Expect(apply("alice", func(o metav1.Object) { o.SetLabels(map[string]string{"a": "b"}) })).To(Succeed())
		Expect(apply("alice", sign("", ""))).To(Succeed())
		Expect(apply("erin", sign("flood", "erin"))).To(Succeed())
	})
	It("is copied by the deployment controller", func(ctx SpecContext) {
		template := builder.MakeDeployment(p.namespace, "checkout").Obj()
		set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "checkout-1", Namespace: p.namespace}}
		set.Spec.Selector, set.Spec.Template = template.Spec.Selector, template.Spec.Template
		sign("fire", "erin")(set)
		Expect(p.as(copier).Create(ctx, set)).To(Succeed())
	})
}

func undoOverBrokenGlass(p *pane) {
	It("is not in the way of a rollback that brings another's reason back", func(ctx SpecContext) {
		deployment, err := p.create(ctx, "erin", sign("fire", "erin"))
		Expect(err).NotTo(HaveOccurred())
		altered, err := p.undo(ctx, "alice", deployment, "flood", "erin")
		Expect(err).NotTo(HaveOccurred())
		if p.Stamps {
			Expect(altered.Annotations).To(BeEmpty())
		} else {
			// Nor where the gate was taken away, as it is here. What a gate makes of it is tried below, and in package attack.
			Expect(altered.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationBreakGlassBy, "erin"))
		}
		By("keeping what is true, and refusing what is not signed")
		altered, err = p.undo(ctx, "erin", deployment, "flood", "erin")
		Expect(err).NotTo(HaveOccurred())
		Expect(altered.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationBreakGlass, "flood"))
		_, err = p.undo(ctx, "alice", deployment, "flood", "")
		expectRefused(err, breaking, "set the annotation itil.dev/break-glass-by to alice")
		_, err = p.undo(ctx, "alice", deployment, "flood", "alice")
		expectRefused(err, breaking, "needs the verb breakglass")
	})
}

// undoWhereNothingStamps is with a gate that does not answer.
func undoWhereNothingStamps(p *pane) {
	It("is left to the gate under another's name, and is nobody's where it does not ask", Serial, func(ctx SpecContext) {
		deployment, err := p.create(ctx, "erin", sign("fire", "erin"))
		Expect(err).NotTo(HaveOccurred())
		installed := p.Env().Gate(GinkgoTB())
		gateconfig.Write(installed, gateconfig.Namespaces{})
		Expect(p.Env().Admin().Create(ctx, installed)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(p.Env().Admin().Delete(ctx, installed)).To(Succeed()) })
		undo := func(user string) error {
			_, err := p.undo(ctx, user, deployment, "flood", "zoe")
			return err
		}
		By("with nothing under Enforce")
		Eventually(func() error { return undo("alice") }).Should(MatchError(ContainSubstring("kubectl itil emergency deployment/checkout --undo")))
		for _, user := range []string{"alice", "erin", flux} {
			expectRefused(undo(user), copying, "set the annotation itil.dev/break-glass-by to "+user)
		}
		By("under Enforce, while nobody answers")
		gateconfig.Write(installed, gateconfig.Namespaces{Enforce: []string{p.namespace}})
		Expect(p.Env().Admin().Update(ctx, installed)).To(Succeed())
		for _, user := range []string{"alice", "erin", flux} {
			Eventually(func() error { return undo(user) }).Should(MatchError(ContainSubstring(`failed calling webhook "enforce.gate.itil.dev"`)), user)
		}
		By("never where the gate would not be asked: without another template, and at creation")
		same := deployment.DeepCopy()
		sign("flood", "zoe")(same)
		expectRefused(p.as("alice").Update(ctx, same), breaking, "set the annotation itil.dev/break-glass-by to alice")
		metav1.SetMetaDataAnnotation(&same.Spec.Template.ObjectMeta, v1alpha1.AnnotationRestartedAt, "2026-11-23T10:00:00Z")
		expectRefused(p.as("alice").Update(ctx, same), breaking, "set the annotation itil.dev/break-glass-by to alice")
		another := builder.MakeDeployment(p.namespace, "another").Obj()
		another = &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "another", Namespace: p.namespace}, Spec: another.Spec}
		sign("flood", "zoe")(another)
		expectRefused(p.as("alice").Create(ctx, another), breaking, "set the annotation itil.dev/break-glass-by to alice")
	})
}

func forgeABackout(p *pane) {
	It("is not said to be undone by anybody but the operator", func(ctx SpecContext) {
		deployment, err := p.create(ctx, "alice", func(metav1.Object) {})
		Expect(err).NotTo(HaveOccurred())
		mark := func(user, value string) error {
			altered := deployment.DeepCopy()
			altered.Labels = map[string]string{"other": value + "x"}
			if value != "" {
				altered.Labels[backout.LabelBackout] = value
			}
			if err := p.as(user).Update(ctx, altered); err != nil {
				return err
			}
			deployment = altered
			return nil
		}
		const kept = "itil-operator-backouts"
		expectRefused(mark("alice", "forged-1"), kept, "nobody else writes it")
		expectRefused(patchMark(ctx, p.as("alice"), deployment, "forged-1"), kept, "nobody else writes it")
		Expect(mark(Operator, "true-1")).To(Succeed())
		expectRefused(mark("alice", "forged-2"), kept, "nobody else writes it")
		expectRefused(mark(flux, "forged-2"), kept, "nobody else writes it")
		Expect(mark("alice", "true-1")).To(Succeed())
		By("which kubectl rollout undo does not touch, and who applies a manifest without it takes off")
		_, err = p.undo(ctx, "alice", deployment, "", "")
		Expect(err).NotTo(HaveOccurred())
		Expect(mark("alice", "")).To(Succeed())
		expectRefused(mark("alice", "true-1"), kept, "nobody else writes it")
	})
}

func patchMark(ctx context.Context, c client.Client, deployment *appsv1.Deployment, value string) error {
	merge := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"`+backout.LabelBackout+`":"`+value+`"}}}`))
	return c.Patch(ctx, deployment.DeepCopy(), merge)
}
