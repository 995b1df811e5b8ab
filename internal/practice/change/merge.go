package change

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// What holds where no policy says otherwise.
const (
	defaultRollbackRevisions = 10
	defaultProven            = time.Minute
	defaultObservation       = time.Hour
	defaultReviewWithin      = 72 * time.Hour
	// mostVotes is what an impossible number of votes counts as: the most that a policy can ask for.
	mostVotes = 10
)

// defaultRules hold where no policy is in scope.
var defaultRules = Merge(nil, nil)

// Merge makes the Rules of a namespace from the policies in scope of it: the strictest for each field, every policy's
// votes, the windows that all have in common, all freezes. Calendars are those that exist, by name; one that is
// invalid is present and nil. What cannot be understood counts as closed and is named in Rules.Invalid. No policies:
// the defaults.
func Merge(policies []*v1alpha1.ChangePolicy, calendars map[string]Calendar) *Rules {
	r := &Rules{
		SeparationOfDuties: true,
		Pin:                v1alpha1.PinImages,
		Rollback:           v1alpha1.RollbackAllow,
		OnDenied:           v1alpha1.OnDeniedFileChange,
		RollbackRevisions:  defaultRollbackRevisions,
		Proven:             defaultProven,
		Observation:        defaultObservation,
	}
	if len(policies) == 0 {
		r.Parts = []Part{defaultPart("")}
		return r
	}
	r.SeparationOfDuties, r.Proven, r.Observation = false, 0, 0
	sorted := slices.SortedFunc(slices.Values(policies), func(a, b *v1alpha1.ChangePolicy) int { return cmp.Compare(a.Name, b.Name) })
	for i, p := range sorted {
		m := merger{rules: r, policy: p.Name, first: i == 0}
		r.Policies = append(r.Policies, p.Name)
		m.scope(&p.Spec)
		m.votes(p)
		m.times(&p.Spec, calendars)
		m.limits(&p.Spec)
	}
	return r
}

func defaultPart(policy string) Part {
	return Part{Policy: policy, Medium: Quorum{Required: 1}, High: Quorum{Required: 2}, ReviewWithin: defaultReviewWithin}
}

// merger adds one policy to the rules.
type merger struct {
	rules  *Rules
	policy string
	// first: there is nothing yet to intersect with.
	first bool
}

func (m *merger) invalid(field, format string, args ...any) {
	m.rules.Invalid = append(m.rules.Invalid, InvalidPart{Policy: m.policy, Field: field, Message: fmt.Sprintf(format, args...)})
}

func (m *merger) scope(s *v1alpha1.ChangePolicySpec) {
	enforcement := s.Enforcement
	if enforcement != "" && strictness(enforcement) < 0 {
		m.invalid("spec.enforcement", "%q is none; it counts as Enforce", enforcement)
		enforcement = v1alpha1.EnforcementEnforce
	}
	m.rules.Enforcement = Stricter(m.rules.Enforcement, enforcement)
	switch s.Scope {
	case v1alpha1.ScopeServices, "":
	case v1alpha1.ScopeAllWorkloads:
		m.rules.AllWorkloads = true
		m.rules.Unclaimed = Stricter(m.rules.Unclaimed, cmp.Or(enforcement, v1alpha1.EnforcementAudit))
	default:
		m.invalid("spec.scope", "%q is none; it counts as AllWorkloads", s.Scope)
		m.rules.AllWorkloads = true
		m.rules.Unclaimed = Stricter(m.rules.Unclaimed, cmp.Or(enforcement, v1alpha1.EnforcementAudit))
	}
}

