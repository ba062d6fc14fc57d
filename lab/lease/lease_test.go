package lease_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/lease"
)

// One holds it, who may not wait is told who, who may takes over when it ends.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "a.lock")
	ctx := context.Background()
	first := lease.File{Path: path, Owner: "the first"}
	told := make(chan string, 10)
	second := lease.File{Path: path, Wait: true, Waiting: func(owner string) { told <- owner }}
	over, order := make(chan error), make(chan string, 2)
	err := first.Hold(ctx, func(context.Context) error {
		var held lease.HeldError
		if err := (lease.File{Path: path}).Hold(ctx, func(context.Context) error { t.Error("two owners"); return nil }); !errors.As(err, &held) || held.Owner != "the first" {
			t.Errorf("error %v, want that the first holds it", err)
		}
		go func() {
			over <- second.Hold(ctx, func(context.Context) error { order <- "second"; return nil })
		}()
		if owner := <-told; owner != "the first" {
			t.Errorf("it waits for %q", owner)
		}
		order <- "first"
		return errors.New("of the work")
	})
	if err == nil || err.Error() != "of the work" {
		t.Errorf("error %v, want that of the work", err)
	}
	if err := <-over; err != nil || <-order != "first" || <-order != "second" {
		t.Errorf("the second: %v", err)
	}
}

func TestFileInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.lock")
	ctx, cancel := context.WithCancel(context.Background())
	err := lease.File{Path: path}.Hold(ctx, func(context.Context) error {
		return lease.File{Path: path, Wait: true, Waiting: func(string) { cancel() }}.Hold(ctx, func(context.Context) error { return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// The lease of a process that is killed is free, whatever it left in the file.
func TestFileKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.lock")
	cmd := exec.Command(os.Args[0], "-test.run", "^TestHolder$")
	cmd.Env = append(os.Environ(), "HOLD="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatal(line, err)
	}
	var held lease.HeldError
	if err := (lease.File{Path: path}).Hold(context.Background(), func(context.Context) error { return nil }); !errors.As(err, &held) {
		t.Errorf("error %v, want that the process holds it", err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	taken := false
	if err := (lease.File{Path: path, Wait: true}).Hold(ctx, func(context.Context) error { taken = true; return nil }); err != nil || !taken {
		t.Errorf("not taken over: %v", err)
	}
}

// TestHolder is the process of TestFileKilled.
func TestHolder(t *testing.T) {
	path := os.Getenv("HOLD")
	if path == "" {
		t.Skip("of TestFileKilled")
	}
	lease.File{Path: path}.Hold(context.Background(), func(ctx context.Context) error {
		os.Stdout.WriteString("held\n")
		time.Sleep(time.Minute)
		return nil
	})
}
