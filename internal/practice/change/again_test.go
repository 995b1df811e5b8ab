package change

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// TestWhatWasRolledBackNeedsSomebodysVote: a GitOps controller whose source was not reverted asks for it again at once. What it
// is denied is filed for it, and where its risk needs no vote that Change would have let it in by the next retry.
func TestWhatWasRolledBackNeedsSomebodysVote(t *testing.T) {
	rolledBack := []v1alpha1.Baseline{baseline(v23, by(v1alpha1.BaselineRollback, "up")), baseline(v24, by(v1alpha1.BaselineChange, "up")), baseline(v23)}
	failed := []v1alpha1.Baseline{baseline(v23, by(v1alpha1.BaselineChange, "down")), baseline(v24, by(v1alpha1.BaselineChange, "up"), unproven)}
	robot := User{Name: "system:serviceaccount:flux-system:kustomize-controller", ServiceAccount: true}
	lax := policy("p", func(p *v1alpha1.ChangePolicySpec) {
		p.Approvals = []v1alpha1.ApprovalRule{{Risk: v1alpha1.RiskLow}, {Risk: v1alpha1.RiskMedium}, {Risk: v1alpha1.RiskHigh}}
	})
	none := func(*v1alpha1.Change) {}
	for name, test := range map[string]struct {
		baselines []v1alpha1.Baseline
		failed    []string
		by        User
		rules     *v1alpha1.ChangePolicy
		filed     func(*v1alpha1.Change)
		votes     int32
	}{
		"rolled back":                            {rolledBack, nil, User{Name: "alice"}, policy("p"), none, 1},
		"rolled back, and a robot asks":          {rolledBack, nil, robot, policy("p"), none, 2},
		"rolled back, where no risk needs votes": {rolledBack, nil, User{Name: "alice"}, lax, none, 1},
		"its Change failed":                      {failed, []string{"up"}, User{Name: "alice"}, policy("p"), none, 1},
		"another's Change failed":                {failed, []string{"down"}, User{Name: "alice"}, policy("p"), none, 0},
		"not proven, but nothing went wrong": {
			[]v1alpha1.Baseline{baseline(v23), baseline(v24, unproven)}, nil, User{Name: "alice"}, policy("p"), none, 0,
		},
		"proven, where a rollback needs a Change": {
			[]v1alpha1.Baseline{baseline(v23), baseline(v24)}, nil, User{Name: "alice"},
			policy("p", func(p *v1alpha1.ChangePolicySpec) { p.Rollback = v1alpha1.RollbackRequireChange }), none, 0,
		},
		"a person files it": {rolledBack, nil, User{Name: "alice"}, policy("p"), func(c *v1alpha1.Change) { delete(c.Labels, LabelFiledFor) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := situated(policies(test.rules), asking(func(r *Request) { r.User = test.by }), given(func(w *World) {
				w.Risk.Tier, w.Baselines, w.FailedChanges = 4, test.baselines, test.failed
			}))
			d := s.decide(2)
			if d.Verdict != Denied || d.File == nil {
				t.Fatalf("%s, files %v: %v", d.Verdict, d.File, d.Reasons)
			}
			told := Explain(&s.request, &s.world, &d).Message

			life := told4(t, d.File, test.filed)
			life.subject.Rules = s.world.Rules
			fact := life.subject.Workloads[checkout]
			fact.Baselines, fact.FailedChanges = test.baselines, test.failed
			life.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
			life.at(2)
			covered := func() bool {
				s.world.Candidates = []*Candidate{Prepare(Agreed{Change: life.subject.Change, Approvals: life.subject.Approvals, Rules: s.world.Rules})}
				again := s.decide(2)
				return again.Verdict == Covered
			}
			if test.votes == 0 {
				life.is(v1alpha1.ChangeImplement)
				if !covered() {
					t.Error("nothing is in its way, and it does not go in")
				}
				return
			}
			if !strings.Contains(told, "it needs "+plural(int(test.votes), "approval")) || !strings.Contains(told, "Approve: kubectl itil approve shop/") {
				t.Errorf("told:\n%s", told)
			}
			life.is(v1alpha1.ChangeAuthorize).condition(v1alpha1.ConditionApproved, metav1.ConditionFalse, "VotesMissing")
			if got := life.last.Status.Approvals.Required; got != test.votes {
				t.Errorf("needs %d votes, want %d", got, test.votes)
			}
			if covered() {
				t.Error("it goes in without a vote")
			}
			voters := []string{"bob", "carol"}[:test.votes]
			life.votes(voters...).is(v1alpha1.ChangeImplement)
			if !covered() {
				t.Error("it was voted on, and does not go in")
			}
		})
	}
}

// told4 begins with a Change that the operator filed, for a workload of tier 4 that runs 2.3.
func told4(t *testing.T, f *Filing, alter func(*v1alpha1.Change)) *story {
	t.Helper()
	c := f.Object()
	c.CreationTimestamp = *at(2)
	delete(c.Annotations, AnnotationDiffFollows)
	c.Status.Diff = []v1alpha1.FieldDiff{{Path: diffPath(ReferenceTo(checkout), "spec.containers[app].image"), From: v23.Images["app"], To: v24.Images["app"]}}
	alter(c)
	s := told(t)
	s.subject.Change = c
	fact := s.subject.Workloads[checkout]
	fact.Risk = RiskFacts{Tier: 4}
	s.subject.Workloads = map[configuration.Key]WorkloadFact{checkout: fact}
	return s
}
