package changes

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// now is a Sunday evening; the objects of these tests were created two hours before.
var now = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

const (
	oldImage = "registry.shop.example/checkout:2.3"
	newImage = "registry.shop.example/checkout:2.4"
)

// awaiting is a Change of alice's that awaits votes from sre-leads.
func awaiting(name string, alter ...func(*v1alpha1.Change)) *v1alpha1.Change {
	return builder.MakeChange("shop", name).Requester("alice").
		Target(v1alpha1.WorkloadDeployment, "checkout", newImage).
		Alter(func(c *v1alpha1.Change) {
			c.CreationTimestamp = metav1.NewTime(now.Add(-2 * time.Hour))
			c.Status.State = v1alpha1.ChangeAuthorize
			c.Status.ObservedGeneration = 1
			c.Status.Digest = change.Digest(&c.Spec)
			c.Status.Risk = &v1alpha1.Risk{Level: v1alpha1.RiskHigh, Score: 62}
			c.Status.Approvals = &v1alpha1.Approvals{Required: 2, Summary: "0/2", From: []string{"sre-leads", "developers"}}
			for _, f := range alter {
				f(c)
			}
		}).Obj()
}

// condition makes a condition true.
func condition(name, message string) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) {
		c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{
			Type: name, Status: metav1.ConditionTrue, Reason: "Test", Message: message, LastTransitionTime: metav1.NewTime(now),
		})
	}
}

// state sets the state.
func state(s v1alpha1.ChangeState) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) { c.Status.State = s }
}

// window sets the effective window, from now.
func window(from, to time.Duration) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) {
		c.Status.Window = &v1alpha1.EffectiveWindow{
			Start: v1alpha1.Timestamp(now.Add(from).Format(time.RFC3339)), End: v1alpha1.Timestamp(now.Add(to).Format(time.RFC3339)),
		}
	}
}

// voted adds an approval that counts.
func voted(approver, group string) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) {
		c.Status.Approvals.Votes = append(c.Status.Approvals.Votes, v1alpha1.Vote{
			Approver: v1alpha1.UserName(approver), Group: group, Decision: v1alpha1.DecisionApprove, Digest: c.Status.Digest, At: metav1.NewTime(now.Add(-time.Hour)),
		})
		c.Status.Approvals.Granted++
	}
}
