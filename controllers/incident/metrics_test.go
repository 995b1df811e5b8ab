package incident

import (
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestBounded: a cluster with ten thousand services has no ten thousand series.
func TestBounded(t *testing.T) {
	services := map[serviceName]map[v1alpha1.Priority]int{}
	for n := range 250 {
		services[serviceName{"shop", fmt.Sprint("s", n)}] = map[v1alpha1.Priority]int{v1alpha1.PriorityP3: 1 + n%2}
	}
	got := bounded(services)
	if len(got) != maxServices+1 || got[serviceName{name: otherService}][v1alpha1.PriorityP3] != 25*2+125 {
		t.Errorf("%d series, the others have %v", len(got), got[serviceName{name: otherService}])
	}
}

// TestSeriesAreBounded: a thousand Services in as many namespaces, with Incidents in all states, of all priorities and
// reasons, are no more series than the documentation says.
func TestSeriesAreBounded(t *testing.T) {
	states := []v1alpha1.IncidentState{v1alpha1.IncidentNew, v1alpha1.IncidentInProgress, v1alpha1.IncidentOnHold, v1alpha1.IncidentResolved, v1alpha1.IncidentClosed}
	priorities := []v1alpha1.Priority{v1alpha1.PriorityP1, v1alpha1.PriorityP2, v1alpha1.PriorityP3, v1alpha1.PriorityP4, v1alpha1.PriorityP5}
	list, open := &v1alpha1.IncidentList{}, 0
	for n := range 4000 {
		i := v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprint("team-", n%1000), Name: fmt.Sprint("i", n)}}
		i.Spec.ServiceRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(fmt.Sprint("service-", n%1000))}
		i.Status.State, i.Status.Priority = states[n%len(states)], priorities[n%7%len(priorities)]
		// The API takes no others.
		i.Status.Reason = v1alpha1.SignalReasons[n%len(v1alpha1.SignalReasons)]
		if n%len(states) < 3 {
			open++
		}
		list.Items = append(list.Items, i)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&Collector{Reader: fixed{list: list}})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	bounds := map[string]int{
		"itil_incidents":      len(states) * len(priorities) * len(v1alpha1.SignalReasons),
		"itil_incidents_open": (maxServices + 1) * len(priorities),
	}
	for _, family := range families {
		sum := 0
		for _, m := range family.GetMetric() {
			sum += int(m.GetGauge().GetValue())
		}
		want := map[string]int{"itil_incidents": len(list.Items), "itil_incidents_open": open}[family.GetName()]
		if n := len(family.GetMetric()); n == 0 || n > bounds[family.GetName()] || sum != want {
			t.Errorf("%s: %d series, at most %d are documented; they count %d of %d", family.GetName(), n, bounds[family.GetName()], sum, want)
		}
	}
	if len(families) != len(bounds) {
		t.Errorf("%d metrics, want %d", len(families), len(bounds))
	}
}

// fixed is a cache with these Incidents in it.
type fixed struct {
	client.Reader
	list *v1alpha1.IncidentList
}

// List implements client.Reader.
func (f fixed) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	f.list.DeepCopyInto(list.(*v1alpha1.IncidentList))
	return nil
}
