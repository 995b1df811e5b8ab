//go:build fleetset

package kinds

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const (
	agreed, next, leaky = "fleet:1", "fleet:2", "fleet:3-leaky"
	proxy               = "proxy:7"
)

// harbour is a namespace under Enforce with a fleet of two vessels that a Service claims, and that was adopted.
type harbour struct{ namespace string }

func open(ctx SpecContext) *harbour {
	GinkgoHelper()
	h := &harbour{namespace: env.Namespace(GinkgoTB(), nil)}
	labels := map[string]any{"app": "fleet"}
	fleet := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"vessels": int64(2), "selector": map[string]any{"matchLabels": labels},
		"workload": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec": map[string]any{"ballast": "sand", "containers": []any{
				map[string]any{"name": "app", "image": agreed, "env": []any{map[string]any{"name": "PORT", "value": "80"}}},
				map[string]any{"name": "proxy", "image": proxy},
			}},
		}},
	}}}
	fleet.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
	fleet.SetNamespace(h.namespace)
	fleet.SetName("fleet")
	Expect(env.Admin().Create(ctx, fleet)).To(Succeed())

	policy := &v1alpha1.ChangePolicy{ObjectMeta: metav1.ObjectMeta{Name: "of-" + h.namespace}}
	policy.Spec.NamespaceSelector.MatchLabels = map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(h.namespace)}
	policy.Spec.Enforcement, policy.Spec.ProvenSeconds = v1alpha1.EnforcementEnforce, 1
	for _, risk := range []v1alpha1.RiskLevel{v1alpha1.RiskLow, v1alpha1.RiskMedium, v1alpha1.RiskHigh} {
		policy.Spec.Approvals = append(policy.Spec.Approvals, v1alpha1.ApprovalRule{Risk: risk, Required: 1})
	}
	Expect(env.Admin().Create(ctx, policy)).To(Succeed())
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "sailing", Namespace: h.namespace}}
	service.Spec.Owner.Team = "harbour"
	service.Spec.Workloads = []v1alpha1.WorkloadClaim{{Kind: kind, Selector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"app": "fleet"}}}}
	Expect(env.Admin().Create(ctx, service)).To(Succeed())

	for _, name := range []string{"alice", "mallory", "carol"} {
		env.Bind(GinkgoTB(), h.namespace, apiserver.User(name), "itil-editor")
	}
	env.Grant(GinkgoTB(), h.namespace, apiserver.User("alice"), apiserver.Allow(group, resource, "get", "update", "patch"))
	env.Bind(GinkgoTB(), h.namespace, apiserver.User("carol"), "itil-approver")
	h.eventually(ctx, func(g Gomega) {
		b := h.item(ctx).Status.Baselines
		g.Expect(b).NotTo(BeEmpty())
		g.Expect(b[0].Proven).To(BeTrue())
		g.Expect(h.set(ctx, next, client.DryRunAll)).To(Succeed())
		g.Expect(h.set(ctx, next)).To(Satisfy(apierrors.IsForbidden))
	})
	return h
}

// eventually, while the vessels do what the fleet tells them.
func (h *harbour) eventually(ctx context.Context, f func(g Gomega)) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		h.sail(ctx)
		f(g)
	}).WithPolling(50 * time.Millisecond).Should(Succeed())
}

// sail is the controller of FleetSets: all vessels get the template at once, and what is leaky does not stay afloat.
func (h *harbour) sail(ctx context.Context) {
	GinkgoHelper()
	Expect(retry.RetryOnConflict(retry.DefaultRetry, func() error {
		fleet := h.fleet(ctx)
		n, _, _ := unstructured.NestedInt64(fleet.Object, "spec", "vessels")
		afloat := n
		if strings.HasSuffix(h.runs(ctx), "-leaky") {
			afloat = 0
		}
		status := map[string]any{
			"observedGeneration": fleet.GetGeneration(), "vessels": map[string]any{"total": n, "refitted": n, "afloat": afloat},
		}
		old, _, _ := unstructured.NestedMap(fleet.Object, "status")
		if equal(old, status) {
			return nil
		}
		fleet.Object["status"] = status
		return env.Admin().Status().Update(ctx, fleet)
	})).To(Succeed())
}

