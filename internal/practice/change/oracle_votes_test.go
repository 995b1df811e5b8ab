package change

import (
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

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
