package forest

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// grower grows one tree after another into a builder, reusing its memory.
//
// A node is a range of perm, partitioned in place. Nodes with more than
// smallItems items share histograms over feature codes with their parents
// (large.go), smaller ones are sets of items in a copy that stays in the
// first-level cache (small.go). All of them look at every distinct split and
// choose the one that reduces the sum of squares most.
type grower struct {
	b   *builder
	cfg Config
	t   *targets
	rng *rand.PCG

	// The bootstrap sample by cells. An item is a cell of which it has a row.
	cell  []uint32 // items
	class []uint32 // items; those of one class have the same targets
	sums  []sum    // planes x cells, items first: targets times counts
	code  []uint32 // items x features; see recode

	perm    []uint32 // items, in node order
	scratch []uint32
	stack   []task
	bounds  []bounds // features per entry of stack, and of the node in work

	histograms []*histogram // free list
	gains      []float64
	bitmap     []uint64
	bitmapRank []uint32
	features   []int
	found      []candidate
	cells      []uint32 // of a leaf

	small small
}

// task is a node to be grown: its items are perm[start:end].
type task struct {
	start, end int
	node       uint32
	depth      int
	hist       *histogram // or nil
}

// bounds limit the codes of a feature in a node (both inclusive).
type bounds struct{ lo, hi uint32 }

// choice is a split: rows with a code of at most lo go left, and hi is the
// smallest code on the right.
type choice struct {
	feature int
	lo, hi  uint32
}

func newGrower(b *builder, cfg Config, t *targets) *grower {
	g := &grower{b: b, cfg: cfg, t: t}
	g.small.init(b.data, t.planes)
	return g
}

// grow fills the builder with a tree for its bootstrap sample.
func (g *grower) grow(ctx context.Context, tree int) error {
	g.rng = rand.NewPCG(g.cfg.Seed, 1<<63|uint64(tree))
	g.load()
	nf := g.b.data.features
	g.bounds = append(g.bounds[:0], make([]bounds, nf)...)
	for f, levels := range g.b.data.levels {
		g.bounds[f] = bounds{0, uint32(len(levels) - 1)}
	}
	g.stack = append(g.stack[:0], task{start: 0, end: len(g.perm), node: 0})
	for len(g.stack) > 0 {
		top := len(g.stack) - 1
		t := g.stack[top]
		g.stack = g.stack[:top]
		if t.end-t.start > 4096 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		g.growNode(t, top)
	}
	return nil
}

// load makes the items of the bootstrap sample.
func (g *grower) load() {
	t := g.t
	n := t.cells.len()
	g.sums = slices.Grow(g.sums[:0], n*t.planes)[:n*t.planes]
	g.cell, g.class, g.code, g.perm = g.cell[:0], g.class[:0], g.code[:0], g.perm[:0]
	for cell := range uint32(n) {
		drawn, class, _ := t.draw(cell, g.b.count)
		if drawn == 0 {
			continue
		}
		i := len(g.cell)
		for p := range t.planes {
			g.sums[p*n+i] = sum{t.sum(p, cell, g.b.count), drawn}
		}
		g.cell = append(g.cell, cell)
		g.class = append(g.class, class)
		g.code = append(g.code, t.cells.inputs(cell)...)
		g.perm = append(g.perm, uint32(i))
	}
	g.scratch = slices.Grow(g.scratch[:0], len(g.perm))[:len(g.perm)]
}

