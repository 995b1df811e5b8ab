package changes

import (
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// A field manager is no user: a client chooses the name that it goes by.
func TestByWhom(t *testing.T) {
	for want, b := range map[string]v1alpha1.Baseline{
		"":                {},
		"alice":           {By: "alice", UnverifiedBy: "kubectl-edit"},
		"vi (unverified)": {UnverifiedBy: "vi"},
	} {
		if got := byWhom(&b); got != want {
			t.Errorf("by %q, want %q", got, want)
		}
	}
}
