package change

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// small is a world of few templates, Changes, votes, policies and hours.
type small struct {
	request   Request
	enforced  v1alpha1.Enforcement
	around    v1alpha1.Enforcement
	claims    []Claim
	policies  []*v1alpha1.ChangePolicy
	calendar  hourly
	baselines []v1alpha1.Baseline
	twins     []Twin
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
		Claims: s.claims, Enforcement: s.enforced, Around: s.around, Rules: rules, Baselines: s.baselines, FailedChanges: s.failed, Risk: s.risk,
		Concurrency: Concurrency{Rollouts: slices.Values(s.rollouts), AtMost: len(s.rollouts)}, ExhaustedBudgets: s.exhausted,
		Filed: Filed{Undecided: s.undecided}, Twins: s.twins,
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

var (
	otherWorkload = configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "cart"}
	thirdWorkload = configuration.Key{Group: "apps", Kind: "StatefulSet", Namespace: "shop", Name: "search"}
)

// random makes a small world, each part of which is often on the edge of mattering.
func random(r *rand.Rand) *small {
	tagged := []string{repository + "2.3.0", repository + "2.3.1", repository + "2.4.0", repository + "2.4.0@sha256:" + strings.Repeat("a", 64), "evil.example/miner:1"}
	anyTemplate := func() *configuration.Template {
		return template([]string{"body", "body", "body", "other"}[r.IntN(4)], tagged[r.IntN(len(tagged))])
	}
	pick := func(n int) bool { return r.IntN(n) == 0 }
	s := &small{
		now: r.IntN(60), claims: tierOne, risk: RiskFacts{Tier: int32(1 + r.IntN(4))},
		votes: map[string][]*v1alpha1.ChangeApproval{}, releases: map[string][]ReleaseFact{},
		incidents: map[string]*IncidentFact{}, problems: map[string]*ProblemFact{},
	}
	s.enforced = []v1alpha1.Enforcement{v1alpha1.EnforcementAudit, v1alpha1.EnforcementWarn, v1alpha1.EnforcementEnforce, v1alpha1.EnforcementEnforce}[r.IntN(4)]
	if pick(20) {
		s.enforced = []v1alpha1.Enforcement{"", v1alpha1.EnforcementDisabled}[r.IntN(2)]
	}
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
	if s.request.Operation == Template && pick(12) {
		again := *s.request.Old
		again.RestartedAt, again.AlwaysPulled = "2026-11-23T10:00:00Z", []string{"app"}
		s.request.New = &again
	}
	if !pick(3) {
		s.request.Change = fmt.Sprintf("change-%d", r.IntN(3))
	}
	if pick(5) {
		s.request.BreakGlass, s.request.BreakGlassPermitted = "fire", pick(2)
		s.request.BreakGlassBy = []string{"", "alice", "erin"}[r.IntN(3)]
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
	if pick(7) {
		s.randomTwins(r, anyTemplate)
	}
	for i := range s.mostChanges(r) {
		s.randomChange(r, fmt.Sprintf("change-%d", i), anyTemplate())
	}
	if pick(4) {
		s.undecided = MaxUndecided - 1 + r.IntN(2)
	}
	if pick(4) {
		s.exhausted = []string{"checkout"}
	}
	for i := range r.IntN(3) {
		s.rollouts = append(s.rollouts, Rollout{Workload: configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: []string{"checkout", "cart", "search"}[i]}})
	}
	if pick(20) && s.request.Key == checkout && s.request.Operation != Delete {
		s.request.RollbackTo = "1"
		s.around = []v1alpha1.Enforcement{"", v1alpha1.EnforcementDisabled, v1alpha1.EnforcementAudit, v1alpha1.EnforcementWarn, v1alpha1.EnforcementEnforce}[r.IntN(5)]
	}
	return s
}

