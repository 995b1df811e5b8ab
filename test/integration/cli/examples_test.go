package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// Somebody who types what --help shows must get what it says. Each example runs as it stands, in a world of its own in
// which what it names exists.
var _ = Describe("The examples of --help", Ordered, ContinueOnFailure, func() {
	var olga person
	// untouched: the world is as the examples before found it.
	untouched := false

	BeforeAll(func(ctx SpecContext) {
		// olga may do everything, with RBAC and the admission policies in force.
		env.Bind(GinkgoTB(), "", apiserver.User("olga"), "cluster-admin")
		for _, namespace := range []string{"shop", "finance"} {
			Expect(env.Admin().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
		}
		olga = somebody("shop", "olga", []string{"sre-leads"})
		here := GinkgoT().TempDir()
		Expect(os.Mkdir(filepath.Join(here, "deploy"), 0o700)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(here, "deploy", "checkout.yaml"), []byte(deployments(newImage)), 0o600)).To(Succeed())
		GinkgoT().Chdir(here)
	})

	for _, e := range examples() {
		It("are right: "+e.line, func(ctx SpecContext) {
			if !untouched || e.needs() != "" {
				prepare(ctx, e)
			}
			untouched = e.onlyReads() && e.needs() == ""
			arguments := append([]string{}, e.arguments...)
			for i, a := range arguments {
				if strings.HasPrefix(a, "$(kubectl get change checkout-2-4 -n shop -o jsonpath=") {
					arguments[i] = digestOf(ctx, "checkout-2-4")
				}
			}
			result := olga.runsAt(ctx, whenTyped, "", "shop", arguments...)
			if result.code == exit.NotConfirmed { // it asks, and nobody is there to answer
				result = olga.runsAt(ctx, whenTyped, "", "shop", append(arguments, "--yes")...)
			}
			Expect(result.code).To(Equal(exit.OK), "%s%s", result.out, result.errOut)
			Expect(result.out).NotTo(BeEmpty(), "it says nothing")
		})
	}
})

// whenTyped is the day before that of which the examples speak.
func whenTyped() time.Time { return time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC) }

type example struct {
	// line as it is shown.
	line string
	// arguments of it, after "kubectl itil".
	arguments []string
}

// onlyReads says whether it leaves the world as it is.
func (e example) onlyReads() bool {
	for _, reader := range []string{"changes", "why", "services", "incidents", "sla", "timeline", "problem list", "release status", "change show", "incident show", "version", "completion"} {
		if strings.HasPrefix(e.line, "kubectl itil "+reader+" ") {
			return true
		}
	}
	return false
}

// needs is what must be otherwise in the world before it: a Change that is implemented, an Incident that is resolved.
func (e example) needs() string {
	for _, otherwise := range []string{"change review", "incident close", "incident reopen", "incident resume", "--nobody", "--remove", "release new", "release promote"} {
		if strings.Contains(e.line, otherwise) {
			return otherwise
		}
	}
	return ""
}

