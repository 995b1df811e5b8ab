package api_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/panics"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

// unserved are kinds of which nobody writes observedGeneration: votes are counted on their Change, items belong to what
// they are about, and their workloads do not exist here.
var unserved = map[string]bool{"ChangeApproval": true, "ConfigurationItem": true}

// panicked is what panicked in the operator of this process.
var panicked = panics.Record()

// patience with an operator that has all of it to serve, on a machine that does five other things.
const patience = 5 * time.Minute

// serveAll runs the whole operator on what was planted: it works, nothing of it panics, and each object has a status about
// what it is now.
func serveAll(ctx SpecContext) {
	GinkgoHelper()
	const namespace = "itil-system"
	Expect(env.Admin().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
	for kind, served := range kinds {
		// At least one of each, whichever specs ran before.
		object := parse(kind, bases[kind])
		object.SetName("served")
		if !served.cluster {
			object.SetNamespace(namespace)
		}
		Expect(env.Admin().Create(ctx, object)).To(Succeed())
	}
	running := replica.Start(GinkgoTB(), replica.Config{REST: env.AdminConfig(), Namespace: namespace, Machine: clock.RealClock{}})
	Eventually(running.Working(), patience).Should(BeClosed())
	Eventually(func() error { return unobserved(ctx) }, patience, time.Second).Should(Succeed(), toldPanics)
	tellAll(ctx, namespace)
	Expect(panicked.Err()).To(Succeed())
	Expect(running.Done()).NotTo(BeClosed())
}

func toldPanics() string { return fmt.Sprintf("what panicked: %v", panicked.Err()) }

// unobserved names objects whose status is about an earlier version of them, or none.
func unobserved(ctx context.Context) error {
	var missing []string
	for kind := range kinds {
		if unserved[kind] {
			continue
		}
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
		if err := env.Admin().List(ctx, list); err != nil {
			return err
		}
		for i := range list.Items {
			o := &list.Items[i]
			if _, ended, _ := unstructured.NestedString(o.Object, "status", "endedAt"); ended && kind == "Release" {
				// Its status is a record, which is written no more.
				continue
			}
			observed, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
			// Only the operator writes status, and it never writes a year that metav1.Time cannot write again.
			if observed != o.GetGeneration() && !strings.Contains(fmt.Sprint(o.Object["status"]), "9999-12-31") {
				missing = append(missing, fmt.Sprintf("%s %s/%s (%d of %d): %.300v, %.600v",
					kind, o.GetNamespace(), o.GetName(), observed, o.GetGeneration(), o.Object["spec"], o.Object["status"]))
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d objects have no status: %s", len(missing), strings.Join(missing[:min(len(missing), 10)], "\n"))
	}
	return nil
}

// misread are values that a schema lets through and that mean nothing to the operator, with what a condition says of them.
var misread = map[string]struct{ kind, patch, says string }{
	"a window that ends in year 10000": {"Change", `spec: {window: {start: "2026-01-01T00:00:00Z", end: "9999-12-31T23:59:59-23:59"}}`, "spec.window.end"},
	"a Calendar's unknown zone":        {"Calendar", `spec: {timeZone: Mars/Olympus}`, "Mars/Olympus"},
	"an agreement's unknown zone":      {"ServiceLevelAgreement", `spec: {period: {type: CalendarMonth, timeZone: Mars/Olympus}}`, "Mars/Olympus"},
	"an agreement from year 10000 on":  {"ServiceLevelAgreement", `spec: {validFrom: "9999-12-31T23:59:59-23:59"}`, "validFrom"},
	"a freeze until year 10000":        {"ChangePolicy", `spec: {freezes: [{name: endless, from: "2026-01-01T00:00:00Z", to: "9999-12-31T23:59:59-23:59"}]}`, "endless"},
	"a Calendar's extra year 10000":    {"Calendar", `spec: {extra: [{from: "9999-12-31T00:00:00Z", to: "9999-12-31T23:59:59-23:59"}]}`, "extra"},
}

// tellAll sees that the operator says of each what it cannot read.
func tellAll(ctx context.Context, namespace string) {
	GinkgoHelper()
	for what, m := range misread {
		object := parse(m.kind, bases[m.kind])
		object.Object = merged(object.Object, fields(m.patch))
		object.SetGenerateName("misread-")
		if !kinds[m.kind].cluster {
			object.SetNamespace(namespace)
		}
		Expect(env.Admin().Create(ctx, object)).To(Succeed(), what)
		Eventually(func(g Gomega) {
			g.Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
			conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(fmt.Sprint(conditions...)).To(ContainSubstring(m.says), "%s: %v", what, object.Object["status"])
		}, patience, time.Second).Should(Succeed(), toldPanics)
	}
}
