package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Change is a request to alter workloads: which exact pod templates may go in, and who agreed to that.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=chg,categories=itil
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Risk",type=string,JSONPath=`.status.risk.level`
// +kubebuilder:printcolumn:name="Approvals",type=string,JSONPath=`.status.approvals.summary`
// +kubebuilder:printcolumn:name="Window-Start",type=string,JSONPath=`.status.window.start`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.outcome`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Summary",type=string,JSONPath=`.spec.summary`
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.implementations) || size(oldSelf.status.implementations) == 0 || (self.spec.type == oldSelf.spec.type && self.spec.summary == oldSelf.spec.summary && self.spec.targets == oldSelf.spec.targets && has(self.spec.justification) == has(oldSelf.spec.justification) && (!has(self.spec.justification) || self.spec.justification == oldSelf.spec.justification) && has(self.spec.window) == has(oldSelf.spec.window) && (!has(self.spec.window) || self.spec.window == oldSelf.spec.window) && (has(self.spec.backout) && has(self.spec.backout.plan) ? self.spec.backout.plan : \"\") == (has(oldSelf.spec.backout) && has(oldSelf.spec.backout.plan) ? oldSelf.spec.backout.plan : \"\") && (has(self.spec.backout) && has(self.spec.backout.automatic) ? self.spec.backout.automatic : false) == (has(oldSelf.spec.backout) && has(oldSelf.spec.backout.automatic) ? oldSelf.spec.backout.automatic : false) && (has(self.spec.backout) && has(self.spec.backout.progressDeadlineSeconds) ? self.spec.backout.progressDeadlineSeconds : 0) == (has(oldSelf.spec.backout) && has(oldSelf.spec.backout.progressDeadlineSeconds) ? oldSelf.spec.backout.progressDeadlineSeconds : 0) && (has(self.spec.expectedDowntimeSeconds) ? self.spec.expectedDowntimeSeconds : 0) == (has(oldSelf.spec.expectedDowntimeSeconds) ? oldSelf.spec.expectedDowntimeSeconds : 0) && has(self.spec.questionnaire) == has(oldSelf.spec.questionnaire) && (!has(self.spec.questionnaire) || self.spec.questionnaire == oldSelf.spec.questionnaire) && has(self.spec.standardChange) == has(oldSelf.spec.standardChange) && (!has(self.spec.standardChange) || self.spec.standardChange == oldSelf.spec.standardChange) && has(self.spec.incidentRef) == has(oldSelf.spec.incidentRef) && (!has(self.spec.incidentRef) || self.spec.incidentRef == oldSelf.spec.incidentRef) && has(self.spec.problemRef) == has(oldSelf.spec.problemRef) && (!has(self.spec.problemRef) || self.spec.problemRef == oldSelf.spec.problemRef))",message="this Change is being implemented: only cancel and review can still be set; file another Change"
type Change struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is asked for.
	// +required
	Spec ChangeSpec `json:"spec"`
	// status is what became of it.
	// +optional
	Status ChangeStatus `json:"status,omitempty,omitzero"`
}

// ChangeList is a list of Changes.
//
// +kubebuilder:object:root=true
type ChangeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Change `json:"items"`
}

// ChangeType is the way a change is authorised.
//
// +kubebuilder:validation:Enum=Standard;Normal;Emergency
type ChangeType string

const (
	// ChangeStandard is pre-authorised by policy.
	ChangeStandard ChangeType = "Standard"
	// ChangeNormal is assessed and authorised one by one.
	ChangeNormal ChangeType = "Normal"
	// ChangeEmergency must go in at once and is reviewed afterwards.
	ChangeEmergency ChangeType = "Emergency"
)

