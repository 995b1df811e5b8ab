package change

import (
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// rollback returns the place, in the baselines, of the earlier template that a request brings back; -1: it is none,
// or may not come back without a Change, which the report then says. A rollback goes in at any time, freeze or not.
func rollback(r *Request, w *World, rules *Rules, rep *report) int {
	if r.Operation != Template && r.Operation != Release || r.New == nil {
		return -1
	}
	for i := 1; i < len(w.Baselines); i++ {
		b := &w.Baselines[i]
		if b.Source == v1alpha1.BaselineUnauthorized || !r.New.IsBaseline(*b, rules.IgnoredAnnotationPrefixes) {
			continue
		}
		// The newest time that it was let in decides: if that went wrong, its having gone well before does not help.
		if mayReturn(i, b, w, rules, rep) {
			return i
		}
		return -1
	}
	return -1
}

// Restores says whether a request that is let in as Unchanged puts what is agreed back in the place of what came in past the
// gate. Nobody must agree to that, and it is remembered as the rollback that it is: else it would count as having come in
// past the gate itself.
func Restores(r *Request, w *World) bool {
	rules := w.Rules
	if rules == nil {
		rules = defaultRules
	}
	base := agreed(w.Baselines)
	if r.Operation != Template && r.Operation != Release || r.New == nil || base == nil || base == &w.Baselines[0] {
		return false
	}
	return isAgreed(r, base, rules)
}

// NoReturn says why a template that a workload runs could not come back without a Change, once another one has taken its
// place; empty: it could.
func NoReturn(t *configuration.Template, w *World) string {
	rules := w.Rules
	if rules == nil {
		rules = defaultRules
	}
	for i := range w.Baselines {
		b := &w.Baselines[i]
		if b.Source == v1alpha1.BaselineUnauthorized || !t.IsBaseline(*b, rules.IgnoredAnnotationPrefixes) {
			continue
		}
		rep := &report{}
		mayReturn(i, b, w, rules, rep)
		if rules.RollbackRevisions < 1 {
			rep.fail(CauseNoRollback, "", "", "the ChangePolicy lets nothing come back (rollbackRevisions: 0)")
		}
		why := make([]string, 0, len(rep.causes))
		for _, c := range rep.causes {
			why = append(why, strings.TrimPrefix(c.Message, "it is an earlier template, but "))
		}
		return strings.Join(why, "; ")
	}
	return "nobody agreed to it: it is no baseline"
}

func mayReturn(i int, b *v1alpha1.Baseline, w *World, rules *Rules, rep *report) bool {
	ok := true
	no := func(why string) {
		ok = rep.fail(CauseNoRollback, b.Change, "", "it is an earlier template, but %s", why)
	}
	if rules.Rollback != v1alpha1.RollbackAllow {
		no("the ChangePolicy wants a Change for a rollback too (rollback: " + string(rules.Rollback) + ")")
	}
	if i > int(rules.RollbackRevisions) {
		no("older than the last " + plural(int(rules.RollbackRevisions), "revision") + " that a rollback may go back")
	}
	if !b.Proven {
		no("it is not proven: it was never completely rolled out and ready for " + rules.Proven.String())
	}
	switch {
	case b.Change != "" && b.Source != v1alpha1.BaselineRollback && slices.Contains(w.FailedChanges, b.Change):
		no("Change " + b.Change + ", which brought it, failed or was rolled back; going forward again needs a Change")
	case configuration.Undone(w.Baselines, i):
		no("it was rolled back; going forward again needs a Change")
	}
	return ok
}

// wentBack says whether an earlier template, which is tells, was rolled back or came by a Change that failed, when it was in
// last. Whoever asks for it again and again, as a GitOps controller does whose source was not reverted, would bring it back
// unseen where its risk needs no vote.
func wentBack(baselines []v1alpha1.Baseline, failed []string, is func(*v1alpha1.Baseline) bool) bool {
	for i := range baselines {
		b := &baselines[i]
		if b.Source == v1alpha1.BaselineUnauthorized || !is(b) {
			continue
		}
		byFailed := b.Change != "" && b.Source != v1alpha1.BaselineRollback && slices.Contains(failed, b.Change)
		return i > 0 && (byFailed || configuration.Undone(baselines, i))
	}
	return false
}

// undone says whether what a Change let in last was rolled back.
func undone(change string, baselines []v1alpha1.Baseline) bool {
	for i := range baselines {
		if baselines[i].Change == change && baselines[i].Source != v1alpha1.BaselineRollback {
			return configuration.Undone(baselines, i)
		}
	}
	return false
}
