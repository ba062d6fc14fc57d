package anr

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file of runs is refused in one short line, or its whole runs end where the
// file is cut, and are the same then.
func FuzzReadRuns(f *testing.F) {
	path := filepath.Join(f.TempDir(), "runs.csv")
	for seed := range uint64(2) {
		if err := AppendRun(path, paper, fileRun(seed, 2)); err != nil {
			f.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	f.Add([]byte("# meshbench runs 3\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		runs, size, version, err := readRuns("x", bytes.NewReader(text), paper)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 2000 {
				t.Fatalf("%d bytes of error: %.300q", len(err.Error()), err)
			}
			return
		}
		if version == 0 {
			return
		}
		again, end, _, err := readRuns("x", bytes.NewReader(text[:size]), paper)
		if err != nil || len(again) != len(runs) || end != size {
			t.Fatalf("%d runs in %d bytes, then %d in %d (%v)", len(runs), size, len(again), end, err)
		}
	})
}
