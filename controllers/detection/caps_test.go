package detection

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// value is what a metric without labels measures: the value, or how often and how much in all.
func value(t *testing.T, c prometheus.Collector) (count uint64, sum float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("gathered %v, error %v", families, err)
	}
	for _, m := range families[0].GetMetric() {
		count += m.GetHistogram().GetSampleCount()
		sum += m.GetHistogram().GetSampleSum() + m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return count, sum
}

// TestTheCapOfAll: all namespaces together have a bound, too, but for tiers 1 and 2; it says so by an event and metrics.
func TestTheCapOfAll(t *testing.T) {
	s := newScene(t)
	told := events.NewFakeRecorder(10)
	s.Recorder, s.ClusterCap = told, 3
	s.hasService(builder.MakeService("shop", "vital").Tier(2).Claim(v1alpha1.WorkloadDeployment, "w5"))
	s.hasService(builder.MakeService("shop", "other").Tier(3).Claim(v1alpha1.WorkloadDeployment, "w4"))
	_, before := value(t, cappedTotal)
	for n := range 6 {
		name := fmt.Sprint("w", n)
		s.has(deployment(name, 1))
		s.seePod(crashing(name, 0))
	}
	s.work()
	own, summary := split(s)
	if len(own) != 4 || summary == nil || summary.Status.Workloads != 2 {
		t.Fatalf("%d of their own, the rest is counted in %+v", len(own), summary)
	}
	if n := len(told.Events); n != 1 {
		t.Fatalf("%d events, want one", n)
	}
	if got := <-told.Events; !strings.HasPrefix(got, "Warning CapReached at most 50 Incidents may be open in a namespace and 3 in all; ") {
		t.Errorf("event %q", got)
	}
	if _, total := value(t, cappedTotal); total-before < 2 {
		t.Errorf("%v times kept back", total-before)
	}
	if _, now := value(t, capped); now != 2 {
		t.Errorf("%v are kept back", now)
	}
}

// TestTimeToDetectIsMeasuredOnce, from when it began to when it was seen, and that it opened.
func TestTimeToDetectIsMeasuredOnce(t *testing.T) {
	s := newScene(t)
	count, sum := value(t, timeToDetect)
	_, opened := value(t, openedTotal)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	s.tell()
	s.at(10 * time.Minute)
	s.seePod(crashing("web", 1))
	s.work()
	i := s.one()
	took := i.Status.DetectedAt.Sub(i.Status.StartedAt.Time).Seconds()
	if n, total := value(t, timeToDetect); n-count != 1 || total-sum != took || took == 0 {
		t.Errorf("%d measurements of %v s, want one of %v s", n-count, total-sum, took)
	}
	if _, n := value(t, openedTotal); n-opened != 1 {
		t.Errorf("%v were opened", n-opened)
	}
}

func TestCaps(t *testing.T) {
	s := newScene(t)
	s.NamespaceCap = 2
	s.hasService(builder.MakeService("shop", "vital").Tier(1).Claim(v1alpha1.WorkloadDeployment, "w4"))
	for n := range 5 {
		name := fmt.Sprint("w", n)
		s.has(deployment(name, 1))
		s.seePod(crashing(name, 0))
	}
	s.work()
	var titles []string
	var record *v1alpha1.Incident
	for _, i := range s.list() {
		if key, _ := incident.KeyOf(&i); key == incident.OverflowKey() {
			record = i.DeepCopy()
			continue
		}
		titles = append(titles, strings.SplitN(i.Spec.Title, ":", 2)[0])
	}
	slices.Sort(titles)
	if !slices.Equal(titles, []string{"w0", "w1", "w4"}) {
		t.Errorf("open are %v", titles)
	}
	if record == nil || record.Namespace != "itil-system" || len(record.Status.Signals) != 2 {
		t.Fatalf("the rest is counted in %+v", record)
	}
	// Two are resolved. What has no bound counts, too: there is room for one.
	s.tell()
	for _, i := range s.list() {
		if strings.HasPrefix(i.Spec.Title, "w0") || strings.HasPrefix(i.Spec.Title, "w1") {
			i.Status.State = v1alpha1.IncidentResolved
			if err := s.server.Status().Update(t.Context(), &i); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.tell()
	s.work()
	open := 0
	for _, i := range s.list() {
		key, _ := incident.KeyOf(&i)
		if key == incident.OverflowKey() && len(i.Status.Signals) != 1 {
			t.Errorf("%d are counted", len(i.Status.Signals))
		}
		if incident.IsOpen(&i) && key.Kind == "Deployment" {
			open++
		}
	}
	if open != 2 {
		t.Errorf("%d are open", open)
	}
}

func TestBacklog(t *testing.T) {
	s := newScene(t)
	s.InstalledAt = t0
	for n := range 3 {
		name := fmt.Sprint("w", n)
		s.has(deployment(name, 1))
		s.seePod(crashing(name, 0))
	}
	s.work()
	i := s.one()
	if key, _ := incident.KeyOf(i); key != incident.BacklogKey("shop") || len(i.Status.Signals) != 3 {
		t.Fatalf("incident %s with %v", i.Spec.Title, i.Status.Signals)
	}
	// One recovers and leaves the list; then it fails, which is a failure of its own.
	s.tell()
	s.has(builder.MakeDeployment("shop", "w0").Generation(1).RolledOut().Obj())
	s.seePod(pod("w0", 0))
	s.work()
	if i := s.one(); len(i.Status.Signals) != 2 {
		t.Errorf("listed are %v", i.Status.Signals)
	}
	// The operator is restarted, and another was deleted meanwhile.
	s.detector()
	s.InstalledAt = t0
	s.has(builder.MakeDeployment("shop", "w0").Generation(1).RolledOut().Obj())
	s.has(deployment("w2", 1))
	s.seePod(crashing("w2", 0))
	s.tell()
	s.work()
	if i := s.one(); len(i.Status.Signals) != 1 || !strings.Contains(i.Status.Signals[0].Pods[0], "w2") {
		t.Errorf("listed are %v", i.Status.Signals)
	}
	s.clock.SetTime(t0.Add(time.Hour))
	again := crashing("w0", 0)
	end := metav1.NewTime(t0.Add(time.Hour - time.Second))
	again.Status.StartTime, again.CreationTimestamp = &end, end
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.StartedAt = end
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.FinishedAt = end
	s.seePod(again)
	s.work()
	if got := len(s.list()); got != 2 {
		t.Errorf("%d incidents, want the backlog and one", got)
	}
}
