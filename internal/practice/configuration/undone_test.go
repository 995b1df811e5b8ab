package configuration_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// TestWhatIsDroppedUndoesNothing: which of the baselines that are kept were undone is what all that there ever were say.
func TestWhatIsDroppedUndoesNothing(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := play(t, configuration.BaselineRules{Enforced: true}).see(checkout(t, "0", 1), nil)
		all := slices.Clone(h.baselines)
		for n := int64(2); n < 40; n++ {
			image, source := fmt.Sprint(n), v1alpha1.BaselineChange
			if past := random.IntN(5); past > 0 && past < len(all) && random.IntN(2) == 0 {
				image, source = all[past].Images["app"][len("registry.shop.example/checkout:"):], v1alpha1.BaselineRollback
			}
			w := checkout(t, image, n)
			if w.Template.IsBaseline(all[0], nil) {
				continue
			}
			h.after(2*time.Minute).see(w, &configuration.AdmissionRecord{TemplateHash: w.Template.Hash, Source: source, By: "alice", At: h.now})
			all = append([]v1alpha1.Baseline{h.baselines[0]}, all...)
		}
		if len(h.baselines) > configuration.MaxBaselines {
			t.Fatalf("seed %d: %d baselines", seed, len(h.baselines))
		}
		for i := range h.baselines {
			at := slices.IndexFunc(all, func(b v1alpha1.Baseline) bool { return b.From.Equal(&h.baselines[i].From) })
			if got, want := configuration.Undone(h.baselines, i), configuration.Undone(all, at); got != want {
				t.Fatalf("seed %d: place %d (%s) is undone: %t, by all that were in: %t\n%s", seed, i, h.baselines[i].Images["app"], got, want, h.told())
			}
		}
	}
}
