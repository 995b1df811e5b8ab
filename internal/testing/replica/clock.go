package replica

import (
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// Clock runs faster than the machine's, and can be set wrong: a step is seen by whoever asks for the time, and by no
// timer, as on a machine whose wall clock is corrected. It can also leap over time in which nothing happens.
type Clock struct {
	clock.WithTicker
	began  time.Time
	from   time.Time
	speed  int64
	offset atomic.Int64

	mu     sync.Mutex
	leaps  []leap
	leaped []func()
}

// leap is a time of the machine's from which on this clock is later by so much.
type leap struct {
	at time.Time
	by time.Duration
}

var _ clock.WithTicker = &Clock{}

// NewClock makes one that runs speed times as fast as machine's, from so long ago: what the API server stamps with its
// own clock must not seem to lie hours back when this one has overtaken it.
func NewClock(machine clock.WithTicker, speed int, ago time.Duration) *Clock {
	began := machine.Now()
	return &Clock{WithTicker: machine, began: began, from: began.Add(-ago).Truncate(time.Second).UTC(), speed: int64(speed)}
}

// Now implements clock.PassiveClock.
func (c *Clock) Now() time.Time {
	elapsed := c.WithTicker.Since(c.began)
	return c.from.Add(elapsed*time.Duration(c.speed) + time.Duration(c.offset.Load()))
}

// Since implements clock.PassiveClock.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Step sets the clock forward or back.
func (c *Clock) Step(by time.Duration) { c.offset.Add(int64(by)) }

// Leap lets time pass in which nothing happens but what this clock's queues wait for: what is due meanwhile is done when
// it is over. It takes until the machine's next second begins, so that At knows what was stamped before.
func (c *Clock) Leap(by time.Duration) {
	machine := c.WithTicker.Now()
	boundary := machine.Truncate(time.Second).Add(time.Second)
	<-c.WithTicker.After(boundary.Sub(machine))
	c.mu.Lock()
	c.leaps = append(c.leaps, leap{at: boundary, by: by})
	c.offset.Add(int64(by))
	wake := c.leaped
	c.mu.Unlock()
	for _, f := range wake {
		f()
	}
}

// At is what this clock showed when the machine's showed a time, steps left aside.
func (c *Clock) At(machine time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.from.Add(machine.Sub(c.began) * time.Duration(c.speed))
	for _, l := range c.leaps {
		if !machine.Before(l.at) {
			at = at.Add(l.by)
		}
	}
	return at
}

// onLeap calls a function after each leap.
func (c *Clock) onLeap(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaped = append(c.leaped, f)
}

// Real is how long the machine takes for so long on this clock.
func (c *Clock) Real(d time.Duration) time.Duration { return d / time.Duration(c.speed) }

// NewTimer implements clock.Clock.
func (c *Clock) NewTimer(d time.Duration) clock.Timer { return c.WithTicker.NewTimer(c.Real(d)) }

// NewTicker implements clock.WithTicker.
func (c *Clock) NewTicker(d time.Duration) clock.Ticker { return c.WithTicker.NewTicker(c.Real(d)) }

// After implements clock.Clock.
func (c *Clock) After(d time.Duration) <-chan time.Time { return c.WithTicker.After(c.Real(d)) }

// Sleep implements clock.Clock.
func (c *Clock) Sleep(d time.Duration) { c.WithTicker.Sleep(c.Real(d)) }
