package change

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/event"
)

// Subject is a Change with all that its status depends on. It is read only.
type Subject struct {
	Agreed
	// Workloads that it has as targets, by key; those that are not known are left out.
	Workloads map[configuration.Key]WorkloadFact
	// Others are the candidates of other Changes that have a workload in common with it, and have not ended.
	Others []*Candidate
	// Neighbours are the candidates of other Changes on Services that its own depend on hard, or the other way.
	Neighbours []Neighbour
	// Concurrency of its namespace.
	Concurrency Concurrency
	// Suspicions are the Incidents that suspect it.
	Suspicions []Suspicion
	// Cleared are the Incidents of which its status says that it caused them, and that are known to suspect it no more.
	// One that was deleted is not among them: nobody withdrew its suspicion.
	Cleared []v1alpha1.NamespacedReference
	// Revisions are what Kubernetes keeps of the templates that Goals names; those that could not be read are left out.
	Revisions map[configuration.Key]RevisionFact
	// Restored is what became of what the evaluation before this one, of the same status, asked to be restored.
	Restored map[configuration.Key]Restored
}

// WorkloadFact is what is known of a target.
type WorkloadFact struct {
	// Workload as it is; nil where it does not exist. Unmade: nor did it ever.
	Workload *configuration.Workload
	Unmade   bool
	// Runs of a CronJob: its Jobs that are there.
	Runs []*configuration.Workload
	// Baselines of it, the newest first.
	Baselines []v1alpha1.Baseline
	// FailedChanges are the names, of those in Baselines, that ended Unsuccessful or RolledBack.
	FailedChanges []string
	// Enforcement that applies to it.
	Enforcement v1alpha1.Enforcement
	Risk        RiskFacts
	// ExhaustedBudgets are the Services that claim it and whose error budget is spent.
	ExhaustedBudgets []string
}

// Neighbour is a Change on a Service that depends on one of ours, or the other way.
type Neighbour struct {
	*Candidate
	// Why in words: "on Service ledger, which checkout depends on".
	Why string
}

// Suspicion is an Incident that suspects a Change.
type Suspicion struct {
	Namespace, Name string
	Priority        v1alpha1.Priority
	// Confidence of the suspicion.
	Confidence v1alpha1.Confidence
	// Open: neither Resolved nor Closed.
	Open bool
	// At is when the failure began.
	At time.Time
}

// grave says whether it makes a Change unsuccessful.
func (s *Suspicion) grave() bool {
	return s.Priority == v1alpha1.PriorityP1 || s.Priority == v1alpha1.PriorityP2
}

// Evaluation is what a Change's status comes to.
type Evaluation struct {
	Status v1alpha1.ChangeStatus
	// Candidate as the gate will see it once the status is written.
	Candidate *Candidate
	// Votes are the statuses of its ChangeApprovals, by name.
	Votes map[string]VoteStatus
	// Events that follow from the difference to the status before.
	Events []Event
	// Restore are earlier templates to be put back now, in this order. What becomes of each is to be told by another
	// evaluation, in Subject.Restored.
	Restore []Restoration
	// Sweep are workloads whose broken pods of the template undone are to be deleted, once the status is written.
	Sweep []Restoration
	// Wake is when the status may become another without anybody's doing; zero: never.
	Wake time.Time
}

// Event is told about a Change after its status was written.
type Event = event.Event

// stuckAfter is how long after its window a rollout that does not end is waited for.
const stuckAfter = 24 * time.Hour

// Evaluate says what the status of a Change is. It is a function of spec, of what is known, and of the time; from the
// status before it takes what cannot be computed again: when it was approved and at which risk, what was rejected,
// what went in, how it ended. The states are those of the design's table; Implement returns to Scheduled while the
// gate is closed again and nothing went in, since Implement means that the gate is open.
func Evaluate(s *Subject, now time.Time) Evaluation {
	if s.Rules == nil {
		s.Rules = defaultRules
	}
	if until := diffAwaited(s.Change); now.Before(until) {
		return Evaluation{Status: s.Change.Status, Candidate: Prepare(s.Agreed), Wake: until}
	}
	l := newLife(s, now)
	l.suspect()
	l.assess()
	l.authorise()
	l.backOut()
	l.conflicts()
	l.conclude()
	l.decideState()
	l.prepare()
	l.conditions()
	l.status.NextStep = brief(l.nextStep(), maxNextStep)
	return Evaluation{Status: l.status, Candidate: l.candidate, Votes: l.votes, Events: l.events(), Restore: l.restore, Sweep: l.sweep, Wake: l.wake.at}
}

