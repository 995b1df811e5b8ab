package service

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
)

// TestGovernedSince: from when the gate was first found to be asked, for as long as the spec and the enforcement are the same,
// also while the gate's configuration is gone.
func TestGovernedSince(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	const none, then, anew = "none", "then", "now"
	status := func(generation int64, holds metav1.ConditionStatus, reason string) *v1alpha1.ServiceStatus {
		return &v1alpha1.ServiceStatus{ObservedGeneration: generation, Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionGoverned, Status: holds, Reason: reason,
		}}}
	}
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	for name, test := range map[string]struct {
		before, is *v1alpha1.ServiceStatus
		listed     gateconfig.Listed
		known      bool
		want       string
	}{
		"found to be governed":           {&v1alpha1.ServiceStatus{}, status(1, yes, reasonEnforced), gateconfig.ListedEnforce, false, anew},
		"listed at last":                 {status(1, no, reasonWebhookPending), status(1, yes, reasonEnforced), gateconfig.ListedEnforce, false, anew},
		"as before":                      {status(1, yes, reasonEnforced), status(1, yes, reasonEnforced), gateconfig.ListedEnforce, true, then},
		"by an earlier version":          {status(1, yes, reasonEnforced), status(1, yes, reasonEnforced), gateconfig.ListedEnforce, false, anew},
		"edited":                         {status(1, yes, reasonEnforced), status(2, yes, reasonEnforced), gateconfig.ListedEnforce, true, anew},
		"the gate is gone":               {status(1, yes, reasonEnforced), status(1, no, reasonWebhookPending), gateconfig.NotListed, true, then},
		"the gate is gone for long":      {status(1, no, reasonWebhookPending), status(1, no, reasonWebhookPending), gateconfig.NotListed, true, then},
		"the gate is back":               {status(1, no, reasonWebhookPending), status(1, yes, reasonEnforced), gateconfig.ListedEnforce, true, then},
		"edited while the gate is gone":  {status(1, no, reasonWebhookPending), status(2, no, reasonWebhookPending), gateconfig.NotListed, true, none},
		"a policy enforces":              {status(1, yes, reasonAudited), status(1, yes, reasonEnforced), gateconfig.ListedEnforce, true, anew},
		"a policy enforces, not yet":     {status(1, yes, reasonAudited), status(1, no, reasonWebhookPending), gateconfig.ListedAudit, true, none},
		"a policy does so no more":       {status(1, yes, reasonEnforced), status(1, yes, reasonAudited), gateconfig.ListedEnforce, true, anew},
		"nobody governs it any more":     {status(1, yes, reasonEnforced), status(1, no, reasonDisabled), gateconfig.ListedEnforce, true, none},
		"not governed, and it never was": {status(1, no, reasonDisabled), status(1, no, reasonDisabled), gateconfig.NotListed, false, none},
	} {
		t.Run(name, func(t *testing.T) {
			earlier := metav1.NewTime(now.Add(-time.Hour))
			if test.known {
				test.before.GovernedSince = &earlier
			}
			got := none
			switch at := governedSince(test.is, test.before, &observed{listed: test.listed}, now.Add(time.Millisecond)); {
			case at == nil:
			case at.Equal(&earlier):
				got = then
			case at.Time.Equal(now):
				got = anew
			}
			if got != test.want {
				t.Errorf("since %s, want %s", got, test.want)
			}
		})
	}
}
