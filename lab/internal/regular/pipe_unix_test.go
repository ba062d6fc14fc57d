//go:build unix

package regular

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A pipe without another end is refused at once, for reading and for writing.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Skip(err)
	}
	done := make(chan error, 2)
	go func() {
		_, _, err := Read(path)
		done <- err
		_, err = Open(path, os.O_RDWR|os.O_CREATE, 0o644)
		done <- err
	}()
	for range 2 {
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "is a pipe; accepted: a regular file") {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("still waiting for the pipe")
		}
	}
}
