package service

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/planted"
)

// FuzzPlantedTransitions: whatever somebody writes into the status of a Service, the changes of health that follow from it
// are such as the API server takes: of a health each, and at most as many as the schema allows. Else its status would
// never be written again.
func FuzzPlantedTransitions(f *testing.F) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	statuses := planted.Load(f, "../../config/crd/bases/itil.dev_services.yaml", now, "shop", "checkout")
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		before := &v1alpha1.ServiceStatus{}
		statuses.Plant(t, r, before)
		healths := []v1alpha1.Health{v1alpha1.HealthOperational, v1alpha1.HealthOutage, v1alpha1.HealthUnknown}
		after := transitions(before, nil, healths[r.IntN(len(healths))], now)
		if len(after) > maxTransitions {
			t.Errorf("%d changes", len(after))
		}
		for _, change := range after {
			if change.Health == "" {
				t.Errorf("a change to no health: %+v follows from %+v", after, before)
			}
		}
	})
}