// examples are those of all commands. What is piped into another program is cut there, and what would watch for ever
// looks once.
func examples() []example {
	var found []example
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		text := strings.ReplaceAll(cmd.Example, "\\\n", "")
		for line := range strings.Lines(text) {
			line = strings.Join(strings.Fields(line), " ")
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			words := split(line)
			e := example{line: line}
			for _, word := range words[min(len(words), 2):] {
				if word == "|" || word == ">" {
					break
				}
				if word != "--watch" {
					e.arguments = append(e.arguments, word)
				}
			}
			if words[0] == "chmod" {
				continue
			}
			if len(words) < 3 || words[0] != "kubectl" || words[1] != "itil" {
				e.arguments = []string{"it is no command of ours: " + line}
			}
			found = append(found, e)
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(cli.NewCommand(cli.Environment{IOStreams: genericiooptions.NewTestIOStreamsDiscard(), Now: whenTyped}))
	return found
}

// split a line into words as a shell does, as far as examples need it: quotes, and commands whose output is a word.
func split(line string) []string {
	var words []string
	var word strings.Builder
	var quote rune
	depth, begun := 0, false
	for _, r := range line {
		switch {
		case quote == 0 && depth == 0 && r == ' ':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
			continue
		case depth == 0 && quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
			continue
		case depth == 0 && quote != 0 && r == quote:
			quote = 0
			continue
		case r == '(' && strings.HasSuffix(word.String(), "$"):
			depth++
		case r == ')' && depth > 0:
			depth--
		}
		begun = true
		word.WriteRune(r)
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

func deployments(image string) string {
	var out strings.Builder
	for _, name := range []string{"checkout", "checkout-worker"} {
		out.WriteString(strings.NewReplacer("NAME", name, "IMAGE", image).Replace(`---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: app, image: "IMAGE"}]}
`))
	}
	return out.String()
}

func digestOf(ctx context.Context, name string) string {
	GinkgoHelper()
	c := &v1alpha1.Change{}
	Expect(operator.Get(ctx, client.ObjectKey{Namespace: "shop", Name: name}, c)).To(Succeed())
	return c.Status.Digest
}

// prepare makes the world of an example, and takes from it what the example makes, or what is not so before it.
func prepare(ctx context.Context, e example) {
	GinkgoHelper()
	Expect(operator.DeleteAllOf(ctx, &v1alpha1.Incident{}, client.InNamespace("finance"))).To(Succeed())
	for _, kind := range []client.Object{
		&v1alpha1.Change{}, &v1alpha1.ChangeApproval{}, &v1alpha1.Release{}, &v1alpha1.Incident{}, &v1alpha1.Problem{},
		&v1alpha1.Service{}, &v1alpha1.ServiceLevelAgreement{}, &appsv1.ReplicaSet{}, &appsv1.Deployment{},
	} {
		Expect(operator.DeleteAllOf(ctx, kind, client.InNamespace("shop"))).To(Succeed())
	}
	deploy(ctx)
	services(ctx)
	changes(ctx, e)
	incidents(ctx, e)
	problems(ctx)
	if e.needs() == "release new" {
		return
	}
	for _, name := range []string{"shop-2-5", "shop-2-6"} {
		r := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		r.Spec = v1alpha1.ReleaseSpec{
			Version: "2.5", Requester: operatorName, Change: &v1alpha1.ReleaseChange{}, Paused: e.needs() == "release promote",
			Units: []v1alpha1.ReleaseUnit{{
				Name: "checkout", Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
				Images: map[string]v1alpha1.Image{"app": newImage},
			}},
			Phases: []v1alpha1.ReleasePhase{{Name: "all", Units: []string{"*"}}},
		}
		r.Status.State = v1alpha1.ReleasePlanning
		record(ctx, r)
	}
}

// deploy runs both Deployments, each with the ReplicaSet of an earlier image.
func deploy(ctx context.Context) {
	GinkgoHelper()
	parsed, err := apiserver.ParseManifests([]byte(deployments(oldImage)))
	Expect(err).NotTo(HaveOccurred())
	for _, o := range parsed {
		Expect(env.Admin().Create(ctx, o)).To(Succeed())
		d := &appsv1.Deployment{}
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(o), d)).To(Succeed())
		kept := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: d.Name + "-1", Annotations: map[string]string{"deployment.kubernetes.io/revision": "1"},
			Labels:          map[string]string{"app": d.Name},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		}}
		kept.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": d.Name, "pod-template-hash": "1"}}
		kept.Spec.Template = *d.Spec.Template.DeepCopy()
		kept.Spec.Template.Labels["pod-template-hash"] = "1"
		kept.Spec.Template.Spec.Containers[0].Image = "registry.shop.example/checkout:2.2"
		Expect(env.Admin().Create(ctx, kept)).To(Succeed())
	}
}

