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
	Template       string
	Updated, Ready int32
	At             Second
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
)

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
