package v1alpha1

// Timestamp is an RFC 3339 time with a zone, for example "2026-11-23T08:00:00+01:00".
//
// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
// +kubebuilder:validation:Format=date-time
// +kubebuilder:validation:Pattern=`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=35
type Timestamp string

// Date is a calendar day, for example "2026-12-25".
//
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$')`,message="must be a day as YYYY-MM-DD, for example 2026-12-25"
// +kubebuilder:validation:Pattern=`^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=16
type Date string

// Duration is elapsed time in hours, minutes and seconds, for example "1h30m" or "45s".
//
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$')`,message="must be a time in hours, minutes and seconds, in this order, for example 72h, 1h30m or 45s"
// +kubebuilder:validation:Pattern=`^([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
type Duration string

// ServiceTime is a duration of agreed service time in hours and minutes, for example "4h" or "1h30m". Only
// the hours that the agreement's calendar calls service time count.
//
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([1-9][0-9]{0,3}h([0-9]{1,2}m)?|[1-9][0-9]{0,4}m)$')`,message="must be service time in hours and minutes, for example 4h, 1h30m or 45m"
// +kubebuilder:validation:Pattern=`^([1-9][0-9]{0,3}h([0-9]{1,2}m)?|[1-9][0-9]{0,4}m)$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=16
type ServiceTime string

// Percentage is a decimal number from 0 to 100 with at most four decimals, for example "99.95".
//
// +kubebuilder:validation:Pattern=`^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=16
type Percentage string

// Quantity is an amount of a resource as Kubernetes writes it, for example "4", "500m" or "8Gi".
//
// +kubebuilder:validation:Pattern=`^[0-9]{1,12}(\.[0-9]{1,3})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=20
type Quantity string

// TimeZone is the name of a zone in the IANA time zone database, for example "Europe/Berlin".
//
// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
type TimeZone string

// ObjectName is the name of a Kubernetes object.
//
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
type ObjectName string

// NamespaceName is the name of a namespace.
//
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
type NamespaceName string

// Image is a container image reference with a tag or a digest.
//
// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][a-zA-Z0-9._:/@+-]*$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
type Image string

// ContainerName is the name of a container in a pod template.
//
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
type ContainerName string

// TemplateHash identifies the meaning of a pod template: a version, a colon and a SHA-256 in hex. See
// internal/practice/configuration for what it covers.
//
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^v[0-9]{1,3}:[0-9a-f]{64}$')`,message="must be a whole template hash, v1: and 64 hex digits, as the status of the ConfigurationItem has it"
// +kubebuilder:validation:Pattern=`^v[0-9]{1,3}:[0-9a-f]{64}$`
// +kubebuilder:validation:MinLength=67
// +kubebuilder:validation:MaxLength=70
type TemplateHash string

// UserName is a user as the API server authenticated it.
//
// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
type UserName string

// GroupName is a group as the API server authenticated it.
//
// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type GroupName string

// WorkloadKind is a built-in kind with a pod template.
//
// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet;CronJob;Job
type WorkloadKind string

const (
	// WorkloadDeployment is apps/v1 Deployment.
	WorkloadDeployment WorkloadKind = "Deployment"
	// WorkloadStatefulSet is apps/v1 StatefulSet.
	WorkloadStatefulSet WorkloadKind = "StatefulSet"
	// WorkloadDaemonSet is apps/v1 DaemonSet.
	WorkloadDaemonSet WorkloadKind = "DaemonSet"
	// WorkloadCronJob is batch/v1 CronJob.
	WorkloadCronJob WorkloadKind = "CronJob"
	// WorkloadJob is batch/v1 Job.
	WorkloadJob WorkloadKind = "Job"
)

// WorkloadReference names a workload of the referring object's own namespace.
type WorkloadReference struct {
	// kind of the workload.
	// +required
	Kind WorkloadKind `json:"kind"`
	// name of the workload.
	// +required
	Name ObjectName `json:"name"`
}

// AnyWorkloadReference names anything that makes pods, in the referring object's own namespace unless its
// kind is Node. Incidents use it: what fails need not be a workload that a Service can claim.
type AnyWorkloadReference struct {
	// group is the API group of the kind; omitted: the group of the built-in kind of that name, or the core
	// group.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// kind of the object, for example Deployment, StatefulSet, DaemonSet, CronJob, Job, ReplicaSet, Pod or Node.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// name of the object.
	// +required
	Name ObjectName `json:"name"`
}

// LocalReference names an object of the referring object's own namespace.
type LocalReference struct {
	// name of the object.
	// +required
	Name ObjectName `json:"name"`
}

// NamespacedReference names an object of any namespace.
type NamespacedReference struct {
	// namespace of the object; omitted: the referring object's own.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
	// name of the object.
	// +required
	Name ObjectName `json:"name"`
}

// LabelSelector selects objects by their labels, as metav1.LabelSelector does, within bounds.
//
// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && self.matchExpressions.exists(e, e.operator in ['In', 'Exists']))",message="a selector needs at least one label it requires (matchLabels, or an In or Exists expression); one that matches everything is refused"
type LabelSelector struct {
	// matchLabels requires each of these labels to have this value.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && size(self[k]) <= 63)",message="label keys have at most 317 characters, values at most 63"
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`
	// matchExpressions requires each of these expressions to be true.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	MatchExpressions []LabelSelectorRequirement `json:"matchExpressions,omitempty"`
}

// LabelValue is the value of a label.
//
// +kubebuilder:validation:Pattern=`^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// LabelSelectorOperator relates a label's value to a set of values.
//
// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
type LabelSelectorOperator string

// LabelSelectorRequirement relates the value of one label to a set of values.
//
// +kubebuilder:validation:XValidation:rule="self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",message="operators In and NotIn need values; Exists and DoesNotExist take none"
type LabelSelectorRequirement struct {
	// key of the label.
	// +required
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key"`
	// operator is In, NotIn, Exists or DoesNotExist.
	// +required
	Operator LabelSelectorOperator `json:"operator"`
	// values for In and NotIn.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Values []LabelValue `json:"values,omitempty"`
}

// Window is a period of time, from start up to but not including end.
//
// +kubebuilder:validation:XValidation:rule="timestamp(self.start) < timestamp(self.end)",message="window.end must be after window.start"
type Window struct {
	// start of the window, in RFC 3339: 2026-11-23T08:00:00+01:00.
	// +required
	Start Timestamp `json:"start"`
	// end of the window, in RFC 3339.
	// +required
	End Timestamp `json:"end"`
}

// Contact says who answers for something.
type Contact struct {
	// team that owns it.
	// +required
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Team string `json:"team"`
	// contact is how to reach the team: a mail address, a chat channel or a URL.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Contact string `json:"contact,omitempty"`
}
