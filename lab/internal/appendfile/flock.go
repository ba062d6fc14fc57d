//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package appendfile

import (
	"errors"
	"os"
	"syscall"
)

// lock keeps other processes from appending to f until it is closed. File
// systems without locks do without.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	return nil
}
