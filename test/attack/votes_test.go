package attack

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

var _ = Describe("A vote", func() {
	const next = "registry.shop.example/checkout:2.4"
	const gitOps = "system:serviceaccount:flux-system:kustomize-controller"

	It("that is deleted and made again counts once, and for the digest that it names", func(ctx SpecContext) {
		s := newScene(ctx)
		policy := &v1alpha1.ChangePolicy{}
		Expect(env.Admin().Get(ctx, client.ObjectKey{Name: "of-" + s.namespace}, policy)).To(Succeed())
		for i := range policy.Spec.Approvals {
			policy.Spec.Approvals[i].Required = 2
		}
		Expect(env.Admin().Update(ctx, policy)).To(Succeed())
		Eventually(func() int32 { return operator.inventory.Rules(s.namespace).Parts[0].Low.Required }).Should(BeEquivalentTo(2))
		filed := s.file(ctx, "again", "checkout", next)
		s.vote(ctx, "carol", filed, v1alpha1.DecisionApprove)
		By("its voter deleting it, which needs retire")
		votes := &v1alpha1.ChangeApprovalList{}
		Expect(env.Admin().List(ctx, votes, client.InNamespace(s.namespace))).To(Succeed())
		Expect(env.Client(GinkgoTB(), "carol").Delete(ctx, &votes.Items[0])).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		By("somebody who may, and the voter making it again under the same name, and under others")
		Expect(env.Admin().Delete(ctx, &votes.Items[0])).To(Succeed())
		same := &v1alpha1.ChangeApproval{ObjectMeta: metav1.ObjectMeta{Name: votes.Items[0].Name, Namespace: s.namespace}, Spec: votes.Items[0].Spec}
		Expect(env.Client(GinkgoTB(), "carol").Create(ctx, same)).To(Succeed())
		s.vote(ctx, "carol", filed, v1alpha1.DecisionApprove)
		s.vote(ctx, "carol", filed, v1alpha1.DecisionApprove)
		s.staysOut(ctx, next)
		By("not counting for what the Change asks after an edit")
		Expect(s.eddie.Get(ctx, client.ObjectKeyFromObject(filed), filed)).To(Succeed())
		filed.Spec.Targets[0].Images["app"] = evilImage
		Expect(s.eddie.Update(ctx, filed)).To(Succeed())
		s.assess(ctx, filed)
		stale := &v1alpha1.ChangeApproval{ObjectMeta: metav1.ObjectMeta{GenerateName: "stale-", Namespace: s.namespace}, Spec: votes.Items[0].Spec}
		Expect(env.Client(GinkgoTB(), "carol").Create(ctx, stale)).To(Succeed())
		s.vote(ctx, "dave", filed, v1alpha1.DecisionApprove)
		s.staysOut(ctx, evilImage)
	})
	It("that rejects stays when its object is deleted by somebody who may", func(ctx SpecContext) {
		s := newScene(ctx)
		filed := s.file(ctx, "rejected", "checkout", next)
		s.vote(ctx, "dave", filed, v1alpha1.DecisionReject)
		// As the Change's controller records it.
		live := &v1alpha1.Change{}
		Expect(operator.client.Get(ctx, client.ObjectKeyFromObject(filed), live)).To(Succeed())
		live.Status.RejectedDigests = []v1alpha1.RejectedDigest{{Digest: change.Digest(&live.Spec), By: "dave", At: metav1.Now()}}
		Expect(operator.client.Status().Update(ctx, live)).To(Succeed())
		Expect(env.Admin().DeleteAllOf(ctx, &v1alpha1.ChangeApproval{}, client.InNamespace(s.namespace))).To(Succeed())
		Eventually(func() []*v1alpha1.ChangeApproval {
			return operator.inventory.Approvals(client.ObjectKeyFromObject(filed))
		}).Should(BeEmpty())
		s.vote(ctx, "carol", filed, v1alpha1.DecisionApprove)
		s.staysOut(ctx, next)
	})
	It("of the committer is not enough for what a GitOps controller asks on the committer's behalf", func(ctx SpecContext) {
		s := newScene(ctx)
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(gitOps), "cluster-admin")
		flux := env.Client(GinkgoTB(), gitOps)
		By("the operator filing it for the controller")
		expectDenied(s.change(ctx, flux, s.checkout, image(next)))
		filings := operator.filings(s.namespace)
		filing := filings[len(filings)-1]
		Expect(filing.Requester).To(Equal(gitOps))
		filed := filing.Object()
		Expect(operator.client.Create(ctx, filed)).To(Succeed())
		s.assess(ctx, filed)
		By("the committer voting for it, as often as they like")
		for range 3 {
			s.vote(ctx, "eddie", filed, v1alpha1.DecisionApprove)
		}
		for range 3 {
			expectDenied(s.change(ctx, flux, s.checkout, image(next)))
			s.staysOut(ctx, next)
		}
		By("the controller voting for its own")
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(gitOps), "itil-approver")
		own := &v1alpha1.ChangeApproval{ObjectMeta: metav1.ObjectMeta{GenerateName: "own-", Namespace: s.namespace}}
		own.Spec.ChangeRef.Name, own.Spec.Decision, own.Spec.Digest = v1alpha1.ObjectName(filed.Name), v1alpha1.DecisionApprove, change.Digest(&filed.Spec)
		Expect(flux.Create(ctx, own)).To(Succeed())
		Eventually(func() []*v1alpha1.ChangeApproval {
			return operator.inventory.Approvals(client.ObjectKeyFromObject(filed))
		}).
			Should(ContainElement(HaveField("ObjectMeta.Name", own.Name)))
		expectDenied(s.change(ctx, flux, s.checkout, image(next)))
		By("a second person voting for it")
		s.vote(ctx, "carol", filed, v1alpha1.DecisionApprove)
		Eventually(func() error { return s.change(ctx, flux, s.checkout, image(next)) }).Should(Succeed())
	})
})

