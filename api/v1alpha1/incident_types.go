package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Incident is an unplanned interruption of a service, or a loss of its quality: one per fault.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=inc,categories=itil
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Priority",type=string,JSONPath=`.status.priority`
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.serviceRef.name`
// +kubebuilder:printcolumn:name="Workload",type=string,JSONPath=`.spec.workloadRef.name`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Assignee",type=string,JSONPath=`.spec.assignee`
// +kubebuilder:printcolumn:name="Due",type=string,JSONPath=`.status.dueAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Summary",type=string,JSONPath=`.status.summary`,priority=1
type Incident struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what was reported, and what people declare about it.
	// +required
	Spec IncidentSpec `json:"spec"`
	// status is what the operator computed.
	// +optional
	Status IncidentStatus `json:"status,omitempty,omitzero"`
}

// IncidentList is a list of Incidents.
//
// +kubebuilder:object:root=true
type IncidentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Incident `json:"items"`
}

// IncidentSource says who reported an incident.
//
// +kubebuilder:validation:Enum=Detector;User;Alert
type IncidentSource string

const (
	// IncidentSourceDetector is the operator's own detection.
	IncidentSourceDetector IncidentSource = "Detector"
	// IncidentSourceUser is a person.
	IncidentSourceUser IncidentSource = "User"
	// IncidentSourceAlert is a monitoring system.
	IncidentSourceAlert IncidentSource = "Alert"
)

// Level grades impact and urgency.
//
// +kubebuilder:validation:Enum=High;Medium;Low
type Level string

const (
	// LevelHigh is the greatest.
	LevelHigh Level = "High"
	// LevelMedium is between.
	LevelMedium Level = "Medium"
	// LevelLow is the least.
	LevelLow Level = "Low"
)

// IncidentSpec is what was reported, and what people declare.
//
// +kubebuilder:validation:XValidation:rule="has(self.serviceRef) || has(self.workloadRef)",message="name the service (serviceRef) or the workload (workloadRef) that the incident is about"
// +kubebuilder:validation:XValidation:rule="!has(self.source) || self.source != 'User' || has(self.reporter)",message="an incident of source User needs a reporter"
// +kubebuilder:validation:XValidation:rule="!has(self.hold) || self.hold.reason != 'AwaitingCaller' || (has(self.reporter) && has(self.hold.comment))",message="hold AwaitingCaller needs a reporter and hold.comment: who is asked what"
// +kubebuilder:validation:XValidation:rule="!has(self.hold) || self.hold.reason != 'AwaitingChange' || (has(self.changeRefs) && size(self.changeRefs) > 0)",message="hold AwaitingChange needs changeRefs: which Change is waited for"
// +kubebuilder:validation:XValidation:rule="!has(self.hold) || self.hold.reason != 'AwaitingProblem' || has(self.problemRef)",message="hold AwaitingProblem needs problemRef: which Problem is waited for"
// +kubebuilder:validation:XValidation:rule="!has(self.resolution) || self.resolution.code != 'Duplicate' || has(self.parentRef)",message="resolution Duplicate needs parentRef: which Incident it duplicates"
// +kubebuilder:validation:XValidation:rule="(has(self.workloadRef) == has(oldSelf.workloadRef)) && (!has(self.workloadRef) || self.workloadRef == oldSelf.workloadRef)",message="workloadRef cannot be changed: open another Incident"
// +kubebuilder:validation:XValidation:rule="self.source == oldSelf.source",message="source cannot be changed"
type IncidentSpec struct {
	// title in one line: what fails, as a colleague would say it.
	// +required
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Title string `json:"title"`
	// description of what was seen.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Description string `json:"description,omitempty"`
	// source is Detector (the operator), User or Alert.
	// +optional
	// +kubebuilder:default=User
	Source IncidentSource `json:"source,omitempty"`
	// reporter is the authenticated user who reported it; stamped by the API server for source User where it
	// can.
	// +optional
	Reporter UserName `json:"reporter,omitempty"`
	// serviceRef is the service that suffers.
	// +optional
	ServiceRef *LocalReference `json:"serviceRef,omitempty"`
	// workloadRef is what fails.
	// +optional
	WorkloadRef *AnyWorkloadReference `json:"workloadRef,omitempty"`
	// impact on the organisation: what a person declares wins over the computed one in status.
	// +optional
	Impact Level `json:"impact,omitempty"`
	// urgency with which it must be resolved: what a person declares wins over the computed one in status.
	// +optional
	Urgency Level `json:"urgency,omitempty"`
	// assignee works on it.
	// +optional
	Assignee UserName `json:"assignee,omitempty"`
	// acknowledged stops the response clock; so does an assignee.
	// +optional
	Acknowledged bool `json:"acknowledged,omitempty"`
	// hold says what the incident waits for.
	// +optional
	Hold *Hold `json:"hold,omitempty"`
	// parentRef is the Incident that explains this one.
	// +optional
	ParentRef *NamespacedReference `json:"parentRef,omitempty"`
	// problemRef is the Problem behind it.
	// +optional
	ProblemRef *LocalReference `json:"problemRef,omitempty"`
	// changeRefs are the Changes that will fix it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	ChangeRefs []LocalReference `json:"changeRefs,omitempty"`
	// major marks an incident that everybody must know of. It is closed by hand only.
	// +optional
	Major bool `json:"major,omitempty"`
	// recovery says whether the operator may conclude from its signals that the incident is over: Accepted (the
	// default), or Disputed by a person for whom it is not. A disputed one that had recovered is open again, and
	// stays so until a person declares a resolution.
	// +optional
	Recovery Recovery `json:"recovery,omitempty"`
	// resolution as a person declares it.
	// +optional
	Resolution *Resolution `json:"resolution,omitempty"`
}

