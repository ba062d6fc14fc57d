package forest

import "math/bits"

const (
	// boxCells is the number of combinations up to which a box goes down as a
	// set: as many as a word has bits.
	boxCells = 64
	// boxNodes is the number of nodes per combination up to which a subtree is
	// gone through as a whole: beyond, most of its nodes would be empty.
	boxNodes = 12
)

// box is a small box of the grid in a subtree. Nodes follow their parents, and
// those of a subtree lie together: in one pass over them, every node passes the
// set of combinations that reach it on to its children, without a branch that
// depends on the tree.
type box struct {
	// A threshold's place among the masks is place[base[feature]+rank], by the
	// number of levels that go left. A leaf's feature and rank lead to an
	// empty mask.
	base  [leafMark + 1]int
	place []uint32
	mask  []uint64   // combinations of the box that go left
	masks [][]uint64 // of each feature, a part of mask

	set  []uint64 // nodes of the subtree: combinations that reach them
	leaf []uint32 // nodes of the subtree that are leaves, from its first node
	// offset of each combination's row in the sums, and of the row that nobody
	// reads, in float64s
	offset [boxCells + 1]int
}

// init prepares for a grid of the given levels and number of combinations.
func (b *box) init(g *grid, levels [][]float64, cells int) {
	masks := 0
	for j, left := range g.left {
		b.base[j] = len(b.place)
		for _, l := range left {
			b.place = append(b.place, uint32(masks+l))
		}
		masks += len(levels[j]) + 1
	}
	b.base[leafMark] = len(b.place) - (maxThresholds - 1)
	b.place = append(b.place, uint32(masks))
	b.mask = make([]uint64, masks+1)
	masks = 0
	for _, l := range levels {
		b.masks = append(b.masks, b.mask[masks:masks+len(l)+1])
		masks += len(l) + 1
	}
	b.offset[boxCells] = cells * g.outputs
}

// descendBox goes down from a split node, whose subtree ends before the node
// end, with a box of at most boxCells combinations.
func (g *grid) descendBox(t []node, at, end uint32, offset, cells int) {
	b := &g.box
	all := ^uint64(0) >> (boxCells - cells)
	b.offset[0] = offset * g.outputs
	n := 1 // combinations of the features so far
	for j := len(g.lo) - 1; j >= 0; j-- {
		n = b.extend(j, n, g.lo[j], g.hi[j], g.stride[j]*g.outputs, all)
	}
	top := t[at]
	first := top.child()
	if need := int(end-first) + 2; len(b.set) < need {
		b.set, b.leaf = make([]uint64, need), make([]uint32, need)
	}
	left := b.mask[b.place[b.base[top.feature()]+int(top.cut())]]
	b.set[0], b.set[1] = all&left, all&^left
	leaves := int(end-first)/2 + 1
	if useAVX2 {
		spreadAVX2(b, &t[0], first, end, &g.forest.values[0])
	} else {
		b.spread(t, first, end)
	}
	if useAVX2 && g.outputs == planeWidth {
		sumLeavesAVX2(b, &t[0], first, leaves, &g.forest.values[0], &g.sums[0])
	} else {
		b.sumLeaves(t[first:], b.leaf[:leaves], g.forest.values, g.sums, g.outputs)
	}
}

// extend lays out the levels lo <= l < hi of feature j over the n combinations
// of the features after it, and returns the number of combinations.
func (b *box) extend(j, n, lo, hi, stride int, all uint64) int {
	wide := hi - lo
	for l := 1; l < wide; l++ {
		for k := range n {
			b.offset[l*n+k] = b.offset[k] + l*stride
		}
	}
	// The combinations with the lowest k of the levels are runs of k*n bits, one
	// every wide*n bits: a run times a word with a bit at each beginning.
	begin := all / (1<<(wide*n) - 1)
	for l := range b.masks[j] {
		k := min(max(l-lo, 0), wide)
		b.masks[j][l] = (1<<(k*n) - 1) * begin
	}
	return wide * n
}

// spread fills set, from those of the first two nodes, and leaf.
func (b *box) spread(t []node, first, end uint32) {
	n := 0
	for i := first; i < end; i++ {
		v := t[i]
		child := v.child()
		b.leaf[n] = i - first
		if v.isLeaf() {
			child = end // its children would be sets that nobody reads
			n++
		}
		left := b.mask[b.place[b.base[v.feature()]+int(v.cut())]]
		s := b.set[i-first]
		b.set[child-first], b.set[child-first+1] = s&left, s&^left
	}
}

// sumLeaves adds the values of leaves to the combinations that reach them.
func (b *box) sumLeaves(nodes []node, leaves []uint32, values, sums []float64, k int) {
	for _, i := range leaves {
		v := int(nodes[i].value()) * k
		for s := b.set[i]; s != 0; s &= s - 1 {
			to := b.offset[bits.TrailingZeros64(s)]
			for o, y := range values[v : v+k] {
				sums[to+o] += y
			}
		}
	}
}
