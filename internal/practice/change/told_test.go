package change

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// TestTheRiskToldIsThatOfWhenItMayGoIn: a denial at night speaks of the votes that the Change will need, which goes in
// by day.
func TestTheRiskToldIsThatOfWhenItMayGoIn(t *testing.T) {
	days := append(openFrom(8, 18)[:18:18], append(make(hourly, 14), openFrom(8, 18)[8:]...)...)
	s := situated(given(func(w *World) {
		w.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", officeHours)}, map[string]Calendar{"office": days})
		w.Risk.WorkingHours = days
	}))
	for name, test := range map[string]struct {
		hours int
		off   bool
	}{"by day": {hours: 9}, "at night, and it goes in by day": {hours: 20}, "after the last day": {hours: 60, off: true}} {
		d := s.decide(test.hours)
		off := slices.ContainsFunc(d.Risk.Factors, func(f v1alpha1.RiskFactor) bool { return f.Name == "OffHours" })
		if off != test.off {
			t.Errorf("%s: risk %v, want off hours %t", name, d.Risk.Factors, test.off)
		}
	}
}

// TestTheEffectiveWindowIsThatInWhichItWentIn: hours that the policy has later, and a freeze, do not move it.
func TestTheEffectiveWindowIsThatInWhichItWentIn(t *testing.T) {
	s := told(t).at(1).is(v1alpha1.ChangeAuthorize).votes("bob", "carol").is(v1alpha1.ChangeImplement)
	wanted := *s.last.Status.Window
	s.at(2).runs(running(v24), s.broughtIn(v24)).is(v1alpha1.ChangeImplement)
	s.with(func(sub *Subject) { sub.Rules = Merge([]*v1alpha1.ChangePolicy{policy("p", frozen(0, 100))}, nil) }).at(3)
	s.last = Evaluate(&s.subject, hour(3))
	if diff := cmp.Diff(&wanted, s.last.Status.Window); diff != "" {
		t.Errorf("window (-in which it went in +now):\n%s", diff)
	}
}

// TestAFiledChangeIsAssessedWithItsDifferences: else a hash that stands for an image is taken for more, and votes are
// asked for that it does not need.
func TestAFiledChangeIsAssessedWithItsDifferences(t *testing.T) {
	filed := func(alter ...func(*v1alpha1.Change)) *story {
		f := Filing{
			Namespace: "shop", Base: "checkout", Episode: 1, Requester: "alice", Type: v1alpha1.ChangeNormal, Summary: "roll out",
			Target: v1alpha1.ChangeTarget{Workload: ReferenceTo(checkout), TemplateHash: v1alpha1.TemplateHash(v24.Hash), Images: newImages(v24.Images, nil)},
			Diff:   []v1alpha1.FieldDiff{{Path: diffPath(ReferenceTo(checkout), "spec.containers[app].image"), From: v23.Images["app"], To: v24.Images["app"]}},
		}
		s := told(t)
		c := f.Object()
		c.CreationTimestamp = *at(1)
		for _, a := range alter {
			a(c)
		}
		s.subject.Change = c
		return s
	}
	s := filed()
	e := Evaluate(&s.subject, hour(1).Add(time.Second))
	if diff := cmp.Diff(v1alpha1.ChangeStatus{}, e.Status); diff != "" || len(e.Events) > 0 || !e.Wake.Equal(hour(1).Add(diffWithin)) {
		t.Errorf("before its differences are known: wake %s, events %v, status %s", e.Wake, e.Events, diff)
	}
	with := filed(func(c *v1alpha1.Change) {
		c.Status.Diff = []v1alpha1.FieldDiff{{Path: diffPath(ReferenceTo(checkout), "spec.containers[app].image"), From: v23.Images["app"], To: v24.Images["app"]}}
	}).at(1).is(v1alpha1.ChangeAuthorize)
	if level := with.last.Status.Risk.Level; level != v1alpha1.RiskMedium {
		t.Errorf("with them the risk is %s, want Medium", level)
	}
	// Who was to write them died. That images are named beside a hash says nothing of the rest.
	without := filed().at(2).is(v1alpha1.ChangeAuthorize)
	if level := without.last.Status.Risk.Level; level != v1alpha1.RiskHigh {
		t.Errorf("without them the risk is %s, want High: a hash may stand for anything", level)
	}
}

