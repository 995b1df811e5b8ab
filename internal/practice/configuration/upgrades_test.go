package configuration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// upgrades are one manifest as API servers of several versions store it, by what their defaulting and their JSON differ in,
// and the hash that was recorded of it.
type upgrades struct {
	Hash      string                    `json:"hash"`
	Imageless string                    `json:"imageless"`
	Stored    map[string]map[string]any `json:"stored"`
}

func readUpgrades(t *testing.T) upgrades {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "upgrades.json"))
	if err != nil {
		t.Fatal(err)
	}
	var u upgrades
	if err := json.Unmarshal(data, &u); err != nil {
		t.Fatal(err)
	}
	return u
}

// TestHashesSurviveUpgrades: what was approved, or recorded as a baseline, under an older API server is the same template
// under a newer one, whichever of the defaults it writes out. The hashes were recorded once and never are again.
func TestHashesSurviveUpgrades(t *testing.T) {
	u := readUpgrades(t)
	for version, stored := range u.Stored {
		t.Run(version, func(t *testing.T) {
			got := configuration.ParseTemplate("Deployment", stored)
			if got.Hash != u.Hash || got.ImagelessHash != u.Imageless {
				t.Errorf("hash %s, without images %s; recorded are %s and %s", got.Hash, got.ImagelessHash, u.Hash, u.Imageless)
			}
			if !got.Is(u.Hash, nil) {
				t.Error("a Change that pins the recorded hash does not allow it")
			}
		})
	}
}

// TestADefaultOfTheFutureIsNoEdit: a default that the table does not know alters the hash. At the same UID and generation it
// is taken over, by the fingerprint that the older operator recorded, and nothing that was altered with it.
func TestADefaultOfTheFutureIsNoEdit(t *testing.T) {
	u := readUpgrades(t)
	const newest = "1.36: creationTimestamp is left out"
	for name, test := range map[string]struct {
		alter func(spec map[string]any)
		want  int
	}{
		"a default is added":                 {func(s map[string]any) { s["fieldOfTheFuture"] = "Always" }, 1},
		"a default is added, and one edited": {func(s map[string]any) { s["fieldOfTheFuture"], s["serviceAccount"] = "Always", "other" }, 2},
		"a field is gone":                    {func(s map[string]any) { delete(s, "serviceAccount") }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			stored := readUpgrades(t).Stored[newest]
			h := play(t, configuration.BaselineRules{Enforced: true})
			w := checkout(t, "1", 1)
			w.Template = configuration.ParseTemplate("Deployment", u.Stored["1.23: creationTimestamp is null, procMount is not written"])
			h.see(w, nil)
			test.alter(stored["spec"].(map[string]any))
			upgraded := checkout(t, "1", 1)
			upgraded.Template = configuration.ParseTemplate("Deployment", stored)
			if h.after(time.Hour).see(upgraded, nil); len(h.baselines) != test.want {
				t.Errorf("%d baselines, want %d: the newest is %s", len(h.baselines), test.want, h.baselines[0].Source)
			}
			if test.want == 1 && h.baselines[0].TemplateHash != upgraded.Template.Hash {
				t.Error("the baseline was not renewed")
			}
		})
	}
}
