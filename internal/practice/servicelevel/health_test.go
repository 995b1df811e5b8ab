package servicelevel

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// deployment is an observed Deployment "web" under a claim with the default minimum.
func deployment(ready, desired int32) WorkloadFacts {
	return WorkloadFacts{
		Kind: v1alpha1.WorkloadDeployment, Name: "web", Presence: Observed,
		Ready: ready, Desired: desired, MinimumReady: DefaultMinimumReady,
	}
}

func (w WorkloadFacts) named(name string) WorkloadFacts { w.Name = name; return w }

func (w WorkloadFacts) minimum(t *testing.T, value intstr.IntOrString) WorkloadFacts {
	t.Helper()
	m, err := ParseMinimumReady("minimumReady", &value)
	if err != nil {
		t.Fatal(err)
	}
	w.MinimumReady = m
	return w
}

func (w WorkloadFacts) scaleToZero() WorkloadFacts { w.ScaleToZero = true; return w }
func (w WorkloadFacts) planned() WorkloadFacts     { w.Planned = true; return w }
func (w WorkloadFacts) presence(p Presence) WorkloadFacts {
	w.Presence = p
	return w
}

func (w WorkloadFacts) kind(kind v1alpha1.WorkloadKind) WorkloadFacts { w.Kind = kind; return w }

