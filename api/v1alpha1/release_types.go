package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Release brings a version of one or more workloads in together, in phases, or takes it back.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rel,categories=itil
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Units",type=string,JSONPath=`.status.progress`
// +kubebuilder:printcolumn:name="Change",type=string,JSONPath=`.status.changeRef.name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextStep`,priority=1
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.startedAt) || (self.spec.version == oldSelf.spec.version && self.spec.units == oldSelf.spec.units && self.spec.phases == oldSelf.spec.phases && (has(self.spec.strategy) ? self.spec.strategy : \"\") == (has(oldSelf.spec.strategy) ? oldSelf.spec.strategy : \"\") && has(self.spec.serviceRefs) == has(oldSelf.spec.serviceRefs) && (!has(self.spec.serviceRefs) || self.spec.serviceRefs == oldSelf.spec.serviceRefs) && has(self.spec.change) == has(oldSelf.spec.change) && (!has(self.spec.change) || self.spec.change == oldSelf.spec.change) && has(self.spec.changeRef) == has(oldSelf.spec.changeRef) && (!has(self.spec.changeRef) || self.spec.changeRef == oldSelf.spec.changeRef))",message="this Release has begun: only paused, cancel, backout and earlyLifeSupport can still be set; make another Release"
type Release struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is released, and how.
	// +required
	Spec ReleaseSpec `json:"spec"`
	// status is how far it is.
	// +optional
	Status ReleaseStatus `json:"status,omitempty,omitzero"`
}

// ReleaseList is a list of Releases.
//
// +kubebuilder:object:root=true
type ReleaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Release `json:"items"`
}

// ReleaseStrategy says who sets the images.
//
// +kubebuilder:validation:Enum=Apply;Observe
type ReleaseStrategy string

const (
	// ReleaseApply: the operator sets the images.
	ReleaseApply ReleaseStrategy = "Apply"
	// ReleaseObserve: someone else does (GitOps), and the operator watches.
	ReleaseObserve ReleaseStrategy = "Observe"
)

// BackoutMode says who takes a failed release back.
//
// +kubebuilder:validation:Enum=Automatic;Manual
type BackoutMode string

const (
	// BackoutAutomatic: the operator does.
	BackoutAutomatic BackoutMode = "Automatic"
	// BackoutManual: a person does.
	BackoutManual BackoutMode = "Manual"
)

// ReleaseSpec is what is released, and how.
//
// +kubebuilder:validation:XValidation:rule="has(self.change) != has(self.changeRef)",message="set either change (the Change that the release raises) or changeRef (an existing one)"
// +kubebuilder:validation:XValidation:rule="self.phases.all(p, p.units.all(n, n == '*' || self.units.exists(u, u.name == n)))",message="a phase names a unit that spec.units does not have"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",message="a canceled Release stays canceled: make another one"
type ReleaseSpec struct {
	// version that is released.
	// +required
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="!self.matches(r'[\\x{80}-\\x{9f}\\x{61c}\\x{200b}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2060}-\\x{2069}\\x{feff}]')",message="version has characters that cannot be seen or turn the direction of writing"
	Version string `json:"version"`
	// requester is the authenticated user who asks for it; stamped by the API server where it can, and
	// unchangeable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="requester cannot be changed"
	Requester UserName `json:"requester"`
	// serviceRefs are the services that it is about.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	ServiceRefs []LocalReference `json:"serviceRefs,omitempty"`
	// units are what is released together, in this namespace.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	Units []ReleaseUnit `json:"units"`
	// strategy is Apply where the operator sets the images, Observe where someone else does.
	// +optional
	// +kubebuilder:default=Apply
	Strategy ReleaseStrategy `json:"strategy,omitempty"`
	// phases run in order.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	Phases []ReleasePhase `json:"phases"`
	// earlyLifeSupport is how long, after its last phase, Incidents carry the release's name, in hours, minutes and
	// seconds; default 24h.
	// +optional
	// +kubebuilder:default="24h"
	EarlyLifeSupport Duration `json:"earlyLifeSupport,omitempty"`
	// backout is Automatic where the operator takes a failed release back, Manual where a person does.
	// +optional
	// +kubebuilder:default=Automatic
	Backout BackoutMode `json:"backout,omitempty"`
	// change is the Change that it raises.
	// +optional
	Change *ReleaseChange `json:"change,omitempty"`
	// changeRef is an existing Change that it goes in under.
	// +optional
	ChangeRef *LocalReference `json:"changeRef,omitempty"`
	// paused holds it before its next phase.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// cancel stops it and leaves what is, for good.
	// +optional
	Cancel bool `json:"cancel,omitempty"`
}

