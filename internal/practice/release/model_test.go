package release

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// The model is a small cluster: an API server that counts writes and refuses stale ones, controllers that roll out a
// pod at a time, a gate, a Change controller, and the driver that carries out decisions as the Release controller does.

var epoch = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

const tick = 5 * time.Second

// program is a pod template: images by container, and all else.
type program struct {
	images map[string]string
	env    string
}

func (p program) hash() string {
	return "v1:app=" + p.images["app"] + ",proxy=" + p.images["proxy"] + ";" + p.env
}

func (p program) with(images map[string]string) program {
	next := program{images: maps.Clone(p.images), env: p.env}
	maps.Copy(next.images, images)
	return next
}

// broken templates never become ready.
func (p program) broken() bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(p.images)), func(i string) bool { return strings.HasSuffix(i, "-oom") })
}

// machine is a workload.
type machine struct {
	kind       string
	uid        string
	generation int64
	observed   int64
	now        program
	revisions  []program
	// pods, each with the template that it runs.
	pods     []pod
	replicas int
	changed  time.Time // when the template was
	stuck    bool
	paused   bool
	manager  string
}

type pod struct {
	runs  program
	ready bool
}

// template of an object's next version.
func (m *machine) set(p program, now time.Time) {
	if p.hash() == m.now.hash() {
		return
	}
	m.now, m.generation, m.changed, m.stuck = p, m.generation+1, now, false
}

// roll is what the workload's controller and the kubelets do in one tick.
func (m *machine) roll(now time.Time) {
	m.observed = m.generation
	if !slices.ContainsFunc(m.revisions, func(p program) bool { return p.hash() == m.now.hash() }) {
		m.revisions = append(m.revisions, m.now)
	}
	for len(m.pods) < m.replicas {
		m.pods = append(m.pods, pod{runs: m.now})
	}
	m.pods = m.pods[:m.replicas]
	waits := false
	for i := range m.pods {
		p := &m.pods[i]
		switch {
		case p.runs.hash() == m.now.hash() && !p.ready:
			p.ready = !p.runs.broken()
			waits = true
		case waits || m.paused || p.runs.hash() == m.now.hash():
		case !p.ready && m.kind == configuration.KindStatefulSet:
			waits = true // it is not replaced before it is ready
		default:
			*p = pod{runs: m.now}
			waits = true
		}
	}
	complete := !slices.ContainsFunc(m.pods, func(p pod) bool { return !p.ready || p.runs.hash() != m.now.hash() })
	m.stuck = m.kind == configuration.KindDeployment && !complete && !m.paused && now.Sub(m.changed) > time.Minute
}

func (m *machine) workload(namespace, name string) *configuration.Workload {
	w := &configuration.Workload{
		Key: configuration.Key{Group: "apps", Kind: m.kind, Namespace: namespace, Name: name}, UID: types.UID(m.uid),
		Generation: m.generation, ObservedGeneration: m.observed,
		Template: configuration.Template{Hash: m.now.hash(), Images: maps.Clone(m.now.images)},
		Desired:  int32(m.replicas), Current: int32(len(m.pods)), Hold: configuration.Hold{Paused: m.paused},
	}
	for _, p := range m.pods {
		if p.ready {
			w.Ready++
		}
		if p.runs.hash() == m.now.hash() {
			w.Updated++
		}
	}
	if m.kind == configuration.KindDeployment {
		w.ProgressDeadlineSeconds = 60
		c := configuration.Condition{Status: "True", Reason: "ReplicaSetUpdated"}
		if m.stuck {
			c = configuration.Condition{Status: "False", Reason: "ProgressDeadlineExceeded", Message: "it exceeded its progress deadline"}
		}
		w.Conditions = map[string]configuration.Condition{"Progressing": c}
	}
	return w
}

// entry of what was written.
type entry struct {
	kind    string
	release string
	unit    string
	at      time.Time
	// took effect, or repeated what was.
	effect bool
}

type stored struct {
	rel     *v1alpha1.Release
	version int
}

type model struct {
	t        *testing.T
	now      time.Time
	releases map[string]*stored
	changes  map[string]*v1alpha1.Change
	machines map[string]*machine
	// approve is how long after it was raised a Change is approved; negative: never.
	approve   time.Duration
	incidents []Suspicion
	// reports are the Incidents of the Releases' Services, whatever they suspect; burns the Services that burn too fast.
	reports []report
	burns   []Burn
	// after a write by its number, somebody does something.
	after func(m *model, write int)
	// gitops sets these images whenever the gate lets it: the source of an Observe release.
	gitops map[string]program
	// enforced: the gate refuses what is not covered. Else it only watches.
	enforced bool
	log      []entry
	// killAfter so many writes the driver is killed; 0: never.
	writes, killAfter int
	observing         time.Time
	// history of what was ready, for the oracle.
	history []moment
	// lag: the driver sees workloads as they were one look ago.
	lagging bool
	before  map[string]*configuration.Workload
}

