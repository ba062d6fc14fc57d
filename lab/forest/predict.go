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

// walk goes down a tree and returns the leaf value that it comes to.
func walk(t []node, ranks []uint32) uint32 {
	n := t[0]
	for !n.isLeaf() {
		at := n.child()
		if ranks[n.feature()] > n.cut() {
			at++
		}
		n = t[at]
	}
	return n.value()
}

// addValue adds the outputs of a leaf value to dst.
func (f *Forest) addValue(dst []float64, value uint32) {
	v := int(value) * len(dst)
	for o, y := range f.values[v : v+len(dst)] {
		dst[o] += y
	}
}

// lanes is the number of trees that are walked side by side: most of the time
// of a walk is waiting for memory, and the waits of several overlap.
const lanes = 8

// predict adds up leaf values in the order of the trees, so that every way to
// predict gives the same bits.
func (f *Forest) predict(dst []float64, ranks []uint32) {
	for first := 0; first < len(f.trees); first += lanes {
		trees := f.trees[first:min(first+lanes, len(f.trees))]
		var at [lanes]uint32
		for moving := true; moving; {
			moving = false
			for l, t := range trees {
				n := t[at[l]]
				if n.isLeaf() {
					continue
				}
				moving = true
				next := n.child()
				if ranks[n.feature()] > n.cut() {
					next++
				}
				at[l] = next
			}
		}
		for l, t := range trees {
			f.addValue(dst, t[at[l]].value())
		}
	}
	for o := range dst {
		dst[o] /= float64(len(f.trees))
	}
}

// PredictMatrix predicts every row of x (rows x features) and returns rows x
// outputs, empty for no rows. It panics with what Check says.
func (f *Forest) PredictMatrix(x mat.Matrix) *mat.Dense {
	f.mustTake(x)
	rows, _ := x.Dims()
	if rows == 0 {
		return &mat.Dense{}
	}
	out := mat.NewDense(rows, f.outputs(), nil)
	var row []float64
	var ranks []uint32
	for r := range rows {
		row = mat.Row(row, r, x)
		ranks = f.ranks(ranks[:0], row)
		f.predict(out.RawRowView(r), ranks)
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