// randomTwins are other workloads for whose pods these would pass, each of one or two Services, which may claim this
// workload too; some requests are of a bare Pod.
func (s *small) randomTwins(r *rand.Rand, anyTemplate func() *configuration.Template) {
	pick := func(n int) bool { return r.IntN(n) == 0 }
	s.claims = nil
	services := []string{"cart", "search", "checkout"}
	for i := range 1 + r.IntN(2) {
		twin := Twin{Key: []configuration.Key{otherWorkload, thirdWorkload}[i]}
		for range r.IntN(3) {
			t := anyTemplate()
			if s.request.New != nil && !pick(3) {
				t = s.request.New
			}
			twin.Baselines = append(twin.Baselines, baseline(t, by([]v1alpha1.BaselineSource{v1alpha1.BaselineAdopted, v1alpha1.BaselineAdopted, v1alpha1.BaselineUnauthorized}[r.IntN(3)], "")))
		}
		s.twins = append(s.twins, twin)
		first := r.IntN(len(services))
		s.claims = append(s.claims, Claim{Service: services[first], Tier: 2, Through: twin.Key})
		if pick(2) {
			s.claims = append(s.claims, Claim{Service: services[(first+1)%len(services)], Tier: 3, Through: twin.Key})
		}
	}
	switch {
	case pick(3):
		s.claims = append(s.claims, Claim{Service: services[r.IntN(len(services))], Tier: 1})
	case pick(2) && s.request.Operation != Release:
		s.request.Key = configuration.Key{Kind: configuration.KindPod, Namespace: "shop", Name: "stray"}
	}
	if !pick(3) {
		s.baselines = nil
	}
}