// Whoever reaches the operator's port can say whatever they like: by default an API server does not identify itself.
var _ = Describe("A review that no API server sent", func() {
	It("lets nothing in, and has a Change filed that its author cannot approve", func(ctx SpecContext) {
		const next = "registry.evil.example/miner:2"
		s := newScene(ctx)
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("mallory"), "system:aggregate-to-edit")
		live, wanted := s.checkout.DeepCopy(), s.checkout.DeepCopy()
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
		live.DeepCopyInto(wanted)
		image(next)(wanted)
		review := admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}}
		review.Request = &admissionv1.AdmissionRequest{
			UID: "1", Kind: metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
			Resource:  metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
			Operation: admissionv1.Update, Namespace: s.namespace, Name: "checkout",
			UserInfo:  authenticationv1.UserInfo{Username: "alice"},
			OldObject: runtime.RawExtension{Raw: mustJSON(live)}, Object: runtime.RawExtension{Raw: mustJSON(wanted)},
		}
		operator.post(ctx, mustJSON(review))
		filings := operator.filings(s.namespace)
		filing := filings[len(filings)-1]
		Expect(filing.Requester).To(Equal("alice"))
		filed := filing.Object()
		Expect(operator.client.Create(ctx, filed)).To(Succeed())
		s.assess(ctx, filed)
		s.vote(ctx, "mallory", filed, v1alpha1.DecisionApprove)
		mallory := env.Client(GinkgoTB(), "mallory")
		for range 3 {
			expectDenied(s.change(ctx, mallory, s.checkout, image(next)), filed.Name)
			expectDenied(s.attempt(ctx, image(next)))
		}
		By("its author hiding that the operator filed it")
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("mallory"), "itil-editor")
		hidden := &v1alpha1.Change{}
		Expect(mallory.Get(ctx, client.ObjectKeyFromObject(filed), hidden)).To(Succeed())
		for _, labels := range []map[string]string{nil, {change.LabelFiledFor: change.FiledForPreAuthorised}} {
			hidden.Labels = labels
			Expect(mallory.Update(ctx, hidden.DeepCopy())).To(MatchError(ContainSubstring("says what the operator filed it for")))
		}
		expectDenied(s.change(ctx, mallory, s.checkout, image(next)))
		By("another approving it as well")
		s.vote(ctx, "carol", filed, v1alpha1.DecisionApprove)
		expectDenied(s.change(ctx, mallory, s.checkout, image(next)))
		Eventually(func() error { return s.attempt(ctx, image(next)) }).Should(Succeed())
	})
})

// What is filed and undecided has a limit, so that who pretends to have been filed for takes the places of others.
var _ = Describe("A Change of one's own", func() {
	It("does not pass for one that the operator filed", func(ctx SpecContext) {
		s := newScene(ctx)
		own := s.file(ctx, "own", "checkout", evilImage)
		Expect(s.eddie.Get(ctx, client.ObjectKeyFromObject(own), own)).To(Succeed())
		own.Labels = map[string]string{change.LabelFiledFor: change.FiledForDenied}
		another := own.DeepCopy()
		another.Name, another.ResourceVersion, another.UID = "another", "", ""
		Expect(s.eddie.Update(ctx, own)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		Expect(s.eddie.Create(ctx, another)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
	})
})

var _ = Describe("A Deployment that is made again", func() {
	It("under another name or kind is refused like the first", func(ctx SpecContext) {
		s := newScene(ctx)
		for _, kind := range []string{"StatefulSet", "DaemonSet", "Deployment"} {
			expectDenied(s.eddie.Create(ctx, s.twin(kind, image(evilImage))))
		}
		expectDenied(s.eddie.Delete(ctx, s.checkout), "its deletion")
		foreground := metav1.DeletePropagationForeground
		expectDenied(s.eddie.Delete(ctx, s.checkout, &client.DeleteOptions{PropagationPolicy: &foreground}), "its deletion")
		orphan := metav1.DeletePropagationOrphan
		expectDenied(s.eddie.Delete(ctx, s.checkout, &client.DeleteOptions{PropagationPolicy: &orphan}), "its deletion")
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(s.checkout), &appsv1.Deployment{})).To(Succeed())
	})
})
