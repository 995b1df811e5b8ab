package change

import (
	"testing"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func TestUnitsOfAReleaseWaitForTheirPhase(t *testing.T) {
	key := func(name string) configuration.Key {
		return configuration.Key{Group: "apps", Kind: configuration.KindDeployment, Namespace: "shop", Name: name}
	}
	phases := func(name string, open ...configuration.Key) ReleaseFact {
		return ReleaseFact{Name: name, Units: []configuration.Key{key("checkout"), key("worker")}, Open: open, Why: "its phase pilot runs"}
	}
	for name, test := range map[string]struct {
		releases []ReleaseFact
		asked    configuration.Key
		want     bool
	}{
		"no release":    {nil, key("checkout"), true},
		"its phase":     {[]ReleaseFact{phases("shop-1", key("worker"))}, key("worker"), true},
		"another phase": {[]ReleaseFact{phases("shop-1", key("worker"))}, key("checkout"), false},
		"no phase":      {[]ReleaseFact{phases("shop-1")}, key("checkout"), false},
		"not a unit":    {[]ReleaseFact{phases("shop-1")}, key("catalog"), true},
		"a release that is over and one that runs": {[]ReleaseFact{phases("shop-1"), phases("shop-2", key("checkout"))}, key("checkout"), true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Candidate{Name: "shop-1", Releases: test.releases}
			rep := &report{}
			if got := c.inPhase(test.asked, nil); got != test.want {
				t.Errorf("let in: %t, want %t", got, test.want)
			}
			if got := c.inPhase(test.asked, rep); got != test.want || !got && rep.causes[0].Type != CauseReleasePhase {
				t.Errorf("with reasons %v: %t, want %t", rep.causes, got, test.want)
			}
		})
	}
}
