package change

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// TestAReleaseIsFiledWithWhatDiffers: of a held template that is let go, what is sent differs in nothing from what is there. It
// is compared with what is agreed to run, so that the Change asks for the votes that the refusal told of.
func TestAReleaseIsFiledWithWhatDiffers(t *testing.T) {
	none := func() []v1alpha1.FieldDiff { return nil }
	image := []v1alpha1.FieldDiff{{Path: "deployment/checkout: spec.containers[app].image", From: v23.Images["app"], To: v24.Images["app"]}}
	for name, test := range map[string]struct {
		request   Request
		baselines []v1alpha1.Baseline
		want      []v1alpha1.FieldDiff
	}{
		"another image":                        {Request{Operation: Release, Old: v24, New: v24, Diff: none}, []v1alpha1.Baseline{baseline(v23)}, image},
		"more than that":                       {Request{Operation: Release, Old: v24env, New: v24env, Diff: none}, []v1alpha1.Baseline{baseline(v23)}, nil},
		"over what came in past the gate":      {Request{Operation: Template, Old: v25, New: v24, Diff: none}, []v1alpha1.Baseline{baseline(v25, by(v1alpha1.BaselineUnauthorized, "")), baseline(v23)}, image},
		"nothing is known to run":              {Request{Operation: Release, Old: v24, New: v24, Diff: none}, nil, nil},
		"made again, with another image alone": {Request{Operation: Create, New: v24}, []v1alpha1.Baseline{baseline(v23)}, image},
	} {
		t.Run(name, func(t *testing.T) {
			r := test.request
			r.Key, r.User = checkout, User{Name: "alice"}
			d := Decide(&r, &World{
				Claims: []Claim{{Service: "checkout", Tier: 1}}, Enforcement: v1alpha1.EnforcementEnforce, Baselines: test.baselines, Risk: RiskFacts{Tier: 1},
			}, hour(2))
			if d.Verdict != Denied || d.File == nil {
				t.Fatalf("%s, files %v: %v", d.Verdict, d.File, d.Reasons)
			}
			if diff := cmp.Diff(test.want, d.File.Diff); diff != "" {
				t.Errorf("differences:\n%s", diff)
			}
			chg := d.File.Object()
			chg.CreationTimestamp, chg.Generation, chg.Status.Diff = *at(2), 1, d.File.Diff
			s := &story{T: t, subject: Subject{Agreed: Agreed{Change: chg}, Workloads: map[configuration.Key]WorkloadFact{}}}
			s.fact(checkout, WorkloadFact{Workload: running(v23), Baselines: test.baselines, Risk: RiskFacts{Tier: 1}})
			e := Evaluate(&s.subject, hour(3))
			if e.Status.Risk == nil || e.Status.Risk.Level != d.Risk.Level || e.Status.Risk.Score != d.Risk.Score {
				t.Errorf("the refusal told of risk %+v, and the Change has %+v", d.Risk, e.Status.Risk)
			}
		})
	}
}
