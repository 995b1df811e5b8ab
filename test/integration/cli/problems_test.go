package cli_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

var _ = Describe("Problems", func() {
	var (
		namespace string
		sam       person
	)

	BeforeEach(func() {
		namespace = env.Namespace(GinkgoTB(), nil)
		sam = somebody(namespace, "sam", []string{"sre"}, "itil-viewer", "itil-editor")
	})

	get := func(ctx context.Context, name string) *v1alpha1.Problem {
		GinkgoHelper()
		p := &v1alpha1.Problem{}
		Expect(operator.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, p)).To(Succeed())
		return p
	}
	problem := func(ctx context.Context, name string, alter ...func(*v1alpha1.Problem)) {
		GinkgoHelper()
		p := &v1alpha1.Problem{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		p.Spec.Statement = name + " again and again"
		p.Status.State = v1alpha1.ProblemNew
		for _, f := range alter {
			f(p)
		}
		record(ctx, p)
	}

	It("is analysed and fixed by small declarations, each written once", func(ctx SpecContext) {
		problem(ctx, "leak")
		sam.runs(ctx, namespace, "problem", "confirm", "leak").expect(exit.OK, "problem.itil.dev/leak confirmed", "sam owns it")
		written := get(ctx, "leak")
		Expect(written.Spec.Owner).To(Equal(v1alpha1.UserName("sam")))
		sam.runs(ctx, namespace, "problem", "confirm", "leak").expect(exit.OK, "is confirmed already")
		Expect(get(ctx, "leak").ResourceVersion).To(Equal(written.ResourceVersion))

		sam.runs(ctx, namespace, "problem", "known-error", "leak").expect(exit.Usage, "say what is known")
		sam.runs(ctx, namespace, "problem", "known-error", "leak", "--cause", "a cache without a bound", "--workaround", "restart it").expect(exit.OK)
		Expect(get(ctx, "leak").Spec.Workaround).To(Equal("restart it"))

		sam.runs(ctx, namespace, "problem", "fix", "leak").expect(exit.Usage, "--applied")
		sam.runs(ctx, namespace, "problem", "fix", "leak", "--applied").expect(exit.Usage, "-m HOW")
		sam.runs(ctx, namespace, "problem", "fix", "leak", "--change", "chekout-2-6").expect(exit.NotFound, "there is no Change")
		c := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "checkout-2-6"}}
		c.Spec = v1alpha1.ChangeSpec{Summary: "bound the cache", Requester: "sam", Targets: []v1alpha1.ChangeTarget{{
			Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
			Images:   map[string]v1alpha1.Image{"app": "registry.shop.example/checkout:2.6"},
		}}}
		record(ctx, c)
		sam.runs(ctx, namespace, "problem", "fix", "leak", "--change", "checkout-2-6").expect(exit.OK, "being fixed")
		Expect(get(ctx, "leak").Spec.ChangeRefs).To(Equal([]v1alpha1.LocalReference{{Name: "checkout-2-6"}}))
		sam.runs(ctx, namespace, "problem", "fix", "leak", "--change", "checkout-2-6", "--remove").expect(exit.OK, "no longer fixed by checkout-2-6")
		Expect(get(ctx, "leak").Spec.ChangeRefs).To(BeEmpty())
		sam.runs(ctx, namespace, "problem", "fix", "leak", "--applied", "-m", "quota raised").expect(exit.OK, "fixed")
		Expect(get(ctx, "leak").Spec.Decision).To(Equal(&v1alpha1.ProblemDecision{Type: v1alpha1.DecisionFixApplied, Reason: "quota raised"}))
	})

	It("ends without a fix", func(ctx SpecContext) {
		problem(ctx, "leak")
		problem(ctx, "copy")
		sam.runs(ctx, namespace, "problem", "duplicate", "copy").expect(exit.Usage, "--of NAME")
		sam.runs(ctx, namespace, "problem", "duplicate", "copy", "--of", "copy").expect(exit.WrongState, "of itself")
		sam.runs(ctx, namespace, "problem", "duplicate", "copy", "--of", "leek").expect(exit.NotFound, "there is no Problem")
		sam.runs(ctx, namespace, "problem", "duplicate", "copy", "--of", "leak").expect(exit.OK, "belong to leak now")
		sam.runs(ctx, namespace, "problem", "duplicate", "leak", "--of", "copy").expect(exit.WrongState, "is a duplicate of")

		sam.runs(ctx, namespace, "problem", "accept-risk", "leak", "--until", "tomorrow", "--reason", "rare").expect(exit.Usage, "is no date")
		sam.runs(ctx, namespace, "problem", "accept-risk", "leak", "--until", "2020-01-01", "--reason", "rare").expect(exit.Usage, "is over already")
		sam.runs(ctx, namespace, "problem", "accept-risk", "leak", "--until", "2100-01-01T00:00:00Z", "--reason", "rare").expect(exit.OK, "to be reviewed by 2100-01-01T00:00:00Z")
		Expect(get(ctx, "leak").Spec.Decision).To(Equal(&v1alpha1.ProblemDecision{Type: v1alpha1.DecisionRiskAccepted, Reason: "rare", ReviewBy: "2100-01-01T00:00:00Z"}))

		sam.runs(ctx, namespace, "problem", "not-reproducible", "leak").expect(exit.OK, "closed: not reproducible")
		Expect(get(ctx, "leak").Spec.Decision).To(Equal(&v1alpha1.ProblemDecision{Type: v1alpha1.DecisionNotReproducible}))
		closed := get(ctx, "leak")
		closed.Status.State = v1alpha1.ProblemClosed
		Expect(operator.Status().Update(ctx, closed)).To(Succeed())
		sam.runs(ctx, namespace, "problem", "confirm", "leak").expect(exit.WrongState, "is closed", "problem open")
	})

	It("is written to by those who may, while it is open", func(ctx SpecContext) {
		problem(ctx, "leak")
		problem(ctx, "over", func(p *v1alpha1.Problem) { p.Status.State = v1alpha1.ProblemClosed })
		vera := somebody(namespace, "vera", nil, "itil-viewer")
		commands := map[string][]string{
			"confirm":          nil,
			"known-error":      {"--cause", "a cache without a bound"},
			"fix":              {"--applied", "-m", "quota raised"},
			"accept-risk":      {"--until", "2100-01-01", "--reason", "rare"},
			"duplicate":        {"--of", "leak"},
			"not-reproducible": nil,
		}
		for command, rest := range commands {
			run := func(p person, name string) result {
				return p.runs(ctx, namespace, append([]string{"problem", command, name}, rest...)...)
			}
			By(command)
			run(sam, "none").expect(exit.NotFound, "there is no Problem")
			run(sam, "over").expect(exit.WrongState, "is closed", "problem open")
			if command != "duplicate" {
				run(vera, "leak").expect(exit.NotPermitted, "itil-editor")
			}
		}
		untouched := get(ctx, "leak").Spec
		Expect(untouched).To(Equal(v1alpha1.ProblemSpec{Statement: "leak again and again"}))
		By("putting off the review of a risk that was accepted")
		closed := get(ctx, "over")
		closed.Spec.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionRiskAccepted, Reason: "rare", ReviewBy: "2026-01-01T00:00:00Z"}
		Expect(operator.Update(ctx, closed)).To(Succeed())
		sam.runs(ctx, namespace, "problem", "accept-risk", "over", "--until", "2100-01-01", "--reason", "rare still").expect(exit.OK, "to be reviewed by 2100-01-01")
	})

	It("is opened about an Incident's failure, once", func(ctx SpecContext) {
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "oom"}}
		i.Spec = v1alpha1.IncidentSpec{
			Title: "it is OOMKilled", Source: v1alpha1.IncidentSourceDetector,
			ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}, WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "checkout"},
		}
		i.Status.State, i.Status.Fingerprint = v1alpha1.IncidentNew, "f1"
		record(ctx, i)
		sam.runs(ctx, namespace, "problem", "open", "it leaks").expect(exit.Usage, "--incident NAME or --service NAME")
		opened := sam.runs(ctx, namespace, "problem", "open", "it leaks", "--incident", "oom", "-o", "jsonpath={.metadata.name}").expect(exit.OK)
		Expect(opened.out).To(HavePrefix("checkout-"))
		Expect(get(ctx, opened.out).Spec).To(Equal(v1alpha1.ProblemSpec{
			Statement: "it leaks", Owner: "sam", Fingerprint: "f1", ServiceRef: &v1alpha1.LocalReference{Name: "checkout"},
		}))
		sam.runs(ctx, namespace, "problem", "open", "again", "--incident", "oom").expect(exit.WrongState, "is open about the same failure")
	})

	It("is listed by the harm that it causes", func(ctx SpecContext) {
		sam.runs(ctx, namespace, "problem", "list").expect(exit.OK, "No open Problems in namespace "+namespace)
		harm := func(seconds int64, rank int32) func(*v1alpha1.Problem) {
			return func(p *v1alpha1.Problem) {
				p.Status.Rank, p.Status.Incidents = rank, &v1alpha1.ProblemIncidents{RankDowntimeSeconds: seconds}
			}
		}
		problem(ctx, "little", harm(60, 2))
		problem(ctx, "much", harm(3600, 1))
		problem(ctx, "over", harm(9000, 51), func(p *v1alpha1.Problem) { p.Status.State = v1alpha1.ProblemClosed })
		listed := sam.runs(ctx, namespace, "problem", "list", "-o", "name").expect(exit.OK)
		Expect(listed.out).To(Equal("problem.itil.dev/much\nproblem.itil.dev/little\n"))
		sam.runs(ctx, namespace, "problem", "list", "--all").expect(exit.OK, "over", "60m")
		stranger := somebody(namespace, "stranger", nil)
		stranger.runs(ctx, namespace, "problem", "list").expect(exit.NotPermitted, "itil-viewer")
	})
})
