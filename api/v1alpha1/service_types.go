package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Service is what a team provides to its customers: who owns it, which workloads it runs on, what it depends
// on and how well it is. It governs workloads of its own namespace only.
//
// `kubectl explain service` and `services.itil.dev` ask for the core Service; use `kubectl explain itsvc`.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=itsvc,categories=itil
// +kubebuilder:printcolumn:name="Health",type=string,JSONPath=`.status.health`
// +kubebuilder:printcolumn:name="Tier",type=integer,JSONPath=`.spec.tier`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner.team`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.ready`
// +kubebuilder:printcolumn:name="Incidents",type=integer,JSONPath=`.status.openIncidents`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Service struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what people declare about the service.
	// +required
	Spec ServiceSpec `json:"spec"`
	// status is what the operator observed.
	// +optional
	Status ServiceStatus `json:"status,omitempty,omitzero"`
}

// ServiceList is a list of Services.
//
// +kubebuilder:object:root=true
type ServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Service `json:"items"`
}

// Lifecycle is a service's place in the service portfolio.
//
// +kubebuilder:validation:Enum=Pipeline;Live;Retired
type Lifecycle string

const (
	// LifecyclePipeline services are being built; they open no incidents.
	LifecyclePipeline Lifecycle = "Pipeline"
	// LifecycleLive services are offered to customers.
	LifecycleLive Lifecycle = "Live"
	// LifecycleRetired services should no longer run anything.
	LifecycleRetired Lifecycle = "Retired"
)

// Enforcement says what the gate does with a change that nobody approved.
//
// +kubebuilder:validation:Enum=Enforce;Warn;Audit;Disabled
type Enforcement string

const (
	// EnforcementEnforce refuses it.
	EnforcementEnforce Enforcement = "Enforce"
	// EnforcementWarn lets it in with an admission warning.
	EnforcementWarn Enforcement = "Warn"
	// EnforcementAudit lets it in and counts it.
	EnforcementAudit Enforcement = "Audit"
	// EnforcementDisabled does not look at it.
	EnforcementDisabled Enforcement = "Disabled"
)

// ServiceSpec declares a service.
type ServiceSpec struct {
	// displayName is the name that customers know.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	DisplayName string `json:"displayName,omitempty"`
	// description says what the service does for its customers.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Description string `json:"description,omitempty"`
	// owner answers for the service.
	// +required
	Owner Contact `json:"owner"`
	// supportGroup handles its incidents.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	SupportGroup string `json:"supportGroup,omitempty"`
	// lifecycle is the service's place in the portfolio: Pipeline (planned; its failures open no Incidents), Live, or
	// Retired (nothing of it may run).
	// +optional
	// +kubebuilder:default=Live
	Lifecycle Lifecycle `json:"lifecycle,omitempty"`
	// tier is how much a failure harms the organisation: 1 seriously, 4 not at all.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4
	Tier int32 `json:"tier,omitempty"`
	// workloads are what the service runs on, in its own namespace.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Workloads []WorkloadClaim `json:"workloads,omitempty"`
	// dependsOn are the services that it needs.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	DependsOn []Dependency `json:"dependsOn,omitempty"`
	// changeControl says how changes of its workloads are gated. Omitted: as the ChangePolicy of the
	// namespace says, else Audit.
	// +optional
	ChangeControl *ChangeControl `json:"changeControl,omitempty"`
	// detection tunes how incidents are opened from its workloads.
	// +optional
	Detection *Detection `json:"detection,omitempty"`
	// goals are what the service is for and how that is measured.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Goals []Goal `json:"goals,omitempty"`
	// resources are the capacity that the service must be able to have.
	// +optional
	Resources *RequiredResources `json:"resources,omitempty"`
	// runbook is the URL of the instructions for whoever handles an incident.
	// +optional
	// +kubebuilder:validation:Pattern=`^https?://[^\s]+$`
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=1024
	Runbook string `json:"runbook,omitempty"`
}

// WorkloadClaim says that some workloads of the namespace belong to the service.
//
// +kubebuilder:validation:XValidation:rule="has(self.name) != has(self.selector)",message="set either name or selector"
// +kubebuilder:validation:XValidation:rule="!has(self.name) || has(self.kind)",message="a claim by name needs a kind"
type WorkloadClaim struct {
	// kind of the workloads; omitted: all of them.
	// +optional
	Kind WorkloadKind `json:"kind,omitempty"`
	// name of one workload.
	// +optional
	Name ObjectName `json:"name,omitempty"`
	// selector is matched against the labels of the workloads' pod templates.
	// +optional
	Selector *LabelSelector `json:"selector,omitempty"`
	// minimumReady is the share (rounded up) or count of ready pods below which the service is out. 0 exempts
	// the workload.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 100000 : self.matches('^(100|[1-9]?[0-9])%$')",message="minimumReady is a count from 0 to 100000 or a share from 0% to 100%"
	MinimumReady *intstr.IntOrString `json:"minimumReady,omitempty"`
	// scaleToZero says whether no replicas at all is a way to run it (Allowed) or an outage (Forbidden).
	// +optional
	// +kubebuilder:default=Forbidden
	ScaleToZero ScaleToZero `json:"scaleToZero,omitempty"`
}

