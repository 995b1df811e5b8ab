package incident

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// minRecoveryHold and maxRecoveryHold bound how long a workload must be well to be believed.
	minRecoveryHold = 2 * time.Minute
	maxRecoveryHold = 10 * time.Minute
	// minWell is how long it must be well before its signals are marked clear.
	minWell = 30 * time.Second

	// olderTemplate stands for the hash of a template that is not known, but not the present one.
	olderTemplate = "older"

	maxSignals  = 50
	maxEvidence = 30
	maxMessage  = 1024

	maxEvidenceObject = 320
	maxEvidenceReason = 128
)

// Reasons of evidence by which an incident ends without the fault being repaired.
const (
	EvidenceGone     = "WorkloadDeleted"
	EvidenceSwitched = "DetectionDisabled"
	// EvidenceReturned says by what it was repaired: a template that ran before.
	EvidenceReturned = "TemplateReturned"
)

// Detected is the part of an Incident's status that the detector writes, and nobody else.
type Detected struct {
	Signals               []v1alpha1.Signal
	Reason                v1alpha1.SignalReason
	Fingerprint           string
	StartedAt, DetectedAt *metav1.Time
	RecoveredAt           *metav1.Time
	RecoveryHoldSeconds   int32
	FailedTemplateHash    string
	RecoveredTemplateHash string
	SuspectedChange       *v1alpha1.SuspectedChange
	Evidence              []v1alpha1.Evidence
	// ParentRef is the Incident that explains it.
	ParentRef *v1alpha1.NamespacedReference
	// Workloads that it stands for, where it stands for several.
	Workloads int32
	Log       *v1alpha1.LogTail
}

// DetectedOf is the detector's part of a status.
func DetectedOf(s *v1alpha1.IncidentStatus) Detected {
	return Detected{
		Signals: s.Signals, Reason: s.Reason, Fingerprint: s.Fingerprint,
		StartedAt: s.StartedAt, DetectedAt: s.DetectedAt, RecoveredAt: s.RecoveredAt,
		RecoveryHoldSeconds: s.RecoveryHoldSeconds,
		FailedTemplateHash:  s.FailedTemplateHash, RecoveredTemplateHash: s.RecoveredTemplateHash,
		SuspectedChange: s.SuspectedChange, Evidence: s.Evidence,
		ParentRef: s.ParentRef, Workloads: s.Workloads, Log: s.Log,
	}
}

// Into is the status with the detector's part in it. The rest is the lifecycle's; neither writes the other's.
func (d Detected) Into(s v1alpha1.IncidentStatus) v1alpha1.IncidentStatus {
	s.Signals, s.Reason, s.Fingerprint = d.Signals, d.Reason, d.Fingerprint
	s.StartedAt, s.DetectedAt, s.RecoveredAt = d.StartedAt, d.DetectedAt, d.RecoveredAt
	s.RecoveryHoldSeconds = d.RecoveryHoldSeconds
	s.FailedTemplateHash, s.RecoveredTemplateHash = d.FailedTemplateHash, d.RecoveredTemplateHash
	s.SuspectedChange, s.Evidence = d.SuspectedChange, d.Evidence
	s.ParentRef, s.Workloads, s.Log = d.ParentRef, d.Workloads, d.Log
	return s
}

// Subject is what an incident is about.
type Subject struct {
	Key configuration.Key
	// TemplateHash of the workload now; empty where it has none.
	TemplateHash string
	// Resolved: the incident counts as resolved, so that what fails now fails anew.
	Resolved bool
	// Accepted: somebody accepted what shows (Workaround), so that the same is no new failure.
	Accepted bool
	// Reopened is how often it was opened again.
	Reopened int32
	// Candidates may explain it.
	Candidates []Candidate
	// Self is the Incident's own name, where it has one.
	Self v1alpha1.NamespacedReference
	// SwitchedOff: detection was switched off for the workload, so that nothing more will be known.
	SwitchedOff bool
}

