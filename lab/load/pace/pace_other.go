//go:build !linux

package pace

import (
	"runtime"
	"time"
)

// timer sleeps for most of the time and spins for the last of it.
type timer struct{ done chan struct{} }

const spin = time.Millisecond

func (t *timer) open() error {
	t.done = make(chan struct{})
	return nil
}

func (t *timer) sleep(d time.Duration) error {
	when := time.Now().Add(d)
	if d > spin {
		select {
		case <-time.After(d - spin):
		case <-t.done:
			return nil
		}
	}
	for time.Now().Before(when) {
		runtime.Gosched()
	}
	return nil
}

func (t *timer) interrupt() { close(t.done) }
func (t *timer) close()     {}
