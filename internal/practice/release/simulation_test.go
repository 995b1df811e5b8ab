package release

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
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

func (m *model) state() *v1alpha1.ReleaseStatus { return &m.releases["shop"].rel.Status }

func (m *model) phase(name string) *v1alpha1.ReleasePhaseStatus {
	return phaseNamed(m.state().Phases, name)
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

func (s *scenario) start(t *testing.T, killAfter int) *model {
	t.Helper()
	m := newModel(t, s.releases()...)
	m.killAfter = killAfter
	if s.prepare != nil {
		s.prepare(m)
	}
	m.run(2*time.Hour, s.each)
	return m
}

// ending is what a run came to.
type ending struct {
	State    map[string]v1alpha1.ReleaseState
	Failure  v1alpha1.ReleaseFailureReason
	Units    map[string]v1alpha1.ReleaseUnitState
	Images   map[string]string
	Ready    map[string]int32
	Applied  []string
	Restored []string
	Changes  []string
	// Bears the name of which Release, by Incident.
	Bears map[string]string
}

func (m *model) ending() ending {
	e := ending{
		State: map[string]v1alpha1.ReleaseState{}, Units: map[string]v1alpha1.ReleaseUnitState{}, Images: map[string]string{}, Ready: map[string]int32{},
		Applied: m.effects("Apply"), Restored: m.effects("Restore"), Bears: map[string]string{},
	}
	for _, r := range m.reports {
		e.Bears[r.name] = r.bears
	}
	for range 60 { // let what was written last roll out
		for _, mc := range m.machines {
			mc.roll(m.now)
		}
	}
	for name, s := range m.releases {
		e.State[name] = s.rel.Status.State
		for _, u := range s.rel.Status.Units {
			e.Units[name+"/"+string(u.Name)] = u.State
		}
		if s.rel.Status.Failure != nil {
			e.Failure = s.rel.Status.Failure.Reason
		}
	}
	for name, mc := range m.machines {
		e.Images[name] = mc.now.images["app"]
		e.Ready[name] = mc.workload("shop", name).Ready
	}
	for _, chg := range m.changes {
		e.Changes = append(e.Changes, fmt.Sprintf("%s cancel=%t", chg.Name, chg.Spec.Cancel))
	}
	slices.Sort(e.Changes)
	return e
}

func TestReleasesEndAsTheyShould(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			m := s.start(t, 0)
			e := m.ending()
			if e.State["shop"] != s.want {
				t.Errorf("ended %s, want %s\n%s", e.State["shop"], s.want, m.told())
			}
			if diff := cmp.Diff(s.images, e.Images); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(s.restored, e.Restored); diff != "" {
				t.Errorf("restored (-want +got):\n%s\n%s", diff, m.told())
			}
			if diff := cmp.Diff(s.bears, e.Bears, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Incidents bear (-want +got):\n%s", diff)
			}
			m.judge()
		})
	}
}

// A kill after each write in turn, however many a run needs: the end is that of the run in which nobody is killed.
func TestAKillAfterAnyWriteDoesNotAlterTheEnd(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			undisturbed := s.start(t, 0)
			want := undisturbed.ending()
			for kill := 1; kill <= undisturbed.writes; kill++ {
				m := s.start(t, kill)
				if diff := cmp.Diff(want, m.ending()); diff != "" {
					t.Fatalf("killed after write %d (%v): the end differs (-undisturbed +killed):\n%s\n%s", kill, undisturbed.log[kill-1], diff, m.told())
				}
				m.judge()
			}
		})
	}
}

