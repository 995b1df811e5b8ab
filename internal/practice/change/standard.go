package change

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Use is one Change that went in by a standard change.
type Use struct {
	// Name of it, as namespace/name.
	Name string
	// At is when it went in first, EndedAt when its outcome was known; zero while it is not.
	At, EndedAt time.Time
	// Failed: it ended Unsuccessful or RolledBack.
	Failed bool
	// Ended: its outcome is known.
	Ended bool
}

// UseOf is how a Change used the standard change that it names; false where nothing went in by it.
func UseOf(chg *v1alpha1.Change) (Use, bool) {
	if chg.Spec.StandardChange == "" || len(chg.Status.Implementations) == 0 {
		return Use{}, false
	}
	u := Use{Name: chg.Namespace + "/" + chg.Name, At: chg.Status.Implementations[0].At.Time}
	for i := range chg.Status.Implementations {
		if at := chg.Status.Implementations[i].At.Time; at.Before(u.At) {
			u.At = at
		}
	}
	u.Ended = chg.Status.Outcome != ""
	u.Failed = chg.Status.Outcome == v1alpha1.OutcomeUnsuccessful || chg.Status.Outcome == v1alpha1.OutcomeRolledBack
	if u.Ended {
		u.EndedAt = u.At
		if chg.Status.ClosedAt != nil {
			u.EndedAt = chg.Status.ClosedAt.Time
		}
	}
	return u, true
}

// NextStandardChanges is how the standard changes of a policy went: each by all its uses that are kept. One that
// failed too often in a row is suspended, and stays so though its Changes are deleted after their retention time,
// until the policy is edited: then only later failures count.
func NextStandardChanges(p *v1alpha1.ChangePolicy, uses map[string][]Use, now time.Time) []v1alpha1.StandardChangeStatus {
	edited := p.Status.ObservedGeneration != 0 && p.Status.ObservedGeneration != p.Generation
	var out []v1alpha1.StandardChangeStatus
	for _, c := range p.Spec.StandardChanges {
		before := v1alpha1.StandardChangeStatus{Name: c.Name}
		if at := slices.IndexFunc(p.Status.StandardChanges, func(s v1alpha1.StandardChangeStatus) bool { return s.Name == c.Name }); at >= 0 {
			before = p.Status.StandardChanges[at]
		}
		if edited && before.Suspended {
			before.Suspended = false
			since := metav1.NewTime(now.Truncate(time.Second))
			before.Since = &since
		}
		out = append(out, nextStandard(before, c.SuspendAfterFailures, uses[c.Name]))
	}
	return out
}

func nextStandard(before v1alpha1.StandardChangeStatus, limit int32, uses []Use) v1alpha1.StandardChangeStatus {
	s := v1alpha1.StandardChangeStatus{Name: before.Name, Suspended: before.Suspended, Since: before.Since}
	uses = slices.Clone(uses)
	slices.SortFunc(uses, func(a, b Use) int {
		return cmp.Or(b.EndedAt.Compare(a.EndedAt), b.At.Compare(a.At), cmp.Compare(a.Name, b.Name))
	})
	inARow := true
	for _, u := range uses {
		s.Used = plus(s.Used, 1)
		if s.LastUsed == nil || s.LastUsed.Time.Before(u.At) {
			at := metav1.NewTime(u.At.Truncate(time.Second))
			s.LastUsed = &at
		}
		if !u.Ended {
			continue
		}
		if u.Failed && s.LastFailed == "" {
			s.LastFailed = u.Name
		}
		counts := s.Since == nil || u.EndedAt.After(s.Since.Time)
		inARow = inARow && u.Failed && counts
		if inARow {
			s.Failed = plus(s.Failed, 1)
		}
	}
	const defaultLimit = 2
	s.Suspended = s.Suspended || s.Failed >= cmp.Or(limit, defaultLimit)
	return s
}
