package configurationitem

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// pods run what they run.
type pods map[string]string

func (p pods) ImageIDs(configuration.Key) map[string]string { return p }

func TestTagThatMoves(t *testing.T) {
	running := pods{}
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), version("1", 1).Unstructured())
	c.r.Images = running
	item, again := c.reconcile(checkout)
	if item.Status.Baselines[0].ImageIDs != nil || again != settling {
		t.Fatalf("before its pods are seen: %v, looks again after %s", item.Status.Baselines[0].ImageIDs, again)
	}
	running["app"] = "sha256:1"
	if item, again = c.after(settling).reconcile(checkout); item.Status.Baselines[0].ImageIDs["app"] != "sha256:1" || again != 0 {
		t.Fatalf("%v, looks again after %s", item.Status.Baselines[0].ImageIDs, again)
	}
	writes, before := c.writes, counted(t, "itil_change_moved_tags_total")
	if c.after(time.Hour).reconcile(checkout); c.writes != writes {
		t.Errorf("%d writes without news", c.writes-writes)
	}

	running["app"] = "sha256:2"
	item, _ = c.after(time.Hour).reconcile(checkout)
	if got := item.Status.Baselines[0]; got.ImageIDs["app"] != "sha256:1" || got.MovedImageIDs["app"] != "sha256:2" {
		t.Errorf("imageIDs %v, moved %v", got.ImageIDs, got.MovedImageIDs)
	}
	for _, want := range []string{"app=" + image + "1", "sha256:1", "sha256:2", "pin"} {
		if !strings.Contains(item.Status.NextStep, want) {
			t.Errorf("next step %q does not tell %q", item.Status.NextStep, want)
		}
	}
	var told int
	for len(c.events.Events) > 0 {
		if strings.Contains(<-c.events.Events, eventTagMoved) {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	if got := counted(t, "itil_change_moved_tags_total"); got != before+1 {
		t.Errorf("counted %v times", got)
	}
}

// counted is what a counter stands at, of all namespaces together.
func counted(t *testing.T, name string) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}
