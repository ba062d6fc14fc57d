//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

// Package filelock locks open files against other processes, and against others
// of this one that opened the file for themselves. File systems and systems
// without flock do without.
package filelock

import (
	"errors"
	"os"
	"syscall"
)

// Try locks f until it is closed; it fails where another has the lock.
func Try(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	return nil
}

// Wait locks f until it is closed, when no other has the lock.
func Wait(f *os.File) {
	for errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX), syscall.EINTR) {
	}
}
