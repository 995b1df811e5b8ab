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

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func (m *model) state() *v1alpha1.ReleaseStatus { return &m.releases["shop"].rel.Status }

func (m *model) phase(name string) *v1alpha1.ReleasePhaseStatus {
	return phaseNamed(m.state().Phases, name)
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
