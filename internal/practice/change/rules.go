package change

import (
	"fmt"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Rules are what all policies in scope of a namespace come to. They are made whenever a policy, a calendar or the
// namespace's labels change, and never altered.
type Rules struct {
	// Policies that they come from, by name; none: the defaults.
	Policies []string
	// Enforcement is the floor; empty where no policy sets one.
	Enforcement v1alpha1.Enforcement
	// AllWorkloads: also workloads that no Service claims are governed, with the enforcement Unclaimed.
	AllWorkloads bool
	Unclaimed    v1alpha1.Enforcement
	// Parts are the rules on votes, one for each policy (one for the defaults). All must be satisfied.
	Parts []Part
	// SeparationOfDuties: the requester's vote does not count.
	SeparationOfDuties bool
	// ServiceAccountApprovers whose votes count.
	ServiceAccountApprovers []string
	// Pin is the most exact that a policy demands. Digests: a policy demands images by digest, beside what Pin says: a
	// template hash pins the words of a tag, not what they mean.
	Pin     v1alpha1.Pin
	Digests bool
	// IgnoredAnnotationPrefixes of the pod template are not part of its meaning.
	IgnoredAnnotationPrefixes []string
	// Windows must all be open for a Normal change.
	Windows []NamedCalendar
	// Freezes, of which none may be on.
	Freezes []Freeze
	// FreezeOnExhaustedErrorBudget of a Service.
	FreezeOnExhaustedErrorBudget bool
	Rollback                     v1alpha1.RollbackMode
	OnDenied                     v1alpha1.OnDenied
	// MaxConcurrentRollouts; 0: without limit.
	MaxConcurrentRollouts int32
	RollbackRevisions     int32
	// Proven is how long a template must have run ready; Observation how long a change is watched.
	Proven, Observation time.Duration
	// Invalid parts, which count as closed.
	Invalid []InvalidPart
}

// reviewWithin is how soon a review is due by the strictest policy.
func (r *Rules) reviewWithin() time.Duration {
	if len(r.Parts) == 0 {
		return defaultReviewWithin
	}
	least := r.Parts[0].ReviewWithin
	for i := range r.Parts {
		least = min(least, r.Parts[i].ReviewWithin)
	}
	return least
}

// Part is one policy's rules on votes.
type Part struct {
	Policy string
	// Low, Medium and High are the votes by risk.
	Low, Medium, High Quorum
	// Emergency is the rule for Emergency changes; nil: as for their risk.
	Emergency *Quorum
	// ReviewWithin is how soon the review of an Emergency change is due.
	ReviewWithin time.Duration
	// Standard changes that are pre-authorised, those that are suspended included.
	Standard []StandardRule
}

// Quorum is how many votes are needed, and from which groups each must come; no groups: any.
type Quorum struct {
	Required int32
	Groups   []string
}

// StandardRule is a pre-authorised change.
type StandardRule struct {
	v1alpha1.StandardChange
	// Suspended: it failed too often and needs votes.
	Suspended bool
}

// NamedCalendar is a change window.
type NamedCalendar struct {
	// Name of the Calendar, Policy that refers to it.
	Name, Policy string
	// Hours; nil: always closed, since the Calendar does not exist or is invalid.
	Hours Calendar
	// Invalid: it exists, and cannot be understood.
	Invalid bool
}

// Closed says in words that it is closed, and where waiting does not help, who must mend what.
func (c *NamedCalendar) Closed() string {
	switch {
	case c.Hours != nil:
		return fmt.Sprintf("the change window of ChangePolicy %s (Calendar %s) is closed", c.Policy, c.Name)
	case c.Invalid:
		return fmt.Sprintf("the change window of ChangePolicy %s stays closed until somebody mends Calendar %s, which is invalid (kubectl describe cal %s)", c.Policy, c.Name, c.Name)
	}
	return fmt.Sprintf("the change window of ChangePolicy %s stays closed until somebody makes Calendar %s, which does not exist, or has the policy name another (kubectl describe chgpol %s)",
		c.Policy, c.Name, c.Policy)
}

// Freeze is a time in which no change goes in, but the exempt.
type Freeze struct {
	Name, Policy, Reason string
	Interval
	Exempt []v1alpha1.ChangeType
}

// InvalidPart is a part of a policy that cannot be understood.
type InvalidPart struct {
	Policy string
	// Field of the policy, for example spec.freezes[2].from.
	Field string
	// Message says what is wrong and what counts instead.
	Message string
}
