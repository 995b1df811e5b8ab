package change

import (
	"slices"
	"strings"

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
	twin      []v1alpha1.Baseline
	failed    []string
	changes   []*v1alpha1.Change
	votes     map[string][]*v1alpha1.ChangeApproval
	releases  map[string][]ReleaseFact
	incidents map[string]*IncidentFact
	problems  map[string]*ProblemFact
	risk      RiskFacts
	exhausted []string
	rollouts  []Rollout
	undecided int
	now       int
	digests   map[*v1alpha1.Change]string
	approvals map[*v1alpha1.Change]approvedSince
}

type approvedSince struct {
	hour int
	ok   bool
}

func (s *small) world() *World {
	rules := Merge(s.policies, map[string]Calendar{"office": s.calendar})
	w := &World{
		Claims: s.claims, Enforcement: s.enforced, Rules: rules, Baselines: s.baselines, FailedChanges: s.failed, Risk: s.risk,
		Concurrency: Concurrency{Rollouts: slices.Values(s.rollouts), AtMost: len(s.rollouts)}, ExhaustedBudgets: s.exhausted,
		Filed: Filed{Undecided: s.undecided},
	}
	if s.twin != nil {
		w.Twins = []Twin{{Key: otherWorkload, Baselines: s.twin}}
	}
	target := TargetFact{Services: []string{"checkout"}, Tier: s.risk.Tier}
	if b := (oracle{s}).base(); b != nil {
		target.Images = b.Images
	}
	for _, c := range s.changes {
		w.Candidates = append(w.Candidates, Prepare(Agreed{
			Change: c, Approvals: s.votes[c.Name], Rules: rules, Incident: s.incidents[c.Name], Problem: s.problems[c.Name],
			Releases: s.releases[c.Name], Targets: map[configuration.Key]TargetFact{checkout: target, otherWorkload: {Services: []string{"cart"}}},
		}))
	}
	return w
}

var otherWorkload = configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "cart"}

type oracle struct{ *small }

// digest of a Change, computed once for each.
func (o oracle) digest(c *v1alpha1.Change) string {
	if o.digests == nil {
		o.small.digests = map[*v1alpha1.Change]string{}
	}
	if _, known := o.digests[c]; !known {
		o.digests[c] = Digest(&c.Spec)
	}
	return o.digests[c]
}

