package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ChangePolicy is the platform team's rules for changes in the namespaces that it selects.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=chgpol,categories=itil
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Enforcement",type=string,JSONPath=`.spec.enforcement`
// +kubebuilder:printcolumn:name="Namespaces",type=integer,JSONPath=`.status.namespaces`
// +kubebuilder:printcolumn:name="Would-Deny",type=integer,JSONPath=`.status.wouldDeny.count`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ChangePolicy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the rules.
	// +required
	Spec ChangePolicySpec `json:"spec"`
	// status is what they come to.
	// +optional
	Status ChangePolicyStatus `json:"status,omitempty,omitzero"`
}

// ChangePolicyList is a list of ChangePolicies.
//
// +kubebuilder:object:root=true
type ChangePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ChangePolicy `json:"items"`
}

// PolicyScope says which workloads a policy covers.
//
// +kubebuilder:validation:Enum=Services;AllWorkloads
type PolicyScope string

const (
	// ScopeServices: those that a Service claims.
	ScopeServices PolicyScope = "Services"
	// ScopeAllWorkloads: all.
	ScopeAllWorkloads PolicyScope = "AllWorkloads"
)

// Pin says how exact a target must be.
//
// +kubebuilder:validation:Enum=Images;Digests;Template
type Pin string

const (
	// PinImages: by images, tags allowed.
	PinImages Pin = "Images"
	// PinDigests: by images with digests.
	PinDigests Pin = "Digests"
	// PinTemplate: by template hash.
	PinTemplate Pin = "Template"
)

// RollbackMode says whether a proven earlier template may come back without a Change.
//
// +kubebuilder:validation:Enum=Allow;RequireChange
type RollbackMode string

const (
	// RollbackAllow: it may.
	RollbackAllow RollbackMode = "Allow"
	// RollbackRequireChange: it may not.
	RollbackRequireChange RollbackMode = "RequireChange"
)

// OnDenied says what follows a denial.
//
// +kubebuilder:validation:Enum=FileChange;Deny
type OnDenied string

const (
	// OnDeniedFileChange: the operator files a Change for what was denied.
	OnDeniedFileChange OnDenied = "FileChange"
	// OnDeniedDeny: nothing.
	OnDeniedDeny OnDenied = "Deny"
)

// ChangePolicySpec is the rules for changes.
//
// +kubebuilder:validation:XValidation:rule="!has(self.approvals) || self.approvals.all(a, self.approvals.exists_one(b, b.risk == a.risk))",message="approvals has a risk level twice"
type ChangePolicySpec struct {
	// namespaceSelector selects namespaces by their labels. It must require at least one label; to mean all
	// namespaces, use matchExpressions with key kubernetes.io/metadata.name and operator Exists.
	// +required
	NamespaceSelector LabelSelector `json:"namespaceSelector"`
	// enforcement is the floor for every Service in scope: Enforce refuses what nobody agreed to, Warn lets it in with a
	// warning, Audit records it, Disabled is no floor. No default: omitted, the Services decide.
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
	// scope is Services, or AllWorkloads: also workloads that no Service claims.
	// +optional
	// +kubebuilder:default=Services
	Scope PolicyScope `json:"scope,omitempty"`
	// approvals by risk; a level left out keeps the default (Low 0, Medium 1, High 2).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=3
	Approvals []ApprovalRule `json:"approvals,omitempty"`
	// emergency is the rule for Emergency changes; omitted: as for their risk, reviewed within 72h.
	// +optional
	Emergency *EmergencyRule `json:"emergency,omitempty"`
	// separationOfDuties makes the requester's own approval not count.
	// +optional
	// +kubebuilder:default=true
	SeparationOfDuties *bool `json:"separationOfDuties,omitempty"`
	// serviceAccountApprovers are the ServiceAccounts whose votes count, by full user name. Others' do not.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=20
	ServiceAccountApprovers []UserName `json:"serviceAccountApprovers,omitempty"`
	// pin says how exact the targets of a Change must be: Images (tags will do), Digests (images by digest), or Template
	// (the hash of the whole template).
	// +optional
	// +kubebuilder:default=Images
	Pin Pin `json:"pin,omitempty"`
	// ignoredAnnotationPrefixes are of annotations of the pod template that may change without a Change, for example
	// "sidecar.example.com/".
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MinLength=3
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(p, !p.startsWith('itil.dev/') && p.contains('/'))",message="an ignored annotation prefix names a domain and a slash, and not itil.dev"
	IgnoredAnnotationPrefixes []string `json:"ignoredAnnotationPrefixes,omitempty"`
	// changeWindow is when Normal changes may go in; omitted: always. Standard and Emergency changes need none.
	// +optional
	ChangeWindow *ChangeWindow `json:"changeWindow,omitempty"`
	// freezes are times in which no change may go in, but for those of an exempt type, and rollbacks.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Freezes []Freeze `json:"freezes,omitempty"`
	// freezeOnExhaustedErrorBudget freezes the workloads of a Service whose error budget is spent.
	// +optional
	FreezeOnExhaustedErrorBudget bool `json:"freezeOnExhaustedErrorBudget,omitempty"`
	// rollback says whether a proven earlier template may come back without a Change (Allow) or not (RequireChange).
	// +optional
	// +kubebuilder:default=Allow
	Rollback RollbackMode `json:"rollback,omitempty"`
	// onDenied says what follows a denial: FileChange files a Change for who was denied, Deny files none.
	// +optional
	// +kubebuilder:default=FileChange
	OnDenied OnDenied `json:"onDenied,omitempty"`
	// maxConcurrentRollouts is how many workloads of a namespace may be rolled out at once; omitted: without limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxConcurrentRollouts int32 `json:"maxConcurrentRollouts,omitempty"`
	// rollbackRevisions is how many baselines back a rollback may go.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	RollbackRevisions int32 `json:"rollbackRevisions,omitempty"`
	// provenSeconds is how long a template must have run, completely rolled out and ready, to be proven.
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	ProvenSeconds int32 `json:"provenSeconds,omitempty"`
	// observationSeconds is how long a change is watched after it was rolled out.
	// +optional
	// +kubebuilder:default=3600
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	ObservationSeconds int32 `json:"observationSeconds,omitempty"`
	// standardChanges are pre-authorised: no vote while they go well.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	StandardChanges []StandardChange `json:"standardChanges,omitempty"`
}

