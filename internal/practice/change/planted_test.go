package change

import (
	"math/rand/v2"
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/planted"
)

// FuzzPlantedStatus: whatever somebody writes into the status of a Change, at any time of its life, it is decided about,
// and what the gate, the retention and the delivery figures read of it is read.
func FuzzPlantedStatus(f *testing.F) {
	statuses := planted.Load(f, "../../../config/crd/bases/itil.dev_changes.yaml", hour(10),
		"checkout", "checkout-2-4", "shop", "alice", "bob", "sre", "Deployment", v23.Hash, v24.Hash, "app", repository+"2.3.0")
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := told(t)
		s.subject.Rules = Merge([]*v1alpha1.ChangePolicy{randomPolicy(r, "p")}, nil)
		live := func() {
			s.happens(r)
			s.last = Evaluate(&s.subject, hour(s.hours))
			c := s.subject.Change.DeepCopy()
			c.Status = s.last.Status
			s.subject.Change = c
		}
		for range r.IntN(12) {
			live()
		}
		statuses.Plant(t, r, &s.subject.Change.Status)
		c := s.subject.Change
		_, _ = UseOf(c)
		_ = EndedAt(c)
		_ = Needed(c, checkout, r.IntN(2) == 0, s.subject.Workloads[checkout].Baselines)
		for range 4 {
			live()
		}
	})
}
