package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
	// imports: a supplier's large price list comes in, and the worker runs out of memory until somebody restarts it.
	imports := func(ctx context.Context, number int) {
		GinkgoHelper()
		_, err := w.kubectl(ctx, admin, "-n", "shop", "annotate", "pods", "-l", "component=worker", "kwok.itil.dev/behaviour=oom")
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, func(g Gomega) {
			opened := newest(ctx, g, number)
			g.Expect(opened.Status.Reason).To(Equal(v1alpha1.SignalOOMKilled))
			g.Expect(opened.Status.Priority).NotTo(BeEmpty())
		}).Should(Succeed())
		_, err = w.kubectl(ctx, admin, "-n", "shop", "delete", "pods", "-l", "component=worker")
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, func(g Gomega) { image(ctx, g, "checkout-worker") }).Should(Succeed())
	}
	recovers := func(ctx context.Context, number int, code v1alpha1.ResolutionCode) {
		GinkgoHelper()
		Eventually(ctx, func(g Gomega) {
			w.passes(ctx, 2*time.Minute)
			w.rests(ctx)
			i := newest(ctx, g, number)
			g.Expect(i.Status.State).To(Equal(v1alpha1.IncidentResolved), "%+v", i.Status)
			g.Expect(i.Status.Resolution.Code).To(Equal(code))
		}).WithTimeout(2 * time.Minute).Should(Succeed())
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
		apply := func(files ...string) {
			GinkgoHelper()
			for _, file := range files {
				_, err := w.kubectl(ctx, admin, "apply", "-f", filepath.Join(w.root, "config", "samples", file+".yaml"))
				Expect(err).NotTo(HaveOccurred())
			}
		}
		apply("10-workloads-finance", "11-workloads-shop")
		for workload, namespace := range map[string]string{
			"deployment/ledger": "finance", "statefulset/ledger-db": "finance",
			"deployment/checkout": "shop", "deployment/checkout-worker": "shop", "statefulset/checkout-db": "shop", "deployment/catalog": "shop",
		} { // a Service that was never well would first be out for a minute
			_, err := w.kubectl(ctx, admin, "-n", namespace, "rollout", "status", workload, "--timeout=60s")
			Expect(err).NotTo(HaveOccurred())
		}
		apply("20-calendars", "30-services", "40-agreements", "50-changepolicy")
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
		}).WithTimeout(2 * time.Minute).Should(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("has its worker OOMKilled twice, which heals by itself", func(ctx SpecContext) {
		w.until(ctx, day(0, 10))
		imports(ctx, 1)
		recovers(ctx, 1, v1alpha1.ResolutionSelfRecovered)
		w.until(ctx, day(3, 14))
		imports(ctx, 2)
		recovers(ctx, 2, v1alpha1.ResolutionSelfRecovered)
	}, SpecTimeout(8*time.Minute)) // with the start

	It("takes release 2.5 back when its pilot is OOMKilled, and a Problem is opened", func(ctx SpecContext) {
		w.until(ctx, day(7, 9))
		makes(ctx, "shop-2-5", "2.5", "2.5-oom")
		Eventually(ctx, func(g Gomega) {
			g.Expect(release(ctx, g, "shop-2-5").Status.State).To(Equal(v1alpha1.ReleaseRolledBack))
			g.Expect(changeOf(ctx, g, "shop-2-5").Status.Outcome).To(Equal(v1alpha1.OutcomeRolledBack))
			g.Expect(image(ctx, g, "checkout-worker")).To(HaveSuffix(":2.3"))
			g.Expect(image(ctx, g, "checkout")).To(HaveSuffix(":2.3"))
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemNew))
			g.Expect(newest(ctx, g, 3).Status.SuspectedChange).To(HaveField("Name", BeEquivalentTo("shop-2-5")))
		}).WithTimeout(2 * time.Minute).Should(Succeed())
		recovers(ctx, 3, v1alpha1.ResolutionRolledBack)
		w.passes(ctx, 30*time.Minute)
		w.itil(ctx, "alice", "change", "review", "shop-2-5", "--outcome", "RolledBack", "-m", "2.5 caches prices twice")
		Eventually(ctx, func(g Gomega) {
			g.Expect(changeOf(ctx, g, "shop-2-5").Status.State).To(Equal(v1alpha1.ChangeClosed))
		}).Should(Succeed())
	}, SpecTimeout(5*time.Minute))

	It("knows the error, and says so on the next Incident", func(ctx SpecContext) {
		w.until(ctx, day(7, 13))
		name := problem(ctx, Default).Name
		w.itil(ctx, "alice", "problem", "confirm", name)
		w.itil(ctx, "alice", "problem", "known-error", name, "--cause", "The cache of prices has no bound.", "--workaround", "Limit the import to 1 GB.")
		Eventually(ctx, func(g Gomega) {
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemRootCauseAnalysis))
		}).Should(Succeed())
		w.until(ctx, day(8, 15))
		imports(ctx, 4)
		Eventually(ctx, func(g Gomega) {
			i := newest(ctx, g, 4)
			g.Expect(i.Status.KnownError).To(Equal(&v1alpha1.KnownError{Problem: v1alpha1.ObjectName(name), Workaround: "Limit the import to 1 GB."}))
			g.Expect(i.Status.NextStep).To(ContainSubstring("Limit the import to 1 GB."))
		}).Should(Succeed())
		recovers(ctx, 4, v1alpha1.ResolutionSelfRecovered)
	}, SpecTimeout(5*time.Minute))

	It("is repaired by release 2.6", func(ctx SpecContext) {
		w.until(ctx, day(14, 9))
		makes(ctx, "shop-2-6", "2.6", "2.6", "--problem", problem(ctx, Default).Name)
		soaks := func(phase int, by time.Duration) {
			GinkgoHelper()
			Eventually(ctx, func(g Gomega) {
				phases := release(ctx, g, "shop-2-6").Status.Phases
				g.Expect(len(phases)).To(BeNumerically(">", phase))
				g.Expect(phases[phase].State).To(Equal(v1alpha1.ReleasePhaseSoaking), phases[phase].Message)
			}).Should(Succeed())
			w.passes(ctx, by)
		}
		soaks(0, 10*time.Minute)
		Eventually(ctx, func(g Gomega) {
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemFixInProgress))
		}).Should(Succeed())
		soaks(1, 30*time.Minute)
		Eventually(ctx, func(g Gomega) {
			g.Expect(release(ctx, g, "shop-2-6").Status.State).To(Equal(v1alpha1.ReleaseEarlyLifeSupport))
		}).Should(Succeed())
		w.passes(ctx, 24*time.Hour)
		Eventually(ctx, func(g Gomega) {
			g.Expect(release(ctx, g, "shop-2-6").Status.State).To(Equal(v1alpha1.ReleaseCompleted))
			g.Expect(changeOf(ctx, g, "shop-2-6").Status.State).To(Equal(v1alpha1.ChangeReview))
			g.Expect(image(ctx, g, "checkout")).To(HaveSuffix(":2.6"))
		}).Should(Succeed())
		w.passes(ctx, 30*time.Minute)
		w.itil(ctx, "alice", "change", "review", "shop-2-6", "--outcome", "Successful", "-m", "memory is flat since")
		Eventually(ctx, func(g Gomega) {
			g.Expect(changeOf(ctx, g, "shop-2-6").Status.State).To(Equal(v1alpha1.ChangeClosed))
			g.Expect(changeOf(ctx, g, "shop-2-6").Status.Outcome).To(Equal(v1alpha1.OutcomeSuccessful))
		}).Should(Succeed())
	}, SpecTimeout(5*time.Minute))

	It("has no Problem any more", func(ctx SpecContext) {
		w.passes(ctx, 6*24*time.Hour)
		w.rests(ctx)
		Expect(problem(ctx, Default).Status.State).To(Equal(v1alpha1.ProblemFixInProgress))
		w.passes(ctx, 2*24*time.Hour)
		Eventually(ctx, func(g Gomega) {
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemResolved))
		}).Should(Succeed())
		w.passes(ctx, 30*24*time.Hour)
		Eventually(ctx, func(g Gomega) {
			g.Expect(problem(ctx, g).Status.State).To(Equal(v1alpha1.ProblemClosed))
		}).Should(Succeed())
	}, SpecTimeout(5*time.Minute))

	It("is told in order by one command", func(ctx SpecContext) {
		var told struct {
			Entries []struct{ At, Object, What, By string }
		}
		Expect(json.Unmarshal([]byte(w.itil(ctx, "alice", "timeline", "checkout", "-o", "json")), &told)).To(Succeed())
		names := []string{problem(ctx, Default).Name, "PROBLEM"}
		for n, i := range incidents(ctx, Default) {
			names = append(names, i.Name, fmt.Sprintf("INCIDENT-%d", n+1))
		}
		var lines []string
		for _, e := range told.Entries {
			// These depend on fractions of a second: health turns with each pod, and with it a priority.
			if strings.HasPrefix(e.Object, "service/") || strings.HasPrefix(e.What, "priority ") || strings.HasPrefix(e.What, "the failure begins") {
				continue
			}
			line := strings.Join([]string{e.At[:len("2026-11-02")], e.Object, cmp.Or(e.By, "-"), e.What}, " ")
			lines = append(lines, strings.NewReplacer(names...).Replace(line))
		}
		text := strings.Join(lines, "\n")
		for pattern, with := range map[string]string{`\bP[1-3]\b`: "P?", `\b(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\dZ`: "$1", `availability \d+(\.\d+)? %`: "availability 99.9… %"} {
			text = regexp.MustCompile(pattern).ReplaceAllString(text, with)
		}
		table := w.itil(ctx, "alice", "timeline", "checkout")
		last := 0
		for _, line := range plot {
			at := strings.Index(text[last:], line)
			Expect(at).To(BeNumerically(">=", 0), "%q does not come after what comes before it:\n%s", line, table)
			last += at + len(line)
		}
		// And nothing else is told.
		sorted := slices.Sorted(strings.SplitSeq(text, "\n"))
		Expect(sorted).To(Equal(slices.Sorted(slices.Values(append(slices.Clone(plot), aside...)))), "%s", table)
		// A person reads the table.
		Expect(w.itil(ctx, "alice", "timeline", "deployment/checkout-worker", "--since", "2026-11-25")).To(ContainSubstring("Resolved → Closed"))
	}, SpecTimeout(time.Minute))
})