const maxNextStep = 1024

// diffAwaited is until when a Change is not assessed yet, since the differences of its template are about to be
// recorded; zero: they are not. Without them a template hash may stand for anything.
func diffAwaited(chg *v1alpha1.Change) time.Time {
	if chg.Annotations[AnnotationDiffFollows] == "" || len(chg.Status.Diff) > 0 || chg.Status.State != "" || chg.Spec.Cancel {
		return time.Time{}
	}
	return chg.CreationTimestamp.Add(diffWithin)
}

// life is the evaluation while it goes on.
type life struct {
	*Subject
	now    time.Time
	before *v1alpha1.ChangeStatus
	status v1alpha1.ChangeStatus
	// edited: an earlier version of spec was assessed.
	edited    bool
	candidate *Candidate
	votes     map[string]VoteStatus
	gate      gate
	// open targets, of those where nothing went in yet, are let in; blocked says what keeps the others out.
	open    int
	blocked report
	// impossible says what of its targets can never go in as they are.
	impossible []string
	// lacks names what must be mended before it can be assessed.
	lacks []string
	// lifted: the outcome before was that of a suspicion which was withdrawn.
	lifted bool
	// restore and sweep are what is to be done of a backout.
	restore, sweep []Restoration
	wake           wake
}

func newLife(s *Subject, now time.Time) *life {
	before := &s.Change.Status
	l := &life{Subject: s, now: now, before: before, wake: wake{now: now}}
	l.edited = before.Digest != "" && !VerifyDigest(&s.Change.Spec, before.Digest)
	l.status = v1alpha1.ChangeStatus{
		ObservedGeneration: s.Change.Generation,
		Digest:             PresentDigest(s.Change),
		RejectedDigests:    before.RejectedDigests,
		CausedIncidents:    before.CausedIncidents,
		Outcome:            before.Outcome,
		ClosedAt:           before.ClosedAt,
		FirstApprovedAt:    before.FirstApprovedAt,
		ReviewDueAt:        before.ReviewDueAt,
	}
	if !l.edited {
		l.status.Risk, l.status.Diff, l.status.ApprovedAt, l.status.Approvals = before.Risk, before.Diff, before.ApprovedAt, before.Approvals
	}
	if before.Digest == "" && s.Change.Generation > 1 {
		// What differs was recorded of what was filed, and its requester has put something else in its place since.
		l.status.Diff = nil
	}
	l.status.Implementations = l.implementations()
	return l
}

// isRecord says whether a Change asks for nothing, but records what went in without one.
func isRecord(chg *v1alpha1.Change) bool { return chg.Spec.RecordOf != "" }

// assess computes risk and differences. The risk is that of the window's start, and fixed with the approval.
func (l *life) assess() {
	if l.lacks = l.unassessable(); len(l.lacks) > 0 {
		// Without an assessment it is not approved, whatever the votes say.
		l.status.Risk, l.status.ApprovedAt = nil, nil
		return
	}
	if l.Change.Spec.Cancel && l.status.Risk != nil {
		return // what was withdrawn stays as it was shown to whoever had to decide
	}
	if l.status.ApprovedAt == nil {
		if diff, ok := l.recordedDiff(); ok {
			l.status.Diff = diff
		} else {
			l.status.Diff = l.diff()
		}
	}
	if l.status.ApprovedAt == nil || l.status.Risk == nil {
		risk := AssessRisk(l.undertaking())
		if l.status.Risk != nil && l.status.Risk.Level != risk.Level {
			// What was demanded for another level of risk says nothing of the policy for this one.
			l.status.Approvals = nil
		}
		l.status.Risk = &risk
	}
}

