// Package pace waits for moments more precisely than the runtime's timers,
// which may be a millisecond late: at 2,000 requests/s, or with a time scale of
// 10, that is as long as what is measured.
package pace

import (
	"context"
	"time"
)

// Timer waits for one moment after the other. It is for one goroutine.
type Timer struct {
	ctx  context.Context
	stop func() bool
	timer
}

// New returns a timer that gives up when ctx ends.
func New(ctx context.Context) (*Timer, error) {
	t := &Timer{ctx: ctx}
	if err := t.open(); err != nil {
		return nil, err
	}
	t.stop = context.AfterFunc(ctx, t.interrupt)
	return t, nil
}

// Until returns at the moment when, at once when it has passed, or with the
// context's error.
func (t *Timer) Until(when time.Time) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	d := time.Until(when)
	if d <= 0 {
		return nil
	}
	err := t.sleep(d)
	if e := t.ctx.Err(); e != nil {
		return e
	}
	return err
}

// Close frees the timer.
func (t *Timer) Close() {
	t.stop()
	t.close()
}