// plot is what the timeline tells, one after the other, without the time of the day.
var plot = []string{
	"2026-11-02 incident/INCIDENT-1 itil-operator opened: checkout-worker: container app is OOMKilled, P?",
	"2026-11-02 incident/INCIDENT-1 itil-operator resolved: SelfRecovered. it recovered with the same template",
	"2026-11-05 incident/INCIDENT-2 itil-operator opened: checkout-worker: container app is OOMKilled, P?",
	"2026-11-05 incident/INCIDENT-2 itil-operator resolved: SelfRecovered. it recovered with the same template",
	"2026-11-09 release/shop-2-5 alice made: version 2.5",
	"2026-11-09 change/shop-2-5 alice filed (Normal): Checkout 2.5",
	"2026-11-09 change/shop-2-5 carol approved for sre-leads",
	"2026-11-09 change/shop-2-5 dave approved for sre-leads",
	"2026-11-09 change/shop-2-5 itil-operator approved: 2/2 votes",
	"2026-11-09 release/shop-2-5 itil-operator phase pilot begins: deployment/checkout-worker",
	"2026-11-09 change/shop-2-5 itil-operator went into deployment/checkout-worker",
	"2026-11-09 incident/INCIDENT-3 itil-operator opened: checkout-worker: container app is OOMKilled, P?; suspects Change shop-2-5 (high)",
	"2026-11-09 release/shop-2-5 itil-operator failed in phase pilot: IncidentSuspected, Incident shop/INCIDENT-3 (P?) suspects its Change",
	"2026-11-09 release/shop-2-5 itil-operator goes back to what ran before",
	"2026-11-09 release/shop-2-5 itil-operator RolledBack: its units run what they had before",
	"2026-11-09 incident/INCIDENT-3 itil-operator resolved: RolledBack. it recovered with a template that ran before",
	"2026-11-09 change/shop-2-5 itil-operator Closed: RolledBack; review: 2.5 caches prices twice",
	"2026-11-09 problem/PROBLEM alice New → RootCauseAnalysis: confirmed; its cause, or a Change against it, is looked for",
	"2026-11-09 problem/PROBLEM alice known error: a workaround is published: Limit the import to 1 GB.",
	"2026-11-10 incident/INCIDENT-4 itil-operator opened: checkout-worker: container app is OOMKilled, P?; known error PROBLEM, workaround: Limit the import to 1 GB.",
	"2026-11-10 incident/INCIDENT-4 itil-operator resolved: SelfRecovered. it recovered with the same template",
	"2026-11-16 release/shop-2-6 alice made: version 2.6",
	"2026-11-16 change/shop-2-6 alice filed (Normal): Checkout 2.6; it is to fix Problem PROBLEM",
	"2026-11-16 change/shop-2-6 carol approved for sre-leads",
	"2026-11-16 change/shop-2-6 dave approved for sre-leads",
	"2026-11-16 change/shop-2-6 itil-operator approved: 2/2 votes",
	"2026-11-16 release/shop-2-6 itil-operator phase pilot begins: deployment/checkout-worker",
	"2026-11-16 change/shop-2-6 itil-operator went into deployment/checkout-worker",
	"2026-11-16 release/shop-2-6 itil-operator phase pilot is done",
	"2026-11-16 release/shop-2-6 itil-operator phase full begins: deployment/checkout",
	"2026-11-16 change/shop-2-6 itil-operator went into deployment/checkout",
	"2026-11-16 release/shop-2-6 itil-operator phase full is done",
	"2026-11-16 release/shop-2-6 itil-operator all phases are done; early life support begins",
	"2026-11-17 release/shop-2-6 itil-operator Completed",
	"2026-11-17 change/shop-2-6 itil-operator Closed: Successful; review: memory is flat since",
	"2026-11-17 problem/PROBLEM itil-operator the fix is in since 2026-11-17; verified if nothing recurs until 2026-11-24",
	"2026-11-25 problem/PROBLEM itil-operator FixInProgress → Resolved: fixed at 2026-11-17, and it has not failed since",
	"2026-12-25 problem/PROBLEM itil-operator Resolved → Closed: resolved long enough",
}

// aside are lines of which it depends on fractions of a second what they come after.
var aside = []string{
	"2026-11-09 problem/PROBLEM itil-operator opened: checkout-worker: OOMKilled again and again: 3 failures within 30 days",
	"2026-11-09 change/shop-2-5 itil-operator deployment/checkout-worker was rolled back",
	"2026-11-16 problem/PROBLEM itil-operator RootCauseAnalysis → FixInProgress: Change shop-2-6 is to fix it",
	"2026-11-16 change/shop-2-6 itil-operator deployment/checkout-worker is rolled out",
	"2026-11-16 change/shop-2-6 itil-operator deployment/checkout is rolled out",
	"2026-11-30 sla/checkout-gold itil-operator a period ends: availability 99.9… % of 99.9 %",
}