// ChangeSpec is what is asked for.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'Emergency' || has(self.incidentRef) || has(self.recordOf)",message="an Emergency change needs incidentRef: the Incident that it is to end"
// +kubebuilder:validation:XValidation:rule="!has(self.recordOf) || self.type == 'Emergency'",message="recordOf is for Emergency changes: what went in without a Change is reviewed as one"
// +kubebuilder:validation:XValidation:rule="has(self.recordOf) == has(oldSelf.recordOf) && (!has(self.recordOf) || self.recordOf == oldSelf.recordOf)",message="recordOf cannot be changed"
// +kubebuilder:validation:XValidation:rule="self.type != 'Standard' || has(self.standardChange)",message="a Standard change needs standardChange: the pre-authorised change of the ChangePolicy that it claims to be"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",message="a canceled Change stays canceled: file another one"
type ChangeSpec struct {
	// type is Standard (pre-authorised by a ChangePolicy), Normal (voted on one by one) or Emergency (to end an
	// Incident; neither change windows nor, by default, freezes hold it up, and it is reviewed afterwards).
	// +optional
	// +kubebuilder:default=Normal
	Type ChangeType `json:"type,omitempty"`
	// summary in one line.
	// +required
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.matches(r'[\\x{80}-\\x{9f}\\x{61c}\\x{200b}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2060}-\\x{2069}\\x{feff}]')",message="summary has characters that cannot be seen or turn the direction of writing"
	Summary string `json:"summary"`
	// justification says why it is needed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="!self.matches(r'[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x{9f}\\x{61c}\\x{200b}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2060}-\\x{2069}\\x{feff}]')",message="justification has characters that cannot be seen or turn the direction of writing"
	Justification string `json:"justification,omitempty"`
	// requester is the authenticated user who asks for it; stamped by the API server where it can, and
	// unchangeable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="requester cannot be changed"
	Requester UserName `json:"requester"`
	// targets say what may change, and to what.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:XValidation:rule="self.all(t, self.exists_one(u, u.workload.kind == t.workload.kind && u.workload.name == t.workload.name))",message="each workload may be a target once"
	Targets []ChangeTarget `json:"targets"`
	// window in which it may go in; omitted: the first 24 open hours after approval.
	// +optional
	Window *Window `json:"window,omitempty"`
	// backout says how it is undone.
	// +optional
	Backout *Backout `json:"backout,omitempty"`
	// expectedDowntimeSeconds is the planned downtime declared before approval; at most so much is excused.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	ExpectedDowntimeSeconds int32 `json:"expectedDowntimeSeconds,omitempty"`
	// questionnaire answers can only raise the risk.
	// +optional
	Questionnaire *Questionnaire `json:"questionnaire,omitempty"`
	// standardChange is the pre-authorised change of a ChangePolicy that a Standard change claims to be.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	StandardChange string `json:"standardChange,omitempty"`
	// incidentRef is the Incident that it is to end; an Emergency change needs one.
	// +optional
	IncidentRef *LocalReference `json:"incidentRef,omitempty"`
	// problemRef is the Problem that it is to fix.
	// +optional
	ProblemRef *LocalReference `json:"problemRef,omitempty"`
	// recordOf says that it asks for nothing, but records what went in without a Change, for its review. Set by the
	// operator.
	// +optional
	RecordOf RecordOf `json:"recordOf,omitempty"`
	// cancel withdraws it, for good.
	// +optional
	Cancel bool `json:"cancel,omitempty"`
	// review is the post-implementation review.
	// +optional
	Review *Review `json:"review,omitempty"`
}

// RecordOf is how something went in without a Change.
//
// +kubebuilder:validation:Enum=BreakGlass;Unauthorized
type RecordOf string

const (
	// RecordOfBreakGlass: it was forced in by someone who may.
	RecordOfBreakGlass RecordOf = "BreakGlass"
	// RecordOfUnauthorized: it came in past the gate.
	RecordOfUnauthorized RecordOf = "Unauthorized"
)

// Operation is what a change does to a workload.
//
// +kubebuilder:validation:Enum=Create;Template;Delete
type Operation string

const (
	// OperationCreate makes the workload.
	OperationCreate Operation = "Create"
	// OperationTemplate alters its pod template, or releases a held one.
	OperationTemplate Operation = "Template"
	// OperationDelete removes it.
	OperationDelete Operation = "Delete"
)

