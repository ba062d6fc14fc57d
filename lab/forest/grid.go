package forest

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// PredictGrid predicts every combination of the given values of the features,
// levels[j] being those of feature j in ascending order, the last feature
// running fastest. The result is combinations x outputs, the same bits as
// Predict gives; dst is used when it has that shape and allocated when nil.
//
// Every tree is descended once with the whole grid, or a large part of it, which
// divides on the way, rather than once for every combination (box.go).
func (f *Forest) PredictGrid(dst *mat.Dense, levels [][]float64) (*mat.Dense, error) {
	cells, err := f.checkGrid(levels)
	if err != nil {
		return nil, err
	}
	k := f.outputs()
	if dst == nil {
		dst = mat.NewDense(cells, k, nil)
	} else if r, c := dst.Dims(); r != cells || c != k {
		return nil, fmt.Errorf("forest: the grid has %d combinations and %d outputs, dst is %d x %d", cells, k, r, c)
	}
	f.predictBlocks(dst, levels)
	return dst, nil
}

// checkGrid returns the number of combinations.
func (f *Forest) checkGrid(levels [][]float64) (cells int, err error) {
	if len(levels) != f.data.features {
		return 0, fmt.Errorf("forest: a grid of %d features, the forest has %d", len(levels), f.data.features)
	}
	cells = 1
	for j, values := range levels {
		name := f.cfg.FeatureNames[j]
		if len(values) == 0 {
			return 0, fmt.Errorf("forest: the grid has no value of %s", name)
		}
		for l, v := range values {
			if !finite(v) || l > 0 && v <= values[l-1] {
				return 0, fmt.Errorf("forest: the grid's values of %s are %v; they must be finite and ascend", name, values)
			}
		}
		if cells > math.MaxInt32/len(values) {
			return 0, fmt.Errorf("forest: the grid has more than %d combinations", math.MaxInt32)
		}
		cells *= len(values)
	}
	return cells, nil
}

// predictBlocks divides a grid into blocks that boxes can describe.
func (f *Forest) predictBlocks(dst *mat.Dense, levels [][]float64) {
	wide := blockWidths(levels)
	stride := make([]int, len(levels)) // rows of dst from a level to the next
	rows := 1
	for j := len(levels) - 1; j >= 0; j-- {
		stride[j] = rows
		rows *= len(levels[j])
	}
	begin := make([]int, len(levels))
	levelsOf := make([][]float64, len(levels))
	for more := true; more; {
		row := 0
		for j, l := range levels {
			levelsOf[j] = l[begin[j]:min(begin[j]+wide[j], len(l))]
			row += begin[j] * stride[j]
		}
		p := newBlock(f, levelsOf)
		p.predict()
		p.write(dst, row, levelsOf, stride)
		more = false
		for j := len(levels) - 1; j >= 0 && !more; j-- {
			if begin[j] += wide[j]; begin[j] < len(levels[j]) {
				more = true
			} else {
				begin[j] = 0
			}
		}
	}
}

// blockWidths is the largest number of levels of each feature in a block.
func blockWidths(levels [][]float64) []int {
	wide := make([]int, len(levels))
	for j, l := range levels {
		wide[j] = min(len(l), groupLevels)
	}
	for {
		bits, cells, widest := 0, 1, 0
		for j, w := range wide {
			if w > 1 {
				bits += w
			}
			cells = min(cells*w, blockCells+1)
			if w > wide[widest] {
				widest = j
			}
		}
		if bits <= boxLevels && cells <= blockCells {
			return wide
		}
		wide[widest] = (wide[widest] + 1) / 2
	}
}

// write writes the means of a block to dst, its first combination to the given
// row.
func (p *block) write(dst *mat.Dense, row int, levels [][]float64, stride []int) {
	out, k := dst.RawMatrix(), p.forest.outputs()
	last := len(levels) - 1
	trees := float64(len(p.forest.trees))
	for c := range p.cells {
		at, rest := row, c
		for j := last; j >= 0; j-- {
			at += rest % len(levels[j]) * stride[j]
			rest /= len(levels[j])
		}
		for o, v := range p.sums[c*k : (c+1)*k] {
			out.Data[at*out.Stride+o] = v / trees
		}
	}
}
