package configurationitem

import (
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// recordLate is how long the record of an admission, which comes from another replica, is waited for before its
	// template counts as one about which the gate was not asked.
	recordLate = time.Minute
	// maxUnasked bounds what of one workload waits to be counted.
	maxUnasked = 5
)

// Audits count what goes in and Enforce would refuse. The gate counts what it is asked about, and we count what went in
// while nobody answered, which under Audit and Warn the API server lets in. WouldDeny never blocks.
type Audits interface {
	WouldDeny(policies []string, workload configuration.Key, reasons []change.Cause, at time.Time)
}

// refusal is what Enforce would have said about a template.
type refusal struct {
	policies []string
	reasons  []change.Cause
}

// unasked is a template that came in where the gate only watches, and of which no record tells that it was asked.
type unasked struct {
	refusal
	// hash of the template, and full where annotations are ignored.
	hash, full string
	// seen is when we found it.
	seen time.Time
}

// unaskedOf begins to wait for the record of a baseline that just began, and would have been refused.
func (o *outcome) unaskedOf(before, after []v1alpha1.Baseline, seen *observed, refused *refusal, now time.Time) {
	if refused == nil || !seen.watched || len(after) == 0 || after[0].Source != v1alpha1.BaselineAudited || after[0].By != "" {
		return
	}
	if len(before) > 0 && before[0].From == after[0].From && before[0].TemplateHash == after[0].TemplateHash {
		return
	}
	hash := after[0].TemplateHash
	// What could not be written is found again.
	list := slices.DeleteFunc(slices.Clone(o.memory.unasked), func(u unasked) bool {
		return u.hash == hash && !slices.ContainsFunc(before, func(b v1alpha1.Baseline) bool { return b.TemplateHash == hash })
	})
	if len(list) < maxUnasked {
		list = append(list, unasked{refusal: *refused, hash: hash, full: after[0].FullHash, seen: now})
	}
	o.memory.unasked = list
}

// unrecorded finds out which of them no record came for in time: those are to be counted now.
func (o *outcome) unrecorded(s *v1alpha1.ConfigurationItemStatus, seen *observed, now time.Time) {
	var left []unasked
	for _, u := range o.memory.unasked {
		switch due := u.seen.Add(recordLate); {
		case recorded(&u, s, seen):
		case now.Before(due):
			left = append(left, u)
			if o.wake.IsZero() || due.Before(o.wake) {
				o.wake = due
			}
		default:
			o.count = append(o.count, u)
		}
	}
	o.memory.unasked = left
}

// recorded says whether the gate was asked after all: then it counted.
func recorded(u *unasked, s *v1alpha1.ConfigurationItemStatus, seen *observed) bool {
	by := func(b v1alpha1.Baseline) bool {
		return b.TemplateHash == u.hash && b.By != "" && !b.From.Time.Before(u.seen.Add(-recordLate))
	}
	here := func(r configuration.AdmissionRecord) bool {
		return r.TemplateHash == u.hash || r.TemplateHash == u.full
	}
	return slices.ContainsFunc(s.Baselines, by) || slices.ContainsFunc(seen.admissions, here)
}

// tally passes on what is to be counted. It is forgotten by then: what is lost with a leader is not counted.
func (r *Reconciler) tally(key configuration.Key, list []unasked) {
	if r.Audits == nil {
		return
	}
	for i := range list {
		r.Audits.WouldDeny(list[i].policies, key, list[i].reasons, list[i].seen)
	}
}
