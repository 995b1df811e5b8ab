package change

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func TestCompareImages(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	for name, test := range map[string]struct {
		from, to string
		want     imageChange
	}{
		"same":                      {"r/a:1.2.3", "r/a:1.2.3", imageSame},
		"patch":                     {"r/a:1.2.3", "r/a:1.2.10", imagePatch},
		"minor":                     {"r/a:1.2.3", "r/a:1.3.0", imageMinor},
		"major":                     {"r/a:1.2.3", "r/a:2.0.0", imageMajor},
		"two numbers":               {"r/a:1.2", "r/a:1.3", imageMinor},
		"with a v":                  {"r/a:v1.2.3", "r/a:v1.2.4", imagePatch},
		"with and without a v":      {"r/a:1.2.3", "r/a:v1.2.4", imageUnknown},
		"with a port":               {"r:5000/a:1.2.3", "r:5000/a:1.2.4", imagePatch},
		"earlier patch":             {"r/a:1.2.3", "r/a:1.2.2", imageDowngrade},
		"earlier major":             {"r/a:2.0.0", "r/a:1.9.9", imageDowngrade},
		"the same suffix":           {"r/a:1.2.3-alpine", "r/a:1.2.4-alpine", imagePatch},
		"another suffix":            {"r/a:1.2.3-alpine", "r/a:1.2.4-debug", imageUnknown},
		"a word":                    {"r/a:latest", "r/a:1.2.4", imageUnknown},
		"no tag":                    {"r/a", "r/a:1.2.4", imageUnknown},
		"zeros before":              {"r/a:1.2.3", "r/a:1.2.04", imageUnknown},
		"another repository":        {"r/a:1.2.3", "r/b:1.2.4", imageOther},
		"another registry":          {"r/a:1.2.3", "evil.r/a:1.2.4", imageOther},
		"a longer path":             {"r/a:1.2.3", "r/a/b:1.2.4", imageOther},
		"a port that looks a tag":   {"r:1.2.3/a", "r:1.2.4/a", imageOther},
		"by digest":                 {"r/a" + digest, "r/a@sha256:" + strings.Repeat("b", 64), imageUnknown},
		"a tag beside a digest":     {"r/a:1.2.3", "r/a:1.2.4" + digest, imageUnknown},
		"nothing":                   {"", "r/a:1.2.4", imageOther},
		"numbers beyond all bounds": {"r/a:1.2.3", "r/a:1.2.99999999999999999999", imageUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			if got := compareImages(test.from, test.to); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func standard(s v1alpha1.StandardChange) func(*v1alpha1.ChangePolicySpec) {
	return func(p *v1alpha1.ChangePolicySpec) { p.StandardChanges = append(p.StandardChanges, s) }
}

func TestStandardChanges(t *testing.T) {
	patch := v1alpha1.StandardChange{Name: "patch", Images: v1alpha1.ImageSameRepositoryPatch, Tiers: []int32{1}}
	tuning := v1alpha1.StandardChange{Name: "tuning", Images: v1alpha1.ImageUnchanged, Fields: []v1alpha1.TemplateField{"resources", "env"}, Tiers: []int32{1}}
	v231 := template("body", repository+"2.3.1")
	tuned := template("body tuned", repository+"2.3.0")
	fields := func(paths ...string) func(*situation) {
		return asking(func(r *Request) { r.New, r.Fields = tuned, func() []string { return paths } })
	}
	suspended := func(name string) *v1alpha1.ChangePolicy {
		p := policy("p", standard(patch))
		p.Status.StandardChanges = []v1alpha1.StandardChangeStatus{{Name: name, Suspended: true}}
		return p
	}
	next := asking(func(r *Request) { r.New = v231 })
	for name, test := range map[string]struct {
		given *situation
		want  string
	}{
		"a later patch":                   {situated(policies(policy("p", standard(patch))), next), "patch"},
		"also outside office hours":       {situated(policies(policy("p", standard(patch), officeHours)), next), "patch"},
		"not a minor":                     {situated(policies(policy("p", standard(patch)))), ""},
		"not for this tier":               {situated(policies(policy("p", standard(v1alpha1.StandardChange{Name: "patch", Images: v1alpha1.ImageSameRepositoryPatch, Tiers: []int32{2, 3}}))), next), ""},
		"not while suspended":             {situated(policies(suspended("patch")), next), ""},
		"another is suspended":            {situated(policies(suspended("other")), next), "patch"},
		"not in a freeze":                 {situated(policies(policy("p", standard(patch), frozen(-1, 5))), next), ""},
		"not by one of two policies":      {situated(policies(policy("p", standard(patch)), policy("q")), next), ""},
		"by both":                         {situated(policies(policy("p", standard(patch)), policy("q", standard(patch))), next), "patch"},
		"fields that it names":            {situated(policies(policy("p", standard(tuning))), fields("spec.containers[app].resources.limits.cpu", "spec.containers[app].env[A].value")), "tuning"},
		"a field that it does not":        {situated(policies(policy("p", standard(tuning))), fields("spec.containers[app].resources.limits.cpu", "spec.containers[app].command[0]")), ""},
		"env from a secret":               {situated(policies(policy("p", standard(tuning))), fields("spec.containers[app].env[A].valueFrom.secretKeyRef.name")), ""},
		"fields of the same beginning":    {situated(policies(policy("p", standard(tuning))), fields("spec.containers[app].envFrom[0].secretRef.name")), ""},
		"fields that nobody can tell":     {situated(policies(policy("p", standard(tuning))), asking(func(r *Request) { r.New = tuned })), ""},
		"no fields, and yet another body": {situated(policies(policy("p", standard(tuning))), fields()), ""},
		"old is not the baseline":         {situated(policies(policy("p", standard(tuning))), fields("spec.containers[app].env[A].value"), asking(func(r *Request) { r.Old = v24 })), ""},
		"another container besides": {situated(policies(policy("p", standard(patch))), asking(func(r *Request) {
			c := *v231
			c.Images = map[string]string{"app": repository + "2.3.1", "spy": "evil:1"}
			r.New = &c
		})), ""},
		"no baseline to compare with":        {situated(policies(policy("p", standard(patch))), next, given(func(w *World) { w.Baselines = nil })), ""},
		"a creation is no standard change":   {situated(policies(policy("p", standard(patch))), asking(func(r *Request) { r.Operation, r.Old, r.New = Create, nil, v231 })), ""},
		"tag beside digest is nobody's word": {situated(policies(policy("p", standard(patch))), asking(func(r *Request) { r.New = template("body", repository+"2.3.1@sha256:"+strings.Repeat("a", 64)) })), ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.given.decide(0)
			if d.StandardChange != test.want || (d.Verdict == PreAuthorised) != (test.want != "") {
				t.Errorf("got %s, standard change %q, want %q", d.Verdict, d.StandardChange, test.want)
			}
		})
	}
}

func TestStandardChangeObjects(t *testing.T) {
	rule := standard(v1alpha1.StandardChange{Name: "patch", Images: v1alpha1.ImageSameRepositoryPatch, Tiers: []int32{3}})
	claims := func(options ...func(*v1alpha1.Change)) *v1alpha1.Change {
		return changeOf("c", append([]func(*v1alpha1.Change){ofType(v1alpha1.ChangeStandard), images(repository + "2.3.1"), func(c *v1alpha1.Change) {
			c.Spec.StandardChange = "patch"
		}}, options...)...)
	}
	fact := TargetFact{Services: []string{"checkout"}, Tier: 3, Images: v23.Images}
	for name, test := range map[string]struct {
		change *v1alpha1.Change
		fact   TargetFact
		want   int32
	}{
		"it is one":                   {claims(), fact, 0},
		"a minor":                     {claims(images(repository + "2.4.0")), fact, 1},
		"of another tier":             {claims(), TargetFact{Tier: 1, Images: v23.Images}, 1},
		"of an unknown workload":      {claims(), TargetFact{}, 1},
		"pinned by hash alone":        {claims(pinnedTo(v24)), fact, 1},
		"that also deletes":           {claims(operations(v1alpha1.OperationDelete, v1alpha1.OperationTemplate)), fact, 1},
		"of a name that is not there": {claims(func(c *v1alpha1.Change) { c.Spec.StandardChange = "none" }), fact, 1},
		"once approved":               {claims(func(c *v1alpha1.Change) { c.Status.ApprovedAt = at(1) }), TargetFact{Tier: 3, Images: map[string]string{"app": repository + "2.3.1"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := Prepare(Agreed{
				Change: test.change, Rules: Merge([]*v1alpha1.ChangePolicy{policy("p", rule)}, nil),
				Targets: map[configuration.Key]TargetFact{checkout: test.fact},
			})
			if c.Approval.Required != test.want || c.Approval.Approved != (test.want == 0) {
				t.Errorf("needs %d votes, approved %v", c.Approval.Required, c.Approval.Approved)
			}
		})
	}
}

// TestDigestCoversAllOfSpec fails when a field is added to a Change and nobody thought of its digest.
func TestDigestCoversAllOfSpec(t *testing.T) {
	full := func() v1alpha1.ChangeSpec {
		c := changeOf("c", window(1, 2), pinnedTo(v24), images("x:1"), ofType(v1alpha1.ChangeEmergency))
		s := c.Spec
		s.Justification, s.ExpectedDowntimeSeconds, s.StandardChange = "why", 60, "patch"
		s.Backout = &v1alpha1.Backout{Plan: "back", Automatic: true, ProgressDeadlineSeconds: 600}
		s.Questionnaire = &v1alpha1.Questionnaire{Tested: "Confirmed", Reversible: "Confirmed", CustomerVisible: "Confirmed"}
		s.IncidentRef, s.ProblemRef = &v1alpha1.LocalReference{Name: "i"}, &v1alpha1.LocalReference{Name: "p"}
		s.RecordOf = v1alpha1.RecordOfBreakGlass
		s.Cancel, s.Review = true, &v1alpha1.Review{Outcome: "Successful", Notes: "n"}
		return s
	}
	spec := full()
	digest := Digest(&spec)
	if !VerifyDigest(&spec, digest) || VerifyDigest(&spec, "v2:"+digest[3:]) || VerifyDigest(&spec, "") {
		t.Error("digests are not told apart")
	}
	free := map[string]bool{"Cancel": true, "Review": true}
	var visit func(path string, v reflect.Value, free bool)
	visit = func(path string, v reflect.Value, free bool) {
		switch v.Kind() {
		case reflect.Pointer:
			visit(path, v.Elem(), free)
			return
		case reflect.Struct:
			for i := range v.NumField() {
				visit(path+"."+v.Type().Field(i).Name, v.Field(i), free)
			}
			return
		case reflect.Slice:
			if v.Len() == 0 {
				t.Errorf("%s is empty in the test", path)
				return
			}
			visit(path+"[0]", v.Index(0), free)
			return
		case reflect.Map:
			for _, k := range v.MapKeys() {
				old := v.MapIndex(k)
				v.SetMapIndex(k, reflect.ValueOf("y:2").Convert(v.Type().Elem()))
				if Digest(&spec) == digest {
					t.Errorf("%s can be altered without a new digest", path)
				}
				v.SetMapIndex(k, old)
			}
			return
		case reflect.String, reflect.Bool, reflect.Int32:
		default:
			t.Errorf("%s is a %s: teach the test", path, v.Kind())
			return
		}
		if v.IsZero() {
			t.Errorf("%s is not set in the test", path)
		}
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		default:
			v.SetInt(v.Int() + 1)
		}
		if changed := Digest(&spec) != digest; changed == free {
			t.Errorf("altering %s makes another digest: %v", path, changed)
		}
		v.Set(old)
	}
	v := reflect.ValueOf(&spec).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		visit(name, v.Field(i), free[name])
	}
}

func TestDigestIsStable(t *testing.T) {
	// What was voted on must verify with every later version: these are never regenerated.
	for want, spec := range map[string]*v1alpha1.ChangeSpec{
		"v1:b2915bcc51c7e04b6f1d1cb692967b424298bb71bf55808f7e113d6de70d6683": &changeOf("c", window(1, 2)).Spec,
	} {
		if got := Digest(spec); got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
	}
	// Defaults are no edit.
	bare := changeOf("c")
	bare.Spec.Type, bare.Spec.Targets[0].Operations = "", nil
	if diff := cmp.Diff(Digest(&changeOf("c").Spec), Digest(&bare.Spec)); diff != "" {
		t.Errorf("a default makes another digest:\n%s", diff)
	}
}

func TestRisk(t *testing.T) {
	left := func(n int32) *int32 { return &n }
	image := func(from, to string) Alteration {
		return Alteration{Operation: v1alpha1.OperationTemplate, From: map[string]string{"app": from}, To: map[string]string{"app": to}}
	}
	with := func(a Alteration, f RiskFacts) Alteration { a.Facts = f; return a }
	digest := "@sha256:" + strings.Repeat("a", 64)
	for name, test := range map[string]struct {
		given Undertaking
		score int32
		level v1alpha1.RiskLevel
		why   []string
	}{
		"nothing":           {Undertaking{Alterations: []Alteration{image("r/a:1.2.3", "r/a:1.2.3")}}, 0, "Low", nil},
		"a patch":           {Undertaking{Alterations: []Alteration{image("r/a:1.2.3", "r/a:1.2.4")}}, 6, "Low", []string{"later patch image of app", "image of app by tag, not by digest"}},
		"a patch of tier 1": {Undertaking{Alterations: []Alteration{with(image("r/a:1.2.3", "r/a:1.2.4"), RiskFacts{Tier: 1})}}, 32, "Medium", []string{"tier 1", "later patch image of app", "image of app by tag, not by digest"}},
		"a tag that was moved": {
			Undertaking{Alterations: []Alteration{{
				Operation: "Template", From: map[string]string{"app": "r/a:1.2.3"}, To: map[string]string{"app": "r/a" + digest},
				Moved: map[string]string{"app": "r/a@sha256:0123456789abcdef0123"},
			}}},
			26 + 8, "Medium", []string{"version not known image of app", "the tag of app was moved after it was agreed to, and means sha256:0123456789ab… now; name images by digest"},
		},
		"an unknown version":  {Undertaking{Alterations: []Alteration{image("r/a:x", "r/a"+digest)}}, 26, "Medium", []string{"version not known image of app"}},
		"a new container":     {Undertaking{Alterations: []Alteration{{Operation: "Template", OtherFields: true, From: map[string]string{}, To: map[string]string{"spy": "r/a" + digest}}}}, 61, "High", []string{"new container spy", "changes more than images"}},
		"a container goes":    {Undertaking{Alterations: []Alteration{{Operation: "Template", From: map[string]string{"app": "r/a:1"}}}}, 35, "Medium", []string{"container app goes away"}},
		"one is not named":    {Undertaking{Alterations: []Alteration{{Operation: "Template", Named: true, From: map[string]string{"app": "r/a:1"}}}}, 0, "Low", nil},
		"a creation":          {Undertaking{Alterations: []Alteration{{Operation: "Create", OtherFields: true, To: map[string]string{"app": "r/a" + digest}}}}, 26, "Medium", []string{"creates the workload"}},
		"a deletion":          {Undertaking{Alterations: []Alteration{{Operation: "Delete", OtherFields: true}}}, 30, "Medium", []string{"deletes the workload"}},
		"a tier that is none": {Undertaking{Alterations: []Alteration{with(image("a", "a"), RiskFacts{Tier: 7})}}, 0, "Low", nil},
		"all of a service": {
			Undertaking{Alterations: []Alteration{with(image("a", "a"), RiskFacts{
				Tier: 2, HardDependents: 9, LastHealthyOf: []string{"cache"}, Replicas: 1, PastChanges: 5, FailedChanges: 3,
				OpenIncidents: []string{"down"}, BudgetLeft: left(120), WorkingHours: hourly{false},
			})}, At: hour(4*24 + 20)},
			16 + 20 + 15 + 4 + 16 + 8 + 6 + 10, "High",
			[]string{"9 dependents", "3 of its last 5 changes failed", "tier 2", "last healthy member of cache", "Friday evening", "open incident down", "12 % of the error budget left", "one replica"},
		},
		"its own incident":    {Undertaking{Incident: "down", Alterations: []Alteration{with(image("a", "a"), RiskFacts{OpenIncidents: []string{"down"}})}}, 0, "Low", nil},
		"no budget left":      {Undertaking{Alterations: []Alteration{with(image("a", "a"), RiskFacts{BudgetLeft: left(0)})}}, 12, "Low", []string{"error budget spent"}},
		"unprotected":         {Undertaking{Alterations: []Alteration{with(image("a", "a"), RiskFacts{Replicas: 3})}}, 2, "Low", []string{"no PodDisruptionBudget"}},
		"in working hours":    {Undertaking{Alterations: []Alteration{with(image("a", "a"), RiskFacts{WorkingHours: hourly{true}})}, At: hour(1)}, 0, "Low", nil},
		"the worst of two":    {Undertaking{Alterations: []Alteration{with(image("a", "a"), RiskFacts{Tier: 3}), with(image("a", "a"), RiskFacts{Tier: 1})}}, 28, "Medium", []string{"tier 1", "2 workloads"}},
		"bad answers":         {Undertaking{Questionnaire: &v1alpha1.Questionnaire{Tested: "NotConfirmed", Reversible: "NotConfirmed", CustomerVisible: "Confirmed"}}, 40, "Medium", []string{"not confirmed to be reversible", "not confirmed to be tested", "customers will notice"}},
		"good answers":        {Undertaking{Questionnaire: &v1alpha1.Questionnaire{Tested: "Confirmed", Reversible: "Confirmed", CustomerVisible: "NotConfirmed"}}, 0, "Low", nil},
		"more than all there": {Undertaking{Questionnaire: &v1alpha1.Questionnaire{Tested: "NotConfirmed", Reversible: "NotConfirmed"}, Alterations: []Alteration{with(image("r/a:1", "x/b:1"), RiskFacts{Tier: 1, HardDependents: 99, FailedChanges: 99, PastChanges: 99})}}, 100, "High", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := AssessRisk(&test.given)
			if got.Score != test.score || got.Level != test.level {
				t.Errorf("got %d (%s), want %d (%s): %v", got.Score, got.Level, test.score, test.level, got.Factors)
			}
			var why []string
			for _, f := range got.Factors {
				why = append(why, f.Why)
			}
			if diff := cmp.Diff(test.why, why); diff != "" && test.why != nil {
				t.Errorf("factors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	for score, want := range map[int32]v1alpha1.RiskLevel{0: "Low", 25: "Low", 26: "Medium", 50: "Medium", 51: "High", 100: "High"} {
		if got := LevelOf(score); got != want {
			t.Errorf("%d is %s, want %s", score, got, want)
		}
	}
}

func TestEpisodes(t *testing.T) {
	for name, test := range map[string]struct {
		name string
		want int
	}{
		"the first": {"checkout-5f3c9ab1", 1}, "the second": {"checkout-5f3c9ab1-2", 2}, "the tenth": {"checkout-5f3c9ab1-10", 10},
		"another": {"checkout-5f3c9ab2", 0}, "not a number": {"checkout-5f3c9ab1-x", 0}, "one": {"checkout-5f3c9ab1-1", 0},
		"zeros": {"checkout-5f3c9ab1-02", 0}, "a longer base": {"checkout-5f3c9ab12", 0}, "negative": {"checkout-5f3c9ab1--2", 0},
		"the greatest number": {"checkout-5f3c9ab1-9223372036854775807", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := EpisodeOf("checkout-5f3c9ab1", test.name)
			if got != test.want || got > 0 && EpisodeName("checkout-5f3c9ab1", got) != test.name {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
	r := &Request{Key: configuration.Key{Name: strings.Repeat("a", 219) + ".b" + strings.Repeat("c", 32)}, New: v24}
	if base := baseName(r); len(base) > 240 || strings.Contains(base, ".-") {
		t.Errorf("base name %s", base)
	}
}
