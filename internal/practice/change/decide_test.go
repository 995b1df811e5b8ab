package change

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

var (
	v23     = template("body", repository+"2.3.0")
	v24     = template("body", repository+"2.4.0")
	v24env  = template("body with env", repository+"2.4.0")
	evil    = template("body", "evil.example/miner:1")
	tierOne = []Claim{{Service: "checkout", Tier: 1}}
)

// situation is a workload of tier 1 that runs 2.3 under Enforce, and a request for 2.4.
type situation struct {
	request Request
	world   World
}

func situated(options ...func(*situation)) *situation {
	s := &situation{
		request: Request{Operation: Template, Key: checkout, User: User{Name: "alice"}, Old: v23, New: v24},
		world: World{
			Claims: tierOne, Enforcement: v1alpha1.EnforcementEnforce, Rules: Merge(nil, nil),
			Baselines: []v1alpha1.Baseline{baseline(v23)}, Risk: RiskFacts{Tier: 1},
		},
	}
	for _, o := range options {
		o(s)
	}
	return s
}

func (s *situation) decide(hours int) Decision { return Decide(&s.request, &s.world, hour(hours)) }

func asking(r func(*Request)) func(*situation) { return func(s *situation) { r(&s.request) } }
func given(w func(*World)) func(*situation)    { return func(s *situation) { w(&s.world) } }

func enforcement(e v1alpha1.Enforcement) func(*situation) {
	return given(func(w *World) { w.Enforcement = e })
}

func policies(p ...*v1alpha1.ChangePolicy) func(*situation) {
	return given(func(w *World) { w.Rules = Merge(p, map[string]Calendar{"office": openFrom(8, 18)}) })
}

// knowing prepares the Changes with their votes by the rules that hold so far.
func knowing(c *v1alpha1.Change, votes ...*v1alpha1.ChangeApproval) func(*situation) {
	return func(s *situation) {
		s.world.Candidates = append(s.world.Candidates, Prepare(Agreed{Change: c, Approvals: votes, Rules: s.world.Rules}))
	}
}

// approved is the Change of 2.4 that bob approved at hour 1.
func approved(options ...func(*v1alpha1.Change)) func(*situation) {
	c := changeOf("checkout-2-4", options...)
	return knowing(c, vote(c, "bob", 1))
}

func frozen(from, to int) func(*v1alpha1.ChangePolicySpec) {
	return func(p *v1alpha1.ChangePolicySpec) {
		p.Freezes = append(p.Freezes, v1alpha1.Freeze{Name: "black-friday", From: stamp(from), To: stamp(to)})
	}
}

func officeHours(p *v1alpha1.ChangePolicySpec) {
	p.ChangeWindow = &v1alpha1.ChangeWindow{CalendarRef: v1alpha1.LocalReference{Name: "office"}}
}

