package change

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func (s *story) nextStepLacks(words ...string) *story {
	s.Helper()
	for _, w := range words {
		if strings.Contains(s.last.Status.NextStep, w) {
			s.Fatalf("hour %d: next step has %q:\n%s", s.hours, w, s.last.Status.NextStep)
		}
	}
	return s
}

func cancel(c *v1alpha1.ChangeSpec) { c.Cancel = true }

// TestCanceledAfterItWentIn: it is canceled, for nothing more goes in by it; but what went in is said, watched like any other,
// and has an outcome.
func TestCanceledAfterItWentIn(t *testing.T) {
	stays := []string{"deployment/checkout", "runs what it brought in", "kubectl rollout undo deployment/checkout -n shop"}
	t.Run("and goes well", func(t *testing.T) {
		s := in(t).edit(cancel).is(v1alpha1.ChangeCanceled).outcome("").nextStepHas(append(stays, "watched until")...).wakes(3).
			condition(v1alpha1.ConditionImplemented, metav1.ConditionTrue, "Complete")
		if im := s.last.Status.Implementations; len(im) != 1 || im[0].By != "alice" {
			t.Errorf("implementations %v", im)
		}
		s.at(3).is(v1alpha1.ChangeCanceled).outcome(v1alpha1.OutcomeSuccessful).nextStepHas(stays...).nextStepLacks("watched until")
	})
	t.Run("and fails", func(t *testing.T) {
		s := in(t).edit(cancel).is(v1alpha1.ChangeCanceled)
		s.suspectedBy(grave).is(v1alpha1.ChangeCanceled).outcome(v1alpha1.OutcomeUnsuccessful).nextStepHas(stays...)
		s.runs(running(v23), baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))).is(v1alpha1.ChangeCanceled).
			outcome(v1alpha1.OutcomeRolledBack).nextStepLacks("runs what it brought in")
	})
	t.Run("and another follows", func(t *testing.T) {
		s := in(t).edit(cancel).is(v1alpha1.ChangeCanceled)
		s.runs(running(v25), baseline(v25, by(v1alpha1.BaselineChange, "checkout-2-5"))).is(v1alpha1.ChangeCanceled).nextStepLacks("runs what it brought in")
	})
	t.Run("before", func(t *testing.T) {
		s := teller{t}.implementing().edit(cancel).is(v1alpha1.ChangeCanceled).outcome("").at(90).is(v1alpha1.ChangeCanceled).outcome("")
		if s.last.Status.NextStep != "" {
			t.Errorf("next step %q", s.last.Status.NextStep)
		}
	})
}

// TestAReviewIsSuggestedByWhatIsKnown: not as a success while an Incident that suspects the Change is open.
func TestAReviewIsSuggestedByWhatIsKnown(t *testing.T) {
	record := func(t *testing.T) *story {
		t.Helper()
		s := told(t, ofType(v1alpha1.ChangeEmergency), func(c *v1alpha1.Change) { c.Spec.RecordOf = v1alpha1.RecordOfBreakGlass })
		forced := baseline(v24, by(v1alpha1.BaselineBreakGlass, ""))
		forced.From, forced.By = *at(2), "erin"
		s.subject.Change.Name = recordName(checkout, &forced)
		return s.at(2).runs(running(v24), forced).is(v1alpha1.ChangeReview)
	}
	closed := func(s Suspicion) Suspicion { s.Open = false; return s }
	for name, test := range map[string]struct {
		by          []Suspicion
		has, hasNot []string
	}{
		"nothing":                         {nil, []string{"--outcome Successful "}, []string{"Incident"}},
		"a grave Incident":                {[]Suspicion{grave}, []string{"Incident shop/down (P1), which suspects it, is open", "--outcome Unsuccessful "}, []string{"--outcome Successful "}},
		"a grave Incident, which is over": {[]Suspicion{closed(grave)}, []string{"--outcome Unsuccessful "}, []string{"is open"}},
		"a slight one":                    {[]Suspicion{slight}, []string{"Incident shop/slow (P3), which suspects it, is open", "--outcome SuccessfulWithIssues "}, nil},
		"both": {[]Suspicion{slight, grave}, []string{
			"Incidents shop/down (P1) and shop/slow (P3), which suspect it, are open", "wait until they are resolved", "--outcome Unsuccessful ",
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			record(t).suspectedBy(test.by...).is(v1alpha1.ChangeReview).nextStepHas(test.has...).nextStepLacks(test.hasNot...)
		})
	}
	t.Run("a rollback", func(t *testing.T) {
		s := record(t)
		s.at(3).runs(running(v23), baseline(v23, by(v1alpha1.BaselineRollback, s.subject.Change.Name))).is(v1alpha1.ChangeReview).nextStepHas("--outcome RolledBack ")
	})
	t.Run("a Change that was asked for", func(t *testing.T) {
		in(t).suspectedBy(grave).is(v1alpha1.ChangeReview).nextStepHas("Incident shop/down (P1), which suspects it, is open", "--outcome Unsuccessful ")
	})
	t.Run("an Emergency whose Incident goes on", func(t *testing.T) {
		s := told(t, ofType(v1alpha1.ChangeEmergency), func(c *v1alpha1.Change) { c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: "down"} })
		s.subject.Targets = map[configuration.Key]TargetFact{checkout: {Services: []string{"checkout"}, Tier: 1}}
		s.subject.Incident = &IncidentFact{Name: "down", Open: true, Services: []string{"checkout"}}
		s.at(1).is(v1alpha1.ChangeAuthorize).votes("bob", "carol").is(v1alpha1.ChangeImplement)
		s.at(2).runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
		s.at(3).is(v1alpha1.ChangeReview).nextStepHas("Incident down, which it was to end, is open")
		s.with(func(x *Subject) { x.Incident = &IncidentFact{Name: "down", Services: []string{"checkout"}} }).is(v1alpha1.ChangeReview).nextStepLacks("is open")
	})
}