func (o oracle) verdict() Verdict {
	r := &o.request
	switch {
	case o.forged():
		return Denied
	case o.enforced == v1alpha1.EnforcementDisabled, o.enforced == "", r.Operation == Delete && o.standIn():
		return NotGoverned
	case o.unchanged():
		return Unchanged
	case o.rollback():
		return Rollback
	case slices.ContainsFunc(o.changes, o.covers):
		return Covered
	case o.preauthorised():
		return PreAuthorised
	case r.BreakGlass != "" && r.BreakGlassPermitted && !r.User.ServiceAccount && r.Operation != Delete:
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

// forged: the glass is broken under another's name, and not because an earlier template is copied back with it.
func (o oracle) forged() bool {
	r := &o.request
	if r.BreakGlass == "" || r.BreakGlassBy == "" || r.BreakGlassBy == r.User.Name {
		return false
	}
	governed := o.enforced != v1alpha1.EnforcementDisabled && o.enforced != ""
	back := r.Operation == Template && r.Old.Hash != r.New.Hash && (o.rollback() || o.unchanged())
	return !governed || !back
}

// standIn: it is governed only for the sake of another workload.
func (o oracle) standIn() bool { return o.claims[0].Through != configuration.Key{} }

func (o oracle) unchanged() bool {
	r := &o.request
	switch b := o.base(); {
	case r.Operation == Delete:
		return false
	case r.Operation == Template && r.Old.Hash == r.New.Hash:
		return true
	case b != nil:
		return b.TemplateHash == r.New.Hash
	}
	for _, b := range o.twin {
		if b.Source != v1alpha1.BaselineUnauthorized {
			return b.TemplateHash == r.New.Hash
		}
	}
	return false
}

// covering is the Change that an admission is put down to: the annotation's, else the one whose window ends first.
func (o oracle) covering() string {
	found, end := "", 0
	for _, c := range o.changes {
		if !o.covers(c) {
			continue
		}
		if c.Name == o.request.Change {
			return c.Name
		}
		if e := o.windowEnd(c); found == "" || e < end || e == end && c.Name < found {
			found, end = c.Name, e
		}
	}
	return found
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

func (o oracle) covers(c *v1alpha1.Change) bool { return len(o.faults(c)) == 0 }

// silent is the fault of a Change that has no window since it is not approved: that is reason enough to name.
const silent CauseType = "silent"

// faults are all that keep a Change from covering the request.
func (o oracle) faults(c *v1alpha1.Change) map[CauseType]bool {
	out := map[CauseType]bool{}
	note := func(t CauseType, holds bool) {
		if holds {
			out[t] = true
		}
	}
	if o.wentBack(c) {
		return map[CauseType]bool{CauseEnded: true}
	}
	note(CauseOtherOperation, !slices.Contains(c.Spec.Targets[0].Operations, o.operation()))
	note(CauseOtherTemplate, !o.sameTemplate(c))
	note(CauseNotPinned, !o.exact(c))
	note(CauseReleasePhase, o.waitsForItsPhase(c))
	ended, rejected, agreed := o.ended(c), o.rejected(c), o.agreed(c)
	note(CauseEnded, ended)
	note(CauseRejected, !ended && rejected)
	note(CauseNotApproved, !ended && !rejected && !agreed || o.appliedByAVoter(c))
	note(CauseInvalid, o.nonsense(c))
	switch w := c.Spec.Window; {
	case o.inWindow(c, o.now):
	case w != nil && !o.nonsense(c), agreed && !rejected:
		out[CauseOutsideWindow] = true
	default:
		out[silent] = true
	}
	for t := range o.closed(c.Spec.Type, o.remedies(c)) {
		out[t] = true
	}
	note(CauseConflict, o.inConflict(c))
	return out
}

// closed is why nothing of a type goes in now.
func (o oracle) closed(t v1alpha1.ChangeType, remedies []string) map[CauseType]bool {
	out := map[CauseType]bool{}
	for _, p := range o.policies {
		if w := p.Spec.ChangeWindow; w != nil && t == v1alpha1.ChangeNormal && (w.CalendarRef.Name != "office" || !o.calendar.open(o.now)) {
			out[CauseOutsideWindow] = true
		}
		for _, f := range p.Spec.Freezes {
			exempt := f.Exempt == nil && t == v1alpha1.ChangeEmergency || slices.Contains(f.Exempt, t)
			if f.From <= stamp(o.now) && stamp(o.now) < f.To && !exempt {
				out[CauseFrozen] = true
			}
		}
		for _, service := range o.exhausted {
			if p.Spec.FreezeOnExhaustedErrorBudget && !slices.Contains(remedies, service) {
				out[CauseBudgetExhausted] = true
			}
		}
	}
	return out
}

// remedies are the Services whose open Incident or Problem a Change is to end.
func (o oracle) remedies(c *v1alpha1.Change) []string {
	var out []string
	if i := o.incidents[c.Name]; i != nil && i.Open {
		out = append(out, i.Services...)
	}
	if p := o.problems[c.Name]; p != nil && p.Open {
		out = append(out, p.Services...)
	}
	return out
}

// wentBack: what it let in was undone, by the operator or by a person.
func (o oracle) wentBack(c *v1alpha1.Change) bool {
	if c.Status.Backout != nil || c.Status.Outcome == v1alpha1.OutcomeRolledBack {
		return true
	}
	for _, i := range c.Status.Implementations {
		if i.Rollout == v1alpha1.RolloutRolledBack {
			return true
		}
	}
	for i, b := range o.baselines {
		if b.Change == c.Name && b.Source != v1alpha1.BaselineRollback {
			return o.undone(i)
		}
	}
	return false
}

func (o oracle) ended(c *v1alpha1.Change) bool {
	byItself := c.Status.Backout != nil || slices.ContainsFunc(c.Status.Implementations, func(i v1alpha1.Implementation) bool {
		return i.Rollout == v1alpha1.RolloutRolledBack
	})
	return byItself || c.Spec.Cancel || c.Status.Outcome != "" || c.Status.ClosedAt != nil
}

func (o oracle) rejected(c *v1alpha1.Change) bool {
	for _, d := range c.Status.RejectedDigests {
		if d.Digest == o.digest(c) {
			return true
		}
	}
	for _, v := range o.votes[c.Name] {
		if v.Spec.Decision == v1alpha1.DecisionReject && v.Spec.Digest == o.digest(c) && o.eligible(c, v) {
			return true
		}
	}
	return false
}

func (o oracle) over(c *v1alpha1.Change) bool { return o.ended(c) || o.rejected(c) }

func (o oracle) nonsense(c *v1alpha1.Change) bool {
	w := c.Spec.Window
	return w != nil && w.Start >= w.End
}

func (o oracle) waitsForItsPhase(c *v1alpha1.Change) bool {
	waits := false
	for _, r := range o.releases[c.Name] {
		if slices.Contains(r.Open, o.request.Key) {
			return false
		}
		waits = waits || slices.Contains(r.Units, o.request.Key)
	}
	return waits
}

// appliedByAVoter: of what the operator filed, the vote of who applies it does not count, and who applies what was
// filed for another person needs one vote more.
func (o oracle) appliedByAVoter(c *v1alpha1.Change) bool {
	votes, ok := o.counted(c), o.agreed(c)
	required, granted := o.minimum(c), 0
	for _, n := range o.needs(c) {
		required = max(required, n.Required)
	}
	if c.Labels[LabelFiledFor] != FiledForDenied || !o.separation() || required == 0 || !ok || o.rejected(c) {
		return false
	}
	own := votes[v1alpha1.UserName(o.request.User.Name)]
	if own != nil && own.Spec.Decision != v1alpha1.DecisionApprove {
		own = nil
	}
	spoken := own == nil || own.Spec.Group == ""
	for _, v := range votes {
		if v.Spec.Decision == v1alpha1.DecisionApprove && v != own {
			granted++
			spoken = spoken || v.Spec.Group == own.Spec.Group
		}
	}
	person := !strings.HasPrefix(string(c.Spec.Requester), "system:serviceaccount:")
	if person && string(c.Spec.Requester) != o.request.User.Name {
		required++
	}
	return granted < int(required) || !spoken
}

// minimum is what was demanded when it was assessed.
func (o oracle) minimum(c *v1alpha1.Change) int32 {
	if c.Status.Approvals == nil || c.Status.Digest != o.digest(c) {
		return 0
	}
	return c.Status.Approvals.Required
}

// needs is, for each policy, how many votes and of which groups.
func (o oracle) needs(c *v1alpha1.Change) []v1alpha1.ApprovalRule {
	var out []v1alpha1.ApprovalRule
	level := c.Status.Risk.Level
	if c.Status.Digest != o.digest(c) {
		level = v1alpha1.RiskHigh // nobody knows yet
	}
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
		switch e := p.Spec.Emergency; {
		case c.Spec.Type == v1alpha1.ChangeEmergency && e != nil:
			rule = v1alpha1.ApprovalRule{Required: e.Required, Groups: e.Groups}
		case c.Spec.Type == v1alpha1.ChangeStandard && o.standard(p, c):
			rule = v1alpha1.ApprovalRule{}
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

// standard says whether a policy pre-authorises a Change that says that it is a standard one.
func (o oracle) standard(p *v1alpha1.ChangePolicy, c *v1alpha1.Change) bool {
	t, base := c.Spec.Targets[0], o.base()
	for _, s := range p.Spec.StandardChanges {
		if s.Name != c.Spec.StandardChange || suspended(p, s.Name) {
			continue
		}
		if c.Status.ApprovedAt != nil && c.Status.Digest == o.digest(c) {
			return true
		}
		exact := t.TemplateHash == "" && len(t.Operations) == 1 && t.Operations[0] == v1alpha1.OperationTemplate && len(c.Spec.Targets) == 1
		if exact && base != nil && slices.Contains(s.Tiers, o.risk.Tier) && isPatch(base.Images["app"], string(t.Images["app"])) {
			return true
		}
	}
	return false
}

func suspended(p *v1alpha1.ChangePolicy, name string) bool {
	for _, s := range p.Status.StandardChanges {
		if s.Name == name && s.Suspended {
			return true
		}
	}
	return false
}

// isPatch of the few images that worlds have.
func isPatch(from, to string) bool {
	return from == to || from == repository+"2.3.0" && to == repository+"2.3.1"
}

// emergency says whether an Emergency change is one.
func (o oracle) emergency(c *v1alpha1.Change) bool {
	i := o.incidents[c.Name]
	switch {
	case c.Status.ApprovedAt != nil, c.Spec.Type != v1alpha1.ChangeEmergency:
		return true
	case c.Spec.IncidentRef == nil || i == nil || !i.Open:
		return false
	case i.Reporter == string(c.Spec.Requester) && !i.Observed:
		return false
	}
	return len(c.Spec.Targets) == 1 && slices.Contains(i.Services, "checkout")
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
		if v.Spec.Digest != o.digest(c) || !o.eligible(c, v) {
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

// approvedAt is worked out once for each Change.
func (o oracle) approvedAt(c *v1alpha1.Change) (int, bool) {
	known, done := o.approvals[c]
	if !done {
		known.hour, known.ok = o.countVotes(c)
		if o.approvals == nil {
			o.small.approvals = map[*v1alpha1.Change]approvedSince{}
		}
		o.approvals[c] = known
	}
	return known.hour, known.ok
}

func (o oracle) countVotes(c *v1alpha1.Change) (int, bool) {
	if c.Status.Digest != o.digest(c) || !o.emergency(c) || o.rejected(c) {
		return 0, false
	}
	latest := -1000
	for _, n := range append(o.needs(c), v1alpha1.ApprovalRule{Required: o.minimum(c)}) {
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
	begun := false
	for h := from; h <= n; h++ {
		open := o.openFor(h, c.Spec.Type)
		begun = begun || open
		if h == n {
			// A window that has begun goes on while it is closed, up to the last open hour.
			return begun && left > 0
		}
		if open {
			left--
		}
	}
	return false
}

// windowEnd is the hour in which the window of a Change ends that covers something.
func (o oracle) windowEnd(c *v1alpha1.Change) int {
	if c.Spec.Window != nil {
		for h := 0; ; h++ {
			if stamp(h) == c.Spec.Window.End {
				return h
			}
		}
	}
	from, _ := o.approvedAt(c)
	left := 24
	for h := from; h < 1000; h++ {
		if o.openFor(h, c.Spec.Type) {
			if left--; left == 0 {
				return h + 1
			}
		}
	}
	return from + 2*366*24
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

func (o oracle) operation() v1alpha1.Operation {
	switch o.request.Operation {
	case Create:
		return v1alpha1.OperationCreate
	case Delete:
		return v1alpha1.OperationDelete
	case Template, Release:
	}
	return v1alpha1.OperationTemplate
}

func (o oracle) about(c *v1alpha1.Change) bool {
	return slices.Contains(c.Spec.Targets[0].Operations, o.operation()) && o.sameTemplate(c)
}

func (o oracle) sameTemplate(c *v1alpha1.Change) bool {
	r, t := &o.request, c.Spec.Targets[0]
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
	ours, agreed := o.approvedAt(c)
	for _, other := range o.changes {
		if other.Name == c.Name || o.over(other) {
			continue
		}
		if o.rollout(other) == v1alpha1.RolloutInProgress {
			return true
		}
		theirs, ok := o.approvedAt(other)
		earlier := !agreed || theirs < ours || theirs == ours && other.Name < c.Name
		if ok && earlier && c.Spec.Type != v1alpha1.ChangeEmergency && o.couldGoIn(other) && !(o.request.Change == c.Name && o.passable(other)) {
			return true
		}
	}
	return o.crowded()
}

// rollout of what a Change brought into the workload.
func (o oracle) rollout(c *v1alpha1.Change) v1alpha1.RolloutState {
	for _, i := range c.Status.Implementations {
		if string(i.Workload.Name) == checkout.Name {
			return i.Rollout
		}
	}
	return ""
}

// couldGoIn: a Change has not begun on the workload, and nothing but other Changes keeps it out.
func (o oracle) couldGoIn(c *v1alpha1.Change) bool {
	return o.rollout(c) == "" && !o.wentBack(c) && !o.keptOutForGood(c) && o.agreed(c) && !o.nonsense(c) && o.inWindow(c, o.now) && len(o.closed(c.Spec.Type, o.remedies(c))) == 0
}

// keptOutForGood: whatever is applied, a rule refuses it, as long as the Change, the policies and the baseline stay.
func (o oracle) keptOutForGood(c *v1alpha1.Change) bool {
	t, b := c.Spec.Targets[0], o.base()
	if o.request.Operation == Create {
		if !slices.Contains(t.Operations, v1alpha1.OperationCreate) {
			return true
		}
	} else if slices.Contains(t.Operations, v1alpha1.OperationDelete) {
		return false
	}
	if t.TemplateHash == "" && (b == nil || t.Images["app"] == "") {
		return true
	}
	for _, p := range o.policies {
		if p.Spec.Pin == v1alpha1.PinTemplate && t.TemplateHash == "" {
			return true
		}
		image := string(t.Images["app"])
		if p.Spec.Pin == v1alpha1.PinDigests && image != "" && !strings.Contains(image, "@sha256:") && (b == nil || b.Images["app"] != image) {
			return true
		}
	}
	return false
}

// passable: the annotation may choose another one before it.
func (o oracle) passable(c *v1alpha1.Change) bool {
	for _, r := range o.releases[c.Name] {
		if len(r.Open) > 0 {
			return false
		}
	}
	return len(c.Status.Implementations) == 0 && c.Spec.Type != v1alpha1.ChangeEmergency
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

// standardFor is the name of the pre-authorised change that the request is one of; empty: none.
func (o oracle) standardFor() (name string, by []bool) {
	r, b := &o.request, o.base()
	for _, p := range o.policies {
		found := false
		for _, s := range p.Spec.StandardChanges {
			if found || b == nil || r.Operation != Template && r.Operation != Release || suspended(p, s.Name) || !slices.Contains(s.Tiers, o.risk.Tier) {
				continue
			}
			if b.ImagelessHash == r.New.ImagelessHash && isPatch(b.Images["app"], r.New.Images["app"]) {
				found = true
				if name == "" {
					name = s.Name
				}
			}
		}
		by = append(by, found)
	}
	return name, by
}

// wouldBe is the Change of a risk that the request's author would file.
func (o oracle) wouldBe(level v1alpha1.RiskLevel) *v1alpha1.Change {
	c := &v1alpha1.Change{Spec: v1alpha1.ChangeSpec{Targets: []v1alpha1.ChangeTarget{{}}}, Status: v1alpha1.ChangeStatus{Risk: &v1alpha1.Risk{Level: level}}}
	c.Status.Digest = Digest(&c.Spec)
	return c
}

// unvoted says whether the Change that the request needs would need no vote, and which type it would be of.
func (o oracle) unvoted() (v1alpha1.ChangeType, bool) {
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
	name, by := o.standardFor()
	for i, n := range o.needs(o.wouldBe(level)) {
		if n.Required > 0 && (by == nil || !by[i]) {
			return "", false
		}
	}
	if name != "" {
		return v1alpha1.ChangeStandard, true
	}
	return v1alpha1.ChangeNormal, true
}

// again says whether somebody must look at it, whatever its risk: it ran before, or was rejected.
func (o oracle) again() bool {
	for i, b := range o.baselines {
		if i > 0 && o.request.New != nil && b.TemplateHash == o.request.New.Hash && b.Source != v1alpha1.BaselineUnauthorized {
			return true
		}
	}
	return slices.ContainsFunc(o.changes, func(c *v1alpha1.Change) bool { return !o.ended(c) && o.rejected(c) && o.about(c) })
}

// keptOut is what keeps out a request for which no vote is needed.
func (o oracle) keptOut(t v1alpha1.ChangeType) map[CauseType]bool {
	out := o.closed(t, nil)
	for _, c := range o.changes {
		if !o.over(c) && (o.rollout(c) == v1alpha1.RolloutInProgress || o.couldGoIn(c)) {
			out[CauseConflict] = true
		}
	}
	if o.crowded() {
		out[CauseConflict] = true
	}
	if b := o.base(); o.request.New != nil {
		image := o.request.New.Images["app"]
		for _, p := range o.policies {
			if p.Spec.Pin == v1alpha1.PinDigests && !strings.Contains(image, "@sha256:") && (b == nil || b.Images["app"] != image) {
				out[CauseNotPinned] = true
			}
		}
	}
	return out
}

func (o oracle) preauthorised() bool {
	t, ok := o.unvoted()
	return ok && !o.standIn() && !o.again() && len(o.keptOut(t)) == 0
}

// reasons are why the request is refused, by Change; under "" what is about none.
func (o oracle) reasons() map[string]map[CauseType]bool {
	own := map[CauseType]bool{}
	out := map[string]map[CauseType]bool{"": own}
	if o.forged() {
		own[CauseCopiedGlass] = true
		return out
	}
	for _, c := range o.changes {
		out[c.Name] = o.faults(c)
		delete(out[c.Name], silent)
	}
	named := slices.ContainsFunc(o.changes, func(c *v1alpha1.Change) bool { return c.Name == o.request.Change })
	if len(o.changes) == 0 {
		own[CauseNoChange] = true
	}
	if o.request.Change != "" && !named {
		own[CauseAnnotation] = true
	}
	if o.request.BreakGlass != "" {
		own[CauseBreakGlass] = true
	}
	if t, ok := o.unvoted(); o.standIn() {
		own[CauseTwin] = true
	} else if ok && !o.again() {
		for cause := range o.keptOut(t) {
			own[cause] = true
		}
	}
	if o.wouldFile() && o.undecided >= MaxUndecided {
		own[CauseFilingLimit] = true
	}
	return out
}

// wouldFile says whether a refusal files a Change, if there is room.
func (o oracle) wouldFile() bool {
	if o.forged() {
		return false
	}
	for _, p := range o.policies {
		if p.Spec.OnDenied == v1alpha1.OnDeniedDeny {
			return false
		}
	}
	meant := slices.ContainsFunc(o.changes, func(c *v1alpha1.Change) bool { return !o.ended(c) && o.about(c) && o.exact(c) })
	return o.enforced == v1alpha1.EnforcementEnforce && !o.standIn() && !meant
}
