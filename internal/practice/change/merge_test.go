package change

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func TestMergeTakesTheStrictest(t *testing.T) {
	lax := policy("lax", func(p *v1alpha1.ChangePolicySpec) {
		p.SeparationOfDuties = new(bool)
		p.ServiceAccountApprovers = []v1alpha1.UserName{"system:serviceaccount:a:b", "system:serviceaccount:c:d"}
		p.IgnoredAnnotationPrefixes = []string{"example.com/", "other.dev/x"}
		p.MaxConcurrentRollouts, p.RollbackRevisions, p.ProvenSeconds, p.ObservationSeconds = 5, 10, 30, 60
	})
	strict := policy("strict", func(p *v1alpha1.ChangePolicySpec) {
		p.Enforcement = v1alpha1.EnforcementEnforce
		p.ServiceAccountApprovers = []v1alpha1.UserName{"system:serviceaccount:c:d"}
		p.IgnoredAnnotationPrefixes = []string{"example.com/build", "third.dev/"}
		p.MaxConcurrentRollouts, p.RollbackRevisions, p.ProvenSeconds, p.ObservationSeconds = 7, 3, 120, 7200
		p.Pin, p.Rollback, p.OnDenied = v1alpha1.PinDigests, v1alpha1.RollbackRequireChange, v1alpha1.OnDeniedDeny
		p.FreezeOnExhaustedErrorBudget = true
	})
	for _, order := range [][]*v1alpha1.ChangePolicy{{lax, strict}, {strict, lax}} {
		r := Merge(order, nil)
		if len(r.Parts) != 2 || len(r.Invalid) > 0 {
			t.Errorf("parts %v, invalid %v", r.Parts, r.Invalid)
		}
		r.Parts = nil
		want := &Rules{
			Policies: []string{"lax", "strict"}, Enforcement: v1alpha1.EnforcementEnforce, SeparationOfDuties: true,
			ServiceAccountApprovers: []string{"system:serviceaccount:c:d"}, Pin: v1alpha1.PinDigests, Digests: true,
			IgnoredAnnotationPrefixes: []string{"example.com/build"}, FreezeOnExhaustedErrorBudget: true,
			Rollback: v1alpha1.RollbackRequireChange, OnDenied: v1alpha1.OnDeniedDeny, MaxConcurrentRollouts: 5,
			RollbackRevisions: 3, Proven: 2 * time.Minute, Observation: 2 * time.Hour,
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("rules (-want +got):\n%s", diff)
		}
	}
}

func TestDefaults(t *testing.T) {
	want := &Rules{
		Parts:              []Part{{Medium: Quorum{Required: 1}, High: Quorum{Required: 2}, ReviewWithin: 72 * time.Hour}},
		SeparationOfDuties: true, Pin: v1alpha1.PinImages, Rollback: v1alpha1.RollbackAllow, OnDenied: v1alpha1.OnDeniedFileChange,
		RollbackRevisions: 10, Proven: time.Minute, Observation: time.Hour,
	}
	if diff := cmp.Diff(want, Merge(nil, nil)); diff != "" {
		t.Errorf("without a policy (-want +got):\n%s", diff)
	}
	// A policy that says nothing is the defaults.
	want.Policies, want.Parts[0].Policy = []string{"p"}, "p"
	if diff := cmp.Diff(want, Merge([]*v1alpha1.ChangePolicy{policy("p")}, nil), cmp.Transformer("set", func(s []string) []string {
		if len(s) == 0 {
			return nil
		}
		return s
	})); diff != "" {
		t.Errorf("with an empty policy (-want +got):\n%s", diff)
	}
}

