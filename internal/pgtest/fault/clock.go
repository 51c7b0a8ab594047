package fault

import (
	"slices"
	"sync"
	"time"
)

// Clock is set by hand, forwards and backwards. Its sleepers wake when the time that they wait for has come.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	sleeps []sleep
}

type sleep struct {
	until time.Time
	fires chan time.Time
}

// NewClock returns a clock that stands still at that time.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now is the time that was set last.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// After is like time.After; stop frees it.
func (c *Clock) After(d time.Duration) (fires <-chan time.Time, stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wakes := make(chan time.Time, 1)
	if d <= 0 {
		wakes <- c.now
		return wakes, func() {}
	}
	c.sleeps = append(c.sleeps, sleep{c.now.Add(d), wakes})
	return wakes, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sleeps = slices.DeleteFunc(c.sleeps, func(s sleep) bool { return s.fires == wakes })
	}
}

// Set sets the clock and wakes those whose time has come.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	c.sleeps = slices.DeleteFunc(c.sleeps, func(s sleep) bool {
		if s.until.After(now) {
			return false
		}
		s.fires <- now
		return true
	})
}
