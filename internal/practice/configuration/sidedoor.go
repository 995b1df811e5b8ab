package configuration

import (
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// SideDoor is a change of a running pod that no template tells of.
type SideDoor struct {
	What v1alpha1.SideDoorKind
	// Pod it was done to, and the governed workloads whose pods it passes for.
	Pod       Key
	Workloads []Key
	// Detail in words.
	Detail string
	// By whom, as the API server authenticated.
	By string
	At time.Time
}
