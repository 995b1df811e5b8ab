package problem

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/planted"
)

// FuzzPlantedStatus: whatever somebody writes into the status of a Problem, at any time of its life, or into that of an
// Incident that it is about, it is decided about.
func FuzzPlantedStatus(f *testing.F) {
	statuses := planted.Load(f, "../../../config/crd/bases/itil.dev_problems.yaml", now, "shop", "leak", "open", "checkout", "OOMKilled")
	incidents := planted.Load(f, "../../../config/crd/bases/itil.dev_incidents.yaml", now, "shop", "leak", "checkout")
	changes := planted.Load(f, "../../../config/crd/bases/itil.dev_changes.yaml", now, "shop", "leak", "checkout")
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := &world{in: problem(), at: now}
		w.in.Problem.Namespace, w.in.Problem.Name = "shop", "leak"
		for range r.IntN(12) {
			w.event(r)
			w.in.Problem.Status = Evaluate(w.in, w.at).Status
		}
		statuses.Plant(t, r, &w.in.Problem.Status)
		inc, chg := &v1alpha1.Incident{}, &v1alpha1.Change{}
		incidents.Plant(t, r, &inc.Status)
		changes.Plant(t, r, &chg.Status)
		w.in.Incidents = append(w.in.Incidents, IncidentOf(inc))
		w.in.Changes = append(w.in.Changes, ChangeOf(chg))
		none := func(string) *v1alpha1.Problem { return nil }
		_, _ = Home(w.in.Problem, none)
		_ = KnownErrorOf(w.in.Problem)
		_ = Opens([]v1alpha1.Problem{*w.in.Problem}, none, w.in.Incidents, DefaultRules, w.at)
		for range 4 {
			w.in.Problem.Status = Evaluate(w.in, w.at).Status
			w.at = w.at.Add(time.Duration(r.Int64N(int64(5 * day))))
		}
	})
}
