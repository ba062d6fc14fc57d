//go:build unix

package ppo

import "syscall"

// processorSeconds is the processor time that this process has taken, which
// other processes disturb less than the clock.
func processorSeconds() float64 {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}