func (m *merger) votes(p *v1alpha1.ChangePolicy) {
	s, r := &p.Spec, m.rules
	part := defaultPart(p.Name)
	for i, a := range s.Approvals {
		q := m.quorum(fmt.Sprintf("spec.approvals[%d].required", i), a.Required, a.Groups)
		switch a.Risk {
		case v1alpha1.RiskLow:
			part.Low = q
		case v1alpha1.RiskMedium:
			part.Medium = q
		case v1alpha1.RiskHigh:
			part.High = q
		default:
			m.invalid(fmt.Sprintf("spec.approvals[%d].risk", i), "%q is no level of risk; the rule counts for all of them", a.Risk)
			part.Low, part.Medium, part.High = q, q, q
		}
	}
	if e := s.Emergency; e != nil {
		q := m.quorum("spec.emergency.required", e.Required, e.Groups)
		part.Emergency = &q
		part.ReviewWithin = m.duration("spec.emergency.reviewWithin", e.ReviewWithin, defaultReviewWithin)
	}
	for _, c := range s.StandardChanges {
		suspended := slices.ContainsFunc(p.Status.StandardChanges, func(st v1alpha1.StandardChangeStatus) bool {
			return st.Name == c.Name && st.Suspended
		})
		part.Standard = append(part.Standard, StandardRule{StandardChange: c, Suspended: suspended})
	}
	r.Parts = append(r.Parts, part)
	r.SeparationOfDuties = r.SeparationOfDuties || s.SeparationOfDuties == nil || *s.SeparationOfDuties

	accounts := make([]string, 0, len(s.ServiceAccountApprovers))
	for _, a := range s.ServiceAccountApprovers {
		accounts = append(accounts, string(a))
	}
	if m.first {
		r.ServiceAccountApprovers, r.IgnoredAnnotationPrefixes = accounts, slices.Clone(s.IgnoredAnnotationPrefixes)
		return
	}
	r.ServiceAccountApprovers = slices.DeleteFunc(r.ServiceAccountApprovers, func(a string) bool { return !slices.Contains(accounts, a) })
	r.IgnoredAnnotationPrefixes = commonPrefixes(r.IgnoredAnnotationPrefixes, s.IgnoredAnnotationPrefixes)
}

func (m *merger) quorum(field string, required int32, groups []v1alpha1.GroupName) Quorum {
	if required < 0 || required > mostVotes {
		m.invalid(field, "%d is not between 0 and %d; it counts as %d", required, mostVotes, mostVotes)
		required = mostVotes
	}
	q := Quorum{Required: required}
	for _, g := range groups {
		q.Groups = append(q.Groups, string(g))
	}
	return q
}

func (m *merger) times(s *v1alpha1.ChangePolicySpec, calendars map[string]Calendar) {
	r := m.rules
	if w := s.ChangeWindow; w != nil {
		name := string(w.CalendarRef.Name)
		hours, exists := calendars[name]
		switch {
		case !exists:
			m.invalid("spec.changeWindow.calendarRef", "there is no Calendar %s; the change window counts as closed", name)
		case hours == nil:
			m.invalid("spec.changeWindow.calendarRef", "Calendar %s is invalid; the change window counts as closed", name)
		}
		r.Windows = append(r.Windows, NamedCalendar{Name: name, Policy: m.policy, Hours: hours, Invalid: exists && hours == nil})
	}
	for i, f := range s.Freezes {
		r.Freezes = append(r.Freezes, m.freeze(fmt.Sprintf("spec.freezes[%d]", i), f))
	}
	r.FreezeOnExhaustedErrorBudget = r.FreezeOnExhaustedErrorBudget || s.FreezeOnExhaustedErrorBudget
}

func (m *merger) freeze(field string, f v1alpha1.Freeze) Freeze {
	out := Freeze{Name: f.Name, Policy: m.policy, Reason: f.Reason, Exempt: f.Exempt}
	if f.Exempt == nil {
		out.Exempt = []v1alpha1.ChangeType{v1alpha1.ChangeEmergency}
	}
	from, fromErr := ParseTime(f.From)
	to, toErr := ParseTime(f.To)
	if fromErr != nil {
		m.invalid(field+".from", "%s; the freeze counts as begun", fromErr)
	}
	if toErr != nil {
		m.invalid(field+".to", "%s; the freeze counts as endless", toErr)
	}
	if fromErr == nil && toErr == nil && !from.Before(to) {
		m.invalid(field, "it ends (to) before it begins (from); the freeze counts as always on")
		from, to = time.Time{}, time.Time{}
	}
	out.Interval = Interval{From: from, To: to}
	return out
}

func (m *merger) limits(s *v1alpha1.ChangePolicySpec) {
	r := m.rules
	switch s.Pin {
	case v1alpha1.PinImages, "":
	case v1alpha1.PinDigests:
		r.Digests = true
		if r.Pin == v1alpha1.PinImages {
			r.Pin = v1alpha1.PinDigests
		}
	case v1alpha1.PinTemplate:
		r.Pin = v1alpha1.PinTemplate
	default:
		m.invalid("spec.pin", "%q is none; it counts as Template and Digests", s.Pin)
		r.Pin, r.Digests = v1alpha1.PinTemplate, true
	}
	switch s.Rollback {
	case v1alpha1.RollbackAllow, "":
	case v1alpha1.RollbackRequireChange:
		r.Rollback = v1alpha1.RollbackRequireChange
	default:
		m.invalid("spec.rollback", "%q is none; it counts as RequireChange", s.Rollback)
		r.Rollback = v1alpha1.RollbackRequireChange
	}
	switch s.OnDenied {
	case v1alpha1.OnDeniedFileChange, "":
	case v1alpha1.OnDeniedDeny:
		r.OnDenied = v1alpha1.OnDeniedDeny
	default:
		m.invalid("spec.onDenied", "%q is none; it counts as Deny", s.OnDenied)
		r.OnDenied = v1alpha1.OnDeniedDeny
	}
	if n := s.MaxConcurrentRollouts; n > 0 && (r.MaxConcurrentRollouts == 0 || n < r.MaxConcurrentRollouts) {
		r.MaxConcurrentRollouts = n
	}
	if n := s.RollbackRevisions; n > 0 {
		r.RollbackRevisions = min(r.RollbackRevisions, n)
	}
	r.Proven = max(r.Proven, seconds(s.ProvenSeconds, defaultProven))
	r.Observation = max(r.Observation, seconds(s.ObservationSeconds, defaultObservation))
}

