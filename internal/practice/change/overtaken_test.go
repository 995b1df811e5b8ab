package change

import (
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestOvertakenBy: whoever could not wait for the votes got it in otherwise. Nobody is to be asked for them any more.
func TestOvertakenBy(t *testing.T) {
	filed := func(c *v1alpha1.Change) {
		pinnedTo(v24)(c)
		c.Labels = map[string]string{LabelFiledFor: FiledForDenied}
	}
	twice := func(c *v1alpha1.Change) {
		pinnedTo(v24)(c)
		c.Labels = map[string]string{LabelFiledFor: FiledForPreAuthorised}
	}
	began := func(c *v1alpha1.Change) {
		twice(c)
		c.Status.Implementations = []v1alpha1.Implementation{{Workload: c.Spec.Targets[0].Workload, Rollout: v1alpha1.RolloutComplete}}
	}
	needed := func(change string) v1alpha1.Baseline {
		return baseline(v24, by(v1alpha1.BaselinePreAuthorised, change))
	}
	forced := baseline(v24, by(v1alpha1.BaselineBreakGlass, ""))
	ignoring := baseline(v24, by(v1alpha1.BaselineChange, "by-hand"))
	ignoring.TemplateHash, ignoring.FullHash = hashOf("without what is ignored"), v24.Hash
	for name, test := range map[string]struct {
		change    func(*v1alpha1.Change)
		approved  bool
		ended     Ending
		baselines []v1alpha1.Baseline
		want      string
	}{
		"the glass was broken for it":         {change: filed, baselines: []v1alpha1.Baseline{forced, baseline(v23)}, want: recordName(checkout, &forced)},
		"another Change let it in":            {change: filed, baselines: []v1alpha1.Baseline{baseline(v24, by(v1alpha1.BaselineChange, "by-hand")), baseline(v23)}, want: "by-hand"},
		"with what a policy ignores":          {change: filed, baselines: []v1alpha1.Baseline{ignoring}, want: "by-hand"},
		"it needed no vote any more":          {change: filed, baselines: []v1alpha1.Baseline{baseline(v24, by(v1alpha1.BaselinePreAuthorised, "small"))}, want: "small"},
		"it needed none, and was filed twice": {change: twice, approved: true, baselines: []v1alpha1.Baseline{needed("filed-2"), baseline(v23)}, want: "filed-2"},
		"it needed none, and this is it":      {change: twice, approved: true, baselines: []v1alpha1.Baseline{needed("checkout-filed"), baseline(v23)}},
		"it needed none, and was in before": {
			change: twice, approved: true, baselines: []v1alpha1.Baseline{needed("filed-2"), baseline(v23), needed("checkout-filed")},
		},
		"it needed none, and its rollout is told of": {change: began, approved: true, baselines: []v1alpha1.Baseline{needed("filed-2")}},
		"it needed none, and is not in yet":          {change: twice, approved: true, baselines: []v1alpha1.Baseline{baseline(v23)}},
		"it is not in":                               {change: filed, baselines: []v1alpha1.Baseline{baseline(v23)}},
		"it was in, and was rolled back":             {change: filed, baselines: []v1alpha1.Baseline{baseline(v23, by(v1alpha1.BaselineRollback, "")), forced, baseline(v23)}},
		"it came in past the gate":                   {change: filed, baselines: []v1alpha1.Baseline{baseline(v24, by(v1alpha1.BaselineUnauthorized, ""))}},
		"it came in while nobody refused it":         {change: filed, baselines: []v1alpha1.Baseline{baseline(v24, by(v1alpha1.BaselineAudited, ""))}},
		"nothing is known":                           {change: filed},
		"somebody wrote it":                          {change: pinnedTo(v24), baselines: []v1alpha1.Baseline{forced}},
		"it is approved":                             {change: filed, approved: true, baselines: []v1alpha1.Baseline{forced}},
		"it has ended":                               {change: filed, ended: EndedCanceled, baselines: []v1alpha1.Baseline{forced}},
		"it was filed for a deletion": {
			change: func(c *v1alpha1.Change) {
				filed(c)
				c.Spec.Targets[0].TemplateHash = ""
			},
			baselines: []v1alpha1.Baseline{baseline(v24, by(v1alpha1.BaselineChange, "by-hand"), func(b *v1alpha1.Baseline) { b.FullHash = "" })},
		},
	} {
		t.Run(name, func(t *testing.T) {
			chg := changeOf("checkout-filed", test.change)
			c := Prepare(Agreed{Change: chg})
			c.Approval.Approved, c.Ended = test.approved, test.ended
			if got := OvertakenBy(c, chg, test.baselines); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
