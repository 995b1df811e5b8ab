package configurationitem

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/conditions"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	maxServices = 20
	maxImages   = 50
	// settling is how much later than its rollout's end a workload's pods are looked at again: they and their
	// controller are watched each for itself.
	settling = 15 * time.Second
	// admissionsKept is how long the record of an admission waits for its template to be seen: the request may
	// have failed after the gate.
	admissionsKept = 10 * time.Minute
	// glassKept is how long after its creation a workload that was made by breaking the glass is taken for one.
	glassKept = 7 * 24 * time.Hour
)

// rules of the item's life.
type rules struct {
	grace, retention time.Duration
	baselines        configuration.BaselineRules
}

// outcome is what a decision comes to.
type outcome struct {
	status v1alpha1.ConfigurationItemStatus
	memory memory
	// consumed records of this replica, once the status is written.
	consumed []configuration.AdmissionRecord
	// count as what Enforce would have refused.
	count []unasked
	wake  time.Time
}

// decide is the status that follows from what was observed.
func decide(seen *observed, m memory, r rules, now time.Time) outcome {
	var before v1alpha1.ConfigurationItemStatus
	if seen.item != nil {
		seen.item.Status.DeepCopyInto(&before)
	}
	if !seen.wanted() {
		return unclaimed(seen, before, r, now)
	}
	w := seen.workload
	s := before
	s.ObservedGeneration = itemGeneration(seen)
	s.State, s.UnclaimedSince = v1alpha1.ConfigurationItemInUse, nil
	setClaims(&s, seen.claimants)
	s.Enforcement = ""
	if seen.inForce {
		s.Enforcement = v1alpha1.EnforcementEnforce
	}
	s.Images = firstImages(w.Template.Images)
	s.TemplateHash = w.Template.Ignoring(r.baselines.IgnoredAnnotationPrefixes).Hash
	s.WorkloadUID = string(w.UID)

	out, fresh := outcome{memory: m}, m.uid == ""
	if !out.baselines(&s, seen, r, now) {
		out.status = before
		return out
	}
	if len(s.Baselines) > 0 {
		s.WorkloadGeneration = s.Baselines[0].Generation
	}
	out.settle(seen, now)
	out.unrecorded(&s, seen, now)
	out.admissions(&s, seen, r, now)
	out.earlierRuns(&s, seen, fresh, now)
	setDrift(&s, seen, r.baselines.IgnoredAnnotationPrefixes, now)
	out.status = s
	return out
}

func itemGeneration(seen *observed) int64 {
	if seen.item == nil {
		return 0
	}
	return seen.item.Generation
}

// unclaimed is what becomes of an item whose workload is gone, or nobody's any more. Its record stays as it was.
func unclaimed(seen *observed, s v1alpha1.ConfigurationItemStatus, r rules, now time.Time) outcome {
	s.ObservedGeneration = itemGeneration(seen)
	s.State = v1alpha1.ConfigurationItemUnclaimed
	if seen.workload == nil {
		s.State = v1alpha1.ConfigurationItemMissing
	} else {
		setClaims(&s, nil)
	}
	s.Admissions, s.Enforcement = nil, ""
	s.NextStep = ""
	out := outcome{consumed: seen.here}
	if seen.claimedByName && seen.workload == nil {
		s.UnclaimedSince = nil
		s.NextStep = fmt.Sprintf("create %s %s, or take it out of its Service's spec.workloads", seen.key.Kind, seen.key.Name)
		out.status = s
		return out
	}
	if s.UnclaimedSince == nil {
		at := metav1.NewTime(now.Truncate(time.Second))
		s.UnclaimedSince = &at
	}
	out.wake = s.UnclaimedSince.Add(r.retention)
	out.status = s
	return out
}

// setClaims says whose the workload is: the team of the Service of the lowest tier number owns it.
func setClaims(s *v1alpha1.ConfigurationItemStatus, claimants []inventory.Claimant) {
	s.Services, s.Owner, s.Tier = nil, "", 0
	for _, c := range claimants {
		ref := v1alpha1.LocalReference{Name: v1alpha1.ObjectName(c.Service.Name.Name)}
		if !slices.Contains(s.Services, ref) && len(s.Services) < maxServices {
			s.Services = append(s.Services, ref)
		}
		if tier := c.Service.Tier(); s.Tier == 0 || tier < s.Tier {
			s.Tier, s.Owner = tier, c.Service.Spec.Owner.Team
		}
	}
}

func firstImages(images map[string]string) map[string]string {
	if len(images) == 0 {
		return nil
	}
	out := make(map[string]string, min(len(images), maxImages))
	for _, name := range slices.Sorted(maps.Keys(images))[:min(len(images), maxImages)] {
		out[name] = images[name]
	}
	return out
}