// ChangeTarget says what may change in one workload, and to what.
//
// +kubebuilder:validation:XValidation:rule="(has(self.images) && size(self.images) > 0) || has(self.templateHash) || self.operations == ['Delete']",message="a target that creates or alters a template needs images or templateHash: exactly what may go in"
type ChangeTarget struct {
	// workload of the Change's namespace.
	// +required
	Workload WorkloadReference `json:"workload"`
	// operations that are asked for: Create the workload, alter its Template (or let go a held one), Delete it; default
	// Template.
	// +optional
	// +listType=set
	// +kubebuilder:default={Template}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	Operations []Operation `json:"operations,omitempty"`
	// images is the exact image of each named container, by the container's name. It covers a template that is the
	// current baseline but for these images.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=50
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 63 && k.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",message="the keys of images are names of containers: lower-case letters, digits and dashes, at most 63"
	Images map[string]Image `json:"images,omitempty"`
	// templateHash is exactly this template; needed for anything but images.
	// +optional
	TemplateHash TemplateHash `json:"templateHash,omitempty"`
}

// Backout says how a change is undone.
type Backout struct {
	// plan in words.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Plan string `json:"plan,omitempty"`
	// automatic lets the operator restore the last proven template, once, when the change fails.
	// +optional
	Automatic bool `json:"automatic,omitempty"`
	// progressDeadlineSeconds is within how many seconds the rollout of a StatefulSet or DaemonSet must make progress, or
	// it has failed; omitted: 600. A Deployment has its own.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=86400
	ProgressDeadlineSeconds int32 `json:"progressDeadlineSeconds,omitempty"`
}

// Answer to a question of the questionnaire.
//
// +kubebuilder:validation:Enum=Confirmed;NotConfirmed
type Answer string

const (
	// AnswerConfirmed: it is so.
	AnswerConfirmed Answer = "Confirmed"
	// AnswerNotConfirmed: it is not, or nobody knows.
	AnswerNotConfirmed Answer = "NotConfirmed"
)

// Questionnaire is what the requester says of a change. Answers can only raise its risk.
type Questionnaire struct {
	// tested outside production; NotConfirmed raises the risk.
	// +optional
	Tested Answer `json:"tested,omitempty"`
	// reversible without loss of data; NotConfirmed raises the risk.
	// +optional
	Reversible Answer `json:"reversible,omitempty"`
	// customerVisible says whether customers will notice; Confirmed raises the risk.
	// +optional
	CustomerVisible Answer `json:"customerVisible,omitempty"`
}

// Outcome of a change.
//
// +kubebuilder:validation:Enum=Successful;SuccessfulWithIssues;Unsuccessful;RolledBack;Partial;NotImplemented;Inconclusive
type Outcome string

const (
	// OutcomeSuccessful: all went in and nothing was seen to break.
	OutcomeSuccessful Outcome = "Successful"
	// OutcomeSuccessfulWithIssues: it is in, with lesser trouble.
	OutcomeSuccessfulWithIssues Outcome = "SuccessfulWithIssues"
	// OutcomeUnsuccessful: it did not roll out, or broke something.
	OutcomeUnsuccessful Outcome = "Unsuccessful"
	// OutcomeRolledBack: it was undone.
	OutcomeRolledBack Outcome = "RolledBack"
	// OutcomePartial: some of its targets went in before its window ended.
	OutcomePartial Outcome = "Partial"
	// OutcomeNotImplemented: none did.
	OutcomeNotImplemented Outcome = "NotImplemented"
	// OutcomeInconclusive: nothing could be observed.
	OutcomeInconclusive Outcome = "Inconclusive"
)

// Review is a post-implementation review.
type Review struct {
	// outcome as the reviewers see it.
	// +required
	Outcome Outcome `json:"outcome"`
	// notes for the next time.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Notes string `json:"notes,omitempty"`
}

// ChangeState is where a change is in its life.
//
// +kubebuilder:validation:Enum=Assess;Authorize;Scheduled;Implement;Review;Closed;Rejected;Canceled
type ChangeState string

