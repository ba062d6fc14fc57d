package trace

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"
)

// localTrace is the committed trace of the local testbed.
func localTrace(t *testing.T) *Table {
	t.Helper()
	path := filepath.Join("..", "..", "datasets", "local.csv")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the local testbed's trace is not there: %v", err)
	}
	table, err := Read(path, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// The committed trace is the one that the data sets' card describes, every step
// of it once, and the audit has nothing to say.
func TestLocalTrace(t *testing.T) {
	table := localTrace(t)
	sum, err := SHA256(filepath.Join("..", "..", "datasets", "local.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"SHA256SUMS", "README.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "datasets", name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), sum) {
			t.Errorf("datasets/%s lacks %s", name, sum)
		}
	}
	if table.Len() < 6000 || table.Next() != table.Len() {
		t.Errorf("%d rows, the last is step %d; want 6000 or more, each step once", table.Len(), table.Next()-1)
	}
	for _, f := range Audit(table) {
		t.Errorf("%s: %s", f.Title, f.Detail)
	}
}

// Carried load is l(1-b) within the error of Poisson counts, for every offered
// load and blocking rate, and nothing is carried where all is blocked.
func TestLocalCarriedLoad(t *testing.T) {
	table := localTrace(t)
	type cell struct{ load, block float64 }
	for i := range table.Mesh().M() {
		got, want := map[cell]float64{}, map[cell]float64{} // requests
		counts := map[float64][]float64{}                   // generated in a step, by load
		for r := range table.Len() {
			row := table.Row(r)
			c := cell{row.Load[i], table.Space().BlockOf(row.Action, i)}
			got[c] += row.Measurement.Carried[i] * table.Meta().StepSeconds
			want[c] += c.load * (1 - c.block) * table.Meta().StepSeconds
			counts[c.load] = append(counts[c.load], row.Measurement.Generated[i]*table.Meta().StepSeconds)
		}
		if len(want) != 4*6 {
			t.Fatalf("service %d has %d cells of load and blocking, want 24", i+1, len(want))
		}
		chi := 0.0
		for c, w := range want {
			if w == 0 {
				if got[c] != 0 {
					t.Errorf("service %d, %+v: %v requests carried", i+1, c, got[c])
				}
				continue
			}
			z := (got[c] - w) / math.Sqrt(w)
			chi += z * z
			if math.Abs(z) > 4 {
				t.Errorf("service %d, %+v: %.0f requests carried, l(1-b) is %.0f: %.1f standard deviations", i+1, c, got[c], w, z)
			}
		}
		// 20 cells; the exact split of what is blocked makes the sum smaller than
		// that of 20 Poisson counts, whose 0.999 quantile is 45.3.
		t.Logf("service %d: chi-square %.1f of 20 cells", i+1, chi)
		if chi > 45.3 {
			t.Errorf("service %d: chi-square %.1f of 20 cells", i+1, chi)
		}
		for load, n := range counts {
			mean, variance := stat.MeanVariance(n, nil)
			if math.Abs(variance/mean-1) > 4*math.Sqrt(2/float64(len(n))) {
				t.Errorf("service %d at %v requests/s: the variance of the generated counts is %.3f of their mean, want 1", i+1, load, variance/mean)
			}
		}
	}
}
