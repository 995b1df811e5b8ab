package e2e

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// The sample shop (config/samples) through five weeks: its worker is OOMKilled now and then, release 2.5 makes it worse
// and goes back, a Problem asks why, release 2.6 has the answer, and the timeline tells it.
var _ = Describe("The sample shop", Ordered, func() {
	var w *weeks
	monday := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC) // 09:00 in Berlin, where change hours begin at 8
	day := func(n, hour int) time.Time { return monday.AddDate(0, 0, n).Add(time.Duration(hour-8) * time.Hour) }

	get := func(ctx context.Context, g Gomega, name string, object client.Object) {
		g.ExpectWithOffset(1, w.admin.Get(ctx, client.ObjectKey{Namespace: "shop", Name: name}, object)).To(Succeed())
	}
	release := func(ctx context.Context, g Gomega, name string) *v1alpha1.Release {
		r := &v1alpha1.Release{}
		get(ctx, g, name, r)
		return r
	}
	changeOf := func(ctx context.Context, g Gomega, name string) *v1alpha1.Change {
		c := &v1alpha1.Change{}
		get(ctx, g, name, c)
		return c
	}
	// incidents of the worker, the newest last.
	incidents := func(ctx context.Context, g Gomega) []v1alpha1.Incident {
		list := &v1alpha1.IncidentList{}
		g.Expect(w.admin.List(ctx, list, client.InNamespace("shop"))).To(Succeed())
		list.Items = slices.DeleteFunc(list.Items, func(i v1alpha1.Incident) bool {
			return i.Spec.WorkloadRef == nil || i.Spec.WorkloadRef.Name != "checkout-worker"
		})
		slices.SortFunc(list.Items, func(a, b v1alpha1.Incident) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
		return list.Items
	}
	newest := func(ctx context.Context, g Gomega, number int) *v1alpha1.Incident {
		all := incidents(ctx, g)
		g.Expect(all).To(HaveLen(number))
		return &all[number-1]
	}
	problem := func(ctx context.Context, g Gomega) *v1alpha1.Problem {
		list := &v1alpha1.ProblemList{}
		g.Expect(w.admin.List(ctx, list, client.InNamespace("shop"))).To(Succeed())
		g.Expect(list.Items).To(HaveLen(1))
		return &list.Items[0]
	}
	image := func(ctx context.Context, g Gomega, name string) string {
		d := &appsv1.Deployment{}
		get(ctx, g, name, d)
		g.Expect(d.Status.UpdatedReplicas).To(Equal(*d.Spec.Replicas))
		g.Expect(d.Status.AvailableReplicas).To(Equal(*d.Spec.Replicas))
		return d.Spec.Template.Spec.Containers[0].Image
	}
	// imports: a supplier's large price list comes in, and the worker runs out of memory until it is through.
	imports := func(ctx context.Context, number int) *v1alpha1.Incident {
		GinkgoHelper()
		_, err := w.kubectl(ctx, admin, "-n", "shop", "annotate", "pods", "-l", "component=worker", "kwok.itil.dev/behaviour=oom")
		Expect(err).NotTo(HaveOccurred())
		var opened *v1alpha1.Incident
		Eventually(ctx, func(g Gomega) {
			opened = newest(ctx, g, number)
			g.Expect(opened.Status.Reason).To(Equal(v1alpha1.SignalOOMKilled))
			g.Expect(opened.Status.Priority).NotTo(BeEmpty())
		}).Should(Succeed())
		_, err = w.kubectl(ctx, admin, "-n", "shop", "annotate", "pods", "-l", "component=worker", "kwok.itil.dev/behaviour-")
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, func(g Gomega) { image(ctx, g, "checkout-worker") }).Should(Succeed())
		return opened
	}
	recovers := func(ctx context.Context, number int, code v1alpha1.ResolutionCode) {
		GinkgoHelper()
		Eventually(ctx, func(g Gomega) {
			w.clock.Leap(5 * time.Minute)
			i := newest(ctx, g, number)
			g.Expect(i.Status.State).To(Equal(v1alpha1.IncidentResolved), "%+v", i.Status)
			g.Expect(i.Status.Resolution.Code).To(Equal(code))
		}).Should(Succeed())
	}
	approved := func(ctx context.Context, change string) {
		GinkgoHelper()
		Eventually(ctx, func(g Gomega) {
			g.Expect(changeOf(ctx, g, change).Status.State).To(Equal(v1alpha1.ChangeAuthorize))
		}).Should(Succeed())
		w.itil(ctx, "carol", "approve", change, "--yes")
		w.itil(ctx, "dave", "approve", change, "--yes")
	}
	makes := func(ctx context.Context, name, version, tag string, more ...string) {
		GinkgoHelper()
		w.itil(ctx, "alice", append([]string{
			"release", "new", name, "--version", version, "--service", "checkout", "-m", "Checkout " + version,
			"--unit", "worker=deployment/checkout-worker app=registry.shop.example/checkout:" + tag,
			"--unit", "deployment/checkout app=registry.shop.example/checkout:" + tag,
			"--phase", "pilot=worker soak=10m timeout=20m", "--phase", "full=* soak=30m",
		}, more...)...)
		approved(ctx, name)
	}

	BeforeAll(func(ctx SpecContext) {
		w = startWeeks(ctx, monday)
		for _, name := range []string{"finance", "shop"} {
			w.namespace(ctx, name, map[string]string{"env": "production"})
		}
		for _, file := range []string{"10-workloads-finance", "11-workloads-shop", "20-calendars", "30-services", "40-agreements", "50-changepolicy"} {
			_, err := w.kubectl(ctx, admin, "apply", "-f", filepath.Join(w.root, "config", "samples", file+".yaml"))
			Expect(err).NotTo(HaveOccurred())
		}
		Eventually(ctx, func(g Gomega) {
			s := &v1alpha1.Service{}
			get(ctx, g, "checkout", s)
			g.Expect(s.Status.Health).To(Equal(v1alpha1.HealthOperational))
			g.Expect(apimeta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionGoverned)).To(BeTrue())
			items := &v1alpha1.ConfigurationItemList{}
			g.Expect(w.admin.List(ctx, items, client.InNamespace("shop"))).To(Succeed())
			for _, item := range items.Items {
				g.Expect(item.Status.Baselines).To(HaveLen(1), item.Name)
			}
			g.Expect(len(items.Items)).To(BeNumerically(">", 3))
		}).WithTimeout(time.Minute).Should(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("has its worker OOMKilled twice, which heals by itself", func(ctx SpecContext) {
		w.until(day(0, 10))
		imports(ctx, 1)
		recovers(ctx, 1, v1alpha1.ResolutionSelfRecovered)
		w.until(day(3, 14))
		imports(ctx, 2)
		recovers(ctx, 2, v1alpha1.ResolutionSelfRecovered)
	}, SpecTimeout(2*time.Minute))

	It("takes release 2.5 back when its pilot is OOMKilled, and a Problem is opened", func(ctx SpecContext) {
		w.until(day(7, 9))
		makes(ctx, "shop-2-5", "2.5", "2.5-oom")
		Eventually(ctx, func(g Gomega) {
			g.Expect(release(ctx, g, "shop-2-5").Status.State).To(Equal(v1alpha1.ReleaseRolledBack))
			g.Expect(changeOf(ctx, g, "shop-2-5").Status.Outcome).To(Equal(v1alpha1.OutcomeRolledBack))
			g.Expect(image(ctx, g, "checkout-worker")).To(HaveSuffix(":2.3"))
			g.Expect(image(ctx, g, "checkout")).To(HaveSuffix(":2.3"))
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemNew))
			g.Expect(newest(ctx, g, 3).Status.SuspectedChange).To(HaveField("Name", BeEquivalentTo("shop-2-5")))
		}).WithTimeout(time.Minute).Should(Succeed())
		recovers(ctx, 3, v1alpha1.ResolutionRolledBack)
		w.itil(ctx, "alice", "change", "review", "shop-2-5", "--outcome", "RolledBack", "-m", "2.5 caches prices twice")
		Eventually(ctx, func(g Gomega) {
			g.Expect(changeOf(ctx, g, "shop-2-5").Status.State).To(Equal(v1alpha1.ChangeClosed))
		}).Should(Succeed())
	}, SpecTimeout(3*time.Minute))

	It("knows the error, and says so on the next Incident", func(ctx SpecContext) {
		w.until(day(7, 13))
		name := problem(ctx, Default).Name
		w.itil(ctx, "alice", "problem", "confirm", name)
		w.itil(ctx, "alice", "problem", "known-error", name, "--cause", "The cache of prices has no bound.", "--workaround", "Limit the import to 1 GB.")
		Eventually(ctx, func(g Gomega) {
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemRootCauseAnalysis))
		}).Should(Succeed())
		w.until(day(8, 15))
		imports(ctx, 4)
		Eventually(ctx, func(g Gomega) {
			i := newest(ctx, g, 4)
			g.Expect(i.Status.KnownError).To(Equal(&v1alpha1.KnownError{Problem: v1alpha1.ObjectName(name), Workaround: "Limit the import to 1 GB."}))
			g.Expect(i.Status.NextStep).To(ContainSubstring("Limit the import to 1 GB."))
		}).Should(Succeed())
		recovers(ctx, 4, v1alpha1.ResolutionSelfRecovered)
	}, SpecTimeout(2*time.Minute))

	It("is repaired by release 2.6", func(ctx SpecContext) {
		w.until(day(14, 9))
		makes(ctx, "shop-2-6", "2.6", "2.6", "--problem", problem(ctx, Default).Name)
		soaks := func(phase int, by time.Duration) {
			GinkgoHelper()
			Eventually(ctx, func(g Gomega) {
				phases := release(ctx, g, "shop-2-6").Status.Phases
				g.Expect(len(phases)).To(BeNumerically(">", phase))
				g.Expect(phases[phase].State).To(Equal(v1alpha1.ReleasePhaseSoaking), phases[phase].Message)
			}).Should(Succeed())
			w.clock.Leap(by)
		}
		soaks(0, 10*time.Minute)
		Expect(problem(ctx, Default).Status.State).To(Equal(v1alpha1.ProblemFixInProgress))
		soaks(1, 30*time.Minute)
		Eventually(ctx, func(g Gomega) {
			g.Expect(release(ctx, g, "shop-2-6").Status.State).To(Equal(v1alpha1.ReleaseEarlyLifeSupport))
		}).Should(Succeed())
		w.clock.Leap(24 * time.Hour)
		Eventually(ctx, func(g Gomega) {
			g.Expect(release(ctx, g, "shop-2-6").Status.State).To(Equal(v1alpha1.ReleaseCompleted))
			g.Expect(changeOf(ctx, g, "shop-2-6").Status.State).To(Equal(v1alpha1.ChangeReview))
			g.Expect(image(ctx, g, "checkout")).To(HaveSuffix(":2.6"))
		}).Should(Succeed())
		w.itil(ctx, "alice", "change", "review", "shop-2-6", "--outcome", "Successful", "-m", "memory is flat since")
		Eventually(ctx, func(g Gomega) {
			g.Expect(changeOf(ctx, g, "shop-2-6").Status.State).To(Equal(v1alpha1.ChangeClosed))
			g.Expect(changeOf(ctx, g, "shop-2-6").Status.Outcome).To(Equal(v1alpha1.OutcomeSuccessful))
		}).Should(Succeed())
	}, SpecTimeout(2*time.Minute))

	It("has no Problem any more", func(ctx SpecContext) {
		w.clock.Leap(6 * 24 * time.Hour)
		Consistently(ctx, func(g Gomega) {
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemFixInProgress))
		}).WithTimeout(2 * time.Second).Should(Succeed())
		w.clock.Leap(2 * 24 * time.Hour)
		Eventually(ctx, func(g Gomega) {
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemResolved))
		}).Should(Succeed())
		w.clock.Leap(30 * 24 * time.Hour)
		Eventually(ctx, func(g Gomega) {
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemClosed))
		}).Should(Succeed())
	}, SpecTimeout(2*time.Minute))

	It("is told in order by one command", func(ctx SpecContext) {
		GinkgoWriter.Print(w.itil(ctx, "alice", "timeline", "checkout"))
	}, SpecTimeout(time.Minute))
})