// TestTheRecordOfBrokenGlassTellsWhatAndWhy: whoever reviews it must see what came in instead of what, and the reason.
func TestTheRecordOfBrokenGlassTellsWhatAndWhy(t *testing.T) {
	forced := baseline(v24, by(v1alpha1.BaselineBreakGlass, ""))
	forced.From, forced.By = *at(2), "erin"
	for name, test := range map[string]struct {
		forced  *configuration.Template
		factors []string
	}{
		"an image":              {v24, []string{"Tier", "Image", "MovableTag"}},
		"more of the template":  {v24env, []string{"Template", "Tier", "Image", "MovableTag"}},
		"what had run just now": {v23, []string{"Tier"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := forced
			b.TemplateHash, b.ImagelessHash, b.Images = test.forced.Hash, test.forced.ImagelessHash, test.forced.Images
			baselines := []v1alpha1.Baseline{b, baseline(v23)}
			annotations := map[string]string{v1alpha1.AnnotationBreakGlass: "checkout is down\n"}
			owed, _ := Owed(checkout, annotations, baselines, func(string) bool { return false }, hour(2))
			if want := "The reason given: checkout is down"; strings.TrimSpace(owed.Spec.Justification) != want {
				t.Errorf("justification %q, want %q", owed.Spec.Justification, want)
			}
			owed.CreationTimestamp = *at(2)
			s := told(t)
			s.subject.Change = owed
			s.at(2).runs(running(test.forced), b).is(v1alpha1.ChangeReview)
			var factors []string
			for _, f := range s.last.Status.Risk.Factors {
				factors = append(factors, f.Name)
			}
			if diff := cmp.Diff(test.factors, factors); diff != "" {
				t.Errorf("risk (-want +got):\n%s", diff)
			}
			changed := test.forced.Images["app"] != v23.Images["app"]
			if changed != (len(s.last.Status.Diff) > 0 && s.last.Status.Diff[0].From == v23.Images["app"]) || changed != strings.Contains(owed.Spec.Summary, "image app=") {
				t.Errorf("image changed: %t, but summary %q, diff %v", changed, owed.Spec.Summary, s.last.Status.Diff)
			}
		})
	}
}

// TestWhatIsHeldBackIsToBeReleased: what was deployed while its workload is held is not to be deployed again.
func TestWhatIsHeldBackIsToBeReleased(t *testing.T) {
	for name, test := range map[string]struct {
		runs *configuration.Template
		hold configuration.Hold
		want string
	}{
		"not deployed":          {v23, configuration.Hold{Paused: true}, "Apply it to deployment/checkout"},
		"deployed, held back":   {v24, configuration.Hold{Paused: true}, "deployment/checkout has it and holds it back (paused): release it."},
		"deployed, a partition": {v24, configuration.Hold{Partition: 2}, "holds it back (partition 2): release it."},
	} {
		t.Run(name, func(t *testing.T) {
			s := told(t).at(1).is(v1alpha1.ChangeAuthorize).votes("bob", "carol")
			w := running(test.runs)
			w.Hold = test.hold
			s.runs(w).is(v1alpha1.ChangeImplement)
			if !strings.Contains(s.last.Status.NextStep, test.want) {
				t.Errorf("next step %q, want %q in it", s.last.Status.NextStep, test.want)
			}
		})
	}
}

// TestADenialSaysOfWhatWasRolledBackNothingElse: windows and freezes of what has ended are in nobody's way.
func TestADenialSaysOfWhatWasRolledBackNothingElse(t *testing.T) {
	for name, to := range map[string]*configuration.Template{"forward again": v24, "to another": v25} {
		t.Run(name, func(t *testing.T) {
			first := baseline(v24, by(v1alpha1.BaselineChange, "checkout-2-4"))
			back := baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))
			s := situated(policies(policy("p", frozen(0, 100))), approved(), asking(func(r *Request) { r.New = to }), given(func(w *World) {
				w.Baselines = []v1alpha1.Baseline{back, first, baseline(v23)}
			}))
			d := s.decide(2)
			var lines []string
			for line := range strings.Lines(Explain(&s.request, &s.world, &d).Message) {
				if strings.HasPrefix(line, "Change checkout-2-4: ") {
					lines = append(lines, line)
				}
			}
			if len(lines) != 1 || strings.Count(lines[0], "rolled back") != 1 || strings.Contains(lines[0], "freeze") || strings.Contains(lines[0], "window") {
				t.Errorf("it says of the Change that was rolled back:\n%s", strings.Join(lines, ""))
			}
		})
	}
}

