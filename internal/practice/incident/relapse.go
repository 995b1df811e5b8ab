package incident

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// maxSlowHold is the day in which restarts make a slow loop: after one without any, there is none.
	maxSlowHold = day
	// relapseGrace is how long the container of a slow loop may take to run again until it counts as failing.
	relapseGrace = time.Minute
)

// holdAfter is how long it must be well after a finding. A slow loop that was believed to be over and was not is held twice
// as long each time, and half as long again as it paused before its last crash: it would be resolved and opened again at
// every one.
func (c *correlation) holdAfter(f Finding) time.Duration {
	hold := min(f.Hold, maxRecoveryHold)
	if !f.Slow {
		return hold
	}
	times := c.subject.Reopened
	if c.subject.Resolved {
		times++ // now
	}
	if times > 0 {
		hold = max(hold<<min(times, 10), f.Pause*3/2)
	}
	return min(hold, maxSlowHold)
}

// relapsed is for a slow loop that is still open, seemed to be over, and crashed once more. Its container runs again by
// then: what is news is since when, and that is written once, not that it failed for a moment, then that it does not, and
// each by two who write. It reports whether that is all; where it stays down, or more fails, it is not.
func (c *correlation) relapsed() bool {
	if !c.onlySlowLoops() {
		return false
	}
	last := c.RecoveredAt.Time
	for i := range c.result.Findings {
		last = later(last, c.result.Findings[i].LastAt)
	}
	runs := c.result.Running
	patience := last.Add(relapseGrace)
	switch {
	case runs.Evident && !last.After(c.RecoveredAt.Time):
		// It is the crash from which it recovered.
		return true
	case runs.Evident && !runs.Since.Before(last) && !runs.Since.Add(minWell).After(c.now):
		c.runsSince(runs.Since)
		return true
	case patience.After(c.now) && c.RecoveredAt.Add(time.Duration(c.RecoveryHoldSeconds)*time.Second).After(patience):
		c.next = sooner(c.next, patience)
		if runs.Evident {
			c.next = sooner(c.next, runs.Since.Add(minWell))
		}
		return true
	default:
		return false
	}
}

// onlySlowLoops reports whether all that is found are slow loops of which the incident tells, whose end is not believed yet.
func (c *correlation) onlySlowLoops() bool {
	s := &c.subject
	switch {
	case s.Resolved, s.SwitchedOff, c.result.Gone, len(c.result.Findings) == 0, Active(c.Signals):
		return false
	case c.RecoveredAt == nil, c.RecoveredAt.After(c.now):
		return false
	case c.RecoveredTemplateHash != c.FailedTemplateHash, c.RecoveredTemplateHash != s.TemplateHash:
		return false
	}
	return !slices.ContainsFunc(c.result.Findings, func(f Finding) bool {
		return !f.Slow || !slices.ContainsFunc(c.Signals, func(s v1alpha1.Signal) bool { return sameSignal(s, f) })
	})
}

// runsSince takes down another crash, and since when it is well again.
func (c *correlation) runsSince(since time.Time) {
	at := metav1.NewTime(since.Truncate(time.Second))
	for i := range c.Signals {
		if f := c.findingOf(c.Signals[i]); f != nil {
			c.renew(&c.Signals[i], *f)
			c.Signals[i].ClearedAt = at.DeepCopy()
		}
	}
	c.RecoveredAt = &at
}

// repaired reports whether a slow loop that seemed to be over got another template since, by which it is well: that has not
// failed, and need not run for as long to be believed.
func (c *correlation) repaired() bool {
	return !c.subject.Resolved && c.RecoveryHoldSeconds > int32(maxRecoveryHold/time.Second) && c.result.Well.Evident &&
		c.subject.TemplateHash != "" && c.subject.TemplateHash != c.RecoveredTemplateHash
}
