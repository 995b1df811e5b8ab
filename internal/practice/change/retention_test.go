package change

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func endedIn(state v1alpha1.ChangeState, hours int) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) {
		c.Status.State = state
		switch state {
		case v1alpha1.ChangeClosed, v1alpha1.ChangeCanceled:
			c.Status.ClosedAt = at(hours)
		case v1alpha1.ChangeRejected:
			c.Status.Digest = Digest(&c.Spec)
			c.Status.RejectedDigests = []v1alpha1.RejectedDigest{{Digest: "v1:older", At: *at(hours - 5)}, {Digest: c.Status.Digest, At: *at(hours)}}
		default:
		}
	}
}

func TestWhenAChangeHasEnded(t *testing.T) {
	for state, want := range map[v1alpha1.ChangeState]time.Time{
		v1alpha1.ChangeClosed: hour(7), v1alpha1.ChangeCanceled: hour(7), v1alpha1.ChangeRejected: hour(7),
		v1alpha1.ChangeAssess: {}, v1alpha1.ChangeAuthorize: {}, v1alpha1.ChangeScheduled: {}, v1alpha1.ChangeImplement: {},
		v1alpha1.ChangeReview: {}, "": {},
	} {
		c := changeOf("c", endedIn(state, 7))
		if got := EndedAt(c); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
		due, when := Retention{Age: 48 * time.Hour}.Due(c, hour(55))
		if due != !want.IsZero() {
			t.Errorf("%s: due %t", state, due)
		}
		if !want.IsZero() && !when.Equal(hour(55)) {
			t.Errorf("%s: due at %s", state, when)
		}
		if due, _ := (Retention{Age: 48 * time.Hour}).Due(c, hour(54)); due {
			t.Errorf("%s: due too early", state)
		}
		if due, when := (Retention{}).Due(c, hour(10000)); due || !when.IsZero() {
			t.Errorf("%s: due although nothing goes", state)
		}
	}
}

func TestWhatKeepsAChange(t *testing.T) {
	record := baseline(v24, by(v1alpha1.BaselineUnauthorized, ""))
	after := baseline(v23)
	after.From = *at(9)
	before := baseline(v23)
	for name, test := range map[string]struct {
		name      string
		state     v1alpha1.ChangeState
		exists    bool
		baselines []v1alpha1.Baseline
		want      bool
	}{
		"nothing":                                  {"c", v1alpha1.ChangeClosed, true, []v1alpha1.Baseline{before}, false},
		"a baseline that came in by it":            {"c", v1alpha1.ChangeClosed, true, []v1alpha1.Baseline{before, baseline(v24, by(v1alpha1.BaselineChange, "c"))}, true},
		"a baseline that undid it":                 {"c", v1alpha1.ChangeClosed, true, []v1alpha1.Baseline{baseline(v23, by(v1alpha1.BaselineRollback, "c"))}, true},
		"a baseline that owes its record":          {recordName(checkout, &record), v1alpha1.ChangeClosed, true, []v1alpha1.Baseline{before, record}, true},
		"a rejection of what may be tried again":   {"c", v1alpha1.ChangeRejected, true, []v1alpha1.Baseline{before}, true},
		"a rejection of what nothing followed":     {"c", v1alpha1.ChangeRejected, true, nil, true},
		"not a rejection that something followed":  {"c", v1alpha1.ChangeRejected, true, []v1alpha1.Baseline{after}, false},
		"not a rejection for what does not exist":  {"c", v1alpha1.ChangeRejected, false, nil, false},
		"not a cancellation that nothing followed": {"c", v1alpha1.ChangeCanceled, true, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := changeOf(test.name, endedIn(test.state, 7))
			if why := Needed(c, checkout, test.exists, test.baselines); (why != "") != test.want {
				t.Errorf("needed: %q, want %t", why, test.want)
			}
		})
	}
}

func TestSurplusIsTheOldest(t *testing.T) {
	var all []*v1alpha1.Change
	for i, ended := range []int{5, 1, 4, 1, 3} {
		all = append(all, changeOf(fmt.Sprintf("c%d", i), endedIn(v1alpha1.ChangeClosed, ended)))
	}
	names := func(list []*v1alpha1.Change) []string {
		var out []string
		for _, c := range list {
			out = append(out, c.Name)
		}
		return out
	}
	for most, want := range map[int][]string{0: nil, 5: nil, 6: nil, 4: {"c1"}, 2: {"c1", "c3", "c4"}} {
		if diff := cmp.Diff(want, names(Retention{PerWorkload: most}.Surplus(all))); diff != "" {
			t.Errorf("%d are kept (-want +got):\n%s", most, diff)
		}
	}
}
