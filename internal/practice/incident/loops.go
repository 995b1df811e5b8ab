package incident

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// The kubelet restarts a container at once, then after 10 s, 20 s, … and at most 5 min, and forgets that after a run
// of 10 min.
const (
	firstBackOff = 10 * time.Second
	maxBackOff   = 5 * time.Minute
	longRun      = 10 * time.Minute

	// minSettled is how long a container must run after a crash to be believed, however short it ran before.
	minSettled = 30 * time.Second

	reasonOOMKilled        = "OOMKilled"
	reasonCrashLoopBackOff = "CrashLoopBackOff"
)

// loop is one container over the pods of a workload.
type loop struct {
	key   LoopKey
	state Loop
	// instances that should run, and those of old templates in a rollout that goes well.
	instances []instance
	// revisions of the pods that exist: restarts of others are over with them.
	revisions map[string]bool
	// seen is how many of the pods that exist are remembered.
	seen int
}

type instance struct {
	pod       *Pod
	container *Container
}

// loops finds what restarts again and again. A crash loop runs, and may be ready, between its crashes; its container
// is mostly "terminated" and only for moments "waiting/CrashLoopBackOff"; and one that its liveness probe kills exits
// with 0. So restarts are counted: those seen, those a snapshot tells the time of, and those its counter implies.
func (l *look) loops() {
	loops := l.loopsToLookAt()
	if len(loops) == 0 {
		return
	}
	for _, pod := range l.Pods {
		if pod.ownedByJob() {
			continue
		}
		s := l.standingOf(pod)
		for i := range pod.Containers {
			c := &pod.Containers[i]
			loop := loops[LoopKey{c.Kind, c.Name}]
			if loop == nil {
				continue
			}
			if l.remember(&loop.state, pod, c) {
				loop.seen++
			}
			if s == counted {
				loop.instances = append(loop.instances, instance{pod, c})
				loop.revisions[pod.Revision] = true
			}
		}
	}
	for _, loop := range sortedLoops(loops) {
		loop.forget(l.Pods, l.now.Add(-l.settings.SlowLoopWindow))
		if !loop.state.forgotten() {
			if l.history.Loops == nil {
				l.history.Loops = map[LoopKey]Loop{}
			}
			l.history.Loops[loop.key] = loop.state
		}
		looping := l.looping(loop)
		// Both are one reason in an init container.
		if found := l.memory(loop, looping); !found || loop.key.Kind != InitContainer {
			l.crashes(loop, looping)
		}
	}
}

func sortedLoops(loops map[LoopKey]*loop) []*loop {
	out := make([]*loop, 0, len(loops))
	for _, loop := range loops {
		out = append(out, loop)
	}
	slices.SortFunc(out, func(a, b *loop) int {
		return cmp.Or(cmp.Compare(a.key.Kind, b.key.Kind), cmp.Compare(a.key.Name, b.key.Name))
	})
	return out
}

// loopsToLookAt are the containers that ever restarted; most workloads have none.
func (l *look) loopsToLookAt() map[LoopKey]*loop {
	var loops map[LoopKey]*loop
	start := func(key LoopKey, state Loop) {
		if loops == nil {
			loops = map[LoopKey]*loop{}
		}
		if loops[key] == nil && len(loops) < maxContainers {
			loops[key] = &loop{key: key, state: state, revisions: map[string]bool{}}
		}
	}
	for key, state := range l.old.Loops {
		start(key, state.clone())
	}
	for _, pod := range l.Pods {
		for i := range pod.Containers {
			c := &pod.Containers[i]
			if c.Restarts > 0 || c.Ended.Reason == reasonOOMKilled {
				start(LoopKey{c.Kind, c.Name}, Loop{})
			}
		}
	}
	return loops
}

func (s Loop) clone() Loop {
	out := Loop{Restarts: slices.Clone(s.Restarts), Kills: slices.Clone(s.Kills), KillCount: s.KillCount}
	for uid, seen := range s.Seen {
		out.see(uid, seen)
	}
	return out
}

func (s *Loop) see(uid types.UID, seen Seen) {
	if s.Seen == nil {
		s.Seen = map[types.UID]Seen{}
	}
	s.Seen[uid] = seen
}

// forget drops pods that do not exist any more and restarts before a time.
func (p *loop) forget(pods []*Pod, before time.Time) {
	if len(p.state.Seen) > p.seen {
		exists := make(map[types.UID]bool, len(pods))
		for _, pod := range pods {
			exists[pod.UID] = true
		}
		for uid := range p.state.Seen {
			if !exists[uid] {
				delete(p.state.Seen, uid)
			}
		}
	}
	old := func(r Restart) bool { return r.At < SecondOf(before) }
	p.state.Restarts = slices.DeleteFunc(p.state.Restarts, old)
	p.state.Kills = slices.DeleteFunc(p.state.Kills, old)
}

