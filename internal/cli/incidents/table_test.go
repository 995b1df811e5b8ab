package incidents

import (
	"bytes"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

var now = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time {
	out := metav1.NewTime(now.Add(d))
	return &out
}

// incident is a new P2 of the operator's, two hours old.
func incident(name string, alter ...func(*v1alpha1.Incident)) *v1alpha1.Incident {
	i := &v1alpha1.Incident{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: *at(-2 * time.Hour)},
		Spec: v1alpha1.IncidentSpec{
			Title: "checkout: container app is OOMKilled", Source: v1alpha1.IncidentSourceDetector,
			ServiceRef:  &v1alpha1.LocalReference{Name: "checkout"},
			WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "checkout"},
		},
		Status: v1alpha1.IncidentStatus{State: v1alpha1.IncidentNew, Priority: v1alpha1.PriorityP2, Reason: v1alpha1.SignalOOMKilled},
	}
	for _, f := range alter {
		f(i)
	}
	return i
}

func state(s v1alpha1.IncidentState) func(*v1alpha1.Incident) {
	return func(i *v1alpha1.Incident) { i.Status.State = s }
}

func priority(p v1alpha1.Priority) func(*v1alpha1.Incident) {
	return func(i *v1alpha1.Incident) { i.Status.Priority = p }
}

func clocks(response, resolution *v1alpha1.Clock) func(*v1alpha1.Incident) {
	return func(i *v1alpha1.Incident) {
		i.Status.Clocks = &v1alpha1.IncidentClocks{Agreement: "gold", Response: response, Resolution: resolution}
	}
}

func clock(s v1alpha1.ClockState, due time.Duration) *v1alpha1.Clock {
	return &v1alpha1.Clock{State: s, DueAt: at(due)}
}

// ordered are incidents in the order in which they must be shown.
func ordered() []v1alpha1.Incident {
	acknowledged := func(i *v1alpha1.Incident) {
		i.Spec.Assignee, i.Status.State, i.Status.AcknowledgedAt = "alice", v1alpha1.IncidentInProgress, at(-time.Hour)
	}
	return []v1alpha1.Incident{
		*incident("overdue", acknowledged, clocks(clock(v1alpha1.ClockBreached, -3*time.Hour), clock(v1alpha1.ClockBreached, -30*time.Minute))),
		*incident("respond", priority(v1alpha1.PriorityP1), func(i *v1alpha1.Incident) { i.Spec.Major = true },
			clocks(clock(v1alpha1.ClockWarning, 5*time.Minute), clock(v1alpha1.ClockRunning, 4*time.Hour))),
		*incident("resolve", acknowledged, clocks(clock(v1alpha1.ClockMet, -time.Hour), clock(v1alpha1.ClockRunning, 3*time.Hour))),
		*incident("pressing", priority(v1alpha1.PriorityP1)),
		*incident("asked", acknowledged, state(v1alpha1.IncidentOnHold), clocks(nil, &v1alpha1.Clock{State: v1alpha1.ClockPaused})),
		*incident("older", priority(v1alpha1.PriorityP3), func(i *v1alpha1.Incident) {
			i.CreationTimestamp, i.Status.Reopened = *at(-50 * time.Hour), 1
			i.Status.SuspectedChange = &v1alpha1.SuspectedChange{Name: "checkout-2-4", Confidence: v1alpha1.ConfidenceHigh}
			i.Status.KnownError = &v1alpha1.KnownError{Problem: "leak"}
		}),
		*incident("younger", priority(v1alpha1.PriorityP3), func(i *v1alpha1.Incident) {
			i.Spec.WorkloadRef, i.Status.Reason = nil, ""
			i.Spec.Title = "checkout shows\nwrong\x1b[2J prices"
		}),
		*incident("well", priority(v1alpha1.PriorityP5), state(v1alpha1.IncidentResolved), func(i *v1alpha1.Incident) {
			i.Status.ResolvedAt = at(-time.Minute)
			i.Status.SuspectedChange = &v1alpha1.SuspectedChange{Confidence: v1alpha1.ConfidenceLow}
		}, clocks(nil, clock(v1alpha1.ClockMet, time.Hour))),
		*incident("unseen", func(i *v1alpha1.Incident) { i.Status = v1alpha1.IncidentStatus{} }),
	}
}

func TestTable(t *testing.T) {
	for name, test := range map[string]struct {
		wide    bool
		palette screen.Palette
	}{"narrow": {}, "wide": {wide: true}, "coloured": {palette: screen.Palette{Colour: true}}} {
		t.Run(name, func(t *testing.T) {
			columns := screen.Columns{Namespace: test.wide, Wide: test.wide}
			table := newTable(columns)
			items := ordered()
			for i := range items {
				table.Add(row(&items[i], now, columns, func(*v1alpha1.Incident) string { return "2h, 1h agreed" })...)
			}
			var out bytes.Buffer
			if err := table.Write(&out, test.palette); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, out.String())
		})
	}
}

func TestByDue(t *testing.T) {
	items := ordered()
	for i := range items {
		for j := range items {
			if got := byDue(&items[i], &items[j]); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%s to %s: %d", items[i].Name, items[j].Name, got)
			}
		}
	}
}
