package forest

import (
	"fmt"
	"slices"
)

// node is one node of a tree, packed in 8 bytes so that a tree stays in cache.
// The nodes of a tree are in breadth-first order: those that a set of rows
// reaches, level by level, are met as they lie in memory.
//
//	bits  0-31  split: index of the left child, the right one follows it;
//	            leaf: index into the forest's values
//	bits 32-39  feature, or leafMark
//	bits 40-63  rank of the threshold among the feature's cuts
//
// A row goes left where its value is at most the threshold.
type node uint64

const leafMark = 255

func splitNode(left uint32, feature int, cut uint32) node {
	return node(left) | node(feature)<<32 | node(cut)<<40
}

// leafNode has the largest threshold, so that comparing at a leaf says "left".
func leafNode(value uint32) node { return node(value) | leafMark<<32 | (maxThresholds-1)<<40 }

func (n node) child() uint32  { return uint32(n) }
func (n node) value() uint32  { return uint32(n) }
func (n node) feature() uint8 { return uint8(n >> 32) }
func (n node) cut() uint32    { return uint32(n >> 40) }
func (n node) isLeaf() bool   { return n.feature() == leafMark }

// builder collects the nodes of one tree. Growing a tree and reading one from
// a file differ in how splits are found; both leave the rest to the builder,
// so that a forest read back is the one that was written.
type builder struct {
	data  *training
	count []uint32 // bootstrap count of each training row
	bag   []uint32 // rows with a count, ascending
	rows  []uint32 // of a leaf

	nodes []node // in the order of growth, a child right of its sibling
	wide  []wideCut
	// Leaves with several rows: their nodes, rows and means.
	sharedNodes []uint32
	shared      leaves
	means       []float64

	// Of finish: the grown node at each place of the finished tree, and back.
	grown, moved []uint32
}

// wideCut is the threshold of a node on a wide feature. Its rank is known only
// when all trees are.
type wideCut struct {
	node    uint32
	feature int
	cut     float64
}

func newBuilder(data *training) *builder { return &builder{data: data} }

// reset starts a new tree on the given bootstrap sample.
func (b *builder) reset(count []uint32) {
	b.count = count
	b.bag = slices.Grow(b.bag[:0], len(count))[:len(count)]
	n := 0
	for i, c := range count {
		// Overwritten by the next row if this one was not drawn: there is no
		// branch to mispredict.
		b.bag[n] = uint32(i)
		n += int(min(c, 1))
	}
	b.bag = b.bag[:n]
	b.nodes = append(b.nodes[:0], 0)
	b.wide = b.wide[:0]
	b.sharedNodes = b.sharedNodes[:0]
	b.shared.start = append(b.shared.start[:0], 0)
	b.shared.row = b.shared.row[:0]
	b.shared.count = b.shared.count[:0]
	b.means = b.means[:0]
}

// split turns node i into a split between neighbouring levels lo < hi of a
// feature, and returns the index of its left child.
func (b *builder) split(i uint32, feature int, lo, hi uint32) (left uint32) {
	left = uint32(len(b.nodes))
	b.nodes = append(b.nodes, 0, 0)
	cut := uint32(0)
	levels := b.data.levels[feature]
	if pairs := b.data.pairCut[feature]; pairs != nil {
		cut = pairs[int(lo)*len(levels)+int(hi)]
	} else {
		b.wide = append(b.wide, wideCut{i, feature, midpoint(levels[lo], levels[hi])})
	}
	b.nodes[i] = splitNode(left, feature, cut)
	return left
}

// leaf turns node i into a leaf with the given training rows, in ascending
// order.
func (b *builder) leaf(i uint32, rows ...uint32) {
	if len(rows) == 1 {
		b.nodes[i] = leafNode(rows[0])
		return
	}
	// The index of a shared leaf within its tree is completed by join.
	b.nodes[i] = leafNode(uint32(len(b.sharedNodes)))
	b.sharedNodes = append(b.sharedNodes, i)
	k := b.data.outputs
	first := len(b.means)
	b.means = append(b.means, make([]float64, k)...)
	mean := b.means[first:]
	total := 0.0
	for _, r := range rows {
		w := float64(b.count[r])
		total += w
		for o, v := range b.data.y[int(r)*k : int(r+1)*k] {
			mean[o] += float64(w * v)
		}
		b.shared.row = append(b.shared.row, r)
		b.shared.count = append(b.shared.count, b.count[r])
	}
	for o := range mean {
		mean[o] /= total
	}
	b.shared.start = append(b.shared.start, len(b.shared.row))
}