// remember counts the restarts and kills of a container that were not counted yet, and reports whether the pod is
// remembered.
func (l *look) remember(s *Loop, pod *Pod, c *Container) bool {
	seen, known := s.Seen[pod.UID]
	if !known && c.Restarts == 0 && c.Ended.Reason != reasonOOMKilled {
		return false
	}
	from := max(pod.StartedAt, pod.CreatedAt, l.old.LastLook)
	for _, at := range l.restartTimes(c, seen.Restarts, from) {
		s.Restarts = insertRestart(s.Restarts, Restart{at, pod.Revision}, maxRestarts)
	}
	for _, run := range []Run{c.Last, c.Ended} {
		if run.Over && run.Reason == reasonOOMKilled && run.Finished > seen.KilledAt {
			seen.KilledAt = run.Finished
			s.KillCount = addCount(s.KillCount, 1)
			s.Kills = insertRestart(s.Kills, Restart{l.bounded(run.Finished), pod.Revision}, maxKills)
		}
	}
	seen.Restarts = c.Restarts
	s.see(pod.UID, seen)
	return true
}

func (l *look) bounded(at Second) Second { return min(at, SecondOf(l.now)) }

// restartTimes are the times of the restarts after the first `seen` of a container. A snapshot tells those of the last
// two; the others are spread evenly since `from`.
func (l *look) restartTimes(c *Container, seen int32, from Second) []Second {
	fresh := int(c.Restarts) - int(seen)
	if fresh <= 0 {
		return nil
	}
	fresh = min(fresh, maxRestarts)
	times := make([]Second, fresh)
	last, before := c.lastRestarts()
	known := 0
	if last.Known() {
		times[fresh-1] = l.bounded(last)
		known = 1
		if before.Known() && fresh > 1 {
			times[fresh-2] = l.bounded(before)
			known = 2
		}
	}
	until := SecondOf(l.now)
	if known > 0 {
		until = times[fresh-known]
	}
	from = min(from, until)
	for i := range fresh - known {
		times[i] = from + (until-from)*Second(i+1)/Second(fresh-known+1)
	}
	return times
}

// lastRestarts are the times of the last restart and of the one before it, where the status tells: the end of the run
// before, or the begin of the run.
func (c *Container) lastRestarts() (last, before Second) {
	switch {
	case c.Running():
		last = c.RunningSince
	case c.Ended.Over:
		last = c.Ended.Started
	default:
		return c.Last.Started, 0
	}
	if c.Last.Finished.Known() {
		last = c.Last.Finished
	}
	if c.Restarts > 1 {
		before = c.Last.Started
	}
	return last, before
}

// backOff is how long the kubelet waits before it starts a container for another time after so many restarts.
func backOff(restarts int32) time.Duration {
	wait := firstBackOff
	for i := int32(1); i < restarts && wait < maxBackOff; i++ {
		wait *= 2
	}
	return min(wait, maxBackOff)
}

// looping reports whether it restarts in quick succession.
func (l *look) looping(p *loop) bool {
	quick := p.since(p.state.Restarts, l.now.Add(-l.settings.CrashLoopWindow))
	return p.some(l.loopsNow) || len(quick) >= int(l.settings.CrashLoopRestarts)
}

// crashes is the rule for crash loops, quick and slow. A slow one is over after minutes, too; that it began long before,
// with the first of its restarts, makes the next one a part of it.
func (l *look) crashes(p *loop, looping bool) {
	restarts := p.since(p.state.Restarts, l.now.Add(-l.settings.SlowLoopWindow))
	began, settle, hold := l.loopSince(restarts), p.settle(), p.hold()
	if !looping {
		spells, chain := l.spells(restarts)
		most := int(l.settings.SlowLoopRestarts)
		if spells < most && chain < most {
			return
		}
		if spells >= most {
			began = restarts[0].At.Time()
		}
		settle, hold = maxRecoveryHold, maxRecoveryHold
	}
	if p.settled(l, settle) {
		return
	}
	f := Finding{Since: began, Hold: hold, Slow: !looping}
	if len(restarts) > 0 {
		f.LastAt = restarts[len(restarts)-1].At.Time()
	}
	if f.Slow {
		f.Pause = lastPause(restarts)
	}
	l.addLoop(p, f, v1alpha1.SignalCrashLooping)
}

