package change

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// causesOf are the reasons of a decision, by Change; under "" those about none. Why there is no way back is left out.
func causesOf(d *Decision) map[string]map[CauseType]bool {
	out := map[string]map[CauseType]bool{}
	for _, c := range d.Reasons {
		if c.Type == CauseNoRollback {
			continue
		}
		if out[c.Change] == nil {
			out[c.Change] = map[CauseType]bool{}
		}
		out[c.Change][c.Type] = true
	}
	return out
}

func isOnly(set map[CauseType]bool, cause CauseType) bool { return len(set) == 1 && set[cause] }

func TestDecideAgreesWithTheOracle(t *testing.T) {
	worlds := 100_000
	if underRace {
		worlds = 10_000
	}
	verdicts, causes, turns := map[Verdict]int{}, map[CauseType]int{}, map[string]int{}
	for seed := range uint64(worlds) {
		s := random(rand.New(rand.NewPCG(seed, 1)))
		d := Decide(&s.request, s.world(), hour(s.now))
		verdicts[d.Verdict]++
		for _, c := range d.Reasons {
			causes[c.Type]++
		}
		if problem := s.disagrees(&d); problem != "" {
			t.Fatalf("world %d: %s by %q; %s\nreasons %v\nrequest %+v\nold %+v\nnew %+v\nbaselines %+v\nchanges %+v\nnow %d",
				seed, d.Verdict, d.Change, problem, d.Reasons, s.request, s.request.Old, s.request.New, s.baselines, s.changes, s.now)
		}
		for _, turn := range s.turnsOn(&d) {
			turns[turn]++
		}
		if seed%100 == 0 {
			if diff := cmp.Diff(d, Decide(&s.request, s.world(), hour(s.now))); diff != "" {
				t.Fatalf("world %d: decided again:\n%s", seed, diff)
			}
		}
	}
	for _, v := range []Verdict{NotGoverned, Unchanged, Rollback, Covered, PreAuthorised, BreakGlass, Warned, Audited, Denied} {
		if verdicts[v] < worlds/200 {
			t.Errorf("%s came up %d times in %d worlds: they do not try it", v, verdicts[v], worlds)
		}
	}
	for _, c := range []CauseType{
		CauseNoChange, CauseNotApproved, CauseRejected, CauseEnded, CauseOtherTemplate, CauseReleasePhase, CauseOtherOperation, CauseNotPinned,
		CauseOutsideWindow, CauseFrozen, CauseBudgetExhausted, CauseConflict, CauseInvalid, CauseAnnotation, CauseBreakGlass, CauseCopiedGlass, CauseTwin,
		CauseNoRollback, CauseFilingLimit, CauseRestart, CauseRollbackTo,
	} {
		if causes[c] < worlds/200 {
			t.Errorf("%s was told %d times in %d worlds: they do not try it", c, causes[c], worlds)
		}
	}
	for _, turn := range []string{
		"annotation", "remedy", "phase", "Standard", "Emergency", "backed out", "concurrency", "an earlier one", "a rollout", "freeze", "budget",
		"one kept out", "all Services of twins", "a Service of twins", "a Pod of several",
	} {
		if turns[turn] < worlds/3000 {
			t.Errorf("a decision turned on %s %d times in %d worlds: they do not try it", turn, turns[turn], worlds)
		}
	}
	t.Log(verdicts, causes, turns)
}

// turnsOn says what made a decision: what lets a Change cover it, or what alone keeps the only Change out.
func (s *small) turnsOn(d *Decision) []string {
	o := oracle{s}
	out := s.turnsOnTwins(d)
	if d.Verdict == Covered {
		c := s.changes[slices.IndexFunc(s.changes, func(c *v1alpha1.Change) bool { return c.Name == d.Change })]
		frozen := *s
		frozen.problems, frozen.incidents = nil, nil
		unnamed := *s
		unnamed.request.Change = ""
		for turn, holds := range map[string]bool{
			"annotation":        s.request.Change == d.Change && oracle{&unnamed}.verdict() != Covered,
			"remedy":            len(o.remedies(c)) > 0 && oracle{&frozen}.closed(c.Spec.Type, nil)[CauseBudgetExhausted],
			"phase":             len(o.releases[c.Name]) > 0,
			"one kept out":      o.heldBackByNone(c),
			string(c.Spec.Type): true,
		} {
			if holds {
				out = append(out, turn)
			}
		}
	}
	for _, c := range s.changes {
		faults := o.faults(c)
		switch {
		case d.Verdict == Covered || len(faults) != 1:
		case faults[CauseEnded] && c.Status.Backout != nil:
			out = append(out, "backed out")
		case faults[CauseFrozen]:
			out = append(out, "freeze")
		case faults[CauseBudgetExhausted]:
			out = append(out, "budget")
		case !faults[CauseConflict]:
		case o.crowded():
			out = append(out, "concurrency")
		case slices.ContainsFunc(s.changes, func(other *v1alpha1.Change) bool {
			return other != c && !o.over(other) && o.rollout(other) == v1alpha1.RolloutInProgress
		}):
			out = append(out, "a rollout")
		default:
			out = append(out, "an earlier one")
		}
	}
	return out
}

