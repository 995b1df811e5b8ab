package change

import (
	"maps"
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// The oracle answers the gate's question the slow way: from the objects as people write them, hour by hour, without
// any of the code under test but the risk of what is asked for (which has a table of its own) and the digest. Its votes
// are in oracle_votes_test.go, the worlds in oracle_worlds_test.go, and the comparison in oracle_agrees_test.go.

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
	case o.unseen() != "":
		return map[v1alpha1.Enforcement]Verdict{
			v1alpha1.EnforcementEnforce: Denied, v1alpha1.EnforcementWarn: Warned, v1alpha1.EnforcementAudit: Audited,
		}[o.unseen()]
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

// unseen is what is enforced, on the workload or around it, where a controller shall bring an earlier template back.
func (o oracle) unseen() v1alpha1.Enforcement {
	for _, e := range []v1alpha1.Enforcement{v1alpha1.EnforcementEnforce, v1alpha1.EnforcementWarn, v1alpha1.EnforcementAudit} {
		if o.request.RollbackTo != "" && (o.enforced == e || o.around == e) {
			return e
		}
	}
	return ""
}

// standIn: it is governed only for the sake of another workload, or no Change can name it.
func (o oracle) standIn() bool {
	for _, c := range o.claims {
		if c.Through == (configuration.Key{}) {
			return o.pod()
		}
	}
	return true
}

func (o oracle) pod() bool { return o.request.Key.Kind == configuration.KindPod }

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
	return o.agreedByAll()
}

// agreedByAll: every Service that has a say has agreed to this template, for a workload through which it has its say. A Pod
// is judged by its image, so that it must be the right one for each workload.
func (o oracle) agreedByAll() bool {
	agrees := map[configuration.Key]bool{}
	for _, twin := range o.twins {
		agreed := newestAgreed(twin.Baselines)
		switch {
		case agreed == nil:
		case o.pod():
			agrees[twin.Key] = agreed.Images["app"] == o.request.New.Images["app"]
		default:
			agrees[twin.Key] = agreed.TemplateHash == o.request.New.Hash
		}
		if o.pod() && !agrees[twin.Key] {
			return false
		}
	}
	services := map[string]bool{}
	for _, c := range o.claims {
		services[c.Service] = services[c.Service] || agrees[c.Through]
	}
	for _, agreed := range services {
		if !agreed {
			return false
		}
	}
	return len(o.twins) > 0
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

func (o oracle) base() *v1alpha1.Baseline { return newestAgreed(o.baselines) }

func newestAgreed(baselines []v1alpha1.Baseline) *v1alpha1.Baseline {
	for i, b := range baselines {
		if b.Source != v1alpha1.BaselineUnauthorized {
			return &baselines[i]
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
	if o.takenBack() {
		return "", false
	}
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

// takenBack says whether the template of the request was rolled back, or came by a Change that failed, when it was in last.
func (o oracle) takenBack() bool {
	for i, b := range o.baselines {
		if o.request.New != nil && b.TemplateHash == o.request.New.Hash && b.Source != v1alpha1.BaselineUnauthorized {
			byFailed := b.Source != v1alpha1.BaselineRollback && b.Change != "" && slices.Contains(o.failed, b.Change)
			return i > 0 && (byFailed || o.undone(i))
		}
	}
	return false
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
	if o.unpinned() {
		out[CauseNotPinned] = true
	}
	return out
}

// unpinned: a policy wants images by digest, and the one that is asked for has none, and is not what runs.
func (o oracle) unpinned() bool {
	b := o.base()
	if o.request.New == nil {
		return false
	}
	image := o.request.New.Images["app"]
	for _, p := range o.policies {
		if p.Spec.Pin == v1alpha1.PinDigests && !strings.Contains(image, "@sha256:") && (b == nil || b.Images["app"] != image) {
			return true
		}
	}
	return false
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
	if o.unseen() != "" {
		return map[string]map[CauseType]bool{"": {CauseRollbackTo: true}}
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
	switch t, ok := o.unvoted(); {
	case o.standIn():
		own[CauseTwin] = true
	case ok && !o.again():
		maps.Copy(own, o.keptOut(t))
	case !o.meant():
		if !ok {
			t = v1alpha1.ChangeNormal
		}
		maps.Copy(own, o.closed(t, nil))
		if o.unpinned() {
			own[CauseNotPinned] = true
		}
	}
	if o.wouldFile() && o.undecided >= MaxUndecided {
		own[CauseFilingLimit] = true
	}
	return out
}

// wouldFile says whether a refusal files a Change, if there is room.
func (o oracle) wouldFile() bool {
	if o.forged() || o.unseen() != "" {
		return false
	}
	for _, p := range o.policies {
		if p.Spec.OnDenied == v1alpha1.OnDeniedDeny {
			return false
		}
	}
	return o.enforced == v1alpha1.EnforcementEnforce && !o.standIn() && !o.meant() && !o.unpinned()
}

// meant says whether there is a Change for exactly what was asked for, which has not ended but by a rejection.
func (o oracle) meant() bool {
	return slices.ContainsFunc(o.changes, func(c *v1alpha1.Change) bool { return !o.ended(c) && o.about(c) && o.exact(c) })
}
