package gitops

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// way in which a GitOps controller brings a bundle into the cluster.
type way struct {
	user string
	wire *wire
	// deploy is one attempt of it.
	deploy func(ctx context.Context, bundle ...*unstructured.Unstructured) error
	// dryRuns: it asks by server-side dry run first.
	dryRuns bool
}

func byFlux(f flux) func() *way {
	return func() *way {
		f.wire = dial(fluxName)
		return &way{user: fluxName, wire: f.wire, deploy: f.reconcile, dryRuns: true}
	}
}

func byArgo(a argo) func() *way {
	return func() *way {
		a.wire = dial(argoName)
		return &way{user: argoName, wire: a.wire, deploy: a.sync, dryRuns: a.serverSideDiff}
	}
}

var ways = map[string]func() *way{
	"Flux":                         byFlux(flux{}),
	"Flux with force":              byFlux(flux{force: true}),
	"Argo CD":                      byArgo(argo{}),
	"Argo CD with Force":           byArgo(argo{force: true}),
	"Argo CD with Replace":         byArgo(argo{replace: true}),
	"Argo CD with ServerSideApply": byArgo(argo{serverSide: true}),
	"Helm":                         byHelm(helm{}),
	"Helm, server-side":            byHelm(helm{serverSide: true}),
	"Argo CD with ServerSideApply and server-side diff": byArgo(argo{serverSide: true, serverSideDiff: true}),
}

// expectDenied: a refusal after which no GitOps controller deletes and makes again.
func expectDenied(err error, words ...string) {
	GinkgoHelper()
	Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
	Expect(errors.Is(err, errDryRun)).To(BeFalse(), "a dry run was denied")
	Expect(strings.ToLower(err.Error())).NotTo(ContainSubstring("immutable"))
	for _, word := range words {
		Expect(err).To(MatchError(ContainSubstring(word)))
	}
}

func retryAfter(err error) int32 {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return 0
	}
	return status.Status().Details.RetryAfterSeconds
}

var _ = Describe("A bundle that nobody agreed to", func() {
	for name, dialled := range ways {
		It("waits, is filed once, and comes in by the next retry after its approval: "+name, func(ctx SpecContext) {
			w, s := dialled(), open(ctx)
			uid := s.live(ctx).UID
			bundle := func() []*unstructured.Unstructured {
				return []*unstructured.Unstructured{configMap(s.namespace), deployment(s.namespace, nextImage)}
			}
			const retries = 20
			for range retries {
				expectDenied(w.deploy(ctx, bundle()...), "deployment "+s.namespace+"/checkout is governed by Service checkout", nextImage)
			}
			Expect(s.runs(ctx)).To(Equal(agreedImage))
			if w.dryRuns {
				Expect(w.wire.heard.all()).To(ContainElement(ContainSubstring("is governed by Service checkout")))
			}
			By("being filed once, for who asked")
			Eventually(func() []v1alpha1.Change { return s.changes(ctx) }).Should(HaveLen(1))
			filed := s.changes(ctx)[0]
			Expect(string(filed.Spec.Requester)).To(Equal(w.user))
			expectDenied(w.deploy(ctx, bundle()...), filed.Name)
			Consistently(func() []v1alpha1.Change { return s.changes(ctx) }).WithTimeout(300 * time.Millisecond).Should(HaveLen(1))

			By("being approved")
			approved := s.approve(ctx, filed.Name)
			Expect(int(approved.Status.Approvals.Required)).To(Equal(2), "a ServiceAccount's request cannot prove separation of duties: one vote more")
			Eventually(func() error { return w.deploy(ctx, bundle()...) }).Should(Succeed())
			Expect(s.runs(ctx)).To(Equal(nextImage))
			Eventually(func() v1alpha1.Baseline {
				if b := s.item(ctx).Status.Baselines; len(b) > 0 {
					return b[0]
				}
				return v1alpha1.Baseline{}
			}).Should(And(HaveField("Source", v1alpha1.BaselineChange), HaveField("Change", filed.Name), HaveField("By", w.user)))

			By("nothing being deleted on the way")
			Expect(w.wire.deleted).To(BeEmpty())
			Expect(s.live(ctx).UID).To(Equal(uid))
			By("healing itself without a question")
			Expect(w.deploy(ctx, bundle()...)).To(Succeed())
		})
	}

	It("is not deleted and made again by kubectl replace --force (Argo CD with Replace and Force), which begins with a deletion", func(ctx SpecContext) {
		s := open(ctx)
		a := &argo{wire: dial(argoName), replace: true, force: true}
		uid := s.live(ctx).UID
		for range 5 {
			expectDenied(a.sync(ctx, deployment(s.namespace, nextImage)), "its deletion")
		}
		Expect(s.live(ctx).UID).To(Equal(uid))
		Expect(s.runs(ctx)).To(Equal(agreedImage))
	})
	It("is not pruned", func(ctx SpecContext) {
		s := open(ctx)
		a := &argo{wire: dial(argoName)}
		expectDenied(a.prune(ctx, deployment(s.namespace, agreedImage)), "its deletion")
		Expect(s.runs(ctx)).To(Equal(agreedImage))
	})
})

