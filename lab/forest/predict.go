package forest

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// outputs is the number of outputs of a prediction.
func (f *Forest) outputs() int { return len(f.cfg.OutputNames) }

// Predict writes the mean over trees for one row of inputs to dst, of length
// outputs, which is allocated when nil. It panics when a length is wrong or a
// value is not finite.
func (f *Forest) Predict(dst, row []float64) []float64 {
	dst = f.prepare(dst, row)
	var buf [16]uint32
	ranks := f.ranks(buf[:0], row)
	f.predict(dst, ranks)
	return dst
}

func (f *Forest) prepare(dst, row []float64) []float64 {
	if len(row) != f.data.features {
		panic(fmt.Sprintf("forest: a row of %d values for %d features", len(row), f.data.features))
	}
	for j, v := range row {
		if !finite(v) {
			panic(fmt.Sprintf("forest: %s is %v; inputs must be finite", f.cfg.FeatureNames[j], v))
		}
	}
	if dst == nil {
		return make([]float64, f.outputs())
	}
	if len(dst) != f.outputs() {
		panic(fmt.Sprintf("forest: room for %d values, the forest has %d outputs", len(dst), f.outputs()))
	}
	clear(dst)
	return dst
}

// ranks appends, for every feature, how many of its thresholds lie below the
// value: a row goes right where that exceeds the threshold's own rank.
func (f *Forest) ranks(dst []uint32, row []float64) []uint32 {
	for j, v := range row {
		dst = append(dst, uint32(f.Rank(j, v)))
	}
	return dst
}

// Rank is the number of the forest's thresholds of a feature that lie below v.
// Inputs of equal ranks are predicted alike.
func (f *Forest) Rank(feature int, v float64) int {
	k, _ := slices.BinarySearch(f.cuts[feature], v)
	return k
}

// addValue adds the outputs of a leaf value to dst.
func (f *Forest) addValue(dst []float64, value uint32) {
	v := int(value) * len(dst)
	for o, y := range f.values[v : v+len(dst)] {
		dst[o] += y
	}
}

// lanes is the number of walks side by side: most of the time of a walk is waiting
// for memory, and the waits of several overlap.
const lanes = 16

// walks are as many side by side, each down a tree by the ranks of a row.
type walks struct {
	tree  [lanes][]node
	ranks [lanes]*[leafMark + 1]uint32 // 0 of a leaf's feature
	at    [lanes]uint32
}

// down goes down to the leaves of the first n walks. There is no branch to mispredict:
// at a leaf, where the threshold says "left", a walk stays.
func (w *walks) down(n int) {
	w.at = [lanes]uint32{}
	for more := uint32(1); more > 0; {
		more = 0
		for l := range n {
			at := w.at[l]
			x := w.tree[l][at]
			next := x.child()
			if w.ranks[l][x.feature()] > x.cut() {
				next++
			}
			if x.isLeaf() {
				next = at
			}
			more |= next ^ at
			w.at[l] = next
		}
	}
}

// value is the leaf value that walk l has come to.
func (w *walks) value(l int) uint32 { return w.tree[l][w.at[l]].value() }

// predict adds up leaf values in the order of the trees, so that every way to
// predict gives the same bits.
func (f *Forest) predict(dst []float64, ranks []uint32) {
	f.leaves(ranks, func(value uint32) { f.addValue(dst, value) })
	f.divide(dst)
}

func (f *Forest) divide(dst []float64) {
	for o := range dst {
		dst[o] /= float64(len(f.trees))
	}
}

// leaves calls visit with the leaf value of a row in each tree, in their order.
func (f *Forest) leaves(ranks []uint32, visit func(value uint32)) {
	var w walks
	var all [leafMark + 1]uint32
	copy(all[:leafMark], ranks)
	for l := range lanes {
		w.ranks[l] = &all
	}
	for first := 0; first < len(f.trees); first += lanes {
		n := copy(w.tree[:], f.trees[first:])
		w.down(n)
		for l := range n {
			visit(w.value(l))
		}
	}
}

// leavesOf calls visit with the leaf value of each of the listed rows in a tree, in
// their order. ranks has those of the features of all rows.
func leavesOf(t []node, rows, ranks []uint32, features int, visit func(row, value uint32)) {
	var w walks
	var of [lanes][leafMark + 1]uint32
	for l := range lanes {
		w.tree[l], w.ranks[l] = t, &of[l]
	}
	for len(rows) > 0 {
		some := rows[:min(lanes, len(rows))]
		rows = rows[len(some):]
		for l, r := range some {
			copy(of[l][:], ranks[int(r)*features:][:features])
		}
		w.down(len(some))
		for l, r := range some {
			visit(r, w.value(l))
		}
	}
}

// matrixRanks are the ranks of the rows of x from first to end-1, and the numbers of
// those, from 0.
func (f *Forest) matrixRanks(x mat.Matrix, first, end int) (ranks, rows []uint32) {
	ranks, rows = make([]uint32, 0, (end-first)*f.data.features), make([]uint32, end-first)
	var row []float64
	for k := range rows {
		rows[k] = uint32(k)
		row = mat.Row(row, first+k, x)
		ranks = f.ranks(ranks, row)
	}
	return ranks, rows
}

// PredictMatrix predicts every row of x (rows x features) and returns rows x
// outputs, empty for no rows. It panics with what Check says.
func (f *Forest) PredictMatrix(x mat.Matrix) *mat.Dense {
	f.mustTake(x)
	rows, features := x.Dims()
	if rows == 0 {
		return &mat.Dense{}
	}
	out := mat.NewDense(rows, f.outputs(), nil)
	ranks, all := f.matrixRanks(x, 0, rows)
	// One tree at a time, which stays in cache.
	for _, t := range f.trees {
		leavesOf(t, all, ranks, features, func(r, value uint32) { f.addValue(out.RawRowView(int(r)), value) })
	}
	for r := range rows {
		f.divide(out.RawRowView(r))
	}
	return out
}

// Check returns an error if the forest cannot predict the rows of x: a wrong
// number of columns, or the first value that is not finite, with its row and
// column. No rows are fine.
func (f *Forest) Check(x mat.Matrix) error {
	rows, columns := x.Dims()
	if rows > 0 && columns != f.data.features {
		return fmt.Errorf("forest: rows of %d values for %d features", columns, f.data.features)
	}
	for r := range rows {
		for j := range columns {
			if v := x.At(r, j); !finite(v) {
				return fmt.Errorf("forest: row %d, column %d (%s) is %v; inputs must be finite", r, j, f.cfg.FeatureNames[j], v)
			}
		}
	}
	return nil
}

func (f *Forest) mustTake(x mat.Matrix) {
	if err := f.Check(x); err != nil {
		panic(err.Error())
	}
}