// growNode splits the node of t, whose bounds are entry top, and pushes its
// children; or makes it a leaf; or grows its whole subtree if it is small.
func (g *grower) growNode(t task, top int) {
	if t.end-t.start <= smallItems {
		g.release(t.hist)
		g.growSmall(t)
		return
	}
	c, ok := choice{}, false
	if g.maySplit(t) {
		c, ok = g.chooseLarge(&t, g.boundsAt(top))
	}
	if !ok {
		g.release(t.hist)
		g.leafOf(t.node, g.perm[t.start:t.end])
		return
	}
	mid := t.start + g.partition(g.perm[t.start:t.end], c)
	lo := g.level(g.perm[t.start:mid], c.feature, c.lo)
	hi := g.level(g.perm[mid:t.end], c.feature, c.hi)
	child := g.b.split(t.node, c.feature, lo, hi)

	left := task{t.start, mid, child, t.depth + 1, nil}
	right := task{mid, t.end, child + 1, t.depth + 1, nil}
	g.share(t.hist, &left, &right, g.boundsAt(top), c)
	// The left child is grown first, so that subtrees are contiguous.
	g.stack = append(g.stack, right, left)
	nf := g.b.data.features
	if need := (top + 2) * nf; len(g.bounds) < need {
		g.bounds = append(g.bounds, make([]bounds, need-len(g.bounds))...)
	}
	rightBounds, leftBounds := g.boundsAt(top), g.boundsAt(top+1)
	copy(leftBounds, rightBounds)
	leftBounds[c.feature].hi = c.lo
	rightBounds[c.feature].lo = c.hi
}

func (g *grower) boundsAt(i int) []bounds {
	nf := g.b.data.features
	return g.bounds[i*nf : (i+1)*nf]
}

// maySplit tells whether the limits of the configuration allow a split and
// the targets vary.
func (g *grower) maySplit(t task) bool {
	return (g.cfg.MaxDepth == 0 || t.depth < g.cfg.MaxDepth) && g.varies(g.perm[t.start:t.end])
}

// varies tells whether two of the items have different targets.
func (g *grower) varies(items []uint32) bool {
	first := g.class[items[0]]
	for _, q := range items[1:] {
		if g.class[q] != first {
			return true
		}
	}
	return false
}

// partition moves the items that go left to the front, both sides in
// their former order, and returns their number.
func (g *grower) partition(items []uint32, c choice) int {
	nf := g.b.data.features
	code := g.code[c.feature:]
	right := g.scratch[:len(items)]
	nl, nr := 0, 0
	for _, q := range items {
		// Written to both sides and counted on one: there is no branch to
		// mispredict.
		items[nl] = q
		right[nr] = q
		goesRight := int((uint64(c.lo) - uint64(code[int(q)*nf])) >> 63)
		nr += goesRight
		nl += 1 - goesRight
	}
	copy(items[nl:], right[:nr])
	return nl
}

// level returns the level that a code stands for, from an item that has it.
func (g *grower) level(items []uint32, feature int, code uint32) uint32 {
	nf := g.b.data.features
	for _, q := range items {
		if g.code[int(q)*nf+feature] == code {
			return g.t.cells.inputs(g.cell[q])[feature]
		}
	}
	panic("forest: no item has the code of its split")
}

func (g *grower) leafOf(node uint32, items []uint32) {
	g.cells = g.cells[:0]
	for _, q := range items {
		g.cells = append(g.cells, g.cell[q])
	}
	g.b.leafOf(node, &g.t.cells, g.cells)
}

// below returns a random number in [0, n).
func (g *grower) below(n int) int {
	hi, _ := bits.Mul64(g.rng.Uint64(), uint64(n))
	return int(hi)
}

// candidate is a feature's best split of a node; its gain is negative if there
// is none.
type candidate struct {
	gain    float64
	left    uint64 // items
	lo, hi  uint32 // largest code on the left, smallest on the right
	feature int
}

// Gains are equal if they differ by rounding only.
const tieTolerance = 1e-10

// pick returns the best candidate. Among equally good features one is drawn:
// without that, features would be preferred by their number, and trees would
// be more alike. It is false if no candidate is a split.
func (g *grower) pick(found []candidate) (candidate, bool) {
	best, ties := candidate{gain: -1}, 0
	for k := range found {
		if c := &found[k]; c.gain > best.gain {
			best = *c
		}
	}
	if best.gain < 0 {
		return best, false
	}
	for _, c := range found {
		if c.gain >= best.gain*(1-tieTolerance) {
			found[ties] = c
			ties++
		}
	}
	if ties > 1 {
		best = found[g.below(ties)]
	}
	return best, true
}
