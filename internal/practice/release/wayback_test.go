package release

import (
	"strings"
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// BackoutPossible is said before anything goes in, and is true of who else sets the images.
func TestBackoutPossible(t *testing.T) {
	cases := map[string]struct {
		manager  string
		open     bool
		lost     bool
		want     string
		says     string
		strategy func(*v1alpha1.Release)
	}{
		"nobody else sets images":             {want: "Possible", strategy: observes},
		"a GitOps manager, and a gate":        {manager: "argocd-controller", want: "Possible", strategy: observes},
		"a GitOps manager, and no gate":       {manager: "argocd-controller", open: true, want: "NotEnforced", says: "argocd-controller sets the images of deployment/worker", strategy: observes},
		"nobody else, and no gate":            {open: true, want: "Possible", strategy: observes},
		"no revision keeps what it runs":      {lost: true, want: "NoEarlierTemplate", says: "revisionHistoryLimit", strategy: observes},
		"with Apply, nobody else sets images": {want: "Possible", strategy: func(*v1alpha1.Release) {}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, rel("shop", c.strategy))
			m.enforced, m.machines["worker"].manager = !c.open, c.manager
			if c.lost {
				m.machines["worker"].revisions = nil
			}
			d := Decide(m.input("shop"), m.now)
			got := condition(d.Status.Conditions, v1alpha1.ConditionBackoutPossible)
			if got == nil || got.Reason != c.want || (got.Status == "True") != (c.want == "Possible") || !strings.Contains(got.Message, c.says) {
				t.Errorf("BackoutPossible is %+v, want %s", got, c.want)
			}
		})
	}
}