func (m *merger) duration(field string, d v1alpha1.Duration, def time.Duration) time.Duration {
	if d == "" {
		return def
	}
	out, err := time.ParseDuration(string(d))
	if err != nil || out < 0 {
		m.invalid(field, "%q is no duration; it counts as none", d)
		return 0
	}
	return out
}

func seconds(n int32, def time.Duration) time.Duration {
	if n <= 0 {
		return def
	}
	return time.Duration(n) * time.Second
}

// commonPrefixes returns what is ignored by both lists: of two prefixes of which one begins with the other, the
// longer.
func commonPrefixes(a, b []string) []string {
	var out []string
	for _, x := range a {
		for _, y := range b {
			longer := x
			if len(y) > len(x) {
				longer = y
			}
			if strings.HasPrefix(longer, x) && strings.HasPrefix(longer, y) && !slices.Contains(out, longer) {
				out = append(out, longer)
			}
		}
	}
	return out
}

// ParseTime reads a time of the API. Some that its format lets through are none that a status can say.
func ParseTime(t v1alpha1.Timestamp) (time.Time, error) {
	return servicelevel.ParseTimestamp("time", t)
}

// InScope says whether a policy selects a namespace with these labels. A selector that the schema would not have let
// in selects nothing.
func InScope(policy *v1alpha1.ChangePolicy, namespaceLabels map[string]string) bool {
	s := &policy.Spec.NamespaceSelector
	demands := 0
	for k, v := range s.MatchLabels {
		if got, ok := namespaceLabels[k]; !ok || got != string(v) {
			return false
		}
		demands++
	}
	for _, e := range s.MatchExpressions {
		value, has := namespaceLabels[e.Key]
		in := has && slices.Contains(e.Values, v1alpha1.LabelValue(value))
		var matches bool
		switch e.Operator {
		case "In":
			matches = in
			demands++
		case "Exists":
			matches = has
			demands++
		case "NotIn":
			matches = !in
		case "DoesNotExist":
			matches = !has
		}
		if !matches {
			return false
		}
	}
	return demands > 0
}

// EnforcementFor returns how a workload with these claims is gated: the strictest of what its Services say, at least
// the policies' floor, Audit where neither says anything, and Enforce where one says what this version does not know. Disabled, or empty for no claim and no policy that covers
// all workloads: it is not governed.
func EnforcementFor(claims []Claim, rules *Rules) v1alpha1.Enforcement {
	if rules == nil {
		rules = defaultRules
	}
	if len(claims) == 0 {
		return rules.Unclaimed
	}
	strictest := rules.Enforcement
	for i := range claims {
		said := claims[i].Enforcement
		switch {
		case said == "" && rules.Enforcement == "":
			said = v1alpha1.EnforcementAudit
		case said != "" && strictness(said) < 0:
			// Of a newer version, perhaps; whoever set it wanted to be governed. A policy's counts like this as well.
			said = v1alpha1.EnforcementEnforce
		}
		strictest = Stricter(strictest, said)
	}
	return strictest
}

// KnownEnforcement reports whether a value, which may be empty, is one that this version knows.
func KnownEnforcement(e v1alpha1.Enforcement) bool { return e == "" || strictness(e) >= 0 }

// strictness orders enforcements; -1 is none.
func strictness(e v1alpha1.Enforcement) int {
	switch e {
	case v1alpha1.EnforcementDisabled:
		return 0
	case v1alpha1.EnforcementAudit:
		return 1
	case v1alpha1.EnforcementWarn:
		return 2
	case v1alpha1.EnforcementEnforce:
		return 3
	}
	return -1
}

// Stricter returns the stricter of two enforcements, each of which may be empty.
func Stricter(a, b v1alpha1.Enforcement) v1alpha1.Enforcement {
	if strictness(b) > strictness(a) {
		return b
	}
	return a
}
