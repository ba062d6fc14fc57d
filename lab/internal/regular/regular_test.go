package regular

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	if f, size, err := Read(file); err != nil || size != 3 {
		t.Errorf("size %d, %v", size, err)
	} else {
		f.Close()
	}
	for _, c := range []struct{ path, words string }{
		{dir, "is a folder; accepted: a regular file"},
		{filepath.Join(dir, "none"), "none"},
		{os.DevNull, "is a device; accepted: a regular file"},
	} {
		if _, _, err := Read(c.path); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", c.path, err, c.words)
		}
	}
	f, err := Open(filepath.Join(dir, "new"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
