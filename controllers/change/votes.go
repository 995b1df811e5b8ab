package change

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/conditions"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
)

// setVoteStatus says on a ChangeApproval whether it counts.
func setVoteStatus(vote *v1alpha1.ChangeApproval, s practice.VoteStatus, now time.Time) {
	vote.Status.ObservedGeneration = vote.Generation
	vote.Status.State = s.State
	message := "it counts"
	if s.Why != "" {
		message = "it does not count: " + s.Why
	}
	conditions.Set(&vote.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionCounted, Status: conditions.Status(s.State == v1alpha1.VoteCounted), Reason: string(s.State),
		Message: message, ObservedGeneration: vote.Generation,
	}, now)
	conditions.Keep(&vote.Status.Conditions, v1alpha1.ConditionCounted)
	vote.Status.NextStep = ""
	if s.State == v1alpha1.VoteVoid {
		vote.Status.NextStep = "To vote on the Change as it is now, create another ChangeApproval with its status.digest: kubectl get chg " +
			string(vote.Spec.ChangeRef.Name) + " -n " + vote.Namespace + " -o jsonpath='{.status.nextStep}'"
	}
}