// TestImagesBesideAHashSayNothingOfTheRest: what somebody pins by hash and names images of may alter all of the template,
// however often it is assessed.
func TestImagesBesideAHashSayNothingOfTheRest(t *testing.T) {
	s := told(t, func(c *v1alpha1.Change) { c.Spec.Targets[0].TemplateHash = v1alpha1.TemplateHash(v24env.Hash) })
	many := map[string]v1alpha1.Image{}
	for n := range int32(40) {
		many["c"+itoa(n)] = "r/x:1"
	}
	for n := range 4 {
		if n == 2 {
			s.edit(func(c *v1alpha1.ChangeSpec) { c.Targets[0].Images = many })
		}
		s.is(v1alpha1.ChangeAuthorize)
		if !slices.ContainsFunc(s.last.Status.Risk.Factors, func(f v1alpha1.RiskFactor) bool { return f.Name == "Template" }) {
			t.Fatalf("risk %v", s.last.Status.Risk)
		}
	}
}

// TestTheRecordedDifferencesFollowTheBaseline: an approver sees what would differ from what runs, not from what ran when it
// was filed; where that cannot be told any more, that is said, and counts.
func TestTheRecordedDifferencesFollowTheBaseline(t *testing.T) {
	path := func(p string) string { return diffPath(ReferenceTo(checkout), p) }
	image, env := path("spec.containers[app].image"), path("spec.containers[app].env[A].value")
	filed := func(t *testing.T, diff ...v1alpha1.FieldDiff) *story {
		t.Helper()
		s := told(t, pinnedTo(v25)).runs(running(v24), baseline(v24))
		s.subject.Change.Status.Diff = diff
		return s.is(v1alpha1.ChangeAuthorize)
	}
	from := func(s *story, p string) string {
		for _, d := range s.last.Status.Diff {
			if d.Path == p {
				return d.From
			}
		}
		return "nothing"
	}
	factors := func(s *story) (out []string) {
		for _, f := range s.last.Status.Risk.Factors {
			out = append(out, f.Name)
		}
		return out
	}
	recorded := []v1alpha1.FieldDiff{{Path: image, From: v24.Images["app"], To: v25.Images["app"]}}

	s := filed(t, recorded...)
	if from(s, image) != v24.Images["app"] || slices.Contains(factors(s), "Template") {
		t.Errorf("as it was filed: %v, %v", s.last.Status.Diff, factors(s))
	}
	s.runs(running(v23), baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))).is(v1alpha1.ChangeAuthorize)
	if from(s, image) != v23.Images["app"] || len(s.last.Status.Diff) != 1 || slices.Contains(factors(s), "Template") {
		t.Errorf("after a rollback: %v, %v", s.last.Status.Diff, factors(s))
	}
	s = filed(t, append(recorded, v1alpha1.FieldDiff{Path: env, To: "(hidden)"})...)
	s.runs(running(v23), baseline(v23, by(v1alpha1.BaselineRollback, "checkout-2-4"))).is(v1alpha1.ChangeAuthorize)
	if from(s, image) != v23.Images["app"] || from(s, env) != "" || !slices.Contains(factors(s), "Template") {
		t.Errorf("with another field, after a rollback: %v, %v", s.last.Status.Diff, factors(s))
	}
	s = filed(t, recorded...)
	s.runs(running(template("another body", repository+"2.3.0")), baseline(template("another body", repository+"2.3.0"))).is(v1alpha1.ChangeAuthorize)
	if from(s, path(hashAlone)) != "" || !slices.Contains(factors(s), "Template") {
		t.Errorf("after more than images changed: %v, %v", s.last.Status.Diff, factors(s))
	}

	// Filed against a template of the same image and another body, which a rollback then takes away, and gives back.
	since := func(b v1alpha1.Baseline, hours int) v1alpha1.Baseline { b.From = *at(hours); return b }
	other := template("another body", repository+"2.4.0")
	s = told(t, pinnedTo(v25)).runs(running(other), since(baseline(other), -1))
	s.subject.Change.Status.Diff = recorded
	s.is(v1alpha1.ChangeAuthorize)
	if from(s, image) != v24.Images["app"] || slices.Contains(factors(s), "Template") {
		t.Errorf("as it was filed: %v, %v", s.last.Status.Diff, factors(s))
	}
	s.at(1).runs(running(v24), since(baseline(v24, by(v1alpha1.BaselineRollback, "checkout-2-3")), 1)).is(v1alpha1.ChangeAuthorize)
	if from(s, path(hashAlone)) != "" || !slices.Contains(factors(s), "Template") {
		t.Errorf("after a rollback to the same image and another body: %v, %v", s.last.Status.Diff, factors(s))
	}
}

