package appendfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
)

// lines are whole where they end.
func lines(r io.Reader) (int64, error) {
	b, err := io.ReadAll(r)
	return int64(strings.LastIndexByte(string(b), '\n') + 1), err
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "file")
	f, err := Open(path, lines)
	if err != nil {
		t.Fatal(err)
	}
	if f.Size() != 0 || f.Dropped() != "" {
		t.Errorf("a new file of %d bytes, dropped %q", f.Size(), f.Dropped())
	}
	if err := f.Append([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, lines); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	if err := errors.Join(f.Sync(), f.Append([]byte("tw")), f.Close()); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(path, lines); err != nil {
		t.Fatal(err)
	}
	if f.Dropped() != "tw" || f.Size() != 4 {
		t.Errorf("dropped %q, size %d", f.Dropped(), f.Size())
	}
	if err := errors.Join(f.Append([]byte("two\n")), f.Close()); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "one\ntwo\n" {
		t.Errorf("the file holds %q", b)
	}
	if err := f.Append(nil); err == nil {
		t.Error("appended to a closed file")
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("one\ntw"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	if _, err := Open(path, func(io.Reader) (int64, error) { return 0, refused }); err != refused {
		t.Error(err)
	}
	if _, err := Open(path, func(io.Reader) (int64, error) { return 7, nil }); err == nil || !strings.Contains(err.Error(), "7 bytes are valid of 6") {
		t.Error(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "one\ntw" {
		t.Errorf("the file holds %q", b)
	}
	if _, err := Open(dir, lines); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Error(err)
	}
}

// A file of CSV that was cut anywhere, within a quoted cell of several lines
// too, goes on after its last whole record.
func TestTornCSV(t *testing.T) {
	valid := func(r io.Reader) (int64, error) {
		in := csvfile.NewReader(r)
		in.Whole = true
		for {
			if _, err := in.Read(); err == io.EOF {
				return in.Offset(), nil
			} else if err != nil {
				return 0, err
			}
		}
	}
	const records = "a,b\n1,2\n"
	const last = "3,\"x\n\"\"y\"\", z\n\"\n"
	path := filepath.Join(t.TempDir(), "file")
	for size := range len(last) {
		if err := os.WriteFile(path, []byte(records+last[:size]), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path, valid)
		if err != nil {
			t.Fatalf("cut at %d: %v", size, err)
		}
		if f.Dropped() != last[:size] {
			t.Errorf("cut at %d: dropped %q", size, f.Dropped())
		}
		if err := errors.Join(f.Append([]byte(last)), f.Close()); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != records+last {
			t.Errorf("cut at %d: the file holds %q", size, b)
		}
	}
}
