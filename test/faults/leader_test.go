package faults_test

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

var errKilled = errors.New("the replica was killed at this write")

// TestLeaderKilled kills the leader again and again while faults come and go: at once, or at one of its next writes,
// of which it never learns whether it was done.
func TestLeaderKilled(t *testing.T) {
	w := newWorld(t, size(6, 10)).governed().promised()
	f := newFleet(t, w, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	kills := size(3, 50)
	killed := make(chan int, 1)
	go func() { killed <- f.killLeaders(ctx, w, kills) }()
	rounds := 0
	for done := false; !done; rounds++ {
		w.round(ctx)
		select {
		case n := <-killed:
			if n != kills {
				t.Errorf("%d leaders were killed, want %d", n, kills)
			}
			done = true
		default:
		}
	}
	w.round(ctx)
	w.whileNobodyLeads(ctx, f)
	w.stays(ctx)
	t.Logf("%d leaders killed in %d rounds, %d versions of Incidents", kills, rounds, w.history.count())
}

// killLeaders returns how many it killed.
func (f *fleet) killLeaders(ctx context.Context, w *world, count int) int {
	random := w.stream(1)
	for n := range count {
		var s *slot
		for s == nil {
			if s = f.leader(); s == nil && !pause(ctx, 20*time.Millisecond) {
				return n
			}
		}
		victim := s.get()
		if random.IntN(3) > 0 {
			s.fuse.light(1+random.IntN(12), random.IntN(2) == 0)
		}
		const longest = 3 * time.Second
		select {
		case <-victim.Done():
		case <-time.After(time.Duration(random.Int64N(int64(longest)))):
		case <-ctx.Done():
			return n
		}
		s.fuse.light(0, false)
		if err := victim.Kill(); err != nil {
			f.t.Error(err)
			return n
		}
	}
	return count
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// TestTwoLeaders lets two replicas lead at once, as after a pause of one of them: each sees the other's Incidents late.
func TestTwoLeaders(t *testing.T) {
	if !long() {
		t.Log("in `make faults`: TestStorms has two leaders as well")
		return
	}
	w := newWorld(t, size(6, 10)).governed().promised()
	f := newFleet(t, w, 2, func(c *replica.Config) { c.LeaderElect = false })
	ctx := t.Context()
	w.g.Eventually(f.working).Should(Equal(2), f.describe)
	for range 10 {
		w.round(ctx)
	}
	w.stays(ctx)
}