// moment is what an observer who misses nothing saw.
type moment struct {
	at    time.Time
	units map[string]*configuration.Workload
	open  []Suspicion // Incidents that suspect
	// away: the operator was.
	away bool
}

// report is an Incident of a Service of all Releases.
type report struct {
	name, service, bears string
	at                   time.Time
}

type killed struct{}

func newModel(t *testing.T, rels ...*v1alpha1.Release) *model {
	t.Helper()
	m := &model{
		t: t, now: epoch, observing: epoch, enforced: true, releases: map[string]*stored{}, changes: map[string]*v1alpha1.Change{},
		machines: map[string]*machine{}, approve: 20 * time.Second, gitops: map[string]program{},
	}
	for n, rel := range rels {
		rel.CreationTimestamp = metav1.NewTime(epoch.Add(time.Duration(n-len(rels)) * time.Second))
		m.releases[rel.Name] = &stored{rel: rel}
		for _, u := range rel.Spec.Units {
			name := string(u.Workload.Name)
			if m.machines[name] != nil {
				continue
			}
			old := program{images: map[string]string{"app": name + ":1", "proxy": "proxy:7"}, env: "A=1"}
			mc := &machine{kind: string(u.Workload.Kind), uid: name, generation: 3, observed: 3, now: old, replicas: 2, changed: epoch, revisions: []program{old}}
			for range mc.replicas {
				mc.pods = append(mc.pods, pod{old, true})
			}
			m.machines[name] = mc
		}
	}
	return m
}

// wrote counts a write, and kills the driver after the one that it was told.
func (m *model) wrote(e entry) {
	e.at = m.now
	m.log = append(m.log, e)
	m.writes++
	if m.after != nil {
		m.after(m, m.writes)
	}
	if m.killAfter == m.writes {
		panic(killed{})
	}
}

func (m *model) input(name string) *Input {
	rel := m.releases[name].rel
	in := &Input{Release: rel.DeepCopy(), Units: map[string]Unit{}, Suspicions: slices.Clone(m.incidents), ObservingSince: m.observing}
	for _, u := range rel.Spec.Units {
		mc := m.machines[string(u.Workload.Name)]
		if mc == nil {
			continue
		}
		w := mc.workload(rel.Namespace, string(u.Workload.Name))
		if m.lagging && m.before[w.Key.Name] != nil {
			w = m.before[w.Key.Name]
		}
		unit := Unit{Workload: w, Manager: mc.manager, Enforced: m.enforced}
		if slices.ContainsFunc(mc.revisions, func(p program) bool { return p.hash() == w.Template.Hash }) && KeepsRevisions(u.Workload.Kind) {
			unit.Revision = "revision-" + w.Template.Hash
		}
		in.Units[string(u.Name)] = unit
	}
	for _, chg := range m.changes {
		if RaisedFor(rel, chg) || rel.Spec.ChangeRef != nil && string(rel.Spec.ChangeRef.Name) == chg.Name {
			in.Changes = append(in.Changes, chg.DeepCopy())
		}
	}
	slices.SortFunc(in.Changes, func(a, b *v1alpha1.Change) int { return strings.Compare(b.Name, a.Name) })
	in.LastEpisode = len(in.Changes)
	for other, s := range m.releases {
		if other != name {
			in.Others = append(in.Others, s.rel.DeepCopy())
		}
	}
	in.Burns = slices.Clone(m.burns)
	for _, r := range m.reports {
		if rel.Status.StartedAt != nil && r.bears == "" && !r.at.Before(rel.Status.StartedAt.Time) {
			in.Carry = append(in.Carry, types.NamespacedName{Namespace: "shop", Name: r.name})
		}
	}
	slices.SortFunc(in.Others, func(a, b *v1alpha1.Release) int { return strings.Compare(a.Name, b.Name) })
	return in
}

// reconcile does one write, if one is to be done, and says whether it did.
func (m *model) reconcile(name string) bool {
	in := m.input(name)
	d := Decide(in, m.now)
	if m.putStatus(name, in, &d) {
		return true
	}
	if d.Write == nil {
		return false
	}
	in.Done = m.carryOut(name, d.Write)
	if in.Done == nil {
		return d.Write.Kind != DeleteBroken
	}
	in.Release = m.releases[name].rel.DeepCopy()
	after := Decide(in, m.now)
	m.putStatus(name, in, &after)
	return in.Done.Denied == ""
}