// Correlate joins a look to what an incident already knows, and says when to look again. A signal that is not there
// any more is cleared only on evidence that the workload is well.
func Correlate(before Detected, r Result, s Subject, now time.Time) (Detected, time.Time) {
	if s.Resolved && before.RecoveredAt != nil && !before.RecoveredAt.After(now) { // else the clock was set back
		r.Findings = newCrashes(r.Findings, before.RecoveredAt.Time)
	}
	c := &correlation{Detected: before, result: r, subject: s, now: now, next: r.NextLook}
	c.Signals = slices.Clone(before.Signals)
	if !c.relapsed() {
		c.match()
	}
	c.conclude()
	c.adopt()
	return c.Detected, c.next
}

// match brings the signals up to date with what was found.
func (c *correlation) match() {
	for i := range c.Signals {
		if f := c.findingOf(c.Signals[i]); f != nil {
			c.renew(&c.Signals[i], *f)
		} else if c.Signals[i].ClearedAt == nil {
			c.clear(&c.Signals[i])
		}
	}
	for _, f := range c.result.Findings {
		if !slices.ContainsFunc(c.Signals, func(s v1alpha1.Signal) bool { return sameSignal(s, f) }) {
			c.Signals = append(c.Signals, signalOf(f, c.now))
		}
	}
	c.Signals = boundedSignals(c.Signals)
}

// newCrashes are the findings without crashes from before a recovery that was believed. Who remembers nothing, as after a
// restart, waits longer until what runs counts as well: that opens nothing again.
func newCrashes(findings []Finding, recovered time.Time) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool {
		crash := f.Reason == v1alpha1.SignalCrashLooping || f.Reason == v1alpha1.SignalOOMKilled
		return crash && !f.LastAt.IsZero() && !f.LastAt.After(recovered)
	})
}

// adopt finds the Incident that explains this one. What still fails is explained only by what is open.
func (c *correlation) adopt() {
	switch {
	case c.subject.SwitchedOff || len(c.result.Findings) == 0 && !Active(c.Signals):
		// It is over; that it was explained stays on the record.
	case len(c.result.Findings) == 0:
		if c.ParentRef != nil && !slices.ContainsFunc(c.subject.Candidates, func(e Candidate) bool { return e.Ref == *c.ParentRef }) {
			c.ParentRef = nil
		}
	default:
		c.ParentRef = Parent(c.ParentRef, c.subject.Self, c.recorded(), c.subject.Candidates)
	}
}

// recorded is what was found, since when the record says: after a restart of ours, a look tells less exactly when a
// failure began, and what explained it then would not any more.
func (c *correlation) recorded() Result {
	r := c.result
	r.Findings = slices.Clone(r.Findings)
	for i := range r.Findings {
		f := &r.Findings[i]
		for n := range c.Signals {
			if s := &c.Signals[n]; sameSignal(*s, *f) {
				f.Since = s.Since.Time
				if !s.Since.After(c.DetectedAt.Time) {
					f.Seen = c.DetectedAt.Time
				}
			}
		}
	}
	return r
}

type correlation struct {
	Detected
	result  Result
	subject Subject
	now     time.Time
	next    time.Time
}

func sameSignal(s v1alpha1.Signal, f Finding) bool {
	return s.Reason == f.Reason && s.Container == clip(f.Container, maxReason-1) && s.Alert == clip(f.Alert, maxAlert)
}

func (c *correlation) findingOf(s v1alpha1.Signal) *Finding {
	if c.subject.SwitchedOff {
		return nil
	}
	for i := range c.result.Findings {
		if sameSignal(s, c.result.Findings[i]) {
			return &c.result.Findings[i]
		}
	}
	return nil
}

func signalOf(f Finding, now time.Time) v1alpha1.Signal {
	return v1alpha1.Signal{
		Reason: f.Reason, Container: clip(f.Container, maxReason-1), Alert: clip(f.Alert, maxAlert),
		Since: metav1.NewTime(f.Since.Truncate(time.Second)), LastSeen: metav1.NewTime(now.Truncate(time.Second)),
		Count: max(f.Count, 1), ExitCode: f.ExitCode, Message: clip(f.Message, maxMessage),
		Pods: slices.Clone(f.Pods), AffectedPods: f.AffectedPods,
	}
}