func TestNonsenseInAPolicyIsClosedAndNamed(t *testing.T) {
	for name, test := range map[string]struct {
		given  func(*v1alpha1.ChangePolicySpec)
		field  string
		closed func(*Rules) bool
	}{
		"a calendar that is not there": {officeHours, "spec.changeWindow.calendarRef", func(r *Rules) bool { return r.closedWindow(v1alpha1.ChangeNormal, hour(0)) != nil }},
		"a freeze without an end": {
			func(p *v1alpha1.ChangePolicySpec) {
				p.Freezes = []v1alpha1.Freeze{{Name: "f", From: stamp(1), To: "later"}}
			},
			"spec.freezes[0].to", func(r *Rules) bool {
				return r.freezeAt(v1alpha1.ChangeNormal, hour(9999)) != nil && r.freezeAt(v1alpha1.ChangeNormal, hour(0)) == nil
			},
		},
		"a freeze without a beginning": {
			func(p *v1alpha1.ChangePolicySpec) {
				p.Freezes = []v1alpha1.Freeze{{Name: "f", From: "2026-13-01T00:00:00Z", To: stamp(5)}}
			},
			"spec.freezes[0].from", func(r *Rules) bool {
				return r.freezeAt(v1alpha1.ChangeNormal, hour(-9999)) != nil && r.freezeAt(v1alpha1.ChangeNormal, hour(5)) == nil
			},
		},
		"a freeze that ends first": {
			func(p *v1alpha1.ChangePolicySpec) {
				p.Freezes = []v1alpha1.Freeze{{Name: "f", From: stamp(5), To: stamp(1)}}
			},
			"spec.freezes[0]", func(r *Rules) bool { return r.freezeAt(v1alpha1.ChangeNormal, hour(100)) != nil },
		},
		"votes that nobody can cast": {needing(11), "spec.approvals[0].required", func(r *Rules) bool { return r.Parts[0].Medium.Required == 10 }},
		"a risk that is none": {
			func(p *v1alpha1.ChangePolicySpec) {
				p.Approvals = []v1alpha1.ApprovalRule{{Risk: "Huge", Required: 3}}
			},
			"spec.approvals[0].risk", func(r *Rules) bool { return r.Parts[0].Low.Required == 3 },
		},
		"a pin that is none":          {func(p *v1alpha1.ChangePolicySpec) { p.Pin = "Loose" }, "spec.pin", func(r *Rules) bool { return r.Pin == v1alpha1.PinTemplate && r.Digests }},
		"a rollback that is none":     {func(p *v1alpha1.ChangePolicySpec) { p.Rollback = "x" }, "spec.rollback", func(r *Rules) bool { return r.Rollback == v1alpha1.RollbackRequireChange }},
		"an onDenied that is none":    {func(p *v1alpha1.ChangePolicySpec) { p.OnDenied = "x" }, "spec.onDenied", func(r *Rules) bool { return r.OnDenied == v1alpha1.OnDeniedDeny }},
		"an enforcement that is none": {func(p *v1alpha1.ChangePolicySpec) { p.Enforcement = "x" }, "spec.enforcement", func(r *Rules) bool { return r.Enforcement == v1alpha1.EnforcementEnforce }},
		"a scope that is none":        {func(p *v1alpha1.ChangePolicySpec) { p.Scope = "x" }, "spec.scope", func(r *Rules) bool { return r.AllWorkloads }},
		"a term that is none": {
			func(p *v1alpha1.ChangePolicySpec) { p.Emergency = &v1alpha1.EmergencyRule{ReviewWithin: "soon"} },
			"spec.emergency.reviewWithin", func(r *Rules) bool { return r.Parts[0].ReviewWithin == 0 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := Merge([]*v1alpha1.ChangePolicy{policy("p", test.given)}, nil)
			if len(r.Invalid) != 1 || r.Invalid[0].Field != test.field || r.Invalid[0].Policy != "p" {
				t.Errorf("invalid %v, want %s", r.Invalid, test.field)
			}
			if !test.closed(r) {
				t.Error("it is not closed")
			}
		})
	}
}