// many is a Change with so many targets, each with so many images; the last of them is known by its hash alone.
func many(targets, images int) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) {
		c.Spec.Targets = nil
		for n := range targets {
			t := v1alpha1.ChangeTarget{Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(fmt.Sprintf("d-%02d", n))}, Images: map[string]v1alpha1.Image{}}
			for m := range images {
				t.Images[fmt.Sprintf("c-%02d", m)] = "r/x:2"
			}
			c.Spec.Targets = append(c.Spec.Targets, t)
		}
		c.Spec.Targets[targets-1].TemplateHash = v1alpha1.TemplateHash(v24env.Hash)
	}
}

// TestDifferencesAreFair: every target is shown before a second difference of another, what is known least first, and what is
// left out is counted, named, and said to who votes.
func TestDifferencesAreFair(t *testing.T) {
	for name, test := range map[string]struct {
		targets, images int
		// first differences are those of the last target; workloads are shown; last is what is said at the end.
		workloads int
		last      string
	}{
		"few":                   {3, 2, 3, ""},
		"just as many as fit":   {10, 2, 10, ""}, // and one for the hash
		"many of few targets":   {2, 40, 2, "52 more differences"},
		"a few of many targets": {20, 3, 20, "32 more differences"},
		"the most":              {50, 1, 29, "22 more differences, of these none is shown of deployment/d-28, "},
	} {
		t.Run(name, func(t *testing.T) {
			s := told(t, many(test.targets, test.images))
			s.subject.Workloads = map[configuration.Key]WorkloadFact{}
			for i := range s.subject.Change.Spec.Targets {
				target := &s.subject.Change.Spec.Targets[i]
				w := running(v23)
				w.Key = KeyOf("shop", target.Workload)
				w.Template.Images = map[string]string{}
				for c := range target.Images {
					w.Template.Images[c] = "r/x:1"
				}
				s.subject.Workloads[w.Key] = WorkloadFact{Workload: w, Baselines: []v1alpha1.Baseline{baseline(&w.Template)}, Risk: RiskFacts{Tier: 1}}
			}
			diff := s.is(v1alpha1.ChangeAuthorize).last.Status.Diff
			evil := diffPath(s.subject.Change.Spec.Targets[test.targets-1].Workload, hashAlone)
			if !slices.ContainsFunc(diff, func(d v1alpha1.FieldDiff) bool { return d.Path == evil }) {
				t.Errorf("nothing tells of the template that nobody knows: %v", diff)
			}
			if len(diff) > maxDiff {
				t.Errorf("%d differences", len(diff))
			}
			shown := map[string]int{}
			for _, d := range diff {
				if name, _, found := strings.Cut(d.Path, ": "); found {
					shown[name]++
				}
			}
			if len(shown) != test.workloads {
				t.Errorf("of %d workloads something is shown, want %d: %v", len(shown), test.workloads, shown)
			}
			last := diff[len(diff)-1]
			if test.last == "" {
				if strings.Contains(last.Path, "…") {
					t.Errorf("the last is %v", last)
				}
				s.nextStepLacks("Not all")
				return
			}
			if last.Path != "…" || !strings.HasPrefix(last.To, test.last) || len(last.To) > 512 {
				t.Errorf("the last is %v, want %q", last, test.last)
			}
			s.nextStepHas("Not all is shown: "+strings.Split(test.last, ",")[0], "kubectl diff -f FILE", "kubectl itil approve")
			if !slices.ContainsFunc(s.last.Status.Risk.Factors, func(f v1alpha1.RiskFactor) bool { return f.Name == "Template" }) {
				t.Errorf("risk %v", s.last.Status.Risk.Factors)
			}
		})
	}
}

