package problems

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

var now = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

var me = session.Identity{Name: "sam"}

func problem(name string, alter ...func(*v1alpha1.Problem)) *v1alpha1.Problem {
	p := &v1alpha1.Problem{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec:       v1alpha1.ProblemSpec{Statement: name + " again and again", ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}},
		Status:     v1alpha1.ProblemStatus{State: v1alpha1.ProblemNew},
	}
	for _, f := range alter {
		f(p)
	}
	return p
}

func owned(p *v1alpha1.Problem) { p.Spec.Owner, p.Spec.Confirmed = "bob", true }

func decided(d v1alpha1.ProblemDecision) func(*v1alpha1.Problem) {
	return func(p *v1alpha1.Problem) { p.Spec.Decision = &d }
}

func TestEdits(t *testing.T) {
	fixedBy := func(names ...v1alpha1.ObjectName) func(*v1alpha1.Problem) {
		return func(p *v1alpha1.Problem) {
			for _, n := range names {
				p.Spec.ChangeRefs = append(p.Spec.ChangeRefs, v1alpha1.LocalReference{Name: n})
			}
		}
	}
	refs := func(names ...string) (out []any) {
		for _, n := range names {
			out = append(out, map[string]any{"name": n})
		}
		return out
	}
	applied := func() map[string]any { return map[string]any{"type": "FixApplied", "reason": "quota"} }
	for name, c := range map[string]struct {
		got, want patch
	}{
		"confirming what nobody owns":       {confirm(problem("a"), me, ""), patch{"owner": "sam", "confirmed": true}},
		"confirming what bob owns":          {confirm(problem("a", owned), me, ""), nil},
		"confirming for alice":              {confirm(problem("a", owned), me, "alice"), patch{"owner": "alice"}},
		"a cause":                           {know(problem("a"), me, "cache", ""), patch{"rootCause": "cache", "confirmed": true, "owner": "sam"}},
		"a workaround of what is confirmed": {know(problem("a", owned), me, "", "restart"), patch{"workaround": "restart"}},
		"the same again":                    {know(problem("a", owned, func(p *v1alpha1.Problem) { p.Spec.RootCause = "cache" }), me, "cache", ""), nil},
		"a Change":                          {fix(problem("a", owned), me, []string{"x"}, false), patch{"changeRefs": refs("x")}},
		"another Change":                    {fix(problem("a", owned, fixedBy("x")), me, []string{"y"}, false), patch{"changeRefs": refs("x", "y")}},
		"a Change that it has":              {fix(problem("a", owned, fixedBy("x")), me, []string{"x"}, false), nil},
		"a Change less":                     {fix(problem("a", owned, fixedBy("x", "y")), me, []string{"x"}, true), patch{"changeRefs": refs("y")}},
		"a Change less that it has not":     {fix(problem("a", owned), me, []string{"x"}, true), nil},
		"a Change after a fix that did not do": {fix(problem("a", owned, decided(v1alpha1.ProblemDecision{Type: v1alpha1.DecisionFixApplied})), me, []string{"x"}, false),
			patch{"changeRefs": refs("x"), "decision": nil}},
		"a fix":        {decide(problem("a"), applied()), patch{"decision": map[string]any{"type": "FixApplied", "reason": "quota", "reviewBy": nil, "duplicateOf": nil}}},
		"the same fix": {decide(problem("a", decided(v1alpha1.ProblemDecision{Type: v1alpha1.DecisionFixApplied, Reason: "quota"})), applied()), nil},
		"another fix":  {decide(problem("a", decided(v1alpha1.ProblemDecision{Type: v1alpha1.DecisionFixApplied, Reason: "luck"})), applied()), patch{"decision": map[string]any{"type": "FixApplied", "reason": "quota", "reviewBy": nil, "duplicateOf": nil}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseUntil(t *testing.T) {
	for text, want := range map[string]string{
		"2027-03-31":                "2027-03-31T23:59:59Z",
		"2027-03-31T12:00:00+02:00": "2027-03-31T12:00:00+02:00",
		"90d":                       "2027-02-20T18:00:00Z",
		"0d":                        "", "soon": "", "90": "", "2027-02-30": "", "99999d": "",
	} {
		at, ok := parseUntil(text, now)
		got := ""
		if ok {
			got = at.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func counting(downtime int64, failures int32, rank int32) func(*v1alpha1.Problem) {
	return func(p *v1alpha1.Problem) {
		last := metav1.NewTime(now.Add(-3 * time.Hour))
		p.Status.Rank = rank
		p.Status.Incidents = &v1alpha1.ProblemIncidents{RankDowntimeSeconds: downtime, RankFailures: failures, Open: 1, Last: &last}
	}
}

func TestTable(t *testing.T) {
	condition := func(kind string) func(*v1alpha1.Problem) {
		return func(p *v1alpha1.Problem) {
			p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue})
		}
	}
	state := func(s v1alpha1.ProblemState) func(*v1alpha1.Problem) {
		return func(p *v1alpha1.Problem) { p.Status.State = s }
	}
	items := []v1alpha1.Problem{
		*problem("checkout-oomkilled-7f3a9", owned, counting(5400, 3, 1), state(v1alpha1.ProblemFixInProgress), condition(v1alpha1.ConditionRecurring), func(p *v1alpha1.Problem) {
			p.Spec.RootCause, p.Spec.Workaround = "a cache without a bound", "restart it;\nlimit the import to 1 GB"
			p.Status.Changes = []v1alpha1.ProblemChange{{Name: "checkout-2-6", State: v1alpha1.ProblemChangeOpen}}
			p.Status.NextStep = "the fix did not hold; name another"
		}),
		*problem("checkout-notready-1b2c3", counting(0, 12, 2)),
		*problem("report-jobfailed-aaaaa", counting(0, 1, 51), func(p *v1alpha1.Problem) { p.Spec.ServiceRef = nil }),
		*problem("ledger-crashlooping-9a8b7", owned, counting(7200, 2, 51), state(v1alpha1.ProblemClosed), condition(v1alpha1.ConditionReviewOverdue)),
	}
	for name, c := range map[string]struct{ wide, colour bool }{"narrow": {}, "wide": {wide: true}, "coloured": {colour: true}} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := table(items, now, screen.Columns{Namespace: c.wide, Wide: c.wide}).Write(&out, screen.Palette{Colour: c.colour}); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, out.String())
		})
	}
}

func TestByHarm(t *testing.T) {
	order := []*v1alpha1.Problem{
		problem("long", counting(100, 1, 1)), problem("often", counting(10, 5, 2)), problem("rare", counting(10, 1, 3)),
		problem("new"), problem("closed", counting(500, 9, 51), func(p *v1alpha1.Problem) { p.Status.State = v1alpha1.ProblemClosed }),
	}
	for i := range order {
		for j := range order {
			if got := byHarm(order[i], order[j]); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s against %s: %d", order[i].Name, order[j].Name, got)
			}
		}
	}
}