// ApprovalRule is how many votes a level of risk needs.
type ApprovalRule struct {
	// risk that the rule is for.
	// +required
	Risk RiskLevel `json:"risk"`
	// required votes; 0: it needs none.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	Required int32 `json:"required"`
	// groups of which each vote must be from one; omitted: any holder of the verb approve.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	Groups []GroupName `json:"groups,omitempty"`
}

// EmergencyRule is how Emergency changes are authorised.
type EmergencyRule struct {
	// required votes; 0: it needs none.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	Required int32 `json:"required"`
	// groups of which each vote must be from one; omitted: any holder of the verb approve.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	Groups []GroupName `json:"groups,omitempty"`
	// reviewWithin is how soon the review is due, in hours, minutes and seconds (36h, 1h30m); default 72h.
	// +optional
	// +kubebuilder:default="72h"
	ReviewWithin Duration `json:"reviewWithin,omitempty"`
}

// ChangeWindow is when changes may go in.
type ChangeWindow struct {
	// calendarRef is the Calendar of open hours.
	// +required
	CalendarRef LocalReference `json:"calendarRef"`
}

// Freeze is a time in which no change goes in.
//
// +kubebuilder:validation:XValidation:rule="timestamp(self.from) < timestamp(self.to)",message="a freeze must end (to) after it begins (from)"
type Freeze struct {
	// name of the freeze.
	// +required
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// from when, in RFC 3339: 2026-12-20T00:00:00+01:00.
	// +required
	From Timestamp `json:"from"`
	// to when, in RFC 3339.
	// +required
	To Timestamp `json:"to"`
	// reason for it.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
	// exempt are the types of change that may go in all the same; default Emergency.
	// +optional
	// +listType=set
	// +kubebuilder:default={Emergency}
	// +kubebuilder:validation:MaxItems=3
	Exempt []ChangeType `json:"exempt,omitempty"`
}

// ImageRule says which image changes a standard change allows.
//
// +kubebuilder:validation:Enum=SameRepositoryPatch;SameRepositoryMinor;SameRepository;Unchanged
type ImageRule string

const (
	// ImageSameRepositoryPatch: the same repository, a later patch of the same minor version.
	ImageSameRepositoryPatch ImageRule = "SameRepositoryPatch"
	// ImageSameRepositoryMinor: the same repository, a later minor or patch of the same major version.
	ImageSameRepositoryMinor ImageRule = "SameRepositoryMinor"
	// ImageSameRepository: the same repository, any tag or digest.
	ImageSameRepository ImageRule = "SameRepository"
	// ImageUnchanged: no image changes.
	ImageUnchanged ImageRule = "Unchanged"
)

// TemplateField is a part of a pod template that a standard change may alter.
//
// +kubebuilder:validation:Enum=resources;env;labels;annotations;probes
type TemplateField string

const (
	// TemplateFieldResources is the containers' requests and limits.
	TemplateFieldResources TemplateField = "resources"
	// TemplateFieldEnv is the containers' environment.
	TemplateFieldEnv TemplateField = "env"
	// TemplateFieldLabels is the template's labels.
	TemplateFieldLabels TemplateField = "labels"
	// TemplateFieldAnnotations is the template's annotations.
	TemplateFieldAnnotations TemplateField = "annotations"
	// TemplateFieldProbes is the containers' probes.
	TemplateFieldProbes TemplateField = "probes"
)

