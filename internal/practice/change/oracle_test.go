package change

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// The oracle answers the gate's question the slow way: from the objects as people write them, hour by hour, without
// any of the code under test but the risk of what is asked for (which has a table of its own) and the digest.

// small is a world of few templates, Changes, votes, policies and hours.
type small struct {
	request   Request
	enforced  v1alpha1.Enforcement
	claims    []Claim
	policies  []*v1alpha1.ChangePolicy
	calendar  hourly
	baselines []v1alpha1.Baseline
	failed    []string
	changes   []*v1alpha1.Change
	votes     map[string][]*v1alpha1.ChangeApproval
	risk      RiskFacts
	exhausted []string
	rollouts  []Rollout
	now       int
}

func (s *small) world() *World {
	rules := Merge(s.policies, map[string]Calendar{"office": s.calendar})
	w := &World{
		Claims: s.claims, Enforcement: s.enforced, Rules: rules, Baselines: s.baselines, FailedChanges: s.failed, Risk: s.risk,
		Concurrency: Concurrency{Rollouts: slices.Values(s.rollouts), AtMost: len(s.rollouts)}, ExhaustedBudgets: s.exhausted,
	}
	for _, c := range s.changes {
		w.Candidates = append(w.Candidates, Prepare(Agreed{Change: c, Approvals: s.votes[c.Name], Rules: rules}))
	}
	return w
}

type oracle struct{ *small }

func (o oracle) verdict() Verdict {
	if o.enforced == v1alpha1.EnforcementDisabled || o.enforced == "" {
		return NotGoverned
	}
	r := &o.request
	if r.Operation != Delete {
		if r.Operation == Template && r.Old.Hash == r.New.Hash {
			return Unchanged
		}
		if b := o.base(); b != nil && b.TemplateHash == r.New.Hash {
			return Unchanged
		}
	}
	if o.rollback() {
		return Rollback
	}
	if slices.ContainsFunc(o.changes, o.covers) {
		return Covered
	}
	if o.preauthorised() {
		return PreAuthorised
	}
	if r.BreakGlass != "" && r.BreakGlassPermitted && !r.User.ServiceAccount && r.Operation != Delete {
		return BreakGlass
	}
	switch o.enforced {
	case v1alpha1.EnforcementWarn:
		return Warned
	case v1alpha1.EnforcementAudit:
		return Audited
	case v1alpha1.EnforcementEnforce, v1alpha1.EnforcementDisabled:
	}
	return Denied
}

func (o oracle) base() *v1alpha1.Baseline {
	for i, b := range o.baselines {
		if b.Source != v1alpha1.BaselineUnauthorized {
			return &o.baselines[i]
		}
	}
	return nil
}

// history is the templates of the baselines, oldest first, with rollbacks undoing what they went back over.
func (o oracle) undone(place int) bool {
	// A rollback at i restored hash h, which was in before at some k > i; all in between was undone.
	for i := range place {
		if o.baselines[i].Source != v1alpha1.BaselineRollback || o.baselines[i].TemplateHash == o.baselines[place].TemplateHash {
			continue
		}
		k := i + 1
		for k < len(o.baselines) && o.baselines[k].TemplateHash != o.baselines[i].TemplateHash {
			k++
		}
		if place < k {
			return true
		}
	}
	return false
}

func (o oracle) rollback() bool {
	r := &o.request
	if r.Operation != Template && r.Operation != Release {
		return false
	}
	revisions := 10
	for _, p := range o.policies {
		if p.Spec.Rollback == v1alpha1.RollbackRequireChange {
			return false
		}
		if n := int(p.Spec.RollbackRevisions); n > 0 {
			revisions = min(revisions, n)
		}
	}
	for i, b := range o.baselines {
		if i == 0 || b.TemplateHash != r.New.Hash || b.Source == v1alpha1.BaselineUnauthorized {
			continue
		}
		failed := b.Source != v1alpha1.BaselineRollback && b.Change != "" && slices.Contains(o.failed, b.Change)
		return b.Proven && i <= revisions && !failed && !o.undone(i)
	}
	return false
}