// unassessable names what in spec cannot be understood, or refers to what does not exist.
func (l *life) unassessable() []string {
	c := Prepare(l.Agreed)
	lacks := slices.Clone(c.Invalid)
	for i := range c.Targets {
		t := &c.Targets[i]
		fact, known := l.Workloads[t.Key]
		known = known && !fact.Unmade
		creates := slices.Contains(t.Operations, v1alpha1.OperationCreate)
		if !known && !creates && t.Rollout == "" && !isRecord(l.Change) {
			lacks = append(lacks, "there is no "+nameOf(t.Key)+" in the namespace; a Change that creates it needs the operation Create")
		}
		if !known || l.Workloads[t.Key].Workload == nil {
			continue
		}
		if t.TemplateHash == "" && len(t.Images) > 0 {
			lacks = append(lacks, unknownContainers(t, l.Workloads[t.Key].Workload)...)
		}
	}
	return lacks
}

func unknownContainers(t *Target, w *configuration.Workload) []string {
	var lacks []string
	for _, name := range sortedKeys(t.Images) {
		if _, has := w.Template.Images[name]; !has {
			lacks = append(lacks, nameOf(t.Key)+" has no container "+name+"; a new container needs templateHash")
		}
	}
	return lacks
}

// undertaking is what risk is computed from.
func (l *life) undertaking() *Undertaking {
	u := &Undertaking{Questionnaire: l.Change.Spec.Questionnaire, At: l.begins()}
	if ref := l.Change.Spec.IncidentRef; ref != nil {
		u.Incident = string(ref.Name)
	}
	for i := range l.Change.Spec.Targets {
		t := &l.Change.Spec.Targets[i]
		fact := l.Workloads[KeyOf(l.Change.Namespace, t.Workload)]
		a := Alteration{Operation: heaviest(operationsOf(t)), Named: true, Facts: fact.Risk}
		if base := l.base(t); base != nil {
			a.From, a.Moved = base.Images, base.MovedImageIDs
		}
		a.To = make(map[string]string, len(t.Images))
		for container, image := range t.Images {
			a.To[container] = string(image)
		}
		l.recordedImages(t, a.To)
		a.OtherFields = t.TemplateHash != "" && !l.imagesAlone(t)
		u.Alterations = append(u.Alterations, a)
	}
	return u
}

// recordedImages adds those that a target which pins a template does not name: the schema has no room for every image.
func (l *life) recordedImages(t *v1alpha1.ChangeTarget, images map[string]string) {
	for i := range l.status.Diff {
		d := &l.status.Diff[i]
		container, found := l.imageOf(t, d)
		if _, named := images[container]; found && !named && t.TemplateHash != "" && d.To != "" {
			images[container] = d.To
		}
	}
}

// imagesAlone says whether the recorded differences of a target that pins a template are all in images. A hash alone
// does not say; the record is the operator's, made from the request for which it filed the Change. Of one that is full
// nobody knows what else there is.
func (l *life) imagesAlone(t *v1alpha1.ChangeTarget) bool {
	if isRecord(l.Change) {
		base, at := l.base(t), l.broughtIn(t.Workload, l.Workloads[KeyOf(l.Change.Namespace, t.Workload)].Baselines)
		return base != nil && at >= 0 && base.ImagelessHash != "" &&
			base.ImagelessHash == l.Workloads[KeyOf(l.Change.Namespace, t.Workload)].Baselines[at].ImagelessHash
	}
	if len(l.status.Diff) >= maxDiff {
		return false
	}
	prefix := diffPath(t.Workload, "")
	found := false
	for i := range l.status.Diff {
		path, mine := cutPrefix(l.status.Diff[i].Path, prefix)
		if !mine {
			continue
		}
		if !isImagePath(path) {
			return false
		}
		found = true
	}
	return found
}

// heaviest returns the operation that risks most.
func heaviest(operations []v1alpha1.Operation) v1alpha1.Operation {
	for _, o := range []v1alpha1.Operation{v1alpha1.OperationDelete, v1alpha1.OperationCreate} {
		if slices.Contains(operations, o) {
			return o
		}
	}
	return v1alpha1.OperationTemplate
}

