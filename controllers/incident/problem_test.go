package incident

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
)

func aProblem(name, fingerprint string, alter ...func(*v1alpha1.Problem)) *v1alpha1.Problem {
	p := &v1alpha1.Problem{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	p.Spec = v1alpha1.ProblemSpec{Statement: name, Fingerprint: fingerprint}
	for _, f := range alter {
		f(p)
	}
	return p
}

func TestWhatAProblemSaysOfAnIncident(t *testing.T) {
	knows := func(p *v1alpha1.Problem) { p.Spec.Workaround = "workaround of " + p.Name }
	duplicates := func(name v1alpha1.ObjectName) func(*v1alpha1.Problem) {
		return func(p *v1alpha1.Problem) {
			p.Status.State = v1alpha1.ProblemClosed
			p.Spec.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionDuplicate, DuplicateOf: &v1alpha1.LocalReference{Name: name}}
		}
	}
	fixed := func(p *v1alpha1.Problem) {
		p.Spec.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionFixApplied, Reason: "quota"}
		p.Status.Fix = &v1alpha1.ProblemFix{At: metav1.NewTime(t0), Reason: "quota"}
	}
	for name, c := range map[string]struct {
		problems []client.Object
		ref      v1alpha1.ObjectName
		known    *v1alpha1.KnownError
		fix      string
	}{
		"none":                {},
		"by fingerprint":      {problems: []client.Object{aProblem("a", "f", knows)}, known: &v1alpha1.KnownError{Problem: "a", Workaround: "workaround of a"}},
		"of another one":      {problems: []client.Object{aProblem("a", "g", knows)}},
		"by name first":       {problems: []client.Object{aProblem("a", "f", knows), aProblem("b", "", knows)}, ref: "b", known: &v1alpha1.KnownError{Problem: "b", Workaround: "workaround of b"}},
		"of the original":     {problems: []client.Object{aProblem("a", "f", duplicates("b")), aProblem("b", "g", knows)}, known: &v1alpha1.KnownError{Problem: "b", Workaround: "workaround of b"}},
		"a fix":               {problems: []client.Object{aProblem("a", "f", fixed)}, ref: "a", fix: "a"},
		"a fix of another":    {problems: []client.Object{aProblem("a", "f", fixed)}},
		"fix of the original": {problems: []client.Object{aProblem("a", "f", duplicates("b")), aProblem("b", "g", fixed)}, ref: "a", fix: "b"},
		"a ref to nobody":     {problems: []client.Object{aProblem("a", "f", knows)}, ref: "gone", known: &v1alpha1.KnownError{Problem: "a", Workaround: "workaround of a"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, c.problems...)
			i := anIncident()
			i.Status.Fingerprint = "f"
			if c.ref != "" {
				i.Spec.ProblemRef = &v1alpha1.LocalReference{Name: c.ref}
			}
			facts := practice.Facts{}
			if err := s.problemFacts(t.Context(), i, &facts); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.known, facts.KnownError); diff != "" {
				t.Errorf("known error (-want +got):\n%s", diff)
			}
			if got := facts.FixApplied; (got == nil) != (c.fix == "") || got != nil && got.Problem != c.fix {
				t.Errorf("fix %+v, want %q", got, c.fix)
			}
		})
	}
}

// An Incident is looked at again when the Problem is written that its own Problem duplicates.
func TestIncidentsOfDuplicatesFollowTheOriginal(t *testing.T) {
	original := aProblem("original", "g")
	s := newScene(t, original, aProblem("copy", "f", func(p *v1alpha1.Problem) {
		p.Spec.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionDuplicate, DuplicateOf: &v1alpha1.LocalReference{Name: "original"}}
	}))
	i := &v1alpha1.Incident{}
	if err := s.server.Get(t.Context(), request.NamespacedName, i); err != nil {
		t.Fatal(err)
	}
	i.Status.Fingerprint = "f"
	if err := s.server.Status().Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(s.ofProblem(t.Context(), original), request) {
		t.Error("it is not")
	}
}
