package pace

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timer is a timerfd: the kernel's high-resolution timer as a file, which
// wakes its reader through the network poller and holds no thread meanwhile.
type timer struct {
	fd   int
	file *os.File
	buf  [8]byte
}

func (t *timer) open() error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("pace: timerfd: %w", err)
	}
	t.fd = fd
	t.file = os.NewFile(uintptr(fd), "timerfd")
	return nil
}

func (t *timer) sleep(d time.Duration) error {
	when := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(t.fd, 0, &when, nil); err != nil {
		return fmt.Errorf("pace: timerfd: %w", err)
	}
	_, err := t.file.Read(t.buf[:])
	return err
}

func (t *timer) interrupt() { t.file.SetReadDeadline(time.Unix(1, 0)) }
func (t *timer) close()     { t.file.Close() }
