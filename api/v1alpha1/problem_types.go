package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Problem is the cause, or the potential cause, of one or more incidents.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=prb,categories=itil
// +kubebuilder:printcolumn:name="Rank",type=integer,JSONPath=`.status.rank`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.serviceRef.name`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner`
// +kubebuilder:printcolumn:name="Incidents",type=integer,JSONPath=`.status.incidents.total`
// +kubebuilder:printcolumn:name="Downtime",type=integer,JSONPath=`.status.incidents.downtimeSeconds`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Problem struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what people found out.
	// +required
	Spec ProblemSpec `json:"spec"`
	// status is what the operator computed.
	// +optional
	Status ProblemStatus `json:"status,omitempty,omitzero"`
}

// ProblemList is a list of Problems.
//
// +kubebuilder:object:root=true
type ProblemList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Problem `json:"items"`
}

// ProblemSpec is what people found out about a problem.
type ProblemSpec struct {
	// statement of the problem in one line.
	// +required
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Statement string `json:"statement"`
	// serviceRef is the service that suffers.
	// +optional
	ServiceRef *LocalReference `json:"serviceRef,omitempty"`
	// owner works on it.
	// +optional
	Owner UserName `json:"owner,omitempty"`
	// fingerprint says which incidents belong to it; set by the operator where it opened the problem.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Fingerprint string `json:"fingerprint,omitempty"`
	// confirmed says that it is a problem and worth an analysis.
	// +optional
	Confirmed bool `json:"confirmed,omitempty"`
	// rootCause as found.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	RootCause string `json:"rootCause,omitempty"`
	// workaround until it is fixed; shown on every incident of the fingerprint.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Workaround string `json:"workaround,omitempty"`
	// changeRefs are the Changes that will fix it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	ChangeRefs []LocalReference `json:"changeRefs,omitempty"`
	// decision ends it without, or after, a fix.
	// +optional
	Decision *ProblemDecision `json:"decision,omitempty"`
}

// DecisionType says how a problem ends.
//
// +kubebuilder:validation:Enum=RiskAccepted;Duplicate;FixApplied;NotReproducible
type DecisionType string

const (
	// DecisionRiskAccepted: it is known and will not be fixed until the review.
	DecisionRiskAccepted DecisionType = "RiskAccepted"
	// DecisionDuplicate: another Problem is about the same.
	DecisionDuplicate DecisionType = "Duplicate"
	// DecisionFixApplied: it was fixed outside a Change.
	DecisionFixApplied DecisionType = "FixApplied"
	// DecisionNotReproducible: nothing was found.
	DecisionNotReproducible DecisionType = "NotReproducible"
)

// ProblemDecision ends a problem.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'RiskAccepted' || (has(self.reason) && has(self.reviewBy))",message="decision RiskAccepted needs reason and reviewBy: why, and when it is looked at again"
// +kubebuilder:validation:XValidation:rule="self.type != 'Duplicate' || has(self.duplicateOf)",message="decision Duplicate needs duplicateOf: which Problem it duplicates"
type ProblemDecision struct {
	// type is RiskAccepted (it is known and not fixed until reviewBy), Duplicate (of duplicateOf), FixApplied (without a
	// Change) or NotReproducible.
	// +required
	Type DecisionType `json:"type"`
	// reason for the decision.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Reason string `json:"reason,omitempty"`
	// reviewBy is when an accepted risk is looked at again, in RFC 3339: 2027-01-31T00:00:00Z.
	// +optional
	ReviewBy Timestamp `json:"reviewBy,omitempty"`
	// duplicateOf is the Problem that this one duplicates; its incidents move there.
	// +optional
	DuplicateOf *LocalReference `json:"duplicateOf,omitempty"`
}

// ProblemState is where a problem is in its life.
//
// +kubebuilder:validation:Enum=New;Assess;RootCauseAnalysis;FixInProgress;Resolved;Closed
type ProblemState string

const (
	// ProblemNew: nobody owns it yet.
	ProblemNew ProblemState = "New"
	// ProblemAssess: its owner looks whether it is one.
	ProblemAssess ProblemState = "Assess"
	// ProblemRootCauseAnalysis: the cause is looked for.
	ProblemRootCauseAnalysis ProblemState = "RootCauseAnalysis"
	// ProblemFixInProgress: a Change will fix it.
	ProblemFixInProgress ProblemState = "FixInProgress"
	// ProblemResolved: the fix is in and nothing recurred.
	ProblemResolved ProblemState = "Resolved"
	// ProblemClosed: nothing will be added.
	ProblemClosed ProblemState = "Closed"
)

// ProblemStatus is what the operator computed of a problem.
type ProblemStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state of the problem.
	// +optional
	State ProblemState `json:"state,omitempty"`
	// incidents that belong to it.
	// +optional
	Incidents *ProblemIncidents `json:"incidents,omitempty"`
	// rank among the open problems of the namespace by downtime caused, then count, over 90 days; 1 is the worst.
	// 51 is all the rest: those behind the first 50, and those that are closed.
	// +optional
	Rank int32 `json:"rank,omitempty"`
	// changes that are to fix it: those of spec.changeRefs, and those whose spec.problemRef names it; at most 40. What
	// a Change came to stays here when the Change is deleted.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=40
	Changes []ProblemChange `json:"changes,omitempty"`
	// fix that was declared by decision FixApplied, and when that was seen.
	// +optional
	Fix *ProblemFix `json:"fix,omitempty"`
	// duplicateOf is the Problem to which its incidents moved: the last of a chain of duplicates.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	DuplicateOf string `json:"duplicateOf,omitempty"`
	// resolvedAt is when the fix was verified.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	ResolvedAt *metav1.Time `json:"resolvedAt,omitempty"`
	// closedAt is when the record was closed.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	ClosedAt *metav1.Time `json:"closedAt,omitempty"`
	// timeline of what happened, the oldest first; at most 50.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Timeline []TimelineEntry `json:"timeline,omitempty"`
	// nextStep says what a person should do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are Confirmed, KnownError, WorkaroundPublished, FixDeployed, Recurring, ReviewOverdue.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ProblemChangeState says what became of a Change against a problem.
//
// +kubebuilder:validation:Enum=Open;Succeeded;Failed;Missing
type ProblemChangeState string

const (
	// ProblemChangeOpen: it has not ended.
	ProblemChangeOpen ProblemChangeState = "Open"
	// ProblemChangeSucceeded: it was closed Successful or SuccessfulWithIssues.
	ProblemChangeSucceeded ProblemChangeState = "Succeeded"
	// ProblemChangeFailed: it ended otherwise.
	ProblemChangeFailed ProblemChangeState = "Failed"
	// ProblemChangeMissing: there is no such Change.
	ProblemChangeMissing ProblemChangeState = "Missing"
)

// ProblemChange is a Change against a problem.
type ProblemChange struct {
	// name of the Change.
	// +required
	Name ObjectName `json:"name"`
	// state of it.
	// +required
	State ProblemChangeState `json:"state"`
	// endedAt is when it ended.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	EndedAt *metav1.Time `json:"endedAt,omitempty"`
}

// ProblemFix is a fix outside a Change.
type ProblemFix struct {
	// at which time it was first seen to be declared.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
	// reason that was declared with it; another reason is another fix.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Reason string `json:"reason,omitempty"`
}

// ConditionReviewOverdue is True when an accepted risk was not reviewed by spec.decision.reviewBy; reasons Overdue,
// NotDue, NoRiskAccepted. Polarity: True is wrong.
const ConditionReviewOverdue = "ReviewOverdue"

// ProblemIncidents are the incidents of a problem.
type ProblemIncidents struct {
	// total of failures: the incidents that are kept, and how often they were opened again.
	// +required
	Total int32 `json:"total"`
	// open now.
	// +required
	Open int32 `json:"open"`
	// last30Days is how many began in the last 30 days.
	// +required
	Last30Days int32 `json:"last30Days"`
	// downtimeSeconds that they caused: of those that are over and had impact High, each second once.
	// +required
	DowntimeSeconds int64 `json:"downtimeSeconds"`
	// rankDowntimeSeconds that they caused in the last 90 days, by which problems are ranked.
	// +required
	RankDowntimeSeconds int64 `json:"rankDowntimeSeconds"`
	// rankFailures in the last 90 days, by which problems of equal downtime are ranked.
	// +required
	RankFailures int32 `json:"rankFailures"`
	// first began.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	First *metav1.Time `json:"first,omitempty"`
	// last began.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	Last *metav1.Time `json:"last,omitempty"`
	// names of the last 10.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`
}
