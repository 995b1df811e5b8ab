package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConfigurationItem is the CMDB row of one workload that a Service claims or a ChangePolicy covers. The
// operator alone writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ci,categories=itil
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.workloadRef.kind`
// +kubebuilder:printcolumn:name="Workload",type=string,JSONPath=`.spec.workloadRef.name`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.status.owner`
// +kubebuilder:printcolumn:name="Tier",type=integer,JSONPath=`.status.tier`
// +kubebuilder:printcolumn:name="Drift",type=string,JSONPath=`.status.drift`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ConfigurationItem struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec names the workload.
	// +required
	Spec ConfigurationItemSpec `json:"spec"`
	// status is what is known of it.
	// +optional
	Status ConfigurationItemStatus `json:"status,omitempty,omitzero"`
}

// ConfigurationItemList is a list of ConfigurationItems.
//
// +kubebuilder:object:root=true
type ConfigurationItemList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ConfigurationItem `json:"items"`
}

// ConfigurationItemSpec names a workload.
type ConfigurationItemSpec struct {
	// workloadRef is the workload, in the same namespace.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="workloadRef cannot be changed"
	WorkloadRef WorkloadReference `json:"workloadRef"`
}

// ConfigurationItemState is where a workload is in its life.
//
// +kubebuilder:validation:Enum=InUse;Missing;Unclaimed
type ConfigurationItemState string

const (
	// ConfigurationItemInUse: it exists and is claimed or covered.
	ConfigurationItemInUse ConfigurationItemState = "InUse"
	// ConfigurationItemMissing: it is claimed by name, or was, and does not exist.
	ConfigurationItemMissing ConfigurationItemState = "Missing"
	// ConfigurationItemUnclaimed: nobody claims or covers it; it is deleted after the retention time.
	ConfigurationItemUnclaimed ConfigurationItemState = "Unclaimed"
)

// BaselineSource says how a template came in.
//
// +kubebuilder:validation:Enum=Adopted;Change;PreAuthorised;Rollback;BreakGlass;Audited;Unauthorized
type BaselineSource string

const (
	// BaselineAdopted ran before it was governed.
	BaselineAdopted BaselineSource = "Adopted"
	// BaselineChange came in by an approved Change.
	BaselineChange BaselineSource = "Change"
	// BaselinePreAuthorised needed no vote.
	BaselinePreAuthorised BaselineSource = "PreAuthorised"
	// BaselineRollback was proven earlier.
	BaselineRollback BaselineSource = "Rollback"
	// BaselineBreakGlass was forced in by someone who may.
	BaselineBreakGlass BaselineSource = "BreakGlass"
	// BaselineAudited came in where the gate only watches.
	BaselineAudited BaselineSource = "Audited"
	// BaselineUnauthorized came in past the gate.
	BaselineUnauthorized BaselineSource = "Unauthorized"
)

// DriftState says whether what runs is what was agreed.
//
// +kubebuilder:validation:Enum=None;Drifted;Unknown
type DriftState string

const (
	// DriftNone: it is.
	DriftNone DriftState = "None"
	// DriftDrifted: it is not.
	DriftDrifted DriftState = "Drifted"
	// DriftUnknown: it could not be compared.
	DriftUnknown DriftState = "Unknown"
)

// ConfigurationItemStatus is what is known of a workload.
type ConfigurationItemStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state is InUse, Missing or Unclaimed.
	// +optional
	State ConfigurationItemState `json:"state,omitempty"`
	// services that claim it; at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Services []LocalReference `json:"services,omitempty"`
	// owner is the team of the claiming service of the lowest tier number.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Owner string `json:"owner,omitempty"`
	// tier is the lowest of the claiming services' tiers.
	// +optional
	Tier int32 `json:"tier,omitempty"`
	// images that it asks for, by container.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	Images map[string]string `json:"images,omitempty"`
	// templateHash of what it is now.
	// +optional
	// +kubebuilder:validation:MaxLength=70
	TemplateHash string `json:"templateHash,omitempty"`
	// workloadUID of what it is now.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	WorkloadUID string `json:"workloadUID,omitempty"`
	// workloadGeneration of the newest baseline.
	// +optional
	WorkloadGeneration int64 `json:"workloadGeneration,omitempty"`
	// enforcement is Enforce while the gate is to refuse what nobody agreed to, and did when last seen: what comes in while
	// its configuration is gone came in past it. Else it is empty.
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
	// baselines are the agreed templates, the newest first; the last 10.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Baselines []Baseline `json:"baselines,omitempty"`
	// admissions are what the gate let in and no baseline tells of yet, the newest first; the last 5.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	Admissions []Admission `json:"admissions,omitempty"`
	// sideDoors are changes of its running pods that no template tells of: they are let in and recorded. The newest
	// first; the last 10, and of a series of alike ones the first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	SideDoors []SideDoor `json:"sideDoors,omitempty"`
	// drift says whether what runs is what was agreed.
	// +optional
	Drift DriftState `json:"drift,omitempty"`
	// unclaimedSince is since when nobody claims it.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	UnclaimedSince *metav1.Time `json:"unclaimedSince,omitempty"`
	// nextStep says what a person should do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are Drifted.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SideDoorKind says how what runs was changed.
