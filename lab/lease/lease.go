// Package lease gives a testbed one owner at a time: who collects a trace,
// evaluates or runs a policy on it holds its lease meanwhile. Two who change one
// mesh undo each other's work, and neither measures anything.
//
// A File is for testbeds of one machine; package lease/kube has the Lease of a
// cluster.
package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/internal/filelock"
	"github.com/meshbench/meshbench/lab/internal/regular"
)

// Lease is the right to drive one testbed.
type Lease interface {
	// Hold calls do while the lease is held, and gives it back when do has
	// returned, whose error it returns. The context of do ends when ctx does and
	// when the lease is lost, which is ErrLost. Who may not wait gets a HeldError
	// at once.
	Hold(ctx context.Context, do func(ctx context.Context) error) error
}

// ErrLost is the error of a lease that was lost while it was held.
var ErrLost = errors.New("lease: it was lost to another, or could not be renewed in time")

// HeldError says who holds a lease.
type HeldError struct{ What, Owner string }

func (e HeldError) Error() string {
	return fmt.Sprintf("lease: %s is held by %s; wait until that ends", e.What, e.Owner)
}

// None is for a testbed that nobody else can reach.
type None struct{}

// Hold calls do.
func (None) Hold(ctx context.Context, do func(context.Context) error) error { return do(ctx) }

// File is a lease on this machine: a file that is locked while the lease is held.
// It ends with the process that holds it, however that ends.
type File struct {
	Path string // made if need be, and left where it is
	// Owner is what others are told. Default "process N on HOST".
	Owner string
	// Wait says to wait for the lease rather than to give up.
	Wait bool
	// Waiting, if set, is called with the owner when the lease is waited for, and
	// whenever that changes.
	Waiting func(owner string)
}

// poll is the time between two looks at a lease that another has.
const poll = 100 * time.Millisecond

// Hold locks the file.
func (l File) Hold(ctx context.Context, do func(context.Context) error) error {
	if err := regular.Free(l.Path); err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(l.Path), 0o755); err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	f, err := regular.Open(l.Path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	defer f.Close()
	for told := "\x00"; filelock.Try(f) != nil; {
		text, _ := os.ReadFile(l.Path)
		owner := strings.TrimSpace(string(text))
		if owner == "" { // it has locked and not yet written
			owner = "another process"
		}
		if !l.Wait {
			return HeldError{l.Path, owner}
		}
		if owner != told && l.Waiting != nil {
			l.Waiting(owner)
		}
		told = owner
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
	if l.Owner == "" {
		l.Owner = Process()
	}
	if err := rewrite(f, l.Owner+"\n"); err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	defer rewrite(f, "") // what is left of a process that was killed is overwritten by the next
	return do(ctx)
}

func rewrite(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := f.WriteString(text)
	return err
}

// Process names this process for others.
func Process() string {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	return fmt.Sprintf("process %d on %s", os.Getpid(), host)
}