// TestGroupsOfWhenItWasFiled: a policy that asks for less by now does not take a group's say away.
func TestGroupsOfWhenItWasFiled(t *testing.T) {
	under := func(s *story, policies ...*v1alpha1.ChangePolicy) *story {
		return s.with(func(x *Subject) { x.Rules = Merge(policies, nil) })
	}
	group := func(s *story, of, who string) *story {
		s.votes(who)
		s.subject.Approvals[len(s.subject.Approvals)-1].Spec.Group = v1alpha1.GroupName(of)
		return s
	}
	both := []*v1alpha1.ChangePolicy{policy("p", needing(1, "sre")), policy("q", needing(1, "security"))}
	t.Run("a group is dropped", func(t *testing.T) {
		s := under(told(t), both...).is(v1alpha1.ChangeAuthorize)
		under(s, both[0]).is(v1alpha1.ChangeAuthorize).nextStepHas("sre", "security")
		group(s.at(1), "sre", "bob").is(v1alpha1.ChangeAuthorize).nextStepHas("1 vote from security").
			condition(v1alpha1.ConditionApproved, metav1.ConditionFalse, "VotesMissing")
		if from := s.last.Status.Approvals.From; !slices.Equal(from, []string{"security", "sre"}) {
			t.Errorf("votes must come from %v", from)
		}
		for _, c := range s.last.Status.Conditions {
			if c.Type == v1alpha1.ConditionApproved && !strings.Contains(c.Message, "security was asked for when it was assessed") {
				t.Errorf("Approved: %s", c.Message)
			}
		}
		group(s.at(2), "security", "carol").is(v1alpha1.ChangeImplement)
	})
	t.Run("all groups are dropped", func(t *testing.T) {
		s := under(told(t), both...).is(v1alpha1.ChangeAuthorize)
		under(s, policy("p", needing(1))).at(1).votes("bob").is(v1alpha1.ChangeAuthorize).nextStepHas("1 vote from security and 1 vote from sre")
		group(group(s.at(2), "sre", "carol"), "security", "dave").is(v1alpha1.ChangeImplement)
	})
	t.Run("a member of what was dropped says no", func(t *testing.T) {
		s := under(told(t), both...).is(v1alpha1.ChangeAuthorize)
		group(under(s, both[0]).at(1), "security", "not carol").is(v1alpha1.ChangeRejected)
	})
	t.Run("a group is added", func(t *testing.T) {
		s := under(told(t), both[0]).is(v1alpha1.ChangeAuthorize)
		group(under(s, both...).at(1), "sre", "bob").is(v1alpha1.ChangeAuthorize).nextStepHas("1 vote from security")
		// It was not asked for when the Change was assessed, and may be taken back.
		under(s, both[0]).is(v1alpha1.ChangeImplement)
	})
	t.Run("an edit is another version", func(t *testing.T) {
		s := under(told(t), both...).is(v1alpha1.ChangeAuthorize)
		under(s, both[0]).edit(func(c *v1alpha1.ChangeSpec) { c.Summary = "better" }).is(v1alpha1.ChangeAuthorize)
		group(s.at(1), "sre", "bob").is(v1alpha1.ChangeImplement)
	})
	t.Run("what could not be assessed asks for nothing", func(t *testing.T) {
		s := under(told(t, func(c *v1alpha1.Change) { c.Spec.Targets[0].Images = map[string]v1alpha1.Image{"web": "x:1"} }), both...).is(v1alpha1.ChangeAssess)
		if d := s.last.Status.Approvals.Demands; len(d) > 0 {
			t.Errorf("demands %v", d)
		}
	})
	t.Run("many policies", func(t *testing.T) {
		var policies []*v1alpha1.ChangePolicy
		for n := range 40 {
			policies = append(policies, policy(fmt.Sprintf("p-%02d", n), needing(1, v1alpha1.GroupName(fmt.Sprintf("g-%02d", n%30)))))
		}
		s := under(told(t), policies...).is(v1alpha1.ChangeAuthorize)
		if n := len(s.last.Status.Approvals.Demands); n != maxDemands {
			t.Errorf("%d demands", n)
		}
	})
}
