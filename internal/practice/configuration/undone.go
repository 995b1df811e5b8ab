package configuration

import (
	"slices"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Undone reports whether a later rollback went back beyond the baseline at a place, the newest being the first: to a
// template that was in before it.
func Undone(baselines []v1alpha1.Baseline, at int) bool {
	for j := range at {
		restored := baselines[j].TemplateHash
		if baselines[j].Source != v1alpha1.BaselineRollback || restored == baselines[at].TemplateHash {
			continue
		}
		between := slices.ContainsFunc(baselines[j+1:at], func(b v1alpha1.Baseline) bool { return b.TemplateHash == restored })
		if !between {
			return true
		}
	}
	return false
}

// repeated reports whether the baseline at a place may be dropped: a newer one tells as much of its template, and all others
// are Undone without it if they are with it. That which a rollback went back to says how far it went: without it,
// everything that was in before would seem to be undone.
func repeated(baselines []v1alpha1.Baseline, at int) bool {
	b := &baselines[at]
	if !slices.ContainsFunc(baselines[:at], func(newer v1alpha1.Baseline) bool {
		return newer.TemplateHash == b.TemplateHash && (newer.Proven || !b.Proven)
	}) {
		return false
	}
	without := slices.Delete(slices.Clone(baselines), at, at+1)
	for i := range without {
		was := i
		if i >= at {
			was++
		}
		if Undone(without, i) != Undone(baselines, was) {
			return false
		}
	}
	return true
}