// Recovery says whether what the operator sees to be over is over.
//
// +kubebuilder:validation:Enum=Accepted;Disputed
type Recovery string

const (
	// RecoveryAccepted: what shows no signals any more is resolved.
	RecoveryAccepted Recovery = "Accepted"
	// RecoveryDisputed: a person knows better; only a declared resolution ends it.
	RecoveryDisputed Recovery = "Disputed"
)

// HoldReason says what an incident waits for.
//
// +kubebuilder:validation:Enum=AwaitingCaller;AwaitingChange;AwaitingProblem;AwaitingVendor
type HoldReason string

const (
	// HoldAwaitingCaller stops the resolution clock.
	HoldAwaitingCaller HoldReason = "AwaitingCaller"
	// HoldAwaitingChange waits for a Change.
	HoldAwaitingChange HoldReason = "AwaitingChange"
	// HoldAwaitingProblem waits for a Problem.
	HoldAwaitingProblem HoldReason = "AwaitingProblem"
	// HoldAwaitingVendor waits for a supplier.
	HoldAwaitingVendor HoldReason = "AwaitingVendor"
)

// Hold says what an incident waits for.
type Hold struct {
	// reason is AwaitingCaller, AwaitingChange, AwaitingProblem or AwaitingVendor.
	// +required
	Reason HoldReason `json:"reason"`
	// comment says what is waited for.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Comment string `json:"comment,omitempty"`
	// by is the authenticated user who put it on hold; nobody can write another's name. Omitted: the timeline names the
	// assignee.
	// +optional
	By UserName `json:"by,omitempty"`
}

// ResolutionCode says how an incident ended.
//
// +kubebuilder:validation:Enum=FixedByChange;Workaround;KnownError;SelfRecovered;RolledBack;UserGuidance;NoFault;Duplicate
type ResolutionCode string

const (
	// ResolutionFixedByChange: a new template went in.
	ResolutionFixedByChange ResolutionCode = "FixedByChange"
	// ResolutionWorkaround: a known, still visible symptom is accepted.
	ResolutionWorkaround ResolutionCode = "Workaround"
	// ResolutionKnownError: a Problem with a known cause is behind it.
	ResolutionKnownError ResolutionCode = "KnownError"
	// ResolutionSelfRecovered: it went away without a change.
	ResolutionSelfRecovered ResolutionCode = "SelfRecovered"
	// ResolutionRolledBack: an earlier template came back.
	ResolutionRolledBack ResolutionCode = "RolledBack"
	// ResolutionUserGuidance: the reporter was helped.
	ResolutionUserGuidance ResolutionCode = "UserGuidance"
	// ResolutionNoFault: there was nothing, or what failed is gone.
	ResolutionNoFault ResolutionCode = "NoFault"
	// ResolutionDuplicate: another Incident is about the same.
	ResolutionDuplicate ResolutionCode = "Duplicate"
)

// Resolution says how an incident ended.
type Resolution struct {
	// code is how it ended.
	// +required
	Code ResolutionCode `json:"code"`
	// notes for whoever meets it again.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Notes string `json:"notes,omitempty"`
	// closed closes it now, without waiting for the closing time.
	// +optional
	Closed bool `json:"closed,omitempty"`
}

// IncidentState is where an incident is in its life.
//
// +kubebuilder:validation:Enum=New;InProgress;OnHold;Resolved;Closed
type IncidentState string