// lastPause is the time between the last restart and the one before; 0 where there are no two.
func lastPause(restarts []Restart) time.Duration {
	n := len(restarts)
	if n < 2 {
		return 0
	}
	return time.Duration(min(restarts[n-1].At-restarts[n-2].At, longestRun)) * time.Second
}

// spells counts restarts as a slow loop does: a quick loop, which was told as such, counts once. That the container
// crashes another time, hours after a quick loop, is a single restart. Chain is how many of the last restarts follow
// each other as closely as those of a quick loop may.
func (l *look) spells(restarts []Restart) (spells, chain int) {
	window, needed := Second(l.settings.CrashLoopWindow/time.Second), max(int(l.settings.CrashLoopRestarts), 1)
	quick := false
	for i := range restarts {
		if i == 0 || restarts[i].At-restarts[i-1].At > window {
			chain, quick = 0, false
		}
		chain++
		spells++
		told := chain >= needed && restarts[i].At-restarts[i-needed+1].At < window || chain >= int(l.settings.SlowLoopRestarts)
		switch {
		case quick:
			spells--
		case told:
			quick, spells = true, spells-chain+1
		}
	}
	if n := len(restarts); n > 0 && SecondOf(l.now)-restarts[n-1].At > window {
		chain = 0
	}
	return spells, chain
}

// loopsNow reports what one snapshot of a container tells: it is backed off, or it restarted often and has not yet
// run longer than its back-off.
func (l *look) loopsNow(c *Container) bool {
	if c.Waiting == reasonCrashLoopBackOff && c.Restarts >= max(l.settings.CrashLoopRestarts-1, 2) {
		return true
	}
	if c.Restarts < max(l.settings.CrashLoopRestarts, 3) || c.LatestRun().Length() >= longRun || !c.LatestRun().Over {
		return false
	}
	if !c.Running() {
		return !c.finished()
	}
	end := l.notFuture(c.RunningSince.Time()).Add(c.backOffSeen())
	l.later(end)
	return end.After(l.now)
}

// finished reports whether the container did what it should and need not run.
func (c *Container) finished() bool {
	return c.Ended.Over && c.Ended.ExitCode == 0 && c.Waiting == "" && c.Kind == InitContainer
}

func (c *Container) backOffSeen() time.Duration {
	seen := backOff(c.Restarts)
	if c.Last.Finished.Known() && c.RunningSince > c.Last.Finished {
		gap := time.Duration(min(c.RunningSince-c.Last.Finished, longestRun)) * time.Second
		seen = max(seen, min(gap, maxBackOff))
	}
	return seen
}

// since are the restarts after a time of pods whose revision still exists.
func (p *loop) since(list []Restart, after time.Time) []Restart {
	i := slices.IndexFunc(list, func(r Restart) bool { return r.At > SecondOf(after) })
	if i < 0 {
		return nil
	}
	var out []Restart
	for _, r := range list[i:] {
		if p.revisions[r.Revision] {
			out = append(out, r)
		}
	}
	return out
}

// settle is how long the container must run without restart until its loop is over: half as long again as it ran
// before.
func (p *loop) settle() time.Duration {
	longest := time.Duration(0)
	for _, i := range p.instances {
		for _, run := range []Run{i.container.Ended, i.container.Last} {
			if run.Over && run.Length() < longRun {
				longest = max(longest, run.Length())
			}
		}
	}
	return min(max(longest*3/2, minSettled), longRun)
}

// settled reports whether what restarted has run for long enough. Where the pods that restarted are gone, those in
// their place must have.
func (p *loop) settled(l *look, settle time.Duration) bool {
	if len(p.instances) == 0 {
		return true
	}
	restarted := slices.ContainsFunc(p.instances, instance.restarted)
	settled := true
	for _, i := range p.instances {
		switch {
		case restarted && !i.restarted(), i.container.finished():
		case !i.container.Running():
			settled = false
		case !l.over(l.notFuture(i.container.RunningSince.Time()), settle):
			settled = false
		}
	}
	return settled
}

// some reports whether it is so of an instance. It asks all of them, since asking may plan the next look.
func (p *loop) some(is func(*Container) bool) bool {
	found := false
	for _, i := range p.instances {
		found = is(i.container) || found
	}
	return found
}

func (i instance) restarted() bool {
	return i.container.Restarts > 0 || i.container.Ended.Reason == reasonOOMKilled
}