// baselines follows the workload's template. One that nobody is known to have let in waits for a record for a while,
// in which nothing is written; then it reports false.
func (o *outcome) baselines(s *v1alpha1.ConfigurationItemStatus, seen *observed, r rules, now time.Time) bool {
	w, prefixes := seen.workload, r.baselines.IgnoredAnnotationPrefixes
	fresh := o.memory.uid != string(w.UID)
	if fresh {
		o.memory = memory{uid: string(w.UID)}
	}
	r.baselines.SeenGeneration = o.memory.generation
	record := recordOf(seen, prefixes)
	current := len(s.Baselines) > 0 && w.Template.IsBaseline(s.Baselines[0], prefixes)
	var refused *refusal
	if record == nil && !current {
		record, refused = seen.derive(now)
	}
	// After a restart it is not known which scaling bumped the generation. Under Enforce nothing came in meanwhile that
	// no record tells of, so that fields which were only added are defaults of a newer API server.
	if record == nil && !current && fresh && r.baselines.Enforced {
		r.baselines.SeenGeneration = w.Generation
	}
	next, wake := configuration.NextBaselines(s.Baselines, w, record, r.baselines, now)
	if unauthorized(s.Baselines, next) {
		if o.memory.unexplained != w.Template.Hash {
			o.memory.unexplained, o.memory.since = w.Template.Hash, now
		}
		if until := o.memory.since.Add(r.grace); now.Before(until) {
			o.wake = until
			return false
		}
	}
	o.memory.unexplained, o.memory.since = "", time.Time{}
	o.unaskedOf(s.Baselines, next, seen, refused, now)
	s.Baselines, o.wake = next, wake
	if len(next) > 0 && w.Template.IsBaseline(next[0], prefixes) {
		o.memory.generation = w.Generation
	}
	return true
}

// settle has what runs looked at again a moment after a rollout was done.
func (o *outcome) settle(seen *observed, now time.Time) {
	rolledOut := seen.workload.RolledOut()
	switch {
	case !rolledOut || !seen.showsImages:
		o.memory.settles = time.Time{}
	case !o.memory.rolledOut:
		o.memory.settles = now.Add(settling)
	case !now.Before(o.memory.settles):
		o.memory.settles = time.Time{}
	}
	o.memory.rolledOut = rolledOut
	if at := o.memory.settles; !at.IsZero() && (o.wake.IsZero() || at.Before(o.wake)) {
		o.wake = at
	}
}

// unauthorized reports whether a baseline began that nobody let in.
func unauthorized(before, after []v1alpha1.Baseline) bool {
	if len(after) == 0 || after[0].Source != v1alpha1.BaselineUnauthorized {
		return false
	}
	return len(before) == 0 || before[0].Source != v1alpha1.BaselineUnauthorized || before[0].From != after[0].From
}

// recordOf is the newest record of the present template.
func recordOf(seen *observed, prefixes []string) *configuration.AdmissionRecord {
	for i := range seen.admissions {
		if seen.workload.Template.Is(seen.admissions[i].TemplateHash, prefixes) {
			return &seen.admissions[i]
		}
	}
	return nil
}

// forcedIn reports whether a workload was made by breaking the glass, and no Service tells since when the gate is asked about it:
// where a policy covers all workloads, and of what nobody claims. What is old is not looked at: its record was reviewed and
// deleted.
func (o *observed) forcedIn(now time.Time) bool {
	return o.governedSince.IsZero() && (o.covered || o.twin) && o.workload.BrokenGlass() != "" && now.Sub(o.workload.CreatedAt) < glassKept
}

// derive asks who let the present template in where no record tells. What ran before it was governed is adopted and
// nobody is asked about it. Where nobody did, and the gate only watches, it is what Enforce would have said.
func (o *observed) derive(now time.Time) (*configuration.AdmissionRecord, *refusal) {
	operation := change.Template
	if o.unseen() {
		operation = change.Create
		since := o.askedSince()
		switch {
		case o.forcedIn(now):
		case since.IsZero() || !o.workload.CreatedAt.After(since):
			return nil, nil
		}
	}
	return o.derived(operation)
}