// ReleaseUnit is one workload of a release.
type ReleaseUnit struct {
	// name of the unit.
	// +required
	Name ContainerName `json:"name"`
	// workload of the Release's namespace.
	// +required
	Workload WorkloadReference `json:"workload"`
	// images to run, by container.
	// +required
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=50
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 63 && k.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",message="the keys of images are names of containers: lower-case letters, digits and dashes, at most 63"
	Images map[string]Image `json:"images"`
}

// ReleasePhase is a step of a release.
type ReleasePhase struct {
	// name of the phase.
	// +required
	Name ContainerName `json:"name"`
	// units that it brings in; "*" is all that are left.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=63
	Units []string `json:"units"`
	// soak is how long the units must run without trouble before the next phase, in hours, minutes and seconds (1h30m);
	// omitted: no time.
	// +optional
	Soak Duration `json:"soak,omitempty"`
	// timeout after which the phase has failed, in hours, minutes and seconds; omitted: the workloads' own progress
	// deadlines.
	// +optional
	Timeout Duration `json:"timeout,omitempty"`
}

// ReleaseChange is what a release says of the Change that it raises.
//
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'Emergency' || has(self.incidentRef)",message="an Emergency change needs incidentRef: the Incident that it is to end"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'Standard' || has(self.standardChange)",message="a Standard change needs standardChange: the pre-authorised change of the ChangePolicy that it claims to be"
type ReleaseChange struct {
	// type of the Change.
	// +optional
	// +kubebuilder:default=Normal
	Type ChangeType `json:"type,omitempty"`
	// window of the Change.
	// +optional
	Window *Window `json:"window,omitempty"`
	// summary of the Change.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.matches(r'[\\x{80}-\\x{9f}\\x{61c}\\x{200b}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2060}-\\x{2069}\\x{feff}]')",message="summary has characters that cannot be seen or turn the direction of writing"
	Summary string `json:"summary,omitempty"`
	// standardChange is, for type Standard, the policy's pre-authorised change that it claims to be.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	StandardChange string `json:"standardChange,omitempty"`
	// incidentRef is the Incident that it is to end. An Emergency change needs one.
	// +optional
	IncidentRef *LocalReference `json:"incidentRef,omitempty"`
	// problemRef is the Problem that it is to fix.
	// +optional
	ProblemRef *LocalReference `json:"problemRef,omitempty"`
}

// ReleaseState is where a release is in its life.
//
// +kubebuilder:validation:Enum=Planning;Ready;Deploying;EarlyLifeSupport;Completed;RolledBack;Failed;Canceled
type ReleaseState string

const (
	// ReleasePlanning: its Change is not approved yet.
	ReleasePlanning ReleaseState = "Planning"
	// ReleaseReady: its Change is approved.
	ReleaseReady ReleaseState = "Ready"
	// ReleaseDeploying: a phase runs.
	ReleaseDeploying ReleaseState = "Deploying"
	// ReleaseEarlyLifeSupport: all phases are done; incidents still carry it.
	ReleaseEarlyLifeSupport ReleaseState = "EarlyLifeSupport"
	// ReleaseCompleted: it has ended well.
	ReleaseCompleted ReleaseState = "Completed"
	// ReleaseRolledBack: it failed and was taken back.
	ReleaseRolledBack ReleaseState = "RolledBack"
	// ReleaseFailed: it failed and was not taken back.
	ReleaseFailed ReleaseState = "Failed"
	// ReleaseCanceled: it was withdrawn.
	ReleaseCanceled ReleaseState = "Canceled"
)