func equal(a, b map[string]any) bool {
	x, y := unstructured.Unstructured{Object: map[string]any{"kind": "x", "v": a}}, unstructured.Unstructured{Object: map[string]any{"kind": "x", "v": b}}
	one, err := x.MarshalJSON()
	Expect(err).NotTo(HaveOccurred())
	other, err := y.MarshalJSON()
	Expect(err).NotTo(HaveOccurred())
	return string(one) == string(other)
}

func (h *harbour) fleet(ctx context.Context) *unstructured.Unstructured {
	GinkgoHelper()
	fleet := &unstructured.Unstructured{}
	fleet.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: h.namespace, Name: "fleet"}, fleet)).To(Succeed())
	return fleet
}

func (h *harbour) template(ctx context.Context) map[string]any {
	GinkgoHelper()
	template, _, err := unstructured.NestedMap(h.fleet(ctx).Object, "spec", "workload", "template")
	Expect(err).NotTo(HaveOccurred())
	return template
}

func (h *harbour) runs(ctx context.Context) string {
	containers, _, _ := unstructured.NestedSlice(h.template(ctx), "spec", "containers")
	app, _ := containers[0].(map[string]any)
	image, _ := app["image"].(string)
	return image
}

// set the image, as alice.
func (h *harbour) set(ctx context.Context, image string, options ...client.UpdateOption) error {
	GinkgoHelper()
	fleet := h.fleet(ctx)
	containers, _, _ := unstructured.NestedSlice(fleet.Object, "spec", "workload", "template", "spec", "containers")
	containers[0].(map[string]any)["image"] = image
	Expect(unstructured.SetNestedSlice(fleet.Object, containers, "spec", "workload", "template", "spec", "containers")).To(Succeed())
	return env.Client(GinkgoTB(), "alice").Update(ctx, fleet, options...)
}

func (h *harbour) item(ctx context.Context) *v1alpha1.ConfigurationItem {
	item := &v1alpha1.ConfigurationItem{}
	if err := env.Admin().Get(ctx, client.ObjectKey{Namespace: h.namespace, Name: "fleetset-fleet"}, item); err != nil {
		return &v1alpha1.ConfigurationItem{}
	}
	return item
}

func (h *harbour) releaseOf(name, image string) *v1alpha1.Release {
	return &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: name},
		Spec: v1alpha1.ReleaseSpec{
			Version: "2", Change: &v1alpha1.ReleaseChange{}, EarlyLifeSupport: "1h",
			Units: []v1alpha1.ReleaseUnit{{
				Name: "fleet", Workload: v1alpha1.WorkloadReference{Kind: kind, Name: "fleet"}, Images: map[string]v1alpha1.Image{"app": v1alpha1.Image(image)},
			}},
			Phases: []v1alpha1.ReleasePhase{{Name: "all", Units: []string{"*"}, Soak: "1s", Timeout: "6s"}},
		},
	}
}

func (h *harbour) release(ctx context.Context, name string) *v1alpha1.Release {
	GinkgoHelper()
	r := &v1alpha1.Release{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: h.namespace, Name: name}, r)).To(Succeed())
	return r
}

// approve the Change of a Release, as carol.
func (h *harbour) approve(ctx context.Context, name string) {
	GinkgoHelper()
	h.eventually(ctx, func(g Gomega) {
		c := &v1alpha1.Change{}
		g.Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: h.namespace, Name: name}, c)).To(Succeed())
		g.Expect(c.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
		vote := &v1alpha1.ChangeApproval{ObjectMeta: metav1.ObjectMeta{Name: name + "-carol", Namespace: h.namespace}}
		vote.Spec.ChangeRef.Name, vote.Spec.Decision, vote.Spec.Digest = v1alpha1.ObjectName(name), v1alpha1.DecisionApprove, c.Status.Digest
		g.Expect(env.Client(GinkgoTB(), "carol").Create(ctx, vote)).To(Succeed())
	})
}