func (o oracle) covers(c *v1alpha1.Change) bool {
	if o.ended(c) || !o.agreed(c) || !o.openFor(o.now, c.Spec.Type) || o.budget() || !o.inWindow(c, o.now) {
		return false
	}
	for i, b := range o.baselines {
		if b.Change == c.Name && b.Source != v1alpha1.BaselineRollback {
			if o.undone(i) {
				return false
			}
			break
		}
	}
	return o.matches(c) && !o.inConflict(c)
}

func (o oracle) ended(c *v1alpha1.Change) bool {
	if c.Spec.Cancel || c.Status.Outcome != "" || c.Status.ClosedAt != nil {
		return true
	}
	for _, i := range c.Status.Implementations {
		if i.Rollout == v1alpha1.RolloutRolledBack {
			return true
		}
	}
	for _, d := range c.Status.RejectedDigests {
		if d.Digest == Digest(&c.Spec) {
			return true
		}
	}
	for _, v := range o.votes[c.Name] {
		if v.Spec.Decision == v1alpha1.DecisionReject && v.Spec.Digest == Digest(&c.Spec) && o.eligible(c, v) {
			return true
		}
	}
	return false
}

// needs is, for each policy, how many votes and of which groups.
func (o oracle) needs(c *v1alpha1.Change) []v1alpha1.ApprovalRule {
	var out []v1alpha1.ApprovalRule
	level := c.Status.Risk.Level
	extra := int32(0)
	if o.separation() && strings.HasPrefix(string(c.Spec.Requester), "system:serviceaccount:") {
		extra = 1
	}
	byDefault := map[v1alpha1.RiskLevel]int32{v1alpha1.RiskLow: 0, v1alpha1.RiskMedium: 1, v1alpha1.RiskHigh: 2}[level]
	if len(o.policies) == 0 {
		out = append(out, v1alpha1.ApprovalRule{Required: byDefault})
	}
	for _, p := range o.policies {
		rule := v1alpha1.ApprovalRule{Required: byDefault}
		for _, a := range p.Spec.Approvals {
			if a.Risk == level {
				rule = a
			}
		}
		out = append(out, rule)
	}
	for i := range out {
		if out[i].Required > 0 {
			out[i].Required += extra
		}
	}
	return out
}

func (o oracle) separation() bool {
	for _, p := range o.policies {
		if p.Spec.SeparationOfDuties == nil || *p.Spec.SeparationOfDuties {
			return true
		}
	}
	return len(o.policies) == 0
}

func (o oracle) eligible(c *v1alpha1.Change, v *v1alpha1.ChangeApproval) bool {
	if o.separation() && v.Spec.Approver == c.Spec.Requester {
		return false
	}
	if strings.HasPrefix(string(v.Spec.Approver), "system:serviceaccount:") {
		return false
	}
	if v.CreationTimestamp.Before(&c.CreationTimestamp) && v.Spec.Decision == v1alpha1.DecisionApprove {
		return false
	}
	for _, n := range o.needs(c) {
		if len(n.Groups) == 0 || slices.Contains(n.Groups, v.Spec.Group) {
			return true
		}
	}
	return false
}

// newest votes that count, by approver.
func (o oracle) counted(c *v1alpha1.Change) map[v1alpha1.UserName]*v1alpha1.ChangeApproval {
	out := map[v1alpha1.UserName]*v1alpha1.ChangeApproval{}
	for _, v := range o.votes[c.Name] {
		if v.Spec.Digest != Digest(&c.Spec) || !o.eligible(c, v) {
			continue
		}
		old := out[v.Spec.Approver]
		if old == nil || old.CreationTimestamp.Before(&v.CreationTimestamp) || old.CreationTimestamp.Equal(&v.CreationTimestamp) && old.Name < v.Name {
			out[v.Spec.Approver] = v
		}
	}
	return out
}