// begins is when it is expected to go in: at the start of its window, else when first it may after it was created.
func (l *life) begins() time.Time {
	if w := l.Change.Spec.Window; w != nil {
		if start, err := ParseTime(w.Start); err == nil {
			return start
		}
	}
	if at, ok := l.Rules.nextOpening(typeOf(&l.Change.Spec), l.Change.CreationTimestamp.Time); ok {
		return at
	}
	return l.Change.CreationTimestamp.Time
}

// authorise counts the votes, and records rejections and the time of the approval.
func (l *life) authorise() {
	l.prepare()
	if r := l.candidate.Approval.Rejected; r != nil && !l.recorded(r.Digest) {
		l.status.RejectedDigests = append(slices.Clone(l.status.RejectedDigests), *r)
		if n := len(l.status.RejectedDigests); n > maxRejected {
			l.status.RejectedDigests = l.status.RejectedDigests[n-maxRejected:]
		}
	}
	a := &l.candidate.Approval
	switch {
	case !a.Approved:
		l.status.ApprovedAt = nil
	case l.status.ApprovedAt == nil:
		at := a.At
		if at.IsZero() {
			at = l.now
		}
		l.status.ApprovedAt = ptrTime(at)
	}
	l.status.Approvals = &v1alpha1.Approvals{
		Required: a.Required, Granted: a.Granted, Summary: summaryOf(a), From: a.From[:min(len(a.From), maxGroups)], Demands: l.demands(), Votes: a.Votes,
	}
	switch {
	case isRecord(l.Change):
		l.status.Approvals, l.status.ApprovedAt = nil, nil
	case l.preauthorised():
		l.status.Approvals = &v1alpha1.Approvals{Summary: "0/0", Votes: a.Votes}
	}
	if l.status.FirstApprovedAt == nil && l.status.Approvals != nil && l.status.Approvals.Required > 0 {
		l.status.FirstApprovedAt = l.status.ApprovedAt
	}
	l.prepare()
	switch w := l.candidate.Window; {
	case l.before.Window != nil && l.letsNothingMoreIn():
		l.status.Window = l.before.Window // in which it went in, whatever freezes and hours are by now
	case !w.IsZero():
		l.status.Window = &v1alpha1.EffectiveWindow{Start: timestamp(w.From), End: timestamp(w.To)}
	}
}

// demands of groups are those of when this version was assessed, at its present risk. Who asks for a group later may take that
// back; who asks for less later does not take away what was asked for.
func (l *life) demands() []v1alpha1.GroupDemand {
	switch {
	case len(l.lacks) > 0:
		return nil
	case l.before.Risk != nil && l.status.Approvals != nil:
		return l.status.Approvals.Demands
	}
	return l.candidate.Approval.Demands
}

// letsNothingMoreIn says whether all its targets went in, or it has ended.
func (l *life) letsNothingMoreIn() bool {
	return l.before.Outcome != "" || len(l.status.Implementations) > 0 && l.pending() == 0
}

const (
	maxRejected = 10
	maxGroups   = 50
)

// prepare makes the candidate of the status so far.
func (l *life) prepare() {
	chg := *l.Change
	chg.Status = l.status
	in := l.Agreed
	in.Change, in.Least = &chg, l.least()
	l.candidate, l.votes = prepare(&in)
	l.gate = gate{rules: l.Rules, candidates: l.Others, concurrency: l.Concurrency, now: l.now}
}

// least is how many votes it needs whatever its risk: where the operator filed it for what was rolled back, somebody must have
// looked at it. What a person files, a person has looked at.
func (l *life) least() int32 {
	if l.Change.Labels[LabelFiledFor] != FiledForDenied {
		return 0
	}
	for i := range l.Change.Spec.Targets {
		t := &l.Change.Spec.Targets[i]
		fact := l.Workloads[KeyOf(l.Change.Namespace, t.Workload)]
		if t.TemplateHash != "" && wentBack(fact.Baselines, fact.FailedChanges, func(b *v1alpha1.Baseline) bool {
			return b.TemplateHash == string(t.TemplateHash) || b.FullHash == string(t.TemplateHash)
		}) {
			return leastAgain
		}
	}
	return 0
}

func (l *life) recorded(digest string) bool {
	return slices.ContainsFunc(l.status.RejectedDigests, func(r v1alpha1.RejectedDigest) bool { return r.Digest == digest })
}