// renew brings a signal up to date. One that comes back after the incident was resolved is a new failure, and so is one
// that began after it was clear, whatever else opened the incident again first.
func (c *correlation) renew(s *v1alpha1.Signal, f Finding) {
	fresh := signalOf(f, c.now)
	since := s.Since
	switch {
	case s.ClearedAt == nil && c.subject.Resolved && !c.subject.Accepted && c.happenedAnew(s, f):
		since = fresh.Since
	case s.ClearedAt == nil:
	case c.subject.Resolved:
		since = metav1.NewTime(later(f.Since, f.LastAt).Truncate(time.Second))
	case f.Since.After(s.ClearedAt.Time):
		since = fresh.Since
	}
	fresh.Since = since
	if s.ClearedAt == nil {
		fresh.Count = max(fresh.Count, s.Count)
	}
	if fresh.Message == "" {
		fresh.Message, fresh.ExitCode = s.Message, s.ExitCode
	}
	*s = fresh
}

// happenedAnew reports whether what lies in the past happened once more since it was last seen: another run of a Job that
// somebody had declared to be repaired failed. Nothing clears such a signal meanwhile.
func (c *correlation) happenedAnew(s *v1alpha1.Signal, f Finding) bool {
	return f.Reason != v1alpha1.SignalAlertFiring && liesInThePast(c.subject.Key, f.Reason) && f.Since.After(s.LastSeen.Time)
}

// clear marks a signal as gone where there is evidence of that.
func (c *correlation) clear(s *v1alpha1.Signal) {
	at, evident := c.evidence(s)
	if !evident {
		return
	}
	cleared := metav1.NewTime(c.past(later(at, s.Since.Time)).Truncate(time.Second))
	s.ClearedAt = &cleared
}

