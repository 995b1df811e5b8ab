package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/release"
)

func TestBurnOf(t *testing.T) {
	at := func(minute int) metav1.Time {
		return metav1.NewTime(time.Date(2026, time.November, 2, 9, minute, 0, 0, time.UTC))
	}
	condition := func(name, status, reason, message string, since int) metav1.Condition {
		return metav1.Condition{Type: name, Status: metav1.ConditionStatus(status), Reason: reason, Message: message, LastTransitionTime: at(since)}
	}
	seen := condition("DataAvailable", "True", "Observed", "seen", 0)
	atRisk := func(reason, message string) metav1.Condition { return condition("AtRisk", "True", reason, message, 5) }
	spent := condition("BudgetExhausted", "True", "BudgetExhausted", "no budget left", 6)
	cases := map[string]struct {
		conditions []metav1.Condition
		outages    []int
		since      int
		why        string
		unknown    string
	}{
		"nothing burns":        {conditions: []metav1.Condition{seen, condition("AtRisk", "False", "NotAtRisk", "all well", 1)}},
		"a pair of windows":    {conditions: []metav1.Condition{seen, atRisk("BurnRate", "1h and 5m")}, since: 5, why: "ServiceLevelAgreement gold: 1h and 5m"},
		"burns anew":           {conditions: []metav1.Condition{seen, atRisk("BurnRate", "1h and 5m")}, outages: []int{2, 9}, since: 9, why: "ServiceLevelAgreement gold: 1h and 5m"},
		"of an older outage":   {conditions: []metav1.Condition{seen, atRisk("BurnRate", "1h and 5m")}, outages: []int{2}, since: 5, why: "ServiceLevelAgreement gold: 1h and 5m"},
		"a slow rate is none":  {conditions: []metav1.Condition{seen, atRisk("PresentRate", "slowly")}},
		"an Incident due soon": {conditions: []metav1.Condition{seen, atRisk("IncidentDueSoon", "soon")}},
		"spent":                {conditions: []metav1.Condition{seen, atRisk("BudgetExhausted", "x"), spent}, since: 6, why: "ServiceLevelAgreement gold: no budget left"},
		"spent long ago, and out again": {
			conditions: []metav1.Condition{seen, condition("AtRisk", "False", "Breached", "broken", 1), spent}, outages: []int{12}, since: 12, why: "ServiceLevelAgreement gold: no budget left",
		},
		"no target":        {conditions: []metav1.Condition{seen, condition("BudgetExhausted", "False", "NoTarget", "none", 1)}, unknown: "ServiceLevelAgreement gold promises no availability"},
		"no data":          {conditions: []metav1.Condition{condition("DataAvailable", "False", "HealthUnknown", "it is not known", 1)}, unknown: "ServiceLevelAgreement gold cannot tell: it is not known"},
		"not computed yet": {unknown: "ServiceLevelAgreement gold was not computed yet"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := &v1alpha1.ServiceLevelAgreement{ObjectMeta: metav1.ObjectMeta{Name: "gold"}}
			a.Spec.ServiceRef.Name = "checkout"
			a.Status.Conditions = c.conditions
			for _, from := range c.outages {
				a.Status.Interruptions = append(a.Status.Interruptions, v1alpha1.Interruption{Type: v1alpha1.InterruptionOutage, From: at(from)})
			}
			var want practice.Burn
			if c.why != "" {
				want = practice.Burn{Service: "checkout", Since: at(c.since).Time, Why: c.why}
			}
			got, burns := burnOf(a)
			if diff := cmp.Diff(want, got); diff != "" || burns != (c.why != "") {
				t.Errorf("burns %t (-want +got):\n%s", burns, diff)
			}
			if why := saysNothing(a); why != c.unknown {
				t.Errorf("it is said to say nothing since %q, want %q", why, c.unknown)
			}
		})
	}
}