//
// +kubebuilder:validation:Enum=EphemeralContainer;Resize;Relabel;EarlierTemplate
type SideDoorKind string

const (
	// SideDoorEphemeralContainer: a container was added to a running pod (kubectl debug).
	SideDoorEphemeralContainer SideDoorKind = "EphemeralContainer"
	// SideDoorResize: the resources of a running pod were altered.
	SideDoorResize SideDoorKind = "Resize"
	// SideDoorRelabel: a running pod of other images was given labels that make it pass for one of this workload's.
	SideDoorRelabel SideDoorKind = "Relabel"
	// SideDoorEarlierTemplate: the pods of a paused Deployment are of a ReplicaSet with an earlier template, which its
	// controller scaled up since that of the present one was not there.
	SideDoorEarlierTemplate SideDoorKind = "EarlierTemplate"
)

// SideDoor is a change of what runs past the workload's template.
type SideDoor struct {
	// what was done.
	// +required
	What SideDoorKind `json:"what"`
	// pod that it was done to; of EarlierTemplate the ReplicaSet.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod"`
	// detail in words: which containers, and their images.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Detail string `json:"detail,omitempty"`
	// by whom, as the API server authenticated; unknown of EarlierTemplate, which is seen afterwards.
	// +required
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by"`
	// at which time.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
}

// Admission is a template that the gate let in.
type Admission struct {
	// templateHash of the template.
	// +required
	// +kubebuilder:validation:MaxLength=70
	TemplateHash string `json:"templateHash"`
	// source says by which verdict.
	// +required
	Source BaselineSource `json:"source"`
	// by whom, as the API server authenticated.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by,omitempty"`
	// change that it came in by.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Change string `json:"change,omitempty"`
	// at which time.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
}

// Baseline is a template that ran, and how it came in.
type Baseline struct {
	// templateHash of the template.
	// +required
	// +kubebuilder:validation:MaxLength=70
	TemplateHash string `json:"templateHash"`
	// imagelessHash of the template with its images left out: two baselines that share it differ in images
	// only.
	// +optional
	// +kubebuilder:validation:MaxLength=70
	ImagelessHash string `json:"imagelessHash,omitempty"`
	// fullHash of the template where a policy leaves annotations out of templateHash.
	// +optional
	// +kubebuilder:validation:MaxLength=70
	FullHash string `json:"fullHash,omitempty"`
	// fingerprint has 32 bits of a hash for each field of the template, in base64; on the newest baseline only.
	// It tells a default that the API server added from an edit.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Fingerprint string `json:"fingerprint,omitempty"`
	// workloadUID that it was seen at.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	WorkloadUID string `json:"workloadUID,omitempty"`
	// generation that it was seen at.
	// +required
	Generation int64 `json:"generation"`
	// images by container.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	Images map[string]string `json:"images,omitempty"`
	// imageIDs that ready pods ran when this was first rolled out, by container, as digests ("sha256:…"): what a
	// tag meant when it was agreed to.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	ImageIDs map[string]string `json:"imageIDs,omitempty"`
	// movedImageIDs are what most ready pods were found to run later where that is another image under the same tag,
	// by container: the tag was moved.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	MovedImageIDs map[string]string `json:"movedImageIDs,omitempty"`
	// restartedAt is the template's annotation kubectl.kubernetes.io/restartedAt at the last rollout, where a restart
	// pulls images again: what the tags meant then is in imageIDs and movedImageIDs.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	RestartedAt string `json:"restartedAt,omitempty"`
	// change that it came in by.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Change string `json:"change,omitempty"`
	// source says how it came in.
	// +required
	Source BaselineSource `json:"source"`
	// by whom, as the API server authenticated; empty where it was not recorded.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by,omitempty"`
	// unverifiedBy is the field manager that wrote the template last, by managedFields, where by was not recorded. It is no
	// user: a client chooses the name that it goes by, and nobody verifies it.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	UnverifiedBy string `json:"unverifiedBy,omitempty"`
	// breakGlass is a digest of the reason for breaking the glass and of its signature, as they were last seen on the
	// workload with this template. What is left over of them there breaks no glass for a later template.
	// +optional
	// +kubebuilder:validation:MaxLength=70
	BreakGlass string `json:"breakGlass,omitempty"`
	// from when.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	From metav1.Time `json:"from"`
	// until when; empty: now.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	Until *metav1.Time `json:"until,omitempty"`
	// rolledOutSince is since when it has been completely rolled out and ready, while it is not proven yet.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	RolledOutSince *metav1.Time `json:"rolledOutSince,omitempty"`
	// proven means that it was completely rolled out and ready long enough, or ready when adopted.
	// +optional
	Proven bool `json:"proven"`
}
