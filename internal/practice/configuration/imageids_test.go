package configuration_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func TestImageDigest(t *testing.T) {
	cases := map[string]struct{ id, want string }{
		"containerd":       {"registry.example/app@sha256:aa", "sha256:aa"},
		"docker-pullable":  {"docker-pullable://registry.example/app@sha256:aa", "sha256:aa"},
		"docker":           {"docker://sha256:aa", "sha256:aa"},
		"bare":             {"sha256:aa", "sha256:aa"},
		"none yet":         {"", ""},
		"control":          {"sha256:a\x1b[2J", ""},
		"nonsense of size": {string(make([]byte, 4096)), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := configuration.ImageDigest(c.id); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A tag means what it meant when it was first rolled out; what it is found to mean later is told beside it.
func TestTagsThatMove(t *testing.T) {
	rules := func(h *history, id string) { h.rules.ImageIDs = map[string]string{"app": id} }
	h := play(t, configuration.BaselineRules{Enforced: true})
	rules(h, "sha256:1")
	h.see(checkout(t, "1", 1), nil)
	if got := configuration.Moved(&h.baselines[0]); len(got) != 0 {
		t.Fatalf("moved %v at once", got)
	}
	rules(h, "sha256:2")
	h.see(checkout(t, "1", 1), nil)
	first := h.baselines[0]
	if diff := cmp.Diff([]string{"app"}, configuration.Moved(&first)); diff != "" {
		t.Error(diff)
	}
	if first.ImageIDs["app"] != "sha256:1" || first.MovedImageIDs["app"] != "sha256:2" {
		t.Errorf("imageIDs %v, moved %v", first.ImageIDs, first.MovedImageIDs)
	}

	h.rules.ImageIDs = nil // no pods for a moment: nothing is forgotten
	if h.see(checkout(t, "1", 1), nil); h.baselines[0].MovedImageIDs["app"] != "sha256:2" {
		t.Error("forgot that the tag moved")
	}
	rules(h, "sha256:1")
	if h.see(checkout(t, "1", 1), nil); len(h.baselines[0].MovedImageIDs) != 0 {
		t.Error("the tag is back, and said to be moved")
	}

	rules(h, "sha256:9")
	two := checkout(t, "2", 2)
	h.see(two, byChange(two, "c", h.now))
	if got := h.baselines[0].ImageIDs["app"]; got != "sha256:9" {
		t.Errorf("another tag meant %q", got)
	}
	rules(h, "sha256:3")
	back := checkout(t, "1", 3)
	h.after(time.Minute).see(back, byChange(back, "d", h.now))
	if got := h.baselines[0]; got.ImageIDs["app"] != "sha256:1" || got.MovedImageIDs["app"] != "sha256:3" {
		t.Errorf("a tag that came back meant %v, moved %v", got.ImageIDs, got.MovedImageIDs)
	}
}

func TestRolloutsTellImagesOnceDone(t *testing.T) {
	h := play(t, configuration.BaselineRules{Enforced: true, ImageIDs: map[string]string{"app": "sha256:1"}})
	w := checkout(t, "1", 1)
	w.Ready = 0
	if h.see(w, nil); h.baselines[0].ImageIDs != nil {
		t.Error("a rollout that is not done tells what runs")
	}
	if h.see(checkout(t, "1", 1), nil); h.baselines[0].ImageIDs["app"] != "sha256:1" {
		t.Error("a rollout that is done does not")
	}
}

func TestPinnedImagesDoNotMove(t *testing.T) {
	const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	h := play(t, configuration.BaselineRules{ImageIDs: map[string]string{"app": "sha256:1"}})
	h.see(checkout(t, "1"+digest, 1), nil)
	h.rules.ImageIDs = map[string]string{"app": "sha256:2"} // another architecture's
	if h.see(checkout(t, "1"+digest, 1), nil); len(h.baselines[0].MovedImageIDs) != 0 {
		t.Error("moved")
	}
}

// A restart is the same template; where it pulls images again, it is taken down.
func TestRestartsThatPull(t *testing.T) {
	for name, c := range map[string]struct{ always, want string }{
		"pulled again":     {"app", "2026-11-20T10:00:00Z"},
		"not pulled again": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := play(t, configuration.BaselineRules{ImageIDs: map[string]string{"app": "sha256:1"}})
			h.see(checkout(t, "1", 1), nil)
			w := checkout(t, "1", 2)
			w.Template.RestartedAt = "2026-11-20T10:00:00Z"
			if c.always != "" {
				w.Template.AlwaysPulled = []string{c.always}
			}
			h.see(w, nil)
			if got := h.baselines; len(got) != 1 || got[0].RestartedAt != c.want {
				t.Errorf("%d baselines, restarted at %q, want one and %q", len(got), got[0].RestartedAt, c.want)
			}
		})
	}
}