// What a person sets after each write in turn, however many there are, is heeded: a hold alters nothing of the end; a
// cancel is the last write to any unit; and what the Release says is in, is.
func TestAPersonSetsSomethingAfterAnyWrite(t *testing.T) {
	broken := scenario{releases: one(breaks("checkout"))}
	well := scenario{releases: one()}
	cases := map[string]struct {
		course scenario
		set    func(*v1alpha1.ReleaseSpec)
		check  func(t *testing.T, m *model, undisturbed ending, write int)
	}{
		"held, and promoted":            {well, func(s *v1alpha1.ReleaseSpec) { s.Paused = true }, sameEnd},
		"held while it breaks":          {broken, func(s *v1alpha1.ReleaseSpec) { s.Paused = true }, sameEnd},
		"canceled":                      {well, func(s *v1alpha1.ReleaseSpec) { s.Cancel = true }, stopped},
		"canceled while it breaks":      {broken, func(s *v1alpha1.ReleaseSpec) { s.Cancel = true }, stopped},
		"no backout any more":           {broken, func(s *v1alpha1.ReleaseSpec) { s.Backout = v1alpha1.BackoutManual }, backOrSaid},
		"a shorter early life, no more": {well, func(s *v1alpha1.ReleaseSpec) { s.EarlyLifeSupport = "1m" }, sameEnd},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.course.start(t, 0)
			want := before.ending()
			for write := 1; write <= before.writes; write++ {
				m := newModel(t, c.course.releases()...)
				var until time.Time
				m.after = func(m *model, n int) {
					if n == write {
						m.edit(c.set)
						until = m.now.Add(3 * time.Minute)
					}
				}
				m.run(2*time.Hour, func(m *model) {
					if !until.IsZero() && !m.now.Before(until) { // promote
						m.edit(func(s *v1alpha1.ReleaseSpec) { s.Paused = false })
					}
				})
				c.check(t, m, want, write)
				m.judge()
				if t.Failed() {
					t.Fatalf("after write %d (%v)\n%s", write, before.log[write-1], m.told())
				}
			}
		})
	}
}

func sameEnd(t *testing.T, m *model, undisturbed ending, _ int) {
	t.Helper()
	if diff := cmp.Diff(undisturbed, m.ending()); diff != "" {
		t.Errorf("the end differs (-undisturbed +disturbed):\n%s", diff)
	}
}

// stopped: nothing is written to a unit after it was canceled, and it says what is in.
func stopped(t *testing.T, m *model, undisturbed ending, write int) {
	t.Helper()
	if write == m.writes && m.state().State != v1alpha1.ReleaseCanceled {
		sameEnd(t, m, undisturbed, write) // it had ended
		return
	}
	if m.state().State != v1alpha1.ReleaseCanceled {
		t.Errorf("it is %s, want Canceled", m.state().State)
	}
	for _, e := range m.log[write:] {
		if e.unit != "" {
			t.Errorf("%s of unit %s after it was canceled", e.kind, e.unit)
		}
	}
	saysWhatIsIn(t, m)
}

// backOrSaid: it goes back whole, or not at all and says what is in.
func backOrSaid(t *testing.T, m *model, _ ending, _ int) {
	t.Helper()
	switch restored := m.effects("Restore"); {
	case m.state().State == v1alpha1.ReleaseRolledBack && len(restored) == 3:
	case m.state().State == v1alpha1.ReleaseFailed && len(restored) == 0:
		saysWhatIsIn(t, m)
	default:
		t.Errorf("it is %s and restored %v", m.state().State, restored)
	}
}

// saysWhatIsIn: the next step has the way back of exactly the units that run the release.
func saysWhatIsIn(t *testing.T, m *model) {
	t.Helper()
	for _, u := range m.releases["shop"].rel.Spec.Units {
		in := m.machines[string(u.Workload.Name)].now.images["app"] == string(u.Images["app"])
		if back := "kubectl rollout undo " + nameOf(u.Workload) + " "; strings.Contains(m.state().NextStep, back) != in {
			t.Errorf("%s is in: %t; the next step says %q", u.Name, in, m.state().NextStep)
		}
	}
}

// judge is an oracle: what an observer who misses nothing says of the statuses that were written.
func (m *model) judge() {
	m.t.Helper()
	for _, s := range m.releases {
		for n, p := range s.rel.Status.Phases {
			if p.State == v1alpha1.ReleasePhaseDone {
				m.judgePhase(s.rel, n)
			}
		}
		if s.rel.Status.State != v1alpha1.ReleaseRolledBack {
			continue
		}
		for _, u := range s.rel.Status.Units {
			w := m.at(s.rel.Status.EndedAt.Time).units[string(u.Workload.Name)]
			if u.State == v1alpha1.ReleaseUnitRolledBack && (w.Template.Hash != u.Previous.TemplateHash || w.Ready < w.Desired) {
				m.t.Errorf("%s is RolledBack, but %s runs %s and %d of %d are ready", s.rel.Name, u.Name, w.Template.Hash, w.Ready, w.Desired)
			}
		}
	}
}

