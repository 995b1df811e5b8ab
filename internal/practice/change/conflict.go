package change

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// gate holds what decides when a Change may go in. The gate on workloads and the Change's own status ask the same one.
type gate struct {
	rules *Rules
	// candidates that have a workload in common with the Change, itself among them.
	candidates []*Candidate
	// concurrency of the namespace.
	concurrency Concurrency
	// baselines of the workload, and whether it exists.
	baselines []v1alpha1.Baseline
	exists    bool
	// exhausted are the Services of the workload whose error budget is spent.
	exhausted []string
	// chosen is the Change that the workload's annotation names: it may go before those that yield. Empty: none.
	chosen string
	now    time.Time
}

// admits says whether a Change may go in now, as far as one of its targets is concerned.
func (g *gate) admits(c *Candidate, t *Target, rep *report) bool {
	ok := c.ready(rep)
	if !ok && rep == nil {
		return false
	}
	ok = g.inTime(c, rep) && ok
	if !ok && rep == nil {
		return false
	}
	return g.free(c, t.Key, rep) && ok
}

// ready says whether a Change is agreed to, and not ended.
func (c *Candidate) ready(rep *report) bool {
	if rep == nil {
		return c.Ended == NotEnded && len(c.Invalid) == 0 && c.Approval.Approved
	}
	ok := true
	switch c.Ended {
	case NotEnded:
		if !c.Approval.Approved {
			ok = rep.fail(CauseNotApproved, c.Name, "", "it lacks %s", cmp.Or(c.Approval.Missing, "approval"))
		}
	case EndedRejected:
		ok = rep.fail(CauseRejected, c.Name, "", "%s", c.EndedWhy)
	case EndedCanceled, EndedBackedOut, EndedClosed:
		ok = rep.fail(CauseEnded, c.Name, "", "%s", c.EndedWhy)
	}
	for _, what := range c.Invalid {
		ok = rep.fail(CauseInvalid, c.Name, "", "%s", what)
	}
	return ok
}

// inTime says whether a Change's window is open, and nothing is frozen.
func (g *gate) inTime(c *Candidate, rep *report) bool {
	ok := true
	switch {
	case c.Window.Contains(g.now) && !c.Window.IsZero():
	case rep == nil:
		return false
	case !c.Window.IsZero():
		ok = rep.fail(CauseOutsideWindow, c.Name, "", "its window is from %s to %s", g.show(c.Window.From), g.show(c.Window.To))
	case c.Approval.Approved && c.Approval.At.IsZero():
		ok = rep.fail(CauseOutsideWindow, c.Name, "", "it needs no vote, and from when on it may go in is about to be recorded: retry in a moment")
	case c.Approval.Approved:
		ok = rep.fail(CauseOutsideWindow, c.Name, "", "no hours are open for it within two years")
	default: // It gets its window with its approval.
		ok = false
	}
	return g.open(c.Name, c.Type, c.Remedies, rep) && ok
}

// open says whether the change windows are open for a type of change, and no freeze is on.
func (g *gate) open(name string, t v1alpha1.ChangeType, remedies []string, rep *report) bool {
	ok := true
	if w := g.rules.closedWindow(t, g.now); w != nil {
		if rep == nil {
			return false
		}
		ok = rep.fail(CauseOutsideWindow, name, "", "%s", w.Closed())
	}
	if f := g.rules.freezeAt(t, g.now); f != nil {
		if rep == nil {
			return false
		}
		ok = rep.fail(CauseFrozen, name, "", "freeze %s of ChangePolicy %s is on %s%s", f.Name, f.Policy, g.until(f.To), because(f.Reason))
	}
	if service := budgetFreeze(g.rules, g.exhausted, remedies); service != "" {
		if rep == nil {
			return false
		}
		ok = rep.fail(CauseBudgetExhausted, name, "",
			"the error budget of Service %s is spent; only a Change that refers to its open Incident or Problem goes in", service)
	}
	return ok
}

// free says whether no other Change stands in the way of one, on a workload. C is nil for a change that would be
// filed now: all others are earlier.
func (g *gate) free(c *Candidate, key configuration.Key, rep *report) bool {
	name, ok := "", true
	if c != nil {
		name = c.Name
	}
	for _, other := range g.candidates {
		if other == c || other.Name == name {
			continue
		}
		why := g.precedes(other, c, key)
		if why == notBefore || why == goesFirst && name != "" && name == g.chosen && other.yieldsTo(c) {
			continue
		}
		if rep == nil {
			return false
		}
		if why == isRollingOut {
			ok = rep.fail(CauseConflict, name, "", "Change %s is being rolled out on %s; wait until that is done, or cancel it", other.Name, nameOf(key))
		} else {
			ok = rep.fail(CauseConflict, name, "", "Change %s on %s %s", other.Name, nameOf(key), g.untilWhen(other, c))
		}
	}
	if most := int(g.rules.MaxConcurrentRollouts); most > 0 && g.concurrency.reaches(most, key, g.now) {
		if rep == nil {
			return false
		}
		ok = rep.fail(CauseConflict, name, "", "other workloads of the namespace are being rolled out, and the ChangePolicy allows %d at a time", most)
	}
	return ok
}

