package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DeliveryFigures are DORA's figures of how software is delivered (https://dora.dev/guides/dora-metrics), of the
// deployments of a window of days. A deployment is a Change of which something went in.
type DeliveryFigures struct {
	// windowDays is how many days before now count.
	// +required
	WindowDays int32 `json:"windowDays"`
	// deployments in the window: the sample of all that follows.
	// +required
	Deployments int32 `json:"deployments"`
	// deploymentsPerWeek is the deployment frequency, to two decimals.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	DeploymentsPerWeek string `json:"deploymentsPerWeek,omitempty"`
	// leadTimeSeconds is the median time from the creation of a Change until all of it that went in was rolled out.
	// +optional
	LeadTimeSeconds *int64 `json:"leadTimeSeconds,omitempty"`
	// leadTimes is how many deployments it is the median of.
	// +required
	LeadTimes int32 `json:"leadTimes"`
	// failed deployments: they did not roll out, were rolled back, or were found Unsuccessful.
	// +required
	Failed int32 `json:"failed"`
	// changeFailurePercent is the share of deployments that failed, to one decimal; omitted without deployments.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	ChangeFailurePercent string `json:"changeFailurePercent,omitempty"`
	// recoverySeconds is the median time from a failed deployment until what it broke was restored.
	// +optional
	RecoverySeconds *int64 `json:"recoverySeconds,omitempty"`
	// recoveries is how many failed deployments it is the median of; others are not recovered from yet.
	// +required
	Recoveries int32 `json:"recoveries"`
	// rework is how many deployments were unplanned: Emergency Changes, and those that refer to an Incident.
	// +required
	Rework int32 `json:"rework"`
	// reworkPercent is their share, to one decimal; omitted without deployments.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	ReworkPercent string `json:"reworkPercent,omitempty"`
	// lastDeployedAt is when the last of them was rolled out, or went in.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	LastDeployedAt *metav1.Time `json:"lastDeployedAt,omitempty"`
	// incompleteBefore is set where deployments of the window are missing from the sample, or may be: as many Changes of a
	// workload are kept as may be (--changes-per-workload), and what went in before this time may be among those that
	// had to go.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	IncompleteBefore *metav1.Time `json:"incompleteBefore,omitempty"`
}

// DeliveryResult says how a deployment went.
//
// +kubebuilder:validation:Enum=Pending;Deployed;Failed
type DeliveryResult string

const (
	// DeliveryPending: it is not completely in yet.
	DeliveryPending DeliveryResult = "Pending"
	// DeliveryDeployed: it is in and did not fail.
	DeliveryDeployed DeliveryResult = "Deployed"
	// DeliveryFailed: it did not roll out, was rolled back, or was found Unsuccessful.
	DeliveryFailed DeliveryResult = "Failed"
)

// ReleaseDelivery are the figures of one Release, and those of its services.
type ReleaseDelivery struct {
	// result says how it went.
	// +required
	Result DeliveryResult `json:"result"`
	// leadTimeSeconds from the creation of its Change until all units were rolled out.
	// +optional
	LeadTimeSeconds *int64 `json:"leadTimeSeconds,omitempty"`
	// recoverySeconds from the failure until what it broke was restored.
	// +optional
	RecoverySeconds *int64 `json:"recoverySeconds,omitempty"`
	// services are the figures of its services; those of a Release that has ended are as they were then.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Services []ServiceDelivery `json:"services,omitempty"`
}

// ServiceDelivery are the figures of a service.
type ServiceDelivery struct {
	// name of the Service.
	// +required
	Name ObjectName `json:"name"`
	// figures of it.
	// +required
	Figures DeliveryFigures `json:"figures"`
}