// hold is how long a workload must be well after this loop: longer than its back-off and than it ran before.
func (p *loop) hold() time.Duration {
	hold := p.settle()
	for _, i := range p.instances {
		hold = max(hold, backOff(i.container.Restarts)+minSettled)
	}
	return min(hold, maxRecoveryHold)
}

// loopSince is when a quick loop began: the first of the restarts that follow each other closely.
func (l *look) loopSince(restarts []Restart) time.Time {
	if len(restarts) == 0 {
		return l.now
	}
	first := len(restarts) - 1
	for first > 0 && restarts[first].At-restarts[first-1].At <= Second((longRun+maxBackOff)/time.Second) {
		first--
	}
	return restarts[first].At.Time()
}

// memory is the rule for containers that are killed for lack of memory. It reports whether it found them.
//
// One kill is enough where the container loops: the kills before it left no trace but its restart count.
func (l *look) memory(p *loop, looping bool) bool {
	kills := p.since(p.state.Kills, l.now.Add(-l.settings.SlowLoopWindow))
	if len(kills) == 0 {
		return false
	}
	down := p.some(func(c *Container) bool {
		run := c.LatestRun()
		return !c.Running() && run.Reason == reasonOOMKilled && l.over(l.notFuture(run.Finished.Time()), l.settings.OOM)
	})
	killed := func(i instance) bool { return i.container.LatestRun().Reason == reasonOOMKilled }
	loops := looping && slices.ContainsFunc(p.instances, killed)
	n, settle := len(kills), p.settle()
	f := Finding{Since: kills[0].At.Time(), LastAt: kills[n-1].At.Time(), Count: p.state.KillCount, Hold: p.hold()}
	if pause := lastPause(kills); !looping && pause > longRun {
		f.Slow, f.Pause = true, pause
		settle, f.Hold = maxRecoveryHold, maxRecoveryHold
	}
	if n < 2 && !down && !loops || p.settled(l, settle) {
		return false
	}
	l.addLoop(p, f, v1alpha1.SignalOOMKilled)
	return true
}

// addLoop records a loop with the pods that are in it and the exit code and message of the last run.
func (l *look) addLoop(p *loop, f Finding, reason v1alpha1.SignalReason) {
	f.Reason, f.Container = reason, p.key.Name
	if p.key.Kind == InitContainer {
		f.Reason = v1alpha1.SignalInitFailed
	}
	counted := f.Count > 0
	restarted := slices.ContainsFunc(p.instances, instance.restarted)
	f.CurrentOnly, f.OldOnly = true, true
	var latest Run
	for _, i := range p.instances {
		if restarted && !i.restarted() {
			continue
		}
		f.AffectedPods++
		f.Pods = firstNames(f.Pods, i.pod.Name)
		f.OldestPod = firstKnown(f.OldestPod, i.pod.CreatedAt)
		f.CurrentOnly, f.OldOnly = f.CurrentOnly && l.rollout.isCurrent(i.pod), f.OldOnly && l.rollout.isOld(i.pod)
		if !counted {
			f.Count = addCount(f.Count, i.container.Restarts)
		}
		if run := i.container.LatestRun(); run.Over && newerRun(run, latest) {
			latest = run
		}
	}
	if ended := latest.Finished.Time(); ended.After(f.LastAt) {
		f.LastAt = ended
	}
	if latest.Over {
		code := latest.ExitCode
		f.ExitCode, f.Message = &code, latest.describe()
	}
	l.add(f, nil)
}

func newerRun(a, b Run) bool {
	if !b.Over || a.Finished != b.Finished {
		return !b.Over || a.Finished > b.Finished
	}
	return cmp.Or(cmp.Compare(a.Started, b.Started), cmp.Compare(a.ExitCode, b.ExitCode),
		cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message)) > 0
}

// describe says how a run ended.
func (r Run) describe() string {
	var b strings.Builder
	switch {
	case r.Reason == "" || r.Reason == "Error" || r.Reason == "Completed":
		fmt.Fprintf(&b, "exited with code %d", r.ExitCode)
	default:
		fmt.Fprintf(&b, "ended with %s, exit code %d", r.Reason, r.ExitCode)
	}
	if r.Started.Known() && r.Finished >= r.Started {
		fmt.Fprintf(&b, " after %s", r.Length())
	}
	if text := strings.TrimSpace(r.Message); text != "" {
		b.WriteString(": " + text)
	}
	return b.String()
}

// addCount adds counters of others without overflow.
func addCount(a, b int32) int32 {
	const most = 1_000_000_000
	return int32(min(int64(a)+int64(b), most)) //nolint:gosec // bounded in the same line
}