const (
	// IncidentNew: nobody works on it yet.
	IncidentNew IncidentState = "New"
	// IncidentInProgress: somebody does, or it was opened again.
	IncidentInProgress IncidentState = "InProgress"
	// IncidentOnHold: it waits for something.
	IncidentOnHold IncidentState = "OnHold"
	// IncidentResolved: the service is restored.
	IncidentResolved IncidentState = "Resolved"
	// IncidentClosed: nothing will be added.
	IncidentClosed IncidentState = "Closed"
)

// Priority of an incident: P1 is the most pressing, P5 has no clocks.
//
// +kubebuilder:validation:Enum=P1;P2;P3;P4;P5
type Priority string

const (
	// PriorityP1 is the most pressing.
	PriorityP1 Priority = "P1"
	// PriorityP2 is next.
	PriorityP2 Priority = "P2"
	// PriorityP3 is next.
	PriorityP3 Priority = "P3"
	// PriorityP4 is next.
	PriorityP4 Priority = "P4"
	// PriorityP5 is the least pressing.
	PriorityP5 Priority = "P5"
)

// SignalReason names a way to fail.
//
// +kubebuilder:validation:Enum=OOMKilled;CrashLooping;ImagePullFailed;ConfigInvalid;StartFailed;InitFailed;Unschedulable;VolumeUnavailable;SandboxFailed;PodRejected;PodFailed;NotReady;Evicted;JobFailed;ScheduleMissed;JobOverdue;StuckTerminating;RolloutStuck;ReplicasMissing;NoReplicas;NodeLost;AlertFiring
type SignalReason string

const (
	// SignalOOMKilled: a container was killed for lack of memory.
	SignalOOMKilled SignalReason = "OOMKilled"
	// SignalCrashLooping: a container restarts again and again.
	SignalCrashLooping SignalReason = "CrashLooping"
	// SignalImagePullFailed: an image cannot be had.
	SignalImagePullFailed SignalReason = "ImagePullFailed"
	// SignalConfigInvalid: a container cannot be created from its configuration.
	SignalConfigInvalid SignalReason = "ConfigInvalid"
	// SignalStartFailed: a container was created and does not start.
	SignalStartFailed SignalReason = "StartFailed"
	// SignalInitFailed: an init container fails.
	SignalInitFailed SignalReason = "InitFailed"
	// SignalUnschedulable: no node takes the pod.
	SignalUnschedulable SignalReason = "Unschedulable"
	// SignalVolumeUnavailable: a volume cannot be mounted.
	SignalVolumeUnavailable SignalReason = "VolumeUnavailable"
	// SignalSandboxFailed: the pod's sandbox (network) cannot be made.
	SignalSandboxFailed SignalReason = "SandboxFailed"
	// SignalPodRejected: the kubelet refuses the pod.
	SignalPodRejected SignalReason = "PodRejected"
	// SignalPodFailed: pods fail and are not restarted.
	SignalPodFailed SignalReason = "PodFailed"
	// SignalNotReady: containers run, the pod does not become ready.
	SignalNotReady SignalReason = "NotReady"
	// SignalEvicted: the kubelet evicted pods, and the workload is short of them.
	SignalEvicted SignalReason = "Evicted"
	// SignalJobFailed: a Job failed for good.
	SignalJobFailed SignalReason = "JobFailed"
	// SignalScheduleMissed: a CronJob did not run at its time.
	SignalScheduleMissed SignalReason = "ScheduleMissed"
	// SignalJobOverdue: a Job runs longer than the service allows.
	SignalJobOverdue SignalReason = "JobOverdue"
	// SignalStuckTerminating: a pod does not go away.
	SignalStuckTerminating SignalReason = "StuckTerminating"
	// SignalRolloutStuck: a rollout makes no progress.
	SignalRolloutStuck SignalReason = "RolloutStuck"
	// SignalReplicasMissing: pods cannot be created.
	SignalReplicasMissing SignalReason = "ReplicasMissing"
	// SignalNoReplicas: a live service's workload was scaled to zero.
	SignalNoReplicas SignalReason = "NoReplicas"
	// SignalNodeLost: a node does not answer.
	SignalNodeLost SignalReason = "NodeLost"
	// SignalAlertFiring: a monitoring system says that something is wrong; the signal's alert names it.
	SignalAlertFiring SignalReason = "AlertFiring"
)

