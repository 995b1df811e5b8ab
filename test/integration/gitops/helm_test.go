package gitops

import (
	"context"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const helmName = "system:serviceaccount:flux-system:helm-controller"

// helm upgrades and rolls back like Helm (helm/helm, pkg/kube client.Update, read at e9b85e4d), also within Flux' helm-
// controller: what is new is created, what exists is patched, and what the earlier release had and this one has not is
// deleted; the first failure of a creation or a patch ends it. A patch is a three-way one between the earlier release,
// this one and what lives, or server-side as Helm 4 has it by default. A rollback is an upgrade to an earlier release.
type helm struct {
	*wire
	serverSide bool
	// deployed is the manifest of the release that is deployed: Helm remembers it, not the cluster.
	deployed map[string]*unstructured.Unstructured
}

func (h *helm) upgrade(ctx context.Context, bundle ...*unstructured.Unstructured) error {
	release := map[string]*unstructured.Unstructured{}
	for _, o := range bundle {
		name := o.GetKind() + "/" + o.GetName()
		if err := h.applyObject(ctx, h.deployed[name], o); err != nil {
			return err
		}
		release[name] = o
	}
	for name, o := range h.deployed {
		if release[name] != nil {
			continue
		}
		err := h.Delete(ctx, o.DeepCopy(), client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	h.deployed = release
	return nil
}

func (h *helm) applyObject(ctx context.Context, original, o *unstructured.Unstructured) error {
	live, err := h.existing(ctx, o)
	switch {
	case err != nil:
		return err
	case h.serverSide:
		data, err := json.Marshal(o)
		if err != nil {
			return err
		}
		return h.Patch(ctx, o.DeepCopy(), client.RawPatch(types.ApplyPatchType, data), client.ForceOwnership, client.FieldOwner("helm"))
	case live == nil:
		return h.Create(ctx, o.DeepCopy(), client.FieldOwner("helm"))
	case original == nil:
		original = o // it was there before the release: nothing of it goes away
	}
	var encoded [3][]byte
	for i, version := range []*unstructured.Unstructured{original, o, live} {
		if encoded[i], err = json.Marshal(version); err != nil {
			return err
		}
	}
	patch, kind, err := threeWayPatch(o.GroupVersionKind(), encoded[0], encoded[1], encoded[2])
	if err != nil || string(patch) == "{}" {
		return err
	}
	return h.Patch(ctx, live, client.RawPatch(kind, patch), client.FieldOwner("helm"))
}

func byHelm(h helm) func() *way {
	return func() *way {
		one := h // each spec has a release of its own
		one.wire = dial(helmName)
		return &way{user: helmName, wire: one.wire, deploy: one.upgrade}
	}
}

// proven has what runs be rolled out, and waits until it has proven itself.
func (s *shop) proven(ctx SpecContext) {
	GinkgoHelper()
	d := s.live(ctx)
	d.Status.ObservedGeneration, d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = d.Generation, 2, 2, 2, 2
	Expect(env.Admin().Status().Update(ctx, d)).To(Succeed())
	Eventually(func(g Gomega) {
		baselines := s.item(ctx).Status.Baselines
		g.Expect(baselines).NotTo(BeEmpty())
		g.Expect(baselines[0].Images).To(HaveKeyWithValue("app", s.runs(ctx)))
		g.Expect(baselines[0].Proven).To(BeTrue())
	}).Should(Succeed())
}

// soonProven has a template prove itself in a second.
func soonProven(spec *v1alpha1.ChangePolicySpec) { spec.ProvenSeconds = 1 }

// comesIn has a way deploy the next image, which is approved on the way.
func (s *shop) comesIn(ctx SpecContext, w *way) {
	GinkgoHelper()
	expectDenied(w.deploy(ctx, deployment(s.namespace, nextImage)))
	Eventually(func() []v1alpha1.Change { return s.changes(ctx) }).Should(HaveLen(1))
	s.approve(ctx, s.changes(ctx)[0].Name)
	Eventually(func() error { return w.deploy(ctx, deployment(s.namespace, nextImage)) }).Should(Succeed())
	Expect(s.runs(ctx)).To(Equal(nextImage))
	s.proven(ctx)
}

// staysBack has a way self-heal to the image that was taken back.
func (s *shop) staysBack(ctx SpecContext, w *way) {
	GinkgoHelper()
	uid := s.live(ctx).UID
	for range 5 {
		expectDenied(w.deploy(ctx, deployment(s.namespace, nextImage)), "going forward again needs a")
	}
	Expect(s.runs(ctx)).To(Equal(agreedImage))
	Expect(s.live(ctx).UID).To(Equal(uid))
	Expect(w.wire.deleted).To(BeEmpty())
	Eventually(func() []v1alpha1.Change {
		// At first the Change that was rolled back may not be known to have ended, and none is filed.
		expectDenied(w.deploy(ctx, deployment(s.namespace, nextImage)))
		return s.changes(ctx)
	}).Should(HaveLen(2), "one more is filed, once")
}

// rolledBack is by whom what runs came back.
func (s *shop) rolledBack(ctx context.Context, by string) {
	GinkgoHelper()
	Eventually(func() v1alpha1.Baseline { return s.item(ctx).Status.Baselines[0] }).Should(
		And(HaveField("Source", v1alpha1.BaselineRollback), HaveField("By", by)))
}

var _ = Describe("A deployment that is taken back", func() {
	for name, dialled := range ways {
		It("goes back at once with its source, and not forward again: "+name, func(ctx SpecContext) {
			w, s := dialled(), open(ctx, soonProven)
			Expect(w.deploy(ctx, deployment(s.namespace, agreedImage))).To(Succeed(), "what is agreed, so that a release has it")
			s.proven(ctx)
			s.comesIn(ctx, w)
			Expect(w.deploy(ctx, deployment(s.namespace, agreedImage))).To(Succeed(), "git revert, helm rollback")
			Expect(s.runs(ctx)).To(Equal(agreedImage))
			s.rolledBack(ctx, w.user)
			s.staysBack(ctx, w)
		})
	}

	It("is not put in again by the self-healing of a source that was not reverted", func(ctx SpecContext) {
		w, s := byArgo(argo{})(), open(ctx, soonProven)
		s.proven(ctx)
		s.comesIn(ctx, w)
		d := s.live(ctx)
		d.Spec.Template.Spec.Containers[0].Image = agreedImage
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("alice"), "cluster-admin")
		Expect(env.Client(GinkgoTB(), "alice").Update(ctx, d)).To(Succeed(), "a person's rollback at night")
		s.rolledBack(ctx, "alice")
		s.staysBack(ctx, w)
	})

	It("is not put in again by that where its risk needs no vote: somebody must have looked at what was rolled back", func(ctx SpecContext) {
		const patched = agreedImage + ".1"
		lowNeedsNone := func(p *v1alpha1.ChangePolicySpec) { p.Approvals[0].Required = 0 }
		w, s := byArgo(argo{})(), open(ctx, soonProven, lowNeedsNone)
		s.proven(ctx)
		Expect(w.deploy(ctx, deployment(s.namespace, patched))).To(Succeed(), "nobody needs to agree")
		Eventually(func() string { return s.item(ctx).Status.Baselines[0].Images["app"] }).Should(Equal(patched))
		d := s.live(ctx)
		d.Spec.Template.Spec.Containers[0].Image = agreedImage
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("alice"), "cluster-admin")
		Expect(env.Client(GinkgoTB(), "alice").Update(ctx, d)).To(Succeed(), "a person's rollback at night")
		s.rolledBack(ctx, "alice")

		expectDenied(w.deploy(ctx, deployment(s.namespace, patched)), "going forward again needs a")
		var filed v1alpha1.Change
		Eventually(func(g Gomega) {
			// It asks again and again. At first the Change that was rolled back is not known to have ended, and none is filed.
			expectDenied(w.deploy(ctx, deployment(s.namespace, patched)))
			for _, c := range s.changes(ctx) {
				if c.Labels[practice.LabelFiledFor] == practice.FiledForDenied {
					filed = c
				}
			}
			g.Expect(filed.Status.State).NotTo(BeEmpty())
		}).Should(Succeed())
		Expect(filed.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
		Expect(filed.Status.Risk.Level).To(Equal(v1alpha1.RiskLow))
		expectDenied(w.deploy(ctx, deployment(s.namespace, patched)), "needs 2 approvals")
		Expect(s.runs(ctx)).To(Equal(agreedImage))
		s.approve(ctx, filed.Name)
		Eventually(func() error { return w.deploy(ctx, deployment(s.namespace, patched)) }).Should(Succeed())
	})
})

var _ = Describe("A workload that is taken out of its source", func() {
	for name, dialled := range map[string]func() (wire *wire, prune func(context.Context, *unstructured.Unstructured) error){
		"Flux": func() (*wire, func(context.Context, *unstructured.Unstructured) error) {
			w := dial(fluxName)
			return w, func(ctx context.Context, o *unstructured.Unstructured) error {
				return w.Delete(ctx, o.DeepCopy(), client.PropagationPolicy(metav1.DeletePropagationBackground))
			}
		},
		"Argo CD": func() (*wire, func(context.Context, *unstructured.Unstructured) error) {
			a := &argo{wire: dial(argoName)}
			return a.wire, a.prune
		},
		"Helm": func() (*wire, func(context.Context, *unstructured.Unstructured) error) {
			h := &helm{wire: dial(helmName)}
			return h.wire, func(ctx context.Context, o *unstructured.Unstructured) error {
				h.deployed = map[string]*unstructured.Unstructured{"Deployment/checkout": o}
				return h.upgrade(ctx, configMap(o.GetNamespace()))
			}
		},
	} {
		It("is pruned after an approved Change with the operation Delete, and not before: "+name, func(ctx SpecContext) {
			s := open(ctx)
			_, prune := dialled()
			for range 5 {
				expectDenied(prune(ctx, deployment(s.namespace, agreedImage)), "its deletion")
			}
			Expect(s.runs(ctx)).To(Equal(agreedImage))
			Eventually(func() []v1alpha1.Change { return s.changes(ctx) }).Should(HaveLen(1))
			filed := s.changes(ctx)[0]
			Expect(filed.Spec.Targets[0].Operations).To(Equal([]v1alpha1.Operation{v1alpha1.OperationDelete}))
			s.approve(ctx, filed.Name)
			Eventually(func() error { return prune(ctx, deployment(s.namespace, agreedImage)) }).Should(Succeed())
			Eventually(func() error {
				return env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "checkout"}, deployment(s.namespace, agreedImage))
			}).Should(Or(Satisfy(apierrors.IsNotFound), Satisfy(func(error) bool { return s.live(ctx).DeletionTimestamp != nil })))
		})
	}
})
