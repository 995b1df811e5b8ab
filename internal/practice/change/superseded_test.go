package change

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestSupersededBy: whoever files a later Change may die before the earlier one is canceled; both are then there, and it
// must follow from them alone which one gives way.
func TestSupersededBy(t *testing.T) {
	type filed struct {
		hash, workload string
		// asked and made are after the first one was; asked -1: it does not say.
		asked, made time.Duration
		altered     func(*v1alpha1.Change)
	}
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	byHand := func(c *v1alpha1.Change) { delete(c.Labels, LabelFiledFor) }
	undecidedFirst := filed{hash: "v1:aaaa"}
	for name, test := range map[string]struct {
		first  filed
		ended  bool
		agreed bool
		others []filed
		want   string
	}{
		"it is the only one":                         {first: undecidedFirst},
		"another was asked for later":                {first: undecidedFirst, others: []filed{{hash: "v1:bbbb", asked: time.Millisecond}}, want: "web-v1:bbbb"},
		"the last of several":                        {first: undecidedFirst, others: []filed{{hash: "v1:cccc", asked: 2 * time.Second}, {hash: "v1:bbbb", asked: time.Second}}, want: "web-v1:cccc"},
		"another was asked for earlier, and is late": {first: undecidedFirst, others: []filed{{hash: "v1:bbbb", asked: -time.Second, made: time.Second}}},
		"the same was asked for later":               {first: undecidedFirst, others: []filed{{hash: "v1:aaaa", asked: time.Second, altered: func(c *v1alpha1.Change) { c.Name += "-2" }}}},
		"another workload":                           {first: undecidedFirst, others: []filed{{hash: "v1:bbbb", workload: "api", asked: time.Second}}},
		"it was filed by hand":                       {first: filed{hash: "v1:aaaa", altered: byHand}, others: []filed{{hash: "v1:bbbb", asked: time.Second}}},
		"the other was filed by hand":                {first: undecidedFirst, others: []filed{{hash: "v1:bbbb", asked: time.Second, altered: byHand}}},
		"it is approved":                             {first: undecidedFirst, agreed: true, others: []filed{{hash: "v1:bbbb", asked: time.Second}}},
		"it has ended":                               {first: undecidedFirst, ended: true, others: []filed{{hash: "v1:bbbb", asked: time.Second}}},
		"the other one has gone in since": {first: undecidedFirst, others: []filed{{hash: "v1:bbbb", asked: time.Second, altered: func(c *v1alpha1.Change) {
			c.Status.State = v1alpha1.ChangeClosed
		}}}, want: "web-v1:bbbb"},
		"a clock is an hour behind":               {first: undecidedFirst, others: []filed{{hash: "v1:bbbb", asked: -time.Hour, made: time.Second}}, want: "web-v1:bbbb"},
		"a clock is an hour ahead":                {first: filed{hash: "v1:aaaa", asked: time.Hour}, others: []filed{{hash: "v1:bbbb", asked: time.Second, made: time.Second}}, want: "web-v1:bbbb"},
		"an older operator filed them, in order":  {first: filed{hash: "v1:aaaa", asked: -1}, others: []filed{{hash: "v1:bbbb", asked: -1, made: time.Second}}, want: "web-v1:bbbb"},
		"an older operator filed the later first": {first: filed{hash: "v1:aaaa", asked: -1, made: time.Second}, others: []filed{{hash: "v1:bbbb", asked: -1}}},
	} {
		t.Run(name, func(t *testing.T) {
			object := func(f filed) *v1alpha1.Change {
				workload := "web"
				if f.workload != "" {
					workload = f.workload
				}
				filing := &Filing{
					Namespace: "shop", Base: workload + "-" + f.hash, Episode: 1, At: start.Add(f.asked),
					Target: v1alpha1.ChangeTarget{
						Workload:     v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(workload)},
						TemplateHash: v1alpha1.TemplateHash(f.hash),
					},
				}
				c := filing.Object()
				c.CreationTimestamp = metav1.NewTime(start.Add(f.made))
				if f.asked == -1 {
					delete(c.Annotations, AnnotationAskedAt)
				}
				if f.altered != nil {
					f.altered(c)
				}
				return c
			}
			chg := object(test.first)
			candidate := &Candidate{Namespace: "shop", Name: chg.Name, Targets: []Target{{}}}
			candidate.Approval.Approved = test.agreed
			if test.ended {
				candidate.Ended = EndedCanceled
			}
			others := []*v1alpha1.Change{chg}
			for _, other := range test.others {
				others = append(others, object(other))
			}
			if got := SupersededBy(candidate, chg, slices.Values(others)); got != test.want {
				t.Errorf("superseded by %q, want %q", got, test.want)
			}
			slices.Reverse(others)
			if got := SupersededBy(candidate, chg, slices.Values(others)); got != test.want {
				t.Errorf("superseded by %q in another order, want %q", got, test.want)
			}
		})
	}
}
