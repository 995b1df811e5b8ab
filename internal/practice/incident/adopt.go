package incident

import (
	"cmp"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Candidate is an Incident that may explain others: of a lost node, or of what a service cannot do without.
type Candidate struct {
	Ref v1alpha1.NamespacedReference
	// Node that is lost; empty: it is about a hard dependency.
	Node string
	// Began is when what is wrong with it began.
	Began time.Time
	// Whole: what it is about has all the pods that it should, as one that crashes may for moments. It may have its impact
	// from others of its service, and is a parent only where there is no better one.
	Whole bool
}

// precedes orders candidates by when they began; at the same time by name, so that two never explain each other.
func (c *Candidate) precedes(other *Candidate) bool {
	return cmp.Or(c.Began.Compare(other.Began), compareRefs(c.Ref, other.Ref)) < 0
}

// preferred orders candidates by how likely they are the cause: a lost node, what is short of pods, the first.
func (c *Candidate) preferred(other *Candidate) bool {
	switch {
	case (c.Node != "") != (other.Node != ""):
		return c.Node != ""
	case c.Whole != other.Whole:
		return other.Whole
	default:
		return c.precedes(other)
	}
}

func compareRefs(a, b v1alpha1.NamespacedReference) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// ofNode reports whether the loss of a node may show so: not what is wrong with an image, a configuration or a program.
func ofNode(reason v1alpha1.SignalReason) bool {
	switch reason {
	case v1alpha1.SignalNotReady, v1alpha1.SignalStuckTerminating, v1alpha1.SignalEvicted, v1alpha1.SignalPodFailed,
		v1alpha1.SignalSandboxFailed, v1alpha1.SignalVolumeUnavailable:
		return true
	default:
		return ofWorkload(reason)
	}
}

// ofWorkload reports whether it shows on pods that have no node yet, or on the workload itself.
func ofWorkload(reason v1alpha1.SignalReason) bool {
	switch reason {
	case v1alpha1.SignalUnschedulable, v1alpha1.SignalReplicasMissing, v1alpha1.SignalRolloutStuck,
		v1alpha1.SignalJobOverdue, v1alpha1.SignalAlertFiring:
		return true
	default:
		return false
	}
}

// ofDependency reports whether that something it needs does not answer may show so: the program runs and gives up.
func ofDependency(reason v1alpha1.SignalReason) bool {
	switch reason {
	case v1alpha1.SignalCrashLooping, v1alpha1.SignalInitFailed, v1alpha1.SignalPodFailed, v1alpha1.SignalJobFailed,
		v1alpha1.SignalJobOverdue, v1alpha1.SignalNotReady, v1alpha1.SignalRolloutStuck, v1alpha1.SignalAlertFiring:
		return true
	default:
		return false
	}
}

// explains reports whether a candidate explains a finding. Where only new pods fail, of a rollout or made since the
// candidate began, their template may be the cause as well as what they depend on: that must be looked at.
func (c *Candidate) explains(f *Finding, r *Result) bool {
	if c.Node == "" {
		old := !f.OldestPod.Known() || f.OldestPod <= SecondOf(c.Began)
		return ofDependency(f.Reason) && !c.Began.After(f.Since) && old && (!r.RollingOut || !f.CurrentOnly)
	}
	return f.LostNode != "" && ofNode(f.Reason) && c.mayPrecede(f)
}

// mayPrecede reports whether a node may have been lost before what was found: it is silent for a while before it counts
// as lost. What was seen before it did was there first.
func (c *Candidate) mayPrecede(f *Finding) bool {
	if !c.Began.After(f.Since) {
		return true
	}
	return c.Began.Sub(f.Since) <= clockTolerance && (f.Seen.IsZero() || !f.Seen.Before(c.Began))
}

// Parent is the Incident that explains all that fails now: the first of those that explain each of its findings, a
// lost node before a dependency. None where something is not explained: that must be looked at on its own. What no
// longer fails keeps the parent it had.
func Parent(before *v1alpha1.NamespacedReference, self v1alpha1.NamespacedReference, r Result, candidates []Candidate) *v1alpha1.NamespacedReference {
	if len(r.Findings) == 0 {
		return before
	}
	var parent *Candidate
	for i := range r.Findings {
		first := firstThatExplains(&r.Findings[i], &r, candidates, self)
		if first == nil {
			return nil
		}
		if parent == nil || first.preferred(parent) {
			parent = first
		}
	}
	if before != nil && slices.ContainsFunc(candidates, func(c Candidate) bool {
		return c.Ref == *before && (c.Node != "") == (parent.Node != "")
	}) {
		// The one that it has explains it as well; its record need not be written again.
		return before
	}
	ref := parent.Ref
	return &ref
}

func firstThatExplains(f *Finding, r *Result, candidates []Candidate, self v1alpha1.NamespacedReference) *Candidate {
	var first *Candidate
	for i := range candidates {
		c := &candidates[i]
		if c.Ref == self || !c.explains(f, r) {
			continue
		}
		mine := Candidate{Ref: self, Began: f.Since}
		if c.Node == "" && !c.precedes(&mine) {
			continue
		}
		if first == nil || c.preferred(first) {
			first = c
		}
	}
	return first
}

// BeganAt is when what is wrong now began: with the first of its active signals, else with the failure.
func BeganAt(s *v1alpha1.IncidentStatus) time.Time {
	var began time.Time
	for i := range s.Signals {
		if s.Signals[i].ClearedAt == nil && (began.IsZero() || s.Signals[i].Since.Time.Before(began)) {
			began = s.Signals[i].Since.Time
		}
	}
	if began.IsZero() && s.StartedAt != nil {
		began = s.StartedAt.Time
	}
	return began
}

// Surplus reports whether the pods that fail never served, as those of a rollout that does not come in: where the workload
// has all the pods that it should beside them, it takes nothing from anybody. One that crashes is ready in between.
func Surplus(signals []v1alpha1.Signal) bool {
	return Active(signals) && !slices.ContainsFunc(signals, func(s v1alpha1.Signal) bool {
		return s.ClearedAt == nil && !neverReady(s.Reason)
	})
}

func neverReady(reason v1alpha1.SignalReason) bool {
	switch reason {
	case v1alpha1.SignalConfigInvalid, v1alpha1.SignalImagePullFailed, v1alpha1.SignalInitFailed, v1alpha1.SignalStartFailed,
		v1alpha1.SignalVolumeUnavailable, v1alpha1.SignalSandboxFailed, v1alpha1.SignalUnschedulable, v1alpha1.SignalPodRejected,
		v1alpha1.SignalNotReady, v1alpha1.SignalRolloutStuck, v1alpha1.SignalReplicasMissing:
		return true
	default:
		return false
	}
}

// Harms reports whether an Incident takes something from those who depend on its service: what still serves explains
// nothing.
func Harms(i *v1alpha1.Incident) bool {
	impact := i.Status.Impact
	if i.Spec.Impact != "" {
		impact = i.Spec.Impact
	}
	return impact == v1alpha1.LevelHigh || impact == v1alpha1.LevelMedium
}