type precedence int

const (
	notBefore precedence = iota
	goesFirst
	isRollingOut
)

// precedes says whether another Change on the workload goes before this one: it is being rolled out, or its gate is
// open too and it was approved earlier. What was rolled out, and is only watched, stands in nobody's way, nor does what
// no rule will let in as it is; and an Emergency does not wait for what has not begun.
func (g *gate) precedes(other, c *Candidate, key configuration.Key) precedence {
	t := other.targetOf(key)
	if t == nil || other.Ended != NotEnded {
		return notBefore
	}
	if t.Rollout == v1alpha1.RolloutInProgress {
		return isRollingOut
	}
	switch {
	case t.Rollout != "", !other.Approval.Approved, len(other.Invalid) > 0, other.Window.IsZero(), !other.Window.Contains(g.now):
		return notBefore
	case c != nil && (c.Type == v1alpha1.ChangeEmergency || !other.approvedBefore(c)):
		return notBefore
	case !g.open(other.Name, other.Type, other.Remedies, nil), !g.possible(other, t, nil):
		return notBefore
	}
	return goesFirst
}

// possible says whether what a Change asks of a workload can go in at all: not while it, the policies and what is agreed to
// run there stay as they are. Of a template that it pins by hash no more is known than the images that it names beside.
func (g *gate) possible(c *Candidate, t *Target, rep *report) bool {
	if undone(c.Name, g.baselines) {
		return rep.fail(CauseEnded, "", "", "it was rolled back; going forward again needs another Change")
	}
	ok := t.operates(g.exists, rep)
	if !ok && rep == nil || g.exists && slices.Contains(t.Operations, v1alpha1.OperationDelete) {
		return ok
	}
	return t.exact(agreed(g.baselines), g.rules, rep) && ok
}

// yieldsTo says whether a Change that goes first lets one pass that the workload's annotation chose. The order of
// approval is a courtesy and not a right: both are agreed to, and nothing of this one is in. But what has begun on any
// of its workloads is one thing and goes on, a Release whose phase runs is about to write, and an Emergency waits only
// for another.
func (c *Candidate) yieldsTo(other *Candidate) bool {
	return other != nil && c.Type != v1alpha1.ChangeEmergency &&
		!slices.ContainsFunc(c.Targets, func(t Target) bool { return t.Rollout != "" }) &&
		!slices.ContainsFunc(c.Releases, func(r ReleaseFact) bool { return len(r.Open) > 0 })
}

// untilWhen says of a Change that goes first how long it does, and how the one that waits may pass it.
func (g *gate) untilWhen(first, c *Candidate) string {
	words := "was approved earlier and goes first, until it is rolled out or its window ends (" + g.show(first.Window.To) + ")"
	if first.yieldsTo(c) {
		words += ", unless the workload's annotation " + v1alpha1.AnnotationChange + " names " + c.Name
	}
	return words
}

// approvedBefore orders Changes by the time of their approval, then by name. One that is not approved is the last.
func (c *Candidate) approvedBefore(other *Candidate) bool {
	if !other.Approval.Approved {
		return true
	}
	return cmp.Or(c.Approval.At.Compare(other.Approval.At), cmp.Compare(c.Name, other.Name)) < 0
}

// ComingFor is how long what was let in counts as being rolled out before that is seen. Watches tell of it within a second or
// so; what they have not told of by then was refused after all, by what the API server asks after the gate.
const ComingFor = 10 * time.Second

// reaches says whether as many workloads, other than one, are being rolled out, or are about to be.
func (c *Concurrency) reaches(most int, except configuration.Key, now time.Time) bool {
	if c.AtMost < most {
		return false
	}
	n := 0
	for workload := range c.underWay(now) {
		if workload != except {
			n++
		}
		if n >= most {
			return true
		}
	}
	return false
}

// underWay are the workloads that are being rolled out, and those that are about to be.
func (c *Concurrency) underWay(now time.Time) iter.Seq[configuration.Key] {
	return func(yield func(configuration.Key) bool) {
		if c.Rollouts != nil {
			for r := range c.Rollouts {
				if !yield(r.Workload) {
					return
				}
			}
		}
		if c.Coming == nil {
			return
		}
		for next := range c.Coming {
			if now.Sub(next.At) < ComingFor && !yield(next.Workload) {
				return
			}
		}
	}
}

// show writes a time as people in the zone of the change window read it.
func (g *gate) show(t time.Time) string { return g.rules.show(t) }

func (g *gate) until(t time.Time) string {
	if t.IsZero() {
		return "for good"
	}
	return "until " + g.show(t)
}

func (r *Rules) show(t time.Time) string {
	if t.IsZero() {
		return "ever"
	}
	zone := time.UTC
	for i := range r.Windows {
		if r.Windows[i].Hours != nil {
			zone = zoneOf(r.Windows[i].Hours)
			break
		}
	}
	return t.In(zone).Format("2006-01-02 15:04 MST")
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + brief(plain(reason), maxShownText) + ")"
}