// TestTheRecordedDifferencesAreOfWhatWasFiled: its requester may edit what was filed, and is quicker than its assessment. What was
// recorded of one template is not taken for what differs in another.
func TestTheRecordedDifferencesAreOfWhatWasFiled(t *testing.T) {
	s := told(t, pinnedTo(v25)).runs(running(v24), baseline(v24))
	s.subject.Change.Status = v1alpha1.ChangeStatus{
		Diff: []v1alpha1.FieldDiff{imageDiff(ReferenceTo(checkout), "app", v24.Images["app"], v25.Images["app"])},
	}
	s.edit(func(c *v1alpha1.ChangeSpec) {
		c.Targets[0].TemplateHash = v1alpha1.TemplateHash(hashOf("something else"))
	})
	s.is(v1alpha1.ChangeAuthorize)
	status := &s.last.Status
	if len(status.Diff) != 1 || status.Diff[0].Path != diffPath(ReferenceTo(checkout), hashAlone) {
		t.Errorf("diff %+v", status.Diff)
	}
	if !slices.ContainsFunc(status.Risk.Factors, func(f v1alpha1.RiskFactor) bool { return f.Name == "Template" }) {
		t.Errorf("risk %+v", status.Risk)
	}
}

// TestWhatIsFiledRisksWhatTheRefusalSaid: an image that the schema of a Change has no room for is in the record of the
// differences alone, and of a record that is full nobody knows what else differs.
func TestWhatIsFiledRisksWhatTheRefusalSaid(t *testing.T) {
	recorded := func(container, from, to string) v1alpha1.FieldDiff {
		return imageDiff(ReferenceTo(checkout), container, from, to)
	}
	factors := func(diff ...v1alpha1.FieldDiff) []string {
		s := told(t, pinnedTo(v24)).runs(running(v23), baseline(v23))
		s.subject.Change.Status.Diff = diff
		var out []string
		for _, f := range s.at(1).is(v1alpha1.ChangeAuthorize).last.Status.Risk.Factors {
			out = append(out, f.Name+": "+f.Why)
		}
		return out
	}
	const byAddress = "[2001:db8::1]:5000/miner:1"
	if presentable("app", byAddress) {
		t.Error("it is to be an image that a target cannot name")
	}
	if got := factors(recorded("app", v23.Images["app"], byAddress)); !slices.Contains(got, "Image: other repository image of app") {
		t.Errorf("an image that a target cannot name: %q", got)
	}
	full := []v1alpha1.FieldDiff{recorded("app", v23.Images["app"], v24.Images["app"])}
	for i := range maxDiff - 1 {
		full = append(full, recorded("side-"+strconv.Itoa(i), "", v24.Images["app"]))
	}
	if got := factors(full[:maxDiff-1]...); slices.Contains(got, "Template: changes more than images") {
		t.Errorf("all that differs is recorded: %q", got)
	}
	if got := factors(full...); !slices.Contains(got, "Template: changes more than images") {
		t.Errorf("there may be more than is recorded: %q", got)
	}
}

// Who votes is told of a template of which nothing but the hash is known, and of no other.
func TestNobodySeesWhatAHashIs(t *testing.T) {
	const warning = "Nobody sees in it what template "
	s := told(t, pinnedTo(v24env)).at(1).is(v1alpha1.ChangeAuthorize).nextStepHas(warning+shortDigest(v24env.Hash), "kubectl itil why -f FILE")
	if len(s.last.Status.NextStep) > maxNextStep || !strings.Contains(s.last.Status.NextStep, "kubectl itil approve") {
		t.Error(s.last.Status.NextStep)
	}
	if s := told(t).at(1).is(v1alpha1.ChangeAuthorize); strings.Contains(s.last.Status.NextStep, warning) {
		t.Error(s.last.Status.NextStep)
	}
}
