package change

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// random makes a small world, each part of which is often on the edge of mattering.
func random(r *rand.Rand) *small {
	tagged := []string{repository + "2.3.0", repository + "2.3.1", repository + "2.4.0", repository + "2.4.0@sha256:" + strings.Repeat("a", 64), "evil.example/miner:1"}
	anyTemplate := func() *configuration.Template {
		return template([]string{"body", "body", "body", "other"}[r.IntN(4)], tagged[r.IntN(len(tagged))])
	}
	pick := func(n int) bool { return r.IntN(n) == 0 }
	s := &small{
		now: r.IntN(60), claims: tierOne, risk: RiskFacts{Tier: int32(1 + r.IntN(4))},
		votes: map[string][]*v1alpha1.ChangeApproval{}, releases: map[string][]ReleaseFact{},
		incidents: map[string]*IncidentFact{}, problems: map[string]*ProblemFact{},
	}
	s.enforced = []v1alpha1.Enforcement{v1alpha1.EnforcementAudit, v1alpha1.EnforcementWarn, v1alpha1.EnforcementEnforce, v1alpha1.EnforcementEnforce}[r.IntN(4)]
	if pick(20) {
		s.enforced = []v1alpha1.Enforcement{"", v1alpha1.EnforcementDisabled}[r.IntN(2)]
	}
	s.request = Request{Operation: []Operation{Template, Template, Template, Create, Release, Delete}[r.IntN(6)], Key: checkout, User: User{Name: "alice", ServiceAccount: pick(4)}, DryRun: pick(8)}
	if s.request.Operation != Create {
		s.request.Old = anyTemplate()
	}
	if s.request.Operation != Delete {
		s.request.New = anyTemplate()
	}
	if s.request.Operation == Release {
		s.request.Old = s.request.New
	}
	if s.request.Operation == Template && pick(12) {
		again := *s.request.Old
		again.RestartedAt, again.AlwaysPulled = "2026-11-23T10:00:00Z", []string{"app"}
		s.request.New = &again
	}
	if pick(2) {
		s.request.Change = fmt.Sprintf("change-%d", r.IntN(3))
	}
	if pick(5) {
		s.request.BreakGlass, s.request.BreakGlassPermitted = "fire", pick(2)
		s.request.BreakGlassBy = []string{"", "alice", "erin"}[r.IntN(3)]
	}
	sources := []v1alpha1.BaselineSource{v1alpha1.BaselineAdopted, v1alpha1.BaselineChange, v1alpha1.BaselineRollback, v1alpha1.BaselineUnauthorized, v1alpha1.BaselineBreakGlass}
	for range r.IntN(5) {
		b := baseline(anyTemplate(), by(sources[r.IntN(len(sources))], ""))
		b.Proven = !pick(3)
		if b.Source != v1alpha1.BaselineAdopted && pick(2) {
			b.Change = fmt.Sprintf("change-%d", r.IntN(3))
		}
		s.baselines = append(s.baselines, b)
	}
	if pick(3) {
		s.failed = []string{fmt.Sprintf("change-%d", r.IntN(3))}
	}
	s.calendar = make(hourly, 100)
	for i := 0; i < len(s.calendar); {
		open := pick(2)
		for range 1 + r.IntN(10) {
			if i < len(s.calendar) {
				s.calendar[i] = open
				i++
			}
		}
	}
	for i := range r.IntN(3) {
		s.policies = append(s.policies, randomPolicy(r, fmt.Sprintf("policy-%d", i)))
	}
	if pick(8) {
		s.claims = []Claim{{Service: "cart", Tier: 2, Through: otherWorkload}}
		s.twin = []v1alpha1.Baseline{baseline(anyTemplate())}
	}
	for i := range r.IntN(4) {
		s.randomChange(r, fmt.Sprintf("change-%d", i), anyTemplate())
	}
	if pick(4) {
		s.undecided = MaxUndecided - 1 + r.IntN(2)
	}
	if pick(4) {
		s.exhausted = []string{"checkout"}
	}
	for i := range r.IntN(3) {
		s.rollouts = append(s.rollouts, Rollout{Workload: configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: []string{"checkout", "cart", "search"}[i]}})
	}
	return s
}

