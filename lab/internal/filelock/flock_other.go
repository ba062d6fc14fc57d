//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package filelock

import "os"

// Try locks nothing here.
func Try(*os.File) error { return nil }

// Wait locks nothing here.
func Wait(*os.File) {}
