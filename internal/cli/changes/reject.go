package changes

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// NewReject makes `kubectl itil reject`.
func NewReject(f *session.Factory) *cobra.Command {
	v := newVoter(f, v1alpha1.DecisionReject)
	return v.command(&cobra.Command{
		Use:   "reject NAME",
		Short: "Reject a Change, also one that is approved but not finished",
		Long: `Reject a Change.

One rejection by somebody who may vote is enough, and stays: this version will not go in. Its requester may edit the
Change, which makes a new version to vote on. Say why with -m.`,
		Example: `  # Look at a Change, and reject it
  kubectl itil reject shop/checkout-2-4 -m "not on a Friday evening"`,
	})
}
