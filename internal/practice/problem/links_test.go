package problem

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// named is a Problem that was made so many hours ago.
func named(name string, hours int, alter ...func(*v1alpha1.Problem)) *v1alpha1.Problem {
	p := &v1alpha1.Problem{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(ago(time.Duration(hours) * time.Hour))}}
	for _, f := range alter {
		f(p)
	}
	return p
}

func duplicating(name string) func(*v1alpha1.Problem) {
	return func(p *v1alpha1.Problem) {
		p.Spec.Decision = &v1alpha1.ProblemDecision{
			Type: v1alpha1.DecisionDuplicate, DuplicateOf: &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(name)},
		}
	}
}

func closed(p *v1alpha1.Problem) {
	at := metav1.NewTime(ago(48 * time.Hour))
	p.Status.State, p.Status.ClosedAt = v1alpha1.ProblemClosed, &at
}

func accepting(until string) func(*v1alpha1.Problem) {
	return func(p *v1alpha1.Problem) {
		closed(p)
		p.Spec.Decision = &v1alpha1.ProblemDecision{Type: v1alpha1.DecisionRiskAccepted, Reason: "rare", ReviewBy: v1alpha1.Timestamp(until)}
	}
}

func among(list ...*v1alpha1.Problem) Lookup {
	return func(name string) *v1alpha1.Problem {
		for _, p := range list {
			if p.Name == name {
				return p
			}
		}
		return nil
	}
}

