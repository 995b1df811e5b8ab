package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ChangeApproval is one approver's vote on one version of a Change. It cannot be changed; a new vote is a
// new object (generateName). Creating one needs the verb "approve" on the Change, which the API server
// checks.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=chga,categories=itil
// +kubebuilder:printcolumn:name="Change",type=string,JSONPath=`.spec.changeRef.name`
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.spec.decision`
// +kubebuilder:printcolumn:name="Approver",type=string,JSONPath=`.spec.approver`
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.group`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ChangeApproval struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the vote.
	// +required
	Spec ChangeApprovalSpec `json:"spec"`
	// status says whether it counts.
	// +optional
	Status ChangeApprovalStatus `json:"status,omitempty,omitzero"`
}

// ChangeApprovalList is a list of ChangeApprovals.
//
// +kubebuilder:object:root=true
type ChangeApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ChangeApproval `json:"items"`
}

// Decision of an approver.
//
// +kubebuilder:validation:Enum=Approve;Reject
type Decision string

const (
	// DecisionApprove agrees.
	DecisionApprove Decision = "Approve"
	// DecisionReject refuses; one is enough.
	DecisionReject Decision = "Reject"
)

// ChangeApprovalSpec is a vote.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a vote cannot be changed: create another ChangeApproval"
type ChangeApprovalSpec struct {
	// changeRef is the Change that is voted on.
	// +required
	ChangeRef LocalReference `json:"changeRef"`
	// digest is the Change's status.digest that was read; a stale one does not count.
	// +required
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^v[0-9]{1,3}:[0-9a-f]{64}$')`,message="must be a whole digest, v1: and 64 hex digits, as status.digest of the Change has it"
	// +kubebuilder:validation:Pattern=`^v[0-9]{1,3}:[0-9a-f]{64}$`
	// +kubebuilder:validation:MinLength=67
	// +kubebuilder:validation:MaxLength=70
	Digest string `json:"digest"`
	// decision is Approve or Reject.
	// +required
	Decision Decision `json:"decision"`
	// approver must be the authenticated user; stamped where the cluster can.
	// +required
	Approver UserName `json:"approver"`
	// group is one of the approver's groups, where the policy asks for a group.
	// +optional
	Group GroupName `json:"group,omitempty"`
	// comment for the record.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Comment string `json:"comment,omitempty"`
}

// VoteState says whether a vote counts.
//
// +kubebuilder:validation:Enum=Counted;Void;Superseded
type VoteState string

const (
	// VoteCounted: it counts.
	VoteCounted VoteState = "Counted"
	// VoteVoid: it does not, as the condition says.
	VoteVoid VoteState = "Void"
	// VoteSuperseded: its approver voted again.
	VoteSuperseded VoteState = "Superseded"
)

// ChangeApprovalStatus says whether a vote counts.
type ChangeApprovalStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state is Counted, Void or Superseded.
	// +optional
	State VoteState `json:"state,omitempty"`
	// nextStep says what a person should do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are Counted.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