func (o oracle) agreed(c *v1alpha1.Change) bool {
	_, ok := o.approvedAt(c)
	return ok
}

func (o oracle) approvedAt(c *v1alpha1.Change) (int, bool) {
	if c.Status.Digest != Digest(&c.Spec) {
		return 0, false
	}
	latest := -1000
	for _, n := range o.needs(c) {
		var times []int
		for _, v := range o.counted(c) {
			if v.Spec.Decision == v1alpha1.DecisionApprove && (len(n.Groups) == 0 || slices.Contains(n.Groups, v.Spec.Group)) {
				times = append(times, int(v.CreationTimestamp.Sub(monday).Hours()))
			}
		}
		slices.Sort(times)
		if len(times) < int(n.Required) {
			return 0, false
		}
		if n.Required > 0 {
			latest = max(latest, times[n.Required-1])
		}
	}
	if c.Status.ApprovedAt != nil {
		return int(c.Status.ApprovedAt.Sub(monday).Hours()), true
	}
	return latest, true
}

// openFor says whether change windows and freezes let a type of change in, in the hour that begins at n.
func (o oracle) openFor(n int, t v1alpha1.ChangeType) bool {
	for _, p := range o.policies {
		if p.Spec.ChangeWindow != nil && t == v1alpha1.ChangeNormal && (p.Spec.ChangeWindow.CalendarRef.Name != "office" || !o.calendar.open(n)) {
			return false
		}
		for _, f := range p.Spec.Freezes {
			exempt := f.Exempt == nil && t == v1alpha1.ChangeEmergency || slices.Contains(f.Exempt, t)
			if f.From <= stamp(n) && stamp(n) < f.To && !exempt {
				return false
			}
		}
	}
	return true
}

func (o oracle) inWindow(c *v1alpha1.Change, n int) bool {
	if w := c.Spec.Window; w != nil {
		return w.Start <= stamp(n) && stamp(n) < w.End
	}
	from, ok := o.approvedAt(c)
	if !ok || from == -1000 {
		return false
	}
	left := 24
	for h := from; h <= n; h++ {
		if !o.openFor(h, c.Spec.Type) {
			continue
		}
		if h == n {
			return left > 0
		}
		left--
	}
	// Closed in this hour; the window goes on if it has begun and hours are left, but it is closed anyway.
	return false
}

func (o oracle) budget() bool {
	for _, p := range o.policies {
		if p.Spec.FreezeOnExhaustedErrorBudget && len(o.exhausted) > 0 {
			return true
		}
	}
	return false
}

func (o oracle) matches(c *v1alpha1.Change) bool {
	return o.exact(c) && o.about(c)
}

// exact says whether a Change pins as the policies demand.
func (o oracle) exact(c *v1alpha1.Change) bool {
	if o.request.New == nil {
		return true
	}
	image, b := o.request.New.Images["app"], o.base()
	for _, p := range o.policies {
		if p.Spec.Pin == v1alpha1.PinTemplate && c.Spec.Targets[0].TemplateHash == "" {
			return false
		}
		if p.Spec.Pin == v1alpha1.PinDigests && !strings.Contains(image, "@sha256:") && (b == nil || b.Images["app"] != image) {
			return false
		}
	}
	return true
}

func (o oracle) about(c *v1alpha1.Change) bool {
	r := &o.request
	t := c.Spec.Targets[0]
	want := v1alpha1.OperationTemplate
	switch r.Operation {
	case Create:
		want = v1alpha1.OperationCreate
	case Delete:
		want = v1alpha1.OperationDelete
	case Template, Release:
	}
	if string(t.Workload.Name) != r.Key.Name || !slices.Contains(t.Operations, want) {
		return false
	}
	if r.Operation == Delete {
		return true
	}
	image := v1alpha1.Image(r.New.Images["app"])
	b := o.base()
	if t.TemplateHash != "" {
		return string(t.TemplateHash) == r.New.Hash && (t.Images["app"] == "" || t.Images["app"] == image)
	}
	return b != nil && b.ImagelessHash == r.New.ImagelessHash && t.Images["app"] == image
}

