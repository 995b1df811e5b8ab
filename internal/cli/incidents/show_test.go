package incidents

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

func TestPageOfAnIncident(t *testing.T) {
	failing := incident("checkout-7f3a9", clocks(clock(v1alpha1.ClockRunning, 10*time.Minute), clock(v1alpha1.ClockRunning, 4*time.Hour)), func(i *v1alpha1.Incident) {
		i.Spec.Description = "since the sale began\nfor all customers"
		i.Status.StartedAt = at(-2*time.Hour - 3*time.Minute)
		i.Status.Summary = "checkout: container cache is OOMKilled, on 3 pods"
		i.Status.AffectedServices = []v1alpha1.NamespacedReference{{Namespace: "shop", Name: "checkout"}, {Namespace: "shop", Name: "storefront"}}
		i.Status.Signals = []v1alpha1.Signal{
			{Reason: v1alpha1.SignalOOMKilled, Container: "cache", Since: *at(-time.Hour), Pods: []string{"checkout-1", "checkout-2", "checkout-3"}, AffectedPods: 3},
			{Reason: v1alpha1.SignalCrashLooping, Container: "app", Since: *at(-2 * time.Hour), ClearedAt: at(-time.Hour), Message: "exited with code 3 after 1s: no\x1b[2J orders", Pods: []string{"checkout-1"}, AffectedPods: 1},
		}
		i.Status.Children, i.Status.Reopened = 2, 1
		i.Status.SuspectedChange = &v1alpha1.SuspectedChange{Name: "checkout-2-4", Confidence: v1alpha1.ConfidenceHigh, Reason: "it went in 3 minutes before"}
		i.Status.KnownError = &v1alpha1.KnownError{Problem: "checkout-oomkilled", Workaround: "restart it"}
		i.Status.ParentRef = &v1alpha1.NamespacedReference{Namespace: "finance", Name: "ledger-1b2c3"}
		for n := range 12 {
			i.Status.Timeline = append(i.Status.Timeline, v1alpha1.TimelineEntry{At: *at(time.Duration(n-120) * time.Minute), What: "opened", By: "itil-operator"})
		}
		i.Status.Evidence = []v1alpha1.Evidence{{At: *at(-time.Hour), Object: "pod/checkout-1", Reason: "BackOff", Message: "restarting\x1b[31m failed container " + strings.Repeat("x", 300)}}
		i.Status.Log = &v1alpha1.LogTail{
			At: *at(-time.Minute), Pod: "checkout-1", Container: "app", Previous: true,
			Lines: []string{"loading all orders", "fatal: out of\x1b[2J memory at " + strings.Repeat("y", 220)},
		}
		i.Status.NextStep = "acknowledge it: kubectl itil incident ack shop/checkout-7f3a9"
	})
	unread := incident("worker-2c4d6", state(v1alpha1.IncidentResolved), func(i *v1alpha1.Incident) {
		i.Spec.Assignee, i.Spec.Reporter, i.Status.ResolvedAt = "alice", "bob", at(-time.Hour)
		i.Status.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionSelfRecovered, Notes: "it recovered with the same template"}
		i.Status.Log = &v1alpha1.LogTail{At: *at(-time.Minute), Pod: "worker-1", Container: "app", Problem: "the operator may not read logs in namespace shop"}
	})
	held := incident("held", state(v1alpha1.IncidentOnHold), func(i *v1alpha1.Incident) {
		i.Spec.Hold = &v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingVendor, Comment: "ticket 7"}
	})
	for name, i := range map[string]*v1alpha1.Incident{"held": held, "failing": failing, "unread": unread, "new": {ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "new"}}} {
		t.Run(name, func(t *testing.T) {
			page := describe(i, now, screen.Palette{}).String()
			if strings.Contains(page, "\x1b") {
				t.Errorf("what others wrote steers the terminal: %q", page)
			}
			golden.Compare(t, page)
		})
	}
}