func (c *correlation) evidence(s *v1alpha1.Signal) (at time.Time, evident bool) {
	if c.subject.SwitchedOff {
		return c.now, true
	}
	if c.result.Gone && (s.Reason != v1alpha1.SignalJobFailed || c.subject.Key.Kind != configuration.KindJob) {
		return c.now, true
	}
	for _, cure := range c.result.Cures {
		if cure.Reason == s.Reason && clip(cure.Alert, maxAlert) == s.Alert && !cure.At.Before(s.Since.Time) {
			return cure.At, true
		}
	}
	switch s.Reason {
	case v1alpha1.SignalJobFailed, v1alpha1.SignalScheduleMissed, v1alpha1.SignalJobOverdue, v1alpha1.SignalAlertFiring:
		// That other things are well is no evidence of these.
		return time.Time{}, false
	default:
	}
	if !c.result.Well.Evident {
		return time.Time{}, false
	}
	at = c.result.Well.Since
	if at.Before(s.Since.Time) && !s.LastSeen.After(c.now) {
		// What is well was so while it failed, and after a restart of ours nothing tells when that ended.
		at = s.LastSeen.Time
	}
	if end := at.Add(minWell); end.After(c.now) {
		c.next = sooner(c.next, end)
		return time.Time{}, false
	}
	return at, true
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// boundedSignals puts what is active first, the most telling first, and drops the rest.
func boundedSignals(signals []v1alpha1.Signal) []v1alpha1.Signal {
	slices.SortStableFunc(signals, func(a, b v1alpha1.Signal) int {
		return cmp.Or(
			cmp.Compare(clearedRank(a), clearedRank(b)),
			cmp.Compare(rank(a.Reason), rank(b.Reason)),
			cmp.Compare(a.Container, b.Container),
			cmp.Compare(a.Alert, b.Alert),
		)
	})
	return signals[:min(len(signals), maxSignals)]
}

func clearedRank(s v1alpha1.Signal) int {
	if s.ClearedAt == nil {
		return 0
	}
	return 1
}

// Active reports whether a signal is not cleared.
func Active(signals []v1alpha1.Signal) bool {
	return slices.ContainsFunc(signals, func(s v1alpha1.Signal) bool { return s.ClearedAt == nil })
}

// conclude derives from the signals what is said about all of them.
func (c *correlation) conclude() {
	seconds := func(t time.Time) *metav1.Time {
		at := metav1.NewTime(t.Truncate(time.Second))
		return &at
	}
	if c.DetectedAt == nil {
		c.DetectedAt = seconds(c.now)
		started := c.now
		for _, s := range c.Signals {
			if s.Since.Time.Before(started) {
				started = s.Since.Time
			}
		}
		c.StartedAt = seconds(started)
		c.FailedTemplateHash = cmp.Or(c.FailedTemplateHash, c.failedTemplate())
	}
	c.RecoveryHoldSeconds = max(c.RecoveryHoldSeconds, int32(minRecoveryHold/time.Second))
	for _, f := range c.result.Findings {
		hold := int32(c.holdAfter(f) / time.Second) //nolint:gosec // bounded by hours
		c.RecoveryHoldSeconds = max(c.RecoveryHoldSeconds, hold)
	}
	if len(c.Signals) == 0 {
		// It was opened, and before we could say why, the failure was over.
		if c.result.Well.Evident && c.RecoveredAt == nil {
			c.RecoveredAt, c.RecoveredTemplateHash = c.DetectedAt, c.subject.TemplateHash
		}
		return
	}
	if Active(c.Signals) && c.RecoveredAt != nil && c.subject.Resolved {
		// What was resolved fails again, perhaps with the template that had repaired it.
		c.FailedTemplateHash = c.failedTemplate()
	}
	if Active(c.Signals) {
		// The first is active and the most telling.
		c.Reason, c.RecoveredAt, c.RecoveredTemplateHash = c.Signals[0].Reason, nil, ""
	} else if c.RecoveredAt == nil {
		recovered := c.DetectedAt.Time
		for _, s := range c.Signals {
			recovered = later(recovered, s.ClearedAt.Time)
		}
		c.RecoveredAt, c.RecoveredTemplateHash = seconds(c.past(recovered)), c.subject.TemplateHash
		c.sayWhyOver()
	} else if c.repaired() {
		c.RecoveredAt, c.RecoveredTemplateHash = seconds(c.past(later(c.RecoveredAt.Time, c.result.Well.Since))), c.subject.TemplateHash
		c.sayWhyOver()
	}
	c.holdDown()
	c.Fingerprint = Fingerprint(c.subject.Key, c.Reason)
}

// past is a time that a record tells, not later than now: the clock may have been set back since.
func (c *correlation) past(t time.Time) time.Time {
	if t.After(c.now) {
		return c.now
	}
	return t
}

// holdDown looks again when a recovery is to be believed. One in the future was recorded before the clock was set back:
// it is held from now, and not for as long as the clock takes to catch up.
func (c *correlation) holdDown() {
	if c.RecoveredAt == nil || c.subject.Resolved {
		return
	}
	if c.RecoveredAt.After(c.now) {
		now := metav1.NewTime(c.now.Truncate(time.Second))
		c.Evidence = slices.Clone(c.Evidence)
		for i := range c.Evidence {
			if c.Evidence[i].At.Equal(c.RecoveredAt) {
				c.Evidence[i].At = now
			}
		}
		c.RecoveredAt = &now
	}
	if end := c.RecoveredAt.Add(time.Duration(c.RecoveryHoldSeconds) * time.Second); end.After(c.now) {
		c.next = sooner(c.next, end)
	}
}

// failedTemplate is the template that fails. Where only pods of an older one do, its hash is not known.
func (c *correlation) failedTemplate() string {
	for _, f := range c.result.Findings {
		if !f.OldOnly {
			return c.subject.TemplateHash
		}
	}
	if len(c.result.Findings) == 0 {
		return c.subject.TemplateHash
	}
	return olderTemplate
}

// returned reports whether a template came back that was in use before the failure.
func (c *correlation) returned() bool {
	if c.FailedTemplateHash == "" || c.FailedTemplateHash == olderTemplate || c.FailedTemplateHash == c.RecoveredTemplateHash {
		return false
	}
	since := c.result.Well.TemplateSince
	return c.result.Well.Returned || since.Known() && c.StartedAt != nil && since < SecondOf(c.StartedAt.Time)
}

// sayWhyOver leaves word where a fault ended without being repaired, or by a template that ran before, at exactly the
// time of recovery.
func (c *correlation) sayWhyOver() {
	e := v1alpha1.Evidence{At: *c.RecoveredAt, Object: clip(c.subject.Key.Kind+"/"+c.subject.Key.Name, maxEvidenceObject)}
	switch {
	case c.subject.SwitchedOff:
		e.Reason, e.Message = EvidenceSwitched, "detection was switched off for it ("+v1alpha1.LabelIncidents+")"
	case c.result.Gone:
		e.Reason, e.Message = EvidenceGone, goneText(c.subject.Key)
		c.RecoveredTemplateHash = ""
	case c.returned():
		e.Reason, e.Message = EvidenceReturned, "the template that it had before the failure is back"
	default:
		return
	}
	c.Evidence = AddEvidence(c.Evidence, []v1alpha1.Evidence{e})
}

// goneText says what is known of what is gone. Of a kind that nobody watches, that is its pods.
func goneText(key configuration.Key) string {
	if watched(key) {
		return "it was deleted"
	}
	return "none of its pods is left; whether it was deleted is not known, since its kind is not watched"
}

// watched reports whether it is known of a workload itself whether it exists, and not only of its pods.
func watched(key configuration.Key) bool {
	switch key.Kind {
	case KindPod, KindNode:
		return key.Group == ""
	case KindService:
		return key.Group == GroupDetection
	default:
		group, known := configuration.GroupOf(key.Kind)
		return known && group == key.Group && configuration.Claimable(key.Kind)
	}
}

// AddEvidence adds to what is known; of more than is kept, the first is dropped.
func AddEvidence(known, more []v1alpha1.Evidence) []v1alpha1.Evidence {
	all := slices.Concat(known, more)
	return all[max(len(all)-maxEvidence, 0):]
}

// BeganAt is when what fails now began: after it was opened again, that is not when it first did.
func (d *Detected) BeganAt() time.Time {
	began := time.Time{}
	for _, s := range d.Signals {
		if s.ClearedAt == nil && (began.IsZero() || s.Since.Time.Before(began)) {
			began = s.Since.Time
		}
	}
	if began.IsZero() && d.StartedAt != nil {
		began = d.StartedAt.Time
	}
	return began
}

// Fresh reports whether there is a failure since an incident ended. What was accepted as it was (Workaround) is fresh
// only when it began anew; anything else when it was certain again. Where it ended in the future, the clock was set back:
// then what is certain now is.
func Fresh(findings []Finding, ended time.Time, code v1alpha1.ResolutionCode, now time.Time) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool {
		if code == v1alpha1.ResolutionWorkaround {
			return f.Since.After(ended)
		}
		return f.LastAt.After(ended) || ended.After(now) && !f.LastAt.Before(now.Truncate(time.Second))
	})
}

// EvidenceOf is Warning events as an incident shows them.
func EvidenceOf(list []Warning) []v1alpha1.Evidence {
	out := make([]v1alpha1.Evidence, 0, min(len(list), maxEvidence))
	for _, w := range list {
		if len(out) == maxEvidence {
			break
		}
		out = append(out, v1alpha1.Evidence{
			At: metav1.NewTime(w.At.Truncate(time.Second)), Object: clip(cmp.Or(w.Kind, KindPod)+"/"+w.Pod, maxEvidenceObject),
			Reason: clip(w.Reason, maxEvidenceReason), Message: clip(w.Message, maxMessage),
		})
	}
	return out
}