func services(ctx context.Context) {
	GinkgoHelper()
	s := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"}}
	s.Spec.Owner.Team = "payments"
	s.Status.Health, s.Status.HealthSince = v1alpha1.HealthOperational, new(metav1.NewTime(whenTyped()))
	s.Status.Workloads = []v1alpha1.ServiceWorkload{{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}, {Kind: v1alpha1.WorkloadDeployment, Name: "checkout-worker"}}
	record(ctx, s)
	began := metav1.NewTime(whenTyped().Add(-20 * 24 * time.Hour))
	ended := metav1.NewTime(began.Add(10 * 24 * time.Hour))
	a := &v1alpha1.ServiceLevelAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-gold"}}
	a.Spec.ServiceRef.Name, a.Spec.Type = "checkout", v1alpha1.AgreementSLA
	a.Spec.Period = v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, TimeZone: "UTC", Days: 30}
	a.Spec.Availability = &v1alpha1.AvailabilityTarget{Target: "99"}
	a.Status.History = []v1alpha1.PeriodFigures{{Start: began, End: ended, AsOf: ended, Target: "99", Availability: "99.5"}}
	record(ctx, a)
}

// changes that wait for a vote; olga's own, and one that is to be reviewed, are implemented already.
func changes(ctx context.Context, e example) {
	GinkgoHelper()
	for name, requester := range map[string]string{"checkout-2-3": "olga", "checkout-2-4": "alice", "checkout-2-5": "alice", "checkout-2-6": "alice"} {
		record(ctx, builder.MakeChange("shop", name).Requester(requester).Target(v1alpha1.WorkloadDeployment, "checkout", newImage).
			Assessed(v1alpha1.RiskHigh).Alter(func(c *v1alpha1.Change) {
			c.Status.State, c.Status.Approvals = v1alpha1.ChangeAuthorize, &v1alpha1.Approvals{Required: 1, Summary: "0/1"}
			if requester == "olga" || e.needs() == "change review" {
				c.Status.State = v1alpha1.ChangeReview
			}
		}).Obj())
	}
}

func incidents(ctx context.Context, e example) {
	GinkgoHelper()
	for name, of := range map[string]struct{ namespace, workload, assignee string }{
		"checkout-7f3a9": {"shop", "checkout", ""}, "worker-2c4d6": {"shop", "checkout-worker", "olga"}, "ledger-1b2c3": {"finance", "ledger", ""},
	} {
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: of.namespace, Name: name}}
		i.Spec = v1alpha1.IncidentSpec{
			Title: name + " is slow", Source: v1alpha1.IncidentSourceUser, Reporter: "bob", Assignee: v1alpha1.UserName(of.assignee),
			WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: v1alpha1.ObjectName(of.workload)},
		}
		i.Status.Timeline = []v1alpha1.TimelineEntry{{At: metav1.NewTime(whenTyped()), What: "opened: " + name + " is slow", By: operatorName}}
		if e.needs() == "--nobody" {
			i.Spec.Assignee = "olga"
		}
		if of.namespace == "shop" {
			i.Spec.ServiceRef = &v1alpha1.LocalReference{Name: "checkout"}
		}
		i.Status.State, i.Status.Priority = v1alpha1.IncidentNew, v1alpha1.PriorityP2
		if e.needs() == "incident close" || e.needs() == "incident reopen" {
			i.Spec.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionWorkaround}
			i.Status.State = v1alpha1.IncidentResolved
		}
		if e.needs() == "incident resume" {
			i.Spec.Hold = &v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingCaller, Comment: "asked bob"}
		}
		if e.needs() == "--remove" {
			i.Spec.ChangeRefs = []v1alpha1.LocalReference{{Name: "checkout-2-5"}}
		}
		record(ctx, i)
	}
}

func problems(ctx context.Context) {
	GinkgoHelper()
	for _, name := range []string{"checkout-oomkilled-7f3a9", "checkout-crashlooping-1b2c3", "checkout-notready-9a8b7"} {
		p := &v1alpha1.Problem{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		p.Spec.Statement, p.Spec.ServiceRef = name+" again and again", &v1alpha1.LocalReference{Name: "checkout"}
		p.Status.State = v1alpha1.ProblemNew
		record(ctx, p)
	}
}