func randomPolicy(r *rand.Rand, name string) *v1alpha1.ChangePolicy {
	pick := func(n int) bool { return r.IntN(n) == 0 }
	p := policy(name)
	for _, level := range []v1alpha1.RiskLevel{v1alpha1.RiskLow, v1alpha1.RiskMedium, v1alpha1.RiskHigh} {
		if pick(2) {
			rule := v1alpha1.ApprovalRule{Risk: level, Required: int32(r.IntN(3))}
			if pick(2) {
				rule.Groups = []v1alpha1.GroupName{[]v1alpha1.GroupName{"sre", "dev"}[r.IntN(2)]}
			}
			p.Spec.Approvals = append(p.Spec.Approvals, rule)
		}
	}
	if pick(3) {
		no := false
		p.Spec.SeparationOfDuties = &no
	}
	if pick(3) {
		p.Spec.ChangeWindow = &v1alpha1.ChangeWindow{CalendarRef: v1alpha1.LocalReference{Name: []v1alpha1.ObjectName{"office", "office", "missing"}[r.IntN(3)]}}
	}
	for i := range r.IntN(3) {
		from := r.IntN(60)
		f := v1alpha1.Freeze{Name: fmt.Sprintf("freeze-%d", i), From: stamp(from), To: stamp(from + 1 + r.IntN(20))}
		if pick(3) {
			f.Exempt = []v1alpha1.ChangeType{v1alpha1.ChangeNormal}
		}
		p.Spec.Freezes = append(p.Spec.Freezes, f)
	}
	if pick(3) {
		p.Spec.Emergency = &v1alpha1.EmergencyRule{Required: int32(r.IntN(2))}
	}
	if pick(3) {
		p.Spec.StandardChanges = []v1alpha1.StandardChange{{Name: "patch", Images: v1alpha1.ImageSameRepositoryPatch, Tiers: []int32{int32(1 + r.IntN(4)), 4}}}
		p.Status.StandardChanges = []v1alpha1.StandardChangeStatus{{Name: "patch", Suspended: pick(4)}}
	}
	if pick(4) {
		p.Spec.OnDenied = v1alpha1.OnDeniedDeny
	}
	p.Spec.Pin = []v1alpha1.Pin{"", v1alpha1.PinImages, v1alpha1.PinImages, v1alpha1.PinDigests, v1alpha1.PinTemplate}[r.IntN(5)]
	if pick(4) {
		p.Spec.Rollback = v1alpha1.RollbackRequireChange
	}
	p.Spec.RollbackRevisions = int32(r.IntN(4))
	p.Spec.FreezeOnExhaustedErrorBudget = pick(2)
	p.Spec.MaxConcurrentRollouts = int32(r.IntN(3))
	return p
}

func (s *small) randomChange(r *rand.Rand, name string, t *configuration.Template) {
	pick := func(n int) bool { return r.IntN(n) == 0 }
	if !pick(3) && s.request.New != nil {
		t = s.request.New
	}
	target := images(t.Images["app"])
	if pick(3) {
		target = pinnedTo(t)
	}
	c := changeOf(name, target, risk([]v1alpha1.RiskLevel{v1alpha1.RiskLow, v1alpha1.RiskMedium, v1alpha1.RiskMedium, v1alpha1.RiskHigh}[r.IntN(4)]))
	if pick(3) {
		c.Spec.Targets[0].Operations = []v1alpha1.Operation{v1alpha1.OperationCreate, v1alpha1.OperationDelete, v1alpha1.OperationTemplate}
	}
	if pick(2) {
		from := r.IntN(50)
		window(from, from+1+r.IntN(40))(c)
		if pick(15) {
			window(from, from-1)(c)
		}
	}
	s.randomType(r, c)
	if pick(5) {
		c.Spec.Requester = "system:serviceaccount:flux:apply"
	}
	if pick(2) {
		s.sound(r, c)
		return
	}
	c.Spec.Cancel = pick(10)
	c.Status.Digest = Digest(&c.Spec)
	if pick(10) {
		c.Status.Digest = hashOf("an earlier version")
	}
	if pick(10) {
		c.Status.Outcome = []v1alpha1.Outcome{v1alpha1.OutcomeSuccessful, v1alpha1.OutcomeRolledBack}[r.IntN(2)]
	}
	if pick(12) {
		c.Status.Backout = &v1alpha1.ChangeBackout{StartedAt: *at(2), Reason: v1alpha1.ChangeBackoutRolloutFailed}
	}
	if pick(5) {
		c.Labels = map[string]string{LabelFiledFor: FiledForDenied}
	}
	if pick(6) {
		c.Status.Approvals = &v1alpha1.Approvals{Required: int32(r.IntN(3))}
	}
	if pick(5) {
		s.randomReleases(r, name)
	}
	if pick(8) {
		c.Status.RejectedDigests = []v1alpha1.RejectedDigest{{Digest: []string{Digest(&c.Spec), hashOf("x")}[r.IntN(2)], By: "mallory", At: *at(1)}}
	}
	if pick(5) {
		c.Status.Implementations = []v1alpha1.Implementation{{
			Workload: c.Spec.Targets[r.IntN(len(c.Spec.Targets))].Workload, At: *at(2),
			Rollout: []v1alpha1.RolloutState{v1alpha1.RolloutComplete, v1alpha1.RolloutInProgress, v1alpha1.RolloutRolledBack}[r.IntN(3)],
		}}
	}
	if pick(4) {
		c.Status.ApprovedAt = at(r.IntN(30))
	}
	for i := range r.IntN(5) {
		v := vote(c, []string{"alice", "bob", "carol", "dave", "system:serviceaccount:ci:bot"}[r.IntN(5)], r.IntN(30)-2)
		v.Name = fmt.Sprintf("%s-%d", name, i)
		v.Spec.Group = []v1alpha1.GroupName{"", "sre", "sre", "dev"}[r.IntN(4)]
		if pick(8) {
			v.Spec.Digest = hashOf("an earlier version")
		}
		if pick(10) {
			v.Spec.Decision = v1alpha1.DecisionReject
		}
		s.votes[name] = append(s.votes[name], v)
	}
	s.changes = append(s.changes, c)
}

