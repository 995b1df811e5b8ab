package incident_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/planted"
)

// FuzzPlantedStatus: whatever somebody writes into the status of an Incident, at any time of its life, it is decided
// about, by the detector and by what becomes of the record.
func FuzzPlantedStatus(f *testing.F) {
	statuses := planted.Load(f, "../../../config/crd/bases/itil.dev_incidents.yaml", t0, "web", "web-1", "shop", "checkout", "OOMKilled", "bob")
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		k := clocked(t, businessHours(t, "08:00", "18:00"))
		for range r.IntN(10) {
			lifeActions[r.IntN(len(lifeActions))](k, r)
		}
		statuses.Plant(t, r, &k.i.Status)
		_ = incident.BeganAt(&k.i.Status)
		_, _ = incident.KeyOf(&k.i)
		_ = incident.Harms(&k.i)
		_ = incident.Choose([]*v1alpha1.Incident{&k.i}, incident.DefaultRules(), found(oom(-time.Minute)).Findings, k.now)
		for range 4 {
			d := incident.Evaluate(&k.i, k.facts, k.now)
			for _, e := range d.Events {
				if e.Reason == incident.EventAcknowledged && d.Status.AcknowledgedAt == nil {
					t.Fatal("somebody took notice, and nobody knows when")
				}
			}
			k.i.Status = d.Status
			result := incident.Result{Gone: r.IntN(4) == 0}
			if r.IntN(2) == 0 {
				result = found(oom(-time.Minute))
			}
			detected, _ := incident.Correlate(incident.DetectedOf(&k.i.Status), result, subject(), k.now)
			k.i.Status = detected.Into(k.i.Status)
			k.now = k.now.Add(time.Duration(r.IntN(7200)) * time.Second)
		}
	})
}
