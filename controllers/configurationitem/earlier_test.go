package configurationitem

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// replicaSets are what a paused Deployment runs.
type replicaSets struct {
	versions []*builder.Deployment
	asked    int
}

func (s *replicaSets) Running(context.Context, backout.Workload) ([]backout.Revision, error) {
	s.asked++
	var out []backout.Revision
	for _, d := range s.versions {
		out = append(out, backout.Revision{Name: "checkout-abc", Template: configuration.RawTemplate(d.Unstructured().Object)})
	}
	return out, nil
}

// Whoever pauses a Deployment and deletes its ReplicaSet has the controller scale up an earlier one: the gate is not asked.
func TestAnEarlierTemplateOfAPausedDeployment(t *testing.T) {
	ofAnother := func(tag string, generation int64) *builder.Deployment {
		return version(tag, generation).Paused().Status(2, 0, 2)
	}
	sets := &replicaSets{}
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), gate(), version("1", 1).Unstructured())
	c.r.Revisions = sets
	c.reconcile(checkout)
	c.after(time.Minute).admit(version("2", 2)).put(version("2", 2).Unstructured()).reconcile(checkout)
	expect := func(what string, drift v1alpha1.DriftState, doors, events int) *v1alpha1.ConfigurationItem {
		t.Helper()
		item, _ := c.reconcile(checkout)
		if item.Status.Drift != drift || len(item.Status.SideDoors) != doors || len(c.events.Events) != events {
			t.Errorf("%s: %s, %d side doors and %d events, want %s, %d and %d: %s", what,
				item.Status.Drift, len(item.Status.SideDoors), len(c.events.Events), drift, doors, events, item.Status.NextStep)
		}
		return item
	}
	expect("as agreed", v1alpha1.DriftNone, 0, 0)
	if sets.asked > 0 {
		t.Error("asked though its pods are of its template")
	}
	c.put(ofAnother("3", 3).Unstructured())
	sets.versions = []*builder.Deployment{version("2", 2)}
	expect("what was agreed, while another is held", v1alpha1.DriftNone, 0, 0)

	c.put(ofAnother("2", 4).Unstructured())
	sets.versions = []*builder.Deployment{version("1", 1)}
	item := expect("an earlier one", v1alpha1.DriftDrifted, 1, 1)
	want := v1alpha1.SideDoor{What: v1alpha1.SideDoorEarlierTemplate, Pod: "checkout-abc", By: "unknown"}
	got := item.Status.SideDoors[0]
	if got.What != want.What || got.Pod != want.Pod || got.By != want.By || !strings.Contains(got.Detail, "app="+image+"1") {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(item.Status.NextStep, "kubectl rollout resume -n shop deployment/checkout") {
		t.Error(item.Status.NextStep)
	}
	writes := c.writes
	c.after(time.Hour)
	expect("still", v1alpha1.DriftDrifted, 1, 1)
	c.r.forget(checkout)
	expect("still, to another leader", v1alpha1.DriftDrifted, 1, 1)
	if c.writes != writes {
		t.Errorf("%d writes for nothing new", c.writes-writes)
	}
	c.put(version("2", 5).Unstructured())
	expect("as agreed again", v1alpha1.DriftNone, 1, 1)
	c.after(time.Hour).put(ofAnother("2", 6).Unstructured())
	expect("again", v1alpha1.DriftDrifted, 2, 2)
}

// What came in past the gate once, and was taken back, is no more agreed to than before.
func TestWhatAPausedDeploymentMayRun(t *testing.T) {
	template := func(tag string) *configuration.Template {
		parsed := configuration.ParseTemplate("Deployment", configuration.RawTemplate(version(tag, 1).Unstructured().Object))
		return &parsed
	}
	baseline := func(tag string, source v1alpha1.BaselineSource) v1alpha1.Baseline {
		return v1alpha1.Baseline{TemplateHash: template(tag).Hash, Source: source}
	}
	past, change := v1alpha1.BaselineUnauthorized, v1alpha1.BaselineChange
	for name, test := range map[string]struct {
		baselines []v1alpha1.Baseline
		want      bool
	}{
		"what was agreed last":          {[]v1alpha1.Baseline{baseline("1", change), baseline("2", change)}, true},
		"what was agreed before":        {[]v1alpha1.Baseline{baseline("2", change), baseline("1", change)}, false},
		"what came in past it":          {[]v1alpha1.Baseline{baseline("1", past), baseline("2", change)}, true},
		"what came in past it before":   {[]v1alpha1.Baseline{baseline("2", past), baseline("1", past), baseline("3", change)}, false},
		"what is agreed, past or not":   {[]v1alpha1.Baseline{baseline("2", past), baseline("3", past), baseline("1", change)}, true},
		"what came in past the one now": {[]v1alpha1.Baseline{baseline("2", change), baseline("1", past), baseline("3", change)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isAgreed(template("1"), test.baselines, nil); got != test.want {
				t.Errorf("%t", got)
			}
		})
	}
}