func (m *model) putStatus(name string, in *Input, d *Decision) bool {
	if equality.Semantic.DeepEqual(in.Release.Status, d.Status) {
		return false
	}
	s := m.releases[name]
	next := s.rel.DeepCopy()
	next.Status = d.Status
	m.checkStatus(&s.rel.Status, next)
	s.rel, s.version = next, s.version+1
	m.wrote(entry{kind: "Status", release: name, effect: true})
	return true
}

func (m *model) carryOut(name string, w *Write) *Outcome {
	rel := m.releases[name].rel
	switch w.Kind {
	case RaiseChange:
		if m.changes[w.Change.Name] != nil {
			m.t.Fatalf("Change %s is raised twice", w.Change.Name)
		}
		chg := w.Change.DeepCopy()
		chg.CreationTimestamp, chg.Generation = metav1.NewTime(m.now), 1
		m.changes[chg.Name] = chg
		m.wrote(entry{kind: "RaiseChange", release: name, effect: true})
		return nil
	case CancelChange:
		m.changes[w.Change.Name].Spec.Cancel = true
		m.changes[w.Change.Name].Generation++
		m.wrote(entry{kind: "CancelChange", release: name, effect: true})
		return nil
	case DeleteBroken:
		mc := m.machines[string(w.Workload.Name)]
		for i := range mc.pods {
			if p := &mc.pods[i]; !p.ready && p.runs.hash() == w.From {
				*p = pod{runs: mc.now}
				m.wrote(entry{kind: "DeletePod", release: name, unit: w.Unit, effect: true})
			}
		}
		return nil
	case CarryIncident:
		for i := range m.reports {
			if r := &m.reports[i]; r.name == w.Incident.Name && r.bears == "" {
				r.bears = name
				m.wrote(entry{kind: "Carry", release: name, unit: r.name, effect: true})
			}
		}
		return nil
	case ApplyImages, RestoreTemplate:
	}
	mc := m.machines[string(w.Workload.Name)]
	if mc == nil || mc.uid != string(w.UID) {
		return &Outcome{Kind: w.Kind, Unit: w.Unit, Lost: "it is another by now"}
	}
	if w.Kind == ApplyImages {
		return m.apply(rel, w, mc)
	}
	return m.restore(rel, w, mc)
}

func (m *model) apply(rel *v1alpha1.Release, w *Write, mc *machine) *Outcome {
	next := mc.now.with(w.Images)
	out := &Outcome{Kind: w.Kind, Unit: w.Unit}
	effect := next.hash() != mc.now.hash()
	if effect && m.enforced && !m.covered(string(w.Workload.Name)) {
		out.Denied = "no approved Change covers it"
		return out
	}
	m.checkApply(rel, w)
	mc.set(next, m.now)
	out.Template = m.result(mc)
	m.wrote(entry{kind: "Apply", release: rel.Name, unit: w.Unit, effect: effect})
	return out
}

func (m *model) restore(rel *v1alpha1.Release, w *Write, mc *machine) *Outcome {
	out := &Outcome{Kind: w.Kind, Unit: w.Unit}
	at := slices.IndexFunc(mc.revisions, func(p program) bool { return p.hash() == w.To })
	switch {
	case mc.now.hash() == w.To:
		out.Template = m.result(mc)
		return out
	case mc.now.hash() != w.From:
		out.Lost = "somebody put in another template"
		return out
	case at < 0:
		out.Lost = "no revision has it"
		return out
	}
	m.checkRestore(rel, w)
	mc.set(mc.revisions[at], m.now)
	out.Template = m.result(mc)
	m.wrote(entry{kind: "Restore", release: rel.Name, unit: w.Unit, effect: true})
	return out
}

func (m *model) result(mc *machine) *v1alpha1.ReleaseTemplate {
	return &v1alpha1.ReleaseTemplate{TemplateHash: mc.now.hash(), WorkloadUID: mc.uid, Generation: mc.generation, At: timePtr(m.now)}
}

// covered says what the gate says: an approved Change in its window is about the workload, and it is its turn.
func (m *model) covered(name string) bool {
	for _, chg := range m.changes {
		if chg.Status.State != v1alpha1.ChangeImplement || chg.Spec.Cancel {
			continue
		}
		for _, s := range m.releases {
			if ChangeOf(s.rel) != chg.Name {
				continue
			}
			if fact, limits := Fact(s.rel); limits && slices.ContainsFunc(fact.Open, func(k configuration.Key) bool { return k.Name == name }) {
				return true
			}
		}
	}
	return false
}