var _ = Describe("A kind that only the table knows", func() {
	It("is followed, governed, released and taken back", func(ctx SpecContext) {
		h := open(ctx)
		By("being followed by the inventory, with its own counts")
		Expect(h.item(ctx).Status.Baselines[0].Images).To(Equal(map[string]string{"app": agreed, "proxy": proxy}))
		service := &v1alpha1.Service{}
		h.eventually(ctx, func(g Gomega) {
			g.Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: h.namespace, Name: "sailing"}, service)).To(Succeed())
			g.Expect(service.Status.Workloads).To(HaveLen(1))
			w := service.Status.Workloads[0]
			g.Expect([]any{string(w.Kind), w.Ready, w.Desired}).To(Equal([]any{kind, int32(2), int32(2)}))
		})

		By("being refused another template, also where no Go type knows the field")
		err := h.set(ctx, next)
		Expect(err).To(MatchError(And(ContainSubstring("fleetset "+h.namespace+"/fleet is governed by Service sailing"), ContainSubstring("app="+next))))
		odd := h.fleet(ctx)
		Expect(unstructured.SetNestedField(odd.Object, "lead", "spec", "workload", "template", "spec", "ballast")).To(Succeed())
		Expect(env.Client(GinkgoTB(), "alice").Update(ctx, odd)).To(MatchError(ContainSubstring("fleetset " + h.namespace + "/fleet is governed by Service sailing")))
		By("being scaled and labelled by anybody")
		scaled := h.fleet(ctx)
		Expect(unstructured.SetNestedField(scaled.Object, int64(3), "spec", "vessels")).To(Succeed())
		Expect(env.Client(GinkgoTB(), "alice").Update(ctx, scaled)).To(Succeed())

		By("being released by who may update it, and nobody else")
		Expect(env.Client(GinkgoTB(), "mallory").Create(ctx, h.releaseOf("stolen", next))).To(MatchError(ContainSubstring("needs the verb update on fleetsets")))
		Expect(env.Client(GinkgoTB(), "alice").Create(ctx, h.releaseOf("v2", next))).To(Succeed())
		h.approve(ctx, "v2")
		before := h.template(ctx)
		h.eventually(ctx, func(g Gomega) {
			g.Expect(h.release(ctx, "v2").Status.State).To(Equal(v1alpha1.ReleaseEarlyLifeSupport), h.release(ctx, "v2").Status.NextStep)
		})
		Expect(h.runs(ctx)).To(Equal(next))
		By("with nothing of its template altered but the image")
		Expect(h.set(ctx, agreed, client.DryRunAll)).To(Succeed())
		containers, _, _ := unstructured.NestedSlice(before, "spec", "containers")
		containers[0].(map[string]any)["image"] = next
		Expect(unstructured.SetNestedSlice(before, containers, "spec", "containers")).To(Succeed())
		Expect(h.template(ctx)).To(Equal(before))
		h.eventually(ctx, func(g Gomega) { g.Expect(h.item(ctx).Status.Baselines[0].Proven).To(BeTrue()) })

		By("going back by itself when its vessels do not stay afloat")
		Expect(env.Client(GinkgoTB(), "alice").Create(ctx, h.releaseOf("v3", leaky))).To(Succeed())
		h.approve(ctx, "v3")
		h.eventually(ctx, func(g Gomega) { g.Expect(h.runs(ctx)).To(Equal(leaky)) })
		Expect(meta.IsStatusConditionTrue(h.release(ctx, "v3").Status.Conditions, v1alpha1.ConditionBackoutPossible)).To(BeTrue())
		h.eventually(ctx, func(g Gomega) {
			g.Expect(h.release(ctx, "v3").Status.State).To(Equal(v1alpha1.ReleaseRolledBack), "%+v", h.release(ctx, "v3").Status)
		})
		Expect(h.template(ctx)).To(Equal(before))
	})
})