func TestDecide(t *testing.T) {
	brokeGlass := asking(func(r *Request) { r.BreakGlass, r.BreakGlassPermitted = "outage", true })
	// As kubectl rollout undo copies it, or as somebody forges it.
	byErin := asking(func(r *Request) { r.BreakGlass, r.BreakGlassBy = "fire", "erin" })
	byController := asking(func(r *Request) { r.New, r.RollbackTo = v23, "1" })
	around := func(e v1alpha1.Enforcement) func(*situation) { return given(func(w *World) { w.Around = e }) }
	backToV22 := func(s *situation) {
		s.request.New = template("body", repository+"2.2.0")
		s.world.Baselines = []v1alpha1.Baseline{baseline(v23), baseline(s.request.New)}
	}
	for name, test := range map[string]struct {
		given   *situation
		hours   int
		verdict Verdict
		change  string
		causes  []CauseType
	}{
		"nobody claims it": {
			given: situated(given(func(w *World) { w.Claims, w.Enforcement = nil, "" })), verdict: NotGoverned,
		},
		"its service is disabled": {given: situated(enforcement(v1alpha1.EnforcementDisabled)), verdict: NotGoverned},
		"the same meaning": {
			given: situated(asking(func(r *Request) { r.New = v23 })), verdict: Unchanged,
		},
		"back to what is agreed, from what went past the gate": {
			given: situated(asking(func(r *Request) { r.Old, r.New = evil, v23 }), given(func(w *World) {
				w.Baselines = []v1alpha1.Baseline{baseline(evil, by(v1alpha1.BaselineUnauthorized, ""), unproven), baseline(v23, unproven)}
			})), verdict: Unchanged,
		},
		"created again as it was": {
			given: situated(asking(func(r *Request) { r.Operation, r.Old, r.New = Create, nil, v23 })), verdict: Unchanged,
		},
		"a held template that is agreed is let out": {
			given: situated(asking(func(r *Request) { r.Operation, r.New = Release, v23 })), verdict: Unchanged,
		},
		"a held template that is not": {
			given:   situated(asking(func(r *Request) { r.Operation, r.Old, r.New = Release, v24, v24 })),
			verdict: Denied, change: "checkout-" + v24.Hash[3:11], causes: []CauseType{CauseNoChange},
		},
		"back to what was": {
			given: situated(asking(func(r *Request) { r.Old, r.New = v24, v23 }), given(func(w *World) {
				w.Baselines = []v1alpha1.Baseline{baseline(v24, by(v1alpha1.BaselineChange, "up"), unproven), baseline(v23)}
			})), verdict: Rollback, change: "up",
		},
		"back during a freeze": {
			given: situated(policies(policy("p", frozen(0, 50))), asking(func(r *Request) { r.Old, r.New = v24, v23 }), given(func(w *World) {
				w.Baselines = []v1alpha1.Baseline{baseline(v24), baseline(v23)}
			})), hours: 10, verdict: Rollback,
		},
		"a Change covers it": {given: situated(approved()), hours: 2, verdict: Covered, change: "checkout-2-4"},
		"a Change that lacks a vote": {
			given: situated(knowing(changeOf("checkout-2-4"))), hours: 2, verdict: Denied, change: "checkout-2-4",
			causes: []CauseType{CauseNotApproved},
		},
		"a Change for its exact template": {
			given: situated(approved(pinnedTo(v24env)), asking(func(r *Request) { r.New = v24env })), hours: 2, verdict: Covered, change: "checkout-2-4",
		},
		"a Change of images, and more differs": {
			given: situated(approved(), asking(func(r *Request) { r.New = v24env })), hours: 2, verdict: Denied,
			change: "checkout-" + v24env.Hash[3:11], causes: []CauseType{CauseOtherTemplate},
		},
		"a Change for another image": {
			given: situated(approved(), asking(func(r *Request) { r.New = evil })), hours: 2, verdict: Denied,
			change: "checkout-" + evil.Hash[3:11], causes: []CauseType{CauseOtherTemplate},
		},
		"a Change outside its window": {
			given: situated(approved(window(5, 6))), hours: 7, verdict: Denied, change: "checkout-2-4", causes: []CauseType{CauseOutsideWindow},
		},
		"a Change in a freeze and outside office hours": {
			given: situated(policies(policy("p", frozen(0, 50), officeHours)), approved(window(1, 100))), hours: 7, verdict: Denied,
			change: "checkout-2-4", causes: []CauseType{CauseOutsideWindow, CauseFrozen},
		},
		"a Change in review": {
			given: situated(approved(func(c *v1alpha1.Change) { c.Status.Outcome = v1alpha1.OutcomeSuccessful })), hours: 2,
			verdict: Denied, change: "checkout-" + v24.Hash[3:11], causes: []CauseType{CauseEnded},
		},
		"deletion": {
			given:   situated(asking(func(r *Request) { r.Operation, r.New = Delete, nil })),
			verdict: Denied, change: "checkout-delete", causes: []CauseType{CauseNoChange},
		},
		"deletion that a Change asks for": {
			given: situated(approved(operations(v1alpha1.OperationDelete)), asking(func(r *Request) { r.Operation, r.New = Delete, nil })), hours: 2,
			verdict: Covered, change: "checkout-2-4",
		},
		"a Change that asks for deletion does not cover a template": {
			given: situated(approved(operations(v1alpha1.OperationDelete))), hours: 2, verdict: Denied,
			change: "checkout-" + v24.Hash[3:11], causes: []CauseType{CauseOtherOperation},
		},
		"low risk needs no vote": {
			given: situated(given(func(w *World) { w.Risk.Tier = 4 })), verdict: PreAuthorised, change: "checkout-" + v24.Hash[3:11],
		},
		"low risk in a freeze": {
			given: situated(policies(policy("p", frozen(0, 50))), given(func(w *World) { w.Risk.Tier = 4 })), hours: 2,
			verdict: Denied, change: "checkout-" + v24.Hash[3:11], causes: []CauseType{CauseNoChange, CauseFrozen},
		},
		"low risk, but it was rolled back": {
			given: situated(given(func(w *World) {
				w.Risk.Tier = 4
				w.Baselines = []v1alpha1.Baseline{baseline(v23, by(v1alpha1.BaselineRollback, "up")), baseline(v24, by(v1alpha1.BaselineChange, "up")), baseline(v23)}
			})), verdict: Denied, change: "checkout-" + v24.Hash[3:11], causes: []CauseType{CauseNoRollback, CauseNoChange},
		},
		"low risk, but it was rejected": {
			given: situated(given(func(w *World) { w.Risk.Tier = 4 }), func(s *situation) {
				c := changeOf("checkout-2-4")
				knowing(c, vote(c, "bob", 1, reject))(s)
			}), hours: 2, verdict: Denied, change: "checkout-2-4", causes: []CauseType{CauseRejected},
		},
		"the glass is broken":                                        {given: situated(brokeGlass), verdict: BreakGlass},
		"the glass, by who may not":                                  {given: situated(asking(func(r *Request) { r.BreakGlass = "x" })), verdict: Denied, change: "checkout-" + v24.Hash[3:11], causes: []CauseType{CauseNoChange, CauseBreakGlass}},
		"the glass, by a robot":                                      {given: situated(brokeGlass, asking(func(r *Request) { r.User.ServiceAccount = true })), verdict: Denied, change: "checkout-" + v24.Hash[3:11], causes: []CauseType{CauseNoChange, CauseBreakGlass}},
		"deletes cannot break glass":                                 {given: situated(brokeGlass, asking(func(r *Request) { r.Operation, r.New = Delete, nil })), verdict: Denied, change: "checkout-delete", causes: []CauseType{CauseNoChange, CauseBreakGlass}},
		"another's broken glass comes back with an earlier template": {given: situated(backToV22, byErin), verdict: Rollback},
		"another's broken glass comes back with what is agreed": {
			given: situated(asking(func(r *Request) { r.Old, r.New = evil, v23 }), byErin), verdict: Unchanged,
		},
		"another's broken glass with what was there before": {
			given: situated(asking(func(r *Request) { r.New = v23 }), byErin), verdict: Denied, causes: []CauseType{CauseCopiedGlass},
		},
		"another's broken glass beside an approved Change": {
			given: situated(approved(), byErin), hours: 2, verdict: Denied, causes: []CauseType{CauseCopiedGlass},
		},
		"another's broken glass, by who may break it": {given: situated(brokeGlass, byErin), verdict: Denied, causes: []CauseType{CauseCopiedGlass}},
		"another's broken glass, where nothing is governed": {
			given: situated(enforcement(v1alpha1.EnforcementDisabled), byErin), verdict: Denied, causes: []CauseType{CauseCopiedGlass},
		},
		"the deployment controller shall bring an earlier template back": {
			given: situated(byController), verdict: Denied, causes: []CauseType{CauseRollbackTo},
		},
		"the controller shall, beside an approved Change": {
			given: situated(approved(), asking(func(r *Request) { r.RollbackTo = "1" })), hours: 2, verdict: Denied, causes: []CauseType{CauseRollbackTo},
		},
		"the controller shall, beside a proven template": {
			given: situated(backToV22, asking(func(r *Request) { r.RollbackTo = "1" })), verdict: Denied, causes: []CauseType{CauseRollbackTo},
		},
		"the controller shall, with the glass broken": {
			given: situated(byController, brokeGlass), verdict: Denied, causes: []CauseType{CauseRollbackTo},
		},
		"the controller shall, on what is made": {
			given: situated(asking(func(r *Request) { r.Operation, r.Old, r.New, r.RollbackTo = Create, nil, v23, "0" })), verdict: Denied,
			causes: []CauseType{CauseRollbackTo},
		},
		"the controller shall, on what is not governed beside what is": {
			given: situated(byController, enforcement(v1alpha1.EnforcementDisabled), around(v1alpha1.EnforcementEnforce)), verdict: Denied,
			causes: []CauseType{CauseRollbackTo},
		},
		"the controller shall, where others are audited": {
			given: situated(byController, enforcement(""), around(v1alpha1.EnforcementAudit)), verdict: Audited, causes: []CauseType{CauseRollbackTo},
		},
		"the controller shall, where the gate only warns": {
			given: situated(byController, enforcement(v1alpha1.EnforcementWarn), around(v1alpha1.EnforcementAudit)), verdict: Warned,
			causes: []CauseType{CauseRollbackTo},
		},
		"the controller shall, where nothing is governed": {
			given: situated(byController, enforcement(v1alpha1.EnforcementDisabled), around(v1alpha1.EnforcementDisabled)), verdict: NotGoverned,
		},
		"where the gate only warns":   {given: situated(enforcement(v1alpha1.EnforcementWarn)), verdict: Warned, causes: []CauseType{CauseNoChange}},
		"where the gate only watches": {given: situated(enforcement(v1alpha1.EnforcementAudit)), verdict: Audited, causes: []CauseType{CauseNoChange}},
		"the annotation names another": {
			given: situated(asking(func(r *Request) { r.Change = "other" })), verdict: Denied, change: "checkout-" + v24.Hash[3:11],
			causes: []CauseType{CauseNoChange, CauseAnnotation},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.given.decide(test.hours)
			if d.Verdict != test.verdict || d.Change != test.change {
				t.Errorf("got %s by Change %q, want %s by %q; reasons %v", d.Verdict, d.Change, test.verdict, test.change, d.Reasons)
			}
			var causes []CauseType
			for _, c := range d.Reasons {
				causes = append(causes, c.Type)
			}
			if diff := cmp.Diff(test.causes, causes); diff != "" {
				t.Errorf("causes (-want +got):\n%s\n%v", diff, d.Reasons)
			}
			if d.Allowed != (test.verdict != Denied) {
				t.Errorf("allowed is %v", d.Allowed)
			}
		})
	}
}

