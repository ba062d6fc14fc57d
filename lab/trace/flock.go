//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package trace

import (
	"os"
	"syscall"
)

// lock keeps other processes from appending to f until it is closed.
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
