package change

import (
	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Agreed is what Prepare makes a Candidate from. It is read only.
type Agreed struct {
	Change *v1alpha1.Change
	// Approvals of that Change, in any order.
	Approvals []*v1alpha1.ChangeApproval
	// Rules of its namespace; nil: the defaults.
	Rules *Rules
	// Incident and Problem that it refers to; nil where it refers to none, or that does not exist.
	Incident *IncidentFact
	Problem  *ProblemFact
}

// IncidentFact is what a Change needs to know of the Incident that it refers to.
type IncidentFact struct {
	Name string
	// Open: neither Resolved nor Closed.
	Open bool
	// Services that it is about.
	Services []string
	// Reporter where a person reported it; empty where the operator or an alert did.
	Reporter string
	// Observed: the operator saw signals of it, or it has children, or somebody else took notice.
	Observed bool
}

// ProblemFact is what a Change needs to know of the Problem that it refers to.
type ProblemFact struct {
	Name string
	// Open: neither Resolved nor Closed.
	Open bool
	// Services that it is about.
	Services []string
}

// Prepare makes the Candidate of a Change.
func Prepare(in Agreed) *Candidate {
	return &Candidate{Namespace: in.Change.Namespace, Name: in.Change.Name}
}
