package release

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/event"
)

// Input is all that Decide looks at. It is read only.
type Input struct {
	Release *v1alpha1.Release
	// Changes are those that the Release raised, the newest first, or the one that spec.changeRef names. None: it does
	// not exist (yet).
	Changes []*v1alpha1.Change
	// LastEpisode is the greatest episode of the Changes that exist with the Release's name, whoever made them; 0: none.
	LastEpisode int
	// Units as they are, by name. One without an entry does not exist.
	Units map[string]Unit
	// Suspicions are the Incidents that suspect the Change.
	Suspicions []Suspicion
	// Burns are the Services of the Release that burn their error budget too fast.
	Burns []Burn
	// Unwatched says in words what is not observed of the units: no SLA, detection off.
	Unwatched []string
	// Others are the Releases that have a unit in common with this one.
	Others []*v1alpha1.Release
	// Carry are the Incidents of the Release's Services that began since it did and do not bear its name yet.
	Carry []types.NamespacedName
	// ObservingSince is since when the operator has seen all that happens without a gap.
	ObservingSince time.Time
	// ObservedUntil is until when the operator saw all before that; zero: that is not known.
	ObservedUntil time.Time
	// Done is what came of the write that the last decision asked for; nil: none was done since.
	Done *Outcome
}

// Unit is the workload of a unit as it is.
type Unit struct {
	Workload *configuration.Workload
	// Revision that keeps the template that it runs now; empty: none does. It need be known only while the unit's status
	// does not name one.
	Revision string
	// NoWayBack says why the gate would not let the present template in again once it is replaced; empty: it would.
	NoWayBack string
	// Manager is a reconciling field manager that sets images of its template; empty: none does.
	Manager string
	// Enforced: the gate keeps out what its Change does not cover, whoever sets it.
	Enforced bool
}

// Suspicion is an Incident that suspects the Change.
type Suspicion struct {
	Namespace, Name string
	Priority        v1alpha1.Priority
	// At is when the failure began.
	At time.Time
	// Open: neither Resolved nor Closed.
	Open bool
}

// Burn is a Service that burns its error budget too fast.
type Burn struct {
	Service string
	// Since when.
	Since time.Time
	// Why in words.
	Why string
}

// WriteKind is what a write does.
type WriteKind string

const (
	// RaiseChange creates the Change.
	RaiseChange WriteKind = "RaiseChange"
	// CancelChange withdraws a Change that the Release raised.
	CancelChange WriteKind = "CancelChange"
	// ApplyImages sets the images of a unit.
	ApplyImages WriteKind = "ApplyImages"
	// RestoreTemplate puts the whole earlier template of a unit back.
	RestoreTemplate WriteKind = "RestoreTemplate"
	// DeleteBroken deletes the pods of a unit that run the undone template and are not ready, where its controller does
	// not replace them.
	DeleteBroken WriteKind = "DeleteBroken"
	// CarryIncident writes the Release's name on an Incident.
	CarryIncident WriteKind = "CarryIncident"
)

// Write is one write to the API server.
type Write struct {
	Kind WriteKind
	// Unit by its name, and its workload, of ApplyImages, RestoreTemplate and DeleteBroken.
	Unit     string
	Workload v1alpha1.WorkloadReference
	// UID of the workload that is meant.
	UID types.UID
	// Images to set, by container: those of the release, or, to restore a workload of which no revisions are kept,
	// those that it had.
	Images map[string]string
	// From is the hash of the template that is replaced, To of the one that must result; empty: any.
	From, To string
	// Change to create, or to cancel.
	Change *v1alpha1.Change
	// Incident to write on.
	Incident types.NamespacedName
	// Again: it was refused before.
	Again bool
}

// Outcome of a write to a unit.
type Outcome struct {
	Kind WriteKind
	Unit string
	// Template that went in, with the generation that the write returned; nil where none did.
	Template *v1alpha1.ReleaseTemplate
	// Manager is the reconciling field manager that was found to set the images: nothing was written.
	Manager string
	// Denied is what the API server or the gate said where it refused; empty: it did not.
	Denied string
	// Lost says why the write is in vain and need not be tried again: no revision has the template, or somebody put in
	// another one. Empty: it is not.
	Lost string
}

// Decision about a Release.
type Decision struct {
	Status v1alpha1.ReleaseStatus
	// Write is the one write that comes next, once the status is written; nil: none.
	Write *Write
	// Begins: this status begins the first phase, and must not be written while another Release with a unit in common
	// deploys, however fresh that is.
	Begins bool
	// Events that follow from the difference to the status before.
	Events []Event
	// Wake is when the decision may become another without anybody's doing; zero: never.
	Wake time.Time
}

// Event is told about a Release after its status was written.
type Event = event.Event