// ScaleToZero says whether a workload may have no replicas.
//
// +kubebuilder:validation:Enum=Forbidden;Allowed
type ScaleToZero string

const (
	// ScaleToZeroForbidden makes zero replicas an outage.
	ScaleToZeroForbidden ScaleToZero = "Forbidden"
	// ScaleToZeroAllowed makes zero replicas a way to run.
	ScaleToZeroAllowed ScaleToZero = "Allowed"
)

// DependencyStrength says what a failed dependency does to the service.
//
// +kubebuilder:validation:Enum=Hard;Soft
type DependencyStrength string

const (
	// DependencyHard takes the service down with it.
	DependencyHard DependencyStrength = "Hard"
	// DependencySoft degrades the service.
	DependencySoft DependencyStrength = "Soft"
)

// Dependency is a service that this one needs.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minimum) || has(self.group)",message="minimum needs a group"
type Dependency struct {
	// name of the service.
	// +required
	Name ObjectName `json:"name"`
	// namespace of the service; omitted: this one.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
	// strength is Hard where the service is out without it, Soft where it is degraded.
	// +optional
	// +kubebuilder:default=Hard
	Strength DependencyStrength `json:"strength,omitempty"`
	// group joins dependencies that stand in for each other.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Group string `json:"group,omitempty"`
	// minimum is how many members of the group must work; default 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Minimum int32 `json:"minimum,omitempty"`
}

// ChangeControl says how a service's workloads are gated.
type ChangeControl struct {
	// enforcement says what becomes of what nobody agreed to: Enforce refuses it, Warn lets it in with a warning, Audit
	// records it, Disabled leaves it alone. A ChangePolicy in scope is the floor.
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
}

// Detection tunes how incidents are opened. Times in seconds.
type Detection struct {
	// ignore lists reasons for which no incident is opened.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=25
	Ignore []SignalReason `json:"ignore,omitempty"`
	// notReadySeconds is how long a running pod may be unready; default 300.
	// +optional
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=86400
	NotReadySeconds int32 `json:"notReadySeconds,omitempty"`
	// imagePullSeconds is how long an image may fail to be pulled; default 30.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	ImagePullSeconds int32 `json:"imagePullSeconds,omitempty"`
	// unschedulableSeconds is how long a pod may wait for a node; default 120.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	UnschedulableSeconds int32 `json:"unschedulableSeconds,omitempty"`
	// crashLoopRestarts is how many restarts within ten minutes are a crash loop; default 3.
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=100
	CrashLoopRestarts int32 `json:"crashLoopRestarts,omitempty"`
	// jobOverdueSeconds is how long a Job may run; omitted: without limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2592000
	JobOverdueSeconds int32 `json:"jobOverdueSeconds,omitempty"`
	// oomSeconds is how long a container may stay down after it ran out of memory; default 30.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	OOMSeconds int32 `json:"oomSeconds,omitempty"`
	// configSeconds is how long a container may fail to be created from its configuration; default 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	ConfigSeconds int32 `json:"configSeconds,omitempty"`
	// startSeconds is how long a created container may fail to start; default 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	StartSeconds int32 `json:"startSeconds,omitempty"`
	// sandboxSeconds is how long a pod may wait for its volumes and network; default 120.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	SandboxSeconds int32 `json:"sandboxSeconds,omitempty"`
	// slowLoopRestarts is how many restarts within a day are a slow crash loop; default 5.
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1000
	SlowLoopRestarts int32 `json:"slowLoopRestarts,omitempty"`
	// failedPods is how many pods must fail within two minutes; default 3.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	FailedPods int32 `json:"failedPods,omitempty"`
	// progressSeconds is how long a rollout may stand still where the workload sets no deadline of its own; default 600.
	// +optional
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=86400
	ProgressSeconds int32 `json:"progressSeconds,omitempty"`
	// replicasMissingSeconds is how long pods may be missing that nobody creates; default 60.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	ReplicasMissingSeconds int32 `json:"replicasMissingSeconds,omitempty"`
	// noReplicasSeconds is how long a workload may be scaled to zero that must not be; default 60.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	NoReplicasSeconds int32 `json:"noReplicasSeconds,omitempty"`
	// scheduleMissedSeconds is how late a CronJob may be; default 300.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	ScheduleMissedSeconds int32 `json:"scheduleMissedSeconds,omitempty"`
	// terminatingSeconds is how long a pod may stay beyond its grace period; default 300.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	TerminatingSeconds int32 `json:"terminatingSeconds,omitempty"`
	// captureLogs puts the last 20 lines of a failed container's log on its Incident. Logs may hold secrets: whoever
	// may read Incidents of the namespace reads them. The operator may read logs only where the ClusterRole
	// itil-operator-log-reader is bound for it.
	// +optional
	CaptureLogs bool `json:"captureLogs,omitempty"`
}

