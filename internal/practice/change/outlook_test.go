package change

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// What is said of the templates that ran before is what the gate does with them.
func TestReturnsAreWhatTheGateLetsIn(t *testing.T) {
	may, mayNot := 0, 0
	for seed := range uint64(5000) {
		s := random(rand.New(rand.NewPCG(seed, 9)))
		w := s.world()
		w.Enforcement, w.Candidates = v1alpha1.EnforcementEnforce, nil
		w.Claims = []Claim{{Service: "checkout", Tier: 1, Enforcement: v1alpha1.EnforcementEnforce}}
		said := Returns(w)
		for _, one := range said {
			b := w.Baselines[one.Baseline]
			back := &configuration.Template{Hash: b.TemplateHash, ImagelessHash: b.ImagelessHash, Images: b.Images}
			r := &Request{Operation: Template, Key: s.request.Key, User: s.request.User, Old: template("what runs", "x:1"), New: back}
			verdict := Decide(r, w, hour(s.now)).Verdict
			if agreedOn := agreed(w.Baselines); agreedOn != nil && back.IsBaseline(*agreedOn, nil) {
				continue // the agreed template comes back, which is no change at all
			}
			if (verdict == Rollback) != (len(one.But) == 0) {
				t.Fatalf("world %d: baseline %d is said to be kept out by %q, and the gate says %s", seed, one.Baseline, one.But, verdict)
			}
			if len(one.But) == 0 {
				may++
			} else {
				mayNot++
			}
		}
	}
	if may < 100 || mayNot < 100 {
		t.Errorf("%d may and %d may not: the worlds are too much alike", may, mayNot)
	}
}

// What opens next, and who must vote, is what the gate and the votes go by.
func TestOutlookIsWhatTheGateGoesBy(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 11))
		s := random(r)
		rules := Merge(s.policies, map[string]Calendar{"office": s.calendar})
		o := oracle{s}
		kind := []v1alpha1.ChangeType{v1alpha1.ChangeNormal, v1alpha1.ChangeStandard, v1alpha1.ChangeEmergency}[r.IntN(3)]
		from := r.IntN(60)
		got := rules.Outlook(kind, hour(from))
		open := o.openFor(from, kind)
		if got.Open != open || open != (got.Window == nil && got.Freeze == nil) || open && !got.Next.Equal(hour(from)) || !open && got.Next.Equal(hour(from)) {
			t.Fatalf("world %d: %+v, and it is open: %v", seed, got, open)
		}
		for h := from; hour(h).Before(got.Next); h++ {
			if o.openFor(h, kind) {
				t.Fatalf("world %d: said to open at %s, and is open at hour %d", seed, got.Next, h)
			}
		}
	}
}

func TestVotesFor(t *testing.T) {
	two := []*v1alpha1.ChangePolicy{
		policy("a", func(s *v1alpha1.ChangePolicySpec) {
			s.Approvals = []v1alpha1.ApprovalRule{{Risk: v1alpha1.RiskHigh, Required: 3, Groups: []v1alpha1.GroupName{"sre"}}}
			s.Emergency = &v1alpha1.EmergencyRule{Required: 1, Groups: []v1alpha1.GroupName{"on-call"}}
		}),
		policy("b", func(s *v1alpha1.ChangePolicySpec) {
			s.Approvals = []v1alpha1.ApprovalRule{{Risk: v1alpha1.RiskHigh, Required: 1, Groups: []v1alpha1.GroupName{"board"}}}
		}),
	}
	for name, test := range map[string]struct {
		policies []*v1alpha1.ChangePolicy
		kind     v1alpha1.ChangeType
		level    v1alpha1.RiskLevel
		want     Quorum
	}{
		"no policy, low":    {nil, v1alpha1.ChangeNormal, v1alpha1.RiskLow, Quorum{}},
		"no policy, medium": {nil, v1alpha1.ChangeNormal, v1alpha1.RiskMedium, Quorum{Required: 1}},
		"two, high":         {two, v1alpha1.ChangeNormal, v1alpha1.RiskHigh, Quorum{Required: 3, Groups: []string{"board", "sre"}}},
		"two, an emergency": {two, v1alpha1.ChangeEmergency, v1alpha1.RiskHigh, Quorum{Required: 1, Groups: []string{"board", "on-call"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Merge(test.policies, nil).VotesFor(test.kind, test.level)
			slices.Sort(got.Groups)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
