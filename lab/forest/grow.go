package forest

import (
	"context"
	"math/bits"
	"math/rand/v2"
)

// grower grows one tree after another into a builder, reusing its memory. It
// sees to all but finding splits, which a splitter does: dense (dense.go) for
// data of few levels, sorted (sorted.go) for all other. On the same data both
// give the same trees.
//
// A node is a range of perm, partitioned in place.
type grower struct {
	b   *builder
	cfg Config
	t   *targets
	rng *rand.PCG

	items   []item
	row     []uint32 // items: the row, or one of them
	perm    []uint32 // items, in node order
	scratch []uint32
	stack   []task
	cells   []uint32               // of a leaf
	ties    [maxFeatures + 1]uint8 // of pick
	split   splitter
}

// splitter finds the splits of nodes.
type splitter interface {
	// begin prepares for the items of a tree and returns its root.
	begin() task
	// choose finds the best split, false if there is none.
	choose(t task) (choice, bool)
	// divide reorders the items of t so that those that go left come first, and
	// returns the children, but for node and depth.
	divide(t task, c choice) (left, right task)
	// subtree grows the whole subtree of t if it has a quicker way to, and tells
	// whether it did.
	subtree(t task) bool
	// release takes back what a task that will not be divided holds.
	release(t task)
}

// item is what a bootstrap sample has of a cell, in one line of the cache.
type item struct {
	y     [planeWidth]float64 // targets times counts, of the first plane
	n     uint64              // as in sum
	class uint32              // items of one class have the same targets
	cell  uint32
	bin   [denseFeatures]uint16 // of each feature, times binScale; of dense data
}

// task is a node to be grown: its items are perm[start:end].
type task struct {
	start, end int
	node       uint32
	depth      int
	// Of dense data: the features that can split its parent, and its histogram.
	features uint64
	hist     *bins
}

// choice is a split: rows with a code of at most lo go left, and hi is the
// smallest code on the right.
type choice struct {
	feature int
	lo, hi  uint32
	gain    float64
}

// Gains are equal if they differ by rounding only.
const tieTolerance = 1e-10

func newGrower(b *builder, cfg Config, t *targets) *grower {
	n := t.cells.len()
	g := &grower{b: b, cfg: cfg, t: t, items: make([]item, n), row: make([]uint32, n), perm: make([]uint32, n), scratch: make([]uint32, n)}
	if isDense(b.data, cfg) {
		g.split = newDense(g)
	} else {
		g.split = newSorted(g)
	}
	return g
}

// grow fills the builder with a tree for its bootstrap sample.
func (g *grower) grow(ctx context.Context, tree int) error {
	g.rng = rand.NewPCG(g.cfg.Seed, 1<<63|uint64(tree))
	g.load()
	g.stack = append(g.stack[:0], g.split.begin())
	for len(g.stack) > 0 {
		t := g.stack[len(g.stack)-1]
		g.stack = g.stack[:len(g.stack)-1]
		if t.end-t.start > 4096 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if !g.split.subtree(t) {
			g.growNode(t)
		}
	}
	return nil
}

// load makes the items of the bootstrap sample.
func (g *grower) load() {
	c := &g.t.cells
	g.perm, g.row = g.perm[:c.len()], g.row[:c.len()]
	n := 0
	for cell := range uint32(c.len()) {
		first := c.start[cell]
		i := &g.items[n]
		i.cell = cell
		if g.t.bins != nil {
			i.bin = g.t.bins[cell]
		}
		g.perm[n] = uint32(n)
		if c.start[cell+1]-first == 1 {
			// Most cells have one row: no branch on whether it was drawn, but
			// overwritten by the next one if it was not.
			row := c.row[first]
			w := g.b.count[row]
			v, f := float64(w), &g.t.fixed[first]
			i.y = [planeWidth]float64{v * f[0], v * f[1], v * f[2], v * f[3]}
			i.n, i.class = uint64(w)<<32|1, g.t.class[row]
			g.row[n] = row
			n += int(min(w, 1))
			continue
		}
		if i.n, i.class, g.row[n] = g.t.draw(cell, g.b.count); i.n != 0 {
			i.y = g.t.sum(0, cell, g.b.count)
			n++
		}
	}
	g.perm = g.perm[:n]
}

// growNode splits the node of t and pushes its children, or makes it a leaf.
func (g *grower) growNode(t task) {
	c, ok := choice{}, g.maySplit(t)
	if ok {
		c, ok = g.split.choose(t)
	}
	if !ok {
		g.cells = g.cells[:0]
		for _, q := range g.perm[t.start:t.end] {
			g.cells = append(g.cells, g.items[q].cell)
		}
		g.b.leafOf(t.node, &g.t.cells, g.cells)
		g.split.release(t)
		return
	}
	child := g.b.split(t.node, c.feature, c.lo, c.hi)
	left, right := g.split.divide(t, c)
	left.node, left.depth = child, t.depth+1
	right.node, right.depth = child+1, t.depth+1
	// The left child is grown first, so that subtrees are contiguous.
	g.stack = append(g.stack, right, left)
}

// maySplit tells whether the depth allows a split and the targets vary.
func (g *grower) maySplit(t task) bool {
	if g.cfg.MaxDepth != 0 && t.depth >= g.cfg.MaxDepth {
		return false
	}
	items := g.perm[t.start:t.end]
	first := g.items[items[0]].class
	for _, q := range items[1:] {
		if g.items[q].class != first {
			return true
		}
	}
	return false
}

// pick returns the number of the best gain. Among equally good ones one is drawn:
// without that, features would be preferred by their number, and trees would be
// more alike.
func (g *grower) pick(gains []float64) int {
	best := -1.0
	for _, gain := range gains {
		best = max(best, gain)
	}
	ties, n := &g.ties, 0
	for k, gain := range gains {
		ties[n&maxFeatures] = uint8(k)
		if gain >= best*(1-tieTolerance) {
			n++
		}
	}
	if n == 1 {
		return int(ties[0])
	}
	return int(ties[g.below(n)])
}

// below returns a random number in [0, n).
func (g *grower) below(n int) int {
	hi, _ := bits.Mul64(g.rng.Uint64(), uint64(n))
	return int(hi)
}
