package forest_test

import (
	"context"
	"encoding/csv"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
)

// published reads the trace published with the paper, without lab/trace, which
// this package must not depend on.
func published(t testing.TB) (x, y *mat.Dense) {
	path := os.Getenv("KTH_TRACE")
	if path == "" {
		path = "../../../shared/kth/data_CNSM_2022.csv"
	}
	file, err := os.Open(path)
	if err != nil {
		t.Skipf("the published trace is not here: %v", err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for k, name := range records[0] {
		at[name] = k
	}
	pick := func(names ...string) *mat.Dense {
		m := mat.NewDense(len(records)-1, len(names), nil)
		for r, record := range records[1:] {
			for c, name := range names {
				v, err := strconv.ParseFloat(record[at[name]], 64)
				if err != nil {
					t.Fatal(err)
				}
				m.Set(r, c, v)
			}
		}
		return m
	}
	return pick("l1", "l2", "p11", "p21", "b1", "b2"), pick("d11", "d12", "d21", "d22")
}

// split returns 70 % of the rows and the rest.
func split(m *mat.Dense, order []int) (train, test *mat.Dense) {
	rows, columns := m.Dims()
	n := rows * 7 / 10
	train, test = mat.NewDense(n, columns, nil), mat.NewDense(rows-n, columns, nil)
	for k, r := range order {
		if k < n {
			train.SetRow(k, m.RawRowView(r))
		} else {
			test.SetRow(k-n, m.RawRowView(r))
		}
	}
	return train, test
}

// The authors' settings on the published trace: no worse than the authors'
// figures in any of five splits.
func TestPublishedTrace(t *testing.T) {
	x, y := published(t)
	rows, _ := x.Dims()
	maxNMAE := []float64{.105, .104, .082, .082}
	minR2 := []float64{.87, .87, .89, .89}
	nmae, r2 := make([]float64, 4), make([]float64, 4)
	const splits = 5
	for seed := range uint64(splits) {
		order := rand.New(rand.NewPCG(seed, 7)).Perm(rows)
		trainX, testX := split(x, order)
		trainY, testY := split(y, order)
		f, err := forest.Fit(context.Background(), trainX, trainY, forest.Config{Trees: 120, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		hat := f.PredictMatrix(testX)
		for o, v := range forest.NMAE(testY, hat) {
			nmae[o] += v / splits
		}
		for o, v := range forest.R2(testY, hat) {
			r2[o] += v / splits
		}
	}
	t.Logf("NMAE %.4f, R2 %.4f", nmae, r2)
	for o := range 4 {
		if nmae[o] > maxNMAE[o] || r2[o] < minR2[o] {
			t.Errorf("output %d: NMAE %.4f, at most %v; R2 %.4f, at least %v", o, nmae[o], maxNMAE[o], r2[o], minR2[o])
		}
	}
}

// The size and the settings of the comparison with scikit-learn; and the same by
// the general splitter, which inputs that do not vary make it take.
func BenchmarkFitPublished(b *testing.B) {
	x, y := published(b)
	rows, features := x.Dims()
	order := rand.New(rand.NewPCG(0, 7)).Perm(rows)
	x, _ = split(x, order)
	y, _ = split(y, order)
	rows, _ = x.Dims()
	padded := mat.NewDense(rows, features+3, nil)
	padded.Slice(0, rows, 0, features).(*mat.Dense).Copy(x)
	for _, c := range []struct {
		name string
		x    *mat.Dense
	}{{"dense", x}, {"sorted", padded}} {
		b.Run(c.name, func(b *testing.B) {
			measured(b, func() { fit(b, c.x, y, forest.Config{Trees: 120, Workers: 1}) })
		})
	}
}

// measured reports processor time too, which is steadier than time on a machine
// with other work.
func measured(b *testing.B, f func()) {
	b.ReportAllocs()
	begin := cpuSeconds(b)
	for b.Loop() {
		f()
	}
	b.ReportMetric(1e3*(cpuSeconds(b)-begin)/float64(b.N), "cpu-ms/op")
}

func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// The table of the comparison, all actions at all loads of the random pattern,
// and one load's part of it.
func BenchmarkGridPublished(b *testing.B) {
	x, y := published(b)
	f := fit(b, x, y, forest.Config{Trees: 120})
	loads, percent, unit := []float64{5, 10, 15, 20}, []float64{0, 20, 40, 60, 80, 100}, []float64{0, .2, .4, .6, .8, 1}
	for _, c := range []struct {
		name  string
		loads []float64
	}{{"all loads", loads}, {"one load", loads[1:2]}} {
		b.Run(c.name, func(b *testing.B) {
			levels := [][]float64{c.loads, c.loads, percent, percent, unit, unit}
			measured(b, func() {
				if _, err := f.PredictGrid(nil, levels); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
