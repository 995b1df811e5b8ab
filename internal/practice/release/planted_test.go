package release

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/planted"
)

// FuzzPlantedStatus: whatever somebody writes into the status of a Release, at any time of its life, it is decided about.
func FuzzPlantedStatus(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(seed)
	}
	statuses := planted.Load(f, "../../../config/crd/bases/itil.dev_releases.yaml", epoch,
		"db", "worker", "checkout", "pilot", "full", "shop", "other", "app", "db:1", "db:2")
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		edits := []func(*v1alpha1.Release){func(*v1alpha1.Release) {}, observes, adopts, breaks("worker"), breaks("db")}
		m := newModel(t, rel("shop", edits[r.IntN(len(edits))]), rel("other"))
		agree(m)
		m.run(time.Duration(r.IntN(60))*tick, nil)
		in := m.input("shop")
		statuses.Plant(t, r, &in.Release.Status)
		if r.IntN(4) == 0 {
			in.Changes = nil
		}
		if r.IntN(4) == 0 && len(in.Others) > 0 {
			statuses.Plant(t, r, &in.Others[0].Status)
		}
		for range 4 {
			in.Release.Spec.Cancel = r.IntN(8) == 0
			d := Decide(in, m.now)
			_, _ = Fact(in.Release)
			in.Release.Status = d.Status
			m.now = m.now.Add(time.Duration(r.IntN(600)) * time.Second)
		}
	})
}

// A Release of which somebody wrote that it is taken back, and not why, is taken back.
func TestTakenBackForNoReason(t *testing.T) {
	m := newModel(t, rel("shop"))
	m.run(time.Minute, nil)
	if m.state().StartedAt == nil {
		t.Fatal("it has not begun")
	}
	m.releases["shop"].rel.Status.Backout = &v1alpha1.ReleaseBackout{StartedAt: *timePtr(m.now)}
	m.run(time.Hour, nil)
	s := m.state()
	if s.State != v1alpha1.ReleaseRolledBack || s.Failure == nil || s.Failure.Message == "" || s.Backout == nil || s.Backout.EndedAt == nil {
		t.Errorf("state %s, failure %+v, backout %+v", s.State, s.Failure, s.Backout)
	}
	for name, mc := range m.machines {
		if mc.now.images["app"] != oldImages[name] {
			t.Errorf("%s runs %s", name, mc.now.images["app"])
		}
	}
}

// A phase of which somebody wrote that it runs or soaks, and not since when, is carried on.
func TestAPhaseWithoutTimes(t *testing.T) {
	m := newModel(t, rel("shop"))
	m.run(time.Minute, nil)
	s := m.state()
	if s.StartedAt == nil {
		t.Fatal("it has not begun")
	}
	for i := range s.Phases {
		s.Phases[i].StartedAt, s.Phases[i].ObservedAt = nil, nil
	}
	for i := range s.Units {
		s.Units[i].Released = nil
	}
	m.run(time.Hour, nil)
	if m.state().State != v1alpha1.ReleaseCompleted {
		t.Errorf("state %s, next step %q", m.state().State, m.state().NextStep)
	}
}
