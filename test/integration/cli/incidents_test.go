package cli_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var _ = Describe("Incidents", func() {
	var (
		namespace string
		sam       person
	)

	BeforeEach(func(ctx SpecContext) {
		namespace = env.Namespace(GinkgoTB(), nil)
		sam = somebody(namespace, "sam", []string{"sre"}, "itil-viewer", "itil-editor")
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "checkout"}}
		service.Spec.Owner.Team = "payments"
		Expect(env.Admin().Create(ctx, service)).To(Succeed())
	})

	get := func(ctx context.Context, name string) *v1alpha1.Incident {
		GinkgoHelper()
		i := &v1alpha1.Incident{}
		Expect(operator.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, i)).To(Succeed())
		return i
	}
	// detected is an Incident of the operator's.
	detected := func(ctx context.Context, name string, alter ...func(*v1alpha1.Incident)) {
		GinkgoHelper()
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		i.Spec = v1alpha1.IncidentSpec{
			Title: name + " is OOMKilled", Source: v1alpha1.IncidentSourceDetector,
			ServiceRef:  &v1alpha1.LocalReference{Name: "checkout"},
			WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "checkout"},
		}
		i.Status.State, i.Status.Priority, i.Status.Reason = v1alpha1.IncidentNew, v1alpha1.PriorityP2, v1alpha1.SignalOOMKilled
		i.Status.Signals = []v1alpha1.Signal{{Reason: v1alpha1.SignalOOMKilled, Container: "app", Since: metav1.Now(), LastSeen: metav1.Now(), Count: 2}}
		for _, f := range alter {
			f(i)
		}
		record(ctx, i)
	}

	It("is opened by a person, as whom the API server knows", func(ctx SpecContext) {
		opened := sam.runs(ctx, namespace, "incident", "open", "checkout shows wrong prices", "--service", "checkout", "--impact", "High",
			"--workload", "deploy/checkout", "-m", "since noon", "--take", "-o", "jsonpath={.metadata.name}")
		opened.expect(exit.OK)
		Expect(opened.out).To(HavePrefix("checkout-"))
		Expect(get(ctx, opened.out).Spec).To(Equal(v1alpha1.IncidentSpec{
			Title: "checkout shows wrong prices", Description: "since noon", Source: v1alpha1.IncidentSourceUser, Reporter: "sam",
			ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}, WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "checkout"},
			Impact: v1alpha1.LevelHigh, Assignee: "sam",
		}))
		sam.runs(ctx, namespace, "incident", "open", "again", "--service", "checkout").expect(exit.OK, "open on the same already: "+opened.out, "opened")
		sam.runs(ctx, namespace, "incident", "open", "x", "--service", "chekout").expect(exit.NotFound, "there is no Service")
		sam.runs(ctx, namespace, "incident", "open", "x", "--service", "checkout", "--parent", "nosuch").expect(exit.NotFound, "there is no Incident")
		sam.runs(ctx, namespace, "incident", "open", "x").expect(exit.Usage, "say what suffers")
		sam.runs(ctx, namespace, "incident", "show", opened.out).expect(exit.OK, "checkout shows wrong prices", "Assignee")
		sam.runs(ctx, namespace, "incident", "show", "nosuch").expect(exit.NotFound, "there is no Incident")
		sam.runs(ctx, namespace, "incident", "open", "it was deleted", "--name", "gone", "--workload", "services.itil.dev/nosuch").
			expect(exit.OK, "there is no services.itil.dev/nosuch")
		sam.runs(ctx, namespace, "incident", "resume", "gone").expect(exit.OK, "is not on hold; nothing to do")
		sam.runs(ctx, namespace, "incident", "hold", "gone").expect(exit.Usage, "say what it waits for")
		sam.runs(ctx, namespace, "incident", "resolve", "gone").expect(exit.Usage, "say how it ended")
		Expect(env.Admin().Delete(ctx, &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gone"}})).To(Succeed())
		sam.runs(ctx, namespace, "incident", "open", "x", "--workload", "gadget/a").expect(exit.Usage, "the cluster has no kind gadget")
		sam.runs(ctx, namespace, "incident", "open", "x", "--service", "checkout", "--impact", "Huge").expect(exit.Usage, "High, Medium, Low")
	})

	It("is worked on by small declarations, each written once", func(ctx SpecContext) {
		detected(ctx, "oom")
		sam.runs(ctx, namespace, "incident", "ack", "oom").expect(exit.OK, "incident.itil.dev/oom acknowledged")
		written := get(ctx, "oom")
		Expect(written.Spec.Acknowledged).To(BeTrue())
		sam.runs(ctx, namespace, "incident", "ack", "oom").expect(exit.OK, "is acknowledged already")
		Expect(get(ctx, "oom").ResourceVersion).To(Equal(written.ResourceVersion))

		sam.runs(ctx, namespace, "incident", "assign", "oom").expect(exit.OK, "assigned", "It is sam who works on it")
		Expect(get(ctx, "oom").Spec.Assignee).To(Equal(v1alpha1.UserName("sam")))
		sam.runs(ctx, namespace, "incident", "assign", "oom", "--to", "alice").expect(exit.OK)
		Expect(get(ctx, "oom").Spec.Assignee).To(Equal(v1alpha1.UserName("alice")))
		sam.runs(ctx, namespace, "incident", "assign", "oom", "--nobody").expect(exit.OK, "assigned to nobody")
		Expect(get(ctx, "oom").Spec.Assignee).To(BeEmpty())

		sam.runs(ctx, namespace, "incident", "hold", "oom", "--reason", "AwaitingCaller", "-m", "who?").expect(exit.WrongState, "no caller to wait for")
		sam.runs(ctx, namespace, "incident", "hold", "oom", "--reason", "AwaitingChange").expect(exit.Usage, "names no Change")
		sam.runs(ctx, namespace, "incident", "hold", "oom", "--reason", "AwaitingLunch").expect(exit.Usage, "AwaitingVendor")
		sam.runs(ctx, namespace, "incident", "hold", "oom", "--change", "checkout-2-5", "-m", "limit").expect(exit.NotFound, "there is no Change")
		for _, name := range []string{"checkout-2-5", "checkout-2-6"} {
			record(ctx, builder.MakeChange(namespace, name).Requester("alice").Target(v1alpha1.WorkloadDeployment, "checkout", newImage).Obj())
		}
		leak := &v1alpha1.Problem{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "leak"}}
		leak.Spec.Statement = "it leaks"
		record(ctx, leak)
		sam.runs(ctx, namespace, "incident", "hold", "oom", "--change", "checkout-2-5", "-m", "limit").expect(exit.OK, "on hold")
		held := get(ctx, "oom").Spec
		Expect(held.Hold).To(Equal(&v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingChange, Comment: "limit", By: "sam"}))
		Expect(held.ChangeRefs).To(Equal([]v1alpha1.LocalReference{{Name: "checkout-2-5"}}))
		sam.runs(ctx, namespace, "incident", "hold", "oom", "--reason", "AwaitingVendor").expect(exit.OK)
		Expect(get(ctx, "oom").Spec.Hold).To(Equal(&v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingVendor, By: "sam"}))
		sam.runs(ctx, namespace, "incident", "resume", "oom").expect(exit.OK, "resumed")
		Expect(get(ctx, "oom").Spec.Hold).To(BeNil())

		for flag, kind := range map[string]string{"--change": "Change", "--problem": "Problem", "--parent": "Incident"} {
			refused := sam.runs(ctx, namespace, "incident", "link", "oom", flag, "nosuch").expect(exit.NotFound, "there is no "+kind+" "+namespace+"/nosuch")
			Expect(refused.errOut).To(ContainSubstring("next:"))
		}
		// What sam may not read, in another namespace, is taken at its word.
		sam.runs(ctx, namespace, "incident", "link", "oom", "--change", "checkout-2-6", "--problem", "leak", "--parent", "finance/db").expect(exit.OK, "linked")
		linked := get(ctx, "oom").Spec
		Expect(linked.ChangeRefs).To(Equal([]v1alpha1.LocalReference{{Name: "checkout-2-5"}, {Name: "checkout-2-6"}}))
		Expect(linked.ProblemRef).To(Equal(&v1alpha1.LocalReference{Name: "leak"}))
		Expect(linked.ParentRef).To(Equal(&v1alpha1.NamespacedReference{Namespace: "finance", Name: "db"}))
		sam.runs(ctx, namespace, "incident", "link", "oom", "--remove", "--change", "checkout-2-5", "--parent", "finance/db").expect(exit.OK, "unlinked")
		linked = get(ctx, "oom").Spec
		Expect(linked.ChangeRefs).To(Equal([]v1alpha1.LocalReference{{Name: "checkout-2-6"}}))
		Expect(linked.ParentRef).To(BeNil())
	})

	It("ends", func(ctx SpecContext) {
		detected(ctx, "oom")
		sam.runs(ctx, namespace, "incident", "close", "oom").expect(exit.WrongState, "is not resolved (state New)", "--close")
		sam.runs(ctx, namespace, "incident", "resolve", "oom", "--code", "Fixed").expect(exit.Usage, "FixedByChange")
		sam.runs(ctx, namespace, "incident", "resolve", "oom", "--code", "Duplicate").expect(exit.Usage, "--of")
		sam.runs(ctx, namespace, "incident", "resolve", "oom", "--code", "FixedByChange", "-m", "limit").expect(exit.OK, "resolved", "OOMKilled still shows")
		Expect(get(ctx, "oom").Spec.Resolution).To(Equal(&v1alpha1.Resolution{Code: v1alpha1.ResolutionFixedByChange, Notes: "limit"}))
		sam.runs(ctx, namespace, "incident", "reopen", "oom").expect(exit.OK, "open again")
		Expect(get(ctx, "oom").Spec.Resolution).To(BeNil())
		sam.runs(ctx, namespace, "incident", "resolve", "oom", "--of", namespace+"/other", "--close").expect(exit.NotFound, "there is no Incident")
		detected(ctx, "other")
		sam.runs(ctx, namespace, "incident", "resolve", "oom", "--of", namespace+"/other", "--close").expect(exit.OK, "resolved")
		ended := get(ctx, "oom").Spec
		Expect(ended.Resolution).To(Equal(&v1alpha1.Resolution{Code: v1alpha1.ResolutionDuplicate, Closed: true}))
		Expect(ended.ParentRef.Name).To(Equal(v1alpha1.ObjectName("other")))

		By("closing what the operator resolved, with its code")
		detected(ctx, "well", func(i *v1alpha1.Incident) {
			now := metav1.Now()
			i.Status.State, i.Status.RecoveredAt, i.Status.ResolvedAt = v1alpha1.IncidentResolved, &now, &now
			i.Status.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionRolledBack, Notes: "it recovered"}
		})
		sam.runs(ctx, namespace, "incident", "reopen", "well").expect(exit.OK, "open again")
		Expect(get(ctx, "well").Spec.Recovery).To(Equal(v1alpha1.RecoveryDisputed))
		sam.runs(ctx, namespace, "incident", "close", "well").expect(exit.OK, "closed")
		Expect(get(ctx, "well").Spec.Resolution).To(Equal(&v1alpha1.Resolution{Code: v1alpha1.ResolutionRolledBack, Notes: "it recovered", Closed: true}))

		By("leaving alone what is closed")
		detected(ctx, "past", func(i *v1alpha1.Incident) { i.Status.State = v1alpha1.IncidentClosed })
		sam.runs(ctx, namespace, "incident", "ack", "past").expect(exit.WrongState, "is closed", "--parent "+namespace+"/past")
	})

	It("goes on with the others where one fails, and asks for rights", func(ctx SpecContext) {
		detected(ctx, "one")
		detected(ctx, "two")
		sam.runs(ctx, namespace, "incident", "ack", "one", "nothing", "two").expect(exit.NotFound, "there is no Incident "+namespace+"/nothing", "two acknowledged")
		Expect(get(ctx, "two").Spec.Acknowledged).To(BeTrue())
		victor := somebody(namespace, "victor", nil, "itil-viewer")
		victor.runs(ctx, namespace, "incident", "assign", "one").expect(exit.NotPermitted, "cannot patch resource")
		victor.runs(ctx, namespace, "incident", "open", "x", "--service", "checkout").expect(exit.NotPermitted, "cannot create resource")
	})

	It("is listed by what is due", func(ctx SpecContext) {
		clock := func(state v1alpha1.ClockState, in time.Duration) func(*v1alpha1.Incident) {
			return func(i *v1alpha1.Incident) {
				due := metav1.NewTime(time.Now().Add(in))
				i.Status.Clocks = &v1alpha1.IncidentClocks{Agreement: "gold", Resolution: &v1alpha1.Clock{DueAt: &due, State: state}}
			}
		}
		detected(ctx, "later", clock(v1alpha1.ClockRunning, 3*time.Hour+time.Minute))
		detected(ctx, "overdue", clock(v1alpha1.ClockBreached, -2*time.Hour))
		detected(ctx, "unclocked", func(i *v1alpha1.Incident) { i.Status.Priority = v1alpha1.PriorityP1; i.Spec.Assignee = "sam" })
		detected(ctx, "done", func(i *v1alpha1.Incident) { i.Status.State = v1alpha1.IncidentResolved })
		list := sam.runs(ctx, namespace, "incidents").expect(exit.OK, "resolution overdue 120m", "resolution in 3h", "deployment/checkout", "OOMKilled")
		Expect(list.out).To(MatchRegexp(`(?s)NAME.*overdue.*later.*unclocked`))
		Expect(list.out).NotTo(ContainSubstring("done"))
		names := func(arguments ...string) string {
			GinkgoHelper()
			r := sam.runs(ctx, namespace, append([]string{"incidents", "-o", "name"}, arguments...)...)
			r.expect(exit.OK)
			return strings.ReplaceAll(strings.TrimSpace(r.out), "incident.itil.dev/", "")
		}
		Expect(names()).To(Equal("overdue\nlater\nunclocked"))
		Expect(names("--mine")).To(Equal("unclocked"))
		Expect(names("--priority", "p1,P3")).To(Equal("unclocked"))
		Expect(names("--service", "other")).To(BeEmpty())
		Expect(strings.Fields(names("--all"))).To(ContainElement("done"))
		sam.runs(ctx, namespace, "incidents", "--priority", "P7").expect(exit.Usage, "P7")
		sam.runs(ctx, namespace, "incidents", "--service", "other").expect(exit.NotFound, "there is no Service "+namespace+"/other")
		sam.runs(ctx, namespace, "incidents", "--service", "checkout", "--priority", "P5").expect(exit.OK, "No open Incidents on Service checkout of priority P5 in namespace "+namespace)
		sam.runs(ctx, namespace, "incidents", "-o", "wide").expect(exit.OK, "SUMMARY", "later is OOMKilled")
	})

	It("is followed as it changes", func(ctx SpecContext) {
		detected(ctx, "bygone", func(i *v1alpha1.Incident) { i.Status.State = v1alpha1.IncidentResolved })
		detected(ctx, "first")
		watching, stop := context.WithCancel(ctx)
		out := &safeBuffer{}
		done := make(chan exit.Code, 1)
		go func() {
			done <- cli.Run(watching, cli.Environment{
				IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: out}, Now: time.Now, Version: "test",
			}, []string{"--kubeconfig", sam.kubeconfig, "--cache-dir", filepath.Join(folder, "cache"), "-n", namespace, "incidents", "--watch"})
		}()
		Eventually(out.String).WithContext(ctx).Should(MatchRegexp(`first\s+P2\s+New`))
		detected(ctx, "second")
		Eventually(out.String).WithContext(ctx).Should(MatchRegexp(`second\s+P2\s+New`))
		i := get(ctx, "first")
		i.Status.State = v1alpha1.IncidentResolved
		Expect(operator.Status().Update(ctx, i)).To(Succeed())
		Eventually(out.String).WithContext(ctx).Should(MatchRegexp(`first\s+P2\s+Resolved`))
		stop()
		Eventually(done).WithContext(ctx).Should(Receive(Equal(exit.OK)))
		Expect(strings.Count(out.String(), "PRIORITY")).To(Equal(1))
		Expect(out.String()).NotTo(ContainSubstring("bygone"), "what was over before is not shown")
	})
})

// safeBuffer is written to by a command that runs beside the spec.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
