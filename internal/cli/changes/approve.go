// Package changes has the commands about Changes: voting, filing, canceling, looking, and asking the gate.
package changes

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// NewApprove makes `kubectl itil approve`.
func NewApprove(f *session.Factory) *cobra.Command {
	v := newVoter(f, v1alpha1.DecisionApprove)
	return v.command(&cobra.Command{
		Use:   "approve NAME",
		Short: "Approve a Change, after having seen it",
		Long: `Approve a Change.

Shows what would change, how risky that is and why, what is in the way and who else must vote, asks for confirmation
and casts your vote: a ChangeApproval for exactly the version that was shown. An edit of the Change afterwards voids it.

You vote as whom the API server knows you, for a group of yours of which the Change needs a vote. It takes the verb
"approve" on the Change (ClusterRole itil-approver). A script gives --yes, and --digest for the version that was read.`,
		Example: `  # Look at a Change, and approve it
  kubectl itil approve shop/checkout-2-4

  # From a script: approve the version that was tested, and no other
  kubectl itil approve checkout-2-4 -n shop --yes -m "tested in staging" \
    --digest "$(kubectl get change checkout-2-4 -n shop -o jsonpath='{.status.digest}')"

  # For another of your groups than the first that is needed
  kubectl itil approve shop/checkout-2-4 --group sre-leads`,
	})
}
