package change

import (
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Outlook is what change windows and dated freezes hold for a type of change at a time. It says nothing of votes,
// conflicts and error budgets.
type Outlook struct {
	// Open: neither a change window nor a freeze keeps it out.
	Open bool
	// Until is up to when that stays so at least; zero: for good, or beyond what the calendars know.
	Until time.Time
	// Next is when it goes in at the earliest: now where Open; zero: not within two years.
	Next time.Time
	// Window is a change window that is closed; nil: none.
	Window *NamedCalendar
	// Freeze that is on, of several the one that ends last; nil: none.
	Freeze *Freeze
}

// Outlook of a type of change at a time.
func (r *Rules) Outlook(t v1alpha1.ChangeType, now time.Time) Outlook {
	out := Outlook{Window: r.closedWindow(t, now), Freeze: r.freezeAt(t, now)}
	out.Open, out.Until = r.openAt(t, now)
	out.Next, _ = r.nextOpening(t, now)
	return out
}

// VotesFor is how many votes a change of a type and risk needs, and from which groups, where nothing pre-authorises it.
func (r *Rules) VotesFor(t v1alpha1.ChangeType, level v1alpha1.RiskLevel) Quorum {
	b := ballot{clauses: r.clausesFor(t, level, nil)}
	return Quorum{Required: votesNeeded(b.clauses), Groups: b.groups()}
}

// Zone is the time zone in which people read the times of these rules: that of the first change window.
func (r *Rules) Zone() *time.Location {
	for i := range r.Windows {
		if r.Windows[i].Hours != nil {
			return zoneOf(r.Windows[i].Hours)
		}
	}
	return time.UTC
}

// Return says whether an earlier template may come back.
type Return struct {
	// Baseline is its place among the World's.
	Baseline int
	// But is what keeps it out; none: it may come back at any time, freeze or not.
	But []string
}

// Returns says, of each template that ran before what runs, whether it may come back without a Change: of one that
// ran more than once, its newest time decides. What nobody agreed to is left out.
func Returns(w *World) []Return {
	rules := w.Rules
	if rules == nil {
		rules = defaultRules
	}
	var out []Return
	seen := map[string]bool{}
	for i := range w.Baselines {
		b := &w.Baselines[i]
		if b.Source == v1alpha1.BaselineUnauthorized || seen[b.TemplateHash] {
			continue
		}
		seen[b.TemplateHash] = true
		if i == 0 {
			continue
		}
		rep := &report{}
		mayReturn(i, b, w, rules, rep)
		entry := Return{Baseline: i}
		for _, c := range rep.causes {
			entry.But = append(entry.But, c.Message)
		}
		out = append(out, entry)
	}
	return out
}
