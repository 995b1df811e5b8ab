package configuration

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Key identifies a workload: what makes pods. It carries no UID, so that a re-created workload is the same.
type Key struct {
	// Group is the API group, empty for the core group.
	Group string
	// Kind, for example Deployment, ReplicaSet or Pod.
	Kind string
	// Namespace and Name of the object.
	Namespace, Name string
}

// Workload is what the practices need to know of anything with a pod template, whatever its kind. It is made
// once per observed version of the object and never altered.
type Workload struct {
	Key Key
	// UID and Generation of the object; ObservedGeneration is what its controller has seen.
	UID                types.UID
	Generation         int64
	ObservedGeneration int64
	CreatedAt          time.Time
	// Deleting: it has a deletion timestamp.
	Deleting bool
	// Labels and annotations of the object itself that are of our domain, itil.dev. The template's labels are in
	// Template.Labels.
	Labels      map[string]string
	Annotations map[string]string
	// Owner is its controller, nil where it has none.
	Owner *Owner
	// Template is its pod template.
	Template Template
	// Selector is what its pods' labels must satisfy, in metav1 form; nil where the kind has none.
	Selector Selector

	// Desired, Ready, Updated and Current are counts of pods. Of a CronJob or Job, Desired is 1 and Ready is 1
	// unless its last run failed. Updated pods run the newest template; Current is how many exist.
	Desired, Ready, Updated, Current int32
	// UpdateRevision is the value of the label controller-revision-hash that a StatefulSet's pods of the newest template
	// have; empty for other kinds.
	UpdateRevision string
	// Hold says why an admitted template may be held back; empty where it is not.
	Hold Hold
	// Schedule of a CronJob with its time zone, and when it last ran.
	Schedule, ScheduleZone string
	LastScheduled          time.Time
	// LastSuccessful is when the last successful run of a CronJob ended; Active is how many run now.
	LastSuccessful          time.Time
	Active                  int32
	StartingDeadlineSeconds int64
	// ProgressDeadlineSeconds of a Deployment, 0 where it has none.
	ProgressDeadlineSeconds int32
	// Conditions of the status, by type.
	Conditions map[string]Condition
	// CompletedAt and FailedAt of a Job that has ended.
	CompletedAt, FailedAt time.Time
	// StartedAt is when a Job began.
	StartedAt time.Time
}

// Owner is a controlling owner.
type Owner struct {
	Key Key
	UID types.UID
}

// Condition of a workload's status.
type Condition struct {
	Status  string
	Reason  string
	Message string
	// Since is the last transition, UpdatedAt the last update where the kind has one.
	Since, UpdatedAt time.Time
}

// Hold is how a kind can hold back an admitted template.
type Hold struct {
	// Paused Deployment.
	Paused bool
	// Suspended Job or CronJob.
	Suspended bool
	// OnDelete update strategy of a StatefulSet or DaemonSet.
	OnDelete bool
	// Partition of a StatefulSet.
	Partition int32
}

// Held reports whether the template is held back, wholly or in part.
func (h Hold) Held() bool { return h.Paused || h.Suspended || h.OnDelete || h.Partition > 0 }
