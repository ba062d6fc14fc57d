package forest

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// training is the training data, with each feature value coded as its rank
// among the distinct values of that feature.
type training struct {
	rows, features, outputs int

	levels [][]float64 // per feature: distinct values, ascending
	codes  []uint32    // rows x features: index into levels
	y      []float64   // rows x outputs

	// pairCut[f][lo*len(levels[f])+hi] is the rank, among all midpoints of two
	// levels of f, of the midpoint of levels lo and hi. Nil for wide features.
	pairCut [][]uint32
	cuts    [][]float64
}

// A narrow feature has so few levels that the midpoints of all pairs of levels
// are tabulated; the thresholds of a wide one are collected from the trees.
const narrowLevels = 128

func newTraining(x, y *mat.Dense) (*training, error) {
	if x == nil || y == nil || x.IsEmpty() || y.IsEmpty() {
		return nil, fmt.Errorf("forest: x and y must have at least one row and one column")
	}
	rows, features := x.Dims()
	yRows, outputs := y.Dims()
	switch {
	case rows != yRows:
		return nil, fmt.Errorf("forest: x has %d rows, but y has %d", rows, yRows)
	case features > maxFeatures:
		return nil, fmt.Errorf("forest: x has %d features; at most %d are supported", features, maxFeatures)
	case int64(rows) >= math.MaxUint32:
		return nil, fmt.Errorf("forest: x has %d rows; at most %d are supported", rows, uint32(math.MaxUint32-1))
	}
	if err := checkFinite("x", x); err != nil {
		return nil, err
	}
	if err := checkFinite("y", y); err != nil {
		return nil, err
	}
	t := &training{
		rows: rows, features: features, outputs: outputs,
		levels: make([][]float64, features),
		codes:  make([]uint32, rows*features),
		y:      make([]float64, 0, rows*outputs),
	}
	for i := range rows {
		for j, v := range y.RawRowView(i) {
			if math.Abs(v) > maxTarget {
				return nil, fmt.Errorf("forest: y row %d, column %d is %g; at most %g is supported", i, j, v, maxTarget)
			}
		}
		t.y = append(t.y, y.RawRowView(i)...)
	}
	column := make([]float64, rows)
	for f := range features {
		mat.Col(column, f, x)
		t.levels[f] = levelsOf(column)
		code := uint32(0)
		for i, v := range column {
			// Traces are often sorted, so the last code is a good guess.
			if t.levels[f][code] != v {
				c, _ := slices.BinarySearch(t.levels[f], v)
				code = uint32(c)
			}
			t.codes[i*features+f] = code
		}
	}
	t.tabulateCuts()
	return t, nil
}

// checkFinite returns an error that names the first value of m that is NaN or
// infinite.
func checkFinite(name string, m *mat.Dense) error {
	rows, _ := m.Dims()
	for i := range rows {
		for j, v := range m.RawRowView(i) {
			if !finite(v) {
				return fmt.Errorf("forest: %s row %d, column %d is %g; all values must be finite", name, i, j, v)
			}
		}
	}
	return nil
}

// levelsOf returns the distinct values of column in ascending order.
func levelsOf(column []float64) []float64 {
	// Most features have few levels: insert them one by one, and sort only
	// when there turn out to be many.
	levels := make([]float64, 0, narrowLevels)
	last := math.NaN()
	for _, v := range column {
		if v == last {
			continue
		}
		last = v
		i, found := slices.BinarySearch(levels, v)
		if found {
			continue
		}
		if len(levels) == narrowLevels {
			all := slices.Clone(column)
			slices.Sort(all)
			return slices.Compact(all)
		}
		levels = slices.Insert(levels, i, v)
	}
	return levels
}

// midpoint returns the threshold between neighbouring values a < b: half-way,
// and below b also where half-way rounds up to it.
func midpoint(a, b float64) float64 {
	if m := float64(a/2) + float64(b/2); m < b {
		return m
	}
	return a
}

// tabulateCuts fills pairCut and cuts for the narrow features.
func (t *training) tabulateCuts() {
	t.pairCut = make([][]uint32, t.features)
	t.cuts = make([][]float64, t.features)
	for f, levels := range t.levels {
		n := len(levels)
		if n > narrowLevels {
			continue
		}
		var cuts []float64
		for lo := range levels {
			for hi := lo + 1; hi < n; hi++ {
				cuts = append(cuts, midpoint(levels[lo], levels[hi]))
			}
		}
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		t.cuts[f] = cuts
		t.pairCut[f] = make([]uint32, n*n)
		for lo := range levels {
			for hi := lo + 1; hi < n; hi++ {
				r, _ := slices.BinarySearch(cuts, midpoint(levels[lo], levels[hi]))
				t.pairCut[f][lo*n+hi] = uint32(r)
			}
		}
	}
}

// bootstrap draws as many rows as there are, with replacement, and returns how
// often each was drawn. It reuses count. The draw depends on the seed and the
// number of the tree only.
func bootstrap(cfg Config, rows, tree int, count []uint32) []uint32 {
	count = slices.Grow(count[:0], rows)[:rows]
	if cfg.NoBootstrap {
		for i := range count {
			count[i] = 1
		}
		return count
	}
	clear(count)
	rng := rand.NewPCG(cfg.Seed, uint64(tree))
	for range count {
		// The high word of the product is uniform up to a bias of rows/2^64.
		i, _ := bits.Mul64(rng.Uint64(), uint64(rows))
		count[i]++
	}
	return count
}

// Present returns the rows of x and of column k of y in which the latter is not
// missing (NaN), copied; nil where there are none. Fit takes no missing target.
func Present(x, y *mat.Dense, k int) (px, py *mat.Dense) {
	rows, features := x.Dims()
	var xs, ys []float64
	for r := range rows {
		if v := y.At(r, k); !math.IsNaN(v) {
			xs = append(xs, x.RawRowView(r)...)
			ys = append(ys, v)
		}
	}
	if len(ys) == 0 {
		return nil, nil
	}
	return mat.NewDense(len(ys), features, xs), mat.NewDense(len(ys), 1, ys)
}