func TestDecidePicksAmongSeveral(t *testing.T) {
	early := changeOf("z-ends-first", window(1, 10))
	late := changeOf("a-ends-last", window(1, 20))
	both := situated(knowing(late, vote(late, "bob", 2)), knowing(early, vote(early, "bob", 1)))
	if d := both.decide(3); d.Verdict != Covered || d.Change != "z-ends-first" {
		t.Errorf("got %s by %q, want the one that ends first", d.Verdict, d.Change)
	}
	both.request.Change = "a-ends-last"
	if d := both.decide(3); d.Change != "a-ends-last" {
		t.Errorf("got %s by %q, want the one that the annotation names", d.Verdict, d.Change)
	}
	again := situated(knowing(late, vote(late, "bob", 1)), knowing(early, vote(early, "bob", 1)))
	again.request.Change = "a-ends-last"
	if d := again.decide(3); d.Verdict != Covered || d.Change != "a-ends-last" {
		t.Errorf("got %s by %q, want the one that the annotation names", d.Verdict, d.Change)
	}
}

// TestTheAnnotationPassesWhatGoesFirst: which of two approved Changes goes first is a matter of order, and may be
// chosen; what has begun, is about to by a Release, or is an Emergency is not passed.
func TestTheAnnotationPassesWhatGoesFirst(t *testing.T) {
	other := func(options ...func(*v1alpha1.Change)) *v1alpha1.Change {
		return changeOf("first", append([]func(*v1alpha1.Change){images(repository + "2.3.1"), window(0, 20)}, options...)...)
	}
	ref := v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}
	began := func(w v1alpha1.WorkloadReference, state v1alpha1.RolloutState) func(*v1alpha1.Change) {
		return func(c *v1alpha1.Change) {
			if w != ref {
				c.Spec.Targets = append(c.Spec.Targets, v1alpha1.ChangeTarget{Workload: w, Images: c.Spec.Targets[0].Images})
			}
			c.Status.Implementations = []v1alpha1.Implementation{{Workload: w, At: *at(2), Rollout: state}}
		}
	}
	cart := v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "cart"}
	for name, test := range map[string]struct {
		first    *v1alpha1.Change
		releases []ReleaseFact
		names    string
		verdict  Verdict
	}{
		"no annotation":                        {first: other(), verdict: Denied},
		"it names this one":                    {first: other(), names: "second", verdict: Covered},
		"it names the first":                   {first: other(), names: "first", verdict: Denied},
		"the first is being rolled out":        {first: other(began(ref, v1alpha1.RolloutInProgress)), names: "second", verdict: Denied},
		"the first has begun elsewhere":        {first: other(began(cart, v1alpha1.RolloutComplete)), names: "second", verdict: Denied},
		"the first is an Emergency":            {first: other(ofType(v1alpha1.ChangeEmergency), approvedAtHour(1)), names: "second", verdict: Denied},
		"the first's Release waits":            {first: other(), releases: []ReleaseFact{{Name: "r", Units: []configuration.Key{checkout}}}, names: "second", verdict: Covered},
		"the first's Release has begun to run": {first: other(), releases: []ReleaseFact{{Name: "r", Units: []configuration.Key{checkout}, Open: []configuration.Key{checkout}}}, names: "second", verdict: Denied},
	} {
		t.Run(name, func(t *testing.T) {
			second := changeOf("second", window(0, 20))
			s := situated(knowing(second, vote(second, "bob", 2)), asking(func(r *Request) { r.Change = test.names }))
			s.world.Candidates = append(s.world.Candidates, Prepare(Agreed{
				Change: test.first, Approvals: []*v1alpha1.ChangeApproval{vote(test.first, "bob", 1)}, Rules: s.world.Rules, Releases: test.releases,
			}))
			d := s.decide(3)
			if d.Verdict != test.verdict || test.verdict == Covered && d.Change != "second" {
				t.Errorf("%s by %q, want %s: %v", d.Verdict, d.Change, test.verdict, d.Reasons)
			}
			told := slices.ContainsFunc(d.Reasons, func(c Cause) bool { return strings.Contains(c.Message, "annotation itil.dev/change names second") })
			if want := name == "no annotation" || name == "it names the first"; told != want {
				t.Errorf("told how to pass it: %v; %v", told, d.Reasons)
			}
		})
	}
}

