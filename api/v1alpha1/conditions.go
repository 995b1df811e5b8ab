package v1alpha1

// Conditions of a Service. Polarity: True is well.
const (
	// ConditionHealthy is True while the service is Operational; reasons are the healths, and NoWorkloads.
	ConditionHealthy = "Healthy"
	// ConditionCapacityMet is True while spec.resources can be had; reasons Sufficient, Shortfall, NotDeclared.
	ConditionCapacityMet = "CapacityMet"
	// ConditionDependenciesHealthy is True while no dependency is out or unknown; reasons AllHealthy,
	// DependencyDown, DependencyNotFound, NoDependencies; Cycle is added to the message.
	ConditionDependenciesHealthy = "DependenciesHealthy"
	// ConditionGoverned is True while the gate's webhook lists the namespace in the mode that applies; reasons
	// Enforced, Warned, Audited, Disabled, WebhookPending.
	ConditionGoverned = "Governed"
)

// Conditions of a ServiceLevelAgreement.
const (
	// ConditionMet is True while what was promised is kept; reasons Kept, TargetMissed, IncidentTimesMissed, NoData.
	ConditionMet = "Met"
	// ConditionAtRisk is True when it will not be kept if things go on so; reasons NotAtRisk, BudgetExhausted,
	// PresentRate, IncidentDueSoon, Breached, NoData. Polarity: True is bad.
	ConditionAtRisk = "AtRisk"
	// ConditionDataAvailable is True while the service's health is known and counted; reasons Observed, HealthUnknown,
	// ServiceNotFound, NotStarted, Invalid.
	ConditionDataAvailable = "DataAvailable"
	// ConditionBudgetExhausted is True when no error budget of the current period is left. Polarity: True is bad.
	ConditionBudgetExhausted = "BudgetExhausted"
)

// Conditions of an Incident.
const (
	// ConditionAcknowledged is True when a person took notice.
	ConditionAcknowledged = "Acknowledged"
	// ConditionPaused is True while the resolution clock stands still.
	ConditionPaused = "Paused"
	// ConditionResponseBreached is True when nobody took notice in time. Polarity: True is bad.
	ConditionResponseBreached = "ResponseBreached"
	// ConditionResolutionBreached is True when it was not resolved in time. Polarity: True is bad.
	ConditionResolutionBreached = "ResolutionBreached"
	// ConditionMajor is True for a major incident, or one that should be made one (reason Proposed).
	ConditionMajor = "Major"
	// ConditionRecovered is True when all signals are clear; reasons Recovered, HoldDown, SignalsActive, NoSignals,
	// Disputed.
	ConditionRecovered = "Recovered"
	// ConditionExplained is True while another Incident explains this one, which the message names; it is not there
	// otherwise. Polarity: neither.
	ConditionExplained = "Explained"
	// ConditionCapReached is True on the summary of what opens no Incident of its own while there is any. Polarity:
	// True is bad.
	ConditionCapReached = "CapReached"
)

// Conditions of a Change. Polarity: True is well, but for Frozen.
const (
	// ConditionRiskAssessed is True when the risk is computed; reasons Assessed, Pending.
	ConditionRiskAssessed = "RiskAssessed"
	// ConditionApproved is True when the votes needed are granted for the present digest; reasons Granted,
	// NotRequired, VotesMissing, Rejected, VotesVoided.
	ConditionApproved = "Approved"
	// ConditionConflictFree is True when nothing blocks it; reasons NoConflict, Conflict.
	ConditionConflictFree = "ConflictFree"
	// ConditionFrozen is True while a freeze is on. Polarity: True is bad.
	ConditionFrozen = "Frozen"
	// ConditionGateOpen is True while the gate lets its templates in; reasons Open, or what keeps it closed.
	ConditionGateOpen = "GateOpen"
	// ConditionImplemented is True when all targets are rolled out; reasons Complete, InProgress, NotStarted, Failed.
	ConditionImplemented = "Implemented"
	// ConditionReviewed is True when the review is written or none is needed; reasons Written, NotRequired, Awaited.
	ConditionReviewed = "Reviewed"
	// A Change that owes a review has ConditionReviewOverdue, which is True when that was due before now; reasons
	// Overdue, InTime. It refuses nothing.
	// A Change with backout.automatic has ConditionBackoutPossible, with the reasons of a Release and ManagedByGitOps,
	// NoRevisions and NotKnown; one that is backed out has ConditionRolledBack.
)

// Condition of ChangeApproval, ConfigurationItem, ChangePolicy and Calendar.
const (
	// ConditionCounted on a ChangeApproval is True when the vote counts; the message says why not.
	ConditionCounted = "Counted"
	// ConditionDrifted on a ConfigurationItem is True when what runs is not what was agreed. Polarity: True is bad.
	ConditionDrifted = "Drifted"
	// ConditionValid on a ChangePolicy or Calendar is True when all of it can be understood.
	ConditionValid = "Valid"
)

// Conditions of a Problem. Polarity: True is well, but for Recurring.
const (
	// ConditionConfirmed is True when its owner found it worth an analysis; reasons Confirmed, NotConfirmed.
	ConditionConfirmed = "Confirmed"
	// ConditionKnownError is True when its cause or a workaround is known; reasons Known, Unknown.
	ConditionKnownError = "KnownError"
	// ConditionWorkaroundPublished is True when a workaround is shown on its Incidents; reasons Published, None.
	ConditionWorkaroundPublished = "WorkaroundPublished"
	// ConditionFixDeployed is True when its Changes went in and succeeded; reasons Deployed, NotDeployed.
	ConditionFixDeployed = "FixDeployed"
	// ConditionRecurring is True when it failed again after the fix; reasons FailedAgain, NotSeen. Polarity: True is bad.
	ConditionRecurring = "Recurring"
)

// Conditions of a Release. Polarity: True is well, but for ManagedByGitOps. Approved is that of its Change.
const (
	// ConditionProgressing is True while a phase goes on; the reasons of False say what it waits for, or how it ended:
	// Invalid, NotApproved, GateClosed, Paused, WaitingForRelease, ManagedByGitOps, Denied, Held, Completed, Failed,
	// RollingBack, RolledBack, Canceled.
	ConditionProgressing = "Progressing"
	// ConditionStable is True while all released units are ready and no Incident suspects the Change; reasons Stable,
	// NotReady, IncidentSuspected, NotDeployed.
	ConditionStable = "Stable"
	// ConditionManagedByGitOps is True where a reconciling field manager sets an image that strategy Apply would have
	// to take from it; reasons Managed, NotManaged. Polarity: True is bad.
	ConditionManagedByGitOps = "ManagedByGitOps"
	// ConditionBackoutPossible is True while all units can be brought back to the whole template that they had;
	// reasons Possible, NoEarlierTemplate, NotProven, PolicyForbids.
	ConditionBackoutPossible = "BackoutPossible"
	// ConditionRolledBack is True when all units run what they had before; reasons Verified, InProgress, Failed,
	// NotNeeded.
	ConditionRolledBack = "RolledBack"
)
