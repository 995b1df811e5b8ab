package replica

import (
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// Clock runs faster than the machine's, and can be set wrong: a step is seen by whoever asks for the time, and by no
// timer, as on a machine whose wall clock is corrected.
type Clock struct {
	clock.WithTicker
	began  time.Time
	from   time.Time
	speed  int64
	offset atomic.Int64
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