// StandardChange is a pre-authorised kind of change.
type StandardChange struct {
	// name of it; Changes of type Standard refer to it.
	// +required
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// images says how images may change within their repository: to a later patch of the same minor version
	// (SameRepositoryPatch), a later version of the same major one (SameRepositoryMinor), any tag or digest
	// (SameRepository), or not at all (Unchanged).
	// +optional
	// +kubebuilder:default=Unchanged
	Images ImageRule `json:"images,omitempty"`
	// fields of the template that may change beside images.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5
	Fields []TemplateField `json:"fields,omitempty"`
	// tiers of services that it is for; omitted: tier 4.
	// +optional
	// +listType=set
	// +kubebuilder:default={4}
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=4
	Tiers []int32 `json:"tiers,omitempty"`
	// suspendAfterFailures is after how many failures in a row it needs votes again, until the policy is edited;
	// default 2.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	SuspendAfterFailures int32 `json:"suspendAfterFailures,omitempty"`
}

// ChangePolicyState says whether a policy is in force.
//
// +kubebuilder:validation:Enum=Active;Invalid
type ChangePolicyState string

const (
	// ChangePolicyActive: it is.
	ChangePolicyActive ChangePolicyState = "Active"
	// ChangePolicyInvalid: parts of it are invalid and taken as closed; the conditions name them.
	ChangePolicyInvalid ChangePolicyState = "Invalid"
)

// ChangePolicyStatus is what a policy comes to.
type ChangePolicyStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state is Active or Invalid.
	// +optional
	State ChangePolicyState `json:"state,omitempty"`
	// namespaces that it selects.
	// +optional
	Namespaces int32 `json:"namespaces"`
	// enforcedIn are the namespaces in which the gate enforces this policy over all workloads, and since when. What nobody
	// let in and is made there more than a minute later is Unauthorized; what was there before is Adopted. A namespace stays
	// while the gate's configuration is gone, and goes with its labels or the spec. At most 2000: of others nothing is told.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +kubebuilder:validation:MaxItems=2000
	EnforcedIn []EnforcedNamespace `json:"enforcedIn,omitempty"`
	// wouldDeny is what Enforce would have refused in the last 7 days.
	// +optional
	WouldDeny *WouldDeny `json:"wouldDeny,omitempty"`
	// standardChanges and how they went.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	StandardChanges []StandardChangeStatus `json:"standardChanges,omitempty"`
	// nextStep says what a person should do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are Valid.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// EnforcedNamespace is a namespace in which the gate enforces a policy.
type EnforcedNamespace struct {
	// namespace by name.
	// +required
	Namespace NamespaceName `json:"namespace"`
	// since when: the gate's configuration was found to list it then.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	Since metav1.Time `json:"since"`
}

// WouldDeny is what Enforce would have refused.
type WouldDeny struct {
	// count of requests.
	// +required
	Count int32 `json:"count"`
	// workloads concerned, as kind/namespace/name; at most 50.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=400
	Workloads []string `json:"workloads,omitempty"`
	// moreWorkloads means that there were more of them than workloads holds.
	// +optional
	MoreWorkloads bool `json:"moreWorkloads,omitempty"`
	// reasons and how often; at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Reasons []ReasonCount `json:"reasons,omitempty"`
	// days are what the rest is the sum of, in UTC, the newest first; at most 7.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=7
	Days []WouldDenyDay `json:"days,omitempty"`
}

// WouldDenyDay is what Enforce would have refused on one day.
type WouldDenyDay struct {
	// date of the day, in UTC.
	// +required
	// +kubebuilder:validation:Pattern=`^\d{4}-\d{2}-\d{2}$`
	// +kubebuilder:validation:MaxLength=10
	Date string `json:"date"`
	// count of requests.
	// +required
	Count int32 `json:"count"`
	// workloads that were last concerned on that day, as kind/namespace/name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=400
	Workloads []string `json:"workloads,omitempty"`
	// reasons and how often; at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Reasons []ReasonCount `json:"reasons,omitempty"`
}

// ReasonCount is how often something was so.
type ReasonCount struct {
	// reason that was given.
	// +required
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason"`
	// count of it.
	// +required
	Count int32 `json:"count"`
}

// StandardChangeStatus is how a standard change went, as far as its Changes are kept.
type StandardChangeStatus struct {
	// name of it.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// used is how often something went in by it.
	// +required
	Used int32 `json:"used"`
	// failed is how often it failed in a row.
	// +required
	Failed int32 `json:"failed"`
	// suspended means that it needs votes again, until the policy is edited.
	// +required
	Suspended bool `json:"suspended"`
	// lastUsed is when something went in by it last.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	LastUsed *metav1.Time `json:"lastUsed,omitempty"`
	// lastFailed names the Change that failed last, as namespace/name.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	LastFailed string `json:"lastFailed,omitempty"`
	// since when failures count: when the policy was edited after it had been suspended. Omitted: always.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	Since *metav1.Time `json:"since,omitempty"`
}