// decideState says where it is in its life. The first line that holds decides.
func (l *life) decideState() {
	s := &l.status
	s.State = l.stateOf()
	over := s.State == v1alpha1.ChangeClosed || s.State == v1alpha1.ChangeCanceled
	switch {
	case over && s.ClosedAt == nil:
		s.ClosedAt = ptrTime(l.now)
	case !over:
		s.ClosedAt = nil
	}
	if s.State == v1alpha1.ChangeClosed && l.Change.Spec.Review != nil {
		s.Outcome = l.Change.Spec.Review.Outcome
	}
	l.dueReview()
}

// dueReview records when the review is due, from when it is owed: a policy that becomes another later does not alter it.
func (l *life) dueReview() {
	s := &l.status
	if s.State != v1alpha1.ChangeReview {
		s.ReviewDueAt = ""
		return
	}
	if s.ReviewDueAt == "" {
		s.ReviewDueAt = timestamp(l.now.Add(l.Rules.reviewWithin()))
	}
	l.wake.add(l.reviewDue())
}

// reviewDue is when the review is due; zero where none is owed.
func (l *life) reviewDue() time.Time {
	due, err := ParseTime(l.status.ReviewDueAt)
	if err != nil {
		return time.Time{}
	}
	return due
}

// reviewOverdue says whether a review is owed and was due before now.
func (l *life) reviewOverdue() bool {
	due := l.reviewDue()
	return !due.IsZero() && !l.now.Before(due)
}

func (l *life) stateOf() v1alpha1.ChangeState {
	s, began := &l.status, len(l.status.Implementations) > 0
	switch {
	case l.canceled():
		return v1alpha1.ChangeCanceled
	case l.before.State == v1alpha1.ChangeClosed: // what comes to light later amends the outcome
		return v1alpha1.ChangeClosed
	case (s.Outcome != "" && l.needsReview() || isRecord(l.Change)) && l.Change.Spec.Review == nil:
		return v1alpha1.ChangeReview
	case s.Outcome != "", isRecord(l.Change):
		return v1alpha1.ChangeClosed
	case began:
		return v1alpha1.ChangeImplement
	case l.candidate.Ended == EndedRejected:
		return v1alpha1.ChangeRejected
	case len(l.lacks) > 0:
		return v1alpha1.ChangeAssess
	case !l.candidate.Approval.Approved:
		return v1alpha1.ChangeAuthorize
	case l.open > 0:
		return v1alpha1.ChangeImplement
	}
	return v1alpha1.ChangeScheduled
}

// canceled says whether it was withdrawn in time: before its review. What only records cannot be withdrawn.
func (l *life) canceled() bool {
	ended := l.before.State == v1alpha1.ChangeReview || l.before.State == v1alpha1.ChangeClosed
	return l.Change.Spec.Cancel && !ended && !isRecord(l.Change)
}

// needsReview says whether somebody must write a post-implementation review before it closes.
func (l *life) needsReview() bool {
	switch l.status.Outcome {
	case v1alpha1.OutcomeNotImplemented:
		return isRecord(l.Change)
	case v1alpha1.OutcomeUnsuccessful, v1alpha1.OutcomeRolledBack:
		return true
	case v1alpha1.OutcomeSuccessful, v1alpha1.OutcomeSuccessfulWithIssues, v1alpha1.OutcomePartial, v1alpha1.OutcomeInconclusive:
	}
	high := !l.preauthorised() && l.status.Risk != nil && l.status.Risk.Level == v1alpha1.RiskHigh
	return high || typeOf(&l.Change.Spec) == v1alpha1.ChangeEmergency || isRecord(l.Change)
}

// wake keeps the soonest of the times at which to look again.
type wake struct{ now, at time.Time }

func (w *wake) add(t time.Time) {
	if t.After(w.now) && (w.at.IsZero() || t.Before(w.at)) {
		w.at = t
	}
}

func ptrTime(t time.Time) *metav1.Time {
	out := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &out
}

func timestamp(t time.Time) v1alpha1.Timestamp {
	return v1alpha1.Timestamp(t.UTC().Truncate(time.Second).Format(time.RFC3339))
}

func summaryOf(a *Approval) string {
	return itoa(a.Granted) + "/" + itoa(a.Required)
}