const (
	// ChangeAssess: risk, conflicts and votes needed are not computed yet.
	ChangeAssess ChangeState = "Assess"
	// ChangeAuthorize: votes are awaited.
	ChangeAuthorize ChangeState = "Authorize"
	// ChangeScheduled: it is approved and waits for its window.
	ChangeScheduled ChangeState = "Scheduled"
	// ChangeImplement: the gate is open for it.
	ChangeImplement ChangeState = "Implement"
	// ChangeReview: a post-implementation review is awaited.
	ChangeReview ChangeState = "Review"
	// ChangeClosed: it has ended.
	ChangeClosed ChangeState = "Closed"
	// ChangeRejected: an approver said no.
	ChangeRejected ChangeState = "Rejected"
	// ChangeCanceled: it was withdrawn.
	ChangeCanceled ChangeState = "Canceled"
)

// RiskLevel of a change: below 26 points Low, below 51 Medium, else High.
//
// +kubebuilder:validation:Enum=Low;Medium;High
type RiskLevel string

const (
	// RiskLow: below 26 points.
	RiskLow RiskLevel = "Low"
	// RiskMedium: from 26 points.
	RiskMedium RiskLevel = "Medium"
	// RiskHigh: from 51 points.
	RiskHigh RiskLevel = "High"
)

// ChangeStatus is what became of a change.
type ChangeStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state of the change.
	// +optional
	State ChangeState `json:"state,omitempty"`
	// digest of all in spec that an approval is about; an edit makes a new one.
	// +optional
	// +kubebuilder:validation:MaxLength=70
	Digest string `json:"digest,omitempty"`
	// risk with its reasons.
	// +optional
	Risk *Risk `json:"risk,omitempty"`
	// diff against the baseline; at most 30. Values of env and args are hidden.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=30
	Diff []FieldDiff `json:"diff,omitempty"`
	// approvals needed and given.
	// +optional
	Approvals *Approvals `json:"approvals,omitempty"`
	// rejectedDigests are digests that an eligible approver rejected; they stay rejected though the
	// ChangeApproval is deleted. The last 10.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	RejectedDigests []RejectedDigest `json:"rejectedDigests,omitempty"`
	// approvedAt is when the last needed vote was cast, or when it was found to need none.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	ApprovedAt *metav1.Time `json:"approvedAt,omitempty"`
	// firstApprovedAt is when votes were granted for the first time, to whichever version of it: what it waited for
	// them is counted once.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	FirstApprovedAt *metav1.Time `json:"firstApprovedAt,omitempty"`
	// conflicts with other changes; at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Conflicts []Conflict `json:"conflicts,omitempty"`
	// window is the effective one.
	// +optional
	Window *EffectiveWindow `json:"window,omitempty"`
	// implementations are the templates of this change that went in.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Implementations []Implementation `json:"implementations,omitempty"`
	// causedIncidents are the Incidents that suspect it; at most 50.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	CausedIncidents []NamespacedReference `json:"causedIncidents,omitempty"`
	// backout is how the operator undoes it. From its startedAt on the change covers nothing any more.
	// +optional
	Backout *ChangeBackout `json:"backout,omitempty"`
	// outcome of a change that has ended.
	// +optional
	Outcome Outcome `json:"outcome,omitempty"`
	// reviewDueAt is when its post-implementation review is due, where one is owed; a string, since it lies in the
	// future at first.
	// +optional
	ReviewDueAt Timestamp `json:"reviewDueAt,omitempty"`
	// closedAt is when it ended.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	ClosedAt *metav1.Time `json:"closedAt,omitempty"`
	// nextStep says what a person should do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are RiskAssessed, Approved, ConflictFree, Frozen, GateOpen, Implemented, Reviewed; where they apply
	// BackoutPossible, RolledBack and ReviewOverdue.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Risk of a change.
