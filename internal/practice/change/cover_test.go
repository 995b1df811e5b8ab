package change

import (
	"maps"
	"strings"
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// pod is a template of several containers: "app=r/a:1 sidecar=r/s:1". All of a body have one imageless hash.
func pod(body, containers string) *configuration.Template {
	t := template(body, containers)
	t.Images = map[string]string{}
	names := ""
	for c := range strings.FieldsSeq(containers) {
		name, image, _ := strings.Cut(c, "=")
		t.Images[name], names = image, names+name+" "
	}
	t.ImagelessHash = hashOf(body + names)
	return t
}

func TestCover(t *testing.T) {
	base := pod("body", "app=r/a:1 sidecar=r/s:1")
	named := func(images string) func(*v1alpha1.Change) {
		return func(c *v1alpha1.Change) {
			target := &c.Spec.Targets[0]
			target.Images = map[string]v1alpha1.Image{}
			for name, image := range pod("", images).Images {
				target.Images[name] = v1alpha1.Image(image)
			}
		}
	}
	hash := func(t *configuration.Template) func(*v1alpha1.Change) {
		return func(c *v1alpha1.Change) { c.Spec.Targets[0].TemplateHash = v1alpha1.TemplateHash(t.Hash) }
	}
	two := pod("body", "app=r/a:2 sidecar=r/s:1")
	digest := "@sha256:" + strings.Repeat("a", 64)
	pin := func(p v1alpha1.Pin) func(*situation) {
		return policies(policy("p", func(s *v1alpha1.ChangePolicySpec) { s.Pin = p }))
	}
	for name, test := range map[string]struct {
		given   func(*situation)
		change  []func(*v1alpha1.Change)
		to      *configuration.Template
		covered bool
	}{
		"the one that is named":               {change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: two, covered: true},
		"another one changes too":             {change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: pod("body", "app=r/a:2 sidecar=r/s:2")},
		"only another one":                    {change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: pod("body", "app=r/a:1 sidecar=r/s:2")},
		"both are named":                      {change: []func(*v1alpha1.Change){named("app=r/a:2 sidecar=r/s:2")}, to: pod("body", "app=r/a:2 sidecar=r/s:2"), covered: true},
		"both are named, one changes":         {change: []func(*v1alpha1.Change){named("app=r/a:2 sidecar=r/s:2")}, to: two},
		"one is named that stays":             {change: []func(*v1alpha1.Change){named("app=r/a:2 sidecar=r/s:1")}, to: two, covered: true},
		"a beginning of what is named":        {change: []func(*v1alpha1.Change){named("app=r/a:2.1")}, to: two},
		"more than what is named":             {change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: pod("body", "app=r/a:2-evil sidecar=r/s:1")},
		"the image for another container":     {change: []func(*v1alpha1.Change){named("sidecar=r/a:2")}, to: two},
		"a container that is not there":       {change: []func(*v1alpha1.Change){named("app=r/a:2 spy=r/x:1")}, to: two},
		"a new container":                     {change: []func(*v1alpha1.Change){named("app=r/a:2 spy=r/x:1")}, to: pod("body", "app=r/a:2 sidecar=r/s:1 spy=r/x:1")},
		"a container goes away":               {change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: pod("body", "app=r/a:2")},
		"more of the template":                {change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: pod("other", "app=r/a:2 sidecar=r/s:1")},
		"by the template's hash":              {change: []func(*v1alpha1.Change){pinnedTo(two)}, to: two, covered: true},
		"by another hash":                     {change: []func(*v1alpha1.Change){pinnedTo(two)}, to: pod("body", "app=r/a:3 sidecar=r/s:1")},
		"by hash and image":                   {change: []func(*v1alpha1.Change){named("app=r/a:2"), hash(two)}, to: two, covered: true},
		"by hash, with another image":         {change: []func(*v1alpha1.Change){named("app=r/a:3"), hash(two)}, to: two},
		"where digests are wanted, by tag":    {given: pin(v1alpha1.PinDigests), change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: two},
		"where digests are wanted, by digest": {given: pin(v1alpha1.PinDigests), change: []func(*v1alpha1.Change){named("app=r/a:2" + digest)}, to: pod("body", "app=r/a:2"+digest+" sidecar=r/s:1"), covered: true},
		"where templates are wanted":          {given: pin(v1alpha1.PinTemplate), change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: two},
		"where templates are wanted, by hash": {given: pin(v1alpha1.PinTemplate), change: []func(*v1alpha1.Change){pinnedTo(two)}, to: two, covered: true},
		"images alone, without a baseline":    {given: given(func(w *World) { w.Baselines = nil }), change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: two},
		"a hash, without a baseline":          {given: given(func(w *World) { w.Baselines = nil }), change: []func(*v1alpha1.Change){pinnedTo(two)}, to: two, covered: true},
		"a baseline of an earlier version":    {given: given(func(w *World) { w.Baselines[0].ImagelessHash = "" }), change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: two},
		"on top of what went past the gate": {given: given(func(w *World) {
			w.Baselines = append([]v1alpha1.Baseline{baseline(pod("other", "app=r/a:1 sidecar=r/s:1"), by(v1alpha1.BaselineUnauthorized, ""))}, w.Baselines...)
		}), change: []func(*v1alpha1.Change){named("app=r/a:2")}, to: pod("other", "app=r/a:2 sidecar=r/s:1")},
	} {
		t.Run(name, func(t *testing.T) {
			s := situated(given(func(w *World) { w.Baselines = []v1alpha1.Baseline{baseline(base)} }), asking(func(r *Request) { r.Old, r.New = base, test.to }))
			if test.given != nil {
				test.given(s)
			}
			approved(test.change...)(s)
			d := s.decide(2)
			if covered := d.Verdict == Covered; covered != test.covered {
				t.Errorf("got %s, want covered %v; %v", d.Verdict, test.covered, d.Reasons)
			}
			checkConsistent(t, s)
		})
	}
}

// checkConsistent fails where the quick answer and the one that collects all reasons differ.
func checkConsistent(t *testing.T, s *situation) {
	t.Helper()
	g := gate{rules: s.world.Rules, candidates: s.world.Candidates, now: hour(2)}
	for _, c := range s.world.Candidates {
		rep := &report{}
		quick, thorough := g.covers(c, &s.request, &s.world, nil), g.covers(c, &s.request, &s.world, rep)
		if quick != thorough || quick != (len(rep.causes) == 0) {
			t.Errorf("%s: quick %v, thorough %v, because %v", c.Name, quick, thorough, rep.causes)
		}
	}
}

// FuzzCover: whatever images are asked for and approved, nothing is covered but exactly what was named on top of
// exactly what ran.
func FuzzCover(f *testing.F) {
	f.Add("app=r/a:1 sidecar=r/s:1", "app=r/a:2 sidecar=r/s:1", "app=r/a:2", "body", false)
	f.Add("app=r/a:1", "app=r/a:1-evil", "app=r/a:1", "body", false)
	f.Add("a=b", "a=b c=d", "c=d", "other", true)
	f.Fuzz(func(t *testing.T, ran, asked, named, body string, pinned bool) {
		base, to := pod("body", ran), pod(body, asked)
		s := situated(given(func(w *World) { w.Baselines = []v1alpha1.Baseline{baseline(base)} }), asking(func(r *Request) { r.Old, r.New = base, to }))
		approved(func(c *v1alpha1.Change) {
			target := &c.Spec.Targets[0]
			target.Images = map[string]v1alpha1.Image{}
			for name, image := range pod("", named).Images {
				target.Images[name] = v1alpha1.Image(image)
			}
			if pinned {
				target.TemplateHash = v1alpha1.TemplateHash(hashOf(body + "|" + named))
			}
		})(s)
		want := maps.Clone(base.Images)
		allNamed := true
		for name, image := range s.world.Candidates[0].Targets[0].Images {
			_, there := to.Images[name]
			allNamed = allNamed && there && to.Images[name] == string(image)
			want[name] = string(image)
		}
		exactly := base.ImagelessHash == to.ImagelessHash && maps.Equal(want, to.Images) && len(s.world.Candidates[0].Targets[0].Images) > 0
		if pinned {
			exactly = to.Hash == s.world.Candidates[0].Targets[0].TemplateHash
		}
		d := s.decide(2)
		if covered := d.Verdict == Covered; covered != (exactly && allNamed) && d.Verdict != Unchanged {
			t.Errorf("ran %q, asked %q, named %q, pinned %v: %s, want covered %v; %v", ran, asked, named, pinned, d.Verdict, exactly && allNamed, d.Reasons)
		}
		checkConsistent(t, s)
	})
}