func (o oracle) inConflict(c *v1alpha1.Change) bool {
	for _, other := range o.changes {
		if other.Name == c.Name || o.ended(other) || other.Spec.Targets[0].Workload != c.Spec.Targets[0].Workload {
			continue
		}
		rollout := v1alpha1.RolloutState("")
		for _, i := range other.Status.Implementations {
			rollout = i.Rollout
		}
		if rollout == v1alpha1.RolloutInProgress {
			return true
		}
		theirs, ok := o.approvedAt(other)
		ours, _ := o.approvedAt(c)
		earlier := theirs < ours || theirs == ours && other.Name < c.Name
		if rollout == "" && ok && c.Spec.Type != v1alpha1.ChangeEmergency && earlier &&
			o.inWindow(other, o.now) && o.openFor(o.now, other.Spec.Type) && !o.budget() {
			return true
		}
	}
	return o.crowded()
}

func (o oracle) crowded() bool {
	for _, p := range o.policies {
		n := 0
		for _, r := range o.rollouts {
			if r.Workload != o.request.Key {
				n++
			}
		}
		if p.Spec.MaxConcurrentRollouts > 0 && n >= int(p.Spec.MaxConcurrentRollouts) {
			return true
		}
	}
	return false
}

func (o oracle) preauthorised() bool {
	r := &o.request
	a := Alteration{Operation: r.Operation.Asks(), Facts: o.risk, OtherFields: true}
	if b := o.base(); b != nil {
		a.From = b.Images
		a.OtherFields = r.New == nil || b.ImagelessHash != r.New.ImagelessHash
	}
	if r.New != nil {
		a.To = r.New.Images
	}
	level := AssessRisk(&Undertaking{Alterations: []Alteration{a}, At: hour(o.now)}).Level
	if slices.ContainsFunc(o.needs(&v1alpha1.Change{Status: v1alpha1.ChangeStatus{Risk: &v1alpha1.Risk{Level: level}}}), func(n v1alpha1.ApprovalRule) bool { return n.Required > 0 }) {
		return false
	}
	for i, b := range o.baselines {
		if i > 0 && r.New != nil && b.TemplateHash == r.New.Hash && b.Source != v1alpha1.BaselineUnauthorized {
			return false
		}
	}
	for _, c := range o.changes {
		undone := slices.ContainsFunc(c.Status.Implementations, func(i v1alpha1.Implementation) bool { return i.Rollout == v1alpha1.RolloutRolledBack })
		rejected := o.ended(c) && !c.Spec.Cancel && c.Status.Outcome == "" && c.Status.ClosedAt == nil && !undone
		if rejected && o.about(c) {
			return false
		}
		if o.ended(c) {
			continue
		}
		for _, i := range c.Status.Implementations {
			if i.Rollout == v1alpha1.RolloutInProgress {
				return false
			}
		}
		if len(c.Status.Implementations) == 0 && o.agreed(c) && o.inWindow(c, o.now) && o.openFor(o.now, c.Spec.Type) && !o.budget() {
			return false
		}
	}
	for _, p := range o.policies {
		image := ""
		if r.New != nil {
			image = r.New.Images["app"]
		}
		b := o.base()
		if p.Spec.Pin == v1alpha1.PinDigests && image != "" && !strings.Contains(image, "@sha256:") && (b == nil || b.Images["app"] != image) {
			return false
		}
	}
	return o.openFor(o.now, v1alpha1.ChangeNormal) && !o.budget() && !o.crowded()
}