var _ = Describe("A bundle with its Change", func() {
	It("brings the Change in under Argo CD, and the Deployment after the approval", func(ctx SpecContext) {
		s := open(ctx)
		a := &argo{wire: dial(argoName)}
		bundle := func() []*unstructured.Unstructured {
			return []*unstructured.Unstructured{
				deployment(s.namespace, nextImage), annotate(changeOf(s.namespace, "checkout-2-4", nextImage), "argocd.argoproj.io/sync-wave", "-1"),
			}
		}
		expectDenied(a.sync(ctx, bundle()...))
		s.approve(ctx, "checkout-2-4")
		Eventually(func() error { return a.sync(ctx, bundle()...) }).Should(Succeed())
		Expect(s.runs(ctx)).To(Equal(nextImage))
	})
	It("brings it in under Flux where Changes are an early stage", func(ctx SpecContext) {
		s := open(ctx)
		f := &flux{wire: dial(fluxName), early: []string{"Change"}, force: true}
		bundle := func() []*unstructured.Unstructured {
			return []*unstructured.Unstructured{
				deployment(s.namespace, nextImage), changeOf(s.namespace, "checkout-2-4", nextImage),
			}
		}
		expectDenied(f.reconcile(ctx, bundle()...))
		s.approve(ctx, "checkout-2-4")
		Eventually(func() error { return f.reconcile(ctx, bundle()...) }).Should(Succeed())
		Expect(s.runs(ctx)).To(Equal(nextImage))
		Expect(f.deleted).To(BeEmpty())
		By("applying it again and again without an effect: the requester stays, and nothing is voided")
		Expect(f.reconcile(ctx, bundle()...)).To(Succeed())
	})
	It("needs no Change of its own under Flux where they are not: the operator files one", func(ctx SpecContext) {
		s := open(ctx)
		f := &flux{wire: dial(fluxName)}
		bundle := func() []*unstructured.Unstructured {
			return []*unstructured.Unstructured{
				deployment(s.namespace, nextImage), changeOf(s.namespace, "checkout-2-4", nextImage),
			}
		}
		expectDenied(f.reconcile(ctx, bundle()...))
		Eventually(func() []v1alpha1.Change { return s.changes(ctx) }).Should(HaveLen(1))
		filed := s.changes(ctx)[0].Name
		Expect(filed).NotTo(Equal("checkout-2-4"), "Flux ends at the first failure, before kinds that it does not know")
		s.approve(ctx, filed)
		Eventually(func() error { return f.reconcile(ctx, bundle()...) }).Should(Succeed())
		Expect(s.runs(ctx)).To(Equal(nextImage))
	})
	It("goes in by the Change that its annotation names, and is told where that is none", func(ctx SpecContext) {
		s := open(ctx)
		f := &flux{wire: dial(fluxName), early: []string{"Change"}}
		for _, name := range []string{"first", "second"} {
			Expect(f.reconcile(ctx, changeOf(s.namespace, name, nextImage))).To(Succeed())
		}
		wrong := annotate(deployment(s.namespace, nextImage), v1alpha1.AnnotationChange, "checkout-9-9")
		expectDenied(f.reconcile(ctx, wrong))
		Expect(f.heard.all()).To(ContainElement(ContainSubstring("checkout-9-9")))
		s.approve(ctx, "second")
		bundle := annotate(deployment(s.namespace, nextImage), v1alpha1.AnnotationChange, "second")
		Eventually(func() error { return f.reconcile(ctx, bundle.DeepCopy()) }).Should(Succeed())
		Eventually(func() string {
			if b := s.item(ctx).Status.Baselines; len(b) > 0 {
				return b[0].Change
			}
			return ""
		}).Should(Equal("second"))
	})
	It("is told when to come back where that is known", func(ctx SpecContext) {
		s := open(ctx)
		f := &flux{wire: dial(fluxName), early: []string{"Change"}}
		begin := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
		chg := changeOf(s.namespace, "tonight", nextImage)
		chg.Object["spec"].(map[string]any)["window"] = map[string]any{
			"start": begin.Format(time.RFC3339), "end": begin.Add(time.Hour).Format(time.RFC3339),
		}
		Expect(f.reconcile(ctx, chg)).To(Succeed())
		s.approve(ctx, "tonight")
		var denied error
		Eventually(func() int32 {
			denied = f.reconcile(ctx, deployment(s.namespace, nextImage))
			return retryAfter(denied)
		}).Should(And(BeNumerically(">", 7000), BeNumerically("<=", 7200)))
		expectDenied(denied, "tonight", begin.Format("2006-01-02"))
	})
})

var _ = Describe("GitOps that fights", func() {
	It("files a bounded number of Changes", func(ctx SpecContext) {
		s := open(ctx)
		f, a := &flux{wire: dial(fluxName)}, &argo{wire: dial(argoName)}
		for n := range 12 {
			expectDenied(f.reconcile(ctx, deployment(s.namespace, fmt.Sprint("registry.shop.example/checkout:3.", n))))
			expectDenied(a.sync(ctx, deployment(s.namespace, fmt.Sprint("registry.shop.example/checkout:4.", n))))
		}
		Eventually(func() int { return len(s.changes(ctx)) }).Should(BeNumerically(">", 1))
		Consistently(func() int { return len(s.changes(ctx)) }).WithTimeout(time.Second).Should(BeNumerically("<=", 10))
	})
})