// turnsOnTwins says whether it was the agreement of several Services, or the want of one's, that made a decision.
func (s *small) turnsOnTwins(d *Decision) []string {
	o := oracle{s}
	services, some := map[string]bool{}, false
	for _, c := range s.claims {
		services[c.Service] = true
	}
	for _, twin := range s.twins {
		b := newestAgreed(twin.Baselines)
		some = some || b != nil && s.request.New != nil && b.TemplateHash == s.request.New.Hash
	}
	switch renewed := s.request.Operation == Template && s.request.Old.Hash == s.request.New.Hash; {
	case len(services) < 2 || o.base() != nil || renewed || d.Verdict == NotGoverned:
	case o.pod() && d.Verdict == Unchanged && len(s.twins) > 1:
		return []string{"a Pod of several", "all Services of twins"}
	case d.Verdict == Unchanged:
		return []string{"all Services of twins"}
	case some:
		return []string{"a Service of twins"}
	}
	return nil
}

// heldBackByNone: one that was agreed to earlier, and in time, is kept out for good, and so does not hold this one back.
func (o oracle) heldBackByNone(c *v1alpha1.Change) bool {
	ours, _ := o.approvedAt(c)
	return slices.ContainsFunc(o.changes, func(other *v1alpha1.Change) bool {
		theirs, ok := o.approvedAt(other)
		return other != c && ok && theirs < ours && !o.over(other) && o.rollout(other) == "" && o.inWindow(other, o.now) &&
			len(o.closed(other.Spec.Type, o.remedies(other))) == 0 && o.keptOutForGood(other)
	})
}

// disagrees says what of a decision is not what the oracle says; empty: nothing.
func (s *small) disagrees(d *Decision) string {
	o := oracle{s}
	if want := o.verdict(); d.Verdict != want {
		return "the oracle says " + string(want)
	}
	if d.Allowed != (d.Verdict != Denied || s.request.DryRun) {
		return fmt.Sprintf("allowed is %v", d.Allowed)
	}
	restarted := s.request.Operation == Template && len(s.request.New.AlwaysPulled) > 0
	files := false
	switch d.Verdict {
	case NotGoverned, Rollback, BreakGlass:
	case Unchanged:
		if (len(d.Reasons) > 0) != restarted {
			return fmt.Sprintf("a restart is %v", restarted)
		}
	case Covered:
		if want := o.covering(); d.Change != want {
			return "the oracle says that " + want + " covers it"
		}
	case PreAuthorised:
		name, _ := o.standardFor()
		if d.StandardChange != name {
			return "the oracle says that it is standard change " + name
		}
		files = s.enforced == v1alpha1.EnforcementEnforce && !s.request.DryRun
	case Denied, Warned, Audited:
		got, want := causesOf(d), o.reasons()
		for _, change := range slices.Sorted(maps.Keys(want)) {
			if isOnly(want[change], CauseEnded) && got[change][CauseEnded] {
				delete(got, change) // what else is told of what has ended does not matter
				continue
			}
			if !maps.Equal(got[change], want[change]) {
				return fmt.Sprintf("of Change %q the oracle says %v", change, slices.Sorted(maps.Keys(want[change])))
			}
			delete(got, change)
		}
		if len(got) > 0 {
			return fmt.Sprintf("told of %v besides", got)
		}
		files = d.Verdict == Denied && !s.request.DryRun && o.wouldFile() && s.undecided < MaxUndecided
	}
	if (d.File != nil) != files {
		return fmt.Sprintf("the oracle says that it files a Change: %v", files)
	}
	return ""
}