// random makes a small world, each part of which is often on the edge of mattering.
func random(r *rand.Rand) *small {
	tagged := []string{repository + "2.3.0", repository + "2.3.1", repository + "2.4.0", repository + "2.4.0@sha256:" + strings.Repeat("a", 64), "evil.example/miner:1"}
	anyTemplate := func() *configuration.Template {
		return template([]string{"body", "body", "body", "other"}[r.IntN(4)], tagged[r.IntN(len(tagged))])
	}
	pick := func(n int) bool { return r.IntN(n) == 0 }
	s := &small{now: r.IntN(60), votes: map[string][]*v1alpha1.ChangeApproval{}, claims: tierOne, risk: RiskFacts{Tier: int32(1 + r.IntN(4))}}
	s.enforced = []v1alpha1.Enforcement{"", v1alpha1.EnforcementDisabled, v1alpha1.EnforcementAudit, v1alpha1.EnforcementWarn, v1alpha1.EnforcementEnforce, v1alpha1.EnforcementEnforce, v1alpha1.EnforcementEnforce}[r.IntN(7)]
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
	if pick(5) {
		s.request.BreakGlass, s.request.BreakGlassPermitted = "fire", pick(2)
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
	for i := range r.IntN(4) {
		s.randomChange(r, fmt.Sprintf("change-%d", i), anyTemplate())
	}
	if pick(6) {
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
	p.Spec.Pin = []v1alpha1.Pin{"", v1alpha1.PinImages, v1alpha1.PinImages, v1alpha1.PinDigests, v1alpha1.PinTemplate}[r.IntN(5)]
	if pick(4) {
		p.Spec.Rollback = v1alpha1.RollbackRequireChange
	}
	p.Spec.RollbackRevisions = int32(r.IntN(4))
	p.Spec.FreezeOnExhaustedErrorBudget = pick(3)
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
	}
	if pick(5) {
		c.Spec.Requester = "system:serviceaccount:flux:apply"
	}
	c.Spec.Cancel = pick(10)
	c.Status.Digest = Digest(&c.Spec)
	if pick(10) {
		c.Status.Digest = hashOf("an earlier version")
	}
	if pick(10) {
		c.Status.Outcome = v1alpha1.OutcomeSuccessful
	}
	if pick(8) {
		c.Status.RejectedDigests = []v1alpha1.RejectedDigest{{Digest: []string{Digest(&c.Spec), hashOf("x")}[r.IntN(2)], By: "mallory", At: *at(1)}}
	}
	if pick(5) {
		c.Status.Implementations = []v1alpha1.Implementation{{
			Workload: c.Spec.Targets[0].Workload, At: *at(2),
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

func TestDecideAgreesWithTheOracle(t *testing.T) {
	worlds := 100_000
	if underRace {
		worlds = 10_000
	}
	seen := map[Verdict]int{}
	for seed := range uint64(worlds) {
		s := random(rand.New(rand.NewPCG(seed, 1)))
		w := s.world()
		got := Decide(&s.request, w, hour(s.now))
		want := oracle{s}.verdict()
		seen[want]++
		if got.Verdict != want {
			t.Fatalf("world %d: got %s by %q, the oracle says %s\nreasons %v\nrequest %+v\nold %+v\nnew %+v\nbaselines %+v\nchanges %+v\nnow %d",
				seed, got.Verdict, got.Change, want, got.Reasons, s.request, s.request.Old, s.request.New, s.baselines, s.changes, s.now)
		}
		if got.Allowed != (want != Denied || s.request.DryRun) {
			t.Fatalf("world %d: %s, allowed %v, dry run %v", seed, want, got.Allowed, s.request.DryRun)
		}
		if seed%100 == 0 {
			if diff := cmp.Diff(got, Decide(&s.request, s.world(), hour(s.now))); diff != "" {
				t.Fatalf("world %d: decided again:\n%s", seed, diff)
			}
		}
	}
	for _, v := range []Verdict{NotGoverned, Unchanged, Rollback, Covered, PreAuthorised, BreakGlass, Warned, Audited, Denied} {
		if seen[v] < worlds/200 {
			t.Errorf("%s came up %d times in %d worlds: they do not try it", v, seen[v], worlds)
		}
	}
	t.Log(seen)
}
