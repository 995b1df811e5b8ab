package e2e

import (
	"context"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// releases: a version arrives in phases, or goes back.
func releases() {
	s := &shop{}
	const pilot = "cart"

	imageOf := func(ctx context.Context, g Gomega, workload string) string {
		d := &appsv1.Deployment{}
		g.Expect(env.admin.Get(ctx, s.key(workload), d)).To(Succeed())
		return d.Spec.Template.Spec.Containers[0].Image
	}
	get := func(ctx context.Context, g Gomega, name string) *v1alpha1.Release {
		release := &v1alpha1.Release{}
		g.Expect(env.admin.Get(ctx, s.key(name), release)).To(Succeed())
		return release
	}
	changeOf := func(ctx context.Context, g Gomega, release string) *v1alpha1.Change {
		change := &v1alpha1.Change{}
		g.Expect(env.admin.Get(ctx, s.key(release), change)).To(Succeed())
		return change
	}
	unit := func(workload, tag string) v1alpha1.ReleaseUnit {
		return v1alpha1.ReleaseUnit{
			Name:     v1alpha1.ContainerName(workload),
			Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(workload)},
			Images:   map[string]v1alpha1.Image{"app": v1alpha1.Image(image(tag))},
		}
	}
	// begin makes a Release as alice, whose pilot soaks for so long, and has its Change approved.
	begin := func(ctx context.Context, name, pilotTag, tag string, soak v1alpha1.Duration) {
		Expect(env.as("alice").Create(ctx, &v1alpha1.Release{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
			Spec: v1alpha1.ReleaseSpec{
				Version: tag, Requester: "alice", ServiceRefs: []v1alpha1.LocalReference{{Name: "checkout"}},
				Units: []v1alpha1.ReleaseUnit{unit(pilot, pilotTag), unit("checkout", tag)},
				Phases: []v1alpha1.ReleasePhase{
					{Name: "pilot", Units: []string{pilot}, Soak: soak, Timeout: "5m"},
					{Name: "full", Units: []string{"*"}, Soak: "5s"},
				},
				EarlyLifeSupport: "5s",
				Change:           &v1alpha1.ReleaseChange{Type: v1alpha1.ChangeNormal, Summary: "Release " + tag},
			},
		})).To(Succeed())
		var change *v1alpha1.Change
		Eventually(ctx, func(g Gomega) {
			change = changeOf(ctx, g, name)
			g.Expect(change.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
			g.Expect(change.Spec.Requester).To(Equal(v1alpha1.UserName("alice")))
			g.Expect(get(ctx, g, name).Status.State).To(Equal(v1alpha1.ReleasePlanning))
		}).Should(Succeed())
		Expect(s.vote(ctx, "carol", change)).To(Succeed())
		Expect(s.vote(ctx, "dave", change)).To(Succeed())
	}

	BeforeAll(func(ctx SpecContext) {
		s.open(ctx, "release", v1alpha1.EnforcementEnforce)
		Expect(env.admin.Create(ctx, builder.MakeDeployment(s.namespace, pilot).Replicas(1).Image("app", image("2.3")).Obj())).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			d := &appsv1.Deployment{}
			g.Expect(env.admin.Get(ctx, s.key(pilot), d)).To(Succeed())
			g.Expect(d.Status.AvailableReplicas).To(BeEquivalentTo(1))
		}).Should(Succeed())
		Expect(env.as("alice").Create(ctx, builder.MakeService(s.namespace, pilot).Tier(2).Team("payments").
			Claim(v1alpha1.WorkloadDeployment, pilot).Obj())).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(s.item(ctx, g, pilot).Status.Baselines).To(HaveLen(1))
		}).WithTimeout(2 * time.Minute).Should(Succeed())
	}, NodeTimeout(6*time.Minute))

	It("goes back by itself when its pilot phase breaks, and never reaches the next", func(ctx SpecContext) {
		begin(ctx, "v2-5", "2.5-oom", "2.5", "1m") // on a slow machine its fault takes its time
		Eventually(ctx, func(g Gomega) {
			g.Expect(imageOf(ctx, g, "checkout")).To(Equal(image("2.3")))
			release := get(ctx, g, "v2-5")
			g.Expect(release.Status.State).To(Equal(v1alpha1.ReleaseRolledBack))
			g.Expect(release.Status.Failure).NotTo(BeNil())
			g.Expect(release.Status.Failure.Phase).To(Equal("pilot"))
			g.Expect(release.Status.NextStep).NotTo(BeEmpty())
		}).WithTimeout(4 * time.Minute).WithPolling(time.Second).Should(Succeed())
		Expect(imageOf(ctx, Default, pilot)).To(Equal(image("2.3")))
		Eventually(ctx, func(g Gomega) {
			change := changeOf(ctx, g, "v2-5")
			g.Expect(change.Status.Outcome).To(Equal(v1alpha1.OutcomeRolledBack))
			g.Expect(change.Status.State).To(BeElementOf(v1alpha1.ChangeReview, v1alpha1.ChangeClosed))
			incidents := incidentsOf(ctx, g, s.namespace)[pilot]
			g.Expect(incidents).To(HaveLen(1))
			g.Expect(incidents[0].Status.Reason).To(Equal(v1alpha1.SignalOOMKilled))
			g.Expect(incidents[0].Status.SuspectedChange).NotTo(BeNil())
			g.Expect(incidents[0].Status.SuspectedChange.Name).To(BeEquivalentTo("v2-5"))
		}).WithTimeout(2 * time.Minute).Should(Succeed())
	}, SpecTimeout(6*time.Minute))

	It("brings a sound version in, phase after phase", func(ctx SpecContext) {
		begin(ctx, "v2-6", "2.6", "2.6", "10s")
		Eventually(ctx, func(g Gomega) {
			g.Expect(get(ctx, g, "v2-6").Status.State).To(Equal(v1alpha1.ReleaseCompleted))
		}).WithTimeout(3 * time.Minute).Should(Succeed())
		for _, workload := range []string{pilot, "checkout"} {
			Expect(imageOf(ctx, Default, workload)).To(Equal(image("2.6")))
		}
		sets := &appsv1.ReplicaSetList{}
		Expect(env.admin.List(ctx, sets, client.InNamespace(s.namespace), client.MatchingLabels{"app": "checkout"})).To(Succeed())
		newest := slices.MaxFunc(sets.Items, func(a, b appsv1.ReplicaSet) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
		Expect(newest.Spec.Template.Spec.Containers[0].Image).To(Equal(image("2.6")))
		Expect(get(ctx, Default, "v2-6").Status.Phases[0].DoneAt.Time).NotTo(BeTemporally(">", newest.CreationTimestamp.Time), "no unit before its phase")
	}, SpecTimeout(5*time.Minute))
}