// sound leaves a Change with little that is wrong: that others stand in its way, or the times.
func (s *small) sound(r *rand.Rand, c *v1alpha1.Change) {
	if c.Spec.Window != nil && r.IntN(4) > 0 {
		window(s.now-r.IntN(5), s.now+1+r.IntN(10))(c)
	}
	c.Status.Digest = Digest(&c.Spec)
	for i, approver := range []string{"bob", "carol", "dave"} {
		v := vote(c, approver, r.IntN(20), forGroup([]string{"sre", "sre", "dev"}[i]))
		s.votes[c.Name] = append(s.votes[c.Name], v)
	}
	switch r.IntN(8) {
	case 0:
		s.randomReleases(r, c.Name)
	case 1:
		c.Status.Implementations = []v1alpha1.Implementation{{
			Workload: c.Spec.Targets[0].Workload, At: *at(2),
			Rollout: []v1alpha1.RolloutState{v1alpha1.RolloutComplete, v1alpha1.RolloutInProgress}[r.IntN(2)],
		}}
	}
	s.changes = append(s.changes, c)
}

// randomType makes some Changes Standard or Emergency ones, and has some refer to an Incident or a Problem.
func (s *small) randomType(r *rand.Rand, c *v1alpha1.Change) {
	pick := func(n int) bool { return r.IntN(n) == 0 }
	if pick(6) {
		c.Spec.Targets = append(c.Spec.Targets, v1alpha1.ChangeTarget{Workload: ReferenceTo(otherWorkload), Images: c.Spec.Targets[0].Images})
	}
	switch r.IntN(8) {
	case 0:
		c.Spec.Type, c.Spec.StandardChange = v1alpha1.ChangeStandard, []string{"patch", "patch", "other"}[r.IntN(3)]
	case 1:
		c.Spec.Type = v1alpha1.ChangeEmergency
	}
	if !pick(3) && c.Spec.Type == v1alpha1.ChangeEmergency || pick(5) {
		c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: "down"}
		s.incidents[c.Name] = &IncidentFact{Name: "down", Open: !pick(4), Services: []string{[]string{"checkout", "checkout", "cart"}[r.IntN(3)]}, Reporter: []string{"", "alice", "bob"}[r.IntN(3)], Observed: pick(3)}
	}
	if pick(3) {
		s.problems[c.Name] = &ProblemFact{Name: "leak", Open: !pick(3), Services: []string{[]string{"checkout", "cart"}[r.IntN(2)]}}
	}
}

// randomReleases go in under a Change: in the phase of the workload, in another, in none, or without it.
func (s *small) randomReleases(r *rand.Rand, name string) {
	for i := range 1 + r.IntN(2) {
		f := ReleaseFact{Name: fmt.Sprintf("release-%d", i), Why: "its phase does not run"}
		if r.IntN(4) > 0 {
			f.Units = []configuration.Key{otherWorkload, checkout}
		} else {
			f.Units = []configuration.Key{otherWorkload}
		}
		if r.IntN(2) == 0 {
			f.Open = []configuration.Key{f.Units[r.IntN(len(f.Units))]}
		}
		s.releases[name] = append(s.releases[name], f)
	}
}

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
		CauseNoRollback, CauseFilingLimit, CauseRestart,
	} {
		if causes[c] < worlds/200 {
			t.Errorf("%s was told %d times in %d worlds: they do not try it", c, causes[c], worlds)
		}
	}
	for _, turn := range []string{
		"annotation", "remedy", "phase", "Standard", "Emergency", "backed out", "concurrency", "an earlier one", "a rollout", "freeze", "budget",
		"one kept out",
	} {
		if turns[turn] < worlds/2000 {
			t.Errorf("a decision turned on %s %d times in %d worlds: they do not try it", turn, turns[turn], worlds)
		}
	}
	t.Log(verdicts, causes, turns)
}

// turnsOn says what made a decision: what lets a Change cover it, or what alone keeps the only Change out.
func (s *small) turnsOn(d *Decision) []string {
	o := oracle{s}
	var out []string
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