// SignalReasons is every reason, the most telling first: a cause stands before its symptoms.
var SignalReasons = []SignalReason{
	SignalNodeLost,
	SignalConfigInvalid, SignalImagePullFailed, SignalInitFailed, SignalOOMKilled, SignalStartFailed,
	SignalVolumeUnavailable, SignalSandboxFailed, SignalUnschedulable, SignalPodRejected, SignalEvicted,
	SignalCrashLooping, SignalPodFailed, SignalJobFailed, SignalScheduleMissed, SignalJobOverdue, SignalAlertFiring,
	SignalNotReady, SignalReplicasMissing, SignalNoReplicas, SignalStuckTerminating, SignalRolloutStuck,
}

// ClockState says where a clock stands.
//
// +kubebuilder:validation:Enum=Running;Warning;Paused;Met;Breached
type ClockState string

const (
	// ClockRunning: there is time.
	ClockRunning ClockState = "Running"
	// ClockWarning: three quarters of the time are over.
	ClockWarning ClockState = "Warning"
	// ClockPaused: it stands still.
	ClockPaused ClockState = "Paused"
	// ClockMet: it was stopped in time.
	ClockMet ClockState = "Met"
	// ClockBreached: the time is over.
	ClockBreached ClockState = "Breached"
)

// Confidence in a suspicion.
//
// +kubebuilder:validation:Enum=High;Medium;Low
type Confidence string

const (
	// ConfidenceHigh: only what is new fails, at once.
	ConfidenceHigh Confidence = "High"
	// ConfidenceMedium: it came soon after.
	ConfidenceMedium Confidence = "Medium"
	// ConfidenceLow: it came after.
	ConfidenceLow Confidence = "Low"
)

// IncidentStatus is what the operator computed of an incident.
type IncidentStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state of the incident, a function of what was declared, observed and of time.
	// +optional
	State IncidentState `json:"state,omitempty"`
	// priority by impact and urgency.
	// +optional
	Priority Priority `json:"priority,omitempty"`
	// reason is the most telling of the signals.
	// +optional
	Reason SignalReason `json:"reason,omitempty"`
	// summary says in one line what fails now, and why as far as that is known; of what is over, what failed last. The
	// title is what was seen first.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Summary string `json:"summary,omitempty"`
	// fingerprint joins incidents of the same kind: a hash of the workload's key and the reason.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Fingerprint string `json:"fingerprint,omitempty"`
	// signals by which it is seen; one that is cleared has clearedAt.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Signals []Signal `json:"signals,omitempty"`
	// startedAt is when the failure began, by the timestamps of what failed.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// detectedAt is when the operator saw it.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	DetectedAt *metav1.Time `json:"detectedAt,omitempty"`
	// recoveredAt is since when all signals are clear.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	RecoveredAt *metav1.Time `json:"recoveredAt,omitempty"`
	// recoveryHoldSeconds is how long they must stay clear before it counts as resolved.
	// +optional
	RecoveryHoldSeconds int32 `json:"recoveryHoldSeconds,omitempty"`
	// failedTemplateHash is the pod template that was running when it failed.
	// +optional
	// +kubebuilder:validation:MaxLength=70
	FailedTemplateHash string `json:"failedTemplateHash,omitempty"`
	// recoveredTemplateHash is the pod template that was running when the signals cleared.
	// +optional
	// +kubebuilder:validation:MaxLength=70
	RecoveredTemplateHash string `json:"recoveredTemplateHash,omitempty"`
	// acknowledgedAt is when a person took notice.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	AcknowledgedAt *metav1.Time `json:"acknowledgedAt,omitempty"`
	// resolvedAt is when the service was restored.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	ResolvedAt *metav1.Time `json:"resolvedAt,omitempty"`
	// closedAt is when the record was closed.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	ClosedAt *metav1.Time `json:"closedAt,omitempty"`
	// reopened is how often it failed again after it was resolved.
	// +optional
	Reopened int32 `json:"reopened"`
	// reopenedAt is when it last did.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	ReopenedAt *metav1.Time `json:"reopenedAt,omitempty"`
	// suspectedChange is the change that went in shortly before.
	// +optional
	SuspectedChange *SuspectedChange `json:"suspectedChange,omitempty"`
	// knownError is the Problem that explains it, with its workaround.
	// +optional
	KnownError *KnownError `json:"knownError,omitempty"`
	// affectedServices are the services that suffer; at most 50.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	AffectedServices []NamespacedReference `json:"affectedServices,omitempty"`
	// workloads is how many workloads it stands for, where it is a summary of several; signals list the first 50.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Workloads int32 `json:"workloads,omitempty"`
	// children is how many Incidents this one explains.
	// +optional
	Children int32 `json:"children"`
	// impact as computed; spec.impact wins.
	// +optional
	Impact Level `json:"impact,omitempty"`
	// urgency as computed; spec.urgency wins.
	// +optional
	Urgency Level `json:"urgency,omitempty"`
	// parentRef as computed; spec.parentRef wins.
	// +optional
	ParentRef *NamespacedReference `json:"parentRef,omitempty"`
	// resolution as computed; spec.resolution wins.
	// +optional
	Resolution *Resolution `json:"resolution,omitempty"`
	// clocks against the service level agreements.
	// +optional
	Clocks *IncidentClocks `json:"clocks,omitempty"`
	// dueAt is the next time at which something is due, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	DueAt string `json:"dueAt,omitempty"`
	// evidence is what was seen: the last Warning events of the failing pods, at most 10.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=30
	Evidence []Evidence `json:"evidence,omitempty"`
	// log is the end of the failed container's log, where the Service asks for it (spec.detection.captureLogs).
	// +optional
	Log *LogTail `json:"log,omitempty"`
	// timeline of what happened, the oldest first; at most 50.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Timeline []TimelineEntry `json:"timeline,omitempty"`
	// nextStep says what a person should do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are Acknowledged, Paused, ResponseBreached, ResolutionBreached, Major, Recovered, Explained and
	// CapReached.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Signal is one way in which a workload fails.
