package importer

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

// noms is a file of the rollout paper's traces, beside the published one.
func noms(t *testing.T, name string) string {
	t.Helper()
	kth, err := FindKTH()
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(filepath.Dir(kth), "..", "noms", name)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		t.Skip(err)
	}
	return path
}

// The means are those of the files, counted by awk.
func TestNOMS(t *testing.T) {
	s, err := scenario.Open("increments")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file     string
		rows     int
		missing  int // zeros of d1
		slow     float64
		findings []string
	}{
		{"scenario2_before.csv", 4500, 49, .104, []string{trace.CarriedLoad}},
		{"scenario2_after.csv", 3079, 132, .300, []string{trace.UnroutedDelays, trace.CarriedLoad, trace.GeneratedLoad}},
	} {
		tab, out, err := Import(noms(t, c.file), preset(t, "noms-2024"), Options{Space: s.MustSpace(), Scenario: s.Name})
		if err != nil {
			t.Fatal(err)
		}
		if out.Rows != c.rows || out.Steps != c.rows || out.Unused != nil {
			t.Errorf("%s: %s", c.file, out)
		}
		missing, sum, cell := 0, 0.0, 0.0
		for r := range tab.Len() {
			x := tab.Row(r)
			d := x.Measurement.Service[0].Mean
			if math.IsNaN(d) {
				missing++
			}
			// p = 0, c = 1 at one request a second: all goes to node 2.
			if x.Action[0] == 0 && x.Action[2] == 1 && x.Load[0] == 1 && !math.IsNaN(d) {
				sum += d
				cell++
			}
		}
		if missing != c.missing || math.Abs(sum/cell-c.slow) > .002 {
			t.Errorf("%s: %d delays are missing, want %d; mean %.4f s on node 2, want %.3f", c.file, missing, c.missing, sum/cell, c.slow)
		}
		if got := codes(tab); !slices.Equal(got, c.findings) {
			t.Errorf("%s: findings %v, want %v", c.file, got, c.findings)
		}
	}
}