// judgePhase: up to the time at which a phase was done, its units ran the release and were ready for as long as it had
// to soak, but for times in which the operator was away.
func (m *model) judgePhase(r *v1alpha1.Release, n int) {
	m.t.Helper()
	plan := planOf(&r.Spec)
	p := &r.Status.Phases[n]
	soaked := time.Duration(0)
	for i := len(m.history) - 1; i >= 0; i-- {
		see := &m.history[i]
		if see.at.After(p.DoneAt.Time) || see.away {
			continue
		}
		// What failed before it began does not count against it.
		well := !slices.ContainsFunc(see.open, func(s Suspicion) bool { return !s.At.Before(r.Status.StartedAt.Time) })
		for _, u := range plan.phases[n].units {
			w := see.units[string(r.Spec.Units[u].Workload.Name)]
			well = well && w.Template.Images["app"] == string(r.Spec.Units[u].Images["app"]) && w.Ready == w.Desired && w.Desired > 0 && w.Updated == w.Desired
		}
		if !well {
			break
		}
		soaked += tick
	}
	if soaked < plan.phases[n].soak {
		m.t.Errorf("phase %s of %s was done after its units had run well for %s of %s", p.Name, r.Name, soaked, plan.phases[n].soak)
	}
}

// at is what was seen last up to a time.
func (m *model) at(t time.Time) *moment {
	for i := len(m.history) - 1; i >= 0; i-- {
		if !m.history[i].at.After(t) {
			return &m.history[i]
		}
	}
	return &m.history[0]
}

// Everybody does what they like, and the operator is killed now and then: what must hold holds, and what is said to be
// well was well.
func TestReleasesInDisorder(t *testing.T) {
	ends := map[v1alpha1.ReleaseState]int{}
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var edits []func(*v1alpha1.Release)
		if rng.IntN(3) == 0 {
			edits = append(edits, breaks([]string{"db", "worker", "checkout"}[rng.IntN(3)]))
		}
		releases := []*v1alpha1.Release{rel("shop", edits...)}
		if rng.IntN(2) == 0 {
			releases = append(releases, rel("other", func(r *v1alpha1.Release) {
				r.Spec.Units, r.Spec.Phases = r.Spec.Units[1:2], []v1alpha1.ReleasePhase{{Name: "all", Units: []string{"*"}, Soak: "30s"}}
			}))
		}
		m := newModel(t, releases...)
		m.enforced, m.lagging = rng.IntN(4) > 0, rng.IntN(4) == 0
		m.run(90*time.Minute, func(m *model) { m.disturb(rng) })
		for _, s := range m.releases {
			ends[s.rel.Status.State]++
		}
		if !m.lagging {
			m.judge()
		}
		if t.Failed() {
			t.Fatalf("seed %d\n%s", seed, m.told())
		}
	}
	t.Logf("ends: %v", ends)
	for _, state := range []v1alpha1.ReleaseState{v1alpha1.ReleaseCompleted, v1alpha1.ReleaseRolledBack, v1alpha1.ReleaseCanceled, v1alpha1.ReleaseFailed} {
		if ends[state] == 0 {
			t.Errorf("no run ended %s: the disorder does not reach it", state)
		}
	}
}

// disturb is what others do before a look.
func (m *model) disturb(rng *rand.Rand) {
	names := []string{"db", "worker", "checkout"}
	mc := m.machines[names[rng.IntN(len(names))]]
	switch rng.IntN(150) {
	case 0:
		mc.replicas = 1 + rng.IntN(4)
		mc.generation++
	case 1:
		if mc.kind == configuration.KindDeployment {
			mc.paused = !mc.paused
			mc.generation++
			mc.changed = m.now
		}
	case 2: // somebody rolls back
		if old := mc.revisions[rng.IntN(len(mc.revisions))]; rng.IntN(3) == 0 {
			mc.set(old, m.now)
		}
	case 3: // somebody alters something else
		next := mc.now.with(nil)
		next.env = fmt.Sprintf("A=%d", rng.IntN(3))
		mc.set(next, m.now)
	case 4:
		if len(mc.pods) > 0 {
			mc.pods[0].ready = false
		}
	case 5:
		if len(m.incidents) < 2 {
			priority := []v1alpha1.Priority{v1alpha1.PriorityP1, v1alpha1.PriorityP3, v1alpha1.PriorityP4}[rng.IntN(3)]
			m.incidents = append(m.incidents, Suspicion{Namespace: "shop", Name: "trouble", Priority: priority, At: m.now, Open: true})
		}
	case 6, 7, 8:
		for i := range m.incidents {
			m.incidents[i].Open = false
		}
	case 9:
		m.edit(func(s *v1alpha1.ReleaseSpec) { s.Paused = !s.Paused })
	case 10:
		if rng.IntN(6) == 0 {
			m.edit(func(s *v1alpha1.ReleaseSpec) { s.Cancel = true })
		}
	case 11, 12:
		m.killAfter = m.writes + 1 + rng.IntN(4)
	}
}