// approvedAtHour records the approval.
func approvedAtHour(n int) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) { c.Status.ApprovedAt = at(n) }
}

func TestDryRunIsNeverDeniedAndLeavesNoTrace(t *testing.T) {
	s := situated(asking(func(r *Request) { r.DryRun = true }))
	d := s.decide(0)
	if d.Verdict != Denied || !d.Allowed || d.File != nil {
		t.Errorf("got verdict %s, allowed %v, filing %v", d.Verdict, d.Allowed, d.File)
	}
	s.world.Risk.Tier = 4
	if d := s.decide(0); d.Verdict != PreAuthorised || d.File != nil {
		t.Errorf("got verdict %s, filing %v", d.Verdict, d.File)
	}
}

func TestFilesOnlyUnderEnforce(t *testing.T) {
	for _, e := range []v1alpha1.Enforcement{v1alpha1.EnforcementWarn, v1alpha1.EnforcementAudit} {
		for _, tier := range []int32{1, 4} {
			s := situated(enforcement(e), given(func(w *World) { w.Risk.Tier = tier }))
			if d := s.decide(0); d.File != nil {
				t.Errorf("%s files %s for tier %d", e, d.File.Name(), tier)
			}
		}
	}
}

func TestTwins(t *testing.T) {
	pod := configuration.Key{Kind: "Pod", Namespace: "shop", Name: "debug"}
	through := []Claim{{Service: "checkout", Tier: 1, Through: checkout}}
	twin := func(w *World) {
		w.Claims, w.Baselines = through, nil
		w.Twins = []Twin{{Key: checkout, Baselines: []v1alpha1.Baseline{baseline(v23)}}}
	}
	for name, test := range map[string]struct {
		ask     func(*Request)
		verdict Verdict
	}{
		"a pod with the agreed images": {
			ask: func(r *Request) {
				r.Operation, r.Key, r.Old, r.New = Create, pod, nil, template("other body", repository+"2.3.0")
			},
			verdict: Unchanged,
		},
		"a pod with another image":  {ask: func(r *Request) { r.Operation, r.Key, r.Old, r.New = Create, pod, nil, evil }, verdict: Denied},
		"a pod's image altered":     {ask: func(r *Request) { r.Key, r.Old, r.New = pod, v23, evil }, verdict: Denied},
		"a pod is deleted":          {ask: func(r *Request) { r.Operation, r.Key, r.New = Delete, pod, nil }, verdict: NotGoverned},
		"a twin with the template":  {ask: func(r *Request) { r.Operation, r.Key.Name, r.Old, r.New = Create, "canary", nil, v23 }, verdict: Unchanged},
		"a twin with another":       {ask: func(r *Request) { r.Operation, r.Key.Name, r.Old, r.New = Create, "canary", nil, v24 }, verdict: Denied},
		"a twin is deleted":         {ask: func(r *Request) { r.Operation, r.Key.Name, r.New = Delete, "canary", nil }, verdict: NotGoverned},
		"its ReplicaSet is altered": {ask: func(r *Request) { r.Key.Kind, r.Old, r.New = "ReplicaSet", v23, evil }, verdict: Denied},
	} {
		t.Run(name, func(t *testing.T) {
			s := situated(given(twin), asking(test.ask))
			d := s.decide(0)
			if d.Verdict != test.verdict || d.File != nil {
				t.Errorf("got %s filing %v, want %s and nothing filed; %v", d.Verdict, d.File, test.verdict, d.Reasons)
			}
		})
	}
}