func TestAssessOwn(t *testing.T) {
	percent := intstr.FromString
	for name, test := range map[string]struct {
		facts OwnFacts
		want  OwnHealth
	}{
		"all ready": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(3, 3)}},
			OwnHealth{Health: v1alpha1.HealthOperational, Reason: "Operational", Message: "all workloads are ready"},
		},
		"one missing of three": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(2, 3)}},
			OwnHealth{Health: v1alpha1.HealthDegraded, Reason: "Degraded", Message: "Deployment web: 2 of 3 ready"},
		},
		"none ready": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 3)}},
			OwnHealth{Health: v1alpha1.HealthOutage, Reason: "Outage", Message: "Deployment web: 0 of 3 ready, minimum 1"},
		},
		"a share is rounded up": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(1, 3).minimum(t, percent("50%"))}},
			OwnHealth{Health: v1alpha1.HealthOutage, Reason: "Outage", Message: "Deployment web: 1 of 3 ready, minimum 50%"},
		},
		"exactly the share": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(2, 4).minimum(t, percent("50%"))}},
			OwnHealth{Health: v1alpha1.HealthDegraded, Reason: "Degraded", Message: "Deployment web: 2 of 4 ready"},
		},
		"a small share of a few is one": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 2).minimum(t, percent("1%"))}},
			OwnHealth{Health: v1alpha1.HealthOutage, Reason: "Outage", Message: "Deployment web: 0 of 2 ready, minimum 1%"},
		},
		"minimum 0 exempts": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 3).minimum(t, intstr.FromInt32(0))}},
			OwnHealth{Health: v1alpha1.HealthDegraded, Reason: "Degraded", Message: "Deployment web: 0 of 3 ready"},
		},
		"minimum 0 and no replicas": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 0).minimum(t, percent("0%"))}},
			OwnHealth{Health: v1alpha1.HealthOperational, Reason: "Operational", Message: "all workloads are ready"},
		},
		"zero replicas are an outage": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 0).minimum(t, percent("50%"))}},
			OwnHealth{
				Health: v1alpha1.HealthOutage, Reason: "Outage",
				Message: "Deployment web is scaled to zero, which its claim forbids (scaleToZero)",
			},
		},
		"zero replicas allowed": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 0).scaleToZero()}},
			OwnHealth{Health: v1alpha1.HealthOperational, Reason: "Operational", Message: "all workloads are ready"},
		},
		"scaled down below a count": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(2, 2).minimum(t, intstr.FromInt32(3))}},
			OwnHealth{Health: v1alpha1.HealthOutage, Reason: "Outage", Message: "Deployment web: 2 of 2 ready, minimum 3"},
		},
		"not observed": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(3, 3).presence(NotObserved)}},
			OwnHealth{
				Health: v1alpha1.HealthUnknown, Reason: "Unknown",
				Message: "Deployment web is not observed by its controller yet",
			},
		},
		"an outage outweighs what is not known, which outweighs a degradation": {
			OwnFacts{Workloads: []WorkloadFacts{
				deployment(1, 2), deployment(0, 1).named("db"), deployment(1, 1).presence(NotObserved).named("new"),
			}},
			OwnHealth{Health: v1alpha1.HealthOutage, Reason: "Outage", Message: "Deployment db: 0 of 1 ready, minimum 1"},
		},
		"missing by name": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 0).presence(Missing)}},
			OwnHealth{Health: v1alpha1.HealthOutage, Reason: "Outage", Message: "Deployment web does not exist"},
		},
		"a finished Job is gone": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(2, 2), deployment(0, 0).kind(v1alpha1.WorkloadJob).presence(Missing)}},
			OwnHealth{Health: v1alpha1.HealthOperational, Reason: "Operational", Message: "all workloads are ready"},
		},
		"a selector that matches nothing": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(2, 2)}, Unmatched: []string{"Deployment app=worker"}},
			OwnHealth{Health: v1alpha1.HealthUnknown, Reason: "NoWorkloads", Message: "no workload matches Deployment app=worker"},
		},
		"an outage beside a selector that matches nothing": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 2)}, Unmatched: []string{"app=worker"}},
			OwnHealth{Health: v1alpha1.HealthOutage, Reason: "Outage", Message: "Deployment web: 0 of 2 ready, minimum 1"},
		},
		"nothing claimed": {
			OwnFacts{},
			OwnHealth{
				Health: v1alpha1.HealthUnknown, Reason: "NoWorkloads",
				Message: "it claims no workload: name them in spec.workloads",
			},
		},
		"composite": {
			OwnFacts{Composite: true},
			OwnHealth{
				Health: v1alpha1.HealthOperational, Reason: "Operational",
				Message: "it runs on no workload of its own: its health is that of its dependencies", Composite: true,
			},
		},
		"a planned outage": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 2).planned(), deployment(1, 1).named("db")}},
			OwnHealth{
				Health: v1alpha1.HealthOutage, Reason: "Outage",
				Message: "Deployment web: 0 of 2 ready, minimum 1", Planned: true,
			},
		},
		"a planned and an unplanned outage": {
			OwnFacts{Workloads: []WorkloadFacts{deployment(0, 2).planned(), deployment(0, 1).named("db")}},
			OwnHealth{
				Health: v1alpha1.HealthOutage, Reason: "Outage",
				Message: "Deployment db: 0 of 1 ready, minimum 1; Deployment web: 0 of 2 ready, minimum 1",
			},
		},
		"many are counted": {
			OwnFacts{Workloads: []WorkloadFacts{
				deployment(0, 1).named("d"), deployment(0, 1).named("b"), deployment(0, 1).named("a"),
				deployment(0, 1).named("c"), deployment(0, 1).named("e"),
			}},
			OwnHealth{
				Health: v1alpha1.HealthOutage, Reason: "Outage",
				Message: "Deployment a: 0 of 1 ready, minimum 1; Deployment b: 0 of 1 ready, minimum 1; " +
					"Deployment c: 0 of 1 ready, minimum 1; and 2 more",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, AssessOwn(test.facts)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseMinimumReady(t *testing.T) {
	for name, test := range map[string]struct {
		value   intstr.IntOrString
		desired int32
		want    int32
		wantErr string
	}{
		"count":           {intstr.FromInt32(3), 10, 3, ""},
		"none":            {intstr.FromInt32(0), 10, 0, ""},
		"share":           {intstr.FromString("34%"), 3, 2, ""},
		"whole share":     {intstr.FromString("100%"), 3, 3, ""},
		"no share":        {intstr.FromString("0%"), 3, 0, ""},
		"share of many":   {intstr.FromString("99%"), 2147483647, 2126008811, ""},
		"negative":        {intstr.FromInt32(-1), 7, 7, `minimumReady "-1" is not a count from 0 to 100000`},
		"too many":        {intstr.FromInt32(100_001), 7, 7, `minimumReady "100001" is not a count from 0 to 100000`},
		"over 100%":       {intstr.FromString("150%"), 7, 7, `minimumReady "150%" is neither a count nor a share from 0% to 100%`},
		"text":            {intstr.FromString("half"), 7, 7, `minimumReady "half" is neither a count nor a share from 0% to 100%`},
		"count as string": {intstr.FromString("3"), 7, 7, `minimumReady "3" is neither a count nor a share from 0% to 100%`},
		"empty":           {intstr.FromString(""), 7, 7, `minimumReady is neither a count nor a share from 0% to 100%`},
	} {
		t.Run(name, func(t *testing.T) {
			minimum, err := ParseMinimumReady("minimumReady", &test.value)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != test.wantErr {
				t.Errorf("error %q, want %q", got, test.wantErr)
			}
			if of := minimum.Of(test.desired); of != test.want {
				t.Errorf("%s of %d is %d, want %d", minimum, test.desired, of, test.want)
			}
		})
	}
	minimum, err := ParseMinimumReady("minimumReady", nil)
	if err != nil || minimum != DefaultMinimumReady {
		t.Errorf("omitted: got %s and error %v, want the default 1", minimum, err)
	}
}
