package forest

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// PredictGrid predicts every combination of the given values of the features,
// levels[j] being those of feature j in ascending order, the last feature
// running fastest. The result is combinations x outputs, the same bits as
// Predict gives; dst is used when it has that shape and allocated when nil.
//
// Every tree is descended once with the whole grid, which splits into boxes on
// the way, rather than once for every combination.
func (f *Forest) PredictGrid(dst *mat.Dense, levels [][]float64) (*mat.Dense, error) {
	g := grid{forest: f}
	cells, err := g.prepare(levels)
	if err != nil {
		return nil, err
	}
	k := f.outputs()
	if dst == nil {
		dst = mat.NewDense(cells, k, nil)
	} else if r, c := dst.Dims(); r != cells || c != k {
		return nil, fmt.Errorf("forest: the grid has %d combinations and %d outputs, dst is %d x %d", cells, k, r, c)
	} else {
		dst.Zero()
	}
	g.sums, g.outputs = dst.RawMatrix().Data, k
	for _, t := range f.trees {
		wide := 0
		for j := range g.lo {
			g.lo[j], g.hi[j] = 0, len(levels[j])
			if g.hi[j] > 1 {
				wide++
			}
		}
		g.descend(t, 0, 0, wide)
	}
	for i := range g.sums {
		g.sums[i] /= float64(len(f.trees))
	}
	return dst, nil
}

// grid is a descent with a box of the grid: levels lo[j] <= l < hi[j] of each
// feature.
type grid struct {
	forest *Forest
	lo, hi []int
	stride []int
	// left[j][cut] is the number of levels of feature j that go left at the
	// threshold of that rank.
	left    [][]int
	sums    []float64
	outputs int
}

func (g *grid) prepare(levels [][]float64) (cells int, err error) {
	f := g.forest
	if len(levels) != f.data.features {
		return 0, fmt.Errorf("forest: a grid of %d features, the forest has %d", len(levels), f.data.features)
	}
	n := len(levels)
	g.lo, g.hi, g.stride, g.left = make([]int, n), make([]int, n), make([]int, n), make([][]int, n)
	cells = 1
	for j := n - 1; j >= 0; j-- {
		name := f.cfg.FeatureNames[j]
		if len(levels[j]) == 0 {
			return 0, fmt.Errorf("forest: the grid has no value of %s", name)
		}
		for l, v := range levels[j] {
			if !finite(v) || l > 0 && v <= levels[j][l-1] {
				return 0, fmt.Errorf("forest: the grid's values of %s are %v; they must be finite and ascend", name, levels[j])
			}
		}
		g.stride[j] = cells
		if cells > math.MaxInt32/len(levels[j]) {
			return 0, fmt.Errorf("forest: the grid has more than %d combinations", math.MaxInt32)
		}
		cells *= len(levels[j])
		g.left[j] = make([]int, len(f.cuts[j]))
		for c, cut := range f.cuts[j] {
			k, found := slices.BinarySearch(levels[j], cut)
			if found {
				k++
			}
			g.left[j][c] = k
		}
	}
	return cells, nil
}

// descend goes down from a node with the box, whose first combination is at
// offset and which has more than one level in the given number of features.
func (g *grid) descend(t []node, at uint32, offset, wide int) {
	for {
		n := t[at]
		if n.isLeaf() {
			k := g.outputs
			v := int(n.value()) * k
			if wide > 0 {
				g.add(0, 0, g.forest.values[v:v+k])
				return
			}
			sums := g.sums[offset*k : (offset+1)*k]
			for o, y := range g.forest.values[v : v+k] {
				sums[o] += y
			}
			return
		}
		j := n.feature()
		left := g.left[j][n.cut()]
		lo, hi := g.lo[j], g.hi[j]
		switch {
		case left >= hi:
			at = n.child()
		case left <= lo:
			at = n.child() + 1
		default:
			// A side with one level left has one wide feature less.
			oneLeft, oneRight := 0, 0
			if left-lo == 1 {
				oneLeft = 1
			}
			if hi-left == 1 {
				oneRight = 1
			}
			g.hi[j] = left
			g.descend(t, n.child(), offset, wide-oneLeft)
			g.hi[j], g.lo[j] = hi, left
			g.descend(t, n.child()+1, offset+(left-lo)*g.stride[j], wide-oneRight)
			g.lo[j] = lo
			return
		}
	}
}

// add adds value to all combinations of the box; offset is that of the first
// combination for the features before j.
func (g *grid) add(j, offset int, value []float64) {
	for ; j < len(g.lo); j++ {
		if g.hi[j]-g.lo[j] > 1 {
			for l := g.lo[j]; l < g.hi[j]; l++ {
				g.add(j+1, offset+l*g.stride[j], value)
			}
			return
		}
		offset += g.lo[j] * g.stride[j]
	}
	sums := g.sums[offset*len(value) : (offset+1)*len(value)]
	for o, v := range value {
		sums[o] += v
	}
}
