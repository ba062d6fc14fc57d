package figure_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

var regen = flag.Bool("regen", false, "write the golden files again")

// golden compares a figure with testdata/name.svg.
func golden(t *testing.T, name string, f figure.Figure, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	var got bytes.Buffer
	if _, err := f.WriteTo(&got); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	path := filepath.Join("testdata", name+".svg")
	if *regen {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s differs from %s", name, path)
	}
}

// saved is where Examples write.
const saved = "figures"

// example compares the figure that an Example saves with its golden file.
func example(t *testing.T, name string, run func()) {
	t.Helper()
	at, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	t.Run("example", func(t *testing.T) {
		t.Chdir(t.TempDir()) // where the Example writes
		run()
		if got, err = os.ReadFile(filepath.Join(saved, name+".svg")); err != nil {
			t.Fatal(err)
		}
	})
	path := filepath.Join(at, "testdata", name+".svg")
	if *regen {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from %s", name, path)
	}
}