// TestWhomAFreezeExempts: Emergencies, unless it says whom; an empty list is nobody, and freezes of several policies unite.
func TestWhomAFreezeExempts(t *testing.T) {
	freeze := func(exempt ...v1alpha1.ChangeType) func(*v1alpha1.ChangePolicySpec) {
		return func(p *v1alpha1.ChangePolicySpec) {
			p.Freezes = []v1alpha1.Freeze{{Name: "f", From: stamp(0), To: stamp(9), Exempt: exempt}}
		}
	}
	nobody := freeze([]v1alpha1.ChangeType{}...) // not nil
	for name, test := range map[string]struct {
		policies []*v1alpha1.ChangePolicy
		in       []v1alpha1.ChangeType
	}{
		"it says nothing":             {[]*v1alpha1.ChangePolicy{policy("p", freeze())}, []v1alpha1.ChangeType{v1alpha1.ChangeEmergency}},
		"an empty list":               {[]*v1alpha1.ChangePolicy{policy("p", nobody)}, nil},
		"it names others":             {[]*v1alpha1.ChangePolicy{policy("p", freeze(v1alpha1.ChangeStandard))}, []v1alpha1.ChangeType{v1alpha1.ChangeStandard}},
		"two of which one exempts":    {[]*v1alpha1.ChangePolicy{policy("p", freeze()), policy("q", nobody)}, nil},
		"two of which no type is in":  {[]*v1alpha1.ChangePolicy{policy("p", freeze(v1alpha1.ChangeStandard)), policy("q", freeze(v1alpha1.ChangeNormal))}, nil},
		"all of them, which is legal": {[]*v1alpha1.ChangePolicy{policy("p", freeze(v1alpha1.ChangeNormal, v1alpha1.ChangeStandard, v1alpha1.ChangeEmergency))}, []v1alpha1.ChangeType{v1alpha1.ChangeNormal, v1alpha1.ChangeStandard, v1alpha1.ChangeEmergency}},
	} {
		t.Run(name, func(t *testing.T) {
			r := Merge(test.policies, nil)
			var in []v1alpha1.ChangeType
			for _, kind := range []v1alpha1.ChangeType{v1alpha1.ChangeNormal, v1alpha1.ChangeStandard, v1alpha1.ChangeEmergency} {
				if open, _ := r.openAt(kind, hour(3)); open {
					in = append(in, kind)
				}
			}
			if diff := cmp.Diff(test.in, in); diff != "" {
				t.Errorf("let in (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnforcementFor(t *testing.T) {
	claim := func(e v1alpha1.Enforcement) []Claim { return []Claim{{Service: "s", Enforcement: e}} }
	floor := func(e v1alpha1.Enforcement) func(*v1alpha1.ChangePolicySpec) {
		return func(p *v1alpha1.ChangePolicySpec) { p.Enforcement = e }
	}
	all := func(p *v1alpha1.ChangePolicySpec) { p.Scope = v1alpha1.ScopeAllWorkloads }
	for name, test := range map[string]struct {
		claims   []Claim
		policies []*v1alpha1.ChangePolicy
		want     v1alpha1.Enforcement
	}{
		"nobody":                        {},
		"a service that says nothing":   {claims: claim(""), want: "Audit"},
		"a service":                     {claims: claim("Warn"), want: "Warn"},
		"a disabled service":            {claims: claim("Disabled"), want: "Disabled"},
		"a disabled one and another":    {claims: append(claim("Disabled"), claim("")...), want: "Audit"},
		"the strictest service":         {claims: append(claim("Warn"), claim("Enforce")...), want: "Enforce"},
		"the policy is inherited":       {claims: claim(""), policies: []*v1alpha1.ChangePolicy{policy("p", floor("Warn"))}, want: "Warn"},
		"the policy is the floor":       {claims: claim("Disabled"), policies: []*v1alpha1.ChangePolicy{policy("p", floor("Enforce"))}, want: "Enforce"},
		"the service is above it":       {claims: claim("Enforce"), policies: []*v1alpha1.ChangePolicy{policy("p", floor("Audit"))}, want: "Enforce"},
		"a policy without enforcement":  {claims: claim(""), policies: []*v1alpha1.ChangePolicy{policy("p")}, want: "Audit"},
		"a policy over Services only":   {policies: []*v1alpha1.ChangePolicy{policy("p", floor("Enforce"))}},
		"a policy over all":             {policies: []*v1alpha1.ChangePolicy{policy("p", floor("Warn"), all)}, want: "Warn"},
		"over all, by the one that is":  {policies: []*v1alpha1.ChangePolicy{policy("p", floor("Enforce")), policy("q", floor("Warn"), all)}, want: "Warn"},
		"over all, without enforcement": {policies: []*v1alpha1.ChangePolicy{policy("p", all)}, want: "Audit"},
		"one of a newer version":        {claims: claim("Sometimes"), want: "Enforce"},
		"the strictest of two policies": {claims: claim(""), policies: []*v1alpha1.ChangePolicy{policy("p", floor("Warn")), policy("q", floor("Enforce"))}, want: "Enforce"},
		"one policy warns, one is off":  {claims: claim("Disabled"), policies: []*v1alpha1.ChangePolicy{policy("p", floor("Warn")), policy("q", floor("Disabled"))}, want: "Warn"},
		"a policy that is off":          {claims: claim(""), policies: []*v1alpha1.ChangePolicy{policy("p", floor("Disabled"))}, want: "Disabled"},
		"off, and the service is not":   {claims: claim("Audit"), policies: []*v1alpha1.ChangePolicy{policy("p", floor("Disabled"))}, want: "Audit"},
		"over all, and off":             {policies: []*v1alpha1.ChangePolicy{policy("p", floor("Disabled"), all)}, want: "Disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := EnforcementFor(test.claims, Merge(test.policies, nil)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestInScope(t *testing.T) {
	labels := map[string]string{"env": "production", "team": "payments"}
	for name, test := range map[string]struct {
		selector v1alpha1.LabelSelector
		want     bool
	}{
		"the label":            {v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": "production"}}, true},
		"another value":        {v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": "test"}}, false},
		"another label":        {v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"stage": ""}}, false},
		"one of":               {v1alpha1.LabelSelector{MatchExpressions: []v1alpha1.LabelSelectorRequirement{{Key: "env", Operator: "In", Values: []v1alpha1.LabelValue{"test", "production"}}}}, true},
		"none of":              {v1alpha1.LabelSelector{MatchExpressions: []v1alpha1.LabelSelectorRequirement{{Key: "env", Operator: "Exists"}, {Key: "team", Operator: "NotIn", Values: []v1alpha1.LabelValue{"payments"}}}}, false},
		"there":                {v1alpha1.LabelSelector{MatchExpressions: []v1alpha1.LabelSelectorRequirement{{Key: "env", Operator: "Exists"}}}, true},
		"not there":            {v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": "production"}, MatchExpressions: []v1alpha1.LabelSelectorRequirement{{Key: "stage", Operator: "DoesNotExist"}}}, true},
		"nothing demanded":     {v1alpha1.LabelSelector{}, false},
		"only what is not":     {v1alpha1.LabelSelector{MatchExpressions: []v1alpha1.LabelSelectorRequirement{{Key: "stage", Operator: "DoesNotExist"}}}, false},
		"an operator of ours":  {v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": "production"}, MatchExpressions: []v1alpha1.LabelSelectorRequirement{{Key: "env", Operator: "Like"}}}, false},
		"both, one is not met": {v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": "production", "team": "x"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy("p", func(p *v1alpha1.ChangePolicySpec) { p.NamespaceSelector = test.selector })
			if got := InScope(p, labels); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
