package forest

import "slices"

// Neighbours are the training rows that a prediction rests on, ascending, and
// their weights, which sum to 1. It keeps its buffers: one that is used again
// and again, for forests of any size, is filled without allocation.
type Neighbours struct {
	Rows    []uint32
	Weights []float64 // of each of Rows

	dense []float64 // weight of every training row, 0 between calls
	ranks []uint32
	room  []float64
}

// Neighbours fills n with the training rows that share a leaf with the given
// row of inputs in some tree, and the weights by which their targets make the
// prediction (Meinshausen 2006). It panics as Predict does.
func (f *Forest) Neighbours(n *Neighbours, row []float64) { f.neighbours(n, row, nil) }

// neighbours takes only the first row of a shared leaf that is marked pure.
func (f *Forest) neighbours(n *Neighbours, row []float64, pure []bool) {
	n.room = slices.Grow(n.room[:0], f.outputs())[:f.outputs()]
	f.prepare(n.room, row)
	n.ranks = f.ranks(n.ranks[:0], row)
	if len(n.dense) < f.data.rows {
		n.dense = make([]float64, f.data.rows)
	}
	n.Rows, n.Weights = n.Rows[:0], n.Weights[:0]
	each := 1 / float64(len(f.trees))
	for _, t := range f.trees {
		at := uint32(0)
		for !t[at].isLeaf() {
			node := t[at]
			at = node.child()
			if n.ranks[node.feature()] > node.cut() {
				at++
			}
		}
		add := func(r uint32, share float64) {
			if n.dense[r] == 0 {
				n.Rows = append(n.Rows, r)
			}
			n.dense[r] += share * each
		}
		value := t[at].value()
		if l := int(value) - f.data.rows; l >= 0 && pure != nil && pure[l] {
			add(f.shared.row[f.shared.start[l]], 1)
			continue
		}
		f.leafRows(value, add)
	}
	slices.Sort(n.Rows)
	for _, r := range n.Rows {
		n.Weights = append(n.Weights, n.dense[r])
		n.dense[r] = 0
	}
}

// Input writes the inputs of a training row to dst, of length features, which
// is allocated when nil.
func (f *Forest) Input(dst []float64, row int) []float64 {
	nf := f.data.features
	if dst == nil {
		dst = make([]float64, nf)
	}
	for j, code := range f.data.codes[row*nf : (row+1)*nf] {
		dst[j] = f.data.levels[j][code]
	}
	return dst
}
