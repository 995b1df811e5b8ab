package release

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// rel is a Release of db (StatefulSet), worker and checkout (Deployments) in two phases.
func rel(name string, edit ...func(*v1alpha1.Release)) *v1alpha1.Release {
	unit := func(kind v1alpha1.WorkloadKind, name string) v1alpha1.ReleaseUnit {
		return v1alpha1.ReleaseUnit{
			Name: v1alpha1.ContainerName(name), Workload: v1alpha1.WorkloadReference{Kind: kind, Name: v1alpha1.ObjectName(name)},
			Images: map[string]v1alpha1.Image{"app": v1alpha1.Image(name + ":2")},
		}
	}
	r := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec: v1alpha1.ReleaseSpec{
			Version: "2", Requester: "alice", Strategy: v1alpha1.ReleaseApply, Backout: v1alpha1.BackoutAutomatic, EarlyLifeSupport: "5m",
			Units: []v1alpha1.ReleaseUnit{
				unit(v1alpha1.WorkloadStatefulSet, "db"), unit(v1alpha1.WorkloadDeployment, "worker"), unit(v1alpha1.WorkloadDeployment, "checkout"),
			},
			Phases: []v1alpha1.ReleasePhase{
				{Name: "pilot", Units: []string{"db", "worker"}, Soak: "2m", Timeout: "10m"}, {Name: "full", Units: []string{"*"}, Soak: "1m"},
			},
			Change: &v1alpha1.ReleaseChange{Type: v1alpha1.ChangeNormal},
		},
	}
	for _, f := range edit {
		f(r)
	}
	return r
}

func breaks(unit string) func(*v1alpha1.Release) {
	return func(r *v1alpha1.Release) {
		for i := range r.Spec.Units {
			if string(r.Spec.Units[i].Name) == unit {
				r.Spec.Units[i].Images = map[string]v1alpha1.Image{"app": v1alpha1.Image(unit + ":2-oom")}
			}
		}
	}
}

func observes(r *v1alpha1.Release) { r.Spec.Strategy = v1alpha1.ReleaseObserve }

// adopts a Change that somebody made.
func adopts(r *v1alpha1.Release) {
	r.Spec.Change, r.Spec.ChangeRef = nil, &v1alpha1.LocalReference{Name: "agreed"}
}

// agree makes that Change, of exactly the Release's units.
func agree(m *model) {
	chg := wanted(m.releases["shop"].rel, 1)
	chg.Name, chg.Annotations, chg.Labels, chg.Generation = "agreed", nil, nil, 1
	chg.CreationTimestamp = metav1.NewTime(epoch)
	m.changes[chg.Name] = chg
}

// scenario is a course of events, the same for every run.
type scenario struct {
	releases func() []*v1alpha1.Release
	prepare  func(*model)
	// each happens before every look of the driver.
	each func(*model)
	want v1alpha1.ReleaseState
	// images that the units end with, by workload.
	images map[string]string
	// restored units, in order; nil: none.
	restored []string
	// bears says which Release's name Incidents end with; nil: there are none.
	bears map[string]string
}

var (
	newImages = map[string]string{"db": "db:2", "worker": "worker:2", "checkout": "checkout:2"}
	oldImages = map[string]string{"db": "db:1", "worker": "worker:1", "checkout": "checkout:1"}
)

func one(edit ...func(*v1alpha1.Release)) func() []*v1alpha1.Release {
	return func() []*v1alpha1.Release { return []*v1alpha1.Release{rel("shop", edit...)} }
}

func (m *model) edit(f func(*v1alpha1.ReleaseSpec)) {
	s := m.releases["shop"]
	next := s.rel.DeepCopy()
	f(&next.Spec)
	if !equality.Semantic.DeepEqual(next.Spec, s.rel.Spec) {
		next.Generation++
		s.rel, s.version = next, s.version+1
	}
}