// admissions keeps the records that still wait for their template to be seen.
func (o *outcome) admissions(s *v1alpha1.ConfigurationItemStatus, seen *observed, r rules, now time.Time) {
	prefixes := r.baselines.IgnoredAnnotationPrefixes
	current := len(s.Baselines) > 0 && seen.workload.Template.IsBaseline(s.Baselines[0], prefixes)
	done := func(record configuration.AdmissionRecord) bool {
		switch {
		case !current && seen.workload.Template.Is(record.TemplateHash, prefixes):
			return false // it is held back, for as long as somebody likes
		case now.Sub(record.At) > admissionsKept:
			return true
		case !current:
			return false
		}
		return record.TemplateHash == s.Baselines[0].TemplateHash || record.TemplateHash == s.Baselines[0].FullHash
	}
	s.Admissions = slices.DeleteFunc(s.Admissions, func(a v1alpha1.Admission) bool { return done(inventory.RecordOf(a)) })
	if len(s.Admissions) == 0 {
		s.Admissions = nil
	}
	for _, record := range seen.here {
		if done(record) {
			o.consumed = append(o.consumed, record)
		}
	}
}

// Reasons of the condition Drifted.
const (
	reasonAgreed       = "Agreed"
	reasonHeld         = "Held"
	reasonUnauthorized = "Unauthorized"
	reasonNoBaseline   = "NoBaseline"
	reasonEarlier      = "EarlierTemplate"
	reasonLetGo        = "HeldTemplateRuns"
)

// setDrift says whether what runs is what was agreed.
func setDrift(s *v1alpha1.ConfigurationItemStatus, seen *observed, prefixes []string, now time.Time) {
	conditions.Keep(&s.Conditions, v1alpha1.ConditionDrifted)
	s.NextStep = ""
	set := func(drift v1alpha1.DriftState, status metav1.ConditionStatus, reason, message string) {
		s.Drift = drift
		conditions.Set(&s.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionDrifted, Status: status, Reason: reason, Message: message, ObservedGeneration: s.ObservedGeneration,
		}, now)
	}
	name := strings.ToLower(seen.key.Kind) + "/" + seen.key.Name
	switch {
	case len(s.Baselines) == 0:
		set(v1alpha1.DriftUnknown, metav1.ConditionUnknown, reasonNoBaseline, "its template is held back and none that runs is known")
		s.NextStep = "let the held template go by an approved Change, or bring back the one that runs"
	case len(seen.earlier) > 0:
		set(v1alpha1.DriftDrifted, metav1.ConditionTrue, reasonEarlier, "ReplicaSet "+seen.earlier[0].set+": "+seen.earlier[0].detail)
		s.NextStep = fmt.Sprintf("find out who paused it; to bring back what was agreed: kubectl rollout resume -n %s %s", seen.key.Namespace, name)
	case seen.heldRuns > 0:
		set(v1alpha1.DriftDrifted, metav1.ConditionTrue, reasonLetGo, fmt.Sprintf(
			"a template that was held back, and that no Change covers any more, runs in %d of %d pods", seen.heldRuns, seen.workload.Current))
		s.NextStep = fmt.Sprintf("find out who scaled it up or deleted its pods; to bring back what was agreed: kubectl rollout undo -n %s %s, "+
			"and then lower the partition, or delete those pods", seen.key.Namespace, name)
	case !seen.workload.Template.IsBaseline(s.Baselines[0], prefixes):
		set(v1alpha1.DriftNone, metav1.ConditionFalse, reasonHeld, "what was agreed runs; a newer template is held back")
	case s.Baselines[0].Source == v1alpha1.BaselineUnauthorized:
		set(v1alpha1.DriftDrifted, metav1.ConditionTrue, reasonUnauthorized, fmt.Sprintf(
			"template %.12s… came in past the gate, or while the gate did not answer: no verdict let it in", s.Baselines[0].TemplateHash))
		s.NextStep = fmt.Sprintf("see who wrote it: kubectl get -n %s %s --show-managed-fields -o yaml; then roll back, or file a Change for it",
			seen.key.Namespace, name)
	default:
		set(v1alpha1.DriftNone, metav1.ConditionFalse, reasonAgreed, "what runs is what was agreed")
		s.NextStep = movedStep(&s.Baselines[0])
	}
}

// movedStep says what to do about tags that mean another image than when they were agreed to; empty where none does.
func movedStep(b *v1alpha1.Baseline) string {
	moved := configuration.Moved(b)
	if len(moved) == 0 {
		return ""
	}
	const shown = 3
	var parts []string
	for _, container := range moved[:min(len(moved), shown)] {
		parts = append(parts, fmt.Sprintf("%.63s=%.160s was %.19s… and is %.19s…",
			container, b.Images[container], b.ImageIDs[container], b.MovedImageIDs[container]))
	}
	return "the tag was moved after it was agreed to (" + strings.Join(parts, "; ") +
		"); find out by whom, and pin the image by digest (pin: Digests in the ChangePolicy)"
}