// elapse is one tick of everybody but the operator.
func (m *model) elapse() {
	m.before = map[string]*configuration.Workload{}
	for name, mc := range m.machines {
		m.before[name] = mc.workload("shop", name)
	}
	m.now = m.now.Add(tick)
	for _, chg := range m.changes {
		m.assess(chg)
	}
	for _, name := range slices.Sorted(maps.Keys(m.machines)) {
		mc := m.machines[name]
		if source, managed := m.gitops[name]; managed && source.hash() != mc.now.hash() && (!m.enforced || m.covered(name) || m.before[name] == nil) {
			mc.set(source, m.now)
		}
		mc.roll(m.now)
	}
	see := moment{at: m.now, units: map[string]*configuration.Workload{}}
	for name, mc := range m.machines {
		see.units[name] = mc.workload("shop", name)
	}
	for _, s := range m.incidents {
		if s.Open {
			see.open = append(see.open, s)
		}
	}
	m.history = append(m.history, see)
}

// assess is the Change controller.
func (m *model) assess(chg *v1alpha1.Change) {
	s := &chg.Status
	s.ObservedGeneration = chg.Generation
	approved := m.approve >= 0 && !m.now.Before(chg.CreationTimestamp.Add(m.approve))
	set := func(state v1alpha1.ChangeState, approved, open metav1.ConditionStatus) {
		s.State = state
		s.Conditions = []metav1.Condition{
			{Type: v1alpha1.ConditionApproved, Status: approved, Reason: "Votes", Message: "votes"},
			{Type: v1alpha1.ConditionGateOpen, Status: open, Reason: "Gate", Message: "gate"},
		}
	}
	switch {
	case chg.Spec.Cancel:
		set(v1alpha1.ChangeCanceled, metav1.ConditionFalse, metav1.ConditionFalse)
	case s.State == v1alpha1.ChangeReview, s.State == v1alpha1.ChangeClosed, s.State == v1alpha1.ChangeRejected:
	case approved:
		set(v1alpha1.ChangeImplement, metav1.ConditionTrue, metav1.ConditionTrue)
	default:
		set(v1alpha1.ChangeAuthorize, metav1.ConditionFalse, metav1.ConditionFalse)
	}
}

// conclude gives a Change an outcome: the Change controller does, or, in a review, a person.
func (m *model) conclude(name string, outcome v1alpha1.Outcome, reviewed bool) {
	chg := m.changes[name]
	if chg == nil || chg.Status.Outcome != "" {
		return
	}
	chg.Status.State, chg.Status.Outcome = v1alpha1.ChangeReview, outcome
	if reviewed {
		chg.Status.State, chg.Spec.Review = v1alpha1.ChangeClosed, &v1alpha1.Review{Outcome: outcome}
		chg.Generation++
	}
}

// settle lets the driver do all that there is to do now.
func (m *model) settle() {
	for _, name := range slices.Sorted(maps.Keys(m.releases)) {
		for n := 0; m.reconcile(name); n++ {
			if n > 100 {
				m.t.Fatalf("%s: the driver does not come to rest: %v", name, m.log[len(m.log)-5:])
			}
		}
	}
}

// run until all Releases have ended or so long. A killed driver is away for a while and begins anew.
func (m *model) run(lasting time.Duration, each func(*model)) {
	for end := m.now.Add(lasting); m.now.Before(end) && !m.ended(); {
		if each != nil {
			each(m)
		}
		m.survive(m.settle)
		m.elapse()
	}
}

func (m *model) survive(f func()) {
	defer func() {
		switch reason := recover().(type) {
		case nil:
		case killed:
			for range 4 {
				m.elapse()
				m.history[len(m.history)-1].away = true
			}
			m.observing = m.now
		default:
			panic(reason)
		}
	}()
	f()
}

func (m *model) ended() bool {
	for _, s := range m.releases {
		if s.rel.Status.EndedAt == nil {
			return false
		}
	}
	return true
}

// checkStatus holds what must hold of every status that is written.
func (m *model) checkStatus(before *v1alpha1.ReleaseStatus, next *v1alpha1.Release) {
	m.t.Helper()
	after := &next.Status
	if before.EndedAt != nil {
		m.t.Fatalf("%s: the status of a Release that has ended is written", next.Name)
	}
	running := 0
	for _, p := range after.Phases {
		if p.State == v1alpha1.ReleasePhaseDeploying || p.State == v1alpha1.ReleasePhaseSoaking {
			running++
		}
	}
	if running > 1 {
		m.t.Fatalf("%s: %d phases run at once", next.Name, running)
	}
	if before.Backout != nil && (after.Backout == nil || !after.Backout.StartedAt.Equal(&before.Backout.StartedAt)) {
		m.t.Fatalf("%s: a backout began twice", next.Name)
	}
	for name, s := range m.releases {
		if name != next.Name && atWork(s.rel) && atWork(next) && slices.ContainsFunc(Keys(next), func(k configuration.Key) bool { return slices.Contains(Keys(s.rel), k) }) {
			m.t.Fatalf("Releases %s and %s are at work on one workload", name, next.Name)
		}
	}
	if !allowed(before.State, after.State) {
		m.t.Fatalf("%s: from %q to %q", next.Name, before.State, after.State)
	}
}

