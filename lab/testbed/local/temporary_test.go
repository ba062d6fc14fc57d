package local

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Folders of processes that have gone are removed by the next, those in use are
// not, and at the end nothing is left.
func TestTemporary(t *testing.T) {
	root := t.TempDir()
	t.Setenv("TMPDIR", root)
	first, err := newTemporary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(first.dir, "node1.sqlite")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	second, err := newTemporary()
	if err != nil || second.dir == first.dir {
		t.Fatalf("%v, %v", second, err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("the second removed the first's file")
	}
	first.lock.Close() // as the end of its process does
	third, err := newTemporary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("what was left is still there")
	}
	for _, x := range []*temporary{second, third} {
		if err := x.remove(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("%s was left", left[0].Name())
	}
}

// Many that begin and end at the same moment never share a folder.
func TestTemporaryTogether(t *testing.T) {
	root := t.TempDir()
	t.Setenv("TMPDIR", root)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 30 {
				x, err := newTemporary()
				if err != nil {
					t.Error(err)
					return
				}
				path := filepath.Join(x.dir, "mine")
				f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					t.Error(err)
					return
				}
				f.Close()
				if err := os.Remove(path); err != nil {
					t.Error(err)
				}
				if err := x.remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("%s was left", left[0].Name())
	}
}

func TestTemporaryErrors(t *testing.T) {
	root := t.TempDir()
	for _, c := range []struct {
		name string
		make func(parent string) error
		want string
	}{
		{"another's", func(p string) error { return os.Mkdir(p, 0o777) }, "is not a folder that only its owner"},
		{"a link", func(p string) error { return os.Symlink(root, p) }, "is not a folder that only its owner"},
	} {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		parent := filepath.Join(dir, "meshbench-local"+owner())
		if err := c.make(parent); err != nil {
			t.Skip(err)
		}
		os.Chmod(parent, 0o777) // whatever the mask is
		if _, err := newTemporary(); err == nil || !strings.Contains(err.Error(), parent) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
	t.Setenv("TMPDIR", "/proc/none")
	if _, err := newTemporary(); err == nil || !strings.Contains(err.Error(), "/proc/none/meshbench-local") {
		t.Errorf("unwritable: error %v", err)
	}
}
