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
// the way, rather than once for every combination; small boxes go down at once
// as sets of combinations (box.go).
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
	}
	g.sums, g.outputs = make([]float64, (cells+1)*k), k
	g.box.init(&g, levels, cells)
	for _, t := range f.trees {
		for j := range g.lo {
			g.lo[j], g.hi[j] = 0, len(levels[j])
		}
		g.descend(t, 0, uint32(len(t)), 0, cells)
	}
	out := dst.RawMatrix()
	for r := range cells {
		for o, v := range g.sums[r*k : (r+1)*k] {
			out.Data[r*out.Stride+o] = v / float64(len(f.trees))
		}
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
	sums    []float64 // combinations x outputs, and a row that nobody reads
	outputs int
	box     box
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

// descend goes down from a node whose subtree ends before the node end, with
// the box, which has the given number of combinations, the first at offset.
func (g *grid) descend(t []node, at, end uint32, offset, cells int) {
	for {
		n := t[at]
		if n.isLeaf() {
			v := int(n.value()) * g.outputs
			g.add(0, offset, g.forest.values[v:v+g.outputs])
			return
		}
		if cells <= boxCells && int(end-n.child()) <= boxNodes*cells {
			g.descendBox(t, at, end, offset, cells)
			return
		}
		j, child := n.feature(), n.child()
		// The left subtree lies before the right one.
		middle := end
		if right := t[child+1]; !right.isLeaf() {
			middle = right.child()
		}
		left := g.left[j][n.cut()]
		lo, hi := g.lo[j], g.hi[j]
		switch {
		case left >= hi:
			at, end = child, middle
		case left <= lo:
			at = child + 1
		default:
			each := cells / (hi - lo)
			g.hi[j] = left
			g.descend(t, child, middle, offset, each*(left-lo))
			g.hi[j], g.lo[j] = hi, left
			g.descend(t, child+1, end, offset+(left-lo)*g.stride[j], each*(hi-left))
			g.lo[j] = lo
			return
		}
	}
}

// add adds value to all combinations of the box; offset is that of the first.
func (g *grid) add(j, offset int, value []float64) {
	for ; j < len(g.lo); j++ {
		if g.hi[j]-g.lo[j] > 1 {
			for l := range g.hi[j] - g.lo[j] {
				g.add(j+1, offset+l*g.stride[j], value)
			}
			return
		}
	}
	sums := g.sums[offset*len(value) : (offset+1)*len(value)]
	for o, v := range value {
		sums[o] += v
	}
}
