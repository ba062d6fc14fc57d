package trace

import (
	"bytes"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// A disk that is full in the middle of a line: what was written of it is taken
// back, and the step can be appended again later.
func TestAppenderOnFullDisk(t *testing.T) {
	meta, rows := syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 3, 1)
	path := filepath.Join(t.TempDir(), "trace.csv")
	a, err := OpenAppender(path, meta)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Append(rows[0]); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)

	// A limit on the size of files stands for the full disk.
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	full := limit
	full.Cur = uint64(len(before)) + 50
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Skip("the size of files cannot be limited: ", err)
	}
	err = a.Append(rows[1])
	if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("appending to a full disk: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) || a.Rows() != 1 || a.Next() != 1 {
		t.Errorf("part of a row is left, or counted: %d rows, next step %d, file %q", a.Rows(), a.Next(), after[len(before):])
	}
	for _, row := range rows[1:] {
		if err := a.Append(row); err != nil {
			t.Fatal(err)
		}
	}
	var want bytes.Buffer
	table(t, meta, rows).WriteTo(&want)
	if got, _ := os.ReadFile(path); !bytes.Equal(got, want.Bytes()) {
		t.Error("after the disk had room again, the file differs from one written at once")
	}
}
