// Package change knows the rules of change enablement: which Change allows which pod template, who must agree to
// it, when it may go in and what becomes of it. It is pure.
//
// Decide answers what the gate asks: may this request go in? Evaluate answers what the Change controller asks: what
// is the status of this Change? Both judge a Change by the same Candidate, so that what a status promises is what
// the gate does.
package change

import (
	"iter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Operation is what a request does to a workload.
type Operation string

const (
	// Create makes it.
	Create Operation = "Create"
	// Template alters its pod template (of a Pod: an image).
	Template Operation = "Template"
	// Release lets out a template that was admitted before but held back: unpaused, unsuspended, partition lowered.
	Release Operation = "Release"
	// Delete removes it, or alters its owners, who can then have it removed.
	Delete Operation = "Delete"
)

// Asks returns the operation that a Change's target must name to cover it.
func (o Operation) Asks() v1alpha1.Operation {
	switch o {
	case Create:
		return v1alpha1.OperationCreate
	case Delete:
		return v1alpha1.OperationDelete
	case Template, Release:
	}
	return v1alpha1.OperationTemplate
}

// User is who asks, as the API server authenticated.
type User struct {
	Name           string
	Groups         []string
	ServiceAccount bool
}

// Request is one admission request about something that makes pods.
type Request struct {
	Operation Operation
	Key       configuration.Key
	// Owner is the controller that the object names, which need not be true; zero where it names none.
	Owner configuration.Key
	User  User
	// Old and New are the pod template before and after; nil where there is none (Create has no Old, Delete no New).
	Old, New *configuration.Template
	// OldHold and NewHold say how the template is held back before and after.
	OldHold, NewHold configuration.Hold
	// Change is the value of the annotation itil.dev/change on the new object (of a Delete: on the old one).
	Change string
	// BreakGlass is the reason in the annotation itil.dev/break-glass where this request adds or alters it.
	BreakGlass string
	// BreakGlassBy is who signed that reason. Another than the user is copied with an earlier template, by kubectl rollout
	// undo, or forged.
	BreakGlassBy string
	// RollbackTo is the annotation deprecated.deployment.rollback.to of a Deployment where this request has the deployment
	// controller go by it: it writes the annotation, or resumes a paused Deployment that has it.
	RollbackTo string
	// BreakGlassPermitted: the API server found that the user may break the glass. Requests of which that is true
	// never reach the gate; who accounts for them afterwards sets it.
	BreakGlassPermitted bool
	// Fields are the parts of the template, other than images, that differ between Old and New, as paths such as
	// "spec.containers[app].resources.limits.cpu". Asked for only where a standard change may allow them; nil where
	// they cannot be told.
	Fields func() []string
	// Diff of the whole template, from Old to New; nil where there is none. Asked for only where a Change is filed.
	Diff func() []v1alpha1.FieldDiff
	// DryRun requests are decided like any other, but let in, and file nothing.
	DryRun bool
}

// World is what is known about the workload of a request. All that hangs on it is shared and must not be altered;
// nothing in it depends on the time of the request.
type World struct {
	// Claims on the workload, also those through a workload whose pods this one's would pass for. None, and no
	// policy with scope AllWorkloads: not governed.
	Claims []Claim
	// Enforcement that applies; see EnforcementFor.
	Enforcement v1alpha1.Enforcement
	// Around is the strictest enforcement of anything in the namespace. Looked for only where a request has a RollbackTo.
	Around v1alpha1.Enforcement
	// Rules of the namespace; nil: the defaults.
	Rules *Rules
	// Baselines of the workload, the newest first.
	Baselines []v1alpha1.Baseline
	// FailedChanges are the names, of those in Baselines, that ended Unsuccessful or RolledBack.
	FailedChanges []string
	// Twins are other workloads for whose pods its own would pass: governed ones whose selector the labels of the new
	// template satisfy, and the CronJob whose run it says that it is.
	Twins []Twin
	// Candidates are the Changes of the namespace with this workload as a target: all that have not ended, and
	// those that ended Rejected or by being backed out. In the order of their names.
	Candidates []*Candidate
	// Risk facts of the workload.
	Risk RiskFacts
	// Concurrency of the namespace.
	Concurrency Concurrency
	// ExhaustedBudgets are the Services, of those in Claims, whose error budget is spent.
	ExhaustedBudgets []string
	// Filed is what was filed by the operator in the namespace.
	Filed Filed
}

// Claim is a Service's claim on a workload.
type Claim struct {
	Service string
	// Tier from 1 to 4.
	Tier int32
	// Enforcement as the Service says; empty where it leaves it to the policy.
	Enforcement v1alpha1.Enforcement
	// Through is the claimed workload whose pods this one's pass for; zero where the claim is its own.
	Through configuration.Key
}

// Twin is a workload for whose pods those of another would pass.
type Twin struct {
	Key       configuration.Key
	Baselines []v1alpha1.Baseline
}

// Concurrency is what is being rolled out in a namespace.
type Concurrency struct {
	// Rollouts in progress of governed workloads; nil: none. Looked at only where a policy limits them, and no longer
	// than it takes to know that there are too many.
	Rollouts iter.Seq[Rollout]
	// Coming is what the gate that decides let in, and has not seen yet; nil: none. None of it is among Rollouts, and it is
	// looked at as seldom.
	Coming iter.Seq[Coming]
	// AtMost is how many there can be of both: a number that is known without looking.
	AtMost int
}

// Coming is a template that was let in, and is not seen on its workload yet.
type Coming struct {
	Workload configuration.Key
	At       time.Time
}

// Rollout is a template that is being rolled out.
type Rollout struct {
	Workload configuration.Key
	// Change that let it in; empty where none did.
	Change string
}

// Filed says what the operator has filed in a namespace.
type Filed struct {
	// Undecided Changes that it filed and nobody decided on.
	Undecided int
	// LastEpisode returns the greatest episode of the Changes that exist with this base name: 0 for none, 1 for
	// the bare name, n for "<base>-n". Nil: none exist.
	LastEpisode func(base string) int
}

// RiskFacts are what the risk of a change to a workload is computed from. The zero value is a workload of no
// Service about which nothing is known.
type RiskFacts struct {
	// Tier is the lowest tier number of the claiming Services; 0 where none claims it.
	Tier int32
	// HardDependents is how many Services depend hard on the claiming Services.
	HardDependents int
	// LastHealthyOf names the dependency groups whose last healthy member a claiming Service is.
	LastHealthyOf []string
	// Replicas desired, and whether a PodDisruptionBudget protects them.
	Replicas  int32
	Protected bool
	// PastChanges of this workload within the retention time, and how many of them failed.
	PastChanges, FailedChanges int
	// OpenIncidents on the claiming Services, by name.
	OpenIncidents []string
	// BudgetLeft of the claiming Services' worst SLA, in permille of the error budget; nil where unknown.
	BudgetLeft *int32
	// WorkingHours of the people who would have to repair it; nil where unknown.
	WorkingHours Calendar
}

// Calendar is a set of open hours. servicelevel.Calendar is one.
type Calendar interface {
	// Contains says whether it is open at t. It is what costs little: to know until when takes a search.
	Contains(t time.Time) bool
	// At says whether it is open at t, and up to when it stays so. The zero time means for ever, or beyond the
	// calendar's horizon.
	At(t time.Time) (open bool, until time.Time)
}

// Interval is a time from From up to, not including, To. A zero From is the beginning of time, a zero To its end.
type Interval struct {
	From, To time.Time
}

// Contains says whether t lies in it.
func (i Interval) Contains(t time.Time) bool {
	return !t.Before(i.From) && (i.To.IsZero() || t.Before(i.To))
}

// IsZero says whether it is no interval at all.
func (i Interval) IsZero() bool { return i.From.IsZero() && i.To.IsZero() }

// Candidate is a Change as the gate sees it: what can be known of it before anybody asks. Prepare makes it whenever
// the Change, its ChangeApprovals or the Rules change; it is never altered.
type Candidate struct {
	Namespace, Name string
	Type            v1alpha1.ChangeType
	CreatedAt       time.Time
	Requester       string
	// Digest of the present spec.
	Digest  string
	Targets []Target
	// Approval as the votes, the rules and the recorded rejections come to.
	Approval Approval
	// Declared window; zero where spec has none.
	Declared Interval
	// Window in which it may go in: the declared one, or the first 24 open hours after the approval; zero where
	// there is none (yet).
	Window Interval
	// Ended says why it covers nothing any more; empty while it may.
	Ended Ending
	// EndedWhy is the reason in words.
	EndedWhy string
	// Remedies are the Services whose open Incident or Problem it refers to.
	Remedies []string
	// StandardChange that it claims to be.
	StandardChange string
	// Invalid names what in its spec cannot be understood; such a Change covers nothing.
	Invalid []string
	// FiledByOperator: it was filed because of a denial, or says so: whoever creates a Change may label it.
	FiledByOperator bool
	// Releases that go in under it: they say which of their units it is the turn of.
	Releases []ReleaseFact
}

// ReleaseFact is what a Change needs to know of a Release that goes in under it. The gate lets in a unit of a Release
// only in the phase that brings it in; none before the first phase, between two, or once the Release has stopped.
type ReleaseFact struct {
	Name string
	// Units of it.
	Units []configuration.Key
	// Open are the units of the phase that runs; none: no phase does.
	Open []configuration.Key
	// Why says what keeps the others out, in words.
	Why string
}

// Target of a candidate.
type Target struct {
	Key          configuration.Key
	Operations   []v1alpha1.Operation
	Images       map[string]v1alpha1.Image
	TemplateHash string
	// Rollout of what went in; empty while nothing did.
	Rollout v1alpha1.RolloutState
}

// Ending says why a Change covers nothing any more.
type Ending string

const (
	// NotEnded: it may cover something.
	NotEnded Ending = ""
	// EndedCanceled: spec.cancel.
	EndedCanceled Ending = "Canceled"
	// EndedRejected: its present digest was rejected.
	EndedRejected Ending = "Rejected"
	// EndedBackedOut: what it let in was undone.
	EndedBackedOut Ending = "BackedOut"
	// EndedClosed: its outcome is recorded.
	EndedClosed Ending = "Closed"
)

// Approval is what the votes on a Change come to.
type Approval struct {
	// Approved: no vote is missing and none rejects.
	Approved bool
	// At is since when.
	At time.Time
	// Required and Granted votes; From are the groups they must come from.
	Required, Granted int32
	From              []string
	// Votes, the oldest first, with why one does not count.
	Votes []v1alpha1.Vote
	// Rejected is the rejection of the present digest.
	Rejected *v1alpha1.RejectedDigest
	// Missing says what is missing, in words; empty where Approved.
	Missing string
	// Demands are the votes from groups that the policies of now ask for. Kept are groups that were asked for when the Change
	// was assessed, and are not by now.
	Demands []v1alpha1.GroupDemand
	Kept    []string
}

// Verdict is the outcome of a decision.
type Verdict string

const (
	// NotGoverned: nobody claims or covers the workload.
	NotGoverned Verdict = "NotGoverned"
	// Unchanged: it means what runs, or what is agreed to run.
	Unchanged Verdict = "Unchanged"
	// Rollback: a proven earlier template comes back.
	Rollback Verdict = "Rollback"
	// Covered: an open Change allows it.
	Covered Verdict = "Covered"
	// PreAuthorised: the Change that would be filed needs no vote.
	PreAuthorised Verdict = "PreAuthorised"
	// BreakGlass: someone who may has forced it.
	BreakGlass Verdict = "BreakGlass"
	// Warned: it would have been denied under Enforce.
	Warned Verdict = "Warned"
	// Audited: it would have been denied under Enforce.
	Audited Verdict = "Audited"
	// Denied: nobody agreed to it.
	Denied Verdict = "Denied"
)

// Decision about a request.
type Decision struct {
	Verdict     Verdict
	Enforcement v1alpha1.Enforcement
	// Allowed: it may go in. A dry run always may.
	Allowed bool
	// Reasons, all of them, for a verdict that is not the obvious one: why no Change covers it, or by which rule it
	// goes in all the same.
	Reasons []Cause
	// Change that covers it, that is undone by a rollback, or that a denial points to, in the workload's namespace.
	// It may be about to be filed.
	Change string
	// StandardChange that pre-authorised it.
	StandardChange string
	// Votes that the Change needs, where a denial points to one.
	Votes Quorum
	// Next is what the user should do; zero where there is nothing to do.
	Next Next
	// Risk of what is asked for, where it was computed.
	Risk *v1alpha1.Risk
	// File is the Change to be filed: before a denial, or after a PreAuthorised one. Nil: none.
	File *Filing
}

// Cause is one reason, for people and machines.
type Cause struct {
	// Type is the rule.
	Type CauseType
	// Change that it is about; empty for none.
	Change string
	// Field of the request that it is about; empty for none.
	Field string
	// Message in words, without control characters.
	Message string
}

// CauseType names the rule that a reason is about. These are the reasons of metav1.StatusCause in a denial.
type CauseType string

const (
	// CauseNoChange: no Change has this workload as a target.
	CauseNoChange CauseType = "NoChange"
	// CauseNotApproved: votes are missing.
	CauseNotApproved CauseType = "NotApproved"
	// CauseRejected: the Change was rejected.
	CauseRejected CauseType = "Rejected"
	// CauseEnded: the Change has ended.
	CauseEnded CauseType = "Ended"
	// CauseOtherTemplate: the Change is about another template.
	CauseOtherTemplate CauseType = "OtherTemplate"
	// CauseReleasePhase: the Change belongs to a Release, and the workload's phase does not run.
	CauseReleasePhase CauseType = "ReleasePhase"
	// CauseOtherOperation: the Change is about another operation.
	CauseOtherOperation CauseType = "OtherOperation"
	// CauseNotPinned: the policy demands a target that is more exact.
	CauseNotPinned CauseType = "NotPinned"
	// CauseOutsideWindow: the Change's window, or the policy's, is closed.
	CauseOutsideWindow CauseType = "OutsideWindow"
	// CauseFrozen: a freeze is on.
	CauseFrozen CauseType = "Frozen"
	// CauseBudgetExhausted: the error budget of a Service is spent.
	CauseBudgetExhausted CauseType = "ErrorBudgetExhausted"
	// CauseConflict: another Change goes first, or too many are being rolled out.
	CauseConflict CauseType = "Conflict"
	// CauseInvalid: the Change or a policy cannot be understood.
	CauseInvalid CauseType = "Invalid"
	// CauseAnnotation: itil.dev/change names another Change, or none that exists.
	CauseAnnotation CauseType = "ChangeAnnotation"
	// CauseBreakGlass: itil.dev/break-glass is set, but the user may not.
	CauseBreakGlass CauseType = "BreakGlassNotPermitted"
	// CauseCopiedGlass: the reason in itil.dev/break-glass is signed by another than the user, and nothing goes back.
	CauseCopiedGlass CauseType = "BreakGlassOfAnother"
	// CauseRollbackTo: it has the deployment controller bring an earlier template back, about which nobody is asked.
	CauseRollbackTo CauseType = "RollbackByController"
	// CauseTwin: it makes pods that pass for those of a governed workload.
	CauseTwin CauseType = "Twin"
	// CauseNoRollback: it is an earlier template, but may not come back without a Change.
	CauseNoRollback CauseType = "NoRollback"
	// CauseFilingLimit: no Change was filed, since too many are undecided.
	CauseFilingLimit CauseType = "FilingLimit"
	// CauseRestart: the pods are restarted and pull what their tag means now.
	CauseRestart CauseType = "Restart"
)

// Next is what a user should do.
type Next struct {
	// Step in words, with the command.
	Step string
	// At is when a retry may pass; zero where that depends on people.
	At time.Time
	// RetryAfter is the time until then; 0 where it is not known.
	RetryAfter time.Duration
}

// Filing is a Change to be filed for a request.
type Filing struct {
	Namespace string
	// Base name, and Episode that makes the name: "<base>" for 1, "<base>-n" for n.
	Base    string
	Episode int
	// Requester is whom it is filed for.
	Requester string
	Type      v1alpha1.ChangeType
	// StandardChange that it is.
	StandardChange string
	Target         v1alpha1.ChangeTarget
	// PreAuthorised: it was let in already.
	PreAuthorised bool
	// At is when it was decided.
	At time.Time
	// Summary in one line.
	Summary string
	// Diff against the baseline, with paths as in Change.status.diff; nil where it is not known.
	Diff []v1alpha1.FieldDiff
}

// Denial is how a decision is told to a client.
type Denial struct {
	// Message for people.
	Message string
	// Causes for machines.
	Causes []metav1.StatusCause
	// RetryAfterSeconds; 0 where unknown.
	RetryAfterSeconds int32
}
