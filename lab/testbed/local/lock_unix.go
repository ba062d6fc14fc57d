//go:build unix

package local

import (
	"fmt"
	"os"
	"syscall"
)

// locking tells whether a lock goes with its process.
const locking = true

func owner() string { return fmt.Sprintf("-%d", os.Getuid()) }

func mine(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(stat.Uid) == os.Getuid()
}

// lock locks a file until it is closed or the process ends.
func lock(f *os.File) bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }
