package cli_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

var _ = Describe("Releases", func() {
	var (
		namespace string
		sam       person
	)

	BeforeEach(func() {
		namespace = env.Namespace(GinkgoTB(), nil)
		sam = somebody(namespace, "sam", []string{"sre"}, "itil-viewer", "itil-editor", "system:aggregate-to-edit")
	})

	get := func(ctx context.Context, name string) *v1alpha1.Release {
		GinkgoHelper()
		r := &v1alpha1.Release{}
		Expect(operator.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, r)).To(Succeed())
		return r
	}

	It("is made of units and phases, held, promoted and stopped", func(ctx SpecContext) {
		unit := []string{"--unit", "worker=deployment/checkout-worker app=registry.shop.example/checkout:2.5"}
		sam.runs(ctx, namespace, append([]string{"release", "new", "shop-2-5"}, unit...)...).expect(exit.Usage, "--version")
		sam.runs(ctx, namespace, "release", "new", "shop-2-5", "--version", "2.5").expect(exit.Usage, "say what is released")
		made := sam.runs(ctx, namespace, append([]string{"release", "new", "shop-2-5", "--version", "2.5", "--service", "checkout",
			"-m", "version 2.5", "--phase", "pilot=worker soak=10m timeout=20m", "--paused"}, unit...)...)
		made.expect(exit.OK, "release.itil.dev/shop-2-5 made", "release status")
		r := get(ctx, "shop-2-5")
		Expect(r.Spec.Requester).To(Equal(v1alpha1.UserName("sam")))
		Expect(r.Spec.Phases).To(Equal([]v1alpha1.ReleasePhase{{Name: "pilot", Units: []string{"worker"}, Soak: "10m", Timeout: "20m"}}))
		Expect(r.Spec.Units[0].Workload).To(Equal(v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout-worker"}))
		Expect(r.Spec.Change.Summary).To(Equal("version 2.5"))

		sam.runs(ctx, namespace, "release", "promote", "shop-2-5").expect(exit.OK, "promoted")
		Expect(get(ctx, "shop-2-5").Spec.Paused).To(BeFalse())
		sam.runs(ctx, namespace, "release", "promote", "shop-2-5").expect(exit.OK, "is promoted already")
		sam.runs(ctx, namespace, "release", "pause", "shop-2-5").expect(exit.OK, "paused")
		sam.runs(ctx, namespace, "release", "status", "shop-2-5").expect(exit.OK, "Planning (paused)", "pilot", "Waiting")
		sam.runs(ctx, namespace, "release", "cancel", "shop-2-5").expect(exit.NotConfirmed, "--yes")
		sam.runs(ctx, namespace, "release", "cancel", "shop-2-5", "--yes").expect(exit.OK, "canceled")
		Expect(get(ctx, "shop-2-5").Spec.Cancel).To(BeTrue())
		over := get(ctx, "shop-2-5")
		over.Status.State = v1alpha1.ReleaseCanceled
		Expect(operator.Status().Update(ctx, over)).To(Succeed())
		sam.runs(ctx, namespace, "release", "promote", "shop-2-5").expect(exit.WrongState, "has ended (Canceled)")
		sam.runs(ctx, namespace, "release", "status", "shop-2-5", "--watch").expect(exit.WrongState, "is Canceled")
		sam.runs(ctx, namespace, "release", "status", "shop-9").expect(exit.NotFound, "there is no Release")
	})

	It("is not for those who may not do themselves what it does", func(ctx SpecContext) {
		made := []string{"release", "new", "shop-2-5", "--version", "2.5", "--paused", "--unit", "deployment/checkout app=registry.shop.example/checkout:2.5"}
		dana := somebody(namespace, "dana", []string{"developers"}, "itil-viewer", "itil-editor")
		dana.runs(ctx, namespace, made...).expect(exit.NotPermitted, "needs the verb update on deployments")
		sam.runs(ctx, namespace, made...).expect(exit.OK)
		By("an editor who may not update the workloads")
		for _, command := range [][]string{{"promote"}, {"cancel", "--yes"}} {
			dana.runs(ctx, namespace, append([]string{"release", command[0], "shop-2-5"}, command[1:]...)...).
				expect(exit.NotPermitted, "needs the verb update on deployments")
		}
		By("somebody who may only look")
		vera := somebody(namespace, "vera", nil, "itil-viewer")
		vera.runs(ctx, namespace, "release", "promote", "shop-2-5").expect(exit.NotPermitted, "itil-editor")
		vera.runs(ctx, namespace, "release", "pause", "shop-2-5").expect(exit.OK, "is paused already")
		vera.runs(ctx, namespace, "release", "status", "shop-2-5").expect(exit.OK, "paused")
		By("a stranger")
		somebody(namespace, "stranger", nil).runs(ctx, namespace, "release", "status", "shop-2-5").expect(exit.NotPermitted, "itil-viewer")
		Expect(get(ctx, "shop-2-5").Spec.Paused).To(BeTrue())
		Expect(get(ctx, "shop-2-5").Spec.Cancel).To(BeFalse())
	})

	It("is stopped while it is taken back", func(ctx SpecContext) {
		sam.runs(ctx, namespace, "release", "new", "shop-2-5", "--version", "2.5", "--unit", "deployment/checkout app=registry.shop.example/checkout:2.5").expect(exit.OK)
		sam.runs(ctx, namespace, "release", "cancel", "shop-2-5").expect(exit.NotConfirmed, "--yes")
		Expect(get(ctx, "shop-2-5").Spec.Cancel).To(BeFalse())
		r := get(ctx, "shop-2-5")
		began := metav1.NewTime(time.Now().Truncate(time.Second))
		r.Status.State, r.Status.StartedAt, r.Status.Backout = v1alpha1.ReleaseDeploying, &began, &v1alpha1.ReleaseBackout{StartedAt: began}
		Expect(operator.Status().Update(ctx, r)).To(Succeed())
		sam.runs(ctx, namespace, "release", "cancel", "shop-2-5", "--yes").expect(exit.OK, "canceled", "kubectl itil release status "+namespace+"/shop-2-5")
		sam.runs(ctx, namespace, "release", "cancel", "shop-2-5").expect(exit.OK, "is canceled already")
	})

	It("is shown live until it has ended", func(ctx SpecContext) {
		sam.runs(ctx, namespace, "release", "new", "shop-2-5", "--version", "2.5", "--unit", "deployment/checkout app=registry.shop.example/checkout:2.5",
			"--phase", "pilot=* soak=10m").expect(exit.OK)
		shown, code := gbytes.NewBuffer(), make(chan exit.Code, 1)
		go func() {
			code <- cli.Run(ctx, cli.Environment{
				IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: shown, ErrOut: shown}, Now: time.Now, Version: "test",
			}, []string{"--kubeconfig", sam.kubeconfig, "--namespace", namespace, "release", "status", "shop-2-5", "--watch"})
		}()
		becomes := func(state v1alpha1.ReleaseState, phase v1alpha1.ReleasePhaseState) {
			GinkgoHelper()
			r := get(ctx, "shop-2-5")
			r.Status.State, r.Status.Phases = state, []v1alpha1.ReleasePhaseStatus{{Name: "pilot", State: phase, SoakSeconds: 600}}
			if phase == v1alpha1.ReleasePhaseFailed {
				r.Status.Failure = &v1alpha1.ReleaseFailure{Phase: "pilot", Reason: v1alpha1.ReleaseFailureIncident, Message: "Incident oom (P2)", At: metav1.Now()}
			}
			Expect(operator.Status().Update(ctx, r)).To(Succeed())
		}
		Eventually(shown).Should(gbytes.Say("Planning"))
		becomes(v1alpha1.ReleaseDeploying, v1alpha1.ReleasePhaseSoaking)
		Eventually(shown).Should(gbytes.Say("Soaking"))
		Consistently(code, 200*time.Millisecond).ShouldNot(Receive())
		becomes(v1alpha1.ReleaseRolledBack, v1alpha1.ReleasePhaseFailed)
		Eventually(shown).Should(gbytes.Say("RolledBack"))
		Eventually(code).Should(Receive(Equal(exit.WrongState)))
		Eventually(shown).Should(gbytes.Say("shop-2-5 is RolledBack: Incident oom"))
	})

	It("is made of what manifests say", func(ctx SpecContext) {
		path := manifests(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout}
spec:
  selector: {matchLabels: {app: checkout}}
  template:
    metadata: {labels: {app: checkout}}
    spec: {containers: [{name: app, image: "registry.shop.example/checkout:2.5"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
`)
		out := sam.runs(ctx, namespace, "release", "new", "shop-2-5", "--version", "2.5", "-f", path, "--dry-run", "-o", "jsonpath={.spec.units}").expect(exit.OK)
		Expect(out.out).To(MatchJSON(`[{"name":"checkout","workload":{"kind":"Deployment","name":"checkout"},"images":{"app":"registry.shop.example/checkout:2.5"}}]`))
	})
})