func TestHome(t *testing.T) {
	cases := map[string]struct {
		problems []*v1alpha1.Problem
		// want is the home of each.
		want    map[string]string
		refused map[string]string
	}{
		"no duplicate":  {problems: []*v1alpha1.Problem{named("a", 1)}, want: map[string]string{"a": "a"}},
		"of another":    {problems: []*v1alpha1.Problem{named("a", 1, duplicating("b")), named("b", 2)}, want: map[string]string{"a": "b", "b": "b"}},
		"a chain":       {problems: []*v1alpha1.Problem{named("a", 1, duplicating("b")), named("b", 2, duplicating("c")), named("c", 1)}, want: map[string]string{"a": "c", "b": "c", "c": "c"}},
		"of nothing":    {problems: []*v1alpha1.Problem{named("a", 1, duplicating("b"))}, want: map[string]string{"a": "a"}, refused: map[string]string{"a": "there is no Problem b"}},
		"the end left":  {problems: []*v1alpha1.Problem{named("a", 1, duplicating("b")), named("b", 2, duplicating("c"))}, want: map[string]string{"a": "b", "b": "b"}, refused: map[string]string{"b": "there is no Problem c"}},
		"of itself":     {problems: []*v1alpha1.Problem{named("a", 1, duplicating("a"))}, want: map[string]string{"a": "a"}, refused: map[string]string{"a": "Problem a is a duplicate of this one"}},
		"of each other": {problems: []*v1alpha1.Problem{named("a", 1, duplicating("b")), named("b", 2, duplicating("a"))}, want: map[string]string{"a": "b", "b": "b"}, refused: map[string]string{"b": "Problem a is a duplicate of this one"}},
		"of each other, the older is closed": {
			problems: []*v1alpha1.Problem{named("a", 1, duplicating("b")), named("b", 2, duplicating("a"), closed)},
			want:     map[string]string{"a": "a", "b": "a"}, refused: map[string]string{"a": "Problem b is a duplicate of this one"},
		},
		"into a ring": {
			problems: []*v1alpha1.Problem{named("x", 9, duplicating("a")), named("a", 1, duplicating("b")), named("b", 2, duplicating("a"))},
			want:     map[string]string{"x": "b", "a": "b", "b": "b"}, refused: map[string]string{"b": "Problem a is a duplicate of this one"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, refused := map[string]string{}, map[string]string(nil)
			for _, p := range c.problems {
				home, why := Home(p, among(c.problems...))
				got[p.Name] = home.Name
				if why != "" {
					if refused == nil {
						refused = map[string]string{}
					}
					refused[p.Name] = why
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("homes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.refused, refused); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever duplicates whom, a home is at home: nobody's incidents are lost between Problems.
func TestAHomeIsAtHome(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var all []*v1alpha1.Problem
		n := 1 + rng.IntN(8)
		for i := range n {
			p := named(fmt.Sprint(i), rng.IntN(3))
			if rng.IntN(4) > 0 {
				duplicating(fmt.Sprint(rng.IntN(n + 1)))(p)
			}
			if rng.IntN(3) == 0 {
				closed(p)
			}
			all = append(all, p)
		}
		for _, p := range all {
			home, _ := Home(p, among(all...))
			again, _ := Home(home, among(all...))
			if again.Name != home.Name {
				t.Fatalf("seed %d: the incidents of %s belong to %s, and those of %s to %s", seed, p.Name, home.Name, home.Name, again.Name)
			}
		}
	}
}

func TestHomeOfALongChain(t *testing.T) {
	var all []*v1alpha1.Problem
	for i := range 30 {
		all = append(all, named(fmt.Sprint(i), 1, duplicating(fmt.Sprint(i+1))))
	}
	if home, refused := Home(all[0], among(all...)); home != all[0] || refused == "" {
		t.Errorf("home %s, refused %q", home.Name, refused)
	}
}

func knowing(workaround string) func(*v1alpha1.Problem) {
	return func(p *v1alpha1.Problem) { p.Spec.Workaround = workaround }
}

func TestKnownErrorAmong(t *testing.T) {
	other := named("other", 9, knowing("of the other"))
	cases := map[string]struct {
		problems []v1alpha1.Problem
		want     *v1alpha1.KnownError
	}{
		"none":             {},
		"nothing is known": {problems: []v1alpha1.Problem{*named("a", 1)}},
		"a cause":          {problems: []v1alpha1.Problem{*named("a", 1, func(p *v1alpha1.Problem) { p.Spec.RootCause = "x" })}, want: &v1alpha1.KnownError{Problem: "a"}},
		"a workaround":     {problems: []v1alpha1.Problem{*named("a", 1, knowing("restart"))}, want: &v1alpha1.KnownError{Problem: "a", Workaround: "restart"}},
		"closed":           {problems: []v1alpha1.Problem{*named("a", 1, knowing("restart"), closed)}},
		"an accepted risk": {problems: []v1alpha1.Problem{*named("a", 1, knowing("restart"), accepting("2030-01-01T00:00:00Z"))}, want: &v1alpha1.KnownError{Problem: "a", Workaround: "restart"}},
		"of its original":  {problems: []v1alpha1.Problem{*named("a", 1, knowing("restart"), duplicating("other"), closed)}, want: &v1alpha1.KnownError{Problem: "other", Workaround: "of the other"}},
		"open before a risk": {problems: []v1alpha1.Problem{*named("a", 5, knowing("old"), accepting("2030-01-01T00:00:00Z")), *named("b", 1, knowing("new"))},
			want: &v1alpha1.KnownError{Problem: "b", Workaround: "new"}},
		"the oldest": {problems: []v1alpha1.Problem{*named("a", 1, knowing("young")), *named("b", 2, knowing("old"))}, want: &v1alpha1.KnownError{Problem: "b", Workaround: "old"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, KnownErrorAmong(c.problems, among(other))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpens(t *testing.T) {
	three := []Incident{failed("a", 3*time.Hour), failed("b", 2*time.Hour), failed("c", time.Hour+time.Minute)}
	major := failed("m", 2*time.Hour)
	major.Major = true
	episode := func(n string) func(*v1alpha1.Problem) {
		return func(p *v1alpha1.Problem) { p.Labels = map[string]string{v1alpha1.LabelEpisode: n} }
	}
	other := named("other", 9)
	cases := map[string]struct {
		problems  []v1alpha1.Problem
		incidents []Incident
		want      Opening
	}{
		"nothing":                    {want: Opening{Episode: 1}},
		"recurrence":                 {incidents: three, want: Opening{Cause: Recurrence, Count: 3, Episode: 1}},
		"one is open":                {problems: []v1alpha1.Problem{*named("p", 1)}, incidents: three, want: Opening{Episode: 1}},
		"one is resolved":            {problems: []v1alpha1.Problem{*named("p", 1, func(p *v1alpha1.Problem) { p.Status.State = v1alpha1.ProblemResolved })}, incidents: three, want: Opening{Episode: 1}},
		"after one that is closed":   {problems: []v1alpha1.Problem{*named("p", 1, closed, episode("4"))}, incidents: three, want: Opening{Cause: Recurrence, Count: 3, Episode: 5}},
		"one answered for them":      {problems: []v1alpha1.Problem{*named("p", 1, closed)}, incidents: []Incident{failed("a", 50*time.Hour), failed("b", 2*time.Hour)}, want: Opening{Count: 1, Episode: 1}},
		"its original is open":       {problems: []v1alpha1.Problem{*named("p", 1, closed, duplicating("other"))}, incidents: three, want: Opening{Episode: 1}},
		"its original is gone":       {problems: []v1alpha1.Problem{*named("p", 1, closed, duplicating("gone"))}, incidents: three, want: Opening{Cause: Recurrence, Count: 3, Episode: 1}},
		"the risk is accepted":       {problems: []v1alpha1.Problem{*named("p", 1, accepting("2030-01-01T00:00:00Z"))}, incidents: three, want: Opening{Count: 3, Episode: 1}},
		"but not of a major one":     {problems: []v1alpha1.Problem{*named("p", 1, accepting("2030-01-01T00:00:00Z"))}, incidents: []Incident{major}, want: Opening{Cause: MajorIncident, Count: 1, Episode: 1}},
		"the review is overdue":      {problems: []v1alpha1.Problem{*named("p", 1, accepting("2026-11-01T00:00:00Z"))}, incidents: three, want: Opening{Cause: Recurrence, Count: 3, Episode: 1}},
		"a review that nobody reads": {problems: []v1alpha1.Problem{*named("p", 1, accepting("soon"))}, incidents: three, want: Opening{Cause: Recurrence, Count: 3, Episode: 1}},
		"a nonsensical episode":      {problems: []v1alpha1.Problem{*named("p", 1, closed, episode("x"))}, incidents: three, want: Opening{Cause: Recurrence, Count: 3, Episode: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Opens(c.problems, among(other), c.incidents, DefaultRules, now)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