type Risk struct {
	// level by score.
	// +required
	Level RiskLevel `json:"level"`
	// score is the sum of the factors' points, from 0 to 100.
	// +required
	Score int32 `json:"score"`
	// factors that make it up.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=30
	Factors []RiskFactor `json:"factors,omitempty"`
}

// RiskFactor is one reason for a change's risk.
type RiskFactor struct {
	// name of the factor.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// points that it adds.
	// +required
	Points int32 `json:"points"`
	// why is the reason, in words.
	// +required
	// +kubebuilder:validation:MaxLength=256
	Why string `json:"why"`
}

// FieldDiff is a difference between the baseline and what is asked for.
type FieldDiff struct {
	// path of the field, beginning with the workload.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path"`
	// from what; empty where it is new.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	From string `json:"from,omitempty"`
	// to what; empty where it goes away.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	To string `json:"to,omitempty"`
}

// Approvals are the votes on a change.
type Approvals struct {
	// required votes.
	// +required
	Required int32 `json:"required"`
	// granted votes that count.
	// +required
	Granted int32 `json:"granted"`
	// summary is granted/required, for people.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Summary string `json:"summary"`
	// from which groups they must come; empty: from any holder of the verb approve.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=256
	From []string `json:"from,omitempty"`
	// demands are the votes from groups that the policies asked for when this version was assessed. A policy that asks for
	// less by now does not take them away. At most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Demands []GroupDemand `json:"demands,omitempty"`
	// votes cast, with why one does not count.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Votes []Vote `json:"votes,omitempty"`
}

// GroupDemand is how many votes must come from some groups.
type GroupDemand struct {
	// required votes.
	// +required
	Required int32 `json:"required"`
	// groups of which each of them must be from one.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Groups []string `json:"groups"`
}

// Vote is one ChangeApproval as it counts.
type Vote struct {
	// approver who cast it.
	// +required
	Approver UserName `json:"approver"`
	// group that the approver voted for.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Group string `json:"group,omitempty"`
	// decision is Approve or Reject.
	// +required
	Decision Decision `json:"decision"`
	// digest that was voted on.
	// +required
	// +kubebuilder:validation:MaxLength=70
	Digest string `json:"digest"`
	// at which time.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
	// ignored says why the vote does not count; empty where it does.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Ignored string `json:"ignored,omitempty"`
}

// RejectedDigest is a version of a change that was rejected.
type RejectedDigest struct {
	// digest that was rejected.
	// +required
	// +kubebuilder:validation:MaxLength=70
	Digest string `json:"digest"`
	// by whom.
	// +required
	By UserName `json:"by"`
	// at which time.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
	// comment of the approver.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Comment string `json:"comment,omitempty"`
}

// Conflict is another change that stands in the way, or should be known of.
type Conflict struct {
	// with which Change.
	// +required
	With NamespacedReference `json:"with"`
	// why is the reason, in words.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Why string `json:"why"`
	// blocking conflicts keep the gate closed.
	// +required
	Blocking bool `json:"blocking"`
}

// EffectiveWindow is when a change may go in. Strings, since it often lies in the future.
type EffectiveWindow struct {
	// start of the window.
	// +required
	Start Timestamp `json:"start"`
	// end of the window.
	// +required
	End Timestamp `json:"end"`
}

// RolloutState says how far a template is rolled out.
//
// +kubebuilder:validation:Enum=InProgress;Complete;Failed;RolledBack
type RolloutState string

const (
	// RolloutInProgress: not all pods run it yet.
	RolloutInProgress RolloutState = "InProgress"
	// RolloutComplete: all pods run it and are ready.
	RolloutComplete RolloutState = "Complete"
	// RolloutFailed: it makes no progress.
	RolloutFailed RolloutState = "Failed"
	// RolloutRolledBack: an earlier template came back.
	RolloutRolledBack RolloutState = "RolledBack"
)