// mostChanges of a world: none can name a Pod.
func (s *small) mostChanges(r *rand.Rand) int {
	if s.request.Key.Kind == configuration.KindPod {
		s.baselines = nil
		return 0
	}
	return r.IntN(4)
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
	if pick(3) {
		p.Spec.Emergency = &v1alpha1.EmergencyRule{Required: int32(r.IntN(2))}
	}
	if pick(3) {
		p.Spec.StandardChanges = []v1alpha1.StandardChange{{Name: "patch", Images: v1alpha1.ImageSameRepositoryPatch, Tiers: []int32{int32(1 + r.IntN(4)), 4}}}
		p.Status.StandardChanges = []v1alpha1.StandardChangeStatus{{Name: "patch", Suspended: pick(4)}}
	}
	if pick(4) {
		p.Spec.OnDenied = v1alpha1.OnDeniedDeny
	}
	p.Spec.Pin = []v1alpha1.Pin{"", v1alpha1.PinImages, v1alpha1.PinImages, v1alpha1.PinDigests, v1alpha1.PinTemplate}[r.IntN(5)]
	if pick(4) {
		p.Spec.Rollback = v1alpha1.RollbackRequireChange
	}
	p.Spec.RollbackRevisions = int32(r.IntN(4))
	p.Spec.FreezeOnExhaustedErrorBudget = pick(2)
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
		if pick(15) {
			window(from, from-1)(c)
		}
	}
	s.randomType(r, c)
	if pick(5) {
		c.Spec.Requester = "system:serviceaccount:flux:apply"
	}
	if pick(2) || s.request.Change == name && pick(2) {
		s.sound(r, c)
		return
	}
	c.Spec.Cancel = pick(10)
	c.Status.Digest = Digest(&c.Spec)
	if pick(10) {
		c.Status.Digest = hashOf("an earlier version")
	}
	if pick(10) {
		c.Status.Outcome = []v1alpha1.Outcome{v1alpha1.OutcomeSuccessful, v1alpha1.OutcomeRolledBack}[r.IntN(2)]
	}
	if pick(12) {
		c.Status.Backout = &v1alpha1.ChangeBackout{StartedAt: *at(2), Reason: v1alpha1.ChangeBackoutRolloutFailed}
	}
	if pick(5) {
		c.Labels = map[string]string{LabelFiledFor: FiledForDenied}
	}
	if pick(6) {
		c.Status.Approvals = &v1alpha1.Approvals{Required: int32(r.IntN(3))}
	}
	if pick(5) {
		s.randomReleases(r, name)
	}
	if pick(8) {
		c.Status.RejectedDigests = []v1alpha1.RejectedDigest{{Digest: []string{Digest(&c.Spec), hashOf("x")}[r.IntN(2)], By: "mallory", At: *at(1)}}
	}
	if pick(5) {
		c.Status.Implementations = []v1alpha1.Implementation{{
			Workload: c.Spec.Targets[r.IntN(len(c.Spec.Targets))].Workload, At: *at(2),
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

// sound leaves a Change with little that is wrong: that others stand in its way, or the times.
func (s *small) sound(r *rand.Rand, c *v1alpha1.Change) {
	if c.Spec.Window != nil && r.IntN(4) > 0 {
		window(s.now-r.IntN(5), s.now+1+r.IntN(10))(c)
	}
	c.Status.Digest = Digest(&c.Spec)
	for i, approver := range []string{"bob", "carol", "dave"} {
		v := vote(c, approver, r.IntN(20), forGroup([]string{"sre", "sre", "dev"}[i]))
		s.votes[c.Name] = append(s.votes[c.Name], v)
	}
	switch r.IntN(8) {
	case 0:
		s.randomReleases(r, c.Name)
	case 1:
		c.Status.Implementations = []v1alpha1.Implementation{{
			Workload: c.Spec.Targets[0].Workload, At: *at(2),
			Rollout: []v1alpha1.RolloutState{v1alpha1.RolloutComplete, v1alpha1.RolloutInProgress}[r.IntN(2)],
		}}
	}
	s.changes = append(s.changes, c)
}

// randomType makes some Changes Standard or Emergency ones, and has some refer to an Incident or a Problem.
func (s *small) randomType(r *rand.Rand, c *v1alpha1.Change) {
	pick := func(n int) bool { return r.IntN(n) == 0 }
	if pick(6) {
		c.Spec.Targets = append(c.Spec.Targets, v1alpha1.ChangeTarget{Workload: ReferenceTo(otherWorkload), Images: c.Spec.Targets[0].Images})
	}
	switch r.IntN(8) {
	case 0:
		c.Spec.Type, c.Spec.StandardChange = v1alpha1.ChangeStandard, []string{"patch", "patch", "other"}[r.IntN(3)]
	case 1:
		c.Spec.Type = v1alpha1.ChangeEmergency
	}
	if !pick(3) && c.Spec.Type == v1alpha1.ChangeEmergency || pick(5) {
		c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: "down"}
		s.incidents[c.Name] = &IncidentFact{Name: "down", Open: !pick(4), Services: []string{[]string{"checkout", "checkout", "cart"}[r.IntN(3)]}, Reporter: []string{"", "alice", "bob"}[r.IntN(3)], Observed: pick(3)}
	}
	if pick(3) {
		s.problems[c.Name] = &ProblemFact{Name: "leak", Open: !pick(3), Services: []string{[]string{"checkout", "cart"}[r.IntN(2)]}}
	}
}

// randomReleases go in under a Change: in the phase of the workload, in another, in none, or without it.
func (s *small) randomReleases(r *rand.Rand, name string) {
	for i := range 1 + r.IntN(2) {
		f := ReleaseFact{Name: fmt.Sprintf("release-%d", i), Why: "its phase does not run"}
		if r.IntN(4) > 0 {
			f.Units = []configuration.Key{otherWorkload, checkout}
		} else {
			f.Units = []configuration.Key{otherWorkload}
		}
		if r.IntN(2) == 0 {
			f.Open = []configuration.Key{f.Units[r.IntN(len(f.Units))]}
		}
		s.releases[name] = append(s.releases[name], f)
	}
}