// ReleaseStatus is how far a release is.
type ReleaseStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state of the release.
	// +optional
	State ReleaseState `json:"state,omitempty"`
	// changeRef is the Change that it goes in under.
	// +optional
	ChangeRef *LocalReference `json:"changeRef,omitempty"`
	// phase that runs.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Phase string `json:"phase,omitempty"`
	// progress is how many of the units are done, for people: "1/3".
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Progress string `json:"progress,omitempty"`
	// waitingFor is the Release of this namespace that goes first, since both have a unit in common.
	// +optional
	WaitingFor *LocalReference `json:"waitingFor,omitempty"`
	// startedAt is when its first phase began.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// deployedAt is when its last phase was done, and early life support began.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	DeployedAt *metav1.Time `json:"deployedAt,omitempty"`
	// endedAt is when it became Completed, RolledBack, Failed or Canceled.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	EndedAt *metav1.Time `json:"endedAt,omitempty"`
	// phases in order, and how far they are.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=10
	Phases []ReleasePhaseStatus `json:"phases,omitempty"`
	// units and how far they are, in the order of spec.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Units []ReleaseUnitStatus `json:"units,omitempty"`
	// failure is what stopped it.
	// +optional
	Failure *ReleaseFailure `json:"failure,omitempty"`
	// backout is how it was taken back. From its beginning on, the Change covers nothing any more.
	// +optional
	Backout *ReleaseBackout `json:"backout,omitempty"`
	// delivery are DORA's figures of this release and its services.
	// +optional
	Delivery *ReleaseDelivery `json:"delivery,omitempty"`
	// nextStep says what a person should do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are Approved, Progressing, Stable, ManagedByGitOps, BackoutPossible, RolledBack.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ReleasePhaseState is how far a phase is.
//
// +kubebuilder:validation:Enum=Waiting;Deploying;Soaking;Done;Failed
type ReleasePhaseState string

const (
	// ReleasePhaseWaiting: it has not begun.
	ReleasePhaseWaiting ReleasePhaseState = "Waiting"
	// ReleasePhaseDeploying: its units roll out.
	ReleasePhaseDeploying ReleasePhaseState = "Deploying"
	// ReleasePhaseSoaking: all its units run the release and are watched.
	ReleasePhaseSoaking ReleasePhaseState = "Soaking"
	// ReleasePhaseDone: they ran without trouble for as long as was asked.
	ReleasePhaseDone ReleasePhaseState = "Done"
	// ReleasePhaseFailed: it stopped the release.
	ReleasePhaseFailed ReleasePhaseState = "Failed"
)

