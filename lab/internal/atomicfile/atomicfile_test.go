package atomicfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A folder is made; what is no regular file stays what it is, as /dev/null does
// for who may write there.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "file")
	for _, text := range []string{"one", "two"} {
		if err := Write(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != text {
			t.Errorf("%q, want %q", b, text)
		}
	}
	link := filepath.Join(dir, "null")
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Skip(err)
	}
	if err := Write(link, []byte("x")); err == nil || !strings.Contains(err.Error(), "is a device; accepted: a regular file") {
		t.Error(err)
	}
	if to, err := os.Readlink(link); err != nil || to != os.DevNull {
		t.Errorf("the link is %q now (%v)", to, err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 2 {
		t.Errorf("left behind: %v", list)
	}
}
