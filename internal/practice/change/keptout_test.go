package change

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func digestsWanted(p *v1alpha1.ChangePolicySpec) { p.Pin = v1alpha1.PinDigests }

// TestWhatCanNeverGoInHoldsNobodyBack: of two Changes the one that was approved first goes first, unless a rule keeps it out
// however long one waits.
func TestWhatCanNeverGoInHoldsNobodyBack(t *testing.T) {
	byDigest := template("body", repository+"2.5.0@sha256:"+strings.Repeat("b", 64))
	v22 := template("body", repository+"2.2.0")
	for name, test := range map[string]struct {
		rules []func(*v1alpha1.ChangePolicySpec)
		first []func(*v1alpha1.Change)
		given func(*World)
		waits bool
	}{
		"it may go in":                    {waits: true},
		"it has a tag, digests are asked": {rules: []func(*v1alpha1.ChangePolicySpec){digestsWanted}},
		"it has a tag that runs already": {
			rules: []func(*v1alpha1.ChangePolicySpec){digestsWanted}, first: []func(*v1alpha1.Change){images(v23.Images["app"])}, waits: true,
		},
		"it pins a template by its hash, of which no image is known": {
			rules: []func(*v1alpha1.ChangePolicySpec){digestsWanted}, first: []func(*v1alpha1.Change){pinnedTo(v24)}, waits: true,
		},
		"it names images, a template is asked": {rules: []func(*v1alpha1.ChangePolicySpec){templatesPinned}},
		"it asks for a creation alone":         {first: []func(*v1alpha1.Change){operations(v1alpha1.OperationCreate), pinnedTo(v24)}},
		"it may delete too": {
			rules: []func(*v1alpha1.ChangePolicySpec){digestsWanted}, first: []func(*v1alpha1.Change){operations(v1alpha1.OperationTemplate, v1alpha1.OperationDelete)}, waits: true,
		},
		"it was rolled back, which its status does not tell yet": {given: func(w *World) {
			w.Baselines = []v1alpha1.Baseline{baseline(v23, by(v1alpha1.BaselineRollback, "first")), baseline(v24, by(v1alpha1.BaselineChange, "first")), baseline(v23), baseline(v22)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := situated(policies(policy("p", test.rules...)), asking(func(r *Request) { r.New = byDigest }))
			if test.given != nil {
				test.given(&s.world)
			}
			first := changeOf("first", test.first...)
			second := changeOf("second", pinnedTo(byDigest))
			knowing(first, vote(first, "bob", 1))(s)
			knowing(second, vote(second, "bob", 2))(s)
			want := Covered
			if test.waits {
				want = Denied
			}
			if d := s.decide(3); d.Verdict != want || want == Covered && d.Change != "second" {
				t.Errorf("%s by %q, want %s; %v", d.Verdict, d.Change, want, d.Reasons)
			}
		})
	}
}

// TestAStatusTellsWhatCanNeverGoIn: the state promises nothing that the gate will refuse, and says what to do about it.
func TestAStatusTellsWhatCanNeverGoIn(t *testing.T) {
	rules := Merge([]*v1alpha1.ChangePolicy{policy("p", digestsWanted)}, nil)
	s := told(t).with(func(x *Subject) { x.Rules = rules })
	s.is(v1alpha1.ChangeAuthorize).condition(v1alpha1.ConditionGateOpen, metav1.ConditionFalse, "NotApproved")
	s.at(1).votes("bob").is(v1alpha1.ChangeScheduled).condition(v1alpha1.ConditionGateOpen, metav1.ConditionFalse, string(CauseNotPinned)).
		nextStepHas("cannot go in as it is", "deployment/checkout: the ChangePolicy wants images by digest", "Edit spec", "kubectl edit chg checkout-2-4 -n shop")
	s.with(func(x *Subject) { x.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p")}, nil) }).is(v1alpha1.ChangeImplement)

	t.Run("a workload that is gone", func(t *testing.T) {
		s := told(t)
		s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob").is(v1alpha1.ChangeImplement)
		fact := s.subject.Workloads[checkout]
		fact.Workload = nil
		s.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
		s.is(v1alpha1.ChangeScheduled).nextStepHas("there is no deployment/checkout")
	})
	t.Run("it stands in nobody's way", func(t *testing.T) {
		first := changeOf("first")
		s := told(t, pinnedTo(v24)).with(func(x *Subject) {
			x.Rules = rules
			x.Others = []*Candidate{Prepare(Agreed{Change: first, Approvals: []*v1alpha1.ChangeApproval{vote(first, "bob", 0)}, Rules: rules})}
		})
		s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob", "carol").is(v1alpha1.ChangeImplement).
			condition(v1alpha1.ConditionConflictFree, metav1.ConditionTrue, "NoConflict")
	})
}

// TestApprovedButNotRecordedYet: where a policy comes to ask for no vote, the gate knows before the status says since when.
func TestApprovedButNotRecordedYet(t *testing.T) {
	low := changeOf("checkout-2-4", risk(v1alpha1.RiskLow))
	s := situated(knowing(low))
	d := s.decide(3)
	if d.Verdict != Denied || !s.world.Candidates[0].Approval.Approved {
		t.Fatalf("%s; %+v", d.Verdict, s.world.Candidates[0].Approval)
	}
	text := Explain(&s.request, &s.world, &d).Message
	if !strings.Contains(text, "is about to be recorded: retry in a moment") || strings.Contains(text, "no hours are open") {
		t.Errorf("told:\n%s", text)
	}
	approvedAtHour(3)(low)
	if d := situated(knowing(low)).decide(3); d.Verdict != Covered {
		t.Errorf("once it is recorded: %s", d.Verdict)
	}
}