// Goal is what a service is for.
type Goal struct {
	// name of the goal.
	// +required
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// description of the goal.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Description string `json:"description"`
	// measure is how one sees whether it is met. The name of a ServiceLevelAgreement of the namespace makes its compliance
	// show in status.goals.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Measure string `json:"measure,omitempty"`
}

// RequiredResources is the capacity that a service must be able to have.
type RequiredResources struct {
	// cpu in cores, as Kubernetes writes it: "4", "500m".
	// +optional
	CPU Quantity `json:"cpu,omitempty"`
	// memory in bytes, as Kubernetes writes it: "8Gi".
	// +optional
	Memory Quantity `json:"memory,omitempty"`
}

// Health of a service.
//
// +kubebuilder:validation:Enum=Operational;Degraded;Outage;Maintenance;Unknown
type Health string

const (
	// HealthOperational: all is ready.
	HealthOperational Health = "Operational"
	// HealthDegraded: less than wished, enough to serve.
	HealthDegraded Health = "Degraded"
	// HealthOutage: less than enough to serve.
	HealthOutage Health = "Outage"
	// HealthMaintenance: out as declared and approved beforehand.
	HealthMaintenance Health = "Maintenance"
	// HealthUnknown: not observed, or nothing to observe.
	HealthUnknown Health = "Unknown"
)

// ServiceStatus is what the operator observed of a service.
type ServiceStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// health of the service.
	// +optional
	Health Health `json:"health,omitempty"`
	// healthSince is when it became so.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	HealthSince *metav1.Time `json:"healthSince,omitempty"`
	// governedSince is since when the gate is asked about what the present spec claims, as Governed says. What is made later,
	// and nobody let in, came in past it; what was there before is adopted. It stays while the gate's configuration is gone.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	GovernedSince *metav1.Time `json:"governedSince,omitempty"`
	// transitions are the latest changes of health, the oldest first; at most 20. The last one is the health that is
	// told. What service levels are computed from follows from them, also where several came at once.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Transitions []HealthTransition `json:"transitions,omitempty"`
	// ready is ready/desired pods over all workloads, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Ready string `json:"ready,omitempty"`
	// workloads that the service claims; at most 100 are shown.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Workloads []ServiceWorkload `json:"workloads,omitempty"`
	// workloadCount is how many it claims.
	// +optional
	WorkloadCount int32 `json:"workloadCount,omitempty"`
	// dependents are the services that depend on this one; at most 100 are shown.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Dependents []NamespacedReference `json:"dependents,omitempty"`
	// openIncidents is how many Incidents on the service are not resolved.
	// +optional
	OpenIncidents int32 `json:"openIncidents"`
	// openChanges is how many Changes of its workloads are not ended.
	// +optional
	OpenChanges int32 `json:"openChanges"`
	// goals that name a ServiceLevelAgreement of the namespace as their measure, with how it is kept.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Goals []GoalStatus `json:"goals,omitempty"`
	// delivery are DORA's figures of the Changes of its workloads over 90 days.
	// +optional
	Delivery *DeliveryFigures `json:"delivery,omitempty"`
	// nextStep says what to do, where somebody must.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are Healthy, CapacityMet, DependenciesHealthy, Governed, LifecycleKept.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ConditionLifecycleKept of a Service is False where it is Retired and something of it still runs. It is True where what
// runs is what its lifecycle allows.
const ConditionLifecycleKept = "LifecycleKept"

// HealthTransition is a change of health.
type HealthTransition struct {
	// health from then on.
	// +required
	Health Health `json:"health"`
	// at is when it changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
}

// GoalStatus is how a goal is met that an agreement measures.
type GoalStatus struct {
	// name of the goal.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// agreement that measures it.
	// +required
	Agreement ObjectName `json:"agreement"`
	// compliance with the agreement in its running period.
	// +optional
	Compliance Compliance `json:"compliance,omitempty"`
}

// ServiceWorkload is a workload that a service claims.
type ServiceWorkload struct {
	// kind of the workload.
	// +required
	Kind WorkloadKind `json:"kind"`
	// name of the workload.
	// +required
	Name ObjectName `json:"name"`
	// ready pods (of a CronJob or Job: 1 if its last run did not fail).
	// +required
	Ready int32 `json:"ready"`
	// desired pods.
	// +required
	Desired int32 `json:"desired"`
	// images of its containers, by container name.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	Images map[string]string `json:"images,omitempty"`
	// configurationItem is the name of its ConfigurationItem.
	// +optional
	ConfigurationItem ObjectName `json:"configurationItem,omitempty"`
}