// builtTree is a finished tree whose shared leaves and wide thresholds are
// still numbered within the tree.
type builtTree struct {
	nodes       []node
	wide        []wideCut
	sharedNodes []uint32
	shared      leaves
	means       []float64
}

// finish returns the tree, breadth first, copied to slices of the right size.
func (b *builder) finish() builtTree {
	t := builtTree{
		make([]node, len(b.nodes)), slices.Clone(b.wide), slices.Clone(b.sharedNodes),
		leaves{slices.Clone(b.shared.start), slices.Clone(b.shared.row), slices.Clone(b.shared.count)},
		slices.Clone(b.means),
	}
	b.grown = slices.Grow(b.grown[:0], len(b.nodes)+2)[:len(b.nodes)+2]
	b.moved = slices.Grow(b.moved[:0], len(b.nodes))[:len(b.nodes)]
	b.grown[0] = 0
	next := uint32(1)
	for i := range t.nodes {
		from := b.grown[i]
		n := b.nodes[from]
		b.moved[from] = uint32(i)
		// No branch for leaves, which could not be predicted: what is written
		// to grown for them is overwritten.
		b.grown[next], b.grown[next+1] = n.child(), n.child()+1
		split := uint32(one(!n.isLeaf()))
		t.nodes[i] = n&^(1<<32-1) | node(n.value()+split*(next-n.child()))
		next += 2 * split
	}
	for k := range t.wide {
		t.wide[k].node = b.moved[t.wide[k].node]
	}
	for k, n := range t.sharedNodes {
		t.sharedNodes[k] = b.moved[n]
	}
	return t
}

// join makes the forest of the built trees.
func (f *Forest) join(built []builtTree) error {
	d := f.data
	var sharedLeaves, rows int
	for _, t := range built {
		sharedLeaves += len(t.sharedNodes)
		rows += len(t.shared.row)
	}
	if int64(d.rows)+int64(sharedLeaves) > 1<<32 {
		return fmt.Errorf("forest: %d trees have %d leaves of several rows; with %d rows at most %d are supported",
			len(built), sharedLeaves, d.rows, int64(1)<<32-int64(d.rows))
	}
	f.trees = make([][]node, len(built))
	f.values = append(make([]float64, 0, len(d.y)+sharedLeaves*d.outputs), d.y...)
	f.shared = leaves{append(make([]int, 0, sharedLeaves+1), 0), make([]uint32, 0, rows), make([]uint32, 0, rows)}
	for i, t := range built {
		f.trees[i] = t.nodes
		base := uint32(d.rows + len(f.shared.start) - 1)
		for j, n := range t.sharedNodes {
			t.nodes[n] = leafNode(base + uint32(j))
		}
		offset := len(f.shared.row)
		for _, s := range t.shared.start[1:] {
			f.shared.start = append(f.shared.start, offset+s)
		}
		f.shared.row = append(f.shared.row, t.shared.row...)
		f.shared.count = append(f.shared.count, t.shared.count...)
		f.values = append(f.values, t.means...)
	}
	return f.rankWideCuts(built)
}

// rankWideCuts collects the thresholds of wide features from all trees, and
// completes the nodes that use them.
func (f *Forest) rankWideCuts(built []builtTree) error {
	f.cuts = slices.Clone(f.data.cuts)
	for _, t := range built {
		for _, w := range t.wide {
			f.cuts[w.feature] = append(f.cuts[w.feature], w.cut)
		}
	}
	for i, cuts := range f.cuts {
		if f.data.pairCut[i] != nil {
			continue
		}
		slices.Sort(cuts)
		f.cuts[i] = slices.Clone(slices.Compact(cuts))
		if len(f.cuts[i]) >= maxThresholds {
			return fmt.Errorf("forest: feature %s has %d distinct thresholds; at most %d are supported: grow fewer trees or larger leaves",
				f.cfg.FeatureNames[i], len(f.cuts[i]), maxThresholds-1)
		}
	}
	for _, t := range built {
		for _, w := range t.wide {
			rank, _ := slices.BinarySearch(f.cuts[w.feature], w.cut)
			t.nodes[w.node] = splitNode(t.nodes[w.node].child(), w.feature, uint32(rank))
		}
	}
	return nil
}
