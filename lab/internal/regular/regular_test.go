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
	if f, err := Create(filepath.Join(dir, "new folder", "file")); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	f, err := Open(filepath.Join(dir, "new"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// A URL is no path, whether it is read, written or a folder; what follows its
// scheme is not shown.
func TestURL(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, url := range []string{"https://pat:s3cret@host/x.csv", "s3://key:s3cret@bucket/x", "S3://s3cret", "file://s3cret"} {
		_, read := ReadFile(url, Any)
		_, created := Create(url)
		for _, err := range []error{Path(url), Free(url), Folder(url), read, created} {
			if err == nil || !strings.Contains(err.Error(), "://... is a URL; accepted: a path on this machine") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
	for _, path := range []string{"a:b", "./s3://x", "c://x", "s3:/x", ""} {
		if err := Path(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Folder(file); err == nil || !strings.Contains(err.Error(), "file is no folder; accepted: a folder") {
		t.Errorf("a file: %v", err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "none", "yet")} {
		if err := Folder(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
