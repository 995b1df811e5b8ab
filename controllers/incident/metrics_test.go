package incident

import (
	"fmt"
	"testing"

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
