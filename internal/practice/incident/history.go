package incident

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// History is what must be remembered of a workload between two looks. It is a value: Observe returns a new one and
// does not alter the one it was given. The zero value is that of a workload never looked at.
type History struct {
	// Began is the first look, LastLook the one before.
	Began, LastLook Second
	// Loops are the restarts of containers.
	Loops map[LoopKey]Loop
	// Failing is since when states are seen that carry no time of their own.
	Failing map[FailingKey]Second
	// Progress of a rollout.
	Progress Progress
	// NoReplicas, Missing, WellSince, GoneSince and Unobserved are since when they are seen.
	NoReplicas, Missing, WellSince, GoneSince, Unobserved Second
	// SuspendedAt is when a CronJob was last seen suspended.
	SuspendedAt Second
	// Schedule of a CronJob, with its zone, and when it was seen to become another.
	Schedule   string
	ScheduleAt Second
	// Templates are the hashes of those that were seen, in the order in which they first were.
	Templates []string
	// Times of statuses that rules wait from, and from when they wait by our clock: clocks differ.
	Times map[TimeKey]Second
}

// LoopKey names a container of a workload.
type LoopKey struct {
	Kind ContainerKind
	Name string
}

// FailingKey names a state of a container.
type FailingKey struct {
	Pod       types.UID
	Container string
	State     string
}

// Progress is what a rollout had reached when it was last seen to move.
type Progress struct {
	Template                string
	Desired, Updated, Ready int32
	At                      Second
}

// TimeKey is a time of a status; of a deletion, it is the end of a grace period, which may well lie in the future.
type TimeKey struct {
	At   Second
	Ends bool
}

// Loop is the restarts of one container of a workload, over all its pods.
type Loop struct {
	// Seen of each pod that exists.
	Seen map[types.UID]Seen
	// Restarts and Kills (for lack of memory), the oldest first.
	Restarts, Kills []Restart
	// KillCount is how many kills were seen in all.
	KillCount int32
}

// Seen is what was last seen of a container in a pod.
type Seen struct {
	Restarts int32
	KilledAt Second
}

// Restart of a container at a time, in a pod of a revision.
type Restart struct {
	At       Second
	Revision string
}

const (
	maxRestarts = 128
	maxKills    = 32
	maxTimes    = 512

	maxTemplates = 8
)

// setBack is the history for a clock that was set back: all that is remembered lies as far in the past as it did. What
// was read from statuses for comparison with statuses stays as it is.
func (h History) setBack(now Second) History {
	by := h.LastLook - now
	if by <= 0 {
		return h
	}
	back := func(s Second) Second {
		if !s.Known() {
			return s
		}
		return max(s-by, 1)
	}
	loops := make(map[LoopKey]Loop, len(h.Loops))
	for key, loop := range h.Loops {
		loop = loop.clone()
		for _, list := range [][]Restart{loop.Restarts, loop.Kills} {
			for i := range list {
				list[i].At = back(list[i].At)
			}
		}
		loops[key] = loop
	}
	failing := make(map[FailingKey]Second, len(h.Failing))
	for key, since := range h.Failing {
		failing[key] = back(since)
	}
	times := make(map[TimeKey]Second, len(h.Times))
	for at, seen := range h.Times {
		times[at] = back(seen)
	}
	h.Loops, h.Failing, h.Times = loops, failing, times
	h.Progress.At = back(h.Progress.At)
	for _, s := range []*Second{&h.Began, &h.LastLook, &h.NoReplicas, &h.Missing, &h.WellSince, &h.GoneSince, &h.Unobserved, &h.SuspendedAt, &h.ScheduleAt} {
		*s = back(*s)
	}
	return h
}

// forgotten reports whether nothing is remembered that a new look would not find again.
func (s *Loop) forgotten() bool { return len(s.Seen) == 0 && len(s.Restarts) == 0 && len(s.Kills) == 0 }

// since is when a state without a time of its own was first seen; where the workload was never looked at before,
// atLeast tells.
func (l *look) firstSeen(key FailingKey, atLeast time.Time) time.Time {
	seen, known := l.old.Failing[key]
	switch {
	case known:
	case l.old.Began.Known():
		seen = SecondOf(l.now)
	default:
		seen = SecondOf(l.notFuture(atLeast))
	}
	if l.history.Failing == nil {
		l.history.Failing = map[FailingKey]Second{}
	}
	l.history.Failing[key] = seen
	return seen.Time()
}

// keptSince is the old time while a state lasts, now when it is new.
func (l *look) keptSince(old Second) Second {
	if old.Known() {
		return old
	}
	return SecondOf(l.now)
}

// template remembers which templates the workload had.
func (l *look) template() {
	l.history.Templates = l.old.Templates
	if l.Workload == nil || l.Workload.Template.Hash == "" {
		return
	}
	hash := l.Workload.Template.Hash
	if slices.Contains(l.old.Templates, hash) {
		return
	}
	list := append(slices.Clone(l.old.Templates), hash)
	l.history.Templates = list[max(len(list)-maxTemplates, 0):]
}

// templateSince is since when at least the present template was in use: since the first of the pods was made that are
// well by it. Returned: another was seen since it was first.
func (l *look) templateSince() (since Second, returned bool) {
	for _, pod := range l.Pods {
		if l.standingOf(pod) == counted {
			since = firstKnown(since, pod.CreatedAt)
		}
	}
	list := l.history.Templates
	return since, len(list) > 0 && list[len(list)-1] != l.Workload.Template.Hash
}

// seen is a time that a status tells, as a grace time counts from it: not in the future, and, where it was not there at
// the last look, not before that. Where a clock is ahead or behind, ours or another's, it is when we first saw it.
func (l *look) seen(t time.Time) time.Time {
	return l.counts(TimeKey{At: SecondOf(t)})
}

// counts remembers from when a grace time counts that begins with a time of a status.
func (l *look) counts(key TimeKey) time.Time {
	now := SecondOf(l.now)
	from, known := l.old.Times[key]
	switch {
	case known && (key.Ends || from <= now):
	case key.Ends && key.At > now:
		from = key.At
	case !key.At.Known():
		from = now
	default:
		from = min(max(key.At, l.old.LastLook), now)
	}
	if l.history.Times == nil {
		l.history.Times = map[TimeKey]Second{}
	}
	if _, kept := l.history.Times[key]; kept || len(l.history.Times) < maxTimes {
		l.history.Times[key] = from
	}
	return from.Time()
}

func insertRestart(list []Restart, r Restart, limit int) []Restart {
	i, _ := slices.BinarySearchFunc(list, r, func(a, b Restart) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Revision, b.Revision))
	})
	list = slices.Insert(list, i, r)
	if len(list) > limit {
		list = list[len(list)-limit:]
	}
	return list
}
