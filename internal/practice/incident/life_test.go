package incident_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// permitted is the table of the documentation: which state may follow which.
func permitted(from, to v1alpha1.IncidentState, spec v1alpha1.IncidentSpec) string {
	allowed := map[v1alpha1.IncidentState][]v1alpha1.IncidentState{
		"":           {"", "New", "InProgress", "OnHold", "Resolved", "Closed"},
		"New":        {"New", "InProgress", "OnHold", "Resolved", "Closed"},
		"InProgress": {"InProgress", "OnHold", "Resolved", "Closed"},
		"OnHold":     {"OnHold", "InProgress", "Resolved", "Closed"},
		"Resolved":   {"Resolved", "InProgress", "OnHold", "Closed"},
		"Closed":     {"Closed"},
	}
	switch {
	case !slices.Contains(allowed[from], to):
		return "from " + string(from) + " to " + string(to)
	case to == "OnHold" && spec.Hold == nil:
		return "on hold without a hold"
	case to == "New" && (spec.Assignee != "" || spec.Acknowledged || spec.Hold != nil):
		return "new although somebody works on it"
	case to == "Closed" && from != "Closed" && spec.Major && (spec.Resolution == nil || !spec.Resolution.Closed):
		return "a major incident closed by itself"
	}
	return ""
}

// TestLivesAtRandom lets people, the detector and time do anything in any order; evaluate checks each step against the
// table of what may follow what, and that deciding twice decides the same.
func TestLivesAtRandom(t *testing.T) {
	calendar := businessHours(t, "08:00", "18:00")
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 7))
		k := clocked(t, calendar)
		for range 40 {
			lifeActions[r.IntN(len(lifeActions))](k, r)
			if err := invariants(k); err != "" {
				t.Errorf("seed %d: %s", seed, err)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzLife: whatever people, the detector and time do in whatever order, each step is one that the documentation allows,
// and what a reader relies on holds.
func FuzzLife(f *testing.F) {
	random := rand.New(rand.NewPCG(8, 8))
	for range 30 {
		seed := make([]byte, 60)
		for i := range seed {
			seed[i] = byte(random.UintN(256))
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k := clocked(t, businessHours(t, "08:00", "18:00"))
		for i := 0; i+2 < len(data) && i < 120; i += 3 {
			lifeActions[int(data[i])%len(lifeActions)](k, rand.New(rand.NewPCG(uint64(data[i+1]), uint64(data[i+2]))))
			if err := invariants(k); err != "" {
				t.Fatal(err)
			}
		}
	})
}

// invariants are what a reader may rely on at any time.
func invariants(k *ticket) string {
	s := k.i.Status
	switch {
	case (s.State == v1alpha1.IncidentResolved || s.State == v1alpha1.IncidentClosed) != (s.ResolvedAt != nil):
		return "resolved or closed, and no time of it"
	case (s.State == v1alpha1.IncidentClosed) != (s.ClosedAt != nil):
		return "closed, and no time of it"
	case s.State == v1alpha1.IncidentResolved && s.Resolution == nil:
		return "resolved, and nothing says how"
	case s.ResolvedAt != nil && s.ResolvedAt.Time.Before(k.i.Status.DetectedAt.Time):
		return "resolved before it was detected"
	case s.State == v1alpha1.IncidentResolved && incident.Active(s.Signals) && k.i.Spec.Resolution == nil:
		return "resolved although it fails, and nobody said so"
	case len(s.Timeline) > 50 || len(s.NextStep) > 1024:
		return "without bounds"
	case s.Clocks != nil && s.Clocks.Resolution != nil && s.Clocks.Resolution.PausedSeconds < 0:
		return "paused for less than no time"
	case s.State != v1alpha1.IncidentClosed && s.State != v1alpha1.IncidentResolved && s.NextStep == "":
		return "open, and nobody is told what to do"
	}
	return ""
}

// lifeActions are what may happen to an incident.
var lifeActions = []func(*ticket, *rand.Rand){
	func(k *ticket, r *rand.Rand) { k.pass(time.Duration(r.IntN(7200)) * second) },
	func(k *ticket, r *rand.Rand) { k.pass(time.Duration(r.IntN(200)) * hour) },
	func(k *ticket, _ *rand.Rand) { k.seeWell() },
	func(k *ticket, _ *rand.Rand) { k.fail() },
	func(k *ticket, _ *rand.Rand) { k.see(incident.Result{}) },
	func(k *ticket, _ *rand.Rand) { k.see(incident.Result{Gone: true}) },
	func(k *ticket, _ *rand.Rand) { k.do(assign) },
	func(k *ticket, _ *rand.Rand) {
		k.do(func(s *v1alpha1.IncidentSpec) { s.Assignee, s.Acknowledged = "", false })
	},
	func(k *ticket, r *rand.Rand) {
		k.do(hold([]v1alpha1.HoldReason{"AwaitingCaller", "AwaitingVendor"}[r.IntN(2)]))
	},
	func(k *ticket, _ *rand.Rand) { k.do(resume) },
	func(k *ticket, r *rand.Rand) {
		k.do(resolve([]v1alpha1.ResolutionCode{"Workaround", "NoFault", "KnownError"}[r.IntN(3)], []string{"", "as agreed"}[r.IntN(2)]))
	},
	func(k *ticket, _ *rand.Rand) { k.do(func(s *v1alpha1.IncidentSpec) { s.Resolution = nil }) },
	func(k *ticket, r *rand.Rand) { k.do(func(s *v1alpha1.IncidentSpec) { s.Major = r.IntN(2) == 0 }) },
	func(k *ticket, r *rand.Rand) {
		k.facts.Service.Health = []v1alpha1.Health{"Outage", "Degraded", "Operational", "Unknown"}[r.IntN(4)]
		k.evaluate()
	},
	func(k *ticket, r *rand.Rand) { k.facts.HoldOver = r.IntN(2) == 0; k.evaluate() },
	func(k *ticket, r *rand.Rand) {
		k.facts.ParentResolvedAt = k.now.Add(-time.Duration(r.IntN(2)) * hour)
		k.evaluate()
	},
	func(k *ticket, r *rand.Rand) {
		k.do(func(s *v1alpha1.IncidentSpec) {
			s.Recovery = []v1alpha1.Recovery{"", v1alpha1.RecoveryDisputed, v1alpha1.RecoveryAccepted}[r.IntN(3)]
		})
	},
	func(k *ticket, r *rand.Rand) {
		if k.i.Spec.Resolution != nil {
			k.do(func(s *v1alpha1.IncidentSpec) { s.Resolution.Closed = r.IntN(3) == 0 })
		}
	},
}