var scenarios = map[string]scenario{
	"all goes well": {releases: one(), want: v1alpha1.ReleaseCompleted, images: newImages},
	"the pilot's deployment breaks": {
		releases: one(breaks("worker")), want: v1alpha1.ReleaseRolledBack, images: oldImages, restored: []string{"worker", "db"},
	},
	"the pilot's stateful set breaks": {
		releases: one(breaks("db")), want: v1alpha1.ReleaseRolledBack, images: oldImages, restored: []string{"worker", "db"},
	},
	"the last phase breaks": {
		releases: one(breaks("checkout")), want: v1alpha1.ReleaseRolledBack, images: oldImages, restored: []string{"checkout", "worker", "db"},
	},
	"a grave incident in the last soak": {
		releases: one(), want: v1alpha1.ReleaseRolledBack, images: oldImages, restored: []string{"checkout", "worker", "db"},
		each: func(m *model) {
			if p := m.phase("full"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking && len(m.incidents) == 0 {
				m.incidents = []Suspicion{{Namespace: "shop", Name: "down", Priority: v1alpha1.PriorityP2, At: m.now, Open: true}}
			}
		},
	},
	"manual backout": {
		releases: one(breaks("worker"), func(r *v1alpha1.Release) { r.Spec.Backout = v1alpha1.BackoutManual }),
		want:     v1alpha1.ReleaseFailed, images: map[string]string{"db": "db:2", "worker": "worker:2-oom", "checkout": "checkout:1"},
	},
	"paused for a while between phases": {
		releases: one(func(r *v1alpha1.Release) { r.Spec.Paused = true }), want: v1alpha1.ReleaseCompleted, images: newImages,
		each: func(m *model) {
			p := m.phase("pilot")
			m.edit(func(s *v1alpha1.ReleaseSpec) {
				s.Paused = m.now.Before(epoch.Add(2*time.Minute)) || p != nil && p.DoneAt != nil && m.now.Sub(p.DoneAt.Time) < 3*time.Minute
			})
		},
	},
	"canceled in the pilot phase": {
		releases: one(), want: v1alpha1.ReleaseCanceled, images: map[string]string{"db": "db:2", "worker": "worker:2", "checkout": "checkout:1"},
		each: func(m *model) {
			if p := m.phase("pilot"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
				m.edit(func(s *v1alpha1.ReleaseSpec) { s.Cancel = true })
			}
		},
	},
	"canceled before it began": {
		releases: one(), want: v1alpha1.ReleaseCanceled, images: oldImages, prepare: func(m *model) { m.approve = -1 },
		each: func(m *model) {
			if m.now.After(epoch.Add(time.Minute)) {
				m.edit(func(s *v1alpha1.ReleaseSpec) { s.Cancel = true })
			}
		},
	},
	"edited before it is approved": {
		releases: one(), want: v1alpha1.ReleaseCompleted, images: map[string]string{"db": "db:2", "worker": "worker:2", "checkout": "checkout:3"},
		prepare: func(m *model) { m.approve = 2 * time.Minute },
		each: func(m *model) {
			if m.now.After(epoch.Add(30 * time.Second)) {
				m.edit(func(s *v1alpha1.ReleaseSpec) { s.Units[2].Images = map[string]v1alpha1.Image{"app": "checkout:3"} })
			}
		},
	},
	"somebody else sets the images": {
		releases: one(observes), want: v1alpha1.ReleaseCompleted, images: newImages,
		prepare: func(m *model) {
			for name, mc := range m.machines {
				m.gitops[name] = mc.now.with(map[string]string{"app": name + ":2"})
			}
		},
	},
	"somebody else sets images that break, and again": {
		releases: one(observes, breaks("worker")), want: v1alpha1.ReleaseRolledBack, images: oldImages, restored: []string{"worker", "db"},
		prepare: func(m *model) {
			for name, mc := range m.machines {
				m.gitops[name] = mc.now.with(map[string]string{"app": name + ":2"})
			}
			m.gitops["worker"] = m.machines["worker"].now.with(map[string]string{"app": "worker:2-oom"})
		},
	},
	"a deployment is paused, and resumed": {
		releases: one(), want: v1alpha1.ReleaseCompleted, images: newImages, prepare: func(m *model) { m.machines["checkout"].paused = true },
		each: func(m *model) {
			if m.now.After(epoch.Add(10 * time.Minute)) {
				m.machines["checkout"].paused = false
				m.machines["checkout"].changed = m.now
			}
		},
	},
	"a lesser incident in the pilot's soak": {
		releases: one(), want: v1alpha1.ReleaseCompleted, images: newImages,
		each: func(m *model) {
			if p := m.phase("pilot"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking && len(m.incidents) == 0 {
				m.incidents = []Suspicion{{Namespace: "shop", Name: "slow", Priority: v1alpha1.PriorityP3, At: m.now, Open: true}}
			}
			for i := range m.incidents {
				m.incidents[i].Open = m.now.Before(m.incidents[i].At.Add(time.Minute))
			}
		},
	},
	"canceled in early life support": {
		releases: one(), want: v1alpha1.ReleaseCanceled, images: newImages,
		each: func(m *model) {
			if m.state().DeployedAt != nil {
				m.edit(func(s *v1alpha1.ReleaseSpec) { s.Cancel = true })
			}
		},
	},
	"under a Change that exists": {
		releases: one(adopts), want: v1alpha1.ReleaseCompleted, images: newImages, prepare: agree,
	},
	"under a Change that exists, and breaks": {
		releases: one(adopts, breaks("checkout")), want: v1alpha1.ReleaseRolledBack, images: oldImages, prepare: agree,
		restored: []string{"checkout", "worker", "db"},
	},
	"under a Change that exists, and which is withdrawn after the pilot": {
		releases: one(adopts, func(r *v1alpha1.Release) { r.Spec.Phases[0].Units = []string{"db"} }), prepare: agree,
		want: v1alpha1.ReleaseFailed, images: map[string]string{"db": "db:2", "worker": "worker:1", "checkout": "checkout:1"},
		each: func(m *model) {
			if p := m.phase("pilot"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
				m.changes["agreed"].Spec.Cancel = true
			}
		},
	},
	// What found it unsuccessful is not the Release's to see: an Incident from before it began, say.
	"its Change is found unsuccessful after the pilot": {
		releases: one(), want: v1alpha1.ReleaseRolledBack, images: oldImages, restored: []string{"worker", "db"},
		each: func(m *model) {
			if p := m.phase("pilot"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
				m.conclude("shop", v1alpha1.OutcomeUnsuccessful, false)
			}
		},
	},
	"its Change is found unsuccessful when all is in": {
		releases: one(), want: v1alpha1.ReleaseRolledBack, images: oldImages, restored: []string{"checkout", "worker", "db"},
		each: func(m *model) {
			if p := m.phase("full"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
				m.conclude("shop", v1alpha1.OutcomeUnsuccessful, false)
			}
		},
	},
	"its Change is found unsuccessful, and the backout is manual": {
		releases: one(func(r *v1alpha1.Release) { r.Spec.Backout = v1alpha1.BackoutManual }), want: v1alpha1.ReleaseFailed,
		images: map[string]string{"db": "db:2", "worker": "worker:2", "checkout": "checkout:1"},
		each: func(m *model) {
			if p := m.phase("pilot"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
				m.conclude("shop", v1alpha1.OutcomeUnsuccessful, false)
			}
		},
	},
	"its Change's window ends after the pilot": {
		releases: one(), want: v1alpha1.ReleaseFailed, images: map[string]string{"db": "db:2", "worker": "worker:2", "checkout": "checkout:1"},
		each: func(m *model) {
			if p := m.phase("pilot"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
				m.conclude("shop", v1alpha1.OutcomePartial, false)
			}
		},
	},
	"a person closes its Change as unsuccessful when all is in": {
		releases: one(), want: v1alpha1.ReleaseFailed, images: newImages,
		each: func(m *model) {
			if p := m.phase("full"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
				m.conclude("shop", v1alpha1.OutcomeUnsuccessful, true)
			}
		},
	},
	"a person closes its Change as successful when all is in": {
		releases: one(), want: v1alpha1.ReleaseCompleted, images: newImages,
		each: func(m *model) {
			if p := m.phase("full"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
				m.conclude("shop", v1alpha1.OutcomeSuccessful, true)
			}
		},
	},
	"a person takes all back in early life support, one unit after the other": {
		releases: one(), want: v1alpha1.ReleaseRolledBack, images: oldImages,
		each: func(m *model) {
			for n, name := range []string{"checkout", "worker", "db"} {
				m.undo(name, time.Duration(n+1)*time.Minute)
			}
		},
	},
	"a person takes one unit back in early life support": {
		releases: one(), want: v1alpha1.ReleaseFailed, images: map[string]string{"db": "db:2", "worker": "worker:2", "checkout": "checkout:1"},
		each: func(m *model) { m.undo("checkout", time.Minute) },
	},
	"paused when its backout begins": {
		releases: one(breaks("checkout")), want: v1alpha1.ReleaseRolledBack, images: oldImages, restored: []string{"checkout", "worker", "db"},
		each: func(m *model) {
			if m.state().Backout != nil {
				m.edit(func(s *v1alpha1.ReleaseSpec) { s.Paused = true })
			}
		},
	},
	"canceled when its backout begins": {
		releases: one(breaks("checkout")), want: v1alpha1.ReleaseCanceled,
		images: map[string]string{"db": "db:2", "worker": "worker:2", "checkout": "checkout:2-oom"},
		each: func(m *model) {
			if m.state().Backout != nil {
				m.edit(func(s *v1alpha1.ReleaseSpec) { s.Cancel = true })
			}
		},
	},
	"edited by hand while the pilot soaks, as far as it can be": {
		releases: one(breaks("checkout")), want: v1alpha1.ReleaseFailed,
		images: map[string]string{"db": "db:2", "worker": "worker:2", "checkout": "checkout:2-oom"},
		each: func(m *model) {
			if p := m.phase("pilot"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
				m.edit(func(s *v1alpha1.ReleaseSpec) { s.Backout, s.EarlyLifeSupport = v1alpha1.BackoutManual, "1m" })
			}
		},
	},
	"of two Services, with Incidents of both, one begins to burn in the last phase": {
		releases: one(), want: v1alpha1.ReleaseRolledBack, images: oldImages, restored: []string{"checkout", "worker", "db"},
		each: func(m *model) { m.ofServices(true) }, bears: map[string]string{"before": "", "in-pilot": "shop", "in-full": "shop"},
	},
	"of two Services, with Incidents of both, one burnt before": {
		releases: one(), want: v1alpha1.ReleaseCompleted, images: newImages,
		each: func(m *model) { m.ofServices(false) }, bears: map[string]string{"before": "", "in-pilot": "shop", "in-full": "shop"},
	},
	"two releases of one workload": {
		releases: func() []*v1alpha1.Release {
			later := rel("shop-later", func(r *v1alpha1.Release) {
				r.Spec.Units = r.Spec.Units[2:]
				r.Spec.Units[0].Images = map[string]v1alpha1.Image{"app": "checkout:3"}
				r.Spec.Phases = []v1alpha1.ReleasePhase{{Name: "all", Units: []string{"*"}, Soak: "1m"}}
			})
			return []*v1alpha1.Release{rel("shop"), later}
		},
		want: v1alpha1.ReleaseCompleted, images: map[string]string{"db": "db:2", "worker": "worker:2", "checkout": "checkout:3"},
	},
}

// undo is a person's rollback of a unit so long after early life support began.
func (m *model) undo(name string, after time.Duration) {
	at, mc := m.state().DeployedAt, m.machines[name]
	if at == nil || m.now.Sub(at.Time) < after || m.state().EndedAt != nil {
		return
	}
	mc.set(mc.revisions[0], m.now)
	m.conclude("shop", v1alpha1.OutcomeRolledBack, false)
}

// ofServices: orders has db and worker, front has checkout. Each has an Incident in a phase of its own, and one before.
func (m *model) ofServices(burns bool) {
	tell := func(name, service string) {
		if !slices.ContainsFunc(m.reports, func(r report) bool { return r.name == name }) {
			m.reports = append(m.reports, report{name: name, service: service, at: m.now})
		}
	}
	tell("before", "orders")
	if len(m.burns) == 0 {
		m.burns = append(m.burns, Burn{Service: "orders", Since: m.now, Why: "since before"})
	}
	if p := m.phase("pilot"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
		tell("in-pilot", "orders")
	}
	if p := m.phase("full"); p != nil && p.State == v1alpha1.ReleasePhaseSoaking {
		tell("in-full", "front")
		if burns && len(m.burns) == 1 {
			m.burns = append(m.burns, Burn{Service: "front", Since: m.now, Why: "too fast"})
		}
	}
}