type Signal struct {
	// reason names it.
	// +required
	Reason SignalReason `json:"reason"`
	// container that fails, where it is one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
	// alert is the name of the alert that fires, where the reason is AlertFiring.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Alert string `json:"alert,omitempty"`
	// since when, by the timestamps of what failed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	Since metav1.Time `json:"since"`
	// lastSeen is when it was last observed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	LastSeen metav1.Time `json:"lastSeen"`
	// clearedAt is when it was seen to be gone.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	ClearedAt *metav1.Time `json:"clearedAt,omitempty"`
	// count of what is counted: restarts for crashes, pods otherwise.
	// +required
	Count int32 `json:"count"`
	// exitCode of the container that failed.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// message that came with it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// pods that show it; at most 5.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=253
	Pods []string `json:"pods,omitempty"`
	// affectedPods is how many show it.
	// +optional
	AffectedPods int32 `json:"affectedPods,omitempty"`
}

// SuspectedChange is a change that may have caused an incident.
type SuspectedChange struct {
	// namespace of the Change.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
	// name of the Change; empty where a template went in without one.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// confidence in the suspicion.
	// +required
	Confidence Confidence `json:"confidence"`
	// reason for it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`
}

// KnownError is a Problem whose cause or workaround is known.
type KnownError struct {
	// problem is the name of the Problem.
	// +required
	Problem ObjectName `json:"problem"`
	// workaround until it is fixed.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Workaround string `json:"workaround,omitempty"`
}

// IncidentClocks are the clocks that an agreement starts.
type IncidentClocks struct {
	// agreement is the ServiceLevelAgreement that they count by.
	// +optional
	Agreement ObjectName `json:"agreement,omitempty"`
	// response runs until a person takes notice.
	// +optional
	Response *Clock `json:"response,omitempty"`
	// resolution runs until the service is restored.
	// +optional
	Resolution *Clock `json:"resolution,omitempty"`
}

// Clock counts agreed service time.
type Clock struct {
	// dueAt is when its time is over.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	DueAt *metav1.Time `json:"dueAt,omitempty"`
	// state of the clock.
	// +required
	State ClockState `json:"state"`
	// pausedSince is since when it stands still.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	PausedSince *metav1.Time `json:"pausedSince,omitempty"`
	// pausedSeconds of agreed service time that did not count.
	// +required
	PausedSeconds int64 `json:"pausedSeconds"`
}

// Evidence is something seen beside the signals.
type Evidence struct {
	// at which time.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
	// object that it was seen on, as kind/name.
	// +required
	// +kubebuilder:validation:MaxLength=320
	Object string `json:"object"`
	// reason of the event.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// message of the event.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// LogTail is the end of a container's log. Logs may hold secrets: it is there only where the Service asks for it.
type LogTail struct {
	// at is when it was read.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
	// pod whose log it is.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod"`
	// container whose log it is.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container"`
	// previous means that it is of the run before the present one, as with kubectl logs --previous.
	// +optional
	Previous bool `json:"previous,omitempty"`
	// lines of it, the newest last; at most 20, each at most 256 characters, without control characters.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=256
	Lines []string `json:"lines,omitempty"`
	// problem says why there are none.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Problem string `json:"problem,omitempty"`
}

// TimelineEntry is something that happened to a record.
type TimelineEntry struct {
	// at which time.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
	// what happened.
	// +required
	// +kubebuilder:validation:MaxLength=512
	What string `json:"what"`
	// by whom.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by,omitempty"`
}