// Implementation is a template of a change that went in.
type Implementation struct {
	// workload that it went into.
	// +required
	Workload WorkloadReference `json:"workload"`
	// operation that was done.
	// +required
	Operation Operation `json:"operation"`
	// templateHash that went in.
	// +optional
	// +kubebuilder:validation:MaxLength=70
	TemplateHash string `json:"templateHash,omitempty"`
	// by whom, as the API server authenticated; empty where it was not recorded.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by,omitempty"`
	// at which time.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
	// rollout says how far it is.
	// +required
	Rollout RolloutState `json:"rollout"`
	// rolledOutAt is since when it is Complete, Failed or RolledBack.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	RolledOutAt *metav1.Time `json:"rolledOutAt,omitempty"`
	// progress of the rollout, where the workload's own status does not tell since when it makes none.
	// +optional
	Progress *RolloutProgress `json:"progress,omitempty"`
}

// RolloutProgress is how far the rollout of a StatefulSet or DaemonSet has come, and since when it has not come further.
type RolloutProgress struct {
	// updated pods.
	// +required
	// +kubebuilder:validation:Minimum=0
	Updated int32 `json:"updated"`
	// ready pods, at most, while so many were updated.
	// +required
	// +kubebuilder:validation:Minimum=0
	Ready int32 `json:"ready"`
	// at is when it came so far, to the minute: what follows within a minute is recorded at its end.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	At metav1.Time `json:"at"`
}

// ChangeBackoutReason says why the operator undoes a change.
//
// +kubebuilder:validation:Enum=RolloutFailed;IncidentSuspected
type ChangeBackoutReason string

const (
	// ChangeBackoutRolloutFailed: what went in makes no progress.
	ChangeBackoutRolloutFailed ChangeBackoutReason = "RolloutFailed"
	// ChangeBackoutIncidentSuspected: an open Incident of priority P1 or P2 suspects it with confidence High.
	ChangeBackoutIncidentSuspected ChangeBackoutReason = "IncidentSuspected"
)

// ChangeBackout is the undoing of a change by the operator, once.
type ChangeBackout struct {
	// startedAt is since when it covers nothing any more; nothing is written back before everybody can know that.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	StartedAt metav1.Time `json:"startedAt"`
	// reason is RolloutFailed or IncidentSuspected.
	// +required
	Reason ChangeBackoutReason `json:"reason"`
	// why in words.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Why string `json:"why"`
	// targets that went in, the last of them first: that is the order in which they go back.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Targets []ChangeBackoutTarget `json:"targets,omitempty"`
}

// ChangeBackoutState says how far the backout of one workload is.
//
// +kubebuilder:validation:Enum=Pending;Restored;Verified;NotPossible;Superseded;Failed
type ChangeBackoutState string

const (
	// ChangeBackoutPending: it is to be restored.
	ChangeBackoutPending ChangeBackoutState = "Pending"
	// ChangeBackoutRestored: its earlier template is in.
	ChangeBackoutRestored ChangeBackoutState = "Restored"
	// ChangeBackoutVerified: it is completely rolled out and ready again.
	ChangeBackoutVerified ChangeBackoutState = "Verified"
	// ChangeBackoutNotPossible: there is no earlier template that could come back.
	ChangeBackoutNotPossible ChangeBackoutState = "NotPossible"
	// ChangeBackoutSuperseded: somebody else put in another template, or deleted it.
	ChangeBackoutSuperseded ChangeBackoutState = "Superseded"
	// ChangeBackoutFailed: the API server refused it, or it did not become ready again.
	ChangeBackoutFailed ChangeBackoutState = "Failed"
)

// ChangeBackoutTarget is the backout of one workload.
type ChangeBackoutTarget struct {
	// workload that goes back.
	// +required
	Workload WorkloadReference `json:"workload"`
	// from is the hash of the template that is undone.
	// +required
	// +kubebuilder:validation:MaxLength=70
	From string `json:"from"`
	// to is the hash of the proven template that comes back; empty where there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=70
	To string `json:"to,omitempty"`
	// state of it.
	// +required
	State ChangeBackoutState `json:"state"`
	// since when it is in that state.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	Since metav1.Time `json:"since"`
	// why it is not possible, or failed.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Why string `json:"why,omitempty"`
}
