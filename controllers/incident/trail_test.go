package incident

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestAClosedRecordIsOneLogLine: it has all that the record has, and is told once.
func TestAClosedRecordIsOneLogLine(t *testing.T) {
	s := newScene(t)
	var out bytes.Buffer // as cmd/manager logs by default
	logged := log.IntoContext(t.Context(), zap.New(zap.WriteTo(&out)))
	closed := func() []string {
		t.Helper()
		out.Reset()
		if _, err := s.Reconcile(logged, request); err != nil {
			t.Fatal(err)
		}
		return strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' })
	}
	if got := closed(); len(got) != 0 {
		t.Fatalf("told while it is open: %v", got)
	}
	s.edit(func(i *v1alpha1.Incident) {
		at := metav1.NewTime(t0)
		i.Status.Signals[0].ClearedAt, i.Status.RecoveredAt = &at, &at
		i.Spec.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionUserGuidance, Notes: "as agreed", Closed: true}
	})
	s.patch = func() error { return errors.New("the API server is away") }
	if _, err := s.Reconcile(logged, request); err == nil || out.Len() > 0 {
		t.Fatalf("error %v, told before it was written: %s", err, &out)
	}
	s.patch = nil
	got := closed()
	if len(got) != 1 {
		t.Fatalf("%d lines: %v", len(got), got)
	}
	var line struct {
		Msg      string `json:"msg"`
		Incident struct {
			Namespace, Name, UID string
			Spec                 v1alpha1.IncidentSpec
			Status               v1alpha1.IncidentStatus
		} `json:"incident"`
	}
	if err := json.Unmarshal([]byte(got[0]), &line); err != nil {
		t.Fatalf("%s: %v", got[0], err)
	}
	i := line.Incident
	if line.Msg != "Incident closed" || i.Namespace+"/"+i.Name != request.String() || i.UID == "" || i.Spec.Title == "" {
		t.Errorf("line %s", got[0])
	}
	if i.Status.State != v1alpha1.IncidentClosed || i.Status.Resolution == nil || len(i.Status.Signals) != 1 || len(i.Status.Timeline) == 0 {
		t.Errorf("status %+v", i.Status)
	}
	if got := closed(); len(got) != 0 {
		t.Errorf("told again: %v", got)
	}
}

// measured is how often something was, and how much in all.
func measured(t *testing.T, c prometheus.Collector) (count, sum float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			count += float64(m.GetHistogram().GetSampleCount()) + m.GetCounter().GetValue()
			sum += m.GetHistogram().GetSampleSum()
		}
	}
	return count, sum
}

// TestMeasuredOnce: what is measured of an Incident is so once in its life, in seconds from its detection on; that it is
// opened again, and breached, once for each time.
func TestMeasuredOnce(t *testing.T) {
	type change struct{ acknowledged, took, resolved, lasted, reopened, breached float64 }
	now := func() (c change) {
		c.acknowledged, c.took = measured(t, timeToAcknowledge)
		c.resolved, c.lasted = measured(t, timeToResolve)
		c.reopened, _ = measured(t, reopenedTotal)
		c.breached, _ = measured(t, breachedTotal)
		return c
	}
	s := newScene(t, checkout(1, v1alpha1.HealthOutage), agreement("gold", nil))
	before := now()
	expect := func(step string, want change) {
		t.Helper()
		for range 3 {
			s.reconcile()
		}
		got := now()
		got.acknowledged, got.took = got.acknowledged-before.acknowledged, got.took-before.took
		got.resolved, got.lasted = got.resolved-before.resolved, got.lasted-before.lasted
		got.reopened, got.breached = got.reopened-before.reopened, got.breached-before.breached
		if got != want {
			t.Errorf("%s: %+v, want %+v", step, got, want)
		}
	}
	want := change{}
	expect("opened", want)
	s.clock.SetTime(t0.Add(20 * time.Minute))
	want.breached = 1
	expect("nobody responded in time", want)
	s.edit(func(i *v1alpha1.Incident) { i.Spec.Assignee = "alice" })
	want.acknowledged, want.took = 1, 1200
	expect("assigned", want)
	s.edit(func(i *v1alpha1.Incident) { i.Spec.Assignee = "bob" })
	expect("assigned to another", want)
	well := func(at time.Duration) {
		s.clock.SetTime(t0.Add(at + 10*time.Minute))
		since := metav1.NewTime(t0.Add(at))
		s.edit(func(i *v1alpha1.Incident) {
			i.Status.Signals[0].ClearedAt, i.Status.RecoveredAt, i.Status.RecoveryHoldSeconds = &since, &since, 120
		})
	}
	well(time.Hour)
	want.resolved, want.lasted = 1, 3600
	expect("recovered", want)
	s.edit(func(i *v1alpha1.Incident) {
		i.Status.Signals[0].ClearedAt, i.Status.RecoveredAt = nil, nil
		i.Status.Signals[0].Since = metav1.NewTime(t0.Add(65 * time.Minute))
	})
	want.reopened = 1
	expect("it fails again", want)
	well(2 * time.Hour)
	expect("recovered again", want)
	if i := s.live(); i.Status.State != v1alpha1.IncidentResolved {
		t.Errorf("state %s", i.Status.State)
	}
}