// ReleasePhaseStatus is how far a phase is.
type ReleasePhaseStatus struct {
	// name of the phase.
	// +required
	Name ContainerName `json:"name"`
	// state of the phase.
	// +required
	State ReleasePhaseState `json:"state"`
	// startedAt is when it began.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// soakingSince is since when all its units have run the release without a break that was seen.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	SoakingSince *metav1.Time `json:"soakingSince,omitempty"`
	// soakedSeconds is how long they had soaked up to soakingSince: what was counted before the operator was away.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SoakedSeconds int32 `json:"soakedSeconds,omitempty"`
	// soakSeconds is how long they must soak.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SoakSeconds int32 `json:"soakSeconds,omitempty"`
	// unobservedSeconds of the phase passed while the operator did not look: they count for neither soak nor timeout.
	// +optional
	// +kubebuilder:validation:Minimum=0
	UnobservedSeconds int32 `json:"unobservedSeconds,omitempty"`
	// observedAt is when this record was written.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	ObservedAt *metav1.Time `json:"observedAt,omitempty"`
	// doneAt is when it was done, or failed.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	DoneAt *metav1.Time `json:"doneAt,omitempty"`
	// message says what it waits for, why it soaks anew, and on what little it decided where little is observed.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ReleaseFailureReason is what stopped a release.
//
// +kubebuilder:validation:Enum=ProgressDeadlineExceeded;PhaseTimeout;IncidentSuspected;ErrorBudgetBurn;TemplateReplaced;WorkloadGone;ChangeFailed;ChangeEnded;BackoutFailed
type ReleaseFailureReason string

const (
	// ReleaseFailureProgress: a workload exceeded its progress deadline, or its Job failed.
	ReleaseFailureProgress ReleaseFailureReason = "ProgressDeadlineExceeded"
	// ReleaseFailureTimeout: the phase took longer than its timeout.
	ReleaseFailureTimeout ReleaseFailureReason = "PhaseTimeout"
	// ReleaseFailureIncident: a P1 or P2 Incident suspects its Change.
	ReleaseFailureIncident ReleaseFailureReason = "IncidentSuspected"
	// ReleaseFailureBurn: a Service of it began to burn its error budget too fast.
	ReleaseFailureBurn ReleaseFailureReason = "ErrorBudgetBurn"
	// ReleaseFailureReplaced: somebody put another template in the place of a released one.
	ReleaseFailureReplaced ReleaseFailureReason = "TemplateReplaced"
	// ReleaseFailureGone: a workload was deleted.
	ReleaseFailureGone ReleaseFailureReason = "WorkloadGone"
	// ReleaseFailureChangeFailed: its Change was found Unsuccessful or RolledBack, not by a person's review.
	ReleaseFailureChangeFailed ReleaseFailureReason = "ChangeFailed"
	// ReleaseFailureChangeEnded: its Change ended before all units were in, or a person's review found that it failed.
	ReleaseFailureChangeEnded ReleaseFailureReason = "ChangeEnded"
	// ReleaseFailureBackout: what it had before could not be brought back.
	ReleaseFailureBackout ReleaseFailureReason = "BackoutFailed"
)

// ReleaseFailure is what stopped a release.
type ReleaseFailure struct {
	// phase that failed.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Phase string `json:"phase,omitempty"`
	// unit that failed, where it was one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Unit string `json:"unit,omitempty"`
	// reason for machines.
	// +required
	Reason ReleaseFailureReason `json:"reason"`
	// message for people.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
	// at which time.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
}

// ReleaseBackout is how a release was taken back.
type ReleaseBackout struct {
	// startedAt is when it began.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	StartedAt metav1.Time `json:"startedAt"`
	// endedAt is when all units ran again what they had before, or when that was given up.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	EndedAt *metav1.Time `json:"endedAt,omitempty"`
	// message says what it waits for, or what could not be brought back.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ReleaseUnitState is how far a unit is.
//
// +kubebuilder:validation:Enum=Waiting;Deploying;Soaking;Done;Failed;RollingBack;RolledBack
type ReleaseUnitState string

const (
	// ReleaseUnitWaiting: its phase has not begun.
	ReleaseUnitWaiting ReleaseUnitState = "Waiting"
	// ReleaseUnitDeploying: it rolls out.
	ReleaseUnitDeploying ReleaseUnitState = "Deploying"
	// ReleaseUnitSoaking: it runs and is watched.
	ReleaseUnitSoaking ReleaseUnitState = "Soaking"
	// ReleaseUnitDone: it has soaked.
	ReleaseUnitDone ReleaseUnitState = "Done"
	// ReleaseUnitFailed: it did not roll out, or broke, and was not taken back.
	ReleaseUnitFailed ReleaseUnitState = "Failed"
	// ReleaseUnitRollingBack: it is being taken back.
	ReleaseUnitRollingBack ReleaseUnitState = "RollingBack"
	// ReleaseUnitRolledBack: it was taken back.
	ReleaseUnitRolledBack ReleaseUnitState = "RolledBack"
)

// ReleaseUnitStatus is how far a unit is.
type ReleaseUnitStatus struct {
	// name of the unit.
	// +optional
	Name ContainerName `json:"name,omitempty"`
	// workload of the unit.
	// +required
	Workload WorkloadReference `json:"workload"`
	// phase that brings it in.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Phase string `json:"phase,omitempty"`
	// state of the unit.
	// +required
	State ReleaseUnitState `json:"state"`
	// previousImages are what it ran before.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	PreviousImages map[string]string `json:"previousImages,omitempty"`
	// previous is the template that it ran before, to which it goes back.
	// +optional
	Previous *ReleaseTemplate `json:"previous,omitempty"`
	// released is the template that it runs by this release.
	// +optional
	Released *ReleaseTemplate `json:"released,omitempty"`
	// restored is the template that it was taken back to.
	// +optional
	Restored *ReleaseTemplate `json:"restored,omitempty"`
	// ready pods.
	// +required
	Ready int32 `json:"ready"`
	// desired pods.
	// +required
	Desired int32 `json:"desired"`
	// message says what it waits for, or what is wrong with it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// ReleaseTemplate is a pod template of a unit, and when it went in.
type ReleaseTemplate struct {
	// templateHash of the template.
	// +required
	// +kubebuilder:validation:MaxLength=70
	TemplateHash string `json:"templateHash"`
	// revision that keeps the whole template: a ReplicaSet or ControllerRevision; empty: none does.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Revision string `json:"revision,omitempty"`
	// workloadUID that it is about.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	WorkloadUID string `json:"workloadUID,omitempty"`
	// generation of the workload that brought it in, as the API server returned it.
	// +optional
	Generation int64 `json:"generation,omitempty"`
	// at which time it went in.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At *metav1.Time `json:"at,omitempty"`
}
