package attack

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const releasedImage = "registry.shop.example/checkout:2.4"

var _ = Describe("A Release", func() {
	Context("used to deploy with the operator's rights", func() {
		var namespace string
		var rita client.Client
		release := func(name string, alter func(*v1alpha1.ReleaseSpec)) *v1alpha1.Release {
			r := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
			r.Spec = v1alpha1.ReleaseSpec{
				Version: "2.4", Requester: "rita", Strategy: v1alpha1.ReleaseApply, Backout: v1alpha1.BackoutManual,
				Units: []v1alpha1.ReleaseUnit{{
					Name: "checkout", Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
					Images: map[string]v1alpha1.Image{"app": evilImage},
				}},
				Phases: []v1alpha1.ReleasePhase{{Name: "all", Units: []string{"*"}}}, Change: &v1alpha1.ReleaseChange{},
			}
			alter(&r.Spec)
			return r
		}
		as := func(alter func(*v1alpha1.ReleaseSpec)) error {
			return rita.Create(context.Background(), release("forged", alter))
		}
		const needs = "needs the verb update on deployments"

		// rita may write Releases, and no workload but one.
		BeforeEach(func() {
			namespace = env.Namespace(GinkgoTB(), nil)
			everything := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
			env.Grant(GinkgoTB(), namespace, apiserver.User("rita"), apiserver.Allow("itil.dev", "releases", everything...))
			rita = env.Client(GinkgoTB(), "rita")
		})

		It("is refused to who may not update the workloads", func(ctx SpecContext) {
			Expect(as(func(*v1alpha1.ReleaseSpec) {})).To(refused(needs))
			Expect(as(func(s *v1alpha1.ReleaseSpec) { s.Strategy = "" })).To(refused(needs))
		})

		It("is refused where only going back is asked of the operator", func(ctx SpecContext) {
			Expect(as(func(s *v1alpha1.ReleaseSpec) {
				s.Strategy, s.Backout = v1alpha1.ReleaseObserve, v1alpha1.BackoutAutomatic
			})).To(refused(needs))
			Expect(as(func(s *v1alpha1.ReleaseSpec) { s.Strategy, s.Backout = v1alpha1.ReleaseObserve, "" })).To(refused(needs))
		})

		It("is refused by every edit that would have the operator write, and by resuming one", func(ctx SpecContext) {
			mine := release("mine", func(s *v1alpha1.ReleaseSpec) { s.Strategy = v1alpha1.ReleaseObserve })
			Expect(rita.Create(ctx, mine)).To(Succeed())
			for _, patch := range []string{`{"spec":{"strategy":"Apply"}}`, `{"spec":{"strategy":null}}`, `{"spec":{"backout":"Automatic"}}`, `{"spec":{"backout":null}}`} {
				Expect(rita.Patch(ctx, mine.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch)))).To(refused(needs), patch)
			}
			paused := release("paused", func(s *v1alpha1.ReleaseSpec) { s.Requester, s.Paused = "admin", true })
			Expect(env.Admin().Create(ctx, paused)).To(Succeed())
			Expect(rita.Patch(ctx, paused, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"paused":false}}`)))).To(refused(needs))
		})

		It("is refused to who may update another workload alone, or the same name of another kind", func(ctx SpecContext) {
			env.Grant(GinkgoTB(), namespace, apiserver.User("rita"), apiserver.Allow("apps", "statefulsets", "update"))
			Expect(as(func(*v1alpha1.ReleaseSpec) {})).To(refused(needs))
		})
	})

	It("lets in nothing of a phase that does not run, whoever asks", func(ctx SpecContext) {
		s := newScene(ctx)
		chg := s.file(ctx, "shop-2", "checkout", releasedImage)
		rel := s.released(ctx, chg)
		s.vote(ctx, "carol", chg, v1alpha1.DecisionApprove)
		Eventually(func() error { return s.attempt(ctx, image(releasedImage)) }).Should(MatchError(ContainSubstring("belongs to Release shop-2")))

		By("forging that its turn has come")
		forged := rel.DeepCopy()
		forged.Status.Phase = "full"
		Expect(s.eddie.Status().Update(ctx, forged)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))

		By("taking what says so from the Change")
		live := &v1alpha1.Change{}
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(chg), live)).To(Succeed())
		live.Annotations = nil
		Expect(s.eddie.Update(ctx, live)).To(refused("names the Release that raised it"))
		Consistently(func() error { return s.attempt(ctx, image(releasedImage)) }, time.Second).ShouldNot(Succeed())

		By("bringing it in when it is its turn")
		s.phase(ctx, rel, "full")
		Eventually(func() error { return s.attempt(ctx, image(releasedImage)) }).Should(Succeed())
	})

	It("lets in nothing more once it is taken back, though its Change is approved and its window open", func(ctx SpecContext) {
		s := newScene(ctx)
		chg := s.file(ctx, "shop-2", "checkout", releasedImage)
		rel := s.released(ctx, chg)
		s.vote(ctx, "carol", chg, v1alpha1.DecisionApprove)
		s.phase(ctx, rel, "full")
		s.set(ctx, rel, func(status *v1alpha1.ReleaseStatus) {
			status.Failure = &v1alpha1.ReleaseFailure{Reason: v1alpha1.ReleaseFailureTimeout, Message: "too slow", At: metav1.Now()}
			status.Backout = &v1alpha1.ReleaseBackout{StartedAt: metav1.Now()}
		})
		expectDenied(s.attempt(ctx, image(releasedImage)), "being taken back")

		By("deleting the Release that holds its Change back")
		Expect(env.Admin().Delete(ctx, rel)).To(Succeed())
		Eventually(func() bool {
			_, exists := operator.inventory.Release(client.ObjectKeyFromObject(rel))
			return exists
		}).Should(BeFalse())
		Consistently(func() error { return s.attempt(ctx, image(releasedImage)) }, time.Second).ShouldNot(Succeed())

		By("taking what says of it from the Change as well")
		Expect(s.eddie.Get(ctx, client.ObjectKeyFromObject(chg), chg)).To(Succeed())
		for _, other := range []string{"", "another"} {
			chg.Annotations = map[string]string{v1alpha1.AnnotationRelease: other}
			Expect(s.eddie.Update(ctx, chg.DeepCopy())).To(refused("names the Release that raised it"))
		}
		expectDenied(s.attempt(ctx, image(releasedImage)), "goes in under another by now")
	})
})

// refused by the policy, in these words.
func refused(words string) OmegaMatcher {
	return And(MatchError(apierrors.IsForbidden, "IsForbidden"), MatchError(ContainSubstring(words)))
}

// released is a Release of checkout in its second phase, of which the first runs, under a Change, as the operator would
// have raised it.
func (s *scene) released(ctx context.Context, chg *v1alpha1.Change) *v1alpha1.Release {
	GinkgoHelper()
	unit := func(name string) v1alpha1.ReleaseUnit {
		return v1alpha1.ReleaseUnit{
			Name: v1alpha1.ContainerName(name), Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(name)},
			Images: map[string]v1alpha1.Image{"app": releasedImage},
		}
	}
	rel := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: chg.Name}}
	rel.Spec = v1alpha1.ReleaseSpec{
		Version: "2.4", Requester: "eddie", Strategy: v1alpha1.ReleaseObserve, Units: []v1alpha1.ReleaseUnit{unit("checkout"), unit("worker")},
		Phases: []v1alpha1.ReleasePhase{{Name: "pilot", Units: []string{"worker"}}, {Name: "full", Units: []string{"*"}}}, Change: &v1alpha1.ReleaseChange{},
	}
	Expect(s.eddie.Create(ctx, rel)).To(Succeed())
	live := &v1alpha1.Change{}
	Expect(operator.client.Get(ctx, client.ObjectKeyFromObject(chg), live)).To(Succeed())
	live.Annotations = map[string]string{v1alpha1.AnnotationRelease: rel.Name}
	Expect(operator.client.Update(ctx, live)).To(Succeed())
	s.phase(ctx, rel, "pilot")
	return rel
}

// phase makes it the turn of one, as the operator does.
func (s *scene) phase(ctx context.Context, rel *v1alpha1.Release, name string) {
	GinkgoHelper()
	s.set(ctx, rel, func(status *v1alpha1.ReleaseStatus) {
		now := metav1.Now()
		status.State, status.Phase, status.StartedAt = v1alpha1.ReleaseDeploying, name, &now
		status.ChangeRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(rel.Name)}
		status.Phases, status.Units = nil, nil
		for i := range rel.Spec.Phases {
			p := v1alpha1.ReleasePhaseStatus{Name: rel.Spec.Phases[i].Name, State: v1alpha1.ReleasePhaseDone}
			if string(p.Name) == name {
				p.State = v1alpha1.ReleasePhaseDeploying
			}
			status.Phases = append(status.Phases, p)
		}
		for i, phase := range []string{"full", "pilot"} {
			u := &rel.Spec.Units[i]
			status.Units = append(status.Units, v1alpha1.ReleaseUnitStatus{Name: u.Name, Workload: u.Workload, Phase: phase, State: v1alpha1.ReleaseUnitDeploying})
		}
	})
}

// set writes a Release's status as the operator, and waits until the gate knows.
func (s *scene) set(ctx context.Context, rel *v1alpha1.Release, alter func(*v1alpha1.ReleaseStatus)) {
	GinkgoHelper()
	live := &v1alpha1.Release{}
	Expect(operator.client.Get(ctx, client.ObjectKeyFromObject(rel), live)).To(Succeed())
	alter(&live.Status)
	Expect(operator.client.Status().Update(ctx, live)).To(Succeed())
	Eventually(func() string {
		seen, exists := operator.inventory.Release(client.ObjectKeyFromObject(rel))
		if !exists {
			return ""
		}
		return seen.ResourceVersion
	}).Should(Equal(live.ResourceVersion))
	live.DeepCopyInto(rel)
}