func TestFilingIsBounded(t *testing.T) {
	s := situated(given(func(w *World) { w.Filed.Undecided = MaxUndecided }))
	d := s.decide(0)
	if d.File != nil || !slices.ContainsFunc(d.Reasons, func(c Cause) bool { return c.Type == CauseFilingLimit }) {
		t.Errorf("filed %v in spite of the limit; reasons %v", d.File, d.Reasons)
	}
}

func TestFilingIsThatOfTheRequest(t *testing.T) {
	s := situated(given(func(w *World) {
		w.Filed.LastEpisode = func(base string) int {
			if base != "checkout-"+v24.Hash[3:11] {
				t.Errorf("asked for episodes of %s", base)
			}
			return 2
		}
	}))
	d := s.decide(5)
	want := &Filing{
		Namespace: "shop", Base: "checkout-" + v24.Hash[3:11], Episode: 3, Requester: "alice", Type: v1alpha1.ChangeNormal,
		Target: v1alpha1.ChangeTarget{
			Workload:     v1alpha1.WorkloadReference{Kind: "Deployment", Name: "checkout"},
			Operations:   []v1alpha1.Operation{v1alpha1.OperationTemplate},
			Images:       map[string]v1alpha1.Image{"app": repository + "2.4.0"},
			TemplateHash: v1alpha1.TemplateHash(v24.Hash),
		},
		At:      hour(5),
		Summary: "Change deployment/checkout: image app=" + repository + "2.4.0",
		Diff:    []v1alpha1.FieldDiff{{Path: "deployment/checkout: spec.containers[app].image", From: repository + "2.3.0", To: repository + "2.4.0"}},
	}
	if diff := cmp.Diff(want, d.File); diff != "" {
		t.Errorf("filing (-want +got):\n%s", diff)
	}
	if d.Change != want.Base+"-3" {
		t.Errorf("the denial points to %s", d.Change)
	}
}
