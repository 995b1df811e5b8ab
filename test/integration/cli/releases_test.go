package cli_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
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