// allowed transitions, as the design lists them.
func allowed(from, to v1alpha1.ReleaseState) bool {
	next := map[v1alpha1.ReleaseState]string{
		"":                               "Planning Ready Deploying Canceled",
		v1alpha1.ReleasePlanning:         "Ready Deploying Canceled",
		v1alpha1.ReleaseReady:            "Planning Deploying Canceled",
		v1alpha1.ReleaseDeploying:        "EarlyLifeSupport Completed RolledBack Failed Canceled",
		v1alpha1.ReleaseEarlyLifeSupport: "Completed RolledBack Failed Canceled",
	}
	return from == to || slices.Contains(strings.Fields(next[from]), string(to))
}

// checkApply holds what must hold whenever images are set.
func (m *model) checkApply(rel *v1alpha1.Release, w *Write) {
	m.t.Helper()
	chg := m.changes[ChangeOf(rel)]
	status := statusOf(rel, w.Unit)
	switch {
	case chg == nil || chg.Status.State != v1alpha1.ChangeImplement:
		m.t.Fatalf("%s sets images of %s without a Change that may go in", rel.Name, w.Unit)
	case rel.Status.Backout != nil || rel.Status.Failure != nil || rel.Status.EndedAt != nil:
		m.t.Fatalf("%s sets images of %s after it stopped", rel.Name, w.Unit)
	case status == nil || status.Phase != rel.Status.Phase:
		m.t.Fatalf("%s sets images of %s out of its phase", rel.Name, w.Unit)
	case status.Previous == nil:
		m.t.Fatalf("%s sets images of %s and does not know what they were", rel.Name, w.Unit)
	}
}

func (m *model) checkRestore(rel *v1alpha1.Release, w *Write) {
	m.t.Helper()
	b := rel.Status.Backout
	if b == nil || m.now.Before(b.StartedAt.Add(coverageKnown)) {
		m.t.Fatalf("%s restores %s before its Change covers nothing any more", rel.Name, w.Unit)
	}
	if fact, _ := Fact(rel); len(fact.Open) > 0 {
		m.t.Fatalf("%s restores %s while the gate lets it in", rel.Name, w.Unit)
	}
	for _, e := range m.log {
		if e.kind == "Restore" && e.unit == w.Unit && e.release == rel.Name && e.effect {
			m.t.Fatalf("%s restores %s twice", rel.Name, w.Unit)
		}
	}
}

func statusOf(rel *v1alpha1.Release, unit string) *v1alpha1.ReleaseUnitStatus {
	for i := range rel.Status.Units {
		if string(rel.Status.Units[i].Name) == unit {
			return &rel.Status.Units[i]
		}
	}
	return nil
}

// effects of a kind, in order: the units that it was done to.
func (m *model) effects(kind string) []string {
	var out []string
	for _, e := range m.log {
		if e.kind == kind && e.effect {
			out = append(out, e.unit)
		}
	}
	return out
}

func (m *model) told() string {
	var b strings.Builder
	for name, s := range m.releases {
		fmt.Fprintf(&b, "%s: %s, phase %q, failure %+v, backout %+v, next %q\n", name, s.rel.Status.State, s.rel.Status.Phase, s.rel.Status.Failure, s.rel.Status.Backout, s.rel.Status.NextStep)
		for _, c := range s.rel.Status.Conditions {
			fmt.Fprintf(&b, "  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
		}
		for _, u := range s.rel.Status.Units {
			fmt.Fprintf(&b, "  %s %s released %+v restored %+v %s\n", u.Name, u.State, u.Released, u.Restored, u.Message)
		}
		for _, p := range s.rel.Status.Phases {
			fmt.Fprintf(&b, "  phase %s %s %s\n", p.Name, p.State, p.Message)
		}
	}
	for _, e := range m.log {
		fmt.Fprintf(&b, "  %s %s %s %s %t\n", e.at.Format(time.TimeOnly), e.kind, e.release, e.unit, e.effect)
	}
	return b.String()
}
